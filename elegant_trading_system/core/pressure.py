"""Pressure: what rests on each side of one listing's book, halved with every H of distance from the mid (SCIENCE 1.1)."""

import math

from . import books as book_ops
from . import order_flow
from .jit import kernel
from .kinds import ListingKind
from .quotes import is_two_sided, mid_ticks
from .schema import NO_X
from .units import ASK, BID

INVERSE = ListingKind.INVERSE.value
NOTHING_X = 2**62  # no level counts
LN2 = math.log(2.0)


@kernel
def apply_pressure(universe, market, books, params, listing_id, group):
    """Both sides' weighted depth. A side is summed again only if a level that counts, the mid or the decay changed."""
    book, listing = market.books[listing_id], universe.listings[listing_id]
    pressure = market.pressures[listing_id]
    order_flow.apply_shown(pressure, market.ts_ns)
    mid = mid_ticks(book)
    decay_bps = group.decay_bps if group.decay_bps > 0.0 else params.decay_bps_min
    is_moved = mid != pressure.mid_ticks or decay_bps != pressure.decay_bps
    pressure.mid_ticks = mid
    pressure.decay_bps = decay_bps
    if is_moved or pressure.is_touched[BID]:
        pressure.bid_quote = side_quote(books, book, listing, pressure, listing_id, BID, params)
    if is_moved or pressure.is_touched[ASK]:
        pressure.ask_quote = side_quote(books, book, listing, pressure, listing_id, ASK, params)


@kernel
def side_quote(books, book, listing, pressure, listing_id, s, params):
    """Weighted depth of one side in the reporting currency; 0 when a side of the book is empty."""
    pressure.is_touched[s] = 0
    pressure.edge_x[s] = NOTHING_X
    pressure.reach_x[s] = -NOTHING_X
    pressure.band_lots[s] = 0.0
    if not is_two_sided(book):
        return 0.0
    is_inverse = 1 if listing.kind == INVERSE else 0
    unit = listing.lot_quote if is_inverse == 1 else listing.lot_base * listing.tick_price
    depth = decayed_depth(books, book, pressure, listing_id, s, params, pressure.decay_bps, is_inverse)
    return unit * listing.quote_rate * depth


@kernel
def decayed_depth(books, book, pressure, listing_id, s, params, decay_bps, is_inverse):
    """Sum over levels of 0.5 ** (distance / H) * price * lots, in ticks * lots (inverse: lots).

    The price is the mid for every level unless `is_price_weighted`: then exchanging the sides about the mid
    gives exactly the opposite ratio; with each level's own price the ask side weighs a hair more.
    """
    mid = mid_ticks(book)
    centre = mid if s == BID else -mid
    band_ticks = params.pressure_band_bps * mid * 1e-4
    log_tick = -LN2 / (decay_bps * mid * 1e-4)  # of the weight, per tick of distance
    weight_1 = math.exp(log_tick)
    weight_2 = weight_1 * weight_1
    weight_4 = weight_2 * weight_2
    low_x = book.low_x[s]
    x, last_x = book.best_x[s], NO_X
    total, shown, weight, count = 0.0, 0.0, 0.0, 0
    for _ in range(params.pressure_levels):
        if x == NO_X or centre - x > band_ticks:
            break
        gap = last_x - x
        if 0 < gap < 8:  # the next level of a dense book: multiplications instead of an exp
            weight *= (weight_1 if gap & 1 else 1.0) * (weight_2 if gap & 2 else 1.0) * (weight_4 if gap & 4 else 1.0)
        else:
            weight = math.exp(log_tick * abs(centre - x))
        last_x = x if x <= centre else NO_X
        price = 1.0 if is_inverse == 1 else (float(abs(x)) if params.is_price_weighted == 1 else mid)
        lots = book_ops.lots_at(books, listing_id, s, x)
        total += weight * price * lots
        shown += lots
        pressure.edge_x[s] = x
        count += 1
        x = book_ops.level_at_or_below(books, listing_id, s, x - 1, low_x)
    pressure.band_lots[s] = shown
    pressure.reach_x[s] = (
        pressure.edge_x[s] if count == params.pressure_levels else int(math.floor(centre - band_ticks))
    )
    return total
