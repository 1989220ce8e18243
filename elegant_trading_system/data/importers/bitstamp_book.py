"""A book of single orders, some of which nobody told us of, held against the venue's own best levels."""

from collections import deque
from typing import NamedTuple

from ..tape import Quality

Level = tuple[int, int]  # ticks, amount; amounts are whole numbers of the venue's smallest unit, here called lots
Sides = list[list[Level]]

REDUCTIONS_KEPT = 64  # order events among which a trade's two orders are looked for
MOMENTS_TRUSTED = 2  # successive order_books that must contradict us before they are believed


class Order(NamedTuple):
    """A limit order; side 0 buys, 1 sells."""

    side: int
    ticks: int
    lots: int  # what is left


class Reduction(NamedTuple):
    """An order lost lots: one of the two of a trade, or a cancellation."""

    order_id: int
    side: int
    lots: int


class Book:
    """Known orders by id; by price the lots of known and of older orders. A taker is no level until it rests."""

    def __init__(self, quality: Quality) -> None:
        self.quality = quality
        self.orders: dict[int, Order] = {}
        self.known: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.older: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.takers: dict[int, Order] = {}  # crossed the other side when they came
        self.reductions: deque[Reduction] = deque(maxlen=REDUCTIONS_KEPT)
        self.doubts: dict[tuple[int, int], int] = {}  # (side, ticks): successive order_books that say less than we
        self.is_seeded = False
        self._changed: set[tuple[int, int]] = set()
        self._shown: tuple[dict[int, int], dict[int, int]] = ({}, {})  # what the tape was told

    # --- orders ---------------------------------------------------------------------------------------------------
    def apply(self, name: str, order_id: int, order: Order) -> None:
        """One order event; `order` has what is left of it."""
        if name == "order_created":
            self._create(order_id, order)
        elif order_id in self.takers:
            self._reduce_taker(order_id, order, is_gone=name == "order_deleted")
        elif order_id in self.orders:
            self._reduce(order_id, order, is_gone=name == "order_deleted")
        else:
            self._reduce_older(order_id, order, is_gone=name == "order_deleted")
        self._let_rest()

    def _create(self, order_id: int, order: Order) -> None:
        if order_id in self.orders or order_id in self.takers:
            self.quality.repeats += 1
        elif self._is_crossing(order):
            self.takers[order_id] = order
        else:
            self.orders[order_id] = order
            self._add(order.side, order.ticks, order.lots)

    def _reduce_taker(self, order_id: int, order: Order, *, is_gone: bool) -> None:
        before = self.takers.pop(order_id)
        self._remember(order_id, before, order.lots)
        if not is_gone:
            self.takers[order_id] = before._replace(lots=order.lots)

    def _reduce(self, order_id: int, order: Order, *, is_gone: bool) -> None:
        before = self.orders.pop(order_id)
        self._remember(order_id, before, order.lots)
        left = 0 if is_gone else order.lots
        self._add(before.side, before.ticks, left - before.lots)
        if not is_gone:
            self.orders[order_id] = before._replace(lots=left)

    def _reduce_older(self, order_id: int, order: Order, *, is_gone: bool) -> None:
        """An order from before the recording: what it still had is only said when it is cancelled."""
        if is_gone and order.lots:
            self._take_older(order.side, order.ticks, order.lots)
        elif is_gone:
            self.reductions.append(Reduction(order_id, order.side, -1))

    def _remember(self, order_id: int, before: Order, left: int) -> None:
        if before.lots > left:
            self.reductions.append(Reduction(order_id, before.side, before.lots - left))

    def _let_rest(self) -> None:
        """Takers that no longer cross are levels."""
        for order_id, order in [*self.takers.items()]:
            if not self._is_crossing(order):
                del self.takers[order_id]
                self.orders[order_id] = order
                self._add(order.side, order.ticks, order.lots)

    def _is_crossing(self, order: Order) -> bool:
        other = self._best(1 - order.side)
        if other is None:
            return False
        return order.ticks >= other if order.side == 0 else order.ticks <= other

    # --- trades ---------------------------------------------------------------------------------------------------
    def taker_side(self, ticks: int, lots: int) -> int:
        """0 where a buyer took: of a trade's two orders the younger is the taker. Else by the side of the mid."""
        pair = [found for found in self.reductions if found.lots == lots][-2:]
        unknown = [found for found in self.reductions if found.lots < 0]
        for found in [*pair, *unknown[-1:]]:
            self.reductions.remove(found)
        for found in unknown[-1:]:
            self._take_older(found.side, ticks, lots)
            self._let_rest()
        if pair:
            youngest = max(pair)
            if {found.side for found in [*pair, *unknown[-1:]]} == {0, 1} or youngest.order_id in self.takers:
                return youngest.side
        self.quality.guessed_sides += 1
        bid, ask = self._best(0), self._best(1)
        return 0 if ask is not None and bid is not None and 2 * ticks >= bid + ask else 1

    # --- the venue's own levels -------------------------------------------------------------------------------------
    def compare(self, sides: Sides) -> None:
        """Learn the lots of older orders from an order_book, best levels first; count what contradicts us."""
        for s, rows in enumerate(sides):
            shown = dict(rows)
            for ticks, lots in rows:
                self._compare_level(s, ticks, lots)
            edge = rows[-1][0]
            for ticks in [t for t in self._prices(s) if t not in shown and (t >= edge if s == 0 else t <= edge)]:
                self._compare_level(s, ticks, 0)
        self.is_seeded = True
        self._let_rest()

    def _compare_level(self, s: int, ticks: int, lots: int) -> None:
        ours = self._lots(s, ticks)
        if ours <= lots:
            self.doubts.pop((s, ticks), None)
            if ours < lots:
                self._add_older(s, ticks, lots - ours)
                self.quality.revealed_levels += 1 if self.is_seeded else 0
            return
        self.doubts[s, ticks] = self.doubts.get((s, ticks), 0) + 1
        if self.doubts[s, ticks] >= MOMENTS_TRUSTED:
            del self.doubts[s, ticks]
            self._drop(s, ticks, lots)

    def _drop(self, s: int, ticks: int, lots: int) -> None:
        """The venue does not have what we believe in: an order went without a word."""
        self.quality.corrected_levels += 1
        for order_id in [i for i, order in self.orders.items() if (order.side, order.ticks) == (s, ticks)]:
            if self._lots(s, ticks) > lots:
                self._add(s, ticks, -self.orders.pop(order_id).lots)
        self.older[s][ticks] = 0
        self._add_older(s, ticks, max(lots - self._lots(s, ticks), 0))

    # --- lots by price ------------------------------------------------------------------------------------------------
    def _lots(self, s: int, ticks: int) -> int:
        return self.known[s].get(ticks, 0) + self.older[s].get(ticks, 0)

    def _prices(self, s: int) -> set[int]:
        return {t for t in [*self.known[s], *self.older[s]] if self._lots(s, t) > 0}

    def _best(self, s: int) -> int | None:
        shown = self._shown[s]
        return (max(shown) if s == 0 else min(shown)) if shown else None

    def _add(self, s: int, ticks: int, lots: int) -> None:
        total = self.known[s].get(ticks, 0) + lots
        self.known[s][ticks] = total
        if total == 0:
            del self.known[s][ticks]
        self._touch(s, ticks)

    def _add_older(self, s: int, ticks: int, lots: int) -> None:
        total = self.older[s].get(ticks, 0) + lots
        self.older[s][ticks] = total
        if total == 0:
            del self.older[s][ticks]
        self._touch(s, ticks)

    def _take_older(self, s: int, ticks: int, lots: int) -> None:
        self._add_older(s, ticks, -min(lots, self.older[s].get(ticks, 0)))

    def _touch(self, s: int, ticks: int) -> None:
        lots = self._lots(s, ticks)
        if lots > 0:
            self._shown[s][ticks] = lots
        else:
            self._shown[s].pop(ticks, None)
        self._changed.add((s, ticks))

    def take_changes(self) -> Sides:
        """Levels that changed since the last call, with their lots now."""
        changes: Sides = [[], []]
        for s, ticks in sorted(self._changed):
            changes[s].append((ticks, self._lots(s, ticks)))
        self._changed.clear()
        return changes

    def levels(self) -> Sides:
        """All levels, best first."""
        return [sorted(self._shown[0].items(), reverse=True), sorted(self._shown[1].items())]
