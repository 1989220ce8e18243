"""The whole system in one function. Data goes down the page and never back up.

`advance` moves everything by a slice of events and touches nothing but the records it is given: time first (every
boundary up to the event, each decided at its own stamp), then the event, then what we do about it.
`sim.simulate` drives the same parts with a simulated venue between core and tape.
"""

import numpy as np

from . import breakers, execution_engine, market_data, portfolio_monitor, positions
from . import decider as product
from .append import PACKETS, count_in
from .history import History
from .jit import brief, entry, kernel, part
from .kinds import PRIVATE_FIRST, SYSTEM_FIRST, FeeSource, Kind, OperatorCommand
from .schema import GROUPS, MARK_HORIZONS, MARKS, OUTBOX

decider = globals().get("decider_override", product)

ACCEPTED, FILL, EXPIRED, REJECTED = (
    Kind.ACCEPTED.value,
    Kind.FILL.value,
    Kind.EXPIRED.value,
    Kind.REJECTED.value,
)
ADOPTED, OPERATOR = Kind.ADOPTED.value, Kind.OPERATOR.value
ELSEWHERE = FeeSource.ELSEWHERE.value
HALT, RESUME = OperatorCommand.HALT.value, OperatorCommand.RESUME.value
RESTART, RECONCILED = OperatorCommand.RESTART.value, OperatorCommand.RECONCILED.value
FLATTEN, STOP = OperatorCommand.FLATTEN.value, OperatorCommand.STOP.value


@kernel
def observe(universe, market, books, memory, market_params, packet, levels):
    """A market packet moves the world that all traders share."""
    decider.foresee(universe, market, books, memory, market_params, packet, levels)
    market_data.apply_packet(universe, market, books, market_params, packet, levels)
    decider.observe(universe, market, books, memory, market_params, packet, levels)


@kernel
def react(universe, market, books, trader, memory, market_params, params, packet):
    """One trader's answer to a market packet already observed; with pass_ns 0 a portfolio pass follows it."""
    trader.seq += 1
    decider.on_packet(universe, market, books, trader, memory, market_params, params, packet)


@kernel
def hear(universe, market, books, trader, memory, market_params, params, packet, levels):
    """One trader hears a report on its own order or account."""
    trader.seq += 1
    if packet.kind >= SYSTEM_FIRST:
        if packet.kind == OPERATOR:
            obey(universe, market, trader, packet.code, packet.ts_local_ns)
    elif packet.kind <= REJECTED:
        slot = execution_engine.apply_report(universe, trader, params, packet, levels)
        if slot >= 0:
            if packet.kind == FILL and packet.code == ELSEWHERE:
                portfolio_monitor.apply_foreign_fee(universe, market, trader, packet)
            listing_id = np.int64(packet.listing_id)
            decider.on_report(
                universe, market, books, trader, memory, market_params, params, listing_id, packet, levels
            )
    elif packet.kind == ADOPTED:
        positions.adopt(universe, market, trader, market_params, params, packet, levels)
    else:
        portfolio_monitor.apply_cash(universe, market, trader, packet)


@kernel
def obey(universe, market, trader, code, ts_ns):
    """What a person, or the one who starts a run again, tells the trader."""
    if code == HALT:
        trader.is_halted = 1
    elif code == FLATTEN:
        trader.is_halted = 1
        trader.is_flattening = 1
    elif code == RESUME:
        breakers.rearm(trader)
    elif code == RESTART:
        trader.is_paused = 1
        market_data.lose_books(universe, market, ts_ns)
        execution_engine.lose_orders(trader, ts_ns)
    elif code == STOP:
        trader.is_paused = 1
    elif code == RECONCILED:
        trader.is_paused = 0


@kernel
def is_boundary_due(universe, market, market_params, ts_ns, is_early):
    """Is there a boundary at or before ts_ns that has not been decided yet. What is early starts no clock."""
    if market.next_boundary_ns == 0:
        if is_early:
            return False
        market_data.start_clock(universe, market, market_params, ts_ns)
    return market.next_boundary_ns <= ts_ns


@kernel
def is_early(universe, packet):
    """History and reports, as long as nothing else has come."""
    return packet.kind >= PRIVATE_FIRST or market_data.is_history(universe, packet)


@kernel
def drain(trader, commands, count):
    """Move the outbox to the caller's array; returns the new count."""
    for k in range(trader.outbox.count):
        commands[count] = trader.outbox.commands[k]
        count += 1
    trader.outbox.count = 0
    return count


@kernel
def has_room(history, commands, count):
    """Room in every log for one more boundary or event."""
    is_evaluation_room = len(history.evaluations) == 0 or history.counts[0] + 2 * GROUPS <= len(history.evaluations)
    is_equity_room = len(history.equity) == 0 or history.counts[1] < len(history.equity)
    is_mark_room = len(history.marks) == 0 or history.counts[4] + MARKS * MARK_HORIZONS <= len(history.marks)
    return (
        is_evaluation_room
        and is_equity_room
        and is_mark_room
        and (len(commands) == 0 or count + OUTBOX <= len(commands))
    )


@part
def answer(universe, market, books, trader, memory, market_params, params, history, packet):
    """A market packet already observed: exits of its group, and the whole pass where every packet is a boundary."""
    react(universe, market, books, trader, memory, market_params[0], params[0], packet)
    if market_params[0].pass_ns == 0:
        ts_ns = packet.ts_local_ns
        decider.decide(universe, market, books, trader, memory, market_params[0], params[0], history, ts_ns)


@entry
def advance(worlds, traders, memory, market_params, params, logs, packets, levels, commands):
    """Feed events to the first trader; returns (events consumed, commands written).

    `worlds` is (universe[1], market[1], books[1]), `logs` the arrays of a History. Stops early when a log is full: empty it and call again with
    the events that are left. Live, recovery, replay and audit all come through here.
    """
    universe, market, books, trader = worlds[0][0], worlds[1][0], worlds[2][0], traders[0]
    history = History(logs[0], logs[1], logs[2], logs[3])
    count = 0
    for i in range(len(packets)):
        packet = packets[i]
        while is_boundary_due(universe, market, market_params[0], packet.ts_local_ns, is_early(universe, packet)):
            if not has_room(history, commands, count):
                return i, count
            boundary_ns = market_data.apply_boundary(universe, market, market_params[0])
            if trader.is_paused == 0:
                decider.decide(
                    universe, market, books, trader, memory, market_params[0], params[0], history, boundary_ns
                )
            count = drain(trader, commands, count)
        if not has_room(history, commands, count):
            return i, count
        if packet.kind < PRIVATE_FIRST:
            observe(universe, market, books, memory, market_params[0], packet, levels)
            if trader.is_paused:
                trader.seq += 1
            else:
                answer(universe, market, books, trader, memory, market_params, params, history, packet)
        else:
            hear(universe, market, books, trader, memory, market_params[0], params[0], packet, levels)
        count = drain(trader, commands, count)
    return len(packets), count


@brief
def step(
    worlds,
    traders,
    memory,
    market_params,
    params,
    logs,
    packets,
    levels,
    commands,
    head,
    seq_begin,
    ts_local_ns,
    is_new,
):
    """Live, as `advance`: the event that lies at the journal's end counts, and the core moves by it.

    Not new: it was counted before, and a log was full.
    """
    if is_new:
        count_in(packets, head, seq_begin, ts_local_ns)
    n = head[PACKETS] - 1
    return advance(worlds, traders, memory, market_params, params, logs, packets[n : n + 1], levels, commands)
