"""Reading the market: which books may be acted on, and what they quote."""

from .jit import kernel
from .kinds import BookState, SessionState
from .schema import NO_X
from .units import ASK, BID, base_from_lots

LIVE = BookState.LIVE.value
CLOSED, HALTED = SessionState.CLOSED.value, SessionState.HALTED.value


@kernel
def is_two_sided(book):
    return book.best_x[BID] != NO_X and book.best_x[ASK] != NO_X


@kernel
def is_crossed(book):
    return is_two_sided(book) and book.best_x[BID] + book.best_x[ASK] >= 0


@kernel
def is_fresh(universe, market, params, listing_id, ts_ns):
    """May this listing's book be acted on: LIVE, its connection heard of lately, and not crossed."""
    book = market.books[listing_id]
    if book.state != LIVE or is_crossed(book):
        return False
    venue = market.venues[universe.listings[listing_id].venue_id]
    is_venue_heard = ts_ns - venue.ts_packet_ns <= params.venue_stale_ns
    return is_venue_heard and ts_ns - book.ts_packet_ns <= params.listing_stale_ns


@kernel
def mid_ticks(book):
    """Middle of the touch in ticks, 0 when a side is empty."""
    return 0.5 * (book.best_x[BID] - book.best_x[ASK]) if is_two_sided(book) else 0.0


@kernel
def mid_price(universe, market, listing_id):
    """Middle of the touch in quote, 0 when a side is empty."""
    return mid_ticks(market.books[listing_id]) * universe.listings[listing_id].tick_price


@kernel
def mark_price(universe, market, listing_id):
    """What a holding counts at: the mid; while a side is empty the last one, for it is not worth nothing then."""
    book = market.books[listing_id]
    ticks = mid_ticks(book) if is_two_sided(book) else 0.5 * book.last_mid_x2_ticks
    return ticks * universe.listings[listing_id].tick_price


@kernel
def spread_ticks(book):
    return -(book.best_x[ASK] + book.best_x[BID])


@kernel
def group_mid_price(universe, market, params, group_id, ts_ns):
    """Mid of the reference listing, else of the first fresh one; 0 when none is fresh."""
    group = universe.groups[group_id]
    if is_fresh(universe, market, params, group.reference_id, ts_ns):
        price = mid_price(universe, market, group.reference_id)
        if price > 0.0:
            return price
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        if is_fresh(universe, market, params, listing_id, ts_ns):
            price = mid_price(universe, market, listing_id)
            if price > 0.0:
                return price
    return 0.0


@kernel
def vwap_gap(universe, market, params, group_id, ts_ns):
    """mid / VWAP - 1 of each fresh listing, weighted by its volume (SCIENCE 1.5); 9 when no volume is known."""
    group = universe.groups[group_id]
    weight_sum, gap_sum = 0.0, 0.0
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        flow = market.flows[listing_id]
        lots = flow.vwap_lots + flow.bucket_lots
        ticks = mid_ticks(market.books[listing_id])
        if lots > 0 and ticks > 0.0 and is_fresh(universe, market, params, listing_id, ts_ns):
            vwap_ticks = (flow.vwap_ticks_lots + flow.bucket_ticks_lots) / lots
            listing = universe.listings[listing_id]
            weight = base_from_lots(listing, lots, ticks * listing.tick_price)
            weight_sum += weight
            gap_sum += weight * (ticks / vwap_ticks - 1.0)
    return gap_sum / weight_sum if weight_sum > 0.0 else 9.0


@kernel
def is_market_open(book):
    return book.session != CLOSED and book.session != HALTED


@kernel
def liquidity_now(universe, market, listing_id):
    """Displayed depth near the touch over the all-in cost of taking it."""
    book, pressure = market.books[listing_id], market.pressures[listing_id]
    fee_bps = universe.listings[listing_id].taker_fee_ppm * 0.01
    half_spread_bps = 0.5 * spread_ticks(book) / book.best_x[BID] * 1e4
    return (pressure.side_quote[BID] + pressure.side_quote[ASK]) / max(fee_bps + half_spread_bps, 0.01)


@kernel
def side_rows(packet, s):
    """First row of one side of a packet, and the row behind its last."""
    middle = packet.level_begin + packet.buy_count
    if s == BID:
        return packet.level_begin, middle
    return middle, middle + packet.sell_count
