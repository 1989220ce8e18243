"""The resolved configuration: human units in, records of integers and floats for the engine out.

The numbers themselves are in config/default.toml; `load` in config_sources.py puts the layers together.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from .core.schema import GROUPS, MARKET_PARAMS, NS_PER_S, PARAMS, SECONDS, SIM_PARAMS, VWAP_BUCKETS

NS_PER_MS = 1_000_000
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
    bar_s: int = Field(ge=1, le=DAY_S)
    atr_bars: int = Field(ge=1, le=1000)
    venue_stale_s: float = Field(gt=0, le=3600)
    listing_stale_s: float = Field(gt=0, le=DAY_S)


class Signal(Section):
    strength_min: float = Field(gt=0, le=1e6)
    velocity_min: float = Field(ge=0, le=1e6)
    imbalance_min: float = Field(ge=1, le=1e6)
    vwap_gap_max: float = Field(gt=0, le=1)


class Risk(Section):
    base_risk: float = Field(gt=0, le=0.05)
    volatility_multiplier: float = Field(ge=0.1, le=10)
    warmup_size: float = Field(gt=0, le=1)
    stop_atr: float = Field(gt=0, le=20)
    target_atr_min: float = Field(gt=0, le=100)
    target_atr_max: float = Field(gt=0, le=100)
    target_strength_max: float = Field(gt=0, le=1e6)
    hold_bars_max: int = Field(ge=1, le=100_000)
    positions_max: int = Field(ge=1, le=GROUPS)
    symbol_leverage_max: float = Field(gt=0, le=10)


class Execution(Section):
    primary_share: float = Field(ge=0, le=1)
    secondary_share: float = Field(ge=0, le=1)
    dark_share: float = Field(ge=0, le=1)
    cap_atr: float = Field(gt=0, le=5)
    cap_bps: float = Field(gt=0, le=1000)
    reroutes_max: int = Field(ge=0, le=20)
    reroute_deadline_ms: int = Field(ge=0, le=60_000)
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
    signal: Signal
    risk: Risk
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
        market = self.market
        return _records(
            MARKET_PARAMS,
            pass_ns=market.pass_ms * NS_PER_MS,
            pressure_halflife_ns=market.pressure_halflife_s * NS_PER_S,
            pressure_band_bps=market.pressure_band_bps,
            pressure_levels=market.pressure_levels,
            pressure_ratio_max=market.pressure_ratio_max,
            is_price_weighted=int(market.pressure_price_weighted),
            decay_bps_min=market.decay_bps_min,
            decay_spreads=market.decay_spreads,
            fast_s=market.velocity_fast_s,
            slow_s=market.velocity_slow_s,
            tightness_min=market.tightness_min,
            tightness_max=market.tightness_max,
            vwap_bucket_s=market.vwap_window_s // market.vwap_buckets,
            vwap_buckets=market.vwap_buckets,
            bar_s=market.bar_s,
            atr_bars=market.atr_bars,
            venue_stale_ns=round(market.venue_stale_s * NS_PER_S),
            listing_stale_ns=round(market.listing_stale_s * NS_PER_S),
        )

    def params(self) -> Records:
        """One PARAMS record, shape (1,)."""
        execution = self.execution
        return _records(
            PARAMS,
            **self.signal.model_dump(),
            **self.risk.model_dump(),
            primary_share_bps=round(execution.primary_share * BPS),
            secondary_share_bps=round(execution.secondary_share * BPS),
            dark_share_bps=round(execution.dark_share * BPS),
            cap_atr=execution.cap_atr,
            cap_bps=execution.cap_bps,
            waves_max=execution.reroutes_max,
            reroute_deadline_ns=execution.reroute_deadline_ms * NS_PER_MS,
            ack_timeout_ns=execution.ack_timeout_ms * NS_PER_MS,
            query_interval_ns=execution.query_interval_ms * NS_PER_MS,
            sample_ns=round(self.log.sample_s * NS_PER_S),
            equity_sample_ns=round(self.log.equity_s * NS_PER_S),
            capital=self.account.capital,
        )

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


def _records(dtype: np.dtype[Any], **values: float) -> Records:
    """A record with every field named: one forgotten or invented is our bug, not a silent zero."""
    assert set(values) == set(dtype.names or ()), set(values) ^ set(dtype.names or ())
    records = np.zeros(1, dtype)
    for name, value in values.items():
        records[name] = value
    return records
