"""Pressure: what rests on each side of one listing's book, halved with every H of distance from the mid (SCIENCE 1.1)."""

import math

from . import order_flow
from .books import SLOT_MASK, highest_bit
from .jit import kernel
from .kinds import ListingKind
from .quotes import is_two_sided, mid_ticks
from .schema import NEAR_TICKS, WORD
from .units import ASK, BID, BPS

INVERSE = ListingKind.INVERSE.value
NOTHING_X = 2**62  # no level counts
LN2 = math.log(2.0)
SMALL = 0.02  # below it six terms are exp to the last bit or two
TERM_2, TERM_3, TERM_4, TERM_5, TERM_6 = 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720


@kernel
def halved(n):
    """0.5 ** n. Most n are small, a tick or a millisecond: a polynomial then, for exp costs several times as much."""
    y = LN2 * n
    if abs(y) > SMALL:
        return math.exp(-y)
    return 1.0 - y * (1.0 - y * (TERM_2 - y * (TERM_3 - y * (TERM_4 - y * (TERM_5 - y * TERM_6)))))


@kernel
def apply_pressure(universe, market, books, params, listing_id, group):
    """Both sides' weighted depth; returns whether the touch or the decay has changed.

    A side is summed again only then, or if a level that counts has changed.
    """
    book, listing = market.books[listing_id], universe.listings[listing_id]
    pressure = market.pressures[listing_id]
    order_flow.apply_shown(pressure, market.ts_ns)
    mid = mid_ticks(book)
    decay_bps = group.decay_bps if group.decay_bps > 0.0 else params.decay_bps_min
    is_moved = mid != pressure.mid_ticks or book.best_x[BID] != pressure.bid_x or decay_bps != pressure.decay_bps
    if is_moved:
        pressure.mid_ticks = mid
        pressure.bid_x = book.best_x[BID]
        pressure.decay_bps = decay_bps
        apply_scale(pressure, params)
    if is_moved or pressure.is_touched[BID]:
        pressure.bid_quote = side_quote(books, book, listing, pressure, listing_id, BID, params)
    if is_moved or pressure.is_touched[ASK]:
        pressure.ask_quote = side_quote(books, book, listing, pressure, listing_id, ASK, params)
    return is_moved


@kernel
def apply_scale(pressure, params):
    """How far levels count from this touch, and what the best one and 0, 1, 2... ticks of distance weigh."""
    mid = pressure.mid_ticks
    pressure.halvings_per_tick = 1.0 / (pressure.decay_bps * mid * BPS) if mid > 0.0 else 0.0
    pressure.best_weight = halved(pressure.halvings_per_tick * (mid - pressure.bid_x))
    band_ticks = params.pressure_band_bps * mid * BPS
    pressure.band_x[BID] = lowest_x(mid, band_ticks)
    pressure.band_x[ASK] = lowest_x(-mid, band_ticks)
    weights = pressure.weight_by_ticks
    weights[0] = 1.0
    weights[1] = halved(pressure.halvings_per_tick)
    for k in range(1, NEAR_TICKS // 2):
        weights[2 * k] = weights[k] * weights[k]
        weights[2 * k + 1] = weights[2 * k] * weights[1]


@kernel
def lowest_x(centre, band_ticks):
    """The lowest x with centre - x <= band_ticks."""
    x = int(math.floor(centre - band_ticks))
    return x + 1 if centre - x > band_ticks else x


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
    return unit * listing.quote_rate * decayed_depth(books, book, pressure, listing_id, s, params, is_inverse)


@kernel
def decayed_depth(books, book, pressure, listing_id, s, params, is_inverse):
    """Sum over levels of 0.5 ** (distance / H) * price * lots, in ticks * lots (inverse: lots).

    The price is the mid for every level unless `is_price_weighted`: then exchanging the sides about the mid
    gives exactly the opposite ratio; with each level's own price the ask side weighs a hair more.
    """
    is_own_price = params.is_price_weighted == 1 and is_inverse == 0
    reach_x = pressure.band_x[s]
    best_x = last_x = edge_x = book.best_x[s]
    base_x = best_x & ~(WORD - 1)  # a word of occupancy at a time; none is occupied above the best
    word = books.words[listing_id, s, (best_x & SLOT_MASK) // WORD]
    total, weight, shown_lots, count = 0.0, 1.0, 0, 0
    while count < params.pressure_levels:
        if word == 0:
            base_x -= WORD
            if base_x + WORD <= max(reach_x, book.low_x[s]):
                break
            word = books.words[listing_id, s, (base_x & SLOT_MASK) // WORD]
            continue
        bit = highest_bit(word)
        word ^= 1 << bit
        x = base_x + bit
        if x < reach_x:
            break
        gap = last_x - x
        weight *= pressure.weight_by_ticks[gap] if gap < NEAR_TICKS else halved(pressure.halvings_per_tick * gap)
        last_x = edge_x = x
        lots = books.lots[listing_id, s, x & SLOT_MASK]
        shown_lots += lots
        total += weight * lots * abs(x) if is_own_price else weight * lots
        count += 1
    pressure.edge_x[s] = edge_x if count > 0 else NOTHING_X
    pressure.band_lots[s] = shown_lots
    pressure.reach_x[s] = edge_x if count == params.pressure_levels else reach_x
    total *= pressure.best_weight
    return total if is_inverse == 1 or is_own_price else total * pressure.mid_ticks
