"""The default strategy in our engine beside its signal alone (SPEC S1) written for hftbacktest: equal signals first.

    python -m bench.s1 [--feed m5] [--rounds 9]

Ours does all it does in a backtest: bars, regimes, order flow, filters, risk, portfolio, logs. Theirs computes bid and
ask volume, velocity, tightness and the strength at every message and every tenth of a second, and trades nothing.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .peers import OURS, in_own_venv

NS_PER_S = 1_000_000_000
PASS_NS = 100_000_000
FAST_S, SLOW_S = 60, 1200
LEVELS, BAND_BPS = 10, 10.0
DECAY_BPS_MIN, DECAY_SPREADS = 2.0, 2.0
HALFLIFE_NS = 2e9
TIGHTNESS_MIN, TIGHTNESS_MAX = 0.2, 5.0
RATIO_MAX = 100.0
REACH_TICKS = 700  # ten bps of the feed's price
RING = 2048
WARM_S = 1400  # signals are compared from here: both windows full
SAMPLES = 1 << 19
NEAR, NEAR_SHARE, FAR = (
    1e-5,
    0.99,
    1e-2,
)  # our spread sums count in 1e-6 bps; a message on a second's edge may fall either way


def strategy(depth_name: str) -> Callable[..., Any]:  # noqa: C901, PLR0915 - one loop, as their strategies are written
    """Compile S1 for one of hftbacktest's books; it fills `samples` with the strength at every pass."""
    from numba import njit

    from . import hbt

    is_array = depth_name == "ROIVector"

    @njit(inline="always")
    def weighted(depth, is_bid, best_ticks, mid, decay_bps):
        """Depth of one side, halved with every decay_bps of distance from the mid."""
        low, bids, asks = 0, None, None
        if is_array:
            low, bids, asks = depth.roi_lb_tick, depth.bid_depth, depth.ask_depth
        log_tick = -math.log(2.0) / (decay_bps * mid * 1e-4)
        weight = math.exp(log_tick * abs(best_ticks - mid))
        step = math.exp(log_tick)
        band = BAND_BPS * mid * 1e-4
        total, count = 0.0, 0
        for k in range(REACH_TICKS):
            ticks = best_ticks - k if is_bid else best_ticks + k
            if abs(ticks - mid) > band:
                break
            if is_array:
                size = bids[ticks - low] if is_bid else asks[ticks - low]
            elif is_bid:
                size = depth.bid_qty_at_tick(ticks)
            else:
                size = depth.ask_qty_at_tick(ticks)
            if size > 0.0:
                total += weight * size
                count += 1
                if count == LEVELS:
                    break
            weight *= step
        return total

    @njit
    def run(backtest, samples):  # noqa: C901, PLR0915
        lots_ring, spread_ring, time_ring = np.zeros(RING), np.zeros(RING), np.zeros(RING)
        fast = slow = second_lots = slow_spread = slow_time = second_spread = second_time = 0.0
        velocity, average_bps, spread_bps, decay_bps = -1.0, -1.0, -1.0, DECAY_BPS_MIN
        log_ratio = ewma = 0.0
        ratio_ns = spread_ns = boundary_ns = 0
        strong, seen, begin_ns = 0, 0, 0
        limit = math.log(RATIO_MAX)
        while backtest.wait_next_feed(False, hbt.FOREVER_NS) == hbt.FEED:
            now_ns = backtest.current_timestamp
            if boundary_ns == 0:
                begin_ns = boundary_ns = (now_ns // PASS_NS + 1) * PASS_NS
            while boundary_ns <= now_ns:
                if boundary_ns % NS_PER_S == 0:
                    second = boundary_ns // NS_PER_S - 1
                    if spread_ns > 0 and spread_bps > 0.0:
                        second_spread += spread_bps * (boundary_ns - spread_ns)
                        second_time += boundary_ns - spread_ns
                    spread_ns = boundary_ns
                    middle, last = (second - FAST_S) % RING, (second - FAST_S - SLOW_S) % RING
                    fast += second_lots - lots_ring[middle]
                    slow += lots_ring[middle] - lots_ring[last]
                    slow_spread += spread_ring[middle] - spread_ring[last]
                    slow_time += time_ring[middle] - time_ring[last]
                    here = second % RING
                    lots_ring[here], spread_ring[here], time_ring[here] = second_lots, second_spread, second_time
                    second_lots = second_spread = second_time = 0.0
                    seen += 1
                    velocity = fast * SLOW_S / (slow * FAST_S) if seen >= FAST_S + SLOW_S and slow > 0.0 else -1.0
                    if slow_time > 0.0:
                        average_bps = slow_spread / slow_time
                        decay_bps = max(DECAY_BPS_MIN, DECAY_SPREADS * average_bps)
                decay = math.exp(-math.log(2.0) * (boundary_ns - ratio_ns) / HALFLIFE_NS)
                smooth = decay * ewma + (1.0 - decay) * log_ratio
                strength = 0.0
                if velocity > 0.0 and average_bps > 0.0:
                    tightness = min(max(average_bps / spread_bps, TIGHTNESS_MIN), TIGHTNESS_MAX)
                    strength = math.exp(abs(smooth)) * velocity * tightness
                strong += 1 if strength > 2.5 else 0
                samples[(boundary_ns - begin_ns) // PASS_NS] = strength
                boundary_ns += PASS_NS
            trades = backtest.last_trades(0)
            if len(trades) > 0:
                for k in range(len(trades)):
                    second_lots += round(trades[k].qty / hbt.LOT)
                backtest.clear_last_trades(0)
            depth = backtest.depth(0)
            bid_ticks, ask_ticks = depth.best_bid_tick, depth.best_ask_tick
            mid = 0.5 * (bid_ticks + ask_ticks)
            bid = weighted(depth, True, bid_ticks, mid, decay_bps)
            ask = weighted(depth, False, ask_ticks, mid, decay_bps)
            decay = math.exp(-math.log(2.0) * (now_ns - ratio_ns) / HALFLIFE_NS)
            ewma = decay * ewma + (1.0 - decay) * log_ratio
            log_ratio = min(max(math.log(bid) - math.log(ask), -limit), limit) if bid > 0.0 and ask > 0.0 else 0.0
            ratio_ns = now_ns
            bps = max(ask_ticks - bid_ticks, 1) / mid * 1e4
            if bps != spread_bps:
                if spread_ns > 0 and spread_bps > 0.0:
                    second_spread += spread_bps * (now_ns - spread_ns)
                    second_time += now_ns - spread_ns
                spread_ns = now_ns
                spread_bps = bps
        return strong, begin_ns

    return run


def ours(feed: Any) -> tuple[float, Any]:
    """CPU seconds and the evaluations kept, one a second."""
    from elegant_trading_system.core import decider
    from elegant_trading_system.sim import simulate

    from . import run

    session = run.session(feed, simulate, decider.MEMORY, is_logging=True)
    began = time.process_time()
    session.run(feed.packets, feed.levels)
    spent = time.process_time() - began
    rows = session.logs[0].joined("evaluations")
    return spent, rows[rows["is_sample"] == 1]


def theirs(depth_name: str, compiled: Callable[..., Any], events: Any, snapshot: Any) -> tuple[float, Any]:
    from . import hbt

    samples, backtest = np.zeros(SAMPLES), hbt.backtest(depth_name, events, snapshot)
    began = time.process_time()
    _, begin_ns = compiled(backtest, samples)
    spent = time.process_time() - began
    backtest.close()
    return spent, (begin_ns, samples)


def agreement(mine: Any, other: Any) -> dict[str, Any]:
    """Largest relative difference of the strengths our log kept, once both windows are full."""
    begin_ns, strengths = other
    mine = mine[mine["ts_ns"] - begin_ns >= WARM_S * NS_PER_S]
    a, b = mine["strength"], strengths[(mine["ts_ns"] - begin_ns) // PASS_NS]
    gap = abs(a - b) / abs(a).clip(1e-12)
    return {"signals": len(a), "largest_difference": float(gap.max()), "near_share": float((gap <= NEAR).mean())}


def measure(name: str, rounds: int, generator: Path | None) -> dict[str, Any]:
    from . import feed as feeds
    from . import hbt

    feed = feeds.load(name, generator)
    events, snapshot = hbt.events(feed.raw)
    runs: dict[str, Callable[[], tuple[float, Any]]] = {OURS: lambda: ours(feed)}
    for depth_name in hbt.DEPTHS:
        compiled = strategy(depth_name)
        runs[depth_name] = lambda d=depth_name, c=compiled: theirs(d, c, events, snapshot)
    signals = {who: once()[1] for who, once in runs.items()}
    result: dict[str, Any] = {"feed": name, "rows": feed.rows, "packets": len(feed.packets), "rounds": rounds}
    for depth_name in hbt.DEPTHS:
        result[f"equal {depth_name}"] = found = agreement(signals[OURS], signals[depth_name])
        if found["near_share"] < NEAR_SHARE or found["largest_difference"] > FAR:
            sys.exit(f"{name}: the signals of {depth_name} differ: {found}: nothing measured")
    spent: dict[str, list[float]] = {who: [] for who in runs}
    for _ in range(rounds):
        for who, once in runs.items():
            spent[who].append(once()[0])
    for who, seconds in spent.items():
        ratios = [other / mine for other, mine in zip(seconds, spent[OURS], strict=True)]
        result[who] = {
            "ns_per_packet": round(statistics.median(seconds) / len(feed.packets) * 1e9, 1),
            "times_ours": round(statistics.median(ratios), 2),
        }
    return result


def main() -> None:
    in_own_venv("bench.s1")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feed", action="append", choices=["m5", "u5", "m1", "u1"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--generator", type=Path)
    options = parser.parse_args()
    from . import facts

    for name in options.feed or ["m5", "u5"]:
        result = measure(name, options.rounds, options.generator)
        facts.keep(f"S1 {name}", result)
        print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
