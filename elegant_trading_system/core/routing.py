"""Smart order routing: an intent -> IOC child orders at the listings of one class; exits where the inventory lies."""

import numpy as np

from . import execution_engine as orders
from .jit import kernel, routine
from .kinds import ListingKind, PositionState, Verdict
from .market_data import is_fresh, is_two_sided, mid_price, spread_ticks
from .schema import GROUP_LISTINGS
from .units import ASK, BID, ticks_inward

SPOT, LINEAR, DARK = ListingKind.SPOT.value, ListingKind.LINEAR.value, ListingKind.DARK.value
ENTERING = PositionState.ENTERING.value
APPROVED = Verdict.APPROVED.value
SHORT_UNAVAILABLE = Verdict.SHORT_UNAVAILABLE.value
NO_VENUE = Verdict.NO_VENUE.value
SIZE_ZERO = Verdict.SIZE_ZERO.value
BELOW_MIN_NOTIONAL = Verdict.BELOW_MIN_NOTIONAL.value
INSUFFICIENT_BALANCE = Verdict.INSUFFICIENT_BALANCE.value

WHOLE_BPS = 10_000
PANIC_WAVE = 3  # exit attempts with a doubling cap before price protection is given up for certainty
PANIC_CAP = 0.01


# --- which venue ----------------------------------------------------------------------------------------------
@kernel
def can_enter(universe, market, market_params, listing_id, side, ts_ns):
    listing = universe.listings[listing_id]
    is_allowed = listing.can_trade == 1 and (listing.kind == SPOT or listing.kind == LINEAR)
    is_side_allowed = side > 0 or listing.can_short == 1
    is_quoted = is_two_sided(market.books[listing_id])
    return is_allowed and is_side_allowed and is_quoted and is_fresh(universe, market, market_params, listing_id, ts_ns)


@kernel
def liquidity(universe, market, listing_id):
    """Displayed depth near the touch over the all-in cost of taking it."""
    pressure = market.pressures[listing_id]
    fee_bps = universe.listings[listing_id].taker_fee_ppm * 0.01
    half_spread_bps = 0.5 * spread_ticks(market.books[listing_id]) / market.books[listing_id].best_x[BID] * 1e4
    return (pressure.bid_quote + pressure.ask_quote) / max(fee_bps + half_spread_bps, 0.01)


@kernel
def pick_primary(universe, market, market_params, group_id, side, ts_ns):
    """The listing with the best liquidity among those that may take this side; -1 when there is none."""
    group = universe.groups[group_id]
    best_id, best_score = -1, -1.0
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        if can_enter(universe, market, market_params, listing_id, side, ts_ns):
            score = liquidity(universe, market, listing_id)
            if score > best_score:
                best_id, best_score = listing_id, score
    return best_id


@kernel
def why_no_primary(universe, market, market_params, group_id, side, ts_ns):
    """A short that only the account forbids is named so; everything else is a venue missing."""
    is_long_possible = pick_primary(universe, market, market_params, group_id, abs(side), ts_ns) >= 0
    return SHORT_UNAVAILABLE if side < 0 and is_long_possible else NO_VENUE


@kernel
def touch_price(universe, market, listing_id, side):
    """Price a taker of this side meets first; a dark venue's is its reference's midpoint."""
    listing = universe.listings[listing_id]
    if listing.kind == DARK:
        return mid_price(universe, market, listing.reference_id)
    book = market.books[listing_id]
    ticks = -book.best_x[ASK] if side > 0 else book.best_x[BID]
    return ticks * listing.tick_price


@kernel
def class_touch_price(universe, market, market_params, primary_id, side, ts_ns):
    """The best such price over the fresh lit listings of the primary's class."""
    primary = universe.listings[primary_id]
    group = universe.groups[primary.group_id]
    best = touch_price(universe, market, primary_id, side)
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        if is_in_class(universe, listing_id, primary.class_id) and universe.listings[listing_id].kind != DARK:
            if can_enter(universe, market, market_params, listing_id, side, ts_ns):
                price = touch_price(universe, market, listing_id, side)
                best = min(best, price) if side > 0 else max(best, price)
    return best


@kernel
def is_in_class(universe, listing_id, class_id):
    return universe.listings[listing_id].class_id == class_id


# --- how much where -------------------------------------------------------------------------------------------
@routine
def allocate(total_lots, share_bps, count):
    """Split whole lots by largest remainder over shares in whole bps; ties go to the earlier share (SCIENCE 1.12)."""
    lots = np.zeros(GROUP_LISTINGS, np.int64)
    left = total_lots
    for k in range(count):
        lots[k] = total_lots * share_bps[k] // WHOLE_BPS
        left -= lots[k]
    for _ in range(left):
        best = 0
        for k in range(1, count):
            is_larger = remainder(total_lots, share_bps[k], lots[k]) > remainder(
                total_lots, share_bps[best], lots[best]
            )
            best = k if is_larger else best
        lots[best] += 1
    return lots


@kernel
def remainder(total_lots, share_bps, given_lots):
    return total_lots * share_bps - given_lots * WHOLE_BPS


@routine
def plan(universe, market, market_params, params, primary_id, side, ts_ns, listing_ids, share_bps):
    """Fill in the class's listings and their shares, primary first, dark last; returns how many."""
    class_id = universe.listings[primary_id].class_id
    group = universe.groups[universe.listings[primary_id].group_id]
    listing_ids[0] = primary_id
    count = 1
    depth_sum = 0.0
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        is_other = listing_id != primary_id and is_in_class(universe, listing_id, class_id)
        if is_other and can_enter(universe, market, market_params, listing_id, side, ts_ns):
            listing_ids[count] = listing_id
            depth_sum += depth_quote(market, listing_id)
            count += 1
    for k in range(1, count):
        share = depth_quote(market, listing_ids[k]) / depth_sum if depth_sum > 0.0 else 0.0
        share_bps[k] = int(params.secondary_share_bps * share)
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        if is_dark_ready(universe, market, market_params, listing_id, class_id, side, ts_ns) and count < GROUP_LISTINGS:
            listing_ids[count] = listing_id
            share_bps[count] = params.dark_share_bps
            count += 1
            break
    share_bps[0] = WHOLE_BPS
    for k in range(1, count):
        share_bps[0] -= share_bps[k]
    return count


@kernel
def depth_quote(market, listing_id):
    return market.pressures[listing_id].bid_quote + market.pressures[listing_id].ask_quote


@kernel
def is_dark_ready(universe, market, market_params, listing_id, class_id, side, ts_ns):
    listing = universe.listings[listing_id]
    is_allowed = listing.kind == DARK and listing.can_trade == 1 and (side > 0 or listing.can_short == 1)
    is_known = is_fresh(universe, market, market_params, listing_id, ts_ns)
    is_priced = is_fresh(universe, market, market_params, listing.reference_id, ts_ns)
    return is_allowed and listing.class_id == class_id and is_known and is_priced


@kernel
def is_too_small(universe, listing_id, price_ticks, lots):
    listing = universe.listings[listing_id]
    notional_atoms = price_ticks * lots * listing.quote_atoms_per_tick_lot
    return lots < listing.lots_min or notional_atoms < listing.notional_min_atoms


# --- entries --------------------------------------------------------------------------------------------------
@routine
def route_entry(universe, market, trader, market_params, params, group_id, intent, ts_ns):
    """Split an intent over its class and send; returns the verdict. Nothing is sent unless it is APPROVED."""
    primary_id = pick_primary(universe, market, market_params, group_id, intent.side, ts_ns)
    if primary_id < 0:
        return why_no_primary(universe, market, market_params, group_id, intent.side, ts_ns)
    primary = universe.listings[primary_id]
    total_lots = int(intent.base / primary.lot_base + 1e-9)
    if total_lots <= 0:
        return SIZE_ZERO
    limit = class_touch_price(universe, market, market_params, primary_id, intent.side, ts_ns)
    limit *= 1.0 + intent.side * intent.cap
    if is_too_small(universe, primary_id, ticks_inward(primary, intent.side, limit), total_lots):
        return BELOW_MIN_NOTIONAL
    listing_ids = np.zeros(GROUP_LISTINGS, np.int64)
    share_bps = np.zeros(GROUP_LISTINGS, np.int64)
    count = plan(universe, market, market_params, params, primary_id, intent.side, ts_ns, listing_ids, share_bps)
    lots = allocate(total_lots, share_bps, count)
    intent_id = trader.next_intent_id + 1
    sent_atoms = 0
    atoms_left = total_lots * primary.base_atoms_per_lot
    for i in range(count):
        k = count - 1 - i  # the primary last: whatever the others could not take is folded into it
        listing = universe.listings[listing_ids[k]]
        price_ticks = ticks_inward(listing, intent.side, limit)
        wanted_atoms = atoms_left if k == 0 else lots[k] * primary.base_atoms_per_lot
        child_lots = wanted_atoms // listing.base_atoms_per_lot
        child_lots = orders.affordable_lots(universe, trader, listing_ids[k], intent.side, price_ticks, child_lots)
        if is_too_small(universe, listing_ids[k], price_ticks, child_lots):
            continue
        if orders.send(trader, listing_ids[k], intent.side, price_ticks, child_lots, intent_id, 0, 0, ts_ns) > 0:
            orders.annotate(trader, mid_price(universe, market, listing.reference_id), 0, 0.0)
            sent_atoms += child_lots * listing.base_atoms_per_lot
            atoms_left -= child_lots * listing.base_atoms_per_lot
    if sent_atoms == 0:
        return INSUFFICIENT_BALANCE
    trader.next_intent_id = intent_id
    open_position(trader, group_id, intent, primary_id, primary.class_id, intent_id, sent_atoms, ts_ns)
    risk_quote = intent.risk_quote * sent_atoms / (total_lots * primary.base_atoms_per_lot)
    apply_risk(trader, trader.positions[group_id], risk_quote)
    return APPROVED


@kernel
def apply_risk(trader, position, risk_quote):
    """What the part that could be sent may lose, on the position and on each of its orders."""
    position.risk_quote = risk_quote
    for k in range(trader.outbox.count):
        if trader.outbox.commands[k].intent_id == position.intent_id:
            trader.outbox.commands[k].risk_quote = risk_quote


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
def reroute_entry(universe, market, trader, market_params, position, ts_ns):
    """Send the whole remainder to the best all-in price left in the class; returns the lots sent."""
    group_id = universe.listings[position.primary_id].group_id
    group = universe.groups[group_id]
    best_id, best_price = -1, 0.0
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        if not is_in_class(universe, listing_id, position.class_id):
            continue
        if can_enter(universe, market, market_params, listing_id, position.side, ts_ns):
            fee = universe.listings[listing_id].taker_fee_ppm * 1e-6
            price = touch_price(universe, market, listing_id, position.side) * (1.0 + position.side * fee)
            if best_id < 0 or position.side * (price - best_price) < 0.0:
                best_id, best_price = listing_id, price
    if best_id < 0:
        return 0
    listing = universe.listings[best_id]
    limit = class_touch_price(universe, market, market_params, best_id, position.side, ts_ns)
    price_ticks = ticks_inward(listing, position.side, limit * (1.0 + position.side * position.price_cap))
    lots = (position.target_atoms - position.entry_atoms) // listing.base_atoms_per_lot
    lots = orders.affordable_lots(universe, trader, best_id, position.side, price_ticks, lots)
    if is_too_small(universe, best_id, price_ticks, lots):
        return 0
    intent_id = position.intent_id
    if orders.send(trader, best_id, position.side, price_ticks, lots, intent_id, 0, position.wave, ts_ns) == 0:
        return 0
    orders.annotate(trader, mid_price(universe, market, best_id), 0, position.risk_quote)
    return lots


# --- exits ----------------------------------------------------------------------------------------------------
@kernel
def held_lots(universe, trader, listing_id):
    """Whole lots held through a listing, signed; a part of a lot does not count."""
    atoms = trader.inventory[listing_id].held_atoms
    unit = universe.listings[listing_id].base_atoms_per_lot
    return atoms // unit if atoms >= 0 else -(-atoms // unit)


@kernel
def exit_cap(position):
    """Price protection of an exit: doubling with every attempt, then the panic cap."""
    return PANIC_CAP if position.wave >= PANIC_WAVE else position.price_cap * (1 << position.wave)


@routine
def send_exits(universe, market, trader, market_params, group_id, ts_ns):
    """One IOC per listing that holds something, never more than is held; returns how many could not be sent."""
    position = trader.positions[group_id]
    group = universe.groups[group_id]
    blocked = 0
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        lots = held_lots(universe, trader, listing_id)
        if lots == 0:
            continue
        listing = universe.listings[listing_id]
        if not is_fresh(universe, market, market_params, listing_id, ts_ns) or not is_fresh(
            universe, market, market_params, listing.reference_id, ts_ns
        ):
            blocked += 1
            continue
        side = -1 if lots > 0 else 1
        limit = touch_price(universe, market, listing_id, side) * (1.0 + side * exit_cap(position))
        price_ticks = ticks_inward(listing, side, limit)
        intent_id, wave = position.intent_id, position.wave
        if orders.send(trader, listing_id, side, price_ticks, abs(lots), intent_id, 1, wave, ts_ns) == 0:
            blocked += 1
        else:
            mid = mid_price(universe, market, listing.reference_id)
            orders.annotate(trader, mid, position.exit_reason, 0.0)
    position.working_count = orders.working_count(trader, position.intent_id)
    return blocked


@kernel
def is_empty(universe, trader, group_id):
    """Nothing of this group is held in whole lots anywhere."""
    group = universe.groups[group_id]
    for k in range(group.listing_count):
        if held_lots(universe, trader, group.listing_ids[k]) != 0:
            return False
    return True
