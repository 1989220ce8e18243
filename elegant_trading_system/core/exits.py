"""Exits: routed from where the inventory lies, never more than is held."""

from . import execution_engine as orders
from .jit import kernel, routine
from .kinds import ListingKind, Verdict
from .quotes import is_fresh, mid_price
from .units import ticks_inward
from .venue_choice import can_price, is_in_class, quote_now, touch_price

LINEAR, DARK = ListingKind.LINEAR.value, ListingKind.DARK.value
EXIT_BLIND = Verdict.EXIT_BLIND.value
EXIT_BOOK_NOT_LIVE = Verdict.EXIT_BOOK_NOT_LIVE.value
PANIC_WAVE = 3  # attempts with a doubling cap before price protection is given up for certainty
PANIC_CAP = 0.01


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
def send_exits(universe, market, trader, market_params, params, group_id, divisor, ts_ns):
    """One IOC per listing that holds something, for 1 / divisor of it; what could not be sent is counted."""
    position = trader.positions[group_id]
    group = universe.groups[group_id]
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        lots = held_lots(universe, trader, listing_id)
        part = abs(lots) // divisor
        if part == 0:
            continue
        side = -1 if lots > 0 else 1
        price, is_blind = exit_price(universe, market, market_params, params, listing_id, side, ts_ns)
        if price <= 0.0:
            trader.verdicts[EXIT_BOOK_NOT_LIVE] += 1
            continue
        listing = universe.listings[listing_id]
        price_ticks = ticks_inward(listing, side, price * (1.0 + side * exit_cap(position)))
        quote = quote_now(universe, market, listing_id, side)
        intent_id, wave = position.intent_id, position.wave
        if orders.send(trader, listing_id, side, price_ticks, part, intent_id, 1, wave, quote, ts_ns) == 0:
            trader.verdicts[EXIT_BOOK_NOT_LIVE] += 1
        elif is_blind:
            trader.verdicts[EXIT_BLIND] += 1
    orders.annotate(trader, position, position.exit_reason)
    position.working_count = orders.working_count(trader, position.intent_id)


@kernel
def exit_price(universe, market, market_params, params, listing_id, side, ts_ns):
    """(price to protect from, is it blind): the touch; on a dead book another LIVE listing's, else its last LIVE mid.

    0 where a blind exit is not allowed or nothing is known.
    """
    listing = universe.listings[listing_id]
    if can_price(universe, market, market_params, listing_id, ts_ns):
        return touch_price(universe, market, listing_id, side), False
    is_allowed = params.is_linear_exit_blind if listing.kind == LINEAR else params.is_spot_exit_blind
    if not is_allowed or listing.kind == DARK:
        return 0.0, True
    group = universe.groups[listing.group_id]
    for k in range(group.listing_count):
        other_id = group.listing_ids[k]
        is_lit = universe.listings[other_id].kind != DARK and is_in_class(universe, other_id, listing.class_id)
        if is_lit and is_fresh(universe, market, market_params, other_id, ts_ns):
            return mid_price(universe, market, other_id), True
    return 0.5 * market.books[listing_id].last_mid_x2_ticks * listing.tick_price, True


@kernel
def is_empty(universe, trader, group_id):
    """Nothing of this group is held in whole lots anywhere."""
    group = universe.groups[group_id]
    for k in range(group.listing_count):
        if held_lots(universe, trader, group.listing_ids[k]) != 0:
            return False
    return True
