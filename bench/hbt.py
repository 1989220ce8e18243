"""The simple rule as an hftbacktest strategy: its engine, its books, its orders; the arithmetic is simple_decider's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hftbacktest as peer
import numpy as np
from hftbacktest.order import IOC
from numba import njit, uint64

from . import simple_decider as rule

TICK, LOT = 0.1, 0.001
LATENCY_NS = 1_000_000
ROI = (58_000.0, 62_000.0)  # dollars that ROIVector keeps in its array
FEED, FILLED, EXPIRED = 2, peer.FILLED, peer.EXPIRED
FOREVER_NS = 10**16
REACH_TICKS = 200
FILLS = 100_000
LEVELS, SLIP_TICKS, LOTS_SIZE = rule.LEVELS, rule.SLIP_TICKS, rule.ORDER_LOTS

DEPTHS = {"ROIVector": peer.ROIVectorMarketDepthBacktest, "HashMap": peer.HashMapMarketDepthBacktest}
Array = np.ndarray[Any, Any]


@njit(inline="always")
def top_of_map(depth, bid_ticks, ask_ticks):
    """Sizes of five levels a side, asked for tick by tick."""
    bid, ask, count = 0.0, 0.0, 0
    for k in range(REACH_TICKS):
        size = depth.bid_qty_at_tick(bid_ticks - k)
        if size > 0.0:
            bid += size
            count += 1
            if count == LEVELS:
                break
    count = 0
    for k in range(REACH_TICKS):
        size = depth.ask_qty_at_tick(ask_ticks + k)
        if size > 0.0:
            ask += size
            count += 1
            if count == LEVELS:
                break
    return bid, ask


@njit(inline="always")
def top_of_array(depth, bid_ticks, ask_ticks):
    """The same from the arrays that ROIVector exposes, which is several times faster."""
    low, bids, asks = depth.roi_lb_tick, depth.bid_depth, depth.ask_depth
    bid, ask, count = 0.0, 0.0, 0
    for k in range(REACH_TICKS):
        size = bids[bid_ticks - low - k]
        if size > 0.0:
            bid += size
            count += 1
            if count == LEVELS:
                break
    count = 0
    for k in range(REACH_TICKS):
        size = asks[ask_ticks - low + k]
        if size > 0.0:
            ask += size
            count += 1
            if count == LEVELS:
                break
    return bid, ask


def strategy(depth_name: str) -> Callable[..., Any]:  # noqa: C901 - one loop, as their strategies are written
    """Compile the rule for one of hftbacktest's books."""
    top = top_of_array if depth_name == "ROIVector" else top_of_map

    @njit
    def run(hbt, memory, fills):  # noqa: C901
        side, held, order_id, count = 0, 0, 0, 0
        stop_ticks, target_ticks, evaluations = 0, 0, 0
        while hbt.wait_next_feed(False, FOREVER_NS) == FEED:
            evaluations += 1
            rule.begin_packet(memory, hbt.current_timestamp)
            trades = hbt.last_trades(0)
            for k in range(len(trades)):
                rule.apply_print(memory, round(trades[k].px / TICK), round(trades[k].qty / LOT))
            if len(trades) > 0:
                hbt.clear_last_trades(0)
            depth = hbt.depth(0)
            bid_ticks, ask_ticks = depth.best_bid_tick, depth.best_ask_tick
            bid, ask = top(depth, bid_ticks, ask_ticks)
            rule.apply_spread(memory, ask_ticks - bid_ticks)
            if side != 0:
                order = hbt.orders(0).get(uint64(order_id))
                if order.status == FILLED:
                    fills[count, 0] = order.exch_timestamp
                    fills[count, 1] = side
                    fills[count, 2] = order.exec_price_tick
                    count += 1
                    stop_ticks = order.exec_price_tick - side * rule.STOP_TICKS
                    target_ticks = order.exec_price_tick + side * rule.TARGET_TICKS
                    held = side if held == 0 else 0
                if order.status == FILLED or order.status == EXPIRED:
                    side = 0
                    hbt.clear_inactive_orders(0)
            if side != 0:
                continue
            if held == 0:
                side, _ = rule.entry_side(memory, bid, ask, bid_ticks, ask_ticks)
            else:
                side, _ = rule.exit_side(held, stop_ticks, target_ticks, bid_ticks, ask_ticks)
            if side == 0:
                continue
            order_id += 1
            slip = 0 if held == 0 else SLIP_TICKS
            if side > 0:
                hbt.submit_buy_order(0, order_id, (ask_ticks + slip) * TICK, LOTS_SIZE * LOT, IOC, peer.LIMIT, False)
            else:
                hbt.submit_sell_order(0, order_id, (bid_ticks - slip) * TICK, LOTS_SIZE * LOT, IOC, peer.LIMIT, False)
        return evaluations, count

    return run


def backtest(depth_name: str, events: Array, snapshot: Array) -> Any:
    asset = (
        peer.BacktestAsset()
        .data(events)
        .initial_snapshot(snapshot)
        .linear_asset(1.0)
        .constant_order_latency(LATENCY_NS, LATENCY_NS)
        .risk_adverse_queue_model()
        .partial_fill_exchange()
        .trading_value_fee_model(0.0002, 0.0005)
        .tick_size(TICK)
        .lot_size(LOT)
        .last_trades_capacity(20_000)
    )
    if depth_name == "ROIVector":
        asset = asset.roi_lb(ROI[0]).roi_ub(ROI[1])
    return DEPTHS[depth_name]([asset])


def events(raw: Path) -> tuple[Array, Array]:
    with np.load(raw) as data, np.load(raw.with_name(f"{raw.stem}_snap.npz")) as snapshot:
        return data["data"], snapshot["data"]
