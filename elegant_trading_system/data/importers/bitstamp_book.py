"""The book that Bitstamp's orders make, held against the vendor's own book of 20 levels a side.

A level is what its listed orders add up to, plus what rests there of orders placed before the recording began, which
only the vendor's book shows. An order that would cross the book is on its way to be matched: the feed announces it
before the orders it takes. It waits outside the book until nothing is left that it could take.

Lots are satoshis here: what the vendor's books are equal to or not.
"""

from bisect import bisect_left, bisect_right, insort
from collections import deque
from typing import NamedTuple

from ..decimals import LIMIT
from ..tape import Quality
from .bitstamp_wire import BUY, CREATED, DELETED, SELL, Event

LATE_MS = 1_000  # a vendor's level that was ours this long ago is not wrong, but late

Level = tuple[int, int]  # side, ticks
Rows = list[tuple[int, int]]  # ticks, lots


class LevelTooLargeError(ValueError):
    """Orders add up to what no tape holds."""


class Resting(NamedTuple):
    level: Level
    lots: int


class Fall(NamedTuple):
    """An order lost lots, or vanished, as it does when it trades."""

    ts_ms: int
    order_id: int
    level: Level
    lots: int  # 0: unlisted, and nobody knows how many it had
    is_taker: bool  # it was waiting to take

    @property
    def is_unlisted(self) -> bool:
        return self.lots == 0


class OrderBook:
    """Lots by level; `changed` collects what moved until somebody takes it."""

    def __init__(self, quality: Quality) -> None:
        self.quality = quality
        self.lots: dict[Level, int] = {}
        self.listed: dict[Level, int] = {}  # of lots, those of orders we know
        self.prices: tuple[list[int], list[int]] = ([], [])  # occupied, ascending
        self.orders: dict[int, Resting] = {}
        self.waiting: set[int] = set()  # ids of orders that would cross
        self.ended: set[int] = set()
        self.first_id = -1
        self.changed: set[Level] = set()
        self.recent: deque[tuple[int, Level, int]] = deque()  # ms, level, lots before
        self.ts_ms = 0  # of the event being taken
        self.is_open = False  # the vendor's book was seen

    # --- orders ----------------------------------------------------------------------------------------------------
    def take_order(self, event: Event) -> Fall | None:
        """One order's life goes on; the lots it lost, if that may have been a trade."""
        [(ticks, lots)] = event.rows
        now = Resting((event.side, ticks), lots)
        if self.first_id < 0:
            self.first_id = event.id
        if event.id in self.ended:
            self._count_after_end(event)
            return None
        is_taker = event.id in self.waiting
        before = self._without(event.id)
        if before is None and event.name != CREATED:
            before = self._unlisted(event.id, now)
        if event.name == DELETED:
            self.ended.add(event.id)
        else:
            self._place(event.id, now)
            if event.id in self.waiting and not is_taker:
                self.quality.held_orders += 1
        fall = _fall(event, before, now, is_taker)
        if (
            fall is None or is_taker
        ):  # else what this order lost, the one that took it has not been told to have got yet
            self.release()
        return fall

    def _count_after_end(self, event: Event) -> None:
        """Some deletions come twice, and a few before their creation."""
        if event.name == CREATED:
            self.quality.ignored_lines += 1
        else:
            self.quality.repeats += 1

    def _without(self, order_id: int) -> Resting | None:
        order = self.orders.pop(order_id, None)
        if order is not None and order_id not in self.waiting:
            self.listed[order.level] -= order.lots
            self._set(order.level, max(0, self.lots.get(order.level, 0) - order.lots))
        self.waiting.discard(order_id)
        return order

    def _unlisted(self, order_id: int, now: Resting) -> Resting | None:
        """An order placed before the recording began: what it still had leaves what rests unlisted."""
        if order_id > self.first_id:
            return None  # its creation is late
        self.quality.unlisted_orders += 1
        self.take_unlisted(now)
        return Resting(now.level, 0)

    def take_unlisted(self, gone: Resting) -> None:
        rests = self.lots.get(gone.level, 0)
        unlisted = max(0, rests - self.listed.get(gone.level, 0))
        self._set(gone.level, rests - min(gone.lots, unlisted))

    def _place(self, order_id: int, order: Resting) -> None:
        self.orders[order_id] = order
        if self._crosses(order.level):
            self.waiting.add(order_id)
        else:
            self._rest(order)

    def _rest(self, order: Resting) -> None:
        self.listed[order.level] = self.listed.get(order.level, 0) + order.lots
        self._set(order.level, self.lots.get(order.level, 0) + order.lots)

    def release(self) -> None:
        """What waits rests as soon as there is nothing left to take."""
        for order_id in sorted(self.waiting):
            order = self.orders[order_id]
            if not self._crosses(order.level):
                self.waiting.remove(order_id)
                self._rest(order)

    def _crosses(self, level: Level) -> bool:
        side, ticks = level
        best = self.best(SELL if side == BUY else BUY)
        return best > 0 and (ticks >= best if side == BUY else ticks <= best)

    # --- levels ----------------------------------------------------------------------------------------------------
    def best(self, side: int) -> int:
        """Ticks; 0 if the side is empty."""
        prices = self.prices[side]
        return prices[-1 if side == BUY else 0] if prices else 0

    def rows(self, side: int) -> Rows:
        """All levels of a side, the best first."""
        prices = reversed(self.prices[side]) if side == BUY else self.prices[side]
        return [(ticks, self.lots[side, ticks]) for ticks in prices]

    def _set(self, level: Level, lots: int) -> None:
        before = self.lots.get(level, 0)
        if lots == before:
            return
        if lots * level[1] >= LIMIT:
            raise LevelTooLargeError("number too large: the orders of a level add up to 2^62")
        self.recent.append((self.ts_ms, level, before))
        self.changed.add(level)
        if lots:
            self.lots[level] = lots
        else:
            del self.lots[level]
        prices = self.prices[level[0]]
        if not before:
            insort(prices, level[1])
        elif not lots:
            del prices[bisect_left(prices, level[1])]

    # --- the vendor's book -----------------------------------------------------------------------------------------
    def take_vendor(self, event: Event) -> None:
        """The first one opens the book; of later ones, what we had not or never had in the last second is believed."""
        sides = (dict(event.rows[: event.buy_count]), dict(event.rows[event.buy_count :]))
        self._rest_shown(sides)
        differing = [level for side, shown in enumerate(sides) for level in self._differing(side, shown)]
        if self.is_open:
            self.quality.vendor_rows += len(event.rows)
            self.quality.vendor_rows_equal += len(event.rows) - sum(level[1] in sides[level[0]] for level in differing)
        past = self._past()
        for level in differing:
            self._believe(level, sides[level[0]].get(level[1], 0), past)
        self.is_open = True
        self.release()

    def _rest_shown(self, sides: tuple[dict[int, int], dict[int, int]]) -> None:
        """An order that waits, but rests in the vendor's book, waits for a level that is there no longer."""
        for order_id in sorted(self.waiting):
            (side, ticks), lots = self.orders[order_id]
            if sides[side].get(ticks) == self.lots.get((side, ticks), 0) + lots:
                self.waiting.remove(order_id)
                self._rest(self.orders[order_id])

    def _past(self) -> set[tuple[Level, int]]:
        """What levels had in the last second."""
        while self.recent and self.recent[0][0] < self.ts_ms - LATE_MS:
            self.recent.popleft()
        return {(level, lots) for _, level, lots in self.recent}

    def _differing(self, side: int, shown: dict[int, int]) -> list[Level]:
        """The vendor's levels that are not ours, and ours within its 20 that are not the vendor's."""
        lots = self.lots
        wrong = [(side, ticks) for ticks, size in shown.items() if lots.get((side, ticks), 0) != size]
        return wrong + [(side, ticks) for ticks in self._within(side, shown) if ticks not in shown]

    def _within(self, side: int, shown: dict[int, int]) -> list[int]:
        """Our prices no worse than the vendor's worst."""
        prices = self.prices[side]
        if not shown:
            return []
        return prices[bisect_left(prices, min(shown)) :] if side == BUY else prices[: bisect_right(prices, max(shown))]

    def _believe(self, level: Level, shown: int, past: set[tuple[Level, int]]) -> None:
        """The vendor's book, unless it tells what ours was a moment ago."""
        if (level, shown) in past:
            return
        if self.is_open and level in self.lots:
            self.quality.corrected_levels += 1
        elif self.is_open:
            self.quality.revealed_levels += 1
        self._set(level, shown)


def _fall(event: Event, before: Resting | None, now: Resting, is_taker: bool) -> Fall | None:
    """A change that leaves less, or a deletion that leaves nothing. A cancelled order is deleted with what it had."""
    if before is None or (event.name == DELETED and now.lots > 0):
        return None
    is_unlisted = before.lots == 0
    if before.lots <= now.lots and not is_unlisted:
        return None
    lots = 0 if is_unlisted else before.lots - now.lots
    return Fall(event.ts_ms, event.id, now.level, lots, is_taker)
