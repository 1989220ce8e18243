"""A decider that sends one IOC order and nothing else: memory = [is sent, side, limit in ticks, lots]."""
# ruff: noqa: ARG001 - deciders share one signature

from elegant_trading_system.core import execution_engine
from elegant_trading_system.core.jit import routine

from .stages import foresee, observe, on_packet, on_report

__all__ = ["MEMORY", "decide", "foresee", "observe", "on_packet", "on_report"]

MEMORY = 4
NO_QUOTE = (0.0, 0.0)


@routine
def decide(universe, market, books, trader, memory, market_params, params, history, ts_ns):
    if memory[0] == 0:
        memory[0] = 1
        execution_engine.send(trader, 0, memory[1], memory[2], memory[3], 1, 0, 0, NO_QUOTE, ts_ns)
