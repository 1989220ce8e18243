"""Which venue: where an entry may go, which one is primary, and what each quotes now."""

from . import breakers
from .jit import kernel
from .kinds import ListingKind, Verdict
from .quotes import is_fresh, is_market_open, is_two_sided, liquidity_now, mid_price
from .schema import NO_X
from .units import ASK, BID

SPOT, LINEAR, DARK = ListingKind.SPOT.value, ListingKind.LINEAR.value, ListingKind.DARK.value
SHORT_UNAVAILABLE = Verdict.SHORT_UNAVAILABLE.value
NO_VENUE = Verdict.NO_VENUE.value


@kernel
def can_enter(universe, market, trader, market_params, listing_id, side, ts_ns):
    """May an entry of this side go here: allowed, quoted, LIVE, open, and the venue not paused."""
    listing = universe.listings[listing_id]
    is_allowed = listing.can_trade == 1 and (listing.kind == SPOT or listing.kind == LINEAR)
    is_side_allowed = side > 0 or listing.can_short == 1
    if not is_allowed or not is_side_allowed or breakers.is_paused(trader, listing.venue_id, ts_ns):
        return False
    book = market.books[listing_id]
    is_quoted = is_two_sided(book) and is_market_open(book)
    return is_quoted and is_fresh(universe, market, market_params, listing_id, ts_ns)


@kernel
def score(universe, market, trader, listing_id):
    """The hour's liquidity, less for a venue where our own fills slipped."""
    venue = trader.venues[universe.listings[listing_id].venue_id]
    liquidity = market.books[listing_id].liquidity
    if liquidity <= 0.0:  # no whole second has been seen yet
        liquidity = liquidity_now(universe, market, listing_id)
    return liquidity / (1.0 + max(venue.slippage_bps, 0.0))


@kernel
def best_venue(universe, market, trader, market_params, group_id, side, ts_ns):
    """The listing with the best score among those that may take this side; -1 when there is none."""
    group = universe.groups[group_id]
    best_id, best_score = -1, -1.0
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        if can_enter(universe, market, trader, market_params, listing_id, side, ts_ns):
            value = score(universe, market, trader, listing_id)
            if value > best_score:
                best_id, best_score = listing_id, value
    return best_id


@kernel
def pick_primary(universe, market, trader, market_params, params, group_id, side, ts_ns):
    """The best venue, kept for primary_sticky_ns as long as it is healthy; -1 when there is none."""
    memory, s = trader.groups[group_id], BID if side > 0 else ASK
    is_kept = memory.ts_primary_ns[s] > 0 and ts_ns - memory.ts_primary_ns[s] < params.primary_sticky_ns
    if is_kept and can_enter(universe, market, trader, market_params, memory.primary_ids[s], side, ts_ns):
        return memory.primary_ids[s]
    best_id = best_venue(universe, market, trader, market_params, group_id, side, ts_ns)
    if best_id >= 0:
        memory.primary_ids[s] = best_id
        memory.ts_primary_ns[s] = ts_ns
    return best_id


@kernel
def why_no_primary(universe, market, trader, market_params, group_id, side, ts_ns):
    """A short that no listing ever allows is named so; everything else is a venue missing, paused perhaps."""
    group = universe.groups[group_id]
    is_ever_allowed = side > 0
    for k in range(group.listing_count):
        listing = universe.listings[group.listing_ids[k]]
        is_ever_allowed = is_ever_allowed or (listing.can_trade == 1 and listing.can_short == 1)
    is_long_possible = best_venue(universe, market, trader, market_params, group_id, abs(side), ts_ns) >= 0
    return SHORT_UNAVAILABLE if is_long_possible and not is_ever_allowed else NO_VENUE


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
def has_touch(universe, market, listing_id, side):
    """Does anyone quote what a taker of this side would meet first?"""
    listing = universe.listings[listing_id]
    if listing.kind == DARK:
        return is_two_sided(market.books[listing.reference_id])
    return market.books[listing_id].best_x[ASK if side > 0 else BID] != NO_X


@kernel
def quote_now(universe, market, listing_id, side):
    """(mid, touch) in quote: what an order's fills are measured from."""
    reference_id = universe.listings[listing_id].reference_id
    return mid_price(universe, market, reference_id), touch_price(universe, market, listing_id, side)


@kernel
def can_price(universe, market, market_params, listing_id, ts_ns):
    """Is the book fresh that this listing trades by?"""
    reference_id = universe.listings[listing_id].reference_id
    is_known = is_fresh(universe, market, market_params, listing_id, ts_ns)
    return is_known and is_fresh(universe, market, market_params, reference_id, ts_ns)


@kernel
def class_touch_price(universe, market, trader, market_params, primary_id, side, ts_ns):
    """The best such price over the fresh lit listings of the primary's class."""
    primary = universe.listings[primary_id]
    group = universe.groups[primary.group_id]
    best = touch_price(universe, market, primary_id, side)
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        if is_in_class(universe, listing_id, primary.class_id) and universe.listings[listing_id].kind != DARK:
            if can_enter(universe, market, trader, market_params, listing_id, side, ts_ns):
                price = touch_price(universe, market, listing_id, side)
                best = min(best, price) if side > 0 else max(best, price)
    return best


@kernel
def class_mid_price(universe, market, market_params, listing_id, ts_ns):
    """Mid of a listing, else of the first other fresh lit one of its class; 0 when there is none."""
    listing = universe.listings[listing_id]
    if is_fresh(universe, market, market_params, listing_id, ts_ns) and is_two_sided(market.books[listing_id]):
        return mid_price(universe, market, listing_id)
    group = universe.groups[listing.group_id]
    for k in range(group.listing_count):
        other_id = group.listing_ids[k]
        is_lit = universe.listings[other_id].kind != DARK and is_in_class(universe, other_id, listing.class_id)
        if is_lit and is_two_sided(market.books[other_id]):
            if is_fresh(universe, market, market_params, other_id, ts_ns):
                return mid_price(universe, market, other_id)
    return 0.0


@kernel
def is_in_class(universe, listing_id, class_id):
    return universe.listings[listing_id].class_id == class_id


@kernel
def is_dark_ready(universe, market, trader, market_params, listing_id, class_id, side, ts_ns):
    listing = universe.listings[listing_id]
    is_allowed = listing.kind == DARK and listing.can_trade == 1 and (side > 0 or listing.can_short == 1)
    is_open = not breakers.is_paused(trader, listing.venue_id, ts_ns)
    is_ours = is_allowed and is_open and listing.class_id == class_id
    return is_ours and can_price(universe, market, market_params, listing_id, ts_ns)
