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
    exits,
    order_flow,
    portfolio_monitor,
    risk_manager,
    routing,
    signal_engine,
)
from .history import append_equity, append_evaluation, append_marks, remember_fill
from .jit import kernel, part, routine
from .kinds import ExitReason, Kind, PositionState, Verdict
from .schema import GROUP_LISTINGS, GROUPS, NS_PER_S
from .units import BPS
from .venue_choice import class_mid_price, pick_primary, why_no_primary
from .windows import hour_base

MEMORY = 1
DEPTH, SNAPSHOT, STATUS = Kind.DEPTH.value, Kind.SNAPSHOT.value, Kind.STATUS.value
FILL = Kind.FILL.value
FLAT, ENTERING, OPEN, EXITING = (
    PositionState.FLAT.value,
    PositionState.ENTERING.value,
    PositionState.OPEN.value,
    PositionState.EXITING.value,
)
NONE, STOP, TARGET, TIME = (
    ExitReason.NONE.value,
    ExitReason.STOP.value,
    ExitReason.TARGET.value,
    ExitReason.TIME.value,
)
BREAKER, SESSION, VOLATILE, REMNANT = (
    ExitReason.BREAKER.value,
    ExitReason.SESSION.value,
    ExitReason.VOLATILE.value,
    ExitReason.REMNANT.value,
)
APPROVED = Verdict.APPROVED.value
EXIT_STOP, EXIT_BREAKER = Verdict.EXIT_STOP.value, Verdict.EXIT_BREAKER.value
EXIT_DUST = Verdict.EXIT_DUST.value
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
        order_flow.apply_after(market, books, packet)
        signal_engine.apply_depth(universe, market, books, market_params, np.int64(packet.listing_id))


@kernel
def on_packet(universe, market, books, trader, memory, market_params, params, packet):
    """Exits of the packet's group, when the packet comes from the class the position is held in."""
    listing = universe.listings[packet.listing_id]
    group_id = listing.group_id
    position = trader.positions[group_id]
    if position.state == OPEN and position.class_id == listing.class_id:
        manage(universe, market, trader, market_params, params, group_id, packet.ts_local_ns)


@routine
def manage(universe, market, trader, market_params, params, group_id, ts_ns):
    """Send an open position's exit when its stop, target, time or a wider reason has come."""
    position = trader.positions[group_id]
    if position.exit_reason == NONE or position.exit_reason == VOLATILE:
        reason = exit_reason(universe, market, trader, market_params, params, group_id, position, ts_ns)
        if reason == NONE:
            return
        if reason != position.exit_reason:
            begin_exit(universe, trader, group_id, reason)
    if exits.is_waiting(position, ts_ns):
        return
    exits.send_exits(universe, market, trader, market_params, params, group_id, ts_ns)
    if execution_engine.working_exits(trader, position.intent_id) > 0:
        position.state = EXITING
    else:
        settle_exit(universe, trader, params, group_id, ts_ns)


@kernel
def settle_exit(universe, trader, params, group_id, ts_ns):
    """No exit is working: closed if nothing is held and nothing can come any more, else it goes on."""
    if not exits.is_empty(universe, trader, group_id):
        finish_halving(universe, trader, group_id)
    elif trader.positions[group_id].working_count == 0:
        close_position(universe, trader, params, group_id, ts_ns)


@kernel
def begin_exit(universe, trader, group_id, reason):
    position = trader.positions[group_id]
    position.exit_reason = reason
    position.wave = 0
    exits.keep(universe, trader, group_id, reason == VOLATILE)
    trader.verdicts[exit_verdict(reason)] += 1


@kernel
def finish_halving(universe, trader, group_id):
    """Half is gone, or it was too small to halve: the position goes on with its bracket."""
    position = trader.positions[group_id]
    if position.exit_reason == VOLATILE and exits.is_done(universe, trader, group_id):
        position.exit_reason = NONE
        position.wave = 0


@kernel
def exit_verdict(reason):
    return EXIT_STOP + reason - STOP if reason <= TIME else EXIT_BREAKER + reason - BREAKER


@kernel
def exit_reason(universe, market, trader, market_params, params, group_id, position, ts_ns):
    """The widest reason first; of a position's own, stop before target: the worse news first (SCIENCE 1.8)."""
    if trader.is_flattening:
        return BREAKER
    book = market.books[position.primary_id]
    if book.ts_session_end_ns > 0 and ts_ns >= book.ts_session_end_ns - params.flatten_before_ns:
        return SESSION
    mid = class_mid_price(universe, market, market_params, position.primary_id, ts_ns)
    if mid > 0.0 and position.side * (mid - position.stop_price) <= 0.0:
        return STOP
    if mid > 0.0 and position.side * (mid - position.target_price) >= 0.0:
        return TARGET
    if ts_ns >= position.ts_exit_due_ns:
        return TIME
    if position.exit_reason == VOLATILE:  # begun, and not half is gone yet
        return VOLATILE
    is_halved = mid > 0.0 and exits.claim_halving(universe, market, params, group_id, position, mid)
    return VOLATILE if is_halved else NONE


# --- after every report -----------------------------------------------------------------------------------
@routine
def on_report(universe, market, books, trader, memory, market_params, params, listing_id, packet, levels):
    """When the last order of a wave is done: re-route, open the bracket, retry the exit, or close."""
    group_id, ts_ns = universe.listings[listing_id].group_id, packet.ts_local_ns
    position = trader.positions[group_id]
    if packet.kind == FILL:
        price = levels[packet.level_begin].price_ticks * universe.listings[listing_id].tick_price
        side = 1 if packet.buy_count == 1 else -1
        remember_fill(trader, listing_id, packet.order_id, side, price, ts_ns)
    position.working_count = execution_engine.working_count(trader, position.intent_id)
    if position.state == ENTERING and position.working_count == 0:
        finish_entry(universe, market, trader, market_params, params, position, ts_ns)
    elif position.state == EXITING and execution_engine.working_exits(trader, position.intent_id) == 0:
        position.state = OPEN
        position.wave += 1
        settle_exit(universe, trader, params, group_id, ts_ns)
    elif position.state == OPEN and position.exit_reason != NONE:
        settle_exit(universe, trader, params, group_id, ts_ns)


@kernel
def protect(universe, trader, market_params, params, group_id, ts_ns):
    """What has been filled gets its bracket though the venue is silent about the rest, which stays reserved."""
    position = trader.positions[group_id]
    is_filled = position.state == ENTERING and position.entry_atoms > 0
    if is_filled and execution_engine.is_only_unknown(trader, position.intent_id):
        risk_manager.apply_bracket(position, entry_price(universe, position), market_params, params, ts_ns)
        position.state = OPEN


@kernel
def finish_entry(universe, market, trader, market_params, params, position, ts_ns):
    is_missing = position.entry_atoms < position.target_atoms
    is_in_time = ts_ns - position.ts_intent_ns < params.reroute_deadline_ns
    is_allowed = trader.is_halted == 0 and position.wave < params.waves_max
    is_allowed = is_allowed and breakers.has_order_room(trader, params, 1, ts_ns)
    if is_missing and is_in_time and is_allowed:
        position.wave += 1
        if routing.reroute_entry(universe, market, trader, market_params, params, position, ts_ns) > 0:
            position.working_count = 1
            return
    if position.entry_atoms == 0:
        position.state = FLAT
        trader.open_count -= 1
        return
    risk_manager.apply_bracket(position, entry_price(universe, position), market_params, params, ts_ns)
    position.state = OPEN
    if is_remnant(universe, params, position):
        begin_exit(universe, trader, np.int64(universe.listings[position.primary_id].group_id), REMNANT)


@kernel
def entry_price(universe, position):
    """Average fill in quote."""
    atom = universe.assets[universe.listings[position.primary_id].base_id].atom
    return position.entry_quote / (position.entry_atoms * atom)


@kernel
def is_remnant(universe, params, position):
    """So little filled, and below the minimum notional, that no bracket is worth it."""
    if position.entry_atoms >= params.fill_share_min * position.target_atoms:
        return False
    listing = universe.listings[position.primary_id]
    ticks = int(entry_price(universe, position) / listing.tick_price)
    return routing.is_too_small(
        universe, position.primary_id, ticks, position.entry_atoms // listing.base_atoms_per_lot
    )


@kernel
def close_position(universe, trader, params, group_id, ts_ns):
    """Nothing left in whole lots: name the dust, learn from the round trip, be flat."""
    group, position = universe.groups[group_id], trader.positions[group_id]
    for k in range(group.listing_count):
        if trader.inventory[group.listing_ids[k]].held_atoms != 0:
            portfolio_monitor.apply_dust(universe, trader, group.listing_ids[k])
            trader.verdicts[EXIT_DUST] += 1
    memory = trader.groups[group_id]
    if position.entry_atoms > 0 and position.exit_atoms > 0:
        paid = position.entry_quote / position.entry_atoms
        move_bps = position.side * (position.exit_quote / position.exit_atoms / paid - 1.0) * 1e4
        cost_gate.apply_move(memory, position.regime, position.bucket, move_bps)
    is_stop = position.exit_reason == STOP
    breakers.apply_stop(trader, params, is_stop, ts_ns)
    if is_stop:
        memory.ts_cool_ns = ts_ns + params.cool_down_ns
    position.state = FLAT
    trader.open_count -= 1
    trader.round_trips += 1


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
    conviction = np.full(GROUPS, NO_CANDIDATE)
    is_armed = False
    for group_id in range(universe.group_count):
        if universe.groups[group_id].is_traded == 0:
            continue
        protect(universe, trader, market_params, params, group_id, ts_ns)
        if trader.positions[group_id].state == OPEN:
            manage(universe, market, trader, market_params, params, group_id, ts_ns)
        clock = (is_second, is_sample, ts_ns)
        value = look(universe, market, trader, market_params, params, history, group_id, clock)
        conviction[group_id] = value
        is_armed = is_armed or value > NO_CANDIDATE
    if is_armed:
        approve(universe, market, books, trader, market_params, params, history, conviction, ts_ns)
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


@part
def approve(universe, market, books, trader, market_params, params, history, conviction, ts_ns):
    """Armed candidates, the most convincing first, until none is left."""
    while True:
        best_id = np.int64(0)  # not a literal: Numba would compile all below once more for the constant
        for group_id in range(1, universe.group_count):
            if conviction[group_id] > conviction[best_id]:
                best_id = np.int64(group_id)
        if conviction[best_id] == NO_CANDIDATE:
            return
        conviction[best_id] = NO_CANDIDATE
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
