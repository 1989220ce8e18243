"""Bars of one listing put in order: what is wrong with them is counted and left out, never mended."""

from decimal import Decimal
from typing import NamedTuple

import numpy as np
import polars as pl

from ...errors import UserError
from ..decimals import LIMIT, Array
from ..tape import Quality
from .bars_stamps import NEW_YORK, NS_PER_MINUTE
from .binance_symbols import Steps

OUTLIER_RATIO = 10.0  # a price further than this from the median close around it is no price of that market
OUTLIER_BARS = 1441  # the median's window, half of it before and half behind the bar: a day of minutes
FAULTY_SHARE_MAX = 0.1  # more faults than this: the columns are not what they seem
PRICE_PLACES_MAX = 10
LOT_PLACES_MAX = 8
NOTIONAL_PLACES_MAX = 9  # of tick times lot: more decimals of the quote asset would overflow a ledger, see universe.py
EXACT_SHARE_MIN = 0.999  # of prices that a step must hold exactly; the others are noise and are rounded
FLOAT_EXACT_MAX = 2.0**53


class Bars(NamedTuple):
    """Clean bars, oldest first."""

    starts_ns: Array  # UTC
    prices: Array  # f8, rows by open, high, low, close
    volumes: Array  # f8


class Counted(NamedTuple):
    """Bars in integers."""

    steps: Steps
    price_ticks: Array  # rows by open, high, low, close
    lots: Array
    rounded_prices: int  # single prices finer than a tick
    rounded_sizes: int


def clean(name: str, bars: Bars, quality: Quality, *, is_session: bool) -> Bars:
    """Oldest first, one bar a minute, only sound ones; counts go into quality. UserError if too few are sound."""
    quality.lines = len(bars.starts_ns)
    order = np.argsort(bars.starts_ns, kind="stable")
    bars = _taken(bars, order)
    quality.missing_bars = _missing(bars.starts_ns, is_session=is_session)
    is_repeat, is_contradicted = _duplicates(bars)
    quality.repeats = int(is_repeat.sum())
    is_faulty = is_contradicted | _is_faulty(bars)
    is_faulty &= ~is_repeat
    quality.faulty_bars = int(is_faulty.sum())
    if quality.faulty_bars > FAULTY_SHARE_MAX * len(is_faulty):
        message = f"{name}: {quality.faulty_bars:,} of {len(is_faulty):,} bars contradict themselves"
        raise UserError(message, "high must be highest and low lowest: are the columns in the order o, h, l, c?")
    bars = _taken(bars, np.flatnonzero(~is_repeat & ~is_faulty))
    is_outlier = _is_outlier(bars)
    quality.outlier_bars = int(is_outlier.sum())
    bars = _taken(bars, np.flatnonzero(~is_outlier))
    if len(bars.starts_ns) == 0:
        raise UserError(f"{name}: no bar of its files can be used", "look at the files")
    quality.bars = len(bars.starts_ns)
    quality.zero_volume_bars = int((bars.volumes == 0).sum())
    return bars


def _taken(bars: Bars, rows: Array) -> Bars:
    return Bars(*(column[rows] for column in bars))


def _missing(starts_ns: Array, *, is_session: bool) -> int:
    """Minutes without a bar between the first and the last, of all or, where markets close, of each New York day."""
    minutes = np.unique(starts_ns // NS_PER_MINUTE)
    gaps = np.diff(minutes) - 1
    if is_session:
        stamps = pl.Series(minutes * NS_PER_MINUTE).cast(pl.Datetime("ns", "UTC"))
        days = stamps.dt.convert_time_zone(NEW_YORK).dt.date().to_physical().to_numpy()
        gaps = gaps[np.diff(days) == 0]
    return int(gaps.sum())


def _duplicates(bars: Bars) -> tuple[Array, Array]:
    """Rows that repeat the one before them, and rows of a minute that is told in two ways: neither can be believed."""
    same_time = np.append(False, np.diff(bars.starts_ns) == 0)
    values = np.column_stack([bars.prices, bars.volumes])
    same_values = np.append(False, (values[1:] == values[:-1]).all(axis=1))
    _, minute = np.unique(bars.starts_ns, return_inverse=True)
    told_twice = np.bincount(minute, same_time & ~same_values) > 0
    return same_time & same_values, told_twice[minute]


def _is_faulty(bars: Bars) -> Array:
    """No number, no price, or a high and low that do not hold the others."""
    opens, highs, lows, closes = bars.prices.T
    is_finite = np.isfinite(bars.prices).all(axis=1) & np.isfinite(bars.volumes)
    inner_max, inner_min = np.maximum(opens, closes), np.minimum(opens, closes)
    return ~(is_finite & (lows > 0) & (bars.volumes >= 0) & (lows <= inner_min) & (inner_max <= highs))


def _is_outlier(bars: Bars) -> Array:
    closes = pl.Series(bars.prices[:, 3])
    around = closes.rolling_median(OUTLIER_BARS, min_samples=1, center=True).to_numpy()
    return (bars.prices[:, 1] > OUTLIER_RATIO * around) | (bars.prices[:, 2] * OUTLIER_RATIO < around)


def count(name: str, bars: Bars, known: Steps | None) -> Counted:
    """Prices and volumes in whole steps: the venue's where known and the prices lie on them, else the finest that occur.

    What is finer goes to the nearest step and is counted. UserError where 64 bits do not hold it.
    """
    if known is not None and _is_on(bars.prices, known.tick_size):
        steps = known
    else:
        price_places = _places(bars.prices, PRICE_PLACES_MAX)
        places_max = min(LOT_PLACES_MAX, NOTIONAL_PLACES_MAX - price_places)
        lot_places = _places(bars.volumes, places_max, exact_share_min=1.0)
        steps = Steps(_step(price_places), _step(_held(bars, price_places, lot_places)))
    price_ticks, is_price_rounded = _whole(bars.prices, steps.tick_size)
    lots, is_volume_rounded = _whole(bars.volumes, steps.lot_size)
    if (price_ticks[:, 1] * np.maximum(lots, 1) >= LIMIT).any():
        raise UserError(f"{name}: a bar's price times volume does not fit 64 bits", "leave the file out")
    if (price_ticks <= 0).any():
        raise UserError(f"{name}: prices are finer than {steps.tick_size}", "leave the file out")
    rounded = int(is_price_rounded.sum()), int(is_volume_rounded.sum())
    return Counted(steps, price_ticks.astype(np.int64), lots.astype(np.int64), *rounded)


def _held(bars: Bars, price_places: int, lot_places: int) -> int:
    """As many decimals of volume as leave price times volume, and volume itself, inside what is exact."""
    most = (bars.prices[:, 1] * bars.volumes).max() * 10.0**price_places
    while lot_places > 0 and (
        most * 10.0**lot_places >= LIMIT or bars.volumes.max() * 10.0**lot_places > FLOAT_EXACT_MAX
    ):
        lot_places -= 1
    return lot_places


def _step(places: int) -> Decimal:
    return Decimal(1).scaleb(-places)


def _whole(values: Array, step: Decimal) -> tuple[Array, Array]:
    """Values in whole steps, still floats, and which of them had to be rounded.

    Exact: a decimal read as a float is that whole number of steps, divided by a power of ten, and nothing else.
    """
    per_unit = float(1 / step)
    whole = np.rint(values * per_unit)
    return whole, whole / per_unit != values


def _is_on(values: Array, step: Decimal) -> bool:
    return not _whole(values, step)[1].any()


def _places(values: Array, places_max: int, exact_share_min: float = EXACT_SHARE_MIN) -> int:
    """The fewest decimals that hold all values, else the fewest that hold nearly all, else the most allowed."""
    shares = [1.0 - _whole(values, _step(places))[1].mean() for places in range(places_max + 1)]
    for needed in (1.0, exact_share_min):
        if found := [places for places, share in enumerate(shares) if share >= needed]:
            return found[0]
    return places_max
