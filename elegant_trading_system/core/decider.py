"""The product's decisions: what happens at every packet, at every boundary and after every report.

The engine takes these four functions as one module, so that another decider runs in the same engine
(`jit.instantiate`). A decider may keep integers of its own in `memory`; the product needs none.
"""

import numpy as np

from . import execution_engine, portfolio_monitor, risk_manager, routing, signal_engine
from .history import append_equity, append_evaluation
from .jit import kernel, routine
from .kinds import ExitReason, Kind, PositionState, Verdict
from .market_data import is_fresh, mid_price
from .schema import GROUPS, NS_PER_S
from .units import BPS

MEMORY = 1
DEPTH, SNAPSHOT, STATUS = Kind.DEPTH.value, Kind.SNAPSHOT.value, Kind.STATUS.value
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
APPROVED = Verdict.APPROVED.value
MAX_POSITIONS = Verdict.MAX_POSITIONS.value
EXIT_STOP = Verdict.EXIT_STOP.value
EXIT_BOOK_NOT_LIVE = Verdict.EXIT_BOOK_NOT_LIVE.value
EXIT_DUST = Verdict.EXIT_DUST.value


# --- every packet -----------------------------------------------------------------------------------------
@kernel
def observe(universe, market, books, memory, market_params, packet, levels):
    """Features of the market, shared by all traders."""
    if packet.kind == DEPTH or packet.kind == SNAPSHOT or packet.kind == STATUS:
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
    """Send an open position's exit when its stop, target or time has come."""
    position = trader.positions[group_id]
    if position.exit_reason == NONE:
        position.exit_reason = exit_reason(universe, market, market_params, position, ts_ns)
        if position.exit_reason == NONE:
            return
        trader.verdicts[EXIT_STOP + position.exit_reason - STOP] += 1
        position.wave = 0
    trader.verdicts[EXIT_BOOK_NOT_LIVE] += routing.send_exits(universe, market, trader, market_params, group_id, ts_ns)
    if position.working_count > 0:
        position.state = EXITING
    elif routing.is_empty(universe, trader, group_id):
        close_position(universe, trader, group_id)


@kernel
def exit_reason(universe, market, market_params, position, ts_ns):
    """Stop before target: the worse news first (SCIENCE 1.8)."""
    if is_fresh(universe, market, market_params, position.primary_id, ts_ns):
        mid = mid_price(universe, market, position.primary_id)
        if mid > 0.0 and position.side * (mid - position.stop_price) <= 0.0:
            return STOP
        if mid > 0.0 and position.side * (mid - position.target_price) >= 0.0:
            return TARGET
    return TIME if ts_ns >= position.ts_exit_due_ns else NONE


# --- after every report -----------------------------------------------------------------------------------
@routine
def on_report(universe, market, books, trader, memory, market_params, params, listing_id, ts_ns):
    """When the last order of a wave is done: re-route, open the bracket, retry the exit, or close."""
    group_id = universe.listings[listing_id].group_id
    position = trader.positions[group_id]
    position.working_count = execution_engine.working_count(trader, position.intent_id)
    if position.working_count > 0:
        return
    if position.state == ENTERING:
        finish_entry(universe, market, trader, market_params, params, position, ts_ns)
    elif position.state == EXITING:
        position.state = OPEN
        position.wave += 1
        if routing.is_empty(universe, trader, group_id):
            close_position(universe, trader, group_id)


@kernel
def finish_entry(universe, market, trader, market_params, params, position, ts_ns):
    is_missing = position.entry_atoms < position.target_atoms
    is_in_time = ts_ns - position.ts_intent_ns < params.reroute_deadline_ns
    is_allowed = trader.is_halted == 0 and position.wave < params.waves_max
    if is_missing and is_in_time and is_allowed:
        position.wave += 1
        if routing.reroute_entry(universe, market, trader, market_params, position, ts_ns) > 0:
            position.working_count = 1
            return
    if position.entry_atoms == 0:
        position.state = FLAT
        trader.open_count -= 1
        return
    atom = universe.assets[universe.listings[position.primary_id].base_id].atom
    entry_price = position.entry_quote / (position.entry_atoms * atom)
    risk_manager.apply_bracket(position, entry_price, params, market_params.bar_s * NS_PER_S, ts_ns)
    position.state = OPEN


@kernel
def close_position(universe, trader, group_id):
    """Nothing left in whole lots: name the dust, count the round trip, be flat."""
    group = universe.groups[group_id]
    for k in range(group.listing_count):
        if trader.inventory[group.listing_ids[k]].held_atoms != 0:
            portfolio_monitor.apply_dust(universe, trader, group.listing_ids[k])
            trader.verdicts[EXIT_DUST] += 1
    trader.positions[group_id].state = FLAT
    trader.open_count -= 1
    trader.round_trips += 1


# --- every boundary ---------------------------------------------------------------------------------------
@routine
def decide(universe, market, books, trader, memory, market_params, params, history, ts_ns):
    """The portfolio pass: mark, watch deadlines, look at every group, rank the armed, approve in order."""
    trader.ts_ns = ts_ns
    portfolio_monitor.apply_mark(universe, market, trader)
    execution_engine.check_deadlines(trader, params, ts_ns)
    is_sample = ts_ns - trader.ts_sample_ns >= params.sample_ns
    if is_sample:
        trader.ts_sample_ns = ts_ns
    strengths = np.zeros(GROUPS)
    for group_id in range(universe.group_count):
        if trader.positions[group_id].state == OPEN:
            manage(universe, market, trader, market_params, params, group_id, ts_ns)
        strengths[group_id] = look(universe, market, trader, market_params, params, history, group_id, is_sample, ts_ns)
    approve(universe, market, trader, market_params, params, history, strengths, ts_ns)
    append_equity(universe, market, trader, params, history, ts_ns)


@routine
def look(universe, market, trader, market_params, params, history, group_id, is_sample, ts_ns):
    """Evaluate one group; returns the strength of an armed candidate, 0 for everything else."""
    verdict = risk_manager.gate(trader, group_id)
    is_gated = verdict != APPROVED
    if is_gated and not is_sample:
        trader.verdicts[verdict] += 1
        return 0.0
    view = signal_engine.consolidate(universe, market, market_params, group_id, ts_ns)
    signal = signal_engine.evaluate(view, params)
    if not is_gated:
        verdict = signal.verdict
    if verdict == APPROVED:
        return signal.strength
    trader.verdicts[verdict] += 1
    if is_sample or signal.strength > params.strength_min:
        append_evaluation(history, group_id, view, signal, verdict, is_sample, ts_ns)
    return 0.0


@routine
def approve(universe, market, trader, market_params, params, history, strengths, ts_ns):
    """Armed candidates, the strongest first, until none is left."""
    while True:
        best_id = np.int64(0)  # not a literal: Numba would compile all below once more for the constant
        for group_id in range(1, universe.group_count):
            if strengths[group_id] > strengths[best_id]:
                best_id = np.int64(group_id)
        if strengths[best_id] <= 0.0:
            return
        strengths[best_id] = 0.0
        enter(universe, market, trader, market_params, params, history, best_id, ts_ns)


@routine
def enter(universe, market, trader, market_params, params, history, group_id, ts_ns):
    view = signal_engine.consolidate(universe, market, market_params, group_id, ts_ns)
    signal = signal_engine.evaluate(view, params)
    verdict = MAX_POSITIONS
    if not risk_manager.is_crowded(trader, params):
        listing = universe.listings[universe.groups[group_id].reference_id]
        half_spread = 0.5 * market.groups[group_id].spread_bps * BPS * view.mid_price
        intent = risk_manager.size(view, signal, trader, listing, half_spread, params)
        verdict = intent.verdict
        if verdict == APPROVED:
            verdict = routing.route_entry(universe, market, trader, market_params, params, group_id, intent, ts_ns)
        if verdict == APPROVED:
            trader.positions[group_id].atr_price = view.atr_price
            trader.positions[group_id].strength = signal.strength
    trader.verdicts[verdict] += 1
    execution_engine.apply_digest(trader, verdict)
    append_evaluation(history, group_id, view, signal, verdict, False, ts_ns)
