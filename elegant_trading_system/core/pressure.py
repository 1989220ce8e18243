"""Pressure: what rests on each side of one listing's book, halved with every H of distance from the mid (SCIENCE 1.1)."""

import math

import numpy as np

from . import order_flow
from .books import SLOT_MASK, highest_bit, level_at_or_below, lots_at
from .jit import bit_count, kernel, routine
from .kinds import ListingKind
from .quotes import is_two_sided, mid_ticks
from .schema import WORD
from .units import ASK, BID, BPS

DARK, INVERSE = ListingKind.DARK.value, ListingKind.INVERSE.value
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
def apply_pressure(universe, market, books, params, listing_id, group, is_comparable):
    """Order flow and weighted depth of each side; returns whether the touch or the decay has changed.

    A side is looked at only then, or if a level that counts has changed. `is_comparable`: what came is a change of
    the book that was there before.
    """
    book, listing = market.books[listing_id], universe.listings[listing_id]
    pressure = market.pressures[listing_id]
    mid = mid_ticks(book)
    decay_bps = group.decay_bps if group.decay_bps > 0.0 else params.decay_bps_min
    is_moved = mid != pressure.mid_ticks or book.best_x[BID] != pressure.bid_x or decay_bps != pressure.decay_bps
    if is_moved:
        pressure.mid_ticks = mid
        pressure.bid_x = book.best_x[BID]
        pressure.decay_bps = decay_bps
        apply_scale(pressure, params)
    first = BID if is_moved or pressure.touched[BID] else ASK  # mostly one side: which one, no branch can guess
    last = ASK if is_moved or pressure.touched[ASK] else BID
    for s in range(first, last + 1):
        order_flow.apply_after(market, books, listing_id, s, is_comparable)
        order_flow.apply_shown(pressure, s, market.ts_ns)
        if pressure.touched[s] == order_flow.RESIZED and not is_moved:
            resize(book, listing, pressure, s, params)
        else:
            pressure.side_quote[s] = side_quote(books, book, listing, pressure, listing_id, s, params)
        pressure.touched[s] = 0
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
    weights, power, known = pressure.weight_by_ticks, halved(pressure.halvings_per_tick), 1
    weights[0] = 1.0
    while known < WORD:  # by doubling: few steps wait for each other
        for k in range(known):
            weights[known + k] = weights[k] * power
        power *= power
        known *= 2


@kernel
def lowest_x(centre, band_ticks):
    """The lowest x with centre - x <= band_ticks."""
    x = int(math.floor(centre - band_ticks))
    return x + 1 if centre - x > band_ticks else x


@kernel
def side_quote(books, book, listing, pressure, listing_id, s, params):
    """Weighted depth of one side in the reporting currency; 0 when a side of the book is empty, or it is dark."""
    pressure.edge_x[s] = NOTHING_X
    pressure.reach_x[s] = -NOTHING_X
    pressure.band_lots[s] = 0.0
    if not is_two_sided(book) or listing.kind >= DARK:
        return 0.0
    return unit_quote(listing) * decayed_depth(books, book, pressure, listing_id, s, params, listing.kind == INVERSE)


@kernel
def unit_quote(listing):
    """Reporting currency of a tick * lot (inverse: of a lot)."""
    unit = listing.lot_quote if listing.kind == INVERSE else listing.lot_base * listing.tick_price
    return unit * listing.quote_rate


@kernel
def resize(book, listing, pressure, s, params):
    """One level that counts holds more or less than before; all else is as it was."""
    x, lots = pressure.resized_x, pressure.resized_lots
    ticks = book.best_x[s] - x
    weight = pressure.weight_by_ticks[ticks] if ticks < WORD else halved(pressure.halvings_per_tick * ticks)
    price = abs(x) if params.is_price_weighted == 1 else pressure.mid_ticks
    if listing.kind == INVERSE:
        price = 1.0
    pressure.side_quote[s] += unit_quote(listing) * weight * pressure.best_weight * lots * price
    pressure.band_lots[s] += lots


@kernel
def decayed_depth(books, book, pressure, listing_id, s, params, is_inverse):
    """Sum over levels of 0.5 ** (distance / H) * price * lots, in ticks * lots (inverse: lots).

    The price is the mid for every level unless `is_price_weighted`: then exchanging the sides about the mid
    gives exactly the opposite ratio; with each level's own price the ask side weighs a hair more.
    """
    is_own_price = params.is_price_weighted == 1 and not is_inverse
    best_x = book.best_x[s]
    window = window_below(books, listing_id, s, best_x)
    is_dense = bit_count(window) >= params.pressure_levels and best_x - pressure.band_x[s] >= WORD
    if is_dense and not is_own_price:
        total = dense_depth(books, pressure, listing_id, s, best_x, window, params.pressure_levels)
    else:
        total = sparse_depth(books, book, pressure, listing_id, s, params.pressure_levels, is_own_price)
    total *= pressure.best_weight
    return total if is_inverse or is_own_price else total * pressure.mid_ticks


@kernel
def window_below(books, listing_id, s, best_x):
    """Occupancy of best_x and of the WORD - 1 ticks below it, the best in the highest bit."""
    slot = best_x & SLOT_MASK
    word = books.words[listing_id, s, slot // WORD]
    below = books.words[listing_id, s, ((best_x - WORD) & SLOT_MASK) // WORD]
    return (((word << WORD) | below) >> ((slot & (WORD - 1)) + 1)) & ((1 << WORD) - 1)


@kernel
def dense_depth(books, pressure, listing_id, s, best_x, window, count):
    """The usual case: as many levels as count, in the window and in the band."""
    total, shown_lots, x = 0.0, 0, best_x
    for _ in range(count):
        bit = highest_bit(window)
        window ^= 1 << bit
        x = best_x - (WORD - 1) + bit
        lots = lots_at(books, listing_id, s, x)
        shown_lots += lots
        total += pressure.weight_by_ticks[np.uint64(WORD - 1 - bit)] * lots
    pressure.edge_x[s] = x
    pressure.reach_x[s] = x
    pressure.band_lots[s] = shown_lots
    return total


@routine
def sparse_depth(books, book, pressure, listing_id, s, count_max, is_own_price):
    """Levels wherever they are."""
    reach_x, low_x = pressure.band_x[s], book.low_x[s]
    x = last_x = edge_x = book.best_x[s]
    total, weight, shown_lots, count = 0.0, 1.0, 0, 0
    while x >= reach_x and count < count_max:
        ticks = last_x - x
        weight *= pressure.weight_by_ticks[ticks] if ticks < WORD else halved(pressure.halvings_per_tick * ticks)
        last_x = edge_x = x
        lots = lots_at(books, listing_id, s, x)
        shown_lots += lots
        total += weight * lots * abs(x) if is_own_price else weight * lots
        count += 1
        x = level_at_or_below(books, listing_id, s, x - 1, low_x)  # NO_X is below everything
    pressure.edge_x[s] = edge_x if count > 0 else NOTHING_X
    pressure.reach_x[s] = edge_x if count == count_max else reach_x
    pressure.band_lots[s] = shown_lots
    return total
