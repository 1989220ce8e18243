"""The life of a position: filled, protected, let go for the widest reason, closed."""

import numpy as np

from . import breakers, cost_gate, execution_engine, exits, portfolio_monitor, risk_manager, routing
from .history import remember_fill
from .jit import kernel, routine
from .kinds import ExitReason, Kind, PositionState, Verdict
from .units import BPS
from .venue_choice import class_mid_price

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
EXIT_STOP, EXIT_BREAKER = Verdict.EXIT_STOP.value, Verdict.EXIT_BREAKER.value
EXIT_DUST = Verdict.EXIT_DUST.value


ADOPTED_BUCKET = -1  # nobody's signal: the cost gate learns nothing from it


# --- what was held before us -----------------------------------------------------------------------------------
@routine
def adopt(universe, market, trader, market_params, params, packet, levels):
    """A position of ours from now on: in the ledgers at what it cost, its stop, target and time from the price of now."""
    row, side = levels[packet.level_begin], 1 if packet.buy_count == 1 else -1
    listing_id, listing = np.int64(packet.listing_id), universe.listings[packet.listing_id]
    portfolio_monitor.apply_adopted(universe, trader, listing_id, side, row.lots, packet.atoms)
    position = trader.positions[listing.group_id]
    if position.state == FLAT:
        begin_adopted(universe, market, trader, market_params, params, position, listing_id, side, packet.order_id)
    atoms = row.lots * listing.base_atoms_per_lot
    price = row.price_ticks * listing.tick_price
    position.target_atoms += atoms
    position.entry_atoms += atoms
    position.entry_quote += price * row.lots * listing.lot_base
    position.ts_intent_ns = packet.ts_local_ns
    position.price_cap = min(params.cap_atr * position.atr_price / price, params.cap_bps * BPS)
    risk_manager.apply_bracket(position, price, market_params, params, packet.ts_local_ns)


@kernel
def begin_adopted(universe, market, trader, market_params, params, position, listing_id, side, intent_id):
    """An empty position that is open. Its range is that of the longest bar known."""
    listing = universe.listings[listing_id]
    group = market.groups[listing.group_id]
    tick_price = universe.listings[universe.groups[listing.group_id].reference_id].tick_price
    trader.open_count += 1
    trader.next_intent_id = max(trader.next_intent_id, intent_id)
    position.state, position.side, position.intent_id = OPEN, side, intent_id
    position.class_id, position.primary_id = listing.class_id, listing_id
    position.target_atoms = position.entry_atoms = position.exit_atoms = 0
    position.entry_quote = position.exit_quote = 0.0
    position.wave = position.working_count = position.exit_reason = 0
    position.bucket = ADOPTED_BUCKET
    position.strength = position.edge_bps = position.shadow_bps = position.risk_quote = 0.0
    for b in range(market_params.bar_count):
        if group.bars[b].atr_ticks > 0.0:
            position.bar_index = b
    bar = group.bars[position.bar_index]
    position.regime, position.atr_price = bar.regime, bar.atr_ticks * tick_price
    position.target_atr = params.regimes[bar.regime].target_atr_min
    position.volatile_episode = bar.volatile_episodes


# --- an open position ----------------------------------------------------------------------------------------
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
def apply_report(universe, market, trader, market_params, params, listing_id, packet, levels):
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
    if position.bucket != ADOPTED_BUCKET and position.entry_atoms > 0 and position.exit_atoms > 0:
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
