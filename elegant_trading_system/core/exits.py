"""Exits: routed from where the inventory lies, never more than is held."""

from . import execution_engine as orders
from .jit import kernel, routine
from .kinds import ListingKind, Verdict
from .risk_manager import round_trip_cost
from .schema import NS_PER_S
from .units import BPS, ticks_inward
from .venue_choice import can_price, class_mid_price, has_touch, quote_now, touch_price

LINEAR, DARK = ListingKind.LINEAR.value, ListingKind.DARK.value
EXIT_BLIND = Verdict.EXIT_BLIND.value
EXIT_BOOK_NOT_LIVE = Verdict.EXIT_BOOK_NOT_LIVE.value
PANIC_WAVE = 3  # attempts with a doubling cap before price protection is given up for certainty
PANIC_CAP = 0.01
RETRY_NS = NS_PER_S  # between attempts after those: whoever does not fill then is not there, and orders are counted


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


@kernel
def is_waiting(position, ts_ns):
    """Too many attempts to try again at once."""
    return position.wave > PANIC_WAVE and ts_ns - position.ts_attempt_ns < RETRY_NS


@routine
def send_exits(universe, market, trader, market_params, params, group_id, ts_ns):
    """One IOC per listing that holds more than is kept; what could not be sent is counted."""
    position = trader.positions[group_id]
    position.ts_attempt_ns = ts_ns
    group = universe.groups[group_id]
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        lots = held_lots(universe, trader, listing_id)
        part = abs(lots) - trader.inventory[listing_id].keep_lots
        if part <= 0:
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
    """(price to protect from, is it blind): the touch; on a dead book or an empty side the class's mid, else the last.

    0 where a blind exit is not allowed or nothing is known.
    """
    listing = universe.listings[listing_id]
    is_quoted = has_touch(universe, market, listing_id, side)
    if is_quoted and can_price(universe, market, market_params, listing_id, ts_ns):
        return touch_price(universe, market, listing_id, side), False
    is_allowed = params.is_linear_exit_blind if listing.kind == LINEAR else params.is_spot_exit_blind
    if not is_allowed or listing.kind == DARK:
        return 0.0, True
    price = class_mid_price(universe, market, market_params, listing_id, ts_ns)
    return price if price > 0.0 else 0.5 * market.books[listing_id].last_mid_x2_ticks * listing.tick_price, True


@kernel
def claim_halving(universe, market, params, group_id, position, mid):
    """True once per position and VOLATILE episode, unless less is at risk than twice what the exit costs."""
    bar = market.groups[group_id].bars[position.bar_index]
    if not params.is_volatile_reducing or not bar.is_volatile or bar.volatile_episodes <= position.volatile_episode:
        return False
    position.volatile_episode = bar.volatile_episodes
    listing = universe.listings[position.primary_id]
    half_spread = 0.5 * market.groups[group_id].spread_bps * BPS * mid
    exit_cost = 0.5 * round_trip_cost(listing, mid, half_spread)
    return position.side * (mid - position.stop_price) >= 2.0 * exit_cost


@kernel
def keep(universe, trader, group_id, is_half):
    """Decide how much of what is held stays: the larger half of each listing's lots, or nothing."""
    group = universe.groups[group_id]
    for k in range(group.listing_count):
        lots = abs(held_lots(universe, trader, group.listing_ids[k]))
        trader.inventory[group.listing_ids[k]].keep_lots = lots - lots // 2 if is_half else 0


@kernel
def is_done(universe, trader, group_id):
    """Nothing of this group is held beyond what is kept."""
    group = universe.groups[group_id]
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        if abs(held_lots(universe, trader, listing_id)) > trader.inventory[listing_id].keep_lots:
            return False
    return True


@kernel
def is_empty(universe, trader, group_id):
    """Nothing of this group is held in whole lots anywhere."""
    group = universe.groups[group_id]
    for k in range(group.listing_count):
        if held_lots(universe, trader, group.listing_ids[k]) != 0:
            return False
    return True
