"""Slow, obvious twins of the core: dict books, windows summed anew, exact fractions."""

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from elegant_trading_system.core.kinds import BookState, Kind
from elegant_trading_system.core.schema import FAR, LADDER, NO_X, WORD

LADDER_MASK = LADDER - 1


# --- books ----------------------------------------------------------------------------------------------------
class NaiveBook:
    """Lots by ticks, per side."""

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.state = BookState.RESYNC

    def apply(self, packet: Any, levels: Any) -> None:
        kind, begin = int(packet["kind"]), int(packet["level_begin"])
        middle = begin + int(packet["buy_count"])
        end = middle + int(packet["sell_count"])
        if kind == Kind.STATUS:
            self.state = BookState(int(packet["code"]))
        if kind == Kind.SNAPSHOT:
            self.bids.clear()
            self.asks.clear()
            self.state = BookState.LIVE
        if kind == Kind.SNAPSHOT or (kind == Kind.DEPTH and self.state == BookState.LIVE):
            set_rows(self.bids, levels[begin:middle])
            set_rows(self.asks, levels[middle:end])

    def side(self, s: int) -> dict[int, int]:
        """Lots by x, where larger is better."""
        return self.bids if s == 0 else {-ticks: lots for ticks, lots in self.asks.items()}


def set_rows(side: dict[int, int], rows: Any) -> None:
    for ticks, lots in rows.tolist():
        if lots > 0:
            side[ticks] = lots
        else:
            side.pop(ticks, None)


def ladder_levels(book: Any, books: Any, listing_id: int, s: int) -> dict[int, int]:
    """Every occupied slot of the ladder, by x, read from the lots themselves."""
    low_x = int(book["low_x"][s])
    lots = books["lots"][listing_id, s]
    slots = np.flatnonzero(lots)
    return {low_x + ((int(slot) - low_x) & LADDER_MASK): int(lots[slot]) for slot in slots}


def word_levels(book: Any, books: Any, listing_id: int, s: int) -> set[int]:
    """The same from the occupancy words."""
    low_x = int(book["low_x"][s])
    words = books["words"][listing_id, s]
    slots = np.flatnonzero(words[:, None] >> np.arange(WORD) & 1)
    return {low_x + ((slot - low_x) & LADDER_MASK) for slot in slots.tolist()}


def far_levels(books: Any, listing_id: int, s: int) -> dict[int, int]:
    table = books["far"][listing_id, s]
    used = table[table["lots"] > 0]
    found = dict(zip(used["price_ticks"].tolist(), used["lots"].tolist(), strict=True))
    assert len(found) == len(used), "a far level is stored twice"
    return found


def assert_same_book(naive: NaiveBook, book: Any, books: Any, listing_id: int, note: object = "") -> None:
    """Best, every level, occupancy and the far count, of both sides."""
    for s in (0, 1):
        expected = naive.side(s)
        ladder, far = ladder_levels(book, books, listing_id, s), far_levels(books, listing_id, s)
        assert ladder.keys() == word_levels(book, books, listing_id, s), (note, s)
        assert {**ladder, **far} == expected, (note, s)
        assert not ladder.keys() & far.keys(), (note, s)
        assert int(book["far_count"][s]) == len(far) <= FAR * 3 // 4, (note, s)
        assert int(book["best_x"][s]) == max(expected, default=NO_X), (note, s)
        if expected:
            assert max(expected) in ladder, (note, s)


# --- time-weighted, volume-weighted ---------------------------------------------------------------------------
def ewma(changes: Iterable[tuple[float, float]], now_s: float, halflife_s: float) -> float:
    """Time-weighted mean with exponential weights of a step function, started at its first value.

    Integrates the weight of each step directly instead of updating an average.
    """
    steps = sorted(changes)
    if not steps:
        return 0.0
    total: float = steps[0][1] * 0.5 ** ((now_s - steps[0][0]) / halflife_s)
    for k, (begin_s, value) in enumerate(steps):
        end_s = steps[k + 1][0] if k + 1 < len(steps) else now_s
        weight: float = 0.5 ** ((now_s - end_s) / halflife_s) - 0.5 ** ((now_s - begin_s) / halflife_s)
        total += weight * value
    return total


def decayed_depth(side: Mapping[int, float], mid: float, halflife_bps: float, band_bps: float, count: int) -> float:
    """Sum of 0.5 ** (distance / H) * price * lots over the best `count` levels inside the band; side as {ticks: lots}."""
    best_first = sorted(side, key=lambda ticks: abs(ticks - mid))[:count]
    total = 0.0
    for ticks in best_first:
        distance_bps = abs(ticks / mid - 1.0) * 1e4
        if distance_bps <= band_bps:
            total += 0.5 ** (distance_bps / halflife_bps) * ticks * side[ticks]
    return total


def wilder_atr(bars: list[tuple[float, float, float]], n: int) -> dict[int, float]:
    """ATR by bar index from (high, low, close), as SCIENCE 1.6 says it."""
    ranges = [
        max(high - low, abs(high - previous[2]), abs(low - previous[2])) for previous, (high, low, _) in pairwise(bars)
    ]
    found = {n: math.fsum(ranges[:n]) / n} if len(ranges) >= n else {}
    for t in range(n + 1, len(bars)):
        found[t] = ((n - 1) * found[t - 1] + ranges[t - 1]) / n
    return found


# --- money ----------------------------------------------------------------------------------------------------
class NaiveContracts:
    """A linear position at average cost, in fractions."""

    def __init__(self) -> None:
        self.lots = 0
        self.cost = Fraction(0)  # of the open lots, signed
        self.cash = 0  # what a spot account would have: minus bought plus sold

    def trade(self, side: int, lots: int, ticks: int) -> Fraction:
        """What it settles."""
        closing = min(lots, abs(self.lots)) if self.lots * side < 0 else 0
        released = self.cost * closing / abs(self.lots) if closing else Fraction(0)
        self.cost += side * (lots - closing) * ticks - released
        self.lots += side * lots
        self.cash -= side * lots * ticks
        return -side * closing * ticks - released
