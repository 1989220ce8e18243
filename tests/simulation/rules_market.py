"""A market that provokes every rule, and configurations under which a minute of it reaches them all."""

from collections.abc import Sequence

import numpy as np

from elegant_trading_system.config import Config
from elegant_trading_system.core.kinds import Kind, SessionState
from elegant_trading_system.core.schema import PACKET
from elegant_trading_system.data.tape import ListingSpec
from elegant_trading_system.sim.session import Session

from ..builders import START_NS, Array, listing, loose, random_tape, run

NS_PER_S = 10**9
DAY_NS = 86_400 * NS_PER_S
BEFORE_MIDNIGHT_S = 25
PACKETS = 20_000

BASES = {"BTC": ("0.1", "0.001"), "ETH": ("0.01", "0.01"), "SOL": ("0.001", "0.1"), "XRP": ("0.0001", "1"),
         "ADA": ("0.0001", "1")}  # fmt: skip
WORLD = [
    spec
    for base, (tick, lot) in BASES.items()
    for spec in (
        listing("alpha", f"{base}/USDT", "spot", tick, lot, notional_min="5"),
        listing("beta", f"{base}/USDT", "spot", tick, lot, notional_min="5"),
        listing("dark", f"{base}/USDT", "dark", tick, lot, reference=f"alpha {base}/USDT"),
        listing("alpha", f"{base}/USDT:USDT", "linear", tick, lot),
        listing("beta", f"{base}/USDT:USDT", "linear", tick, lot),
    )
    if not (base == "ADA" and spec.kind == "linear")  # no contracts, so no shorts
]
SHUT = ("ETH", "SOL")  # their markets close and open again

#: Every filter, cap and breaker at a level that a random market reaches within two minutes.
TOGETHER = (
    "log.equity_s=0.1", "log.sample_s=1.0", "signal.vwap_gap_max=0.02",
    "filters.persistence_min=2", "filters.persistence_s=5", "filters.venues_min=2", "filters.flow_agreement=true",
    "filters.flicker_max=3.0", "filters.cool_down_s=2.0",
    "regimes.volatile.days=1", "regimes.volatile.days_min=1", "regimes.volatile.enter=1.02",
    "regimes.volatile.leave=1.0", "regimes.volatile.strength_min=1.5", "regimes.volatile.warmup_size=0.5",
    "stress.size=0.5",
    "regimes.neutral.hold_bars=8",
    "regimes.trend.hold_bars=10",
    "regimes.range.hold_bars=6",
    "bars.atr_bars=14",
    "risk.cluster_max=3", "risk.positions_max=10", "risk.heat_max=0.004", "risk.gross_leverage_max=0.5",
    "risk.net_leverage_max=0.3", "risk.venue_leverage_max=0.2", "risk.symbol_leverage_max=0.25",
    "risk.volume_share_max=0.2", "risk.depth_share_max=0.5",
    "breakers.day_loss=0.02", "breakers.streak_stops=2", "breakers.streak_min=0.3", "breakers.streak_pause_min=0.05",
    "breakers.orders_per_s_max=60", "breakers.orders_per_min_max=2000", "breakers.data_loss_s=1.0",
    "breakers.rejects_max=2", "breakers.venue_pause_s=1.0", "breakers.ack_slow_ms=40", "breakers.slippage_times=6.0",
    "sessions.entry_before_min=0.03", "sessions.flatten_before_min=0.025",
    "execution.cap_atr=0.10", "execution.cap_bps=3.0", "execution.blind_exit_linear=true",
    "execution.ack_timeout_ms=60",
    "simulation.lost_reply=0.02", "simulation.reject=0.03", "simulation.dark_fill=0.5",
)  # fmt: skip
FREE = ("filters.persistence_min=0", "filters.venues_min=1", "filters.flow_agreement=false", "filters.flicker_max=0.0")
ROOMY = ("risk.heat_max=1.0", "risk.gross_leverage_max=100.0", "risk.net_leverage_max=100.0",
         "risk.venue_leverage_max=100.0", "risk.symbol_leverage_max=10.0", "risk.volume_share_max=1000.0",
         "risk.depth_share_max=1.0")  # fmt: skip

LASTING = "breakers.venue_pause_s=0.0"  # a pause that is over at once: what is audited then is every class's best touch
VARIANTS: dict[str, tuple[str, ...]] = {
    "split": (LASTING,),
    "greedy": ('execution.router="cost_greedy"', 'market.pressure="ofi"', "execution.blind_exit_spot=true"),
    "band": (
        'market.pressure="integrated_ofi"', "risk.positions_max=2", "market.pass_ms=50", "log.equity_s=0.05", LASTING
    ),
    "free": (*FREE, LASTING, "risk.depth_share_max=1.0", "risk.volume_share_max=10.0"),
    "heat": (*FREE, *ROOMY, "risk.heat_max=0.0015", "risk.cluster_max=10"),
    "lever": (*FREE, *ROOMY, "risk.gross_leverage_max=0.004", "risk.net_leverage_max=0.003", "risk.cluster_max=10"),
    "venue": (*FREE, *ROOMY, "risk.venue_leverage_max=0.002", LASTING),
    "rate": (*FREE, *ROOMY, "breakers.orders_per_s_max=8", "risk.cluster_max=10"),
    "poor": (
        *FREE, *ROOMY, LASTING, "account.capital=2000.0", "risk.base_risk=0.02", "breakers.day_loss=0.004",
        "breakers.drawdown_reduce=0.004", "breakers.drawdown_halt=0.008",
    ),
    "penny": (*FREE, *ROOMY, LASTING, "account.capital=60.0", "risk.base_risk=0.05", "breakers.day_loss=1.0",
              "breakers.drawdown_reduce=0.9", "breakers.drawdown_halt=1.0"),
    "wild": (
        *FREE, *ROOMY, LASTING, "risk.cluster_max=10",
        *(f"regimes.{row}.{name}" for row in ("neutral", "trend", "range")
          for name in ("hold_bars=40", "stop_atr=4.0", "target_atr_min=8.0", "target_atr_max=8.0")),
    ),
    "loss": (*FREE, *ROOMY, "breakers.day_loss=0.0005"),
    "thin": (*FREE, "risk.volume_share_max=0.00001"),
    "dear": (*FREE, *ROOMY, "bars.lengths_s=[1, 2]", "bars.cost_share_max=0.001", "gate.mode=enforce"),
}  # fmt: skip


def market_of(
    seed: int,
    count: int,
    mean_ms: float = 6.0,
    before_midnight_s: int = BEFORE_MIDNIGHT_S,
    listings: Sequence[ListingSpec] = WORLD,
) -> tuple[Array, Array]:
    """A random market over midnight in which two assets' markets close and open again."""
    packets, levels = random_tape(seed, count, listings, mean_ms=mean_ms, silences=seed % 2 == 0)
    shift_ns = (START_NS // DAY_NS + 1) * DAY_NS - before_midnight_s * NS_PER_S - START_NS
    for name in ("ts_local_ns", "ts_venue_ns"):
        packets[name] += shift_ns
    return with_sessions(packets, listings), levels


def with_sessions(packets: Array, listings: Sequence[ListingSpec]) -> Array:
    """Three sessions with breaks between them."""
    first_ns, last_ns = int(packets["ts_local_ns"][0]), int(packets["ts_local_ns"][-1])
    at = [first_ns + (last_ns - first_ns) * share // 100 for share in (0, 32, 34, 64, 66, 97)]
    turns = [(ns, SessionState.OPEN, end_ns) for ns, end_ns in zip(at[::2], at[1::2], strict=True)]
    turns += [(ns, SessionState.CLOSED, 0) for ns in at[1::2]]
    ids = [k for k, spec in enumerate(listings) if spec.base in SHUT]
    extra = np.zeros(len(turns) * len(ids), PACKET)
    rows = [(ns, k, code, end) for ns, code, end in sorted(turns) for k in ids]
    for packet, (ns, k, code, end) in zip(extra, rows, strict=True):
        packet["ts_local_ns"] = packet["ts_venue_ns"] = ns
        packet["kind"], packet["listing_id"], packet["code"], packet["atoms"] = Kind.SESSION, k, code, end
    return np.insert(packets, np.searchsorted(packets["ts_local_ns"], extra["ts_local_ns"]), extra)


def config_of(variant: str) -> Config:
    return loose(*TOGETHER, *VARIANTS[variant])


#: For runs that are a thousand times slower: what must be known first is known after seconds.
BRIEF = ("market.velocity_slow_s=4", "bars.atr_bars=3", "market.vwap_window_s=10", "filters.persistence_min=1")


def brief(variant: str, seed: int, count: int) -> Session:
    """A short run over midnight."""
    listings = WORLD[:10]
    packets, levels = market_of(seed, count, mean_ms=30.0, before_midnight_s=9, listings=listings)
    return run(packets, levels, [loose(*TOGETHER, *VARIANTS[variant], *BRIEF)], listings)
