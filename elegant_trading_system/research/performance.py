"""What a curve of daily returns says: return, volatility, drawdown and the ratios made of them (SPEC P3).

Returns are simple and per period, 0.01 is one per cent; every measure works along the last axis, so that ten thousand
redrawn curves are measured at once. What cannot be known is NaN: no loss gives no Sortino ratio, no drawdown no Calmar
ratio, a constant curve no Sharpe ratio. A curve that has lost everything has returned -1 and stays there.
"""

import math
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

YEAR_DAYS = 365.0  # calendar days: a day without trading is a return of nothing
NOISE = 1e-12  # a spread this small beside the mean is rounding, not risk


class Drawdown(NamedTuple):
    """The deepest fall of a curve: its depth as a share of the peak, and where it began, ended and was made good."""

    depth: float
    peak: int  # index of the highest point before the fall, the last of equals
    trough: int
    recovery: int  # first index at or above the peak again; -1 if there is none


def annual_return(returns: Array, periods_per_year: float = YEAR_DAYS) -> Array:
    """Geometric return per year: the growth of the whole curve to the power of periods per year over periods."""
    growth = np.clip((1.0 + returns).prod(axis=-1), 0.0, None)
    periods = returns.shape[-1]
    return np.asarray(growth ** (periods_per_year / periods) - 1.0 if periods else np.full(growth.shape, np.nan))


def volatility(returns: Array, periods_per_year: float = YEAR_DAYS) -> Array:
    """Sample standard deviation of the returns, per square root of a year."""
    return _spread(returns) * math.sqrt(periods_per_year)


def sharpe(returns: Array, periods_per_year: float = YEAR_DAYS) -> Array:
    """Mean over sample standard deviation, annualised (Sharpe 1994), against a riskless rate of nothing."""
    return _ratio(_mean(returns), _spread(returns)) * math.sqrt(periods_per_year)


def sortino(returns: Array, periods_per_year: float = YEAR_DAYS) -> Array:
    """Mean over downside deviation, annualised (Sortino and Price 1994), against a target of nothing.

    The downside deviation is the root of the mean square of what is below the target, over all observations.
    """
    below = np.minimum(returns, 0.0)
    return _ratio(_mean(returns), np.sqrt(_mean(below * below))) * math.sqrt(periods_per_year)


def calmar(annual: Array, depth: Array) -> Array:
    """Annual return over the depth of the largest drawdown (Young 1991), here of the whole curve."""
    return _ratio(annual, depth)


def drawdown(levels: Array) -> Drawdown:
    """The deepest fall of a curve of levels, the first of equals."""
    if len(levels) == 0:
        return Drawdown(math.nan, -1, -1, -1)
    peaks = np.maximum.accumulate(levels)
    falls = np.where(peaks > 0.0, 1.0 - levels / np.where(peaks > 0.0, peaks, 1.0), 0.0)
    trough = int(falls.argmax())
    peak = trough - int(levels[trough::-1].argmax())
    again = np.flatnonzero(levels[trough:] >= levels[peak])
    return Drawdown(float(falls[trough]), peak, trough, trough + int(again[0]) if len(again) else -1)


# --- what can be divided --------------------------------------------------------------------------------------
def _mean(values: Array) -> Array:
    count = values.shape[-1]
    return values.sum(axis=-1) / count if count else np.full(values.shape[:-1], np.nan)


def _spread(values: Array) -> Array:
    """Sample standard deviation; unknown below two values, nothing where only rounding tells the values apart."""
    count = values.shape[-1]
    if count < 2:
        return np.full(values.shape[:-1], np.nan)
    mean = _mean(values)
    rest = values - mean[..., None]
    spread = np.sqrt((rest * rest).sum(axis=-1) / (count - 1))
    return np.where(spread > NOISE * np.abs(mean), spread, 0.0)


def _ratio(above: Array, below: Array) -> Array:
    """A quotient; NaN where the divisor is nothing or unknown."""
    is_known = below > 0.0
    return np.where(is_known, above / np.where(is_known, below, 1.0), np.nan)
