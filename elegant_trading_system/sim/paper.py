"""The simulated venue by itself, for orders on a market that is watched live: the matching, latencies and fees of a backtest.

An order meets the book as we have received it at the moment it arrives: there is no tape to look ahead on.
"""

from ..core.jit import entry
from ..core.kinds import CommandKind, Kind
from ..core.schema import REPLIES
from . import venue as venue_ops

SEND = CommandKind.SEND.value
DEPTH, SNAPSHOT = Kind.DEPTH.value, Kind.SNAPSHOT.value


@entry
def send(universe, market, venues, sim_params, commands):
    """Commands leave for the venue."""
    for k in range(len(commands)):
        if commands[k].kind == SEND:
            venue_ops.launch(universe[0], market[0], venues[0], sim_params[0], commands[k])
        else:
            venue_ops.release_lost(venues[0], sim_params[0], commands[k])


@entry
def renew(venues, packets, levels):
    """Levels that the market has printed anew are whole again."""
    for i in range(len(packets)):
        if venues[0].consumed_count > 0 and (packets[i].kind == DEPTH or packets[i].kind == SNAPSHOT):
            venue_ops.forget_consumed(venues[0], packets[i], levels)


@entry
def serve(universe, market, books, venues, sim_params, ts_ns, replies, rows):
    """Everything that arrives or is answered at or before ts_ns; returns how many replies were written, in their order.

    `replies` and `rows` hold REPLIES each: call again when as many were written.
    """
    venue, count = venues[0], 0
    while venue.next_ns <= ts_ns and count < REPLIES:
        slot = venue_ops.due_arrival(venue, venue.next_ns)
        if slot >= 0:
            venue_ops.match(universe[0], market[0], books[0], venue, sim_params[0], slot, replies[:0], rows[:0], 0)
        else:
            slot = venue_ops.due_reply(venue, venue.next_ns)
            venue.replies[slot].is_used = 0
            replies[count] = venue.replies[slot].packet
            rows[count].price_ticks = venue.replies[slot].row.price_ticks
            rows[count].lots = venue.replies[slot].row.lots
            count += 1
        venue_ops.refresh_next(venue)
    return count
