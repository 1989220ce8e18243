"""Minute trade bars in LEAN's folders: SECURITY/MARKET/minute/TICKER/YYYYMMDD_trade.zip, rows [ms of the day, o, h, l, c, v].

Shown against LEAN's own sample data. Equity prices are in ten-thousandths; quote bars are not read.
"""

import re
from pathlib import Path

import polars as pl

from ...core.schema import NS_PER_S
from ..tape import ListingKindName
from . import bars_table
from .bars_names import EQUITY_VENUE, Instrument, pair_of
from .bars_stamps import NEW_YORK
from .bars_table import Table

LAYOUT = re.compile(r"/(equity|crypto|cryptofuture|index)/([a-z]+)/minute/([a-z0-9]+)/(\d{8})_trade\.zip$")
EQUITY_PRICE_SCALE = 10_000
ZONES = {"equity": NEW_YORK, "index": "America/Chicago"}  # of midnight; SPX opens at 08:30 in the sample
MS_PER_DAY = 86_400_000
NS_PER_MS = NS_PER_S // 1000
HINT = "the first column is milliseconds since midnight"


def identify(path: Path) -> Instrument | None:
    """The listing, if the file lies in LEAN's folders."""
    found = LAYOUT.search(path.absolute().as_posix().lower())
    if found is None:
        return None
    security, market, ticker, _ = found.groups()
    if security in ("equity", "index"):
        kind: ListingKindName = "spot" if security == "equity" else "index"
        return Instrument(EQUITY_VENUE, ticker.upper(), "USD", "USD", kind, is_equity=True)
    pair = pair_of(ticker)
    if pair is None:
        return None
    base, quote = pair
    if security == "crypto":
        return Instrument(market, base, quote, quote, "spot")
    if quote == "USD":
        return Instrument(f"{market}coinm", base, quote, base, "inverse")
    return Instrument(f"{market}usdm", base, quote, quote, "linear")


def read_table(path: Path) -> Table:
    """The file with its stamps as moments and its prices in the quote currency."""
    table = bars_table.read_table(path)
    found = LAYOUT.search(path.absolute().as_posix().lower())
    assert found is not None, path
    security, day = found.group(1), found.group(4)
    ms = table.stamps.cast(pl.Int64, strict=False)
    bad = (ms.is_null() | (ms < 0) | (ms >= MS_PER_DAY)).arg_true()
    if len(bad):
        raise table.refused(bad[0], f"not a time of the day: {table.stamps[bad[0]]!r}", HINT)
    midnight = pl.Series([day]).str.to_datetime("%Y%m%d", time_unit="ns")[0]
    local = (ms * NS_PER_MS).cast(pl.Duration("ns")) + midnight
    stamps = local.dt.replace_time_zone(ZONES.get(security, "UTC"), ambiguous="null", non_existent="null")
    scale = EQUITY_PRICE_SCALE if security == "equity" else 1
    return table._replace(stamps=stamps, prices=table.prices / scale)
