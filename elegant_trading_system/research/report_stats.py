"""Small statistics of a report: intervals, and series thinned without losing their extremes."""

import math
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

Z95 = 1.959963984540054
T95_SMALL = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}  # two-sided 95 % quantiles the expansion below misses
EACH_MIN = 5  # wins, and losses, without which their ratio has no interval
SLOPE_MIN = 30  # points below which a slope says nothing


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


def slope_interval(x: Array, y: Array) -> Interval:
    """Least-squares slope of y on x and its interval: market beta, when both are returns.

    The error allows for moves that come in clusters (Newey and West 1987, lags by the rule of 1994): a strategy holds
    positions just when the market moves, which makes the textbook's error too small.
    """
    n = len(x)
    if n < SLOPE_MIN or float(x.std()) == 0.0 or float(y.std()) == 0.0:
        return UNKNOWN
    dx = x - x.mean()
    spread = float((dx * dx).sum())
    slope = float((dx * y).sum()) / spread
    score = dx * (y - y.mean() - slope * dx)
    half = t95(n - 2) * math.sqrt(_long_run(score, newey_west_lags(n)) * n / (n - 2)) / spread
    return Interval(slope, slope - half, slope + half, n)


def newey_west_lags(n: int) -> int:
    return int(4.0 * (n / 100.0) ** (2.0 / 9.0))


def _long_run(score: Array, lags: int) -> float:
    """Variance of a sum whose terms hang together over so many lags, with weights that fall to nothing (Bartlett)."""
    total = float((score * score).sum())
    for lag in range(1, lags + 1):
        total += 2.0 * (1.0 - lag / (lags + 1.0)) * float((score[lag:] * score[:-lag]).sum())
    return total


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
