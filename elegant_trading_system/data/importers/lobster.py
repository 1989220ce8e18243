"""LOBSTER day files: a book built from the messages, one tape a symbol.

A pair is a message and an orderbook file with equal rows, in a zip or side by side. The messages tell all that
happened inside the vendor's N best levels. What comes into sight at their edge, because a better level went, no
message tells: only those levels are read from the orderbook file, and counted. What is pushed out at the edge is no
longer known, and removed. So the book equals the vendor's N levels after every message; where it does not, the file
is refused.
"""

import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from ...core.kinds import Kind, SessionState
from ...core.schema import LEVEL, NS_PER_S, PACKET
from ...errors import UserError
from ..decimals import Array
from ..tape import ListingSpec, TapeWriter
from ..verify import measure

NAME = re.compile(
    r"(?P<symbol>[A-Z.]+)_(?P<day>\d{4}-\d{2}-\d{2})_.*?(?P<what>message|orderbook)_(?P<levels>\d+)\.csv(\.xz)?$"
)
NEW_YORK = ZoneInfo("America/New_York")
PRICE_UNIT = 10_000  # prices are dollars times this
TICK_UNITS = 100  # a cent
EMPTY = 9_999_999_999  # where there is no level
SUBMIT, CANCEL, DELETE, VISIBLE, HIDDEN, CROSS, HALT = range(1, 8)
PROGRESS_ROWS = 20_000
HEARTBEAT_NS = NS_PER_S  # the recording is whole: its silence is the market's, not the connection's
DAMAGED = "fetch the pair again: both files must be of the same download"

OpenWriter = Callable[[ListingSpec], TapeWriter]
Progress = Callable[[str, float], None]
Rows = dict[tuple[int, int], int]


class Source(NamedTuple):
    """One csv of a pair, wherever it lies."""

    name: str
    symbol: str
    day: date
    what: str
    levels: int
    text: bytes


class Messages(NamedTuple):
    ts_ns: list[int]
    kind: list[int]
    lots: list[int]
    price: list[int]  # vendor's units
    direction: list[int]


# --- finding and reading -----------------------------------------------------------------------------------------
def read(paths: list[Path], open_writer: OpenWriter, progress: Progress) -> None:
    """Fill and finish one tape per symbol found in the files."""
    found: dict[tuple[str, date, int], dict[str, Source]] = {}
    for path in paths:
        for source in _sources(path):
            found.setdefault((source.symbol, source.day, source.levels), {})[source.what] = source
    for number, pair in enumerate(_deepest(found)):
        missing = {"message", "orderbook"} - set(pair)
        if missing:
            only = next(iter(pair.values())).name
            raise UserError(f"{only}: its {missing.pop()} file is not among the files", "name both of the pair")
        Day(pair["message"], pair["orderbook"], open_writer, progress).write(number / len(found))


def _deepest(found: dict[tuple[str, date, int], dict[str, Source]]) -> list[dict[str, Source]]:
    """One pair a symbol and day: the one with most levels tells everything the others tell."""
    best: dict[tuple[str, date], tuple[int, dict[str, Source]]] = {}
    for (symbol, day, levels), pair in sorted(found.items()):
        if levels > best.get((symbol, day), (0, {}))[0]:
            best[symbol, day] = (levels, pair)
    return [pair for _, pair in best.values()]


def _sources(path: Path) -> list[Source]:
    if path.suffix != ".zip":
        text = path.read_bytes()
        source = _source(path.name, path.name, lzma.decompress(text) if path.suffix == ".xz" else text)
        if source is None:
            raise UserError(f"{path.name}: not named like a LOBSTER file", "SYMBOL_DATE_START_END_message_LEVELS.csv")
        return [source]
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [_source(name, f"{path.name}/{name}", archive.read(name)) for name in archive.namelist()]
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path.name}: not a readable archive: {error}", DAMAGED) from error
    sources = [source for source in inside if source is not None]
    if not sources:
        raise UserError(f"{path.name}: holds no LOBSTER message or orderbook file", DAMAGED)
    return sources


def _source(name: str, shown: str, text: bytes) -> Source | None:
    match = NAME.search(Path(name).name)
    if match is None:
        return None
    day = date.fromisoformat(match["day"])
    return Source(shown, match["symbol"], day, match["what"], int(match["levels"]), text)


def _table(source: Source, columns: int) -> pl.DataFrame:
    """All cells as text; UserError at the first line that has not `columns` of them."""
    if not source.text.strip():
        raise UserError(f"{source.name}: empty", DAMAGED)
    for number, line in enumerate(source.text.splitlines(), 1):
        if line.count(b",") != columns - 1:
            cells = line.count(b",") + 1
            raise UserError(f"{source.name} line {number}: {cells} cells instead of {columns}", DAMAGED)
    return pl.read_csv(io.BytesIO(source.text), has_header=False, infer_schema_length=0)


def _whole(source: Source, frame: pl.DataFrame) -> pl.DataFrame:
    """Text as whole numbers; UserError at the first that is none."""
    numbers = frame.select(pl.all().cast(pl.Int64, strict=False))
    bad = numbers.with_row_index().filter(pl.any_horizontal(pl.all().is_null()))
    if len(bad):
        row = int(bad["index"][0])
        raise UserError(f"{source.name} line {row + 1}: not whole numbers: {frame.row(row)}", DAMAGED)
    return numbers


def _stamps(source: Source, texts: pl.Series) -> list[int]:
    """Seconds after midnight New York, up to nine decimals, as UTC ns, exactly."""
    midnight = datetime(source.day.year, source.day.month, source.day.day, tzinfo=NEW_YORK)
    base_ns = int(midnight.timestamp()) * NS_PER_S
    parts = texts.str.extract_groups(r"^(\d{1,5})(?:\.(\d{1,9}))?$").struct
    whole = parts.field("1").cast(pl.Int64, strict=False)
    decimals = parts.field("2").fill_null("0").str.pad_end(9, "0").cast(pl.Int64, strict=False)
    stamps = (whole * NS_PER_S + decimals + base_ns).to_list()
    for number, stamp in enumerate(stamps):
        if stamp is None or (number and stamp < stamps[number - 1]):
            wrong = "is no time of day" if stamp is None else "is before the line above"
            raise UserError(f"{source.name} line {number + 1}: {texts[number]} {wrong}", DAMAGED)
    return stamps


# --- one symbol's day ----------------------------------------------------------------------------------------------
class Day:
    """A pair of files on its way to a tape."""

    def __init__(self, messages: Source, book: Source, open_writer: OpenWriter, progress: Progress) -> None:
        self.source, self.book_source, self.progress = messages, book, progress
        self.levels = messages.levels
        self.messages = self._messages()
        self.vendor = _whole(book, _table(book, 4 * self.levels)).to_numpy()
        if len(self.vendor) != len(self.messages.ts_ns):
            wrong = f"{len(self.vendor):,} rows, {messages.name} has {len(self.messages.ts_ns):,}"
            raise UserError(f"{book.name}: {wrong}", DAMAGED)
        self.writer = open_writer(listing_spec(messages.symbol))
        self.quality = self.writer.facts.quality
        self.book: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.packets: list[tuple[int, int, int, int, int, int]] = []  # ns, kind, code, first row, buys, sells
        self.rows: list[tuple[int, int]] = []

    def _messages(self) -> Messages:
        frame = _table(self.source, 6)
        stamps = _stamps(self.source, frame.to_series(0))
        kind, _, lots, price, direction = (column.to_list() for column in _whole(self.source, frame[:, 1:]))
        messages = Messages(stamps, kind, lots, price, direction)
        for number, (k, n, d) in enumerate(zip(kind, lots, direction, strict=True), 1):
            if not SUBMIT <= k <= HALT or d not in (1, -1) or (k < HALT and n <= 0):
                raise UserError(f"{self.source.name} line {number}: type {k}, size {n}, direction {d}", DAMAGED)
        return messages

    def write(self, share_before: float) -> None:
        self.quality.lines = len(self.vendor) * 2
        self.writer.facts.source_files += [self.source.name, self.book_source.name]
        self._open()
        stamps, begin = self.messages.ts_ns, 1
        while begin < len(stamps):
            for beat_ns in range(stamps[begin - 1] + HEARTBEAT_NS, stamps[begin], HEARTBEAT_NS):
                self._put(beat_ns, Kind.DEPTH, [], [])
                self.quality.heartbeats += 1
            end = begin + 1
            while end < len(stamps) and stamps[end] == stamps[begin]:
                end += 1
            self._take(begin, end)
            if end // PROGRESS_ROWS != begin // PROGRESS_ROWS:
                self.progress(self.source.name, share_before + end / len(stamps) * (1.0 - share_before))
            begin = end
        self._finish()

    def _open(self) -> None:
        """The first row is the book after the first message: all there is to begin with."""
        for s in range(2):
            self.book[s].update(self._shown(0, s))
        sides = [sorted(self.book[0].items(), reverse=True), sorted(self.book[1].items())]
        self._put(self.messages.ts_ns[0], Kind.SNAPSHOT, sides[0], sides[1])
        self.quality.snapshots = 1

    def _shown(self, row: int, s: int) -> dict[int, int]:
        """The vendor's levels of one side after message `row`, lots by price."""
        cells = self.vendor[row]
        prices, lots = cells[2 * s ^ 2 :: 4].tolist(), cells[(2 * s ^ 2) + 1 :: 4].tolist()
        return {price: size for price, size in zip(prices, lots, strict=True) if abs(price) != EMPTY}

    def _take(self, begin: int, end: int) -> None:
        """Messages of one moment are one packet of prints and one of levels: a sweep is never half seen."""
        changed: Rows = {}
        prints: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
        _, kinds, sizes, prices, directions = self.messages
        for i in range(begin, end):
            kind, lots, price, s = kinds[i], sizes[i], prices[i], 0 if directions[i] > 0 else 1
            if kind == HALT:
                self._halt(i)
            elif kind == CROSS:
                self.quality.ignored_lines += 1
            else:
                if kind in (VISIBLE, HIDDEN):  # a sell order executed is a buyer's print
                    prints[0 if s == 1 else 1].append((price, lots))
                if kind != HIDDEN:
                    self._move(i, s, price, lots if kind == SUBMIT else -lots, changed)
        if prints[0] or prints[1]:
            self._put(self.messages.ts_ns[begin], Kind.TRADE, *prints)
            self.quality.trades += len(prints[0]) + len(prints[1])
        if changed:
            sides = [[(price, lots) for (s, price), lots in changed.items() if s == side] for side in range(2)]
            self._put(self.messages.ts_ns[begin], Kind.DEPTH, sides[0], sides[1])
            self.quality.depth_packets += 1

    def _move(self, i: int, s: int, price: int, lots: int, changed: Rows) -> None:
        """One message moves one level; then the edge of what is shown follows."""
        book, shown = self.book[s], self._shown(i, s)
        left = book.get(price, 0) + lots
        if left < 0:
            raise UserError(f"{self.source.name} line {i + 1}: takes more than rests at {price}", DAMAGED)
        if left:
            book[price] = left
        else:
            del book[price]
        changed[s, price] = left
        self._follow_edge(s, shown, changed)
        if book != shown:
            raise UserError(f"{self.book_source.name} line {i + 1}: not the book that the messages make", DAMAGED)

    def _follow_edge(self, s: int, shown: dict[int, int], changed: Rows) -> None:
        """Beyond the vendor's worst level nothing is known; what is new there could not be known before."""
        book, sign = self.book[s], 1 if s == 0 else -1
        edge = min((sign * price for price in shown), default=0)
        for gone in [price for price in book if sign * price < edge]:
            del book[gone]
            changed[s, gone] = 0
        known = min((sign * price for price in book), default=EMPTY)
        for revealed in [price for price in shown if sign * price < known and price not in book]:
            book[revealed] = shown[revealed]
            changed[s, revealed] = shown[revealed]
            self.quality.revealed_levels += 1

    def _halt(self, i: int) -> None:
        """Price -1: trading halts; 1: it goes on; 0: quoting does, trading not yet."""
        price = self.messages.price[i]
        if price != 0:
            code = SessionState.HALTED if price < 0 else SessionState.OPEN
            self.packets.append((self.messages.ts_ns[i], Kind.SESSION, code, len(self.rows), 0, 0))

    def _put(self, ts_ns: int, kind: Kind, buys: list[tuple[int, int]], sells: list[tuple[int, int]]) -> None:
        self.packets.append((ts_ns, kind, 0, len(self.rows), len(buys), len(sells)))
        self.rows += buys
        self.rows += sells

    def _finish(self) -> None:
        packets, levels = self._arrays()
        self.writer.append(packets, levels)
        measure(self.quality, *self.writer.written())
        self.writer.finish()

    def _arrays(self) -> tuple[Array, Array]:
        table = np.array(self.packets, np.int64)
        packets = np.zeros(len(table), PACKET)
        packets["ts_local_ns"] = packets["ts_venue_ns"] = table[:, 0]
        for column, name in enumerate(("kind", "code", "level_begin", "buy_count", "sell_count"), 1):
            packets[name] = table[:, column]
        rows = np.array(self.rows, np.int64).reshape(-1, 2)
        levels = np.zeros(len(rows), LEVEL)
        levels["price_ticks"], levels["lots"] = self._ticks(rows[:, 0]), rows[:, 1]
        return packets, levels

    def _ticks(self, prices: Array) -> Array:
        """Cents; what trades between them in the dark is rounded to the nearest and counted."""
        self.quality.rounded_prices = int((prices % TICK_UNITS != 0).sum())
        ticks: Array = (prices + TICK_UNITS // 2) // TICK_UNITS
        return ticks


def listing_spec(symbol: str) -> ListingSpec:
    return ListingSpec(
        venue="nasdaq", symbol=f"{symbol}/USD", kind="spot", base=symbol, quote="USD", settle="USD",
        tick_size=Decimal("0.01"), lot_size=Decimal(1), asset_class="equity", calendar="XNAS",
    )  # fmt: skip
