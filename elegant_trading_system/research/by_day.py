"""Trades of one day share its market: what is said of their mean is as sure as there are days, not as there are trades."""

from typing import Any

import numpy as np

from .bootstrap import intervals
from .report_run import NS, Run
from .report_stats import EACH_MIN, Interval, mean_interval, wilson_interval

Array = np.ndarray[Any, Any]

DAY_S = 86_400
DAY_NS = DAY_S * NS
JUDGED_DAYS = 30  # below this nothing is annualised, and days with trades are too few to be redrawn


def is_short(run: Run) -> bool:
    return run.span_s < JUDGED_DAYS * DAY_S


def sums_by_day(ts_ns: Array, rows: Array, first_day: int, days: int) -> Array:
    """Sums (rows, days) of values (rows, n) stamped `ts_ns`; what lies outside counts on the nearest day."""
    at = np.clip(ts_ns // DAY_NS - first_day, 0, days - 1)
    return np.array([np.bincount(at, row, days) for row in rows])


def has_days(ts_ns: Array) -> bool:
    """Whether trades were closed on so many days that the days speak for them; a handful redrawn says too much."""
    return len(np.unique(ts_ns // DAY_NS)) >= JUDGED_DAYS


def mean_of_trades(run: Run, ts_ns: Array, values: Array) -> Interval:
    """Mean of a value per trade. Its interval redraws whole days; where they are few it takes trades for independent."""
    plain = mean_interval(values)
    if not has_days(ts_ns):
        return plain
    first_day, last_day = (ns // DAY_NS for ns in run.span_ns)
    sums = sums_by_day(ts_ns, np.array([np.ones(len(values)), values]), first_day, last_day - first_day + 1)
    low, high = intervals(lambda at: _mean(sums, at)[None], sums.shape[1])[0]
    return Interval(plain.value, float(low), float(high), plain.n)


def _mean(sums: Array, at: Array) -> Array:
    count, total = (row[at].sum(axis=-1) for row in sums)
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def share_won(run: Run, ts_ns: Array, net: Array) -> Interval:
    """Win rate; Wilson's interval where days, wins or losses are too few to be redrawn."""
    won = (net > 0).astype(np.float64)
    if not has_days(ts_ns) or min(int(won.sum()), int((net < 0).sum())) < EACH_MIN:
        return wilson_interval(int(won.sum()), len(net))
    return mean_of_trades(run, ts_ns, won)
