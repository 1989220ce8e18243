"""The sections of the configuration: what may be said, and within which bounds the engine can bear it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from .core.schema import ATR_DAYS, BARS, CLOSES, FLOW_SECONDS, GROUPS, REJECTS, SECONDS, VENUES, VWAP_BUCKETS

DAY_S = 86_400
PPM_PER_BPS = 100


class Section(BaseModel):
    """Frozen, strict (no text for numbers) and closed (no unknown keys). Bounds are what the engine can bear."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Account(Section):
    capital: float = Field(gt=0, le=1e9)
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
    index: Literal["own", "vix"]
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
    gap_atr: float = Field(ge=0, le=20)
    liquidation_stops: float = Field(ge=0, le=1000)
    maintenance_margin: float = Field(ge=0, lt=1)
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
