"""A decider that sends the orders written in `memory` and nothing else: venues and accounts without a strategy.

memory = [next order, orders, then per order: due ns, listing, side, limit ticks, lots, is_exit]
"""

from elegant_trading_system.core import execution_engine
from elegant_trading_system.core.jit import kernel, routine

WIDTH = 6


@kernel
def foresee(universe, market, books, memory, market_params, packet, levels):  # type: ignore[no-untyped-def]
    pass


@kernel
def observe(universe, market, books, memory, market_params, packet, levels):  # type: ignore[no-untyped-def]
    pass


@kernel
def on_packet(universe, market, books, trader, memory, market_params, params, packet):  # type: ignore[no-untyped-def]
    pass


@kernel
def on_report(universe, market, books, trader, memory, market_params, params, listing_id, packet, levels):  # type: ignore[no-untyped-def]
    pass


@routine
def decide(universe, market, books, trader, memory, market_params, params, history, ts_ns):  # type: ignore[no-untyped-def]
    trader.ts_ns = ts_ns
    execution_engine.check_deadlines(trader, params, ts_ns)
    while memory[0] < memory[1] and memory[2 + WIDTH * memory[0]] <= ts_ns:
        at = 2 + WIDTH * memory[0]
        memory[0] += 1
        execution_engine.send(
            trader,
            memory[at + 1],
            memory[at + 2],
            memory[at + 3],
            memory[at + 4],
            memory[0],
            memory[at + 5],
            0,
            (0.0, 0.0),
            ts_ns,
        )
