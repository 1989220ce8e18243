"""Order flow: what was added, removed and traded, listing by listing; its window sums, agreement and flicker.

The flow of a side is what pushes the price its way: buying is bids added and asks removed.
"""

import numpy as np

from . import books as book_ops
from .jit import kernel
from .kinds import BookState, Kind
from .quotes import is_fresh, mid_ticks
from .schema import FLOW_SECONDS, LISTING_MASK, NO_X, NS_PER_S
from .units import ASK, BID, base_from_lots, is_sane_row, x_from_ticks

DEPTH, TRADE = Kind.DEPTH.value, Kind.TRADE.value
LIVE = BookState.LIVE.value
MASK = FLOW_SECONDS - 1
BOUGHT, SOLD, BAND_BOUGHT, BAND_SOLD = 0, 1, 2, 3
RESIZED, RESHAPED = 1, 2  # what a packet did to a side's levels that count: one's lots, or which they are


@kernel
def apply_before(market, books, params, packet, levels):
    """Before the book moves: what this packet adds to and removes from each side of the band."""
    listing_id = np.int64(packet.listing_id) & LISTING_MASK  # known to be an index: saves a test per look-up
    book, changes, pressure = market.books[listing_id], market.changes[listing_id], market.pressures[listing_id]
    begin, middle = packet.level_begin, packet.level_begin + packet.buy_count
    if packet.kind == TRADE:
        for k in range(begin, middle + packet.sell_count):
            changes.traded_lots[ASK if k < middle else BID] += max(levels[k].lots, 0)
    elif packet.kind == DEPTH and book.state == LIVE:
        is_single = packet.buy_count + packet.sell_count == 1
        x, lots = 0, 0
        for k in range(begin, middle + packet.sell_count):
            row = levels[np.uint64(k)]
            s = 1 if k >= middle else 0
            x = x_from_ticks(s, row.price_ticks)
            known_lots = book_ops.known_lots(books, book, listing_id, s, x)
            is_counted = (x >= pressure.edge_x[s]) & is_sane_row(row.price_ticks, row.lots)
            lots = (row.lots - known_lots) if is_counted else 0
            apply_change(changes, s, lots)
            touch = RESIZED if is_single & (known_lots > 0) & (row.lots > 0) else RESHAPED
            pressure.touched[s] |= touch if x >= pressure.reach_x[s] else 0
        pressure.resized_x, pressure.resized_lots = x, lots
    else:  # a whole book, or none any more
        pressure.touched[BID] = RESHAPED
        pressure.touched[ASK] = RESHAPED


@kernel
def apply_change(changes, s, lots):
    """Lots added to a side of the book, or removed from it. Arithmetic: branches would be guessed wrong."""
    changes.removed_lots[s] += max(-lots, 0)
    is_selling = (1 if lots < 0 else 0) ^ s
    changes.second_lots[BAND_BOUGHT + is_selling] += abs(lots)


@kernel
def apply_after(market, books, listing_id, s, is_comparable):
    """After a side of the book has moved: the change of its touch (Cont, Kukanov and Stoikov 2014, e_n)."""
    book, changes = market.books[listing_id], market.changes[listing_id]
    x, before_x = book.best_x[s], changes.touch_x[s]
    lots = book_ops.lots_at(books, listing_id, s, x) if x != NO_X else 0  # the ladder covers the best
    if is_comparable and before_x != NO_X and x != NO_X:
        pushed = (lots if x >= before_x else 0) - (changes.touch_lots[s] if x <= before_x else 0)
        is_selling = (1 if pushed < 0 else 0) ^ s
        changes.second_lots[BOUGHT + is_selling] += abs(pushed)
    changes.touch_x[s] = x
    changes.touch_lots[s] = lots


@kernel
def apply_shown(pressure, s, ts_ns):
    """What has been displayed since ts_band_ns was displayed until now."""
    pressure.lots_ns[s] += pressure.band_lots[s] * (ts_ns - pressure.ts_band_ns[s])
    pressure.ts_band_ns[s] = ts_ns


@kernel
def close_second(market, params, listing_id, second):
    """The running second joins the window; its cancellations are set against what was displayed."""
    changes, pressure = market.changes[listing_id], market.pressures[listing_id]
    for f in range(4):
        leaving = changes.lots_by_second[(second - params.flow_s) & MASK, f]
        changes.lots_by_second[second & MASK, f] = changes.second_lots[f]
        changes.window_lots[f] += changes.second_lots[f] - leaving
        changes.second_lots[f] = 0
    for s in range(2):
        pressure.touched[s] = RESHAPED  # a sum kept up by differences is made anew before its rounding can tell
        apply_shown(pressure, s, (second + 1) * NS_PER_S)
        cancelled = max(changes.removed_lots[s] - changes.traded_lots[s], 0)
        shown = pressure.lots_ns[s] / NS_PER_S
        changes.flicker[s] = cancelled / shown if shown > 0.0 else 0.0
        changes.removed_lots[s] = 0
        changes.traded_lots[s] = 0
        pressure.lots_ns[s] = 0.0


# --- what a group says ---------------------------------------------------------------------------------------
@kernel
def group_flow(universe, market, params, group_id, first, ts_ns):
    """(bought, sold) over the window in base units, fresh listings only; `first` is BOUGHT or BAND_BOUGHT."""
    group = universe.groups[group_id]
    bought, sold = 0.0, 0.0
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        listing = universe.listings[listing_id]
        if is_fresh(universe, market, params, listing_id, ts_ns):
            changes = market.changes[listing_id]
            price = mid_ticks(market.books[listing_id]) * listing.tick_price
            up = changes.window_lots[first] + changes.second_lots[first]
            down = changes.window_lots[first + 1] + changes.second_lots[first + 1]
            bought += base_from_lots(listing, up, price)
            sold += base_from_lots(listing, down, price)
    return bought, sold


@kernel
def flow_imbalance(universe, market, params, group_id, ts_ns):
    """OFI over the window as a share of all flow: -1 all selling, 1 all buying, 0 when nothing happened."""
    bought, sold = group_flow(universe, market, params, group_id, BOUGHT, ts_ns)
    return (bought - sold) / (bought + sold) if bought + sold > 0.0 else 0.0


@kernel
def flicker(universe, market, params, group_id, side, ts_ns):
    """The signal's own side over the last whole second: cancelled over displayed, weighted by what is displayed."""
    group, s = universe.groups[group_id], BID if side > 0 else ASK
    weighted, weight_sum = 0.0, 0.0
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        pressure = market.pressures[listing_id]
        if is_fresh(universe, market, params, listing_id, ts_ns):
            weight = pressure.side_quote[s]
            weighted += weight * market.changes[listing_id].flicker[s]
            weight_sum += weight
    return weighted / weight_sum if weight_sum > 0.0 else 0.0


@kernel
def venue_votes(universe, market, params, group_id, side, ts_ns):
    """(fresh venues with a book, venues whose own ratio leans to `side`)."""
    group = universe.groups[group_id]
    fresh, agreeing = 0, 0
    for venue_id in range(universe.venue_count):
        bid, ask = 0.0, 0.0
        for k in range(group.listing_count):
            listing_id = group.listing_ids[k]
            is_here = universe.listings[listing_id].venue_id == venue_id
            if is_here and is_fresh(universe, market, params, listing_id, ts_ns):
                bid += market.pressures[listing_id].side_quote[BID]
                ask += market.pressures[listing_id].side_quote[ASK]
        if bid > 0.0 and ask > 0.0:
            fresh += 1
            agreeing += 1 if (bid - ask) * side > 0.0 else 0
    return fresh, agreeing
