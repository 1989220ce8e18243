"""The product's decisions: what happens at every packet, at every boundary and after every report.

The engine takes these five functions as one module, so that another decider runs in the same engine
(`jit.instantiate`). A decider may keep integers of its own in `memory`; the product needs none.
"""

import math

import numpy as np

from . import (
    bars,
    breakers,
    cost_gate,
    execution_engine,
    order_flow,
    portfolio_monitor,
    positions,
    risk_manager,
    routing,
    signal_engine,
)
from .history import append_equity, append_evaluation, append_marks
from .jit import allocating, kernel, part, routine
from .kinds import ExitReason, Kind, PositionState, Verdict
from .schema import GROUP_LISTINGS, LISTING_MASK, NS_PER_S
from .units import BPS
from .venue_choice import pick_primary, why_no_primary
from .windows import hour_base

MEMORY = 1
DEPTH, SNAPSHOT, STATUS = Kind.DEPTH.value, Kind.SNAPSHOT.value, Kind.STATUS.value
OPEN = PositionState.OPEN.value
NONE = ExitReason.NONE.value
APPROVED = Verdict.APPROVED.value
COST_GATE = Verdict.COST_GATE.value
UNECONOMIC = Verdict.UNECONOMIC.value
NO_CANDIDATE = -math.inf


# --- every packet -----------------------------------------------------------------------------------------
@kernel
def foresee(universe, market, books, memory, market_params, packet, levels):
    """Before the book moves: the order flow of what this packet will change."""
    order_flow.apply_before(market, books, market_params, packet, levels)


@kernel
def observe(universe, market, books, memory, market_params, packet, levels):
    """Features of the market, shared by all traders."""
    if packet.kind == DEPTH or packet.kind == SNAPSHOT or packet.kind == STATUS:
        listing_id = np.int64(packet.listing_id) & LISTING_MASK
        if signal_engine.is_stirred(universe, market, market_params, listing_id):
            signal_engine.apply_depth(universe, market, books, market_params, listing_id, packet.kind == DEPTH)


@kernel
def on_packet(universe, market, books, trader, memory, market_params, params, packet):
    """Exits of the packet's group, when the packet comes from the class the position is held in."""
    listing = universe.listings[packet.listing_id]
    group_id = listing.group_id
    position = trader.positions[group_id]
    if position.state == OPEN and position.class_id == listing.class_id:
        positions.manage(universe, market, trader, market_params, params, group_id, packet.ts_local_ns)


@routine
def on_report(universe, market, books, trader, memory, market_params, params, listing_id, packet, levels):
    """After every report on an order."""
    positions.apply_report(universe, market, trader, market_params, params, listing_id, packet, levels)


# --- every boundary ---------------------------------------------------------------------------------------
@routine
def decide(universe, market, books, trader, memory, market_params, params, history, ts_ns):
    """The portfolio pass: mark, watch breakers and deadlines, look at every group, rank the armed, approve in order."""
    trader.ts_ns = ts_ns
    portfolio_monitor.apply_mark(universe, market, trader)
    breakers.apply_day(trader, params, ts_ns)
    breakers.apply_account(trader, params)
    execution_engine.check_deadlines(trader, params, ts_ns)
    if trader.mark_count > 0:
        append_marks(universe, market, trader, history, ts_ns)
    is_sample = ts_ns - trader.ts_sample_ns >= params.sample_ns
    if is_sample:
        trader.ts_sample_ns = ts_ns
    is_second = ts_ns // NS_PER_S != trader.second
    trader.second = ts_ns // NS_PER_S
    is_armed = False
    for group_id in range(universe.group_count):
        trader.groups[group_id].conviction = NO_CANDIDATE
        if universe.groups[group_id].is_traded == 0:
            continue
        positions.protect(universe, trader, market_params, params, group_id, ts_ns)
        if trader.positions[group_id].state == OPEN:
            positions.manage(universe, market, trader, market_params, params, group_id, ts_ns)
        clock = (is_second, is_sample, ts_ns)
        conviction = look(universe, market, trader, market_params, params, history, group_id, clock)
        trader.groups[group_id].conviction = conviction
        is_armed = is_armed or conviction > NO_CANDIDATE
    if is_armed:
        approve(universe, market, books, trader, market_params, params, history, ts_ns)
    append_equity(universe, market, trader, params, history, ts_ns)


@routine
def look(universe, market, trader, market_params, params, history, group_id, clock):
    """Evaluate one group; returns the conviction of an armed candidate, NO_CANDIDATE for everything else.

    `clock` is (is this the second's first pass, is it one to sample, ts_ns).
    """
    is_second, is_sample, ts_ns = clock
    verdict = risk_manager.gate(universe, market, trader, params, group_id, ts_ns)
    is_gated = verdict != APPROVED
    if is_gated and not (is_sample or is_second):
        trader.verdicts[verdict] += 1
        return NO_CANDIDATE
    view = signal_engine.consolidate(universe, market, market_params, group_id, ts_ns)
    signal = signal_engine.evaluate(view, params)
    memory = trader.groups[group_id]
    threshold = signal_engine.strength_min(view, params)
    if is_second:
        signal_engine.remember_second(memory, params, signal, threshold)
    if not is_gated:
        verdict = signal.verdict
    if verdict == APPROVED:
        verdict = signal_engine.filtered(universe, market, market_params, memory, params, group_id, signal.side, ts_ns)
    if verdict == APPROVED:
        return rank(universe, market, params, view, signal, group_id, memory, threshold)
    trader.verdicts[verdict] += 1
    if is_sample or (signal.strength > threshold and not is_gated):
        log(universe, market, market_params, history, group_id, view, signal, verdict, is_sample, ts_ns)
    return NO_CANDIDATE


@kernel
def log(universe, market, market_params, history, group_id, view, signal, verdict, is_sample, ts_ns):
    flow = order_flow.flow_imbalance(universe, market, market_params, group_id, ts_ns)
    bar_s = float(market_params.bar_s[max(view.bar_index, 0)])
    group = market.groups[group_id]
    append_evaluation(history, group, group_id, view, signal, verdict, is_sample, bar_s, flow, ts_ns)


@kernel
def rank(universe, market, params, view, signal, group_id, memory, threshold):
    """Highest conviction first, in ATR: how far above the threshold, what such signals earned, what a trip costs."""
    atr_bps = view.atr_price / view.mid_price * 1e4
    bucket = cost_gate.strength_bucket(signal.strength, threshold)
    expected = cost_gate.expected_bps(memory, view.regime, bucket, params.gate_prior_trades)
    cost = bars.round_trip_bps(universe, market, group_id)
    return math.log(signal.strength / threshold) + (expected - cost) / atr_bps


@allocating
def approve(universe, market, books, trader, market_params, params, history, ts_ns):
    """Armed candidates, the most convincing first, until none is left."""
    while True:
        best_id = np.int64(0)  # not a literal: Numba would compile all below once more for the constant
        for group_id in range(1, universe.group_count):
            if trader.groups[group_id].conviction > trader.groups[best_id].conviction:
                best_id = np.int64(group_id)
        if trader.groups[best_id].conviction == NO_CANDIDATE:
            return
        trader.groups[best_id].conviction = NO_CANDIDATE
        enter(universe, market, books, trader, market_params, params, history, best_id, ts_ns)


@part
def enter(universe, market, books, trader, market_params, params, history, group_id, ts_ns):
    """The checks that need the whole portfolio, in their fixed order (SCIENCE 1.13), then the router."""
    view = signal_engine.consolidate(universe, market, market_params, group_id, ts_ns)
    signal = signal_engine.evaluate(view, params)
    verdict = breakers.entry_verdict(trader, params, ts_ns)  # again: others may have used up the second's orders
    if verdict == APPROVED:
        verdict = risk_manager.is_crowded(universe, market, trader, params, group_id)
    if verdict == APPROVED:
        verdict = trade(universe, market, books, trader, market_params, params, view, signal, group_id, ts_ns)
    trader.verdicts[verdict] += 1
    execution_engine.apply_digest(trader, verdict)
    log(universe, market, market_params, history, group_id, view, signal, verdict, False, ts_ns)


@part
def trade(universe, market, books, trader, market_params, params, view, signal, group_id, ts_ns):
    """Size, depth and rounding, cost gate on what is left, route; returns the verdict."""
    primary_id = pick_primary(universe, market, trader, market_params, params, group_id, signal.side, ts_ns)
    if primary_id < 0:
        return why_no_primary(universe, market, trader, market_params, group_id, signal.side, ts_ns)
    listing = universe.listings[primary_id]
    half_spread = 0.5 * market.groups[group_id].spread_bps * BPS * view.mid_price
    intent = risk_manager.size(
        universe, market, trader, market_params, params, view, signal, group_id, listing, half_spread
    )
    if intent.verdict != APPROVED:
        return intent.verdict
    listing_ids, share_bps = np.zeros(GROUP_LISTINGS, np.int64), np.zeros(GROUP_LISTINGS, np.int64)
    verdict, lots, _, _, _ = routing.final_lots(
        universe, market, books, trader, market_params, params, primary_id, intent, ts_ns, listing_ids, share_bps
    )
    if verdict != APPROVED:
        return verdict
    memory, threshold = trader.groups[group_id], signal_engine.strength_min(view, params)
    volume = hour_base(universe, market, market_params, group_id)
    bar_s = market_params.bar_s[view.bar_index]
    cost = risk_manager.cost_bps(view, listing, half_spread, lots * listing.lot_base, volume, bar_s)
    bucket = cost_gate.strength_bucket(signal.strength, threshold)
    edge = cost_gate.edge_bps(memory, view.regime, bucket, cost, params.gate_prior_trades)
    refusal = UNECONOMIC if market.groups[group_id].is_uneconomic else (COST_GATE if edge <= 0.0 else APPROVED)
    if refusal != APPROVED and params.is_gate_enforced:
        return refusal
    verdict = routing.route_entry(
        universe, market, books, trader, market_params, params, group_id, primary_id, intent, ts_ns
    )
    if verdict == APPROVED:
        remember_entry(trader, params, view, signal, group_id, bucket, edge, threshold)
        position = trader.positions[group_id]
        position.volatile_episode = market.groups[group_id].bars[view.bar_index].volatile_episodes
        if refusal != APPROVED:
            trader.verdicts[refusal] += 1  # sent all the same: the gate only logs
    return verdict


@kernel
def remember_entry(trader, params, view, signal, group_id, bucket, edge, threshold):
    """What the bracket, the gate's memory and the analyst need; frozen."""
    position = trader.positions[group_id]
    position.bar_index = view.bar_index
    position.regime = view.regime
    position.bucket = bucket
    position.atr_price = view.atr_price
    position.strength = signal.strength
    position.target_atr = risk_manager.target_atr(signal.strength, threshold, view.regime, params)
    position.edge_bps = edge
    execution_engine.annotate(trader, position, NONE)
