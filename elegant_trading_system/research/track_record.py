"""Performance of a run with its uncertainty: what the account did day by day, drawn again ten thousand times.

A day is redrawn whole: its return, how deep and how high it went inside, and the trades that were closed in it
(SCIENCE 5.7). Figures per year, and intervals of the drawdown, need 30 days; what single trades say needs none.
"""

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from .bootstrap import intervals
from .by_day import DAY_NS, has_days, is_short, sums_by_day
from .performance import (
    YEAR_DAYS,
    Drawdown,
    annual_return,
    calmar,
    drawdown,
    sharpe,
    sortino,
    volatility,
)
from .report_run import Run
from .report_stats import EACH_MIN, UNKNOWN, Interval, wilson_interval

Array = np.ndarray[Any, Any]

GROUPS_MAX = 1000  # of consecutive trades, which are redrawn instead of single ones where there are more
NAMES = ("return", "drawdown", "volatility", "sharpe", "sortino", "calmar", "win_rate", "win_loss", "profit_factor")
OF_TRADES = NAMES[-3:]
TARGETS = {
    "return": (0.15, 0.25),
    "drawdown": (0.08, 0.10),
    "sharpe": (1.5, 2.0),
    "win_rate": (0.55, 0.60),
    "win_loss": (1.45, 1.55),  # 1.5, to the digit it was written with
}
CANNOT_SAY = "cannot say"


class Days(NamedTuple):
    """What a redrawn day brings along; levels are multiples of the last equity of the day before."""

    returns: Array
    low: Array
    high: Array
    fall: Array  # deepest drawdown inside the day, its start included
    trades: Array  # (5, days): closed trades, wins, losses, sum won, sum lost


class TrackRecord(NamedTuple):
    """Every figure by name, in the order of `NAMES`; shares are fractions."""

    figures: dict[str, Interval]
    days: Days
    worst: Drawdown  # over the samples of the equity table
    is_short: bool
    is_by_day: bool  # whether trades were redrawn with their days, or one by one


def track_record(run: Run) -> TrackRecord:
    """Measure a run; figures per year stay unknown below 30 days, whatever they would be."""
    frame, tallies, early = run.equity, _tallies(run.closed), is_short(run)
    levels = frame["equity"].to_numpy() if not frame.is_empty() else np.zeros(0)
    days = daily(frame, run.closed)
    is_known = len(days.returns) > 1 and not early
    figures = _of_days(days, _periods_per_year(frame, days)) if is_known else dict.fromkeys(NAMES, UNKNOWN)
    is_by_day = is_known and _speak_for_trades(run.closed, tallies)
    if not is_by_day:
        figures |= _of_trades(tallies)
    deepest = float(run.summary["drawdown_max"])  # of every mark, where the table has samples
    figures["drawdown"] = figures["drawdown"]._replace(value=deepest)
    return TrackRecord(figures, days, drawdown(levels), early, is_by_day)


def _speak_for_trades(closed: pl.DataFrame, tallies: Array) -> bool:
    is_both = min(tallies[1].sum(), tallies[2].sum()) >= EACH_MIN
    return bool(is_both) and has_days(closed["ts_exit"].cast(pl.Int64).to_numpy())


def against_target(name: str, found: Interval) -> str:
    """Where the interval lies: inside, below or above the target; otherwise it cannot be said. Empty without target."""
    if name not in TARGETS:
        return ""
    low, high = TARGETS[name]
    if name == "drawdown" and found.value > high:
        return "above"  # more time can only deepen it
    if found.high < low:
        return "below"
    if found.low > high:
        return "above"
    return "inside" if low <= found.low and found.high <= high else CANNOT_SAY


# --- days -----------------------------------------------------------------------------------------------------
def daily(equity: pl.DataFrame, closed: pl.DataFrame) -> Days:
    """Every UTC day from the first sample of equity to the last; one without samples brought nothing.

    The first and the last may be parts of a day. Trades count on the day they were closed.
    """
    if equity.is_empty():
        none = np.zeros(0)
        return Days(none, none, none, none, np.zeros((5, 0)))
    stamps, levels = equity["ts"].cast(pl.Int64).to_numpy() // DAY_NS, equity["equity"].to_numpy()
    first, count = int(stamps[0]), int(stamps[-1] - stamps[0]) + 1
    edges = np.searchsorted(stamps, np.arange(first, first + count + 1))
    rows, start = [], float(levels[0])
    for begin, end in pairwise(edges.tolist()):
        rows.append(_day(start, levels[begin:end]))
        start = float(levels[end - 1])
    returns, low, high, fall = np.array(rows).T
    return Days(returns, low, high, fall, _trades_by_day(closed, first, count))


def _day(start: float, inside: Array) -> tuple[float, float, float, float]:
    """Return, low, high and deepest fall; nothing happens to an account that has nothing."""
    if start <= 0.0 or len(inside) == 0:
        return 0.0, 1.0, 1.0, 0.0
    levels = np.append(1.0, inside / start)
    return float(levels[-1]) - 1.0, float(levels.min()), float(levels.max()), drawdown(levels).depth


def _trades_by_day(closed: pl.DataFrame, first: int, count: int) -> Array:
    if closed.is_empty():
        return np.zeros((5, count))
    return sums_by_day(closed["ts_exit"].cast(pl.Int64).to_numpy(), _tallies(closed), first, count)


def net_values(closed: pl.DataFrame) -> Array:
    """Net result of every closed round trip, in quote."""
    return closed["net"].to_numpy() if not closed.is_empty() else np.zeros(0)


def _tallies(closed: pl.DataFrame) -> Array:
    """Per trade: itself, whether it won, whether it lost, what it won, what it lost (positive)."""
    net = net_values(closed)
    return np.array([np.ones(len(net)), net > 0, net < 0, np.maximum(net, 0.0), np.maximum(-net, 0.0)])


def _periods_per_year(equity: pl.DataFrame, days: Days) -> float:
    """365, but for days of which the run holds a part only."""
    stamps = equity["ts"].cast(pl.Int64)
    return len(days.returns) * YEAR_DAYS * DAY_NS / max(int(stamps[-1]) - int(stamps[0]), 1)


def _of_days(days: Days, per_year: float) -> dict[str, Interval]:
    """Value and interval come out of the same function: of the days as they came, and as redrawn."""
    count = len(days.returns)

    def measure(at: Array) -> Array:
        return _measured(days, at, per_year)

    values, bounds = measure(np.arange(count)[None])[:, 0], intervals(measure, count)
    return {
        name: Interval(float(value), float(low), float(high), count)
        for name, value, (low, high) in zip(NAMES, values, bounds, strict=True)
    }


def _measured(days: Days, at: Array, per_year: float) -> Array:
    """Figures (NAMES, draws) of the curves made of the days `at` (draws, days)."""
    returns, depth = days.returns[at], depths(days, at)
    annual = annual_return(returns, per_year)
    yearly = [measure(returns, per_year) for measure in (volatility, sharpe, sortino)]
    return np.stack([annual, depth, *yearly, calmar(annual, depth), *_ratios(days.trades, at)])


def depths(days: Days, at: Array) -> Array:
    """Largest drawdown of redrawn days, with what happened inside them: exact, as if every sample were redrawn."""
    ends = np.cumprod(1.0 + days.returns[at], axis=-1)
    starts = np.concatenate([np.ones((len(at), 1)), ends[:, :-1]], axis=1)
    highs = np.maximum.accumulate(starts * days.high[at], axis=-1)
    before = np.maximum(np.concatenate([starts[:, :1], highs[:, :-1]], axis=1), starts)
    between = 1.0 - starts * days.low[at] / before
    return np.asarray(np.maximum(between, days.fall[at]).max(axis=-1))


# --- trades -----------------------------------------------------------------------------------------------------
def _ratios(tallies: Array, at: Array) -> tuple[Array, Array, Array]:
    """Win rate, average win over average loss, and profit factor of redrawn tallies."""
    trades, wins, losses, won, lost = (row[at].sum(axis=-1) for row in tallies)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate, factor = wins / trades, won / lost
        payoff = factor * losses / wins
    return (
        np.where(trades > 0, rate, np.nan),
        np.where((wins > 0) & (losses > 0), payoff, np.nan),
        np.where(lost > 0, factor, np.nan),
    )


def _of_trades(tallies: Array) -> dict[str, Interval]:
    """Where there are no days to redraw: Wilson for the win rate, trades drawn independently for the ratios."""
    trades, wins, losses = (int(row.sum()) for row in tallies[:3])
    if trades == 0:
        return dict.fromkeys(OF_TRADES, UNKNOWN)
    _, payoff, factor = (float(row[0]) for row in _ratios(tallies, np.arange(trades)[None]))
    bounds = np.full((3, 2), np.nan)
    if min(wins, losses) >= EACH_MIN:
        groups = _grouped(tallies)
        bounds = intervals(lambda at: np.stack(_ratios(groups, at)), groups.shape[1], block=1.0)
    return {
        "win_rate": wilson_interval(wins, trades),
        "win_loss": Interval(payoff, float(bounds[1, 0]), float(bounds[1, 1]), trades),
        "profit_factor": Interval(factor, float(bounds[2, 0]), float(bounds[2, 1]), trades),
    }


def _grouped(tallies: Array) -> Array:
    """Consecutive trades added up, where there are too many to redraw one by one."""
    count = tallies.shape[1]
    if count <= GROUPS_MAX:
        return tallies
    edges = np.linspace(0, count, GROUPS_MAX + 1).astype(np.int64)[:-1]
    return np.add.reduceat(tallies, edges, axis=1)


# --- how sure ---------------------------------------------------------------------------------------------------
def moments(returns: Array) -> tuple[float, float, float]:
    """Sharpe ratio per period, skew and non-excess kurtosis, as SCIENCE 2.6 wants them; NaN for a constant curve."""
    once = float(sharpe(returns, 1.0))
    if math.isnan(once) or once == 0.0:
        return once, math.nan, math.nan
    z = (returns - returns.mean()) / returns.std()
    return once, float((z**3).mean()), float((z**4).mean())
