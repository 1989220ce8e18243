"""Volatility indices become prints: one TRADE packet a closing value, stamped when it became known.

VIX: CSV as CBOE or its mirrors publish it, a row a day. DVOL: JSON rows [ms, close] or [ms, open, high, low, close] as
Deribit answers. Values are percent a year; only the close is used.
"""

import csv
import io
from collections.abc import Callable
from datetime import datetime, time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from ...core.kinds import Kind
from ...core.schema import LEVEL, NS_PER_S, PACKET
from ...errors import UserError
from ..tape import AssetClass, ListingSpec, Quality, TapeWriter
from .bars_names import words_of

PATTERNS = ("*.csv", "*.json")
TICK = Decimal("0.01")
VALUE_MIN, VALUE_MAX = Decimal(1), Decimal(500)  # percent a year; less is a ratio or an old scale, more is no market
NEW_YORK = ZoneInfo("America/New_York")
VIX_KNOWN = time(16, 15)  # New York; on short days the close is known earlier, never later
CLOSES = ("close", "vixcls")
DATES = ("date", "observation_date")
DATE_FORMATS = ("%Y-%m-%d", "%m/%d/%Y")
DVOL_SPACINGS_S = (1, 60, 3600, 43_200, 86_400)  # the resolutions Deribit offers
CURRENCIES = ("BTC", "ETH")
VIX_DELAY = "15 minutes late, not live"  # whatever CBOE tells without a contract
VIX_HINT = "VIX files have a header with DATE and CLOSE, and days as YYYY-MM-DD or MM/DD/YYYY"
DVOL_HINT = "DVOL files are JSON lists of [milliseconds, close] or [milliseconds, open, high, low, close]"

OpenWriter = Callable[[ListingSpec], TapeWriter]
Progress = Callable[[str, float], None]


class Value(NamedTuple):
    line: int
    ts_venue_ns: int  # start of the period; VIX: when known
    ts_known_ns: int
    percent: Decimal | None  # None = no number


def read(paths: list[Path], open_writer: OpenWriter, progress: Progress) -> None:
    """One tape a file."""
    for done, path in enumerate(sorted(paths)):
        progress(path.name, done / len(paths))
        spec, values, quality = _dvol(path) if path.suffix.lower() == ".json" else _vix(path)
        _write(path, open_writer(spec), values, quality)


def dvol_spec(currency: str) -> ListingSpec:
    """Deribit's index of BTC or ETH."""
    return _spec("deribit", f"DVOL/{currency}", f"DVOL-{currency}", "crypto")


def vix_spec() -> ListingSpec:
    """CBOE's index of the S&P 500."""
    return _spec("cboe", "VIX", "VIX", "equity")


def _spec(venue: str, symbol: str, base: str, asset_class: AssetClass) -> ListingSpec:
    return ListingSpec(
        venue=venue, symbol=symbol, kind="volatility", base=base, quote="USD", settle="USD",
        tick_size=TICK, lot_size=Decimal(1), asset_class=asset_class,
    )  # fmt: skip


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not text: {error}", VIX_HINT) from None


def _decimal(text: str) -> Decimal | None:
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


# --- VIX --------------------------------------------------------------------------------------------------
def _vix(path: Path) -> tuple[ListingSpec, list[Value], Quality]:
    return vix_spec(), vix_values(path, _text(path)), Quality()


def vix_values(path: Path, text: str) -> list[Value]:
    """A row a day; `path` names it where it is wrong. Raises UserError."""
    rows = csv.reader(io.StringIO(text))
    header = [name.strip().lower() for name in next(rows, [])]
    date_at = next((header.index(name) for name in DATES if name in header), -1)
    close_at = next((header.index(name) for name in CLOSES if name in header), -1)
    if min(date_at, close_at) < 0:
        raise UserError(f"{path}:1: no columns DATE and CLOSE: {','.join(header)[:80]!r}", VIX_HINT)
    values = []
    for line, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise UserError(f"{path}:{line}: {len(row)} fields, the header has {len(header)}", VIX_HINT)
        ts_ns = day_known_ns(path, line, row[date_at].strip())
        values.append(Value(line, ts_ns, ts_ns, _number(path, line, row[close_at])))
    return values


def _number(path: Path, line: int, text: str) -> Decimal | None:
    value = _decimal(text)
    if value is None and text.strip() not in ("", "."):  # FRED writes a point where there is none
        raise UserError(f"{path}:{line}: not a number: {text!r}", VIX_HINT)
    return value


def day_known_ns(path: Path, line: int, text: str) -> int:
    """When the close of a day, as CBOE or its mirrors write it, is known."""
    for form in DATE_FORMATS:
        try:
            day = datetime.strptime(text, form).date()  # noqa: DTZ007  a day has no zone; its close has
        except ValueError:
            continue
        return round(datetime.combine(day, VIX_KNOWN, NEW_YORK).timestamp()) * NS_PER_S
    raise UserError(f"{path}:{line}: not a day: {text!r}", VIX_HINT)


# --- DVOL -------------------------------------------------------------------------------------------------
def _dvol(path: Path) -> tuple[ListingSpec, list[Value], Quality]:
    currency = next((word.upper() for word in words_of(path.stem) if word.upper() in CURRENCIES), "")
    if not currency:
        raise UserError(f"{path}: the file's name says neither BTC nor ETH", "call it dvol_btc.json or dvol_eth.json")
    rows = _dvol_rows(path)
    spacing_ns = _spacing_ns(path, rows)
    values = [
        Value(line, ms * 10**6, ms * 10**6 + spacing_ns, _decimal(str(close)))
        for line, (ms, close) in enumerate(rows, 1)
    ]
    times = [ms for ms, _ in rows]
    missing = len(set(range(min(times), max(times) + 1, spacing_ns // 10**6))) - len(set(times))
    return dvol_spec(currency), values, Quality(missing_bars=missing)


def _dvol_rows(path: Path) -> list[tuple[int, float]]:
    """Start in ms and close of each row."""
    try:
        rows = msgspec.json.decode(_text(path))
    except (msgspec.DecodeError, RecursionError) as error:
        raise UserError(f"{path}: bad JSON: {error}", DVOL_HINT) from None
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path}: no rows", DVOL_HINT)
    for line, row in enumerate(rows, 1):
        is_row = isinstance(row, list) and len(row) in (2, 5) and isinstance(row[0], int)
        if not (is_row and isinstance(row[-1], int | float | None) and 10**11 <= row[0] < 4 * 10**12):
            raise UserError(f"{path}: row {line}: not [ms, close]: {str(row)[:60]}", DVOL_HINT)
    return [(row[0], row[-1]) for row in rows]


def _spacing_ns(path: Path, rows: list[tuple[int, float]]) -> int:
    """How long a row's period is: the smallest distance of two, which Deribit must offer; a day if there is one row."""
    times = sorted({ms for ms, _ in rows})
    if len(times) == 1:
        return 86_400 * NS_PER_S
    ms = int(np.diff(times).min())
    if ms % 1000 or ms // 1000 not in DVOL_SPACINGS_S:
        raise UserError(f"{path}: rows lie {ms} ms apart, which no resolution of Deribit does", DVOL_HINT)
    return ms * 10**6


# --- both -------------------------------------------------------------------------------------------------
def _write(path: Path, writer: TapeWriter, values: list[Value], quality: Quality) -> None:
    sound = _sound(path, values, quality)
    packets = np.zeros(len(sound), PACKET)
    packets["kind"], packets["buy_count"] = Kind.TRADE, 1
    packets["ts_venue_ns"] = [value.ts_venue_ns for value in sound]
    packets["ts_local_ns"] = [value.ts_known_ns for value in sound]
    packets["level_begin"] = np.arange(len(sound))
    levels = np.zeros(len(sound), LEVEL)
    levels["price_ticks"] = [round((value.percent or 0) / TICK) for value in sound]
    levels["lots"] = 1
    quality.trades = len(sound)
    quality.rounded_prices = sum((value.percent or 0) % TICK != 0 for value in sound)
    quality.silence_ns_max = int(np.diff(packets["ts_local_ns"]).max(initial=0))
    writer.facts.quality = quality
    writer.facts.source_files = [path.name]
    writer.append(packets, levels)
    writer.facts.latency_ns_max = 0  # a period's length is no latency
    writer.finish()


def _sound(path: Path, values: list[Value], quality: Quality) -> list[Value]:
    """Oldest first, one a moment; what is no volatility or told in two ways is left out and counted."""
    quality.lines = len(values)
    told: dict[int, set[Decimal | None]] = {}
    for value in values:
        told.setdefault(value.ts_known_ns, set()).add(value.percent)
    first = {value.ts_known_ns: value for value in reversed(values)}
    sound = [
        first[ts_ns]
        for ts_ns in sorted(first)
        if len(told[ts_ns]) == 1 and VALUE_MIN <= (first[ts_ns].percent or Decimal(0)) <= VALUE_MAX
    ]
    is_kept = {value.ts_known_ns for value in sound}
    quality.faulty_bars = sum(value.ts_known_ns not in is_kept for value in values)
    quality.repeats = len(values) - quality.faulty_bars - len(sound)
    if not sound:
        raise UserError(f"{path}: no value between {VALUE_MIN} and {VALUE_MAX} percent a year", "is it the right file?")
    return sound


def is_meant(path: Path) -> bool:
    """Whether a file found in a folder is one, as far as its name says: folders hold descriptions as well."""
    return bool({"vix", "dvol"} & set(words_of(path.stem)))
