"""Lines of a Bitstamp log: `<local ms> <event> <JSON>`, plain, gzipped or xz, with exact integers in them.

Orders and books write their decimals as text and are parsed as such. Trades write them as JSON numbers, made from
binary floats (236.22999999999999): the nearest tick and satoshi is what was meant.
"""

import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec

from ...core.schema import NEVER_NS
from ...errors import UserError
from ..decimals import LIMIT, Fault, Grid, LevelError, Parsed, parse_levels
from .rows import STAMP_MIN_NS
from .text_files import opened

CREATED, CHANGED, DELETED, TRADE, BOOK = "order_created", "order_changed", "order_deleted", "trade", "order_book"
BUY, SELL = 0, 1  # as order_type says it
SATOSHI = Decimal("0.00000001")  # the step of all amounts
NS_PER_MS = 1_000_000
BATCH_LINES = 8192
LINE_BYTES_MAX = 1 << 20
OFF_TICK_MAX = 1e-4  # of a tick: what a binary float of a price may be off
FORMAT_HINT = "each line must be `<receive time, ms since 1970 UTC> <event> <JSON message>`"
DAMAGED = "the recording is damaged: fetch it again, or leave this file out"


class RawOrder(msgspec.Struct, gc=False):
    """`amount` is what is left of the order."""

    id: int
    order_type: int
    price: msgspec.Raw
    amount: msgspec.Raw


class RawTrade(msgspec.Struct, gc=False):
    id: int
    price: float
    amount: float


class RawBook(msgspec.Struct, gc=False):
    bids: msgspec.Raw
    asks: msgspec.Raw


class Event(NamedTuple):
    """One line. Rows are (ticks, satoshis); an order or trade has one row, of an order's side; a book both sides."""

    number: int
    ts_ms: int
    name: str
    id: int
    side: int  # of an order
    rows: list[tuple[int, int]]
    buy_count: int = 0  # of a book: how many of the rows are bids


class Line(NamedTuple):
    number: int
    ts_ms: int
    name: str
    message: RawOrder | RawTrade | RawBook


DECODERS: dict[str, Callable[[bytes], RawOrder | RawTrade | RawBook]] = {
    **{name: msgspec.json.Decoder(RawOrder).decode for name in (CREATED, CHANGED, DELETED)},
    TRADE: msgspec.json.Decoder(RawTrade).decode,
    BOOK: msgspec.json.Decoder(RawBook).decode,
}


class LogFile:
    """One file; whatever is wrong with it is a UserError with file and line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.share_read = 0.0
        self.rounded_sizes = 0

    def refused(self, number: int, reason: str, hint: str = FORMAT_HINT) -> UserError:
        return UserError(f"{self.path}:{number}: {reason}", hint)

    def ts_first_ms(self) -> int:
        for line in self._lines():
            return line.ts_ms
        raise UserError(f"{self.path}: empty file", FORMAT_HINT)

    def events(self, tick_size: Decimal) -> Iterator[Event]:
        """Every line, in file order."""
        batch: list[Line] = []
        for line in self._lines():
            batch.append(line)
            if len(batch) == BATCH_LINES:
                yield from self._parsed(batch, tick_size)
                batch = []
        yield from self._parsed(batch, tick_size)

    # --- text to integers ------------------------------------------------------------------------------------------
    def _parsed(self, batch: list[Line], tick_size: Decimal) -> Iterator[Event]:
        parsed = self._levels(batch, Grid.of(tick_size, SATOSHI))
        self.rounded_sizes += parsed.rounded
        rows, counts = parsed.rows.tolist(), parsed.counts.tolist()
        row = 0
        for index, (number, ts_ms, name, message) in enumerate(batch):
            buys, both = counts[2 * index], counts[2 * index] + counts[2 * index + 1]
            if isinstance(message, RawTrade):
                yield Event(number, ts_ms, name, message.id, -1, [self._print(number, message, tick_size)])
            elif isinstance(message, RawBook):
                yield Event(number, ts_ms, name, 0, -1, rows[row : row + both], buys)
            else:
                yield Event(number, ts_ms, name, message.id, message.order_type, rows[row : row + both])
            row += both

    def _levels(self, batch: list[Line], grid: Grid) -> Parsed:
        texts = [text for line in batch for text in _texts(line.message)]
        try:
            return parse_levels(texts, grid)
        except LevelError as error:
            hint = "is it another pair? a .listing.json beside it says so" if error.fault is Fault.OFF_GRID else DAMAGED
            raise self.refused(batch[error.text_index // 2].number, str(error), hint) from None

    def _print(self, number: int, trade: RawTrade, tick_size: Decimal) -> tuple[int, int]:
        in_ticks, satoshis = trade.price / float(tick_size), trade.amount / float(SATOSHI)
        if in_ticks < 1 - OFF_TICK_MAX or satoshis < 1 - OFF_TICK_MAX:
            raise self.refused(number, f"trade of {trade.amount} at {trade.price}", DAMAGED)
        if in_ticks * satoshis >= LIMIT or satoshis >= LIMIT:
            raise self.refused(number, f"number too large: {trade.amount} at {trade.price}", DAMAGED)
        ticks = round(in_ticks)
        if abs(in_ticks - ticks) > max(OFF_TICK_MAX, ticks * 1e-15):
            raise self.refused(number, f"price off its tick grid: {trade.price}", DAMAGED)
        return ticks, round(satoshis)

    # --- bytes to lines --------------------------------------------------------------------------------------------
    def _lines(self) -> Iterator[Line]:
        previous_ms = 0
        for number, raw in enumerate(self._raw_lines(), 1):
            stamp, _, rest = raw.rstrip().partition(b" ")
            ts_ms = self._stamp_ms(number, stamp, previous_ms)
            previous_ms = ts_ms
            name, _, text = rest.partition(b" ")
            yield Line(number, ts_ms, *self._message(number, name.decode("ascii", "replace"), text))

    def _message(self, number: int, name: str, text: bytes) -> tuple[str, RawOrder | RawTrade | RawBook]:
        decode = DECODERS.get(name)
        if decode is None:
            raise self.refused(number, f"unknown event {name[:40]!r}", f"known: {', '.join(DECODERS)}")
        try:
            message = decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self.refused(number, f"bad JSON: {error}: {text[:40]!r}", DAMAGED) from None
        if isinstance(message, RawOrder) and message.order_type not in (BUY, SELL):
            raise self.refused(number, f"order_type {message.order_type}, not 0 or 1", DAMAGED)
        return name, message

    def _stamp_ms(self, number: int, stamp: bytes, previous_ms: int) -> int:
        if not stamp.isdigit() or len(stamp) > 19:
            raise self.refused(number, f"no receive time at the start of the line: {stamp[:40]!r}")
        ts_ms = int(stamp)
        if not STAMP_MIN_NS <= ts_ms * NS_PER_MS < NEVER_NS:
            raise self.refused(number, f"receive time {ts_ms} is not in milliseconds since 1970")
        if ts_ms < previous_ms:
            raise self.refused(number, f"time goes backwards by {previous_ms - ts_ms} ms")
        return ts_ms

    def _raw_lines(self) -> Iterator[bytes]:
        number = 1
        try:
            with opened(self.path) as (file, packed):
                size = max(1, self.path.stat().st_size)
                while raw := file.readline(LINE_BYTES_MAX + 1):
                    if len(raw) > LINE_BYTES_MAX:
                        raise self.refused(number, f"line longer than {LINE_BYTES_MAX >> 20} MB")
                    if number % BATCH_LINES == 0:
                        self.share_read = packed.tell() / size
                    yield raw
                    number += 1
        except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
            raise self.refused(number, f"truncated or damaged: {error}", "fetch the file again") from None


def _texts(message: RawOrder | RawTrade | RawBook) -> tuple[bytes, bytes]:
    if isinstance(message, RawTrade):
        return b"[]", b"[]"
    if isinstance(message, RawBook):
        return bytes(message.bids), bytes(message.asks)
    return b"[[%b,%b]]" % (message.price, message.amount), b"[]"
