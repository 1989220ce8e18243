"""The backtest loop: recorded market, K traders and their simulated venues, merged in time.

The market is stepped once for all traders; each trader hears only its own replies, so each equals, byte for byte,
the run it would have had alone.
"""

from ..core import engine as product
from ..core.history import History
from ..core.jit import entry, kernel, part, routine
from ..core.kinds import Kind
from ..core.market_data import apply_boundary
from ..core.schema import NEVER_NS, REPLIES
from . import venue as venue_ops

engine = globals().get("engine_override", product)
decider = engine.decider

TRADE = Kind.TRADE.value


@kernel
def earliest_ns(venues):
    ts_ns = NEVER_NS
    for k in range(len(venues)):
        ts_ns = min(ts_ns, venues[k].next_ns)
    return ts_ns


@kernel
def log_reply(trader, reply, replies, rows, counts):
    """Keep what the tape does not hold: the report, its place among the trader's events, its row."""
    n = counts[2]
    replies[n] = reply.packet
    replies[n].seq = trader.seq
    replies[n].level_begin = n
    rows[n].price_ticks = reply.row.price_ticks
    rows[n].lots = reply.row.lots
    counts[2] = n + 1


@kernel
def history_of(logs, k):
    return History(logs[0][k], logs[1][k], logs[6][k], logs[5][k])


@kernel
def has_room(logs):
    """Room in every log of every trader for one more boundary or event."""
    commands, replies, counts = logs[2], logs[3], logs[5]
    for k in range(len(counts)):
        if not engine.has_room(history_of(logs, k), commands[k], counts[k, 3]):
            return False
        if counts[k, 2] + REPLIES > replies.shape[1]:
            return False
    return True


@entry
def simulate(worlds, traders, venues, memory, settings, tape, cursor, end, is_last, logs):
    """Run packets [cursor, end) of the tape; returns the next cursor.

    worlds = (universe[1], market[1], books[1]); settings = (market_params[1], params[K], sim_params[K]);
    tape = (packets, levels), whole, because the venue looks ahead; logs = (evaluations, equity, commands, replies,
    rows, counts, marks), a row per trader, counts[k] = evaluations, equity, replies, commands, marks. Returns early
    when a log is full: empty it and call again. With is_last, what is in flight after the last packet is still delivered.
    """
    universe, market, books = worlds[0][0], worlds[1][0], worlds[2][0]
    packets = tape[0]
    while cursor < end or is_last:
        market_ns = packets[cursor].ts_local_ns if cursor < end else NEVER_NS
        venue_ns = earliest_ns(venues)
        now_ns = min(market_ns, venue_ns)
        if now_ns == NEVER_NS or not has_room(logs):
            return cursor
        is_early = venue_ns <= market_ns or engine.is_early(universe, packets[cursor])
        if engine.is_boundary_due(universe, market, settings[0][0], now_ns, is_early):
            decide_all(worlds, traders, venues, memory, settings, logs, cursor >= end)
        elif venue_ns <= market_ns:
            for k in range(len(traders)):
                if venues[k].next_ns == venue_ns:
                    serve(worlds, traders[k], venues[k], memory, settings, tape, cursor, venue_ns, logs, k)
        else:
            quiet_ns = 0 if settings[0][0].pass_ns == 0 else min(venue_ns, market.next_boundary_ns)
            is_quiet = True
            while is_quiet:  # until a boundary, a report or an order of ours: nothing but packets
                packet = packets[cursor]
                cursor += 1
                is_sent = react_all(universe, market, books, traders, venues, memory, settings, packet, tape[1], logs)
                is_quiet = not is_sent and cursor < end and packets[cursor].ts_local_ns < quiet_ns
    return cursor


@part
def decide_all(worlds, traders, venues, memory, settings, logs, is_over):
    """The next boundary: the market closes what ends there, then every trader's portfolio pass.

    After the tape only traders that still wait for something go on: alone, the run of the others would have ended.
    """
    universe, market, books = worlds[0][0], worlds[1][0], worlds[2][0]
    boundary_ns = apply_boundary(universe, market, settings[0][0])
    for k in range(len(traders)):
        if is_over and venues[k].next_ns == NEVER_NS:
            continue
        history = history_of(logs, k)
        decider.decide(
            universe, market, books, traders[k], memory, settings[0][0], settings[1][k], history, boundary_ns
        )
        if traders[k].outbox.count > 0:
            send_all(universe, market, traders[k], venues[k], settings, logs, k)


@part
def react_all(universe, market, books, traders, venues, memory, settings, packet, levels, logs):
    """One market packet: observed once, answered by every trader; returns whether one sent anything."""
    market_params, params = settings[0][0], settings[1]
    is_sent = False
    engine.observe(universe, market, books, memory, market_params, packet, levels)
    for k in range(len(traders)):
        trader, venue = traders[k], venues[k]
        if venue.consumed_count > 0 and packet.kind != TRADE:
            venue_ops.forget_consumed(venue, packet, levels)
        engine.react(universe, market, books, trader, memory, market_params, params[k], packet)
        if market_params.pass_ns == 0:
            history = history_of(logs, k)
            ts_ns = packet.ts_local_ns
            decider.decide(universe, market, books, trader, memory, market_params, params[k], history, ts_ns)
        if trader.outbox.count > 0:
            send_all(universe, market, trader, venue, settings, logs, k)
            is_sent = True
    return is_sent


@routine
def send_all(universe, market, trader, venue, settings, logs, k):
    """Log the outbox, then send it to the venues."""
    commands, counts = logs[2], logs[5]
    if commands.shape[1] > 0:
        for i in range(trader.outbox.count):
            commands[k, counts[k, 3]] = trader.outbox.commands[i]
            counts[k, 3] += 1
    venue_ops.submit(universe, market, trader, venue, settings[2][k])


@routine
def serve(worlds, trader, venue, memory, settings, tape, cursor, ts_ns, logs, k):
    """One arrival, or one reply, due at ts_ns."""
    universe, market, books = worlds[0][0], worlds[1][0], worlds[2][0]
    packets, levels = tape
    slot = venue_ops.due_arrival(venue, ts_ns)
    if slot >= 0:
        venue_ops.match(universe, market, books, venue, settings[2][k], slot, packets, levels, cursor)
    else:
        replies, rows, counts = logs[3][k], logs[4][k], logs[5][k]
        slot = venue_ops.due_reply(venue, ts_ns)
        venue.replies[slot].is_used = 0
        log_reply(trader, venue.replies[slot], replies, rows, counts)
        packet = replies[counts[2] - 1]
        engine.hear(universe, market, books, trader, memory, settings[0][0], settings[1][k], packet, rows)
        if trader.outbox.count > 0:
            send_all(universe, market, trader, venue, settings, logs, k)
    venue_ops.refresh_next(venue)
