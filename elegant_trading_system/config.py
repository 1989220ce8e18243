"""The resolved configuration: human units in, records of integers and floats for the engine out.

The numbers themselves are in config/default.toml; `load` in config_sources.py puts the layers together.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import PrivateAttr

from .config_sections import (
    Account,
    Bars,
    Breakers,
    Correlation,
    Execution,
    Filters,
    Gate,
    Log,
    Market,
    Regimes,
    Risk,
    Section,
    Sessions,
    Signal,
    Simulation,
    Stress,
    VenueConfig,
    Volatility,
)
from .core.kinds import Pressure, Router
from .core.schema import BARS, MARKET_PARAMS, NS_PER_S, PARAMS, SIM_PARAMS

NS_PER_MS = 1_000_000
NS_PER_MIN = 60 * NS_PER_S
NS_PER_H = 3600 * NS_PER_S
NO_LIMIT = 1e300
BPS = 10_000
PPM = 1_000_000

Records = np.ndarray[Any, Any]


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
            pressure_log_ratio_max=math.log(market.pressure_ratio_max),
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
