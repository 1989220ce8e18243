"""Market data aggregator: packets -> books, flow and bars. What the world is; it knows no trader."""

import numpy as np

from . import bars as bar_ops
from . import books as book_ops
from . import order_flow, windows
from .correlation import apply_clusters, roll_correlations
from .jit import kernel, routine
from .kinds import AssetClass, BookState, Kind, ListingKind, SessionState
from .quotes import is_crossed, is_fresh, is_market_open, is_two_sided, liquidity_now, mid_price, side_rows
from .schema import LISTING_MASK, NO_X, NS_PER_S, SECONDS
from .units import ASK, BID, is_sane_row, x_from_ticks
from .volatility import apply_value

DEPTH, SNAPSHOT, TRADE, STATUS = Kind.DEPTH.value, Kind.SNAPSHOT.value, Kind.TRADE.value, Kind.STATUS.value
BAR, SESSION = Kind.BAR.value, Kind.SESSION.value
LIVE, RESYNC = BookState.LIVE.value, BookState.RESYNC.value
VOLATILITY = ListingKind.VOLATILITY.value
OPEN, HALTED = SessionState.OPEN.value, SessionState.HALTED.value
CRYPTO = AssetClass.CRYPTO.value
PRINT_MAX = 2**52  # ticks * lots of one print: a thousand of these still fit a window sum
HISTORY_GAP_S = 120  # between the last bar of history and the first packet
LIQUIDITY_S = 3600.0  # time constant of a listing's liquidity


@kernel
def apply_packet(universe, market, books, params, packet, levels):
    """One market packet moves its listing's book or flow."""
    listing_id = np.int64(packet.listing_id) & LISTING_MASK  # known to be an index: saves a test per look-up
    book = market.books[listing_id]
    venue = market.venues[universe.listings[listing_id].venue_id]
    market.ts_ns = packet.ts_local_ns
    venue.ts_packet_ns = packet.ts_local_ns
    venue.packet_count += 1
    book.ts_packet_ns = packet.ts_local_ns
    if packet.kind == DEPTH:
        if book.state == LIVE:
            apply_depth(market, books, book, listing_id, packet, levels)
    elif packet.kind == TRADE:
        apply_trade(universe, market, params, listing_id, packet, levels)
    elif packet.kind == SNAPSHOT:
        apply_snapshot(market, books, book, listing_id, packet, levels)
    elif packet.kind == STATUS:
        book.state = packet.code
    elif packet.kind == BAR:
        apply_history_bar(universe, market, params, listing_id, packet, levels)
    elif packet.kind == SESSION:
        apply_session(universe, market, listing_id, packet)


@kernel
def apply_depth(market, books, book, listing_id, packet, levels):
    apply_rows(market, books, book, listing_id, packet, levels)
    book.ts_depth_ns = packet.ts_local_ns
    book_ops.settle(books, book, listing_id)
    if is_crossed(book):
        book.crossed_count += 1


@kernel
def apply_rows(market, books, book, listing_id, packet, levels):
    """Both sides in one loop: which side a row is on is arithmetic, where a branch would be guessed wrong half the time."""
    begin, middle = packet.level_begin, packet.level_begin + packet.buy_count
    for k in range(begin, middle + packet.sell_count):
        row = levels[np.uint64(k)]  # unsigned: without a test for counting from the end
        ticks, lots = row.price_ticks, row.lots
        s = 1 if k >= middle else 0
        x = x_from_ticks(s, ticks)
        if is_sane_row(ticks, lots) & book_ops.is_inside(book, s, x):
            book_ops.apply_inside(books, book, listing_id, s, x, lots)
        else:
            apply_odd_row(market, books, book, listing_id, s, ticks, lots)


@routine
def apply_odd_row(market, books, book, listing_id, s, ticks, lots):
    """A row outside the window, or one to refuse."""
    if not is_sane_row(ticks, lots):
        market.refused_count += 1
    else:
        book_ops.apply_outside(books, book, listing_id, s, x_from_ticks(s, ticks), lots)


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
    apply_rows(market, books, book, listing_id, packet, levels)
    book_ops.settle(books, book, listing_id)
    book.state = LIVE
    book.ts_depth_ns = packet.ts_local_ns
    if is_crossed(book):
        book.crossed_count += 1


@kernel
def apply_trade(universe, market, params, listing_id, packet, levels):
    flow = market.flows[listing_id]
    listing = universe.listings[listing_id]
    if listing.kind == VOLATILITY:
        apply_volatility(universe, market, params, listing_id, packet, levels)
        return
    group = market.groups[listing.group_id]
    is_reference = universe.groups[listing.group_id].reference_id == listing_id
    for k in range(packet.level_begin, packet.level_begin + packet.buy_count + packet.sell_count):
        row = levels[np.uint64(k)]
        ticks, lots = row.price_ticks, row.lots
        if not is_sane_row(ticks, lots) or float(lots) * ticks > PRINT_MAX:
            market.refused_count += 1
            continue
        flow.second_lots += lots
        flow.bucket_lots += lots
        flow.bucket_ticks_lots += lots * ticks
        flow.last_ticks = ticks
        flow.trade_count += 1
        if is_reference:
            bar_ops.apply_print(group.bars[0], ticks, lots)


@routine
def apply_volatility(universe, market, params, listing_id, packet, levels):
    """A volatility index prints its value."""
    listing = universe.listings[listing_id]
    is_dvol = universe.groups[listing.group_id].asset_class == CRYPTO
    for k in range(packet.level_begin, packet.level_begin + packet.buy_count):
        value = levels[k].price_ticks * listing.tick_price
        apply_value(market.volatilities[listing_id], params, value, packet.ts_local_ns, is_dvol)


@kernel
def apply_session(universe, market, listing_id, packet):
    """A market opens, closes or halts; an opening starts windows and VWAP anew, the end of a halt does not."""
    book, flow = market.books[listing_id], market.flows[listing_id]
    group_id = universe.listings[listing_id].group_id
    group = market.groups[group_id]
    if packet.code != OPEN:
        windows.apply_spread_time(group, packet.ts_local_ns)
        group.spread_bps = -1.0
    if packet.code == OPEN and book.session != HALTED:
        if universe.groups[group_id].reference_id == listing_id:
            group.seconds_seen = 0
        book.ts_session_ns = packet.ts_local_ns
        flow.vwap_lots = 0
        flow.vwap_ticks_lots = 0
        flow.bucket_lots = 0
        flow.bucket_ticks_lots = 0
    book.session = packet.code
    if packet.code == OPEN and packet.atoms > 0:
        book.ts_session_end_ns = packet.atoms


@kernel
def lose_books(universe, market, ts_ns):
    """Nobody listened: every book waits for a snapshot, and no spread is in force."""
    for listing_id in range(universe.listing_count):
        market.books[listing_id].state = RESYNC
    for group_id in range(universe.group_count):
        windows.apply_spread_time(market.groups[group_id], ts_ns)
        market.groups[group_id].spread_bps = -1.0


# --- history ------------------------------------------------------------------------------------------------
@kernel
def is_history(universe, packet):
    """What may come before the clock starts: bars, and prints of what is never traded."""
    return packet.kind == BAR or packet.kind == SESSION or universe.listings[packet.listing_id].kind == VOLATILITY


@routine
def apply_history_bar(universe, market, params, listing_id, packet, levels):
    """A bar of the past, known since ts_local_ns: volume into the windows, prices into the bars, one return."""
    group_id = universe.listings[listing_id].group_id
    group, flow = market.groups[group_id], market.flows[listing_id]
    end_s = packet.ts_local_ns // NS_PER_S
    length_s = packet.code * 60
    if packet.buy_count != 4 or length_s <= 0 or market.next_boundary_ns > 0:
        market.refused_count += 1
        return
    first = packet.level_begin
    close_ticks, lots = levels[first + 3].price_ticks, levels[first + 3].lots
    flow.last_ticks = close_ticks
    typical_x3_ticks = levels[first + 1].price_ticks + levels[first + 2].price_ticks + close_ticks
    windows.spread_volume(flow, params, end_s, length_s, lots, lots * typical_x3_ticks // 3)
    if universe.groups[group_id].reference_id != listing_id:
        return
    roll_correlations(universe, market, params, packet.ts_local_ns - 1)
    if (
        packet.ts_local_ns % params.correlation_ns == 0
    ):  # a close from before the interval's end would not be synchronous
        group.price = close_ticks * universe.listings[listing_id].tick_price
    group.seconds_seen += length_s
    if length_s == params.bar_s[0]:
        bar = group.bars[0]
        bar.open_ticks = levels[first].price_ticks
        bar.high_ticks = levels[first + 1].price_ticks
        bar.low_ticks = levels[first + 2].price_ticks
        bar.close_ticks = close_ticks
        bar.lots = lots
        bar_ops.apply_closed(universe, market, params, group_id, end_s)


@routine
def end_history(universe, market, params, ts_ns):
    """The clock starts: window sums from the rings. A gap between history and now is a cold start."""
    now_s = ts_ns // NS_PER_S
    for listing_id in range(universe.listing_count):
        flow = market.flows[listing_id]
        if flow.history_s == 0:
            continue
        windows.clear_seconds(flow, params, max(flow.history_s, now_s - SECONDS), now_s)
        for k in range(params.fast_s + params.slow_s):
            lots = flow.lots_by_second[(now_s - 1 - k) & windows.SECOND_MASK]
            if k < params.fast_s:
                flow.fast_lots += lots
            else:
                flow.slow_lots += lots
    for group_id in range(universe.group_count):
        group = market.groups[group_id]
        reference_id = universe.groups[group_id].reference_id
        if now_s - market.flows[reference_id].history_s > HISTORY_GAP_S:
            group.seconds_seen = 0
        elif universe.groups[group_id].listing_count > 1:
            hold_back_the_rest(universe, market, params, group_id, now_s)
    apply_clusters(universe, market, params)


@kernel
def hold_back_the_rest(universe, market, params, group_id, now_s):
    """Listings without a history count once their own windows are full: before, they would look like a surge."""
    group = universe.groups[group_id]
    for k in range(group.listing_count):
        flow = market.flows[group.listing_ids[k]]
        if now_s - flow.history_s > HISTORY_GAP_S:
            flow.warm_s = now_s + params.fast_s + params.slow_s


# --- boundaries -------------------------------------------------------------------------------------------
@kernel
def start_clock(universe, market, params, ts_ns):
    """The first packet that is not history chooses the first boundary."""
    if market.next_boundary_ns == 0:
        end_history(universe, market, params, ts_ns)
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
        windows.close_flow_second(market.flows[listing_id], params, second)
        if (second + 1) % params.vwap_bucket_s == 0:
            bucket = (second + 1) // params.vwap_bucket_s - 1
            windows.close_vwap_bucket(
                market.flows[listing_id], params, bucket, universe.listings[listing_id].is_anchored
            )
        order_flow.close_second(market, params, listing_id, second)
        close_book_second(universe, market, params, listing_id, boundary_ns)
    for group_id in range(universe.group_count):
        close_group_second(universe, market, params, group_id, second)
    roll_correlations(universe, market, params, boundary_ns)


@kernel
def close_book_second(universe, market, params, listing_id, boundary_ns):
    """The last LIVE mid, and the hour's average of what makes a venue primary (SCIENCE 1.12)."""
    book = market.books[listing_id]
    if is_two_sided(book) and is_fresh(universe, market, params, listing_id, boundary_ns):
        book.ts_fresh_ns = boundary_ns
        book.last_mid_x2_ticks = book.best_x[BID] - book.best_x[ASK]
        value = liquidity_now(universe, market, listing_id)
        is_first = book.liquidity == 0.0
        book.liquidity = value if is_first else book.liquidity + (value - book.liquidity) / LIQUIDITY_S


@kernel
def close_group_second(universe, market, params, group_id, second):
    group = market.groups[group_id]
    windows.apply_spread_time(group, (second + 1) * NS_PER_S)
    windows.close_spread_second(group, params, second)
    if is_any_live(universe, market, group_id) or group.seconds_seen > 0:
        group.seconds_seen += 1
    group.velocity = windows.velocity(universe, market, params, group_id)
    if group.slow_spread_us > 0:
        group.spread_average_bps = group.slow_spread / group.slow_spread_us / windows.UBPS
        group.decay_bps = max(params.decay_bps_min, params.decay_spreads * group.spread_average_bps)
    else:
        group.spread_average_bps = -1.0
        group.decay_bps = params.decay_bps_min
    group.is_vwap_known = windows.is_warm(group, params)
    reference_id = universe.groups[group_id].reference_id
    if universe.listings[reference_id].is_anchored:
        age_ns = (second + 1) * NS_PER_S - market.books[reference_id].ts_session_ns
        group.is_vwap_known = 1 if age_ns >= params.vwap_anchored_s * NS_PER_S else 0
    mid = mid_price(universe, market, reference_id)
    group.price = mid if mid > 0.0 and market.books[reference_id].state == LIVE else 0.0
    if (second + 1) % params.bar_s[0] == 0 and is_market_open(market.books[reference_id]):
        if group.seconds_seen >= params.bar_s[0]:
            bar_ops.close_shortest(universe, market, params, group_id, second + 1)
        else:
            bar_ops.reset_bar(group.bars[0])  # a bar that began before we listened is no bar


@kernel
def is_any_live(universe, market, group_id):
    for k in range(universe.groups[group_id].listing_count):
        if market.books[universe.groups[group_id].listing_ids[k]].state == LIVE:
            return True
    return False
