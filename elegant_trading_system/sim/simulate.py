"""The backtest loop: recorded market, K traders and their simulated venues, merged in time.

The market is stepped once for all traders; each trader hears only its own replies, so each equals, byte for byte,
the run it would have had alone.
"""

from ..core import engine as product
from ..core.history import History
from ..core.jit import entry, kernel
from ..core.market_data import apply_boundary
from ..core.schema import NEVER_NS, REPLIES, Kind
from . import venue as venue_ops

engine = globals().get("engine_override", product)
decider = engine.decider

DEPTH, TRADE = Kind.DEPTH.value, Kind.TRADE.value
FILL = Kind.FILL.value


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
def has_room(evaluations, equity, commands, replies, counts):
    """Room in every log of every trader for one more boundary or event."""
    for k in range(len(counts)):
        history = History(evaluations[k], equity[k], counts[k])
        if not engine.has_room(history, commands[k], counts[k, 3]) or counts[k, 2] + REPLIES > replies.shape[1]:
            return False
    return True


@entry
def simulate(
    worlds, traders, venues, memory, market_params, params, sim_params, tape, cursor, end, is_last,
    evaluations, equity, commands, replies, rows, counts,
):
    """Run packets [cursor, end) of the tape; returns the next cursor.

    worlds = (universe[1], market[1], books[1]); tape = (packets, levels), whole, because the venue looks ahead.
    Logs have one row per trader; counts[k] = evaluations, equity, replies, commands. Returns early when a log is
    full: empty it and call again. With is_last, what is in flight after the last packet is still delivered.
    """
    universe, market, books = worlds[0][0], worlds[1][0], worlds[2][0]
    packets, levels = tape
    traders_count = len(traders)
    while True:
        market_ns = packets[cursor].ts_local_ns if cursor < end else NEVER_NS
        if cursor >= end and not is_last:
            return cursor
        if not has_room(evaluations, equity, commands, replies, counts):
            return cursor
        venue_ns = earliest_ns(venues)
        now_ns = min(market_ns, venue_ns)
        if now_ns == NEVER_NS:
            return cursor
        if engine.is_boundary_due(market, market_params[0], now_ns):
            boundary_ns = apply_boundary(universe, market, market_params[0])
            for k in range(traders_count):
                history = History(evaluations[k], equity[k], counts[k])
                decider.decide(
                    universe, market, books, traders[k], memory, market_params[0], params[k], history, boundary_ns
                )
                counts[k, 3] = keep(universe, market, traders[k], venues[k], sim_params[k], commands[k], counts[k, 3])
            continue
        if venue_ns <= market_ns:
            for k in range(traders_count):
                if venues[k].next_ns == venue_ns:
                    serve(
                        universe, market, books, traders[k], venues[k], memory, market_params[0], params[k],
                        sim_params[k], tape, cursor, venue_ns, evaluations[k], equity[k], commands[k], replies[k],
                        rows[k], counts[k],
                    )
            continue
        packet = packets[cursor]
        cursor += 1
        engine.observe(universe, market, books, memory, market_params[0], packet, levels)
        for k in range(traders_count):
            if venues[k].consumed_count > 0 and packet.kind != TRADE:
                venue_ops.forget_consumed(venues[k], packet, levels)
            history = History(evaluations[k], equity[k], counts[k])
            engine.react(
                universe, market, books, traders[k], memory, market_params[0], params[k], history, packet
            )
            if traders[k].outbox.count > 0:
                counts[k, 3] = keep(universe, market, traders[k], venues[k], sim_params[k], commands[k], counts[k, 3])


@kernel
def keep(universe, market, trader, venue, sim_params, commands, count):
    """Log the outbox, then send it to the venues."""
    if len(commands) > 0:
        for i in range(trader.outbox.count):
            commands[count] = trader.outbox.commands[i]
            count += 1
    venue_ops.submit(universe, market, trader, venue, sim_params)
    return count


@kernel
def serve(
    universe, market, books, trader, venue, memory, market_params, params, sim_params, tape, cursor, ts_ns,
    evaluations, equity, commands, replies, rows, counts,
):
    """One arrival, or one reply, due at ts_ns."""
    packets, levels = tape
    slot = venue_ops.due_arrival(venue, ts_ns)
    if slot >= 0:
        venue_ops.match(universe, market, books, venue, sim_params, slot, packets, levels, cursor)
    else:
        slot = venue_ops.due_reply(venue, ts_ns)
        reply = venue.replies[slot]
        reply.is_used = 0
        log_reply(trader, reply, replies, rows, counts)
        history = History(evaluations, equity, counts)
        engine.hear(
            universe, market, books, trader, memory, market_params, params, history, replies[counts[2] - 1], rows
        )
        counts[3] = keep(universe, market, trader, venue, sim_params, commands, counts[3])
    venue_ops.refresh_next(venue)
