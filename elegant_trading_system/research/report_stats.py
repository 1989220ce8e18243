"""Small statistics of a report: intervals, and series thinned without losing their extremes."""

import math
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

Z95 = 1.959963984540054
T95_SMALL = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}  # two-sided 95 % quantiles the expansion below misses
RESAMPLES = 1000
BOOTSTRAP_MAX = 5000  # trades resampled at most
SLOPE_MIN = 30  # points below which a slope says nothing
EACH_MIN = 5  # wins, and losses, without which their ratio has no interval


class Interval(NamedTuple):
    """A measured value with its 95 % interval; NaN where there is too little to measure."""

    value: float
    low: float
    high: float
    n: int


UNKNOWN = Interval(math.nan, math.nan, math.nan, 0)


def t95(freedom: int) -> float:
    """Two-sided 95 % quantile of Student's t: Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5)."""
    if freedom in T95_SMALL:
        return T95_SMALL[freedom]
    z, v = Z95, freedom
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / v + second / v**2 + third / v**3


def mean_interval(values: Array) -> Interval:
    """Mean and its t interval; the interval is unknown below two values."""
    n = len(values)
    if n == 0:
        return UNKNOWN
    mean = float(values.mean())
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1)
    half = t95(n - 1) * float(values.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def wilson_interval(hits: int, n: int) -> Interval:
    """A share and its Wilson score interval: honest for small n, where the usual one is not."""
    if n == 0:
        return UNKNOWN
    share, z2 = hits / n, Z95 * Z95
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half), n)


def win_loss(values: Array) -> float:
    """Average win over average loss; NaN while either is missing."""
    wins, losses = values[values > 0], values[values < 0]
    return float(wins.mean() / -losses.mean()) if len(wins) and len(losses) else math.nan


def profit_factor(values: Array) -> float:
    """Sum of wins over sum of losses; NaN without a loss."""
    losses = values[values < 0]
    return float(values[values > 0].sum() / -losses.sum()) if len(losses) else math.nan


def ratio_interval(values: Array, statistic: Any) -> Interval:
    """A statistic of the trades and its percentile bootstrap interval, from a fixed seed."""
    n = len(values)
    if n == 0:
        return UNKNOWN
    if min(int((values > 0).sum()), int((values < 0).sum())) < EACH_MIN:
        return Interval(statistic(values), math.nan, math.nan, n)
    random = np.random.default_rng(1)
    size = min(n, BOOTSTRAP_MAX)
    drawn = np.array([statistic(random.choice(values, size)) for _ in range(RESAMPLES)])
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Interval(statistic(values), float(low), float(high), n)


def slope_interval(x: Array, y: Array) -> Interval:
    """Least-squares slope of y on x with its t interval: market beta, when both are returns."""
    n = len(x)
    if n < SLOPE_MIN or float(x.std()) == 0.0 or float(y.std()) == 0.0:
        return UNKNOWN
    dx = x - x.mean()
    spread = float((dx * dx).sum())
    slope = float((dx * y).sum()) / spread
    rest = y - y.mean() - slope * dx
    half = t95(n - 2) * math.sqrt(float((rest * rest).sum()) / (n - 2) / spread)
    return Interval(slope, slope - half, slope + half, n)


def sharpe_interval(returns: Array, periods_per_year: float) -> Interval:
    """Annualised Sharpe ratio and its interval (Lo 2002, independent returns)."""
    n = len(returns)
    if n < 2 or float(returns.std(ddof=1)) == 0.0:
        return UNKNOWN
    ratio = float(returns.mean() / returns.std(ddof=1))
    half = t95(n - 1) * math.sqrt((1 + 0.5 * ratio * ratio) / n)
    scale = math.sqrt(periods_per_year)
    return Interval(ratio * scale, (ratio - half) * scale, (ratio + half) * scale, n)


def thin(values: Array, points_max: int) -> Array:
    """Indices of at most `points_max` points that keep the first, the last and every bucket's extremes."""
    n = len(values)
    if n <= points_max:
        return np.arange(n)
    buckets = (points_max - 2) // 2
    edges = np.linspace(0, n, buckets + 1).astype(np.int64)[:-1]
    return np.unique(np.concatenate([[0, n - 1], _lowest(values, edges), _lowest(-values, edges)]))


def _lowest(values: Array, edges: Array) -> Array:
    """Index of the first minimum of every bucket; NaN counts as infinite, so that a gap stays where it is."""
    filled = np.where(np.isnan(values), np.inf, values)
    lowest = np.minimum.reduceat(filled, edges)
    widths = np.diff(np.append(edges, len(values)))
    hits = np.flatnonzero(filled == np.repeat(lowest, widths))
    firsts = np.searchsorted(hits, edges)
    picked: Array = hits[firsts]
    return picked
