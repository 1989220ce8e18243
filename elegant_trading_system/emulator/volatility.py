"""What an emulated volatility index prints: the volatility that the simulated market has realised, and a past before it."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Kline = list[Any]  # as Binance has it: 4 is the close, 6 the last millisecond
DAY_MS, MINUTE_MS = 86_400_000, 60_000
MINUTES_A_YEAR = 365 * 1440
WINDOW = 1440  # minutes that are looked back on
PRIOR = 240  # minutes of usual volatility that are added: a young market is not yet known
PAST_DAYS = 1000  # before the market began; earlier ones repeat
PAST_KEEP, PAST_STEP = 0.97, 0.05  # a day, of the logarithm: it swings by a fifth


class VolatilityIndex:
    """Percent a year. Before the first kline, and only there, it is a walk out of the seed around `usual`."""

    def __init__(self, klines: list[Kline], usual: float, seed: int) -> None:
        self.klines = klines
        self.usual = usual
        draws = np.random.default_rng([seed, 0xD501]).normal(0.0, PAST_STEP, PAST_DAYS)
        self._past = np.zeros(PAST_DAYS)
        for n in range(1, PAST_DAYS):
            self._past[n] = PAST_KEEP * self._past[n - 1] + draws[n]

    def value(self, ms: int) -> float:
        """As it was known at that moment, two decimals."""
        return float(self.values(np.array([ms]))[0])

    def values(self, ms: Array) -> Array:
        """As they were known at those moments."""
        ends = np.array([row[6] + 1 for row in self.klines], np.int64)
        closes = np.array([float(row[4]) for row in self.klines])
        squares = np.concatenate([[0.0], np.cumsum(np.diff(np.log(closes), prepend=np.log(closes[:1])) ** 2)])
        known = np.searchsorted(ends, ms, side="right")
        begun = np.maximum(known - WINDOW, 0)
        usual = (self.usual / 100) ** 2 / MINUTES_A_YEAR
        variance = (squares[known] - squares[begun] + PRIOR * usual) / (known - begun + PRIOR)
        began_ms = int(ends[0]) if len(ends) else int(ms.max(initial=0)) + 1
        days_before = np.where(ms < began_ms, (began_ms - ms) // DAY_MS, 0) % PAST_DAYS
        percent = 100 * np.sqrt(variance * MINUTES_A_YEAR) * np.exp(self._past[days_before])
        rounded: Array = np.round(percent, 2)
        return rounded

    def rows(self, starts_ms: Array, spacing_ms: int, now_ms: int) -> list[list[float]]:
        """[ms, open, high, low, close] of the periods that start then; the running one as far as it has come."""
        ends = np.minimum(starts_ms + spacing_ms, now_ms)
        opens, middles, closes = (self.values(ms) for ms in (starts_ms, (starts_ms + ends) // 2, ends))
        prices = np.stack([opens, middles, closes])
        table = zip(starts_ms, opens, prices.max(axis=0), prices.min(axis=0), closes, strict=True)
        return [[int(ms), *(float(value) for value in values)] for ms, *values in table]
