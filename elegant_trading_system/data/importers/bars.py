"""Minute bars of any public source become one tape a listing: a BAR packet a bar, stamped when it became known.

CSV, JSON lists, Parquet, feather and the zips of Binance Vision and LEAN; columns are found by name or position.
A bar is known at the end of its minute (ts_local_ns); ts_venue_ns is its start.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...core.kinds import Kind
from ...core.schema import LEVEL, PACKET
from ...errors import UserError
from ..decimals import Array
from ..tape import ListingSpec, Quality, TapeWriter
from . import bars_lean
from .bars_clean import Bars, Counted, clean, count
from .bars_names import Instrument, identify, is_meant, other_length
from .bars_stamps import NEW_YORK, NS_PER_MINUTE, Clock, minute_starts_ns
from .bars_table import kind_of, read_table
from .binance_symbols import KNOWN_STEPS
from .said import Said

__all__ = ["PATTERNS", "is_meant", "read"]

PATTERNS = (
    *("*.csv", "*.csv.xz", "*.csv.gz", "*.json", "*.json.xz", "*.json.gz"),
    *("*.parquet", "*.feather", "*.zip"),
)
NOTHING_SAID = Said()
BAR_MINUTES = 1
BAR_ROWS = 4  # open, high, low, close
LENGTH_ROWS_MIN = 20  # fewer bars may happen to lie apart by a common multiple
MINUTES_HINT = "minute bars are read; longer ones follow from them"

OpenWriter = Callable[[ListingSpec], TapeWriter]
Progress = Callable[[str, float], None]


class Source(NamedTuple):
    """The files of one listing."""

    instrument: Instrument
    paths: list[Path]


def read(paths: list[Path], open_writer: OpenWriter, progress: Progress, said: Said = NOTHING_SAID) -> None:
    """Fill and finish one tape per listing the files belong to."""
    done = 0
    for source in _sources(paths, said):
        parts = []
        for path in source.paths:
            progress(path.name, done / len(paths))
            parts.append(_bars(path, source.instrument, said))
            done += 1
        _write(source, Bars(*(np.concatenate(columns) for columns in zip(*parts, strict=True))), open_writer)


def _sources(paths: list[Path], said: Said) -> list[Source]:
    """Files by listing, listings in order of venue and symbol."""
    by_listing: dict[Instrument, list[Path]] = {}
    for path in paths:
        kind_of(path)
        by_listing.setdefault(bars_lean.identify(path) or identify(path, said), []).append(path)
    ordered = sorted(by_listing, key=lambda instrument: (instrument.venue, instrument.symbol))
    return [Source(instrument, sorted(by_listing[instrument])) for instrument in ordered]


def _bars(path: Path, instrument: Instrument, said: Said) -> Bars:
    if length := other_length(path):
        raise UserError(f"{path}: bars of {length}, by its name", MINUTES_HINT)
    if bars_lean.identify(path):
        table, said = bars_lean.read_table(path), said._replace(stamps="start")
    else:
        table = read_table(path)
    clock = Clock(NEW_YORK if instrument.is_equity else "UTC", instrument.is_equity)
    starts_ns = minute_starts_ns(table, clock, said)
    minutes = int(np.gcd.reduce(np.diff(starts_ns))) // NS_PER_MINUTE
    if minutes > 1 and len(starts_ns) >= LENGTH_ROWS_MIN:
        raise UserError(f"{path}: bars of {minutes} minutes, by their times", MINUTES_HINT)
    return Bars(starts_ns, table.prices, table.volumes)


def _write(source: Source, bars: Bars, open_writer: OpenWriter) -> None:
    instrument = source.instrument
    name = f"{', '.join(path.name for path in source.paths[:3])}: {instrument.venue} {instrument.symbol}"
    quality = Quality()
    bars = clean(name, bars, quality, is_session=instrument.is_equity)
    counted = count(name, bars, KNOWN_STEPS.get((instrument.market, instrument.raw)) if instrument.market else None)
    quality.rounded_prices, quality.rounded_sizes = counted.rounded_prices, counted.rounded_sizes
    quality.silence_ns_max = int(np.diff(bars.starts_ns).max(initial=0))
    writer = open_writer(instrument.spec(counted.steps))
    writer.facts.quality = quality
    writer.facts.source_files = [path.name for path in source.paths]
    writer.append(*_records(bars.starts_ns, counted))
    writer.facts.latency_ns_max = 0  # a bar's length is no latency
    writer.finish()


def _records(starts_ns: Array, counted: Counted) -> tuple[Array, Array]:
    packets = np.zeros(len(starts_ns), PACKET)
    packets["kind"], packets["code"] = Kind.BAR, BAR_MINUTES
    packets["ts_venue_ns"] = starts_ns
    packets["ts_local_ns"] = starts_ns + BAR_MINUTES * NS_PER_MINUTE
    packets["buy_count"] = BAR_ROWS
    packets["level_begin"] = np.arange(len(starts_ns)) * BAR_ROWS
    levels = np.zeros(len(starts_ns) * BAR_ROWS, LEVEL)
    levels["price_ticks"] = counted.price_ticks.ravel()
    levels["lots"][BAR_ROWS - 1 :: BAR_ROWS] = counted.lots
    return packets, levels
