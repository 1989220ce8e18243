"""A simulated venue: IOC orders meet the book as it stands at the venue when they arrive, after latency.

The recorded market is what we *received*; the venue's own book at arrival also holds the packets that had left it
by then but had not reached us. Those rows are looked up ahead on the tape and laid over the book as a list, never
written to it. What we took ourselves stays taken until the level changes.
"""

import math

import numpy as np

from ..core import books as book_ops
from ..core.jit import allocating, kernel, routine
from ..core.kinds import CommandKind, Kind, ListingKind, RejectReason
from ..core.quotes import mid_ticks, side_rows
from ..core.schema import CONSUMED, IN_FLIGHT, LADDER, NEVER_NS, NO_X, REPLIES
from ..core.units import BID, fee_from_ppm, side_index, x_from_ticks

DEPTH = Kind.DEPTH.value
FILL, EXPIRED, REJECTED = Kind.FILL.value, Kind.EXPIRED.value, Kind.REJECTED.value
SEND = CommandKind.SEND.value
DARK, LINEAR = ListingKind.DARK.value, ListingKind.LINEAR.value
REASON_VENUE = RejectReason.VENUE.value

OVERLAY = 4096  # price levels that may change while an order is on its way
FILLS_MAX = 16  # price levels one IOC may take; what is left expires
PRIME = 2**31 - 1
JITTER_SIGMA = 0.5
JITTER_TIMES_MAX = 20.0


# --- chance from a counter, so that it does not depend on the order of calls ----------------------------------
@kernel
def chance(seed, order_id, salt):
    """A number in (0, 1) that depends on its three arguments only."""
    h = seed % PRIME + 1
    h = (h * 48271 + order_id % PRIME + 1) % PRIME
    h = (h * 69621 + salt + 1) % PRIME
    for _ in range(3):
        h = ((h ^ (h >> 13)) * 16807 + 11) % PRIME
    return (h + 0.5) / PRIME


@kernel
def jitter_ns(sim_params, order_id, salt):
    """Extra latency: lognormal around jitter_ns."""
    if sim_params.jitter_ns == 0:
        return 0
    u, v = chance(sim_params.seed, order_id, salt), chance(sim_params.seed, order_id, salt + 1)
    normal = math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v)
    return int(sim_params.jitter_ns * min(math.exp(JITTER_SIGMA * normal), JITTER_TIMES_MAX))


# --- orders on their way ----------------------------------------------------------------------------------------
@kernel
def submit(universe, market, trader, venue, sim_params):
    """Everything in the trader's outbox leaves for the venues."""
    outbox = trader.outbox
    for k in range(outbox.count):
        command = outbox.commands[k]
        if command.kind == SEND:
            launch(universe, market, venue, sim_params, command)
        else:
            release_lost(venue, sim_params, command)
    outbox.count = 0


@routine
def launch(universe, market, venue, sim_params, command):
    slot = 0
    while venue.in_flight[slot].is_used:
        slot += 1
        assert slot < IN_FLIGHT
    flight = venue.in_flight[slot]
    flight.is_used = 1
    flight.ts_arrival_ns = command.ts_ns + sim_params.entry_ns + jitter_ns(sim_params, command.order_id, 1)
    reference_id = universe.listings[command.listing_id].reference_id
    flight.mid_x2_ticks = int(2.0 * mid_ticks(market.books[reference_id]))
    flight.command = command
    venue.next_ns = min(venue.next_ns, flight.ts_arrival_ns)


@routine
def release_lost(venue, sim_params, command):
    """A query brings every report of the order that had been lost."""
    ts_ns = command.ts_ns + sim_params.entry_ns + sim_params.response_ns
    for k in range(REPLIES):
        reply = venue.replies[k]
        if reply.is_used and reply.packet.ts_local_ns == NEVER_NS and reply.packet.order_id == command.order_id:
            reply.packet.ts_local_ns = ts_ns
            venue.next_ns = min(venue.next_ns, ts_ns)


@kernel
def refresh_next(venue):
    """Earliest arrival or reply."""
    next_ns = NEVER_NS
    for k in range(IN_FLIGHT):
        if venue.in_flight[k].is_used:
            next_ns = min(next_ns, venue.in_flight[k].ts_arrival_ns)
    for k in range(REPLIES):
        if venue.replies[k].is_used:
            next_ns = min(next_ns, venue.replies[k].packet.ts_local_ns)
    venue.next_ns = next_ns


@kernel
def due_arrival(venue, ts_ns):
    """Slot of the earliest order arriving at or before ts_ns; -1 when none is."""
    best, best_ns = -1, ts_ns + 1
    for k in range(IN_FLIGHT):
        flight = venue.in_flight[k]
        if flight.is_used and flight.ts_arrival_ns < best_ns:
            best, best_ns = k, flight.ts_arrival_ns
    return best


@kernel
def due_reply(venue, ts_ns):
    """Slot of the earliest reply due at or before ts_ns, in the order they were made; -1 when none is."""
    best, best_ns, best_no = -1, ts_ns + 1, 0
    for k in range(REPLIES):
        reply = venue.replies[k]
        if not reply.is_used:
            continue
        reply_ns = reply.packet.ts_local_ns
        if reply_ns < best_ns or (reply_ns == best_ns and reply.order_no < best_no):
            best, best_ns, best_no = k, reply_ns, reply.order_no
    return best


# --- the venue's book at arrival ----------------------------------------------------------------------------------
@routine
def lay_over(packets, levels, cursor, listing_id, s, ts_arrival_ns, lookahead_ns, overlay_x, overlay_lots):
    """Rows of one side that had left the venue by ts_arrival_ns but not reached us; returns how many x they touch."""
    count = 0
    for i in range(cursor, len(packets)):
        packet = packets[i]
        if packet.ts_local_ns > ts_arrival_ns + lookahead_ns:
            break
        if packet.listing_id != listing_id or packet.kind != DEPTH or packet.ts_venue_ns > ts_arrival_ns:
            continue
        begin, end = side_rows(packet, s)
        for k in range(begin, end):
            count = put_over(overlay_x, overlay_lots, count, x_from_ticks(s, levels[k].price_ticks), levels[k].lots)
    return count


@kernel
def put_over(overlay_x, overlay_lots, count, x, lots):
    for k in range(count):
        if overlay_x[k] == x:
            overlay_lots[k] = lots
            return count
    assert count < OVERLAY
    overlay_x[count] = x
    overlay_lots[count] = lots
    return count + 1


@kernel
def next_level(books, book, listing_id, s, x, overlay_x, overlay_lots, count):
    """Best (x', lots) at or below x in the book with its overlay; lots 0 when there is none in the window."""
    ladder_x = x
    while True:
        top_x = min(ladder_x, book.best_x[s])
        ladder_x = book_ops.level_at_or_below(books, listing_id, s, top_x, book.low_x[s]) if top_x != NO_X else NO_X
        if ladder_x == NO_X or not is_over(overlay_x, count, ladder_x):
            break
        ladder_x -= 1
    best_x = ladder_x
    best_lots = book_ops.lots_at(books, listing_id, s, ladder_x) if ladder_x != NO_X else 0
    for k in range(count):
        if overlay_lots[k] > 0 and overlay_x[k] <= x and overlay_x[k] > best_x:
            best_x, best_lots = overlay_x[k], overlay_lots[k]
    return best_x, best_lots


@kernel
def is_over(overlay_x, count, x):
    for k in range(count):
        if overlay_x[k] == x:
            return True
    return False


# --- what we took stays taken ---------------------------------------------------------------------------------------
@kernel
def consumed_lots(venue, listing_id, s, x):
    for k in range(venue.consumed_count):
        taken = venue.consumed[k]
        if taken.listing_id == listing_id and taken.side == s and taken.x == x:
            return taken.lots
    return 0


@routine
def apply_consumed(venue, listing_id, s, x, lots, ts_ns):
    for k in range(venue.consumed_count):
        taken = venue.consumed[k]
        if taken.listing_id == listing_id and taken.side == s and taken.x == x:
            taken.lots += lots
            taken.ts_taken_ns = ts_ns
            return
    if venue.consumed_count == CONSUMED:
        drop_consumed(venue, 0)  # the oldest is the likeliest to have been refreshed
    taken = venue.consumed[venue.consumed_count]
    taken.listing_id = listing_id
    taken.side = s
    taken.x = x
    taken.lots = lots
    taken.ts_taken_ns = ts_ns
    venue.consumed_count += 1


@kernel
def drop_consumed(venue, k):
    for j in range(k, venue.consumed_count - 1):
        venue.consumed[j] = venue.consumed[j + 1]
    venue.consumed_count -= 1


@routine
def forget_consumed(venue, packet, levels):
    """A level that the venue printed anew is whole again; a snapshot renews them all.

    What left the venue before we took the level does not know of it and renews nothing.
    """
    k = 0
    while k < venue.consumed_count:
        taken = venue.consumed[k]
        is_renewed = False
        if taken.listing_id == packet.listing_id and packet.ts_venue_ns > taken.ts_taken_ns:
            begin, end = side_rows(packet, taken.side)
            is_renewed = packet.kind != DEPTH
            for i in range(begin, end):
                is_renewed = is_renewed or x_from_ticks(taken.side, levels[i].price_ticks) == taken.x
        if is_renewed:
            drop_consumed(venue, k)
        else:
            k += 1


# --- matching ---------------------------------------------------------------------------------------------------------
@routine
def match(universe, market, books, venue, sim_params, slot, packets, levels, cursor):
    """The order in this slot reaches its venue: fills level by level, then what is left expires."""
    flight = venue.in_flight[slot]
    flight.is_used = 0
    command = flight.command
    if chance(sim_params.seed, command.order_id, 5) * 1e6 < sim_params.reject_ppm:
        reply(venue, sim_params, command, flight.ts_arrival_ns, REJECTED, 0, 0, 0, 0, REASON_VENUE)
        return
    if universe.listings[command.listing_id].kind == DARK:
        left = match_midpoint(universe, market, books, venue, sim_params, flight, packets, levels, cursor)
    else:
        left = match_book(universe, market, books, venue, sim_params, flight, packets, levels, cursor)
    if left > 0:
        reply(venue, sim_params, command, flight.ts_arrival_ns, EXPIRED, 0, 0, 0, 0, 0)


@allocating
def match_book(universe, market, books, venue, sim_params, flight, packets, levels, cursor):
    command = flight.command
    listing_id = command.listing_id
    book = market.books[listing_id]
    s = side_index(-command.side)
    limit_x = x_from_ticks(s, command.price_ticks)
    overlay_x, overlay_lots = np.zeros(OVERLAY, np.int64), np.zeros(OVERLAY, np.int64)
    count = lay_over(
        packets, levels, cursor, listing_id, s, flight.ts_arrival_ns, sim_params.lookahead_ns, overlay_x, overlay_lots
    )
    left, x, fills = command.lots, book.low_x[s] + LADDER - 1, 0
    for k in range(count):
        x = max(x, overlay_x[k])
    while left > 0 and fills < FILLS_MAX:
        x, shown = next_level(books, book, listing_id, s, x, overlay_x, overlay_lots, count)
        if shown == 0 or x < limit_x:
            break
        lots = min(left, shown - consumed_lots(venue, listing_id, s, x))
        if lots > 0:
            left -= lots
            fills += 1
            apply_consumed(venue, listing_id, s, x, lots, flight.ts_arrival_ns)
            fill(universe, venue, sim_params, flight, x if s == BID else -x, lots)
        x -= 1
    return left


@routine
def match_midpoint(universe, market, books, venue, sim_params, flight, packets, levels, cursor):
    """All or nothing at the reference's midpoint, likelier when the price has moved against us since."""
    command = flight.command
    listing = universe.listings[command.listing_id]
    reference = universe.listings[listing.reference_id]
    mid_x2 = arrival_mid_x2(market, books, sim_params, flight, listing.reference_id, packets, levels, cursor)
    if mid_x2 == 0:
        return command.lots
    drift = (mid_x2 - flight.mid_x2_ticks) * command.side
    likelihood = sim_params.dark_fill_ppm * (1.0 if drift == 0 else (0.5 if drift > 0 else 1.5))
    price = 0.5 * mid_x2 * reference.tick_price
    price_ticks = int(math.floor(price / listing.tick_price + 0.5))
    is_priced = (command.price_ticks - price_ticks) * command.side >= 0
    if not is_priced or chance(sim_params.seed, command.order_id, 7) * 1e6 >= likelihood:
        return command.lots
    fill(universe, venue, sim_params, flight, price_ticks, command.lots)
    return 0


@allocating
def arrival_mid_x2(market, books, sim_params, flight, listing_id, packets, levels, cursor):
    """Bid plus ask in ticks at the venue on arrival; 0 when a side is empty."""
    book = market.books[listing_id]
    total = 0
    overlay_x, overlay_lots = np.zeros(OVERLAY, np.int64), np.zeros(OVERLAY, np.int64)
    for s in range(2):
        count = lay_over(
            packets,
            levels,
            cursor,
            listing_id,
            s,
            flight.ts_arrival_ns,
            sim_params.lookahead_ns,
            overlay_x,
            overlay_lots,
        )
        top_x = book.low_x[s] + LADDER - 1
        for k in range(count):
            top_x = max(top_x, overlay_x[k])
        x, lots = next_level(books, book, listing_id, s, top_x, overlay_x, overlay_lots, count)
        if lots == 0:
            return 0
        total += x if s == BID else -x
    return total


@kernel
def fill(universe, venue, sim_params, flight, price_ticks, lots):
    """One fill with its fee: from the coin bought where the venue does so, else from the quote."""
    command = flight.command
    listing = universe.listings[command.listing_id]
    if listing.is_fee_in_base and command.side > 0 and listing.kind != LINEAR:
        fee_atoms = fee_from_ppm(lots * listing.base_atoms_per_lot, listing.taker_fee_ppm)
        asset_id = listing.base_id
    else:
        fee_atoms = fee_from_ppm(price_ticks * lots * listing.quote_atoms_per_tick_lot, listing.taker_fee_ppm)
        asset_id = listing.settle_id
    reply(venue, sim_params, command, flight.ts_arrival_ns, FILL, price_ticks, lots, -fee_atoms, asset_id, 0)


@routine
def reply(venue, sim_params, command, ts_venue_ns, kind, price_ticks, lots, atoms, asset_id, code):
    """Queue a report. A lost one waits until the order is queried."""
    slot = 0
    while venue.replies[slot].is_used:
        slot += 1
        assert slot < REPLIES
    order_id = command.order_id
    is_lost = chance(sim_params.seed, order_id, 9) * 1e6 < sim_params.lost_reply_ppm
    ts_local_ns = ts_venue_ns + sim_params.response_ns + jitter_ns(sim_params, order_id, 3)
    to = venue.replies[slot]
    to.is_used = 1
    to.order_no = venue.reply_no
    venue.reply_no += 1
    venue.lost_count += 1 if is_lost else 0
    packet = to.packet
    packet.seq = 0
    packet.ts_local_ns = NEVER_NS if is_lost else ts_local_ns
    packet.ts_venue_ns = ts_venue_ns
    packet.level_begin = 0
    packet.order_id = order_id
    packet.atoms = atoms
    packet.buy_count = 1 if lots > 0 and command.side > 0 else 0
    packet.sell_count = 1 if lots > 0 and command.side < 0 else 0
    packet.listing_id = command.listing_id
    packet.kind = kind
    packet.code = code
    packet.asset_id = asset_id
    to.row.price_ticks = price_ticks
    to.row.lots = lots
    venue.next_ns = min(venue.next_ns, packet.ts_local_ns)
