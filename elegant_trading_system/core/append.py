"""The end of a journal's running segment: an event's rows and header are laid there, and count when they are committed."""

from .jit import brief, in_order, kernel

PACKETS, ROWS = 1, 2  # where `head` counts them; 0 holds the schema's version


@kernel
def put(packets, head, ts_venue_ns, order_id, atoms, buys, sells, listing_id, kind, code, asset_id):
    """The next event's header, behind rows that lie there already. Nothing counts yet. Fields as PACKET has them."""
    packet = packets[head[PACKETS]]
    packet.ts_venue_ns = ts_venue_ns
    packet.level_begin = head[ROWS]
    packet.order_id = order_id
    packet.atoms = atoms
    packet.buy_count = buys
    packet.sell_count = sells
    packet.listing_id = listing_id
    packet.kind = kind
    packet.code = code
    packet.asset_id = asset_id


@kernel
def count_in(packets, head, seq_begin, ts_local_ns):
    """What was put counts from here on; returns its place. Whoever dies in between has left whole events only.

    Without a stamp of the venue's, it happened when we heard of it.
    """
    n = head[PACKETS]
    packet = packets[n]
    packet.seq = seq_begin + n
    packet.ts_local_ns = ts_local_ns
    if packet.ts_venue_ns == 0:
        packet.ts_venue_ns = ts_local_ns
    in_order()
    head[ROWS] += packet.buy_count + packet.sell_count
    in_order()
    head[PACKETS] = n + 1
    in_order()
    return n


@brief
def lay(packets, head, ts_venue_ns, order_id, atoms, buys, sells, listing_id, kind, code, asset_id):
    """`put`, from Python."""
    put(packets, head, ts_venue_ns, order_id, atoms, buys, sells, listing_id, kind, code, asset_id)


@brief
def commit(packets, head, seq_begin, ts_local_ns):
    """`count_in`, for who writes and goes no further; `engine.step` decides on it as well."""
    count_in(packets, head, seq_begin, ts_local_ns)
