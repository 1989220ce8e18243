"""The null test: on a market without edge a strategy must earn nothing at the efficient price and lose its costs.

SCIENCE 4.3, N1 and N2. The simulated market tells its efficient price V at every packet; at edge 0 it is an exact
martingale, so any profit marked at V comes from a look into the future. `look_ahead` plants one (every packet is
received when the one before it was) to show that the test can fail.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl

from ..config import Config
from ..core.jit import instantiate
from ..core.schema import NS_PER_S
from ..data.universe import Universe, build
from ..sim import simulate as product
from ..sim.market_stream import Chunk, MarketStream
from ..sim.session import Session
from ..sim.simulated_run import LOOKAHEAD_NS, stretches
from ..sim.tables import fills

Array = np.ndarray[Any, Any]
BLOCK_NS = 600 * NS_PER_S  # trades within ten minutes share their market: errors are clustered by such blocks
Z95 = 1.959964


@dataclass(frozen=True)
class Mean:
    """A mean in bps of entry notional with a block-clustered standard error."""

    value: float
    error: float

    @property
    def t(self) -> float:
        return self.value / self.error if self.error > 0 else math.nan

    def as_dict(self) -> dict[str, float]:
        half = Z95 * self.error
        return {"mean_bps": self.value, "low95": self.value - half, "high95": self.value + half, "t": self.t}


@dataclass(frozen=True)
class NullFigures:
    """What the null test measured; `passes` is N1 and N2 together."""

    trades: int
    hours: float
    seed: int
    edge: float
    look_ahead: bool
    at_truth: Mean  # N1: profit with every fill priced at V
    executable: Mean  # what was really earned, fees paid
    costs: Mean  # what being filled away from V took, and fees

    @property
    def passes(self) -> bool:
        """N1: |t| < 3 at the efficient price. N2: the executable loss is the costs, within three standard errors."""
        is_loss_the_costs = abs(self.executable.value + self.costs.value) < 3.0 * self.executable.error
        return abs(self.at_truth.t) < 3.0 and is_loss_the_costs

    def as_dict(self) -> dict[str, Any]:
        answer = asdict(self)
        for name in ("at_truth", "executable", "costs"):
            answer[name] = getattr(self, name).as_dict()
        return {**answer, "passes": self.passes}


def follower() -> ModuleType:
    """The backtest loop with `research.follower` deciding in place of the product."""
    from ..sim import follower as decider

    core = instantiate("elegant_trading_system.core.engine", "engine_following", decider_override=decider)
    return instantiate("elegant_trading_system.sim.simulate", "simulate_following", engine_override=core)


def follower_sets() -> list[str]:
    """Its configuration: no latency at all, so that a packet seen too early can be used; two seconds to hold."""
    latencies = [f"simulation.{name}_ms=0.0" for name in ("entry_latency", "response_latency", "jitter")]
    return ["bars.lengths_s=[1]", "regimes.neutral.hold_bars=2", *latencies]


def run_null_test(
    config: Config,
    hours: float,
    seed: int,
    instruments: list[str],
    edge: float = 0.0,
    look_ahead: bool = False,
    progress: Callable[[str, float], None] | None = None,
    simulate: ModuleType = product,
) -> NullFigures:
    """Trade a simulated market for some hours and price every fill twice: as filled, and at V."""
    stream = MarketStream(instruments, seed=seed, edge=edge)
    universe = build(stream.listings, config)
    session = Session(universe, [config], LOOKAHEAD_NS, simulate=simulate)
    truths: list[pl.DataFrame] = []
    seen = 0
    change = advanced if look_ahead else None
    for part in stretches(session, stream, hours * 3600.0, progress, change):
        frame = fills(universe, session.logs[0])
        truths.append(price_at_truth(frame[seen:], part, universe))
        seen = len(frame)
    frame = fills(universe, session.logs[0])
    count, means = measure(frame, pl.concat(truths))
    return NullFigures(count, hours, seed, edge, look_ahead, *means)


def advanced(chunk: Chunk) -> Chunk:
    """The planted error: every packet is received when the packet before it, of its listing, was."""
    packets = chunk.packets.copy()
    for listing_id in np.unique(packets["listing_id"]):
        at = np.flatnonzero(packets["listing_id"] == listing_id)
        packets["ts_local_ns"][at[1:]] = chunk.packets["ts_local_ns"][at[:-1]]
    order = np.argsort(packets["ts_local_ns"], kind="stable")
    return Chunk(packets[order], chunk.levels, chunk.truth[order])


def price_at_truth(frame: pl.DataFrame, part: Chunk, universe: Universe) -> pl.DataFrame:
    """V in quote at each fill: that of the instrument's last packet to have left any venue by then."""
    record = universe.record[0]
    groups = record["listings"]["group_id"][part.packets["listing_id"]]
    order = np.argsort(part.packets["ts_venue_ns"], kind="stable")
    names, stamps = frame["group"].to_numpy(), frame["ts_venue"].cast(pl.Int64).to_numpy()
    truth = np.full(len(frame), np.nan)
    for group_id, name in enumerate(universe.groups):
        mine = order[groups[order] == group_id]
        rows = np.flatnonzero(names == name)
        at = np.searchsorted(part.packets["ts_venue_ns"][mine], stamps[rows], side="right") - 1
        first_listing = record["listings"][record["groups"][group_id]["listing_ids"][0]]
        truth[rows] = part.truth[mine][np.maximum(at, 0)] * float(first_listing["tick_price"])
    return pl.DataFrame({"truth": truth})


def measure(frame: pl.DataFrame, truth: pl.DataFrame) -> tuple[int, list[Mean]]:
    """Closed round trips, and in bps of their entry notional: profit at V, profit as filled after fees, the costs."""
    sign = pl.when(pl.col("side") == "buy").then(-1.0).otherwise(1.0)
    trips = (
        frame.hstack(truth)
        .with_columns(cash=sign * pl.col("notional"), cash_at_truth=sign * pl.col("quantity") * pl.col("truth"))
        .group_by("group", "intent_id")
        .agg(
            block=pl.col("ts").min().cast(pl.Int64) // BLOCK_NS,
            entry=pl.col("notional").filter(~pl.col("is_exit")).sum(),
            open_quantity=(sign * pl.col("quantity")).sum().abs() / pl.col("quantity").sum(),
            at_truth=pl.col("cash_at_truth").sum(),
            executable=pl.col("cash").sum() - pl.col("fee").sum(),
        )
        .filter(pl.col("open_quantity") < 1e-9)
        .with_columns(
            at_truth=pl.col("at_truth") / pl.col("entry") * 1e4, executable=pl.col("executable") / pl.col("entry") * 1e4
        )
        .with_columns(costs=pl.col("at_truth") - pl.col("executable"))
    )
    return len(trips), [clustered_mean(trips[name], trips["block"]) for name in ("at_truth", "executable", "costs")]


def clustered_mean(values: pl.Series, blocks: pl.Series) -> Mean:
    """Mean and its standard error when only different blocks are independent."""
    count = len(values)
    if count < 2:
        return Mean(math.nan, math.nan)
    mean = float(values.mean())  # type: ignore[arg-type]
    frame = pl.DataFrame({"off": values - mean, "block": blocks})
    sums = frame.group_by("block").agg(pl.col("off").sum())["off"]
    clusters = len(sums)
    variance = float((sums**2).sum()) / count**2 * clusters / max(clusters - 1, 1)
    return Mean(mean, math.sqrt(variance))
