"""Smart order routing: an intent -> IOC child orders at the listings of one class; its remainder once more."""

import numpy as np

from . import execution_engine as orders
from .breakers import has_order_room
from .jit import allocating, kernel, routine
from .kinds import PositionState, Router, Verdict
from .portfolio_monitor import committed
from .schema import GROUP_LISTINGS
from .split import allocate, cheapest, depth_inside, plan, shadow, unit_fee
from .units import ticks_inward
from .venue_choice import (
    can_enter,
    class_touch_price,
    is_in_class,
    quote_now,
    touch_price,
)

ENTERING = PositionState.ENTERING.value
COST_GREEDY = Router.COST_GREEDY.value
APPROVED = Verdict.APPROVED.value
SIZE_ZERO = Verdict.SIZE_ZERO.value
BELOW_MIN_NOTIONAL = Verdict.BELOW_MIN_NOTIONAL.value
INSUFFICIENT_BALANCE = Verdict.INSUFFICIENT_BALANCE.value
VENUE_LEVERAGE_LIMIT = Verdict.VENUE_LEVERAGE_LIMIT.value
DEPTH_LIMIT = Verdict.DEPTH_LIMIT.value
ORDER_RATE = Verdict.ORDER_RATE.value


@kernel
def is_too_small(universe, listing_id, price_ticks, lots):
    listing = universe.listings[listing_id]
    notional_atoms = price_ticks * lots * listing.quote_atoms_per_tick_lot
    return lots < listing.lots_min or notional_atoms < listing.notional_min_atoms


@kernel
def within_venue(universe, market, trader, params, listing_id, price, lots):
    """The part of `lots` that the venue's share of capital leaves."""
    listing = universe.listings[listing_id]
    held = 0.0
    for k in range(universe.listing_count):
        if universe.listings[k].venue_id == listing.venue_id:
            held += abs(committed(universe, market, trader, k))
    room = params.venue_leverage_max * min(trader.capital, trader.equity) - held
    return min(lots, max(int(room / (price * listing.quote_rate * listing.lot_base)), 0))


@allocating
def final_lots(
    universe, market, books, trader, market_params, params, primary_id, intent, ts_ns, listing_ids, share_bps
):
    """An intent after the depth cap and rounding down: (verdict, the primary's lots, listings, of them lit, limit)."""
    side, primary = intent.side, universe.listings[primary_id]
    count, lit = plan(universe, market, trader, market_params, params, primary_id, side, ts_ns, listing_ids, share_bps)
    limit = class_touch_price(universe, market, trader, market_params, primary_id, side, ts_ns)
    limit *= 1.0 + side * intent.cap
    depth = params.depth_share_max * depth_inside(universe, market, books, listing_ids, lit, side, limit)
    lots = int(min(intent.base, depth) / primary.lot_base + 1e-9)
    verdict = APPROVED
    if int(depth / primary.lot_base + 1e-9) <= 0:
        verdict = DEPTH_LIMIT
    elif lots <= 0:
        verdict = SIZE_ZERO
    elif is_too_small(universe, primary_id, ticks_inward(primary, side, limit), lots):
        verdict = BELOW_MIN_NOTIONAL
    return verdict, lots, count, lit, limit


@allocating
def route_entry(universe, market, books, trader, market_params, params, group_id, primary_id, intent, ts_ns):
    """Split an intent over the primary's class and send; returns the verdict. Nothing is sent unless APPROVED."""
    side = intent.side
    primary = universe.listings[primary_id]
    listing_ids, share_bps = np.zeros(GROUP_LISTINGS, np.int64), np.zeros(GROUP_LISTINGS, np.int64)
    verdict, total_lots, count, lit, limit = final_lots(
        universe, market, books, trader, market_params, params, primary_id, intent, ts_ns, listing_ids, share_bps
    )
    if verdict != APPROVED:
        return verdict
    lots = allocate(total_lots, share_bps, count)
    total_atoms = total_lots * primary.base_atoms_per_lot
    atoms, greedy = np.zeros(GROUP_LISTINGS, np.int64), np.zeros(GROUP_LISTINGS, np.int64)
    dark_atoms = 0
    for k in range(count):
        atoms[k] = lots[k] * primary.base_atoms_per_lot
        dark_atoms += atoms[k] if k >= lit else 0
    cheapest(universe, market, books, listing_ids, lit, side, total_atoms - dark_atoms, greedy)
    difference = shadow(universe, market, books, params, listing_ids, atoms, greedy, lit, side)
    if params.router == COST_GREEDY:
        for k in range(lit):
            atoms[k] = greedy[k]
    children = 0
    for k in range(count):
        children += 1 if atoms[k] > 0 else 0
    if not has_order_room(trader, params, children, ts_ns):
        return ORDER_RATE
    return send_entry(
        universe, market, trader, params, group_id, intent, listing_ids, atoms, count, limit, difference, ts_ns
    )


@kernel
def send_entry(universe, market, trader, params, group_id, intent, listing_ids, atoms, count, limit, difference, ts_ns):
    """Send the children, the primary last: whatever the others could not take is folded into it."""
    side, intent_id = intent.side, trader.next_intent_id + 1
    primary = universe.listings[listing_ids[0]]
    atoms_left, sent_atoms, total_atoms = 0, 0, 0
    for k in range(count):
        total_atoms += atoms[k]
    atoms_left = total_atoms
    is_venue_full = False
    for i in range(count):
        k = count - 1 - i
        listing_id = listing_ids[k]
        listing = universe.listings[listing_id]
        price_ticks = ticks_inward(listing, side, limit)
        child_lots = (atoms_left if k == 0 else atoms[k]) // listing.base_atoms_per_lot
        allowed = within_venue(universe, market, trader, params, listing_id, limit, child_lots)
        is_venue_full = is_venue_full or (allowed < child_lots and allowed == 0)
        child_lots = orders.affordable_lots(universe, trader, listing_id, side, price_ticks, allowed)
        if is_too_small(universe, listing_id, price_ticks, child_lots):
            continue
        quote = quote_now(universe, market, listing_id, side)
        if orders.send(trader, listing_id, side, price_ticks, child_lots, intent_id, 0, 0, quote, ts_ns) > 0:
            sent_atoms += child_lots * listing.base_atoms_per_lot
            atoms_left -= child_lots * listing.base_atoms_per_lot
    if sent_atoms == 0:
        return VENUE_LEVERAGE_LIMIT if is_venue_full else INSUFFICIENT_BALANCE
    trader.next_intent_id = intent_id
    open_position(trader, group_id, intent, listing_ids[0], primary.class_id, intent_id, sent_atoms, ts_ns)
    position = trader.positions[group_id]
    base = total_atoms / primary.base_atoms_per_lot * primary.lot_base
    position.risk_quote = intent.risk_quote * (base / intent.base) * sent_atoms / total_atoms
    position.shadow_bps = difference
    return APPROVED


@kernel
def open_position(trader, group_id, intent, primary_id, class_id, intent_id, atoms, ts_ns):
    position = trader.positions[group_id]
    position.state = ENTERING
    position.side = intent.side
    position.class_id = class_id
    position.primary_id = primary_id
    position.intent_id = intent_id
    position.target_atoms = atoms
    position.entry_atoms = 0
    position.entry_quote = 0.0
    position.exit_atoms = 0
    position.exit_quote = 0.0
    position.wave = 0
    position.ts_intent_ns = ts_ns
    position.exit_reason = 0
    position.price_cap = intent.cap
    position.working_count = orders.working_count(trader, intent_id)
    trader.open_count += 1


@routine
def reroute_entry(universe, market, trader, market_params, params, position, ts_ns):
    """Send the whole remainder to the best all-in price left in the class; returns the lots sent."""
    group = universe.groups[universe.listings[position.primary_id].group_id]
    side = position.side
    best_id, best_price = -1, 0.0
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        if not is_in_class(universe, listing_id, position.class_id):
            continue
        if can_enter(universe, market, trader, market_params, listing_id, side, ts_ns):
            price = touch_price(universe, market, listing_id, side) * unit_fee(universe.listings[listing_id], side)
            if best_id < 0 or side * (price - best_price) < 0.0:
                best_id, best_price = listing_id, price
    if best_id < 0:
        return 0
    listing = universe.listings[best_id]
    limit = class_touch_price(universe, market, trader, market_params, best_id, side, ts_ns)
    limit *= 1.0 + side * position.price_cap
    price_ticks = ticks_inward(listing, side, limit)
    lots = (position.target_atoms - position.entry_atoms) // listing.base_atoms_per_lot
    lots = within_venue(universe, market, trader, params, best_id, limit, lots)
    lots = orders.affordable_lots(universe, trader, best_id, side, price_ticks, lots)
    if is_too_small(universe, best_id, price_ticks, lots):
        return 0
    quote, wave = quote_now(universe, market, best_id, side), position.wave
    if orders.send(trader, best_id, side, price_ticks, lots, position.intent_id, 0, wave, quote, ts_ns) == 0:
        return 0
    orders.annotate(trader, position, 0)
    return lots
