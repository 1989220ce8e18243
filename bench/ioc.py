"""What an IOC order that meets several levels, or too few lots, becomes: worked by hand, ours, hftbacktest's.

python -m bench.ioc
"""

import json
import sys
from typing import Any

import numpy as np

from .peers import OURS, in_own_venv

BY_HAND = "by hand"
START_NS = 1_700_000_000_000_000_000
STEP_NS = 10_000_000
STEPS = 60
TICK = 0.1
BID_TICKS = 999
CASES = {  # asks as (ticks, whole units), limit in ticks, units wanted, by hand: position and cost
    "three levels": ([(1000, 1), (1001, 1), (1002, 1)], 1002, 3, (3.0, 300.3)),
    "two of three, the rest expires": ([(1000, 2), (1002, 5)], 1001, 3, (2.0, 200.0)),
}


def ours(asks: list[tuple[int, int]], limit_ticks: int, units: int) -> tuple[float, float]:
    """Position and its cost in our engine."""
    from decimal import Decimal

    from elegant_trading_system.config_sources import load
    from elegant_trading_system.core.kinds import Kind
    from elegant_trading_system.core.schema import LEVEL, PACKET
    from elegant_trading_system.data.universe import build
    from elegant_trading_system.sim.session import Session

    from . import one_order_decider, run

    listing = run.LISTING.model_copy(update={"lot_size": Decimal(1)})
    config = load(sets=[*run.SETTINGS, "venues.default.linear_taker_bps=0.0", "account.capital=1e6"], environ={})
    packets, levels = np.zeros(STEPS, PACKET), np.zeros(1 + len(asks) + STEPS - 1, LEVEL)
    packets["ts_local_ns"] = packets["ts_venue_ns"] = START_NS + STEP_NS * np.arange(STEPS)
    packets["kind"], packets["buy_count"] = Kind.DEPTH, 1
    packets["level_begin"] = np.arange(STEPS) + len(asks)
    packets[0]["kind"], packets[0]["sell_count"], packets[0]["level_begin"] = Kind.SNAPSHOT, len(asks), 0
    levels["price_ticks"], levels["lots"] = BID_TICKS, 1
    levels["price_ticks"][1 : 1 + len(asks)], levels["lots"][1 : 1 + len(asks)] = zip(*asks, strict=True)
    session = Session(
        build([listing], config), [config], memory=one_order_decider.MEMORY,
        simulate=run.simulate_with(one_order_decider, "ioc"),
    )  # fmt: skip
    session.memory[:] = [0, 1, limit_ticks, units]
    session.run(packets, levels)
    inventory = session.traders[0]["inventory"][0]
    held = int(inventory["held_atoms"]) / int(session.universe.record[0]["listings"][0]["base_atoms_per_lot"])
    return held, round(int(inventory["open_cost"]) * TICK, 10)


def theirs(asks: list[tuple[int, int]], limit_ticks: int, units: int) -> tuple[float, float]:
    """Position and its cost, as hftbacktest's own account states them."""
    import hftbacktest as peer
    from hftbacktest.order import IOC
    from hftbacktest.types import (
        BUY_EVENT,
        DEPTH_EVENT,
        DEPTH_SNAPSHOT_EVENT,
        EXCH_EVENT,
        LOCAL_EVENT,
        SELL_EVENT,
        event_dtype,
    )
    from numba import njit

    both = EXCH_EVENT | LOCAL_EVENT
    rows = [(DEPTH_SNAPSHOT_EVENT | both | BUY_EVENT, BID_TICKS, 1)]
    rows += [(DEPTH_SNAPSHOT_EVENT | both | SELL_EVENT, ticks, size) for ticks, size in asks]
    rows += [(DEPTH_EVENT | both | BUY_EVENT, BID_TICKS, 1)] * (STEPS - 1)
    events = np.zeros(len(rows), event_dtype)
    for k, (kind, ticks, size) in enumerate(rows):
        stamp = START_NS + STEP_NS * max(k - len(asks), 0)
        events[k]["ev"], events[k]["exch_ts"], events[k]["local_ts"] = kind, stamp, stamp
        events[k]["px"], events[k]["qty"] = ticks * TICK, size
    asset = (
        peer.BacktestAsset().data(events).linear_asset(1.0).constant_order_latency(1_000_000, 1_000_000)
        .risk_adverse_queue_model().partial_fill_exchange().trading_value_fee_model(0.0, 0.0)
        .tick_size(TICK).lot_size(1.0)
    )  # fmt: skip

    @njit
    def trade(hbt, price, size):
        hbt.elapse(10 * STEP_NS)
        hbt.submit_buy_order(0, 1, price, size, IOC, peer.LIMIT, False)
        hbt.elapse(20 * STEP_NS)
        values = hbt.state_values(0)
        return values.position, -values.balance

    backtest = peer.HashMapMarketDepthBacktest([asset])
    position, cost = trade(backtest, limit_ticks * TICK, float(units))
    backtest.close()
    return float(position), round(float(cost), 10)


def main() -> None:
    in_own_venv("bench.ioc")
    from . import facts

    result: dict[str, Any] = {}
    for name, (asks, limit_ticks, units, expected) in CASES.items():
        found = {
            BY_HAND: expected,
            OURS: ours(asks, limit_ticks, units),
            "hftbacktest": theirs(asks, limit_ticks, units),
        }
        result[name] = {who: {"position": position, "cost": cost} for who, (position, cost) in found.items()}
    facts.keep("IOC", result)
    print(json.dumps(result, indent=1))
    if any(case[OURS] != case[BY_HAND] for case in result.values()):
        sys.exit("ours is wrong")


if __name__ == "__main__":
    main()
