"""Another decider with parts switched off, so that what is left can be timed; and the bare stream below it."""

from elegant_trading_system.core import decider as product
from elegant_trading_system.core.jit import entry, kernel

base = globals().get("base_override", product)
IS_OBSERVING = globals().get("is_observing", 0)
MEMORY = base.MEMORY


@entry
def stream(packets, levels):
    """Touch every packet and every row, decide nothing: no engine can be faster on this layout."""
    total = 0
    for packet in packets:
        total += packet.ts_local_ns + packet.kind + packet.listing_id
        for level in levels[packet.level_begin : packet.level_begin + packet.buy_count + packet.sell_count]:
            total += level.price_ticks + level.lots
    return total


@kernel
def foresee(universe, market, books, memory, market_params, packet, levels):
    if IS_OBSERVING == 1:
        base.foresee(universe, market, books, memory, market_params, packet, levels)


@kernel
def observe(universe, market, books, memory, market_params, packet, levels):
    if IS_OBSERVING == 1:
        base.observe(universe, market, books, memory, market_params, packet, levels)


@kernel
def on_packet(universe, market, books, trader, memory, market_params, params, packet):
    pass


@kernel
def on_report(universe, market, books, trader, memory, market_params, params, listing_id, packet, levels):
    pass


@kernel
def decide(universe, market, books, trader, memory, market_params, params, history, ts_ns):
    pass
