"""How much where: the 60/30/10 split in whole lots, the cheapest split, and what each is expected to cost."""

import math

import numpy as np

from . import books as book_ops
from .jit import allocating, kernel, routine
from .kinds import Router
from .schema import GROUP_LISTINGS, NO_X
from .units import ASK, BID, ticks_inward
from .venue_choice import can_enter, is_dark_ready, is_in_class

COST_GREEDY = Router.COST_GREEDY.value
WHOLE_BPS = 10_000
WALK_LEVELS = 64  # price levels of one listing a plan looks at


@allocating
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
def plan(universe, market, trader, market_params, params, primary_id, side, ts_ns, listing_ids, share_bps):
    """Fill in the class's listings and their shares, primary first, dark last; returns (how many, how many lit)."""
    class_id = universe.listings[primary_id].class_id
    group = universe.groups[universe.listings[primary_id].group_id]
    listing_ids[0] = primary_id
    count = 1
    depth_sum = 0.0
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        is_other = listing_id != primary_id and is_in_class(universe, listing_id, class_id)
        if is_other and can_enter(universe, market, trader, market_params, listing_id, side, ts_ns):
            listing_ids[count] = listing_id
            depth_sum += depth_quote(market, listing_id)
            count += 1
    lit = count
    for k in range(1, lit):
        share = depth_quote(market, listing_ids[k]) / depth_sum if depth_sum > 0.0 else 0.0
        share_bps[k] = int(params.secondary_share_bps * share)
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        if is_dark_ready(universe, market, trader, market_params, listing_id, class_id, side, ts_ns):
            if count < GROUP_LISTINGS:
                listing_ids[count] = listing_id
                share_bps[count] = params.dark_share_bps
                count += 1
                break
    share_bps[0] = WHOLE_BPS
    for k in range(1, count):
        share_bps[0] -= share_bps[k]
    return count, lit


@kernel
def depth_quote(market, listing_id):
    side_quote = market.pressures[listing_id].side_quote
    return side_quote[BID] + side_quote[ASK]


@kernel
def unit_fee(listing, side):
    """Price multiplier of the taker fee, our way."""
    return 1.0 + side * listing.taker_fee_ppm * 1e-6


@routine
def walk(universe, market, books, listing_id, side, atoms, limit_ticks):
    """(base atoms displayed at or inside the limit up to `atoms`, their cost with fee in quote)."""
    listing, book = universe.listings[listing_id], market.books[listing_id]
    s = ASK if side > 0 else BID
    x, taken, cost = book.best_x[s], 0, 0.0
    for _ in range(WALK_LEVELS):
        ticks = -x if s == ASK else x
        if x == NO_X or taken >= atoms or (limit_ticks - ticks) * side < 0:
            break
        part = min(atoms - taken, book_ops.lots_at(books, listing_id, s, x) * listing.base_atoms_per_lot)
        taken += part
        cost += part * ticks * listing.tick_price * unit_fee(listing, side)
        x = book_ops.level_at_or_below(books, listing_id, s, x - 1, book.low_x[s])
    return taken, cost


@kernel
def shadow(universe, market, books, params, listing_ids, atoms, greedy, lit, side):
    """Expected all-in cost of the split that is sent, less the other router's, bps; 0 where a book is too thin.

    Both are walked down the displayed books; the dark share is counted where it would go if nothing met it.
    """
    split_cost, greedy_cost, split_sum, greedy_sum = 0.0, 0.0, 0, 0
    for k in range(lit):
        no_limit = side * 2**60
        taken, cost = walk(universe, market, books, listing_ids[k], side, atoms[k], no_limit)
        split_sum += taken
        split_cost += cost
        taken, cost = walk(universe, market, books, listing_ids[k], side, greedy[k], no_limit)
        greedy_sum += taken
        greedy_cost += cost
    if split_sum == 0 or split_sum != greedy_sum:
        return 0.0
    difference = side * (split_cost - greedy_cost) / abs(greedy_cost) * 1e4
    return -difference if params.router == COST_GREEDY else difference


@allocating
def cheapest(universe, market, books, listing_ids, lit, side, total_atoms, atoms):
    """Level by level the cheapest all-in price first; what no book shows goes to the primary."""
    xs = np.zeros(GROUP_LISTINGS, np.int64)
    s = ASK if side > 0 else BID
    for k in range(lit):
        xs[k] = market.books[listing_ids[k]].best_x[s]
        atoms[k] = 0
    left = total_atoms
    for _ in range(WALK_LEVELS):
        best, best_price = -1, math.inf
        for k in range(lit):
            listing = universe.listings[listing_ids[k]]
            price = -xs[k] * listing.tick_price * unit_fee(listing, side)
            if xs[k] != NO_X and price < best_price:
                best, best_price = k, price
        if best < 0 or left <= 0:
            break
        listing_id = listing_ids[best]
        unit = universe.listings[listing_id].base_atoms_per_lot
        part = min(left // unit * unit, book_ops.lots_at(books, listing_id, s, xs[best]) * unit)
        atoms[best] += part
        left -= part
        xs[best] = book_ops.level_at_or_below(books, listing_id, s, xs[best] - 1, market.books[listing_id].low_x[s])
    atoms[0] += left


@routine
def depth_inside(universe, market, books, listing_ids, lit, side, limit):
    """Base units displayed at or inside the limit, over the lit listings."""
    total = 0.0
    for k in range(lit):
        listing = universe.listings[listing_ids[k]]
        ticks = ticks_inward(listing, side, limit)
        taken, _ = walk(universe, market, books, listing_ids[k], side, 2**62, ticks)
        total += taken / listing.base_atoms_per_lot * listing.lot_base
    return total
