"""Bitstamp order events: a book built order by order, one tape.

A line is `RECEIVED_MS EVENT JSON`: order_created, order_changed, order_deleted, trade, or order_book with the best
twenty levels a side. Orders from before the recording are not listed: what an order_book shows beyond the orders we
know of belongs to them. The venue's stamps are whole seconds of an order's birth, so the receive time stands for both.
"""

import gzip
import lzma
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from ...core.kinds import Kind
from ...core.schema import LEVEL, NS_PER_S, PACKET
from ...errors import UserError
from ..decimals import LIMIT
from ..tape import ListingSpec, TapeWriter
from ..verify import measure
from .bitstamp_book import Book, Level, Order

NS_PER_MS = 1_000_000
MS_MIN, MS_MAX = 1_000_000_000_000, 4_000_000_000_000  # September 2001 to 2096
TICK, UNIT = Decimal("0.01"), Decimal("0.00000001")
LOT_UNITS = 10  # a lot is ten of the venue's units: with finer ones a ledger in dollars would overflow
DUST = Decimal("1e-11")
HEARTBEAT_NS = NS_PER_S
LINE_BYTES_MAX = 1 << 20
PLACES_MAX = 12  # digits before the point of a number that is meant
PROGRESS_LINES = 5_000
PATTERNS = ("*.log", "*.log.xz", "*.log.gz")
DAMAGED = "the recording is damaged: fetch it again, or leave this file out"
ASSUMED = [
    "the venue's stamps are whole seconds: the receive time stands for both",
    "the recording is unbroken: in its silences the connection lived",
]

OpenWriter = Callable[[ListingSpec], TapeWriter]
Progress = Callable[[str, float], None]


class OrderEvent(msgspec.Struct, gc=False):
    id: int
    price: Decimal
    amount: Decimal  # what is left of it
    order_type: int  # 0 buys, 1 sells


class TradeEvent(msgspec.Struct, gc=False):
    id: int
    price: Decimal
    amount: Decimal


class BookEvent(msgspec.Struct, gc=False):
    bids: list[tuple[Decimal, Decimal]]
    asks: list[tuple[Decimal, Decimal]]


Event = OrderEvent | TradeEvent | BookEvent
DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    **dict.fromkeys(("order_created", "order_changed", "order_deleted"), msgspec.json.Decoder(OrderEvent)),
    "trade": msgspec.json.Decoder(TradeEvent),
    "order_book": msgspec.json.Decoder(BookEvent),
}


def listing_spec() -> ListingSpec:
    return ListingSpec(
        venue="bitstamp", symbol="BTC/USD", kind="spot", base="BTC", quote="USD", settle="USD",
        tick_size=TICK, lot_size=UNIT * LOT_UNITS,
    )  # fmt: skip


def read(paths: list[Path], open_writer: OpenWriter, progress: Progress) -> None:
    """Fill and finish one tape; the files must follow each other in time."""
    recording = Recording(open_writer(listing_spec()))
    for number, path in enumerate(sorted(paths)):
        recording.read(path, partial(_part, progress, number, len(paths)))
    recording.finish(paths[0])


def _part(progress: Progress, number: int, count: int, text: str, share: float) -> None:
    progress(text, (number + share) / count)


class Recording:
    """Lines on their way to a tape: those of one millisecond are one packet of prints and one of levels."""

    def __init__(self, writer: TapeWriter) -> None:
        self.writer, self.quality = writer, writer.facts.quality
        self.writer.facts.assumed = ASSUMED
        self.book = Book(self.quality)
        self.ts_ms = 0
        self.ts_put_ns = 0
        self.is_open = False
        self.prints: tuple[list[Level], list[Level]] = ([], [])
        self.packets: list[tuple[int, int, int, int, int]] = []  # ns, kind, first row, buys, sells
        self.rows: list[Level] = []

    def read(self, path: Path, progress: Progress) -> None:
        size = max(1, path.stat().st_size)
        number = 0
        with path.open("rb") as packed:
            for number, line in _lines(path, packed):
                ts_ms, name, event = _parsed(path, number, line)
                if ts_ms < self.ts_ms:
                    raise UserError(f"{path}:{number}: time goes backwards by {self.ts_ms - ts_ms} ms", DAMAGED)
                if ts_ms > self.ts_ms:
                    self._put_moment()
                    self.ts_ms = ts_ms
                self._take(path, number, name, event)
                if number % PROGRESS_LINES == 0:
                    progress(path.name, packed.tell() / size)
        self.quality.lines += number
        self.writer.facts.source_files.append(path.name)

    def _take(self, path: Path, number: int, name: str, event: Event) -> None:
        where = f"{path}:{number}"
        if isinstance(event, BookEvent):
            sides = [[self._level(where, *row) for row in rows] for rows in (event.bids, event.asks)]
            if all(sides):
                self.book.compare(sides)
            else:
                self.quality.ignored_lines += 1
        elif isinstance(event, TradeEvent):
            ticks, units = self._level(where, event.price, event.amount)
            if units:
                self.prints[self.book.taker_side(ticks, units)].append((ticks, units))
            else:
                self.quality.ignored_lines += 1
        else:
            if event.order_type not in (0, 1):
                raise UserError(f"{where}: order_type {event.order_type} is neither 0 nor 1", DAMAGED)
            self.book.apply(name, event.id, Order(event.order_type, *self._level(where, event.price, event.amount)))

    def _level(self, where: str, price: Decimal, amount: Decimal) -> Level:
        """Ticks and units, to the nearest: some numbers carry the dust of floating point (1.7885566900000001)."""
        ticks, units = _steps(where, price, TICK), _steps(where, amount, UNIT)
        if abs(ticks * TICK - price) > DUST or ticks == 0:
            raise UserError(f"{where}: price {price} is no multiple of {TICK}", DAMAGED)
        if ticks * units >= LIMIT:
            raise UserError(f"{where}: {price} x {amount} is too large", DAMAGED)
        return ticks, units

    def _put_moment(self) -> None:
        """What this millisecond brought; before the first order_book there is no book to speak of."""
        changes = self.book.take_changes()
        if not self.is_open and not self.book.is_seeded:
            self.quality.dropped_before_snapshot += 1 if any(changes) or any(self.prints) else 0
            self.prints = ([], [])
            return
        ts_ns = self.ts_ms * NS_PER_MS
        self._beat_until(ts_ns)
        if not self.is_open:
            self._put(ts_ns, Kind.SNAPSHOT, *self.book.levels())
            self.quality.snapshots, self.is_open = 1, True
        elif any(changes):
            self._put(ts_ns, Kind.DEPTH, *changes)
            self.quality.depth_packets += 1
        if any(self.prints):
            self._put(ts_ns, Kind.TRADE, *self.prints)
            self.quality.trades += len(self.prints[0]) + len(self.prints[1])
            self.prints = ([], [])

    def _beat_until(self, ts_ns: int) -> None:
        """An empty packet for every second of silence."""
        if self.is_open:
            for beat_ns in range(self.ts_put_ns + HEARTBEAT_NS, ts_ns, HEARTBEAT_NS):
                self._put(beat_ns, Kind.DEPTH, [], [])
                self.quality.heartbeats += 1

    def _put(self, ts_ns: int, kind: Kind, buys: list[Level], sells: list[Level]) -> None:
        self.packets.append((ts_ns, kind, len(self.rows), len(buys), len(sells)))
        self.rows += buys
        self.rows += sells
        self.ts_put_ns = ts_ns

    def finish(self, first: Path) -> None:
        self._put_moment()
        if not self.is_open:
            raise UserError(f"{first}: no order_book in it, so there is no book to begin with", DAMAGED)
        table = np.array(self.packets, np.int64)
        packets = np.zeros(len(table), PACKET)
        packets["ts_local_ns"] = packets["ts_venue_ns"] = table[:, 0]
        for column, name in enumerate(("kind", "level_begin", "buy_count", "sell_count"), 1):
            packets[name] = table[:, column]
        rows = np.array(self.rows, np.int64).reshape(-1, 2)
        levels = np.zeros(len(rows), LEVEL)
        levels["price_ticks"], levels["lots"] = rows[:, 0], rows[:, 1] // LOT_UNITS
        self.quality.rounded_sizes = int((rows[:, 1] % LOT_UNITS != 0).sum())
        self.writer.append(packets, levels)
        measure(self.quality, *self.writer.written())
        self.writer.finish()


# --- lines ----------------------------------------------------------------------------------------------------------
def _lines(path: Path, packed: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        for number, line in enumerate(_opened(path, packed), 1):
            if len(line) > LINE_BYTES_MAX:
                raise UserError(f"{path}:{number}: line longer than 1 MB", DAMAGED)
            yield number, line
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{path}:{number + 1}: truncated or damaged: {error}", "fetch the file again") from None


def _opened(path: Path, packed: IO[bytes]) -> IO[bytes]:
    if path.suffix == ".xz":
        return lzma.open(packed)
    return gzip.open(packed) if path.suffix == ".gz" else packed  # type: ignore[return-value]


def _parsed(path: Path, number: int, line: bytes) -> tuple[int, str, Event]:
    stamp, _, rest = line.partition(b" ")
    word, _, text = rest.partition(b" ")
    name = word.decode("ascii", "replace")
    if not stamp.isdigit() or not MS_MIN <= int(stamp) < MS_MAX:
        raise UserError(f"{path}:{number}: {stamp[:20]!r} is no time in ms", DAMAGED)
    if name not in DECODERS:
        raise UserError(f"{path}:{number}: unknown event {name[:20]!r}", f"known: {', '.join(DECODERS)}")
    try:
        event: Event = DECODERS[name].decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f"{path}:{number}: {name}: {error}", DAMAGED) from None
    return int(stamp), name, event


def _steps(where: str, value: Decimal, step: Decimal) -> int:
    """How many steps, to the nearest; UserError where it is no price or amount."""
    if not value.is_finite() or value < 0 or value.adjusted() > PLACES_MAX:
        raise UserError(f"{where}: {value} is out of range", DAMAGED)
    return int((value / step).to_integral_value())
