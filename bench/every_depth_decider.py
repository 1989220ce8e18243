"""The product's decider, which besides sends one small IOC order at every depth message."""

from elegant_trading_system.core import decider as product
from elegant_trading_system.core import execution_engine
from elegant_trading_system.core.decider import MEMORY, decide, foresee, observe, on_report
from elegant_trading_system.core.jit import kernel
from elegant_trading_system.core.kinds import Kind

__all__ = ["MEMORY", "decide", "foresee", "observe", "on_packet", "on_report"]

DEPTH = Kind.DEPTH.value
NO_QUOTE = (0.0, 0.0)
LOTS = 10


@kernel
def on_packet(universe, market, books, trader, memory, market_params, params, packet):
    product.on_packet(universe, market, books, trader, memory, market_params, params, packet)
    if packet.kind == DEPTH:
        ticks = market.books[packet.listing_id].best_x[0]
        execution_engine.send(trader, packet.listing_id, 1, ticks, LOTS, 0, 0, 0, NO_QUOTE, packet.ts_local_ns)
