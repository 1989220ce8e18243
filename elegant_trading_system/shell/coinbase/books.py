"""A whole book as one connection tells it: lots by price, and its touch kept as it changes."""

from typing import Any

import numpy as np

from ...core.schema import LEVEL

Array = np.ndarray[Any, Any]
Rows = tuple[Array, Array]
SIGNS = (1, -1)  # bids, asks: which way is better
NEAR_TICKS = 64  # so far behind a touch that is gone the next is looked for step by step


class Book:
    """Never crossed: what would cross it changes nothing."""

    def __init__(self) -> None:
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._touch: list[int | None] = [None, None]

    def update(self, rows: Rows) -> bool:
        """Levels as they are now; False, and nothing has changed, if the book would bid as much as it asks."""
        changed = [side.tolist() for side in rows]
        before = [
            [(ticks, side.get(ticks, 0)) for ticks, _ in new] for side, new in zip(self.sides, changed, strict=True)
        ]
        self._apply(changed)
        bid, ask = self._touch
        if bid is None or ask is None or bid < ask:
            return True
        self._apply(before)
        return False

    def _apply(self, rows: list[list[tuple[int, int]]]) -> None:
        for s, sign in enumerate(SIGNS):
            side, best = self.sides[s], self._touch[s]
            for ticks, lots in rows[s]:
                if lots > 0:
                    side[ticks] = lots
                    best = ticks if best is None or (ticks - best) * sign > 0 else best
                else:
                    side.pop(ticks, None)
            self._touch[s] = best if best is None or best in side else _next(side, best, sign)

    def rows_from(self, before: "Book | None") -> Rows:
        """What makes the other book this one, both sides from the touch outward; without it all of this one."""
        old = before.sides if before is not None else ({}, {})
        return _difference(old[0], self.sides[0])[::-1], _difference(old[1], self.sides[1])


def _next(side: dict[int, int], gone: int, sign: int) -> int | None:
    """The best of a side whose best is gone."""
    for ticks in range(gone - sign, gone - sign * NEAR_TICKS, -sign):
        if ticks in side:
            return ticks
    return (max if sign > 0 else min)(side, default=None)


def _difference(before: dict[int, int], after: dict[int, int]) -> Array:
    """Rows that make the one side the other, by price."""
    changed = [(ticks, 0) for ticks in before.keys() - after.keys()]
    changed += [(ticks, lots) for ticks, lots in after.items() if before.get(ticks) != lots]
    return np.array(sorted(changed), LEVEL)
