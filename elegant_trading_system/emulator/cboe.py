"""CBOE's public files on this machine: the delayed quote of the VIX and its daily history. Facts: PROTOCOLS 3.2.

The index is a walk out of the seed, a value a day and straight lines in between; it has New York's hours.
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from .binance.venue import Reply
from .orders import Event

NS_PER_S = 1_000_000_000
NEW_YORK = ZoneInfo("America/New_York")
OPEN, CLOSE = time(9, 30), time(16, 15)
DELAY = timedelta(minutes=15)
BEGIN, YEARS = date(2000, 1, 3), 100
USUAL, KEEP, STEP = 18.0, 0.97, 0.06  # percent a year; a day, of the logarithm
HISTORY_DAYS = 700
ROOT = "/api/global/"


class Cboe:
    """One index, told late."""

    def __init__(self, seed: int, now_ns: Callable[[], int]) -> None:
        self.now_ns = now_ns
        draws = np.random.default_rng([seed, 0xCB0E]).normal(0.0, STEP, 366 * YEARS)
        walk = np.zeros(len(draws))
        for n in range(1, len(draws)):
            walk[n] = KEEP * walk[n - 1] + draws[n]
        self._closes = np.round(USUAL * np.exp(walk), 2)

    # --- as every venue -----------------------------------------------------------------------------------------
    def publish(self, events: Iterable[Event]) -> None:
        """Nothing that happens at a market is an event here."""

    def flush_depth(self) -> None:
        """Nobody is told anything: one has to ask."""

    def http(self, method: str, path: str, query: str, body: str, headers: dict[str, str]) -> Reply:  # noqa: ARG002
        if method == "GET" and path == f"{ROOT}delayed_quotes/quotes/_VIX.json":
            return Reply(200, {"Content-Type": "application/json"}, msgspec.json.encode(self._quote()))
        if method == "GET" and path == f"{ROOT}us_indices/daily_prices/VIX_History.csv":
            return Reply(200, {"Content-Type": "text/csv"}, self._history().encode())
        return Reply(403, {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>")

    # --- the index --------------------------------------------------------------------------------------------
    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.now_ns() / NS_PER_S, NEW_YORK)

    def close(self, day: date) -> float:
        return float(self._closes[(day - BEGIN).days])

    def value(self, moment: datetime) -> float:
        """Within a session."""
        before = _session_before(moment.date())
        begin, end = (datetime.combine(moment.date(), at, NEW_YORK) for at in (OPEN, CLOSE))
        share = (moment - begin) / (end - begin)
        return round(self.close(before) + share * (self.close(moment.date()) - self.close(before)), 2)

    def _quote(self) -> dict[str, Any]:
        moment = _traded_by(self._now() - DELAY)
        price, before = self.value(moment), self.close(_session_before(moment.date()))
        told = {"current_price": price, "price_change": round(price - before, 4), "prev_day_close": before}
        stamp = f"{moment:%Y-%m-%dT%H:%M:%S}"
        data = {"symbol": "^VIX", "security_type": "index", **told, "last_trade_time": stamp, "tick": "no_change"}
        return {"timestamp": f"{self._now():%Y-%m-%d %H:%M:%S}", "symbol": "_VIX", "data": data}

    def _history(self) -> str:
        now, rows = self._now(), list[str]()
        for n in range(HISTORY_DAYS, -1, -1):
            day = now.date() - timedelta(days=n)
            if _is_open(day) and datetime.combine(day, CLOSE, NEW_YORK) <= now:
                before, close = self.close(_session_before(day)), self.close(day)
                prices = (before, max(before, close), min(before, close), close)
                rows.append(f"{day:%m/%d/%Y}," + ",".join(f"{price:.6f}" for price in prices))
        return "\n".join(["DATE,OPEN,HIGH,LOW,CLOSE", *rows, ""])


def _is_open(day: date) -> bool:
    return day.weekday() < 5


def _session_before(day: date) -> date:
    return next(day - timedelta(days=n) for n in range(1, 4) if _is_open(day - timedelta(days=n)))


def _traded_by(moment: datetime) -> datetime:
    """The last moment of a session up to then, to the second."""
    moment = moment.replace(microsecond=0)
    if _is_open(moment.date()) and moment.time() >= OPEN:
        return min(moment, datetime.combine(moment.date(), CLOSE, NEW_YORK))
    return datetime.combine(_session_before(moment.date()), CLOSE, NEW_YORK)
