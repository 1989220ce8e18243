"""What leaves the simulated venues: SNAPSHOT, DEPTH, TRADE and STATUS packets, and samples of the whole market."""

from ..core.jit import kernel, routine
from ..core.kinds import BookState, Kind
from ..core.schema import NS_PER_S
from .market_book import forget_changes, lots_at, side_sign
from .market_random import draw_exponential
from .market_records import DARK, LIT, RING, WINDOW

DEPTH, SNAPSHOT, TRADE, STATUS = Kind.DEPTH.value, Kind.SNAPSHOT.value, Kind.TRADE.value, Kind.STATUS.value
LIVE = BookState.LIVE.value

ROOM_PACKETS = 2 * LIT + 2  # one turn of the clock publishes no more
ROOM_LEVELS = 2 * LIT * RING


@kernel
def venue_ns(world):
    """The clock, as the venues stamp it."""
    return world.ts_second_ns + int(world.seconds * NS_PER_S + 0.5)


@kernel
def local_ns(world, model, listing):
    """When we receive what the venue sends now; packets of a listing do not overtake one another."""
    jitter_ns = model.latency_jitter_ns * min(20.0, draw_exponential(world.latency_random))
    ts_ns = venue_ns(world) + model.latency_ns[listing] + int(jitter_ns)
    return max(ts_ns, world.ts_local_ns[listing])


@kernel
def is_public(world, model):
    """Whether anybody is listening: not while the books fill, nor in studies that sample only."""
    return model.batch_ns > 0 and world.ts_second_ns >= model.ts_start_ns


@routine
def emit_packet(world, model, listing, kind, buy_count, packets, truth):
    """Header for the rows written since the last packet: `buy_count` of the buy side, the rest of the sell side."""
    index = world.packet_count
    packet = packets[index]
    begin = 0
    if index > 0:
        before = packets[index - 1]
        begin = before.level_begin + before.buy_count + before.sell_count
    world.ts_local_ns[listing] = local_ns(world, model, listing)
    packet.seq = 0
    packet.ts_local_ns = world.ts_local_ns[listing]
    packet.ts_venue_ns = venue_ns(world)
    packet.level_begin = begin
    packet.order_id = 0
    packet.atoms = 0
    packet.buy_count = buy_count
    packet.sell_count = world.level_count - begin - buy_count
    packet.listing_id = listing
    packet.kind = kind
    packet.code = LIVE if kind == STATUS else 0
    packet.asset_id = 0
    truth[index] = world.price
    world.packet_count = index + 1


@kernel
def emit_level(world, model, venue, ticks, lots, levels):
    """One row; internal ticks become the listing's."""
    levels[world.level_count].price_ticks = ticks * model.ticks_per_tick[venue] + model.basis_ticks[venue]
    levels[world.level_count].lots = lots
    world.level_count += 1


@routine
def emit_rows(world, ladders, model, venue, side, is_whole, levels):
    """Rows of one side, best first: all levels, or those that differ from what was published."""
    high_x, low_x = ladders.changed_high_x[venue, side], ladders.changed_low_x[venue, side]
    if is_whole:
        high_x = ladders.best_x[venue, side]
        low_x = high_x - WINDOW
    if high_x - low_x >= RING:
        world.fault = 1
        return
    for x in range(high_x, low_x - 1, -1):
        lots = lots_at(ladders, venue, side, x)
        if lots != ladders.published_lots[venue, side, x & (RING - 1)]:
            emit_level(world, model, venue, side_sign(side) * x, lots, levels)
            ladders.published_lots[venue, side, x & (RING - 1)] = lots


@routine
def emit_book(world, ladders, model, venue, is_whole, packets, levels, truth):
    """A venue's book, or what changed in it; nothing if nothing did."""
    before = world.level_count
    buy_count = 0
    for side in range(2):
        emit_rows(world, ladders, model, venue, side, is_whole, levels)
        if side == 0:
            buy_count = world.level_count - before
    if world.level_count > before:
        emit_packet(world, model, venue, SNAPSHOT if is_whole else DEPTH, buy_count, packets, truth)
    forget_changes(ladders, venue)


@kernel
def emit_prints(world, model, venue, aggressor, packets, levels, truth):
    """The prints gathered in the world, of one market order or one sniped quote."""
    if is_public(world, model):
        for i in range(world.print_count):
            ticks = side_sign(1 - aggressor) * world.print_x[i]
            emit_level(world, model, venue, ticks, world.print_lots[i], levels)
        buy_count = world.print_count if aggressor == 0 else 0
        emit_packet(world, model, venue, TRADE, buy_count, packets, truth)
    for i in range(world.print_count):
        world.traded_units[venue, aggressor] += world.print_lots[i] / model.unit_lots[venue]
    world.trade_count[venue] += 1
    world.print_count = 0


@kernel
def emit_heartbeat(world, model, packets, truth):
    """The dark venue shows nothing but that it lives."""
    emit_packet(world, model, DARK, STATUS, 0, packets, truth)


@kernel
def five_units(ladders, model, venue, side):
    lots = 0
    for depth in range(5):
        lots += lots_at(ladders, venue, side, ladders.best_x[venue, side] - depth)
    return lots / model.unit_lots[venue]


@routine
def emit_sample(world, ladders, model, samples):
    """The market as it is at this very instant."""
    sample = samples[world.sample_count]
    world.sample_count += 1
    sample.price = world.price
    sample.momentum = world.momentum
    for side in range(2):
        sample.rates[side] = world.rates[side]
        for venue in range(LIT):
            best_x = ladders.best_x[venue, side]
            sample.best_ticks[venue, side] = side_sign(side) * best_x
            sample.touch_units[venue, side] = lots_at(ladders, venue, side, best_x) / model.unit_lots[venue]
            sample.five_units[venue, side] = five_units(ladders, model, venue, side)
            sample.traded_units[venue, side] = world.traded_units[venue, side]
    for k in range(len(sample.excitation)):
        sample.excitation[k] = world.excitation[0, k] - world.excitation[1, k]
    for venue in range(LIT):
        sample.ofi_units[venue] = world.ofi_units[venue]
        sample.trade_count[venue] = world.trade_count[venue]
