"""What a finished import is checked for: crossed books, latencies, silence, venue clocks."""

from typing import Any

import numpy as np

from ..core.jit import kernel, loader
from ..core.kinds import Kind
from .tape import Quality

Array = np.ndarray[Any, Any]

LATENCY_FLOOR_NS = 1_000_000  # the fastest message is taken to have travelled this long
FASTEST_SHARE = 0.001  # that fastest message: this quantile, so that one odd stamp moves nothing
PRICE_BLOCK = 1 << 20
DEPTH, SNAPSHOT, TRADE = Kind.DEPTH.value, Kind.SNAPSHOT.value, Kind.TRADE.value


def clock_offset_ns(tapes: list[Array]) -> int:
    """What to add to one venue's raw stamps, so that its fastest messages took LATENCY_FLOOR_NS.

    Recorder and venue clocks differ by more than a message travels; only the sum of both can be seen.
    """
    latencies = np.concatenate([_streamed_latencies(packets) for packets in tapes])
    if len(latencies) == 0:
        return 0
    rank = int(len(latencies) * FASTEST_SHARE)
    return int(np.partition(latencies, rank)[rank]) - LATENCY_FLOOR_NS


def _streamed_latencies(packets: Array) -> Array:
    """Without snapshots: they are answers, not messages sent when something happened."""
    latencies: Array = packets["ts_local_ns"] - packets["ts_venue_ns"]
    return latencies[(packets["kind"] == DEPTH) | (packets["kind"] == TRADE)]


def measure(quality: Quality, packets: Array, levels: Array) -> None:
    """Fill in what only the whole tape tells."""
    latencies = packets["ts_local_ns"] - packets["ts_venue_ns"]
    quality.negative_latencies_after_correction = int((latencies < 0).sum())
    quality.latency_ns_median, quality.latency_ns_p99 = (int(q) for q in np.quantile(latencies, [0.5, 0.99]))
    quality.silence_ns_max = int(np.diff(packets["ts_local_ns"]).max(initial=0))
    quality.crossed_books = count_crossed(packets, levels)


def count_crossed(packets: Array, levels: Array) -> int:
    """After how many book packets the best bid was not below the best ask."""
    prices = np.unique(np.concatenate([np.unique(b["price_ticks"]) for b in _blocks(levels)] or [np.zeros(0, "i8")]))
    ranks = np.concatenate([np.searchsorted(prices, b["price_ticks"]) for b in _blocks(levels)] or [np.zeros(0, "i8")])
    return int(_count_crossed(packets, levels, ranks, len(prices)))


def _blocks(levels: Array) -> list[Array]:
    return [levels[at : at + PRICE_BLOCK] for at in range(0, len(levels), PRICE_BLOCK)]


@loader
def _count_crossed(packets: Array, levels: Array, ranks: Array, price_count: int) -> int:
    """Books as one occupied flag per price that occurs: the next best is a short walk away."""
    bids = np.zeros(price_count, np.uint8)
    asks = np.zeros(price_count, np.uint8)
    bid, ask, crossed = -1, price_count, 0
    for p in packets:
        if p.kind == SNAPSHOT:
            bids[:] = 0
            asks[:] = 0
            bid, ask = -1, price_count
        if p.kind == SNAPSHOT or p.kind == DEPTH:
            middle = p.level_begin + p.buy_count
            bid = _best_bid(bids, bid, levels, ranks, p.level_begin, middle)
            ask = _best_ask(asks, ask, levels, ranks, middle, middle + p.sell_count)
            crossed += 1 if bid >= ask else 0
    return crossed


@kernel
def _best_bid(bids: Array, best: int, levels: Array, ranks: Array, begin: int, end: int) -> int:
    for row in range(begin, end):
        bids[ranks[row]] = 1 if levels[row].lots > 0 else 0
        best = max(best, ranks[row])
    while best >= 0 and bids[best] == 0:
        best -= 1
    return best


@kernel
def _best_ask(asks: Array, best: int, levels: Array, ranks: Array, begin: int, end: int) -> int:
    for row in range(begin, end):
        asks[ranks[row]] = 1 if levels[row].lots > 0 else 0
        best = min(best, ranks[row])
    while best < len(asks) and asks[best] == 0:
        best += 1
    return best
