"""One listing and a session for the measurements: the product's own engine, with the decider asked for."""

from decimal import Decimal
from types import ModuleType
from typing import Any

import numpy as np

from elegant_trading_system.config_sources import load as load_config
from elegant_trading_system.core import jit
from elegant_trading_system.core.kinds import Kind
from elegant_trading_system.data.tape import ListingSpec
from elegant_trading_system.data.universe import build
from elegant_trading_system.sim.session import Session

from .feed import Feed

Array = np.ndarray[Any, Any]
LISTING = ListingSpec(
    venue="bench", symbol="BTC/USDT:USDT", kind="linear", base="BTC", quote="USDT", settle="USDT",
    tick_size=Decimal("0.1"), lot_size=Decimal("0.001"),
)  # fmt: skip
SETTINGS = ("simulation.entry_latency_ms=1.0", "simulation.response_latency_ms=1.0", "simulation.jitter_ms=0.0")


def simulate_with(decider: ModuleType, name: str) -> ModuleType:
    """The backtest loop of the product around another decider."""
    engine = jit.instantiate("elegant_trading_system.core.engine", f"{name}_engine", decider_override=decider)
    return jit.instantiate("elegant_trading_system.sim.simulate", f"{name}_simulate", engine_override=engine)


def session(
    feed: Feed, simulate: ModuleType, memory: int, settings: tuple[str, ...] = (), *, is_logging: bool = False
) -> Session:
    config = load_config(sets=[*SETTINGS, *settings], environ={})
    universe = build([LISTING], config)
    return Session(universe, [config], feed.lookahead_ns, memory=memory, simulate=simulate, is_logging=is_logging)


def fills(ran: Session) -> Array:
    """Time at the venue, side and price tick of every fill, in order."""
    replies, rows = ran.logs[0].joined("replies"), ran.logs[0].joined("rows")
    is_fill = replies["kind"] == Kind.FILL
    side = replies["buy_count"].astype(np.int64) - replies["sell_count"]
    return np.stack([replies["ts_venue_ns"], side, rows["price_ticks"]], axis=1)[is_fill].astype(np.int64)
