"""Small files of minute bars in every container, and naive readers of the recorded ones."""

import csv
import gzip
import io
import json
import lzma
import zipfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from elegant_trading_system.core.kinds import Kind
from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.importers.said import Said
from elegant_trading_system.data.tape import Tape

START_S = 1_704_067_200  # 2024-01-01 00:00 UTC
NAMES = ["open_time", "open", "high", "low", "close", "volume"]
Row = list[Any]


def bar(minute: int, price: float = 100.0, volume: float = 1.5) -> Row:
    """A sound bar: [ms, open, high, low, close, volume]."""
    prices = (price, price + 0.5, price - 0.5, price + 0.25)
    return [(START_S + 60 * minute) * 1000, *(round(value, 6) for value in prices), volume]


ROWS = [bar(minute, 100.0 + minute) for minute in range(5)]


def csv_text(rows: list[Row], names: list[str] | None = None) -> bytes:
    lines = [names or NAMES] if names is not None else []
    return "".join(",".join(str(value) for value in row) + "\n" for row in [*lines, *rows]).encode()


def zipped(name: str, data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, data)
    return packed.getvalue()


def frame(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=NAMES, orient="row").with_columns(
        pl.col("open_time").cast(pl.Datetime("ms", "UTC"))
    )


def parquet(rows: list[Row]) -> bytes:
    frame(rows).write_parquet(file := io.BytesIO())
    return file.getvalue()


def feather(rows: list[Row]) -> bytes:
    frame(rows).write_ipc(file := io.BytesIO(), compression="lz4")
    return file.getvalue()


def containers(rows: list[Row]) -> dict[str, bytes]:
    """The same bars in every file this project reads."""
    text, bare = csv_text(rows, NAMES), csv_text(rows)
    lists = json.dumps(rows).encode()
    return {
        "csv": text,
        "csv.xz": lzma.compress(text, preset=0),
        "csv.gz": gzip.compress(text, 1),
        "bare.csv": bare,
        "json": lists,
        "json.xz": lzma.compress(lists, preset=0),
        "dicts.json": json.dumps([dict(zip(NAMES, row, strict=True)) for row in rows]).encode(),
        "strings.json": json.dumps([[row[0], *map(str, row[1:]), 0, "7.5"] for row in rows]).encode(),
        "parquet": parquet(rows),
        "feather": feather(rows),
        "zip": zipped("BTCUSDT-1m-2024-01.csv", bare),
        "header.zip": zipped("BTCUSDT-1m-2024-01.csv", text),
    }


def imported(folder: Path, data: bytes, name: str = "kraken_ETHUSD.csv", **said: str) -> Tape:
    """The one tape of a file."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return of_paths([folder / name], folder / "catalog", **said)


def of_paths(paths: list[Path], catalog: Path, **said: str) -> Tape:
    import_paths("bars", paths, catalog, said=Said(**said))
    (tape,) = Catalog(catalog).tapes()
    return tape


def bars_of(tape: Tape) -> list[Row]:
    """Bars of a tape as [start ms, open, high, low, close, volume], in decimals."""
    packets, levels, listing = tape.packets, tape.levels, tape.facts.listing
    assert set(packets["kind"].tolist()) == {Kind.BAR}
    prices = levels["price_ticks"].reshape(-1, 4).tolist()
    volumes = levels["lots"][3::4].tolist()
    starts_ms = (packets["ts_venue_ns"] // 10**6).tolist()
    return [
        [ms, *(ticks * listing.tick_size for ticks in four), lots * listing.lot_size]
        for ms, four, lots in zip(starts_ms, prices, volumes, strict=True)
    ]


# --- naive readers: slow, plain, and made without the importer ----------------------------------------------
class Naive(NamedTuple):
    """What an importer must find."""

    rows: list[Row]  # [start ms, open, high, low, close, volume], oldest first
    missing: int
    zero_volume: int


def naive(path: Path) -> Naive:
    rows = sorted(_rows(path))
    minutes = [row[0] // 60_000 for row in rows]
    is_equity = "us-equities" in str(path) or "equity" in str(path) or "index" in str(path)
    gaps = [
        after - before - 1
        for before, after in pairwise(minutes)
        if not is_equity or _new_york_day(before) == _new_york_day(after)
    ]
    return Naive(rows, sum(gaps), sum(row[5] == 0 for row in rows))


def _new_york_day(minute: int) -> object:
    return datetime.fromtimestamp(minute * 60, ZoneInfo("America/New_York")).date()


def _rows(path: Path) -> list[Row]:
    if path.name.endswith(".json.xz"):
        # 1850639.3999999999 stands in one of them: what was meant is the shortest decimal of that float
        rows: list[Row] = json.loads(
            lzma.decompress(path.read_bytes()), parse_float=lambda text: Decimal(repr(float(text)))
        )
        return rows
    if path.name.endswith(".csv.xz") and path.name.startswith("cl8550"):
        with lzma.open(path, "rt") as file:
            return [[int(s) * 1000, *(Decimal(text) for text in values[:5])] for s, *values in csv.reader(file)]
    if path.name.endswith(".csv.xz"):
        with lzma.open(path, "rt") as file:
            return [[_end_ms(row["datetime"]), *_decimals(row)] for row in csv.DictReader(file)]
    if path.suffix == ".zip":
        return _lean_rows(path)
    bars = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_ipc(path)
    stamp = next(name for name in ("timestamp", "ts", "date") if name in bars.columns)
    columns = bars.with_columns(pl.col(stamp).dt.epoch("ms")).select(stamp, "open", "high", "low", "close", "volume")
    return [[row[0], *(Decimal(repr(value)) for value in row[1:])] for row in columns.rows()]


def _decimals(row: dict[str, str]) -> list[Decimal]:
    return [Decimal(row[name]) for name in ("open", "high", "low", "close", "volume")]


def _end_ms(text: str) -> int:
    """These files stamp the end of each minute in New York."""
    end = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York"))
    return int((end - timedelta(minutes=1)).timestamp()) * 1000


def _lean_rows(path: Path) -> list[Row]:
    zone = (
        ZoneInfo("America/New_York")
        if "equity" in str(path)
        else ZoneInfo("America/Chicago")
        if "index" in str(path)
        else UTC
    )
    midnight = datetime.strptime(path.name[:8], "%Y%m%d").replace(tzinfo=zone)
    scale = 10_000 if "equity" in str(path) else 1
    with zipfile.ZipFile(path) as packed:
        text = packed.read(packed.namelist()[0]).decode()
    return [
        [
            int(midnight.timestamp()) * 1000 + int(ms),
            *(Decimal(price) / scale for price in values[:4]),
            Decimal(values[4]),
        ]
        for ms, *values in csv.reader(text.splitlines())
    ]
