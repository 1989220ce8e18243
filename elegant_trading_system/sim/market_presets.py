"""Parameters of the simulated market and the listings it trades."""

import math
from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist
from typing import Any

import numpy as np

from ..core.schema import NS_PER_S
from ..data.tape import ListingSpec
from .market_records import INITIAL_TICKS, MODEL, SIZES

NS_PER_MS = 1_000_000
TS_START_NS = 1_704_067_200 * NS_PER_S  # 2024-01-01T00:00:00Z
YEAR_S = 365 * 86_400
EDGE_HORIZON_S = 60

Record = Any


@dataclass(frozen=True)
class MarketPreset:
    """One tick is 1 bp of the first price; the other numbers are the verified preset (decision 0003)."""

    # the dials: 0 and 0 make V an exact martingale
    edge: float = 0.0  # correlation of the best possible forecast with the 60 s return
    leak: float = 0.0  # share of the flow's expected impact that is not compensated: momentum of order flow itself
    # efficient price
    volatility: float = 0.55  # per year
    flow_share: float = 0.5  # of the variance that arrives with market orders
    jumps_per_day: float = 8.0
    jump_bps: float = 12.0
    common_share: float = 0.8  # of the diffusion's variance, in common to all instruments
    # log volatility: independent factors, shared by all instruments
    factor_tau_s: tuple[float, ...] = (90.0, 1_800.0, 14_400.0)
    factor_sd: tuple[float, ...] = (0.40, 0.50, 0.45)
    activity_power: float = 1.4
    # latent momentum
    tau_m: float = 90.0  # s
    momentum_common_share: float = 0.5
    momentum_flow: float = 0.4
    # market orders
    trade_rate: float = 5.0  # per second over all venues
    excite_decay: tuple[float, ...] = (20.0, 1.0, 0.05, 0.004)  # per second
    excite_same: tuple[float, ...] = (0.32, 0.18, 0.15, 0.15)  # children per order
    excite_cross: tuple[float, ...] = (0.02, 0.03, 0.03, 0.02)
    size_cv: float = 1.7
    venue_share: tuple[float, ...] = (0.55, 0.30, 0.15)
    # books
    reference_tau_s: tuple[float, ...] = (0.05, 0.20, 0.35)  # who leads and who lags
    limit_rate: tuple[float, ...] = (40.0, 22.0, 12.0)
    cancel_rate: tuple[float, ...] = (0.14, 0.14, 0.14)  # per second and resting unit
    requote_rate: tuple[float, ...] = (60.0, 30.0, 16.0)
    depth_units: tuple[float, ...] = (3.0, 1.8, 1.0)  # mean size of an order
    unit_lots: tuple[int, ...] = (500, 5_000, 50)
    quote_offset_ticks: float = 0.25
    near_share: float = 0.55
    near_ticks: float = 2.0
    far_ticks: float = 14.0
    lean: float = 0.9
    skew_flow: float = 0.25
    skew_flow_scale: float = 2.0
    skew_momentum: float = 0.25
    snipe_probability: float = 0.15
    thin_probability: float = 0.8
    # publication
    ts_start_ns: int = TS_START_NS
    burn_s: int = 300
    batch_ms: int = 100  # between two DEPTH packets of a venue; 0 publishes nothing
    sample_ms: int = 0  # between two samples of the whole market; 0 takes none
    latency_ms: tuple[float, ...] = (2.0, 5.0, 8.0, 2.0)
    latency_jitter_ms: float = 0.2
    ticks_per_tick: tuple[int, ...] = (1, 10, 1)
    basis_ticks: tuple[int, ...] = (0, 0, 2)

    @property
    def variance_ticks(self) -> float:
        """Of V, per second."""
        return self.volatility**2 / YEAR_S * INITIAL_TICKS**2

    @property
    def drift_ticks(self) -> float:
        """Per second and unit of momentum, such that the forecast's correlation with the 60 s return is `edge`."""
        noise = math.sqrt(self.variance_ticks * EDGE_HORIZON_S)
        return self.edge / math.sqrt(1.0 - self.edge**2) * noise / self.memory_s(EDGE_HORIZON_S)

    def memory_s(self, horizon_s: float) -> float:
        """Expected integral of momentum over the horizon, per unit of momentum now; momentum moves every second."""
        return (1.0 - math.exp(-horizon_s / self.tau_m)) / (1.0 - math.exp(-1.0 / self.tau_m))


@dataclass(frozen=True)
class Instrument:
    """Size and price of one instrument's unit."""

    tick: str  # quote per internal tick: 1 bp of the first price
    unit: str  # base per unit of size: about 5,000 to 20,000 in quote


INSTRUMENTS = {
    "BTC": Instrument("4", "0.5"),
    "ETH": Instrument("0.25", "5"),
    "SOL": Instrument("0.01", "50"),
    "XRP": Instrument("0.00006", "5000"),
    "ADA": Instrument("0.00005", "5000"),
    "DOGE": Instrument("0.000009", "50000"),
}


def listings_of(base: str, preset: MarketPreset) -> list[ListingSpec]:
    """The instrument's listings: three lit venues, then the dark one."""
    tick, unit = Decimal(INSTRUMENTS[base].tick), Decimal(INSTRUMENTS[base].unit)

    def listing(venue: str, quote: str, kind: str, tick_size: Decimal, lots: int, **more: Any) -> ListingSpec:
        symbol = f"{base}/{quote}:{quote}" if kind == "linear" else f"{base}/{quote}"
        return ListingSpec.model_validate(
            {
                "venue": venue,
                "symbol": symbol,
                "kind": kind,
                "base": base,
                "quote": quote,
                "settle": quote,
                "tick_size": tick_size.normalize(),
                "lot_size": (unit / lots).normalize(),
                "notional_min": Decimal(5),
                **more,
            }
        )

    a, b, c = preset.ticks_per_tick
    lots_a, lots_b, lots_c = preset.unit_lots
    return [
        listing("sim-a", "USDT", "spot", tick / a, lots_a),
        listing("sim-b", "USD", "spot", tick / b, lots_b),
        listing("sim-c", "USDT", "linear", tick / c, lots_c),
        listing("sim-dark", "USDT", "dark", tick / a / 2, lots_a, reference=f"sim-a {base}/USDT"),
    ]


def size_quantiles(cv: float) -> np.ndarray[Any, Any]:
    """Lognormal sizes of mean exactly 1 as a table: what is drawn from it has the expected square root we compensate."""
    deviation = math.sqrt(math.log(1.0 + cv * cv))
    normal = NormalDist()
    quantiles = np.exp([deviation * normal.inv_cdf((i + 0.5) / SIZES) for i in range(SIZES)])
    return quantiles / quantiles.mean()


def new_model(preset: MarketPreset) -> Record:
    """The preset as the kernels read it: some fields as they are, the others derived."""
    names = MODEL.names or ()
    derived = _price_values(preset) | _factor_values(preset) | _flow_values(preset) | _publication_values(preset)
    values = {name: getattr(preset, name) for name in names if hasattr(preset, name)} | derived
    assert values.keys() == set(names)
    model = np.zeros(1, MODEL)[0]
    for name, value in values.items():
        model[name] = value
    return model


def _price_values(preset: MarketPreset) -> dict[str, Any]:
    jump_rate, jump_ticks = preset.jumps_per_day / 86_400, preset.jump_bps * INITIAL_TICKS / 10_000
    diffusion = (1.0 - preset.flow_share) * preset.variance_ticks - jump_rate * jump_ticks**2
    impact = math.sqrt(preset.flow_share * preset.variance_ticks / preset.trade_rate)
    sizes = size_quantiles(preset.size_cv)
    return {
        "volatility": math.sqrt(diffusion),
        "common_weight": math.sqrt(preset.common_share),
        "own_weight": math.sqrt(1.0 - preset.common_share),
        "jump_rate": jump_rate,
        "jump_ticks": jump_ticks,
        "impact_ticks": impact,
        "compensation_ticks": (1.0 - preset.leak) * impact * float(np.sqrt(sizes).mean()),
        "sizes": sizes,
    }


def _factor_values(preset: MarketPreset) -> dict[str, Any]:
    factor_keep = np.exp(-1.0 / np.array(preset.factor_tau_s))
    momentum_keep = math.exp(-1.0 / preset.tau_m)
    return {
        "factor_keep": factor_keep,
        "factor_step": np.array(preset.factor_sd) * np.sqrt(1.0 - factor_keep**2),
        "factor_variance": sum(sd * sd for sd in preset.factor_sd),
        "momentum_keep": momentum_keep,
        "momentum_step": math.sqrt(1.0 - momentum_keep**2),
        "momentum_shared": math.sqrt(preset.momentum_common_share),
        "momentum_own": math.sqrt(1.0 - preset.momentum_common_share),
    }


def _flow_values(preset: MarketPreset) -> dict[str, Any]:
    branching = sum(preset.excite_same) + sum(preset.excite_cross)
    decay, unit_lots = np.array(preset.excite_decay), np.array(preset.unit_lots, float)
    return {
        "base_rate": preset.trade_rate * (1.0 - branching) / 2,
        "excite_same": np.array(preset.excite_same) * decay,
        "excite_cross": np.array(preset.excite_cross) * decay,
        "cancel_rate": np.array(preset.cancel_rate) / unit_lots,
        "depth_lots": np.array(preset.depth_units) * unit_lots,
        "limit_rate_sum": sum(preset.limit_rate),
        "requote_rate_sum": sum(preset.requote_rate),
    }


def _publication_values(preset: MarketPreset) -> dict[str, Any]:
    return {
        "batch_ns": preset.batch_ms * NS_PER_MS,
        "sample_ns": preset.sample_ms * NS_PER_MS,
        "latency_ns": np.array(preset.latency_ms) * NS_PER_MS,
        "latency_jitter_ns": preset.latency_jitter_ms * NS_PER_MS,
    }
