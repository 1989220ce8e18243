"""Market data aggregator: packets -> books, flow and bars. What the world is; it knows no trader."""

import math

import numpy as np

from . import books as book_ops
from .indicators import apply_bar_close, apply_print, reset_bar
from .jit import kernel, routine
from .kinds import BookState, Kind, ListingKind
from .schema import NO_X, NS_PER_S, SECONDS
from .units import ASK, BID, base_from_lots, x_from_ticks

DEPTH, SNAPSHOT, TRADE, STATUS = Kind.DEPTH.value, Kind.SNAPSHOT.value, Kind.TRADE.value, Kind.STATUS.value
LIVE, RESYNC = BookState.LIVE.value, BookState.RESYNC.value
DARK, INDEX = ListingKind.DARK.value, ListingKind.INDEX.value
SECOND_MASK = SECONDS - 1
PRICE_TICKS_MAX = 2**40
LOTS_MAX = 2**50
PRINT_MAX = 2**52  # ticks * lots of one print: a thousand of these still fit a window sum
UBPS = 1e4  # spread integrals are kept in 1e-4 bps times microseconds, so that window sums are exact


@kernel
def apply_packet(universe, market, books, packet, levels):
    """One market packet moves its listing's book or flow."""
    listing_id = np.int64(packet.listing_id)
    book = market.books[listing_id]
    venue = market.venues[universe.listings[listing_id].venue_id]
    market.ts_ns = packet.ts_local_ns
    market.packet_count += 1
    market.row_count += packet.buy_count + packet.sell_count
    venue.ts_packet_ns = packet.ts_local_ns
    venue.packet_count += 1
    book.ts_packet_ns = packet.ts_local_ns
    if packet.kind == DEPTH:
        if book.state == LIVE:
            apply_depth(market, books, book, listing_id, packet, levels)
    elif packet.kind == TRADE:
        apply_trade(universe, market, listing_id, packet, levels)
    elif packet.kind == SNAPSHOT:
        apply_snapshot(market, books, book, listing_id, packet, levels)
    elif packet.kind == STATUS:
        book.state = packet.code


@kernel
def apply_depth(market, books, book, listing_id, packet, levels):
    for s in range(2):
        begin, end = side_rows(packet, s)
        apply_rows(market, books, book, listing_id, s, levels, begin, end)
    book.ts_depth_ns = packet.ts_local_ns
    book_ops.settle(books, book, listing_id)
    if is_crossed(book):
        book.crossed_count += 1


@kernel
def side_rows(packet, s):
    """First row of one side of a packet, and the row behind its last."""
    middle = packet.level_begin + packet.buy_count
    if s == BID:
        return packet.level_begin, middle
    return middle, middle + packet.sell_count


@kernel
def apply_rows(market, books, book, listing_id, s, levels, begin, end):
    for k in range(begin, end):
        ticks, lots = levels[k].price_ticks, levels[k].lots
        if lots < 0 or lots > LOTS_MAX or ticks <= 0 or ticks > PRICE_TICKS_MAX:
            market.refused_count += 1
        else:
            book_ops.apply_level(books, book, listing_id, s, x_from_ticks(s, ticks), lots)


@routine
def apply_snapshot(market, books, book, listing_id, packet, levels):
    """Replace the whole book: evict what was there, centre the windows, apply every row."""
    book_ops.clear(books, book, listing_id)
    for s in range(2):
        begin, end = side_rows(packet, s)
        best_x = NO_X
        for k in range(begin, end):
            best_x = max(best_x, x_from_ticks(s, levels[k].price_ticks))
        if best_x != NO_X:
            book_ops.centre(book, s, best_x)
        apply_rows(market, books, book, listing_id, s, levels, begin, end)
    book_ops.settle(books, book, listing_id)
    book.state = LIVE
    book.ts_depth_ns = packet.ts_local_ns
    if is_crossed(book):
        book.crossed_count += 1


@kernel
def apply_trade(universe, market, listing_id, packet, levels):
    flow = market.flows[listing_id]
    listing = universe.listings[listing_id]
    group = market.groups[listing.group_id]
    is_reference = universe.groups[listing.group_id].reference_id == listing_id
    for k in range(packet.level_begin, packet.level_begin + packet.buy_count + packet.sell_count):
        ticks, lots = levels[k].price_ticks, levels[k].lots
        if lots < 0 or ticks <= 0 or ticks > PRICE_TICKS_MAX or lots > PRINT_MAX // ticks:
            market.refused_count += 1
            continue
        flow.second_lots += lots
        flow.bucket_lots += lots
        flow.bucket_ticks_lots += lots * ticks
        flow.last_ticks = ticks
        flow.trade_count += 1
        if is_reference:
            apply_print(group.bar, ticks, lots)


# --- reading ----------------------------------------------------------------------------------------------
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


# --- boundaries -------------------------------------------------------------------------------------------
@kernel
def start_clock(market, params, ts_ns):
    """The first packet chooses the first boundary."""
    if market.next_boundary_ns == 0:
        step_ns = boundary_step_ns(params)
        market.next_boundary_ns = (ts_ns // step_ns + 1) * step_ns


@kernel
def boundary_step_ns(params):
    return params.pass_ns if params.pass_ns > 0 else NS_PER_S


@kernel
def apply_boundary(universe, market, params):
    """Close what ends at the next boundary and move on; returns that boundary's stamp."""
    boundary_ns = market.next_boundary_ns
    market.ts_ns = boundary_ns
    if boundary_ns % NS_PER_S == 0:
        close_second(universe, market, params, boundary_ns)
    market.next_boundary_ns = boundary_ns + boundary_step_ns(params)
    return boundary_ns


@routine
def close_second(universe, market, params, boundary_ns):
    second = boundary_ns // NS_PER_S - 1
    for listing_id in range(universe.listing_count):
        close_flow_second(market.flows[listing_id], params, second)
        if (second + 1) % params.vwap_bucket_s == 0:
            close_vwap_bucket(market.flows[listing_id], params, (second + 1) // params.vwap_bucket_s - 1)
    for group_id in range(universe.group_count):
        close_group_second(universe, market, params, group_id, second)


@kernel
def close_flow_second(flow, params, second):
    """Fast window: the last fast_s closed seconds; slow window: the slow_s before them (SCIENCE 1.2)."""
    leaving_fast = flow.lots_by_second[(second - params.fast_s) & SECOND_MASK]
    leaving_slow = flow.lots_by_second[(second - params.fast_s - params.slow_s) & SECOND_MASK]
    flow.lots_by_second[second & SECOND_MASK] = flow.second_lots
    flow.fast_lots += flow.second_lots - leaving_fast
    flow.slow_lots += leaving_fast - leaving_slow
    flow.second_lots = 0


@kernel
def close_vwap_bucket(flow, params, bucket):
    slot = bucket % params.vwap_buckets
    flow.vwap_lots += flow.bucket_lots - flow.vwap_lots_by_bucket[slot]
    flow.vwap_ticks_lots += flow.bucket_ticks_lots - flow.vwap_ticks_lots_by_bucket[slot]
    flow.vwap_lots_by_bucket[slot] = flow.bucket_lots
    flow.vwap_ticks_lots_by_bucket[slot] = flow.bucket_ticks_lots
    flow.bucket_lots = 0
    flow.bucket_ticks_lots = 0


@kernel
def close_group_second(universe, market, params, group_id, second):
    group = market.groups[group_id]
    apply_spread_time(group, (second + 1) * NS_PER_S)
    close_spread_second(group, params, second)
    if is_any_live(universe, market, group_id) or group.seconds_seen > 0:
        group.seconds_seen += 1
    group.velocity = velocity(universe, market, params, group_id)
    if group.slow_spread_us > 0:
        group.spread_average_bps = group.slow_spread / group.slow_spread_us / UBPS
        group.decay_bps = max(params.decay_bps_min, params.decay_spreads * group.spread_average_bps)
    else:
        group.spread_average_bps = -1.0
        group.decay_bps = params.decay_bps_min
    group.is_vwap_known = is_warm(group, params)
    if (second + 1) % params.bar_s == 0:
        if group.seconds_seen >= params.bar_s:
            apply_bar_close(group.bar, params.atr_bars)
        else:
            reset_bar(group.bar)  # a bar that began before we listened is no bar


@kernel
def is_warm(group, params):
    return 1 if group.seconds_seen >= params.fast_s + params.slow_s else 0


@kernel
def is_any_live(universe, market, group_id):
    for k in range(universe.groups[group_id].listing_count):
        if market.books[universe.groups[group_id].listing_ids[k]].state == LIVE:
            return True
    return False


@kernel
def velocity(universe, market, params, group_id):
    """Volume of the fast window over the mean fast window inside the slow one, all venues; -1 when unknown."""
    group = universe.groups[group_id]
    if is_warm(market.groups[group_id], params) == 0:
        return -1.0
    fast, slow = 0.0, 0.0
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        listing, flow = universe.listings[listing_id], market.flows[listing_id]
        price = flow.last_ticks * listing.tick_price
        fast += base_from_lots(listing, flow.fast_lots, price)
        slow += base_from_lots(listing, flow.slow_lots, price)
    return fast * params.slow_s / (slow * params.fast_s) if slow > 0.0 else -1.0


@kernel
def apply_spread_time(group, ts_ns):
    """The spread in force since ts_spread_ns held until now."""
    if group.ts_spread_ns > 0 and group.spread_bps > 0.0:
        held_us = (ts_ns - group.ts_spread_ns) // 1000
        group.second_spread += int(math.floor(group.spread_bps * UBPS + 0.5)) * held_us
        group.second_spread_us += held_us
    group.ts_spread_ns = ts_ns


@kernel
def close_spread_second(group, params, second):
    entering, leaving = (second - params.fast_s) & SECOND_MASK, (second - params.fast_s - params.slow_s) & SECOND_MASK
    group.slow_spread += group.spread_by_second[entering] - group.spread_by_second[leaving]
    group.slow_spread_us += group.spread_us_by_second[entering] - group.spread_us_by_second[leaving]
    group.spread_by_second[second & SECOND_MASK] = group.second_spread
    group.spread_us_by_second[second & SECOND_MASK] = group.second_spread_us
    group.second_spread = 0
    group.second_spread_us = 0
