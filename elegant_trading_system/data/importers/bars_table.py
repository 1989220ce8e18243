"""Files of bars as columns: CSV, JSON lists, Parquet and feather, packed or not, whatever the columns are called."""

import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl

from ...errors import UserError
from ..decimals import Array

UNPACKED_BYTES_MAX = 1 << 30
STARTS = ("opentime", "starttime", "start", "timestamp", "datetime", "time", "date", "ts", "t", "unix", "bucket")
ENDS = ("closetime", "endtime", "end")  # used where no column says the start
PRICES = (
    ("open", "o", "openprice"),
    ("high", "h", "highprice"),
    ("low", "l", "lowprice"),
    ("close", "c", "closeprice"),
)
VOLUMES = ("volume", "vol", "v", "basevolume")
HEADERLESS = ("t", "o", "h", "l", "c", "v")  # then quote volume, trades and so on, which are not used
MEANINGS = ("time", "open", "high", "low", "close", "volume")
HINT = "bars need columns for time, open, high, low, close and volume, or rows [time, o, h, l, c, v]"
BROKEN = (lzma.LZMAError, zlib.error, zipfile.BadZipFile, EOFError, UnicodeDecodeError)
DAMAGED = "the file is damaged or not what its name says: fetch it again"


class Table(NamedTuple):
    """A file's bars, in its order."""

    path: Path
    first_line: int  # number of the first row: its line in a text, else 1
    stamps: pl.Series  # integers, datetimes or text, as they stand in the file
    is_end: bool  # the only stamps there are say when bars ended
    prices: Array  # f8, rows by open, high, low, close; NaN where empty
    volumes: Array  # f8

    def refused(self, row: int, reason: str, hint: str = HINT) -> UserError:
        return UserError(f"{self.path}:{row + self.first_line}: {reason}", hint)


def read_table(path: Path) -> Table:
    """UserError with the file, and the line where one is to blame."""
    frame, first_line = _framed(path)
    if frame.height == 0:
        raise UserError(f"{path}: no bars in it", HINT)
    names = {_plain(name): name for name in frame.columns}
    start, end = _first(names, STARTS), _first(names, ENDS)
    columns = [start or end, *(_first(names, known) for known in PRICES), _first(names, VOLUMES)]
    if missing := [what for what, name in zip(MEANINGS, columns, strict=True) if name is None]:
        raise UserError(f"{path}: no column for {', '.join(missing)} among {', '.join(frame.columns[:20])}", HINT)
    stamps, *values = (frame[name] for name in columns if name is not None)
    table = Table(path, first_line, stamps, start is None, np.empty(0), np.empty(0))
    numbers = [_numbers(table, series) for series in values]
    return table._replace(prices=np.column_stack(numbers[:4]), volumes=numbers[4])


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _first(names: dict[str, str], known: tuple[str, ...]) -> str | None:
    return next((names[name] for name in known if name in names), None)


def _numbers(table: Table, series: pl.Series) -> Array:
    """Floats; text must be a number or nothing."""
    numbers = series.cast(pl.Float64, strict=False)
    text = series.cast(pl.String, strict=False)
    bad = (numbers.is_null() & series.is_not_null() & (text.str.strip_chars() != "")).arg_true()
    if len(bad):
        raise table.refused(bad[0], f"{series.name} is not a number: {series[bad[0]]!r}")
    return numbers.to_numpy().astype(np.float64)


def kind_of(path: Path) -> str:
    """.csv of data.csv.xz; UserError if files of that kind are not read."""
    kind = Path(path.name.lower().removesuffix(".xz").removesuffix(".gz")).suffix
    if kind not in READERS:
        raise UserError(f"{path}: not a kind of file bars are read from", f"they are: {', '.join(READERS)}, .xz, .gz")
    return kind


def _framed(path: Path) -> tuple[pl.DataFrame, int]:
    """The file as a frame and the number of its first row."""
    try:
        data = _unzipped(path) if kind_of(path) == ".zip" else _unpacked(path)
        if not data:
            raise UserError(f"{path}: empty file", HINT)
        return READERS[kind_of(path)](path, data)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, msgspec.DecodeError) as error:
        raise UserError(f"{path}: {str(error).splitlines()[0]}", DAMAGED) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise UserError(
            f"{path}: {error}", DAMAGED
        ) from None  # decoders of gzip and LZ4 speak of bytes, not of the disk
    except (*BROKEN, RuntimeError) as error:  # zipfile: encrypted, or packed in a way it does not know
        raise UserError(f"{path}: {error}", DAMAGED) from None


def _unpacked(path: Path) -> bytes:
    openers: dict[str, Any] = {".xz": lzma.open, ".gz": gzip.open}
    with openers.get(path.suffix.lower(), open)(path, "rb") as file:
        return _limited(path, file)


def _unzipped(path: Path) -> bytes:
    with zipfile.ZipFile(path) as packed:
        names = [name for name in packed.namelist() if name.lower().endswith(".csv")]
        if len(names) != 1:
            raise UserError(f"{path}: {len(names)} CSV files inside, one is read", HINT)
        with packed.open(names[0]) as file:
            return _limited(path, file)


def _limited(path: Path, file: Any) -> bytes:
    data: bytes = file.read(UNPACKED_BYTES_MAX + 1)
    if len(data) > UNPACKED_BYTES_MAX:
        raise UserError(f"{path}: more than {UNPACKED_BYTES_MAX >> 20} MB unpacked", "split the file")
    return data


def _csv(path: Path, data: bytes) -> tuple[pl.DataFrame, int]:
    """Everything as text: only then can a bad field be named with its line."""
    first = data.lstrip(b"\xef\xbb\xbf").partition(b"\n")[0].decode().strip().split(",")
    has_header = len(first) > 1 and not _is_number(first[1])
    frame = pl.read_csv(io.BytesIO(data), has_header=has_header, infer_schema=False)
    return (frame, 2) if has_header else (_by_position(path, frame), 1)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _by_position(path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    if frame.width < len(HEADERLESS):
        raise UserError(f"{path}: rows of {frame.width} fields and no names above them", HINT)
    return frame.rename(dict(zip(frame.columns, HEADERLESS, strict=False)))


def _json(path: Path, data: bytes) -> tuple[pl.DataFrame, int]:
    rows = msgspec.json.decode(data)
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], list | dict):
        raise UserError(f"{path}: not a list of bars", HINT)
    uneven = next((n for n, row in enumerate(rows, 1) if type(row) is not type(rows[0]) or len(row) != len(rows[0])), 0)
    if uneven:
        raise UserError(f"{path}:{uneven}: not a row like the first: {str(rows[uneven - 1])[:60]}", HINT)
    if isinstance(rows[0], dict):
        return pl.DataFrame(rows, infer_schema_length=None, strict=False), 1
    return _by_position(path, pl.DataFrame(rows, orient="row", infer_schema_length=None, strict=False)), 1


def _parquet(_path: Path, data: bytes) -> tuple[pl.DataFrame, int]:
    return pl.read_parquet(io.BytesIO(data)), 1


def _feather(_path: Path, data: bytes) -> tuple[pl.DataFrame, int]:
    return pl.read_ipc(io.BytesIO(data)), 1


READERS: dict[str, Callable[[Path, bytes], tuple[pl.DataFrame, int]]] = {
    ".csv": _csv, ".zip": _csv, ".json": _json, ".parquet": _parquet, ".feather": _feather,
}  # fmt: skip
