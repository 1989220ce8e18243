"""Minute bars from Binance Vision: zips by month, or by day where a month is not whole, each with a sha256 beside it.

Layout and checksums as Binance documents them (binance/binance-public-data). Monthly files appear on the first Monday
of the next month, daily ones the next day.
"""

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from ...errors import ExitCode, UserError
from .download import Downloader, NotThere

BASE_URL = "https://data.binance.vision"
SYMBOL = re.compile(r"([A-Z0-9]+)/([A-Z0-9]+)(?::([A-Z0-9]+))?")
MONTH_LATE_DAYS = 10  # a month that ended so recently may not be out yet: its days are
DAY = timedelta(days=1)
EXAMPLE = "for example: BTC/USDT (spot), BTC/USDT:USDT (USD-M perpetual), BTC/USD:BTC (COIN-M perpetual)"

Progress = Callable[[str, float], None]


class Market(NamedTuple):
    """Where a symbol's files lie."""

    folder: str  # spot, futures/um, futures/cm
    raw: str  # BTCUSDT


class Period(NamedTuple):
    """A month or a day."""

    first: date
    is_month: bool

    @property
    def text(self) -> str:
        return self.first.strftime("%Y-%m" if self.is_month else "%Y-%m-%d")

    def days(self) -> list["Period"]:
        count = monthrange(self.first.year, self.first.month)[1] if self.is_month else 1
        return [Period(self.first + DAY * number, is_month=False) for number in range(count)]


class Fetched(NamedTuple):
    files: list[Path]  # all of the range, oldest first
    downloaded: int  # of them, by this call
    missing: list[str]  # days and months the source does not have


def market_of(symbol: str) -> Market:
    """UserError if it is not a symbol as ccxt writes it."""
    found = SYMBOL.fullmatch(symbol.strip().upper())
    if found is None:
        raise UserError(f"{symbol!r} is not an instrument of Binance", EXAMPLE, ExitCode.USAGE)
    base, quote, settle = found.groups()
    if not settle:
        return Market("spot", base + quote)
    if settle == quote:
        return Market("futures/um", base + quote)
    if settle == base and quote == "USD":
        return Market("futures/cm", f"{base}USD_PERP")
    raise UserError(f"{symbol!r} is settled in neither of its two assets", EXAMPLE, ExitCode.USAGE)


def periods(start: date, end: date) -> list[Period]:
    """The days from start to before end: by whole months where they are whole."""
    found, day = [], start
    while day < end:
        after = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        is_month = day.day == 1 and after <= end
        found.append(Period(day, is_month))
        day = after if is_month else day + DAY
    return found


def fetch(downloader: Downloader, symbol: str, start: date, end: date, folder: Path, progress: Progress) -> Fetched:
    """Files of [start, end) in folder; those that are there are not asked for again.

    UserError if the source has none of them.
    """
    market = market_of(symbol)
    today = datetime.now(UTC).date()
    if start >= min(end, today):
        raise UserError(
            f"nothing to fetch from {start} to before {end}", "daily files come the next day", ExitCode.USAGE
        )
    waiting = periods(start, min(end, today))[::-1]
    total, files, missing, downloaded = len(waiting), [], [], 0
    while waiting:
        period = waiting.pop()
        share = 1.0 - (len(waiting) + 1) / max(total, len(waiting) + 1)
        target = folder / "binance" / market.folder / market.raw / f"{market.raw}-1m-{period.text}.zip"
        try:
            downloaded += _fetch_one(downloader, market, period, target, share, progress)
        except NotThere:
            if period.is_month and today - period.days()[-1].first <= timedelta(days=MONTH_LATE_DAYS):
                waiting += period.days()[::-1]
            else:
                missing.append(period.text)
            continue
        files.append(target)
    if not files:
        raise _nothing(downloader, symbol, market, missing)
    return Fetched(files, downloaded, missing)


def _nothing(downloader: Downloader, symbol: str, market: Market, missing: list[str]) -> UserError:
    where = f"{downloader.base_url}/data/{market.folder}"
    span = missing[0] if len(missing) == 1 else f"{missing[0]} to {missing[-1]}"
    return UserError(
        f"{symbol}: {where} has no minute bars of {market.raw} for {span} (404)",
        f"is it spelt as Binance does, and was it listed then? {EXAMPLE}",
    )


def _fetch_one(
    downloader: Downloader, market: Market, period: Period, target: Path, share: float, progress: Progress
) -> int:
    """1 if it had to be downloaded."""
    progress(target.name, share)
    if target.exists():  # it got its name after its checksum was right
        return 0
    path = f"/data/{market.folder}/{'monthly' if period.is_month else 'daily'}/klines/{market.raw}/1m/{target.name}"
    answer = downloader.text(path + ".CHECKSUM")
    found = re.match(r"\s*([0-9a-fA-F]{64})\b", answer.text if answer else "")
    if found is None:
        raise UserError(f"{downloader.base_url}{path}.CHECKSUM: no sha256 in it", "run the command again")
    downloader.file(path, target, found.group(1).lower(), lambda _: progress(target.name, share))
    return 1


def to_import(files: list[Path]) -> list[Path]:
    """All that lies in the files' folder, without the days of months that are there whole."""
    there = sorted({other for file in files for other in file.parent.glob("*-1m-*.zip")})
    months = {path.stem for path in there if re.search(r"-1m-\d{4}-\d{2}$", path.stem)}
    return [path for path in there if path.stem in months or path.stem[:-3] not in months]
