"""The resolved configuration: human units in, records of integers and floats for the engine out.

The numbers themselves are in config/default.toml; `load` in config_sources.py puts the layers together.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from .core.kinds import Pressure, Router
from .core.schema import (
    ATR_DAYS,
    BARS,
    CLOSES,
    FLOW_SECONDS,
    GROUPS,
    MARKET_PARAMS,
    NS_PER_S,
    PARAMS,
    REJECTS,
    SECONDS,
    SIM_PARAMS,
    VENUES,
    VWAP_BUCKETS,
)

NS_PER_MS = 1_000_000
NS_PER_MIN = 60 * NS_PER_S
NS_PER_H = 3600 * NS_PER_S
NO_LIMIT = 1e300
BPS = 10_000
PPM = 1_000_000
PPM_PER_BPS = 100
DAY_S = 86_400

Records = np.ndarray[Any, Any]


class Section(BaseModel):
    """Frozen, strict (no text for numbers) and closed (no unknown keys). Bounds are what the engine can bear."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Account(Section):
    capital: float = Field(gt=0, le=1e12)
    currency: str = Field(pattern=r"^[A-Z]{3,5}$")


class Market(Section):
    pass_ms: int = Field(ge=0, le=1000)
    pressure_halflife_s: float = Field(ge=0.001, le=3600)
    pressure_band_bps: float = Field(gt=0, le=1000)
    pressure_levels: int = Field(ge=1, le=1000)
    pressure_ratio_max: float = Field(gt=1, le=1e6)
    pressure_price_weighted: bool
    decay_bps_min: float = Field(gt=0, le=1000)
    decay_spreads: float = Field(ge=0, le=100)
    velocity_fast_s: int = Field(ge=1, le=SECONDS)
    velocity_slow_s: int = Field(ge=1, le=SECONDS)
    tightness_min: float = Field(gt=0, le=1)
    tightness_max: float = Field(ge=1, le=100)
    vwap_window_s: int = Field(ge=1, le=DAY_S)
    vwap_buckets: int = Field(ge=1, le=VWAP_BUCKETS)
    vwap_anchored_s: int = Field(ge=0, le=DAY_S)
    pressure: Literal["depth", "ofi", "integrated_ofi"]
    flow_s: int = Field(ge=1, lt=FLOW_SECONDS)
    venue_stale_s: float = Field(gt=0, le=3600)
    listing_stale_s: float = Field(gt=0, le=DAY_S)


class Bars(Section):
    lengths_s: list[Annotated[int, Field(ge=1, le=DAY_S)]] = Field(min_length=1, max_length=BARS)
    cost_share_max: float = Field(gt=0, le=10)
    atr_bars: int = Field(ge=2, le=1000)


class Signal(Section):
    strength_min: float = Field(gt=0, le=1e6)
    velocity_min: float = Field(ge=0, le=1e6)
    imbalance_min: float = Field(ge=1, le=1e6)
    vwap_gap_max: float = Field(gt=0, le=1)
    vwap_one_sided: bool


class Filters(Section):
    persistence_min: int = Field(ge=0, le=60)
    persistence_s: int = Field(ge=1, le=60)
    venues_min: int = Field(ge=1, le=VENUES)
    flow_agreement: bool
    flicker_max: float = Field(ge=0, le=1000)
    cool_down_s: float = Field(ge=0, le=DAY_S)


class RegimeRow(Section):
    """One row of the table."""

    size: float = Field(ge=0, le=2)
    stop_atr: float = Field(gt=0, le=20)
    target_atr_min: float = Field(gt=0, le=100)
    target_atr_max: float = Field(gt=0, le=100)
    hold_bars: int = Field(ge=1, le=100_000)


class Volatile(Section):
    size: float = Field(gt=0, le=1)
    strength_min: float = Field(ge=0, le=1e6)
    reduce_open: bool
    warmup_size: float = Field(gt=0, le=1)
    enter: float = Field(gt=0, le=100)
    leave: float = Field(gt=0, le=100)
    days: int = Field(ge=1, lt=ATR_DAYS)
    days_min: int = Field(ge=1, lt=ATR_DAYS)


class TrendAxis(Section):
    trend_enter: float = Field(ge=0, le=100)
    trend_leave: float = Field(ge=0, le=100)
    range_enter: float = Field(ge=0, le=100)
    range_leave: float = Field(ge=0, le=100)


class Regimes(Section):
    neutral: RegimeRow
    trend: RegimeRow
    range: RegimeRow
    volatile: Volatile
    trend_axis: TrendAxis


class Stress(Section):
    size: float = Field(gt=0, le=1)
    enter: float = Field(gt=0, le=1000)
    leave: float = Field(gt=0, le=1000)
    calm_count: int = Field(ge=1, le=1000)
    dvol_enter: float = Field(gt=0, le=1000)
    dvol_quantile: float = Field(gt=0, le=1)
    stale_h: float = Field(gt=0, le=10_000)


class Volatility(Section):
    days: int = Field(ge=1, le=CLOSES)
    days_min: int = Field(ge=1, le=CLOSES)
    stale_h: float = Field(gt=0, le=10_000)
    multiplier_min: float = Field(gt=0, le=1)
    multiplier_max: float = Field(ge=1, le=100)
    warmup_size: float = Field(gt=0, le=1)


class Correlation(Section):
    interval_s: int = Field(ge=1, le=DAY_S)
    halflife: int = Field(ge=1, le=1_000_000)
    count_min: int = Field(ge=1, le=1_000_000)
    prior_other: float = Field(ge=-1, le=1)
    cluster_rho: float = Field(ge=0, le=1)


class Risk(Section):
    base_risk: float = Field(gt=0, le=0.05)
    target_strength_max: float = Field(gt=0, le=1e6)
    hold_max_s: float = Field(gt=0, le=365 * DAY_S)
    positions_max: int = Field(ge=1, le=GROUPS)
    cluster_max: int = Field(ge=1, le=GROUPS)
    heat_max: float = Field(gt=0, le=1)
    symbol_leverage_max: float = Field(gt=0, le=10)
    gross_leverage_max: float = Field(gt=0, le=100)
    net_leverage_max: float = Field(gt=0, le=100)
    venue_leverage_max: float = Field(gt=0, le=100)
    volume_share_max: float = Field(gt=0, le=1000)
    depth_share_max: float = Field(gt=0, le=1)
    compounding: float = Field(ge=0, le=1)


class Gate(Section):
    mode: Literal["log", "enforce"]
    prior_trades: float = Field(gt=0, le=1e6)


class Breakers(Section):
    day_loss: float = Field(gt=0, le=1)
    drawdown_reduce: float = Field(gt=0, le=1)
    drawdown_size: float = Field(gt=0, le=1)
    drawdown_halt: float = Field(gt=0, le=1)
    streak_stops: int = Field(ge=1, le=8)
    streak_min: float = Field(gt=0, le=1440)
    streak_pause_min: float = Field(ge=0, le=1440)
    rejects_max: int = Field(ge=1, lt=REJECTS)
    rejects_s: float = Field(gt=0, le=DAY_S)
    ack_slow_ms: int = Field(ge=1, le=60_000)
    slippage_times: float = Field(gt=0, le=1e6)
    slippage_fills: int = Field(ge=1, le=1000)
    venue_pause_s: float = Field(ge=0, le=DAY_S)
    data_loss_s: float = Field(gt=0, le=DAY_S)
    orders_per_s_max: int = Field(ge=4, le=10_000)
    orders_per_min_max: int = Field(ge=4, le=100_000)


class Sessions(Section):
    entry_before_min: float = Field(ge=0, le=1440)
    flatten_before_min: float = Field(ge=0, le=1440)


class Execution(Section):
    router: Literal["split", "cost_greedy"]
    primary_sticky_s: float = Field(ge=0, le=DAY_S)
    primary_share: float = Field(ge=0, le=1)
    secondary_share: float = Field(ge=0, le=1)
    dark_share: float = Field(ge=0, le=1)
    cap_atr: float = Field(gt=0, le=5)
    cap_bps: float = Field(gt=0, le=1000)
    reroutes_max: int = Field(ge=0, le=20)
    reroute_deadline_ms: int = Field(ge=0, le=60_000)
    fill_share_min: float = Field(ge=0, le=1)
    blind_exit_linear: bool
    blind_exit_spot: bool
    ack_timeout_ms: int = Field(ge=1, le=60_000)
    query_interval_ms: int = Field(ge=1, le=60_000)


class Log(Section):
    sample_s: float = Field(gt=0, le=3600)
    equity_s: float = Field(gt=0, le=3600)


class Simulation(Section):
    seed: int = Field(ge=0, lt=2**62)
    entry_latency_ms: float = Field(ge=0, le=60_000)
    response_latency_ms: float = Field(ge=0, le=60_000)
    jitter_ms: float = Field(ge=0, le=10_000)
    dark_fill: float = Field(ge=0, le=1)
    lost_reply: float = Field(ge=0, le=1)
    reject: float = Field(ge=0, le=1)


class VenueConfig(Section):
    """What trading costs and what is allowed at one venue."""

    spot_taker_bps: float = Field(ge=0, le=1000)
    linear_taker_bps: float = Field(ge=0, le=1000)
    inverse_taker_bps: float = Field(ge=0, le=1000)
    dark_taker_bps: float = Field(ge=0, le=1000)
    fee_in_base: bool

    def taker_fee_ppm(self, kind: str) -> int:
        """Taker fee in millionths of notional for a tradable listing kind: spot, linear, inverse or dark."""
        bps: float = getattr(self, f"{kind}_taker_bps")
        return round(bps * PPM_PER_BPS)


class Config(Section):
    """Every number of a run. `digest` names it; `values` is what a journal keeps and `Config(**values)` reads back."""

    account: Account
    market: Market
    bars: Bars
    signal: Signal
    filters: Filters
    regimes: Regimes
    stress: Stress
    volatility: Volatility
    correlation: Correlation
    risk: Risk
    gate: Gate
    breakers: Breakers
    sessions: Sessions
    execution: Execution
    log: Log
    simulation: Simulation
    venues: dict[str, VenueConfig]
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    def with_origins(self, origins: Mapping[str, str]) -> "Config":
        self._origins.update(origins)
        return self

    def origins(self) -> dict[str, str]:
        """Where each dotted key's value came from: "default", a file, an environment variable or "--set"."""
        return dict(self._origins)

    def venue(self, name: str) -> VenueConfig:
        return self.venues.get(name, self.venues["default"])

    def values(self) -> dict[str, Any]:
        return self.model_dump()

    def digest(self) -> str:
        """sha256 of the resolved values, so that two runs with one digest ran with the same numbers."""
        canonical = json.dumps(self.values(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def market_params(self) -> Records:
        """One MARKET_PARAMS record, shape (1,)."""
        market, bars, volatile = self.market, self.bars, self.regimes.volatile
        return _records(
            MARKET_PARAMS,
            pass_ns=market.pass_ms * NS_PER_MS,
            pressure_halflife_ns=market.pressure_halflife_s * NS_PER_S,
            pressure_band_bps=market.pressure_band_bps,
            pressure_levels=market.pressure_levels,
            pressure_ratio_max=market.pressure_ratio_max,
            pressure_kind=Pressure[market.pressure.upper()],
            is_price_weighted=int(market.pressure_price_weighted),
            decay_bps_min=market.decay_bps_min,
            decay_spreads=market.decay_spreads,
            flow_s=market.flow_s,
            fast_s=market.velocity_fast_s,
            slow_s=market.velocity_slow_s,
            tightness_min=market.tightness_min,
            tightness_max=market.tightness_max,
            vwap_bucket_s=market.vwap_window_s // market.vwap_buckets,
            vwap_buckets=market.vwap_buckets,
            vwap_anchored_s=market.vwap_anchored_s,
            bar_count=len(bars.lengths_s),
            bar_s=[*bars.lengths_s, *[0] * (BARS - len(bars.lengths_s))],
            atr_bars=bars.atr_bars,
            bar_cost_share_max=bars.cost_share_max if len(bars.lengths_s) > 1 else NO_LIMIT,
            **self.regimes.trend_axis.model_dump(),
            volatile_enter=volatile.enter,
            volatile_leave=volatile.leave,
            volatile_days=volatile.days,
            volatile_days_min=volatile.days_min,
            **self._world_params(),
            venue_stale_ns=round(market.venue_stale_s * NS_PER_S),
            listing_stale_ns=round(market.listing_stale_s * NS_PER_S),
        )

    def _world_params(self) -> dict[str, float]:
        """Volatility, stress and correlation."""
        volatility, stress, correlation = self.volatility, self.stress, self.correlation
        return {
            "iv_days": volatility.days,
            "iv_days_min": volatility.days_min,
            "iv_stale_ns": round(volatility.stale_h * NS_PER_H),
            "iv_multiple_min": volatility.multiplier_min,
            "iv_multiple_max": volatility.multiplier_max,
            "stress_enter": stress.enter,
            "stress_leave": stress.leave,
            "stress_calm": stress.calm_count,
            "stress_stale_ns": round(stress.stale_h * NS_PER_H),
            "dvol_enter": stress.dvol_enter,
            "dvol_quantile": stress.dvol_quantile,
            "correlation_ns": correlation.interval_s * NS_PER_S,
            "correlation_decay": 0.5 ** (1.0 / correlation.halflife),
            "correlation_min": correlation.count_min,
            "correlation_other": correlation.prior_other,
            "cluster_rho": correlation.cluster_rho,
        }

    def params(self) -> Records:
        """One PARAMS record, shape (1,)."""
        signal, filters, volatile = self.signal.model_dump(), self.filters, self.regimes.volatile
        rows = [self.regimes.neutral, self.regimes.trend, self.regimes.range]  # in the order of Regime
        return _records(
            PARAMS,
            is_vwap_one_sided=int(signal.pop("vwap_one_sided")),
            **signal,
            persistence_s=filters.persistence_s,
            persistence_min=filters.persistence_min,
            venues_min=filters.venues_min,
            is_flow_asked=int(filters.flow_agreement),
            flicker_max=filters.flicker_max,
            cool_down_ns=round(filters.cool_down_s * NS_PER_S),
            regimes=[tuple(row.model_dump().values()) for row in rows],
            volatile_strength_min=volatile.strength_min,
            volatile_size=volatile.size,
            volatile_warmup_size=volatile.warmup_size,
            is_volatile_reducing=int(volatile.reduce_open),
            stress_size=self.stress.size,
            iv_warmup_size=self.volatility.warmup_size,
            **self._risk_params(),
            **self._breaker_params(),
            **self._execution_params(),
            sample_ns=round(self.log.sample_s * NS_PER_S),
            equity_sample_ns=round(self.log.equity_s * NS_PER_S),
            capital=self.account.capital,
        )

    def _risk_params(self) -> dict[str, float]:
        risk = self.risk.model_dump()
        return {
            "hold_max_ns": round(risk.pop("hold_max_s") * NS_PER_S),
            **risk,
            "is_gate_enforced": int(self.gate.mode == "enforce"),
            "gate_prior_trades": self.gate.prior_trades,
            "entry_before_ns": round(self.sessions.entry_before_min * NS_PER_MIN),
            "flatten_before_ns": round(self.sessions.flatten_before_min * NS_PER_MIN),
        }

    def _breaker_params(self) -> dict[str, float]:
        breakers = self.breakers
        return {
            "day_loss_max": breakers.day_loss,
            "drawdown_reduce": breakers.drawdown_reduce,
            "drawdown_halt": breakers.drawdown_halt,
            "drawdown_size": breakers.drawdown_size,
            "streak_stops": breakers.streak_stops,
            "streak_ns": round(breakers.streak_min * NS_PER_MIN),
            "streak_pause_ns": round(breakers.streak_pause_min * NS_PER_MIN),
            "rejects_max": breakers.rejects_max,
            "rejects_ns": round(breakers.rejects_s * NS_PER_S),
            "ack_slow_ns": breakers.ack_slow_ms * NS_PER_MS,
            "slippage_times": breakers.slippage_times,
            "slippage_fills": breakers.slippage_fills,
            "venue_pause_ns": round(breakers.venue_pause_s * NS_PER_S),
            "data_loss_ns": round(breakers.data_loss_s * NS_PER_S),
            "orders_per_s_max": breakers.orders_per_s_max,
            "orders_per_min_max": breakers.orders_per_min_max,
        }

    def _execution_params(self) -> dict[str, float]:
        execution = self.execution
        return {
            "router": Router[execution.router.upper()],
            "primary_sticky_ns": round(execution.primary_sticky_s * NS_PER_S),
            "primary_share_bps": round(execution.primary_share * BPS),
            "secondary_share_bps": round(execution.secondary_share * BPS),
            "dark_share_bps": round(execution.dark_share * BPS),
            "cap_atr": execution.cap_atr,
            "cap_bps": execution.cap_bps,
            "waves_max": execution.reroutes_max,
            "reroute_deadline_ns": execution.reroute_deadline_ms * NS_PER_MS,
            "fill_share_min": execution.fill_share_min,
            "is_spot_exit_blind": int(execution.blind_exit_spot),
            "is_linear_exit_blind": int(execution.blind_exit_linear),
            "ack_timeout_ns": execution.ack_timeout_ms * NS_PER_MS,
            "query_interval_ns": execution.query_interval_ms * NS_PER_MS,
        }

    def sim_params(self, lookahead_ns: int = 0) -> Records:
        """One SIM_PARAMS record, shape (1,); `lookahead_ns` is the largest feed latency on the tapes."""
        simulation = self.simulation
        return _records(
            SIM_PARAMS,
            seed=simulation.seed,
            entry_ns=round(simulation.entry_latency_ms * NS_PER_MS),
            response_ns=round(simulation.response_latency_ms * NS_PER_MS),
            jitter_ns=round(simulation.jitter_ms * NS_PER_MS),
            lookahead_ns=lookahead_ns,
            dark_fill_ppm=round(simulation.dark_fill * PPM),
            lost_reply_ppm=round(simulation.lost_reply * PPM),
            reject_ppm=round(simulation.reject * PPM),
        )


def _records(dtype: np.dtype[Any], **values: Any) -> Records:
    """A record with every field named: one forgotten or invented is our bug, not a silent zero."""
    assert set(values) == set(dtype.names or ()), set(values) ^ set(dtype.names or ())
    records = np.zeros(1, dtype)
    for name, value in values.items():
        records[name] = value
    return records
