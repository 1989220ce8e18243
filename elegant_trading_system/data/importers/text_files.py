"""Comma-separated vendor files, plain, gzipped or zipped, read block by block and parsed column by column."""

import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import polars as pl

from ...errors import UserError
from ..decimals import Array, Fault, Grid, LevelError, parse_joined
from .rows import Refuse
from .vendor import DAMAGED

BLOCK_BYTES = 4 << 20
LINE_BYTES_MAX = 1 << 16
EXPONENT_MAX = 30
NS_PER_MS, NS_PER_US = 1_000_000, 1_000
US_MIN, NS_MIN = 10**14, 10**17  # stamps this large count microseconds, nanoseconds


class Block(NamedTuple):
    """Lines of a file as columns of text."""

    number: int  # of the first line
    columns: pl.DataFrame
    share_read: float

    @property
    def numbers(self) -> Array:
        return np.arange(self.number, self.number + len(self.columns))


def head_of(path: Path) -> str:
    """The first line of a file."""
    for _, lines, _ in _blocks(path):
        return lines[0]
    raise UserError(f"{path}: empty file", DAMAGED)


def blocks(path: Path, names: list[str], has_header: bool) -> Iterator[Block]:
    """The file's lines in blocks, split into the columns of these names."""
    count = 0
    for number, lines, share in _blocks(path):
        skipped = 1 if has_header and number == 1 else 0
        columns = _split(path, number + skipped, lines[skipped:], names)
        count += len(columns)
        if len(columns):
            yield Block(number + skipped, columns, share)
    if count == 0:
        raise UserError(f"{path}: no rows", DAMAGED)


def _split(path: Path, number: int, lines: list[str], names: list[str]) -> pl.DataFrame:
    series = pl.Series("line", lines, pl.String)
    is_bad = (series.str.count_matches(",", literal=True) != len(names) - 1).to_numpy()
    if is_bad.any():
        at = int(np.argmax(is_bad))
        message = f"{path}:{number + at}: not {len(names)} fields: {lines[at][:60]!r}"
        raise UserError(message, f"each line must have {','.join(names)}")
    parts = series.str.split_exact(",", len(names) - 1).struct.rename_fields(names)
    return parts.struct.unnest()


def _blocks(path: Path) -> Iterator[tuple[int, list[str], float]]:
    """(number of the first line, lines, share of the file read); damage is refused with the line it begins behind."""
    number, rest = 1, b""
    try:
        with opened(path) as (file, packed):
            size = max(1, path.stat().st_size)
            while data := file.read(BLOCK_BYTES):
                *complete, rest = (rest + data).split(b"\n")
                if len(rest) > LINE_BYTES_MAX:
                    raise UserError(f"{path}:{number + len(complete)}: line longer than 64 kB", DAMAGED)
                if complete:
                    yield number, _texts(path, number, complete), min(1.0, packed.tell() / size)
                    number += len(complete)
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}:{number}: truncated or damaged: {error}", "fetch the file again") from None
    except (NotImplementedError, RuntimeError) as error:  # zipped by an unknown method, or with a password
        raise UserError(f"{path}: {error}", "unpack it yourself, and import what was in it") from None
    if rest:
        yield number, _texts(path, number, [rest]), 1.0


def _texts(path: Path, number: int, lines: list[bytes]) -> list[str]:
    try:
        return b"\n".join(lines).replace(b"\r", b"").decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        at = number + error.object[: error.start].count(b"\n")
        raise UserError(f"{path}:{at}: not text", DAMAGED) from None


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The text inside, and the file itself to ask how far it has been read."""
    with path.open("rb") as packed:
        if path.suffix == ".gz":
            with gzip.open(packed) as file:
                yield file, packed  # type: ignore[misc]
        elif path.suffix == ".xz":
            with lzma.open(packed) as file:
                yield file, packed
        elif path.suffix == ".zip":
            with zipfile.ZipFile(packed) as archive, archive.open(_only_member(path, archive)) as member:
                yield member, packed
        else:
            yield packed, packed


def _only_member(path: Path, archive: zipfile.ZipFile) -> str:
    names = [name for name in archive.namelist() if name.endswith(".csv")]
    if len(names) != 1:
        raise UserError(f"{path}: {len(names)} CSV files in it, not one", DAMAGED)
    return names[0]


def integers(block: Block, name: str, refused: Refuse) -> Array:
    """A column of whole numbers."""
    values = block.columns[name].cast(pl.Int64, strict=False)
    if values.null_count():
        at = int(np.argmax(values.is_null().to_numpy()))
        raise refused(block.number + at, f"{name} is not a whole number: {block.columns[name][at]!r}")
    return values.to_numpy()


def stamps_ns(block: Block, name: str, refused: Refuse) -> Array:
    """A column of times since 1970 in ms, us or ns, which their size tells."""
    values = integers(block, name, refused)
    factor = np.where(values >= NS_MIN, 1, np.where(values >= US_MIN, NS_PER_US, NS_PER_MS))
    return np.where(values > 0, values * factor, 0)


def choices(block: Block, name: str, meaning: Mapping[str, int], refused: Refuse) -> Array:
    """A column of few words as what they mean."""
    texts = block.columns[name]
    values = texts.str.to_lowercase().replace_strict(meaning, default=None, return_dtype=pl.Int64)
    if values.null_count():
        at = int(np.argmax(values.is_null().to_numpy()))
        raise refused(block.number + at, f"{name} is {texts[at]!r}, not {' or '.join(meaning)}")
    return values.to_numpy()


def levels(block: Block, price: str, size: str, grid: Grid, refused: Refuse) -> tuple[Array, int]:
    """Two columns of decimals as LEVEL, exactly; how many sizes were finer than a lot and cut."""
    columns = pl.DataFrame([plain(block.columns[price]), plain(block.columns[size])])
    texts = columns.select(pl.format('[["{}","{}"]]', price, size).alias("row"))["row"]
    try:
        parsed = parse_joined("".join(texts.to_list()).encode(), len(texts), grid)
    except LevelError as error:
        hint = "is the tick in its .listing.json right?" if error.fault is Fault.OFF_GRID else ""
        raise refused(block.number + error.text_index, str(error), hint) from None
    return parsed.rows, parsed.rounded


def refuse_empty(block: Block, size: str, is_trade: Array, refused: Refuse) -> None:
    """Nobody trades nothing."""
    is_empty = is_trade & (block.columns[size].str.strip_chars("0.") == "").to_numpy()
    if is_empty.any():
        raise refused(block.number + int(np.argmax(is_empty)), "trade of size zero")


def plain(column: pl.Series) -> pl.Series:
    """Decimals without exponents: some vendors write 1e-7."""
    if not column.str.contains("[eE]").any():
        return column
    return pl.Series(column.name, [_spelled(text) for text in column.to_list()], pl.String)


def _spelled(text: str) -> str:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return text
    return format(value, "f") if value.is_finite() and abs(value.adjusted()) < EXPONENT_MAX else text


def places_of(column: pl.Series) -> int:
    """Decimal places of the finest number in a column."""
    finest = plain(column).str.extract(r"\.(\d*?)0*$").str.len_chars().max()
    return finest if isinstance(finest, int) else 0
