"""Bitstamp's events of 2015, order by order, with trades and 20 levels a side: one tape.

The orders make the book (bitstamp_book.py). The vendor's book opens it and is held against it from then on: it comes
up to a second late, or an event early, and otherwise only knows better where orders were placed before the recording.

A trade does not say who came: the two orders that lost its size just before it do, for the younger one took. An
unlisted order that is filled vanishes without saying how much it had; its trade says that.

The feed says no time of its events: `datetime` is the second in which an order was placed, in every event of it. Both
stamps of a packet are the receiver's.
"""

from collections.abc import Callable
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...core.kinds import BookState, Kind
from ...core.schema import LEVEL, PACKET
from ...errors import UserError
from ..decimals import Array
from ..tape import ListingSpec, TapeWriter
from ..verify import measure
from .bitstamp_book import Fall, LevelTooLargeError, OrderBook, Resting, Rows
from .bitstamp_wire import BOOK, BUY, DAMAGED, NS_PER_MS, SATOSHI, SELL, TRADE, Event, LogFile
from .listing_files import Known, check_names, known, read_sidecar

PATTERNS = ("*.log", "*.log.gz", "*.log.xz")
TRADE_MS = 1_000  # a trade follows its orders within milliseconds
BATCH_PACKETS = 8192
READING_SHARE = 0.9  # of the whole work, as far as progress is concerned
PAIR = "BTC/USD, spot, tick 0.01: Bitstamp's only pair then"
LOT = "lot 0.0000001: sizes are cut to it, as tick times a finer one has more decimals of USD than a ledger holds"
STAMPS = "venue times are receive times: the feed says no time of its events"

OpenWriter = Callable[[ListingSpec], TapeWriter]
Progress = Callable[[str, float], None]


class Source(NamedTuple):
    file: LogFile
    known: Known
    ts_first_ms: int


def read(paths: list[Path], open_writer: OpenWriter, progress: Progress) -> None:
    """Fill and finish one tape per listing; its files are joined in time order, each with a book of its own."""
    sources = sorted((_source(path) for path in paths), key=lambda source: (source.known.spec.name, source.ts_first_ms))
    done = 0
    for _, of_listing in groupby(sources, key=lambda source: source.known.spec.name):
        together = list(of_listing)
        recording = Recording(together, open_writer)
        for source in together:
            recording.read(source.file, _part(progress, done, len(sources)))
            done += 1
        recording.finish()


def _source(path: Path) -> Source:
    found = read_sidecar(path) or _bitcoin()
    check_names(path, found.spec)
    file = LogFile(path)
    return Source(file, found, file.ts_first_ms())


def _bitcoin() -> Known:
    steps = {"tick_size": Decimal("0.01"), "lot_size": Decimal("0.0000001")}
    return known("bitstamp", "BTC", "USD", "", [PAIR, LOT], **steps)


def _part(progress: Progress, index: int, count: int) -> Progress:
    return lambda text, share: progress(text, READING_SHARE * (index + share) / count)


class Recording:
    """One listing on its way from files to tape."""

    def __init__(self, sources: list[Source], open_writer: OpenWriter) -> None:
        self.spec = sources[0].known.spec
        for source in sources:
            if source.known.spec != self.spec:
                raise source.file.refused(1, f"described unlike {sources[0].file.path}", "make the .listing.json agree")
        self.lot_satoshis = int(self.spec.lot_size / SATOSHI)
        if self.lot_satoshis * SATOSHI != self.spec.lot_size:
            raise sources[0].file.refused(
                1, f"lot {self.spec.lot_size} of its .listing.json", f"multiples of {SATOSHI:f}"
            )
        self.writer = open_writer(self.spec)
        self.writer.facts.assumed = [*sources[0].known.assumed, STAMPS]
        self.quality = self.writer.facts.quality
        self.file = sources[0].file
        self.book = OrderBook(self.quality)
        self.ts_ms = 0  # of the moment being read
        self.falls: list[Fall] = []  # of the last second, that no trade explains yet
        self.trade_ids: set[int] = set()
        self.prints: tuple[Rows, Rows] = ([], [])  # of this moment
        self.packets: list[tuple[int, int, int, int, int, int]] = []  # ms, kind, code, first row, buys, sells
        self.rows: Rows = []

    def read(self, file: LogFile, progress: Progress) -> None:
        """Append one file; the next one must begin after its end."""
        self.file, self.book, self.falls = file, OrderBook(self.quality), []
        for event in file.events(self.spec.tick_size):
            if event.number == 1:
                self._begin(event)
            elif event.ts_ms != self.ts_ms:
                self._end_moment()
                if len(self.packets) >= BATCH_PACKETS:
                    self._flush()
                    progress(file.path.name, file.share_read)
                self.ts_ms = event.ts_ms
            self._take(event)
        self._end_moment()
        self._flush()
        if not self.book.is_open:
            raise UserError(
                f"{file.path}: no order_book in it, so there is no book to build", "record that channel too"
            )
        self.quality.lines += event.number
        self.quality.rounded_sizes += file.rounded_sizes
        self.writer.facts.source_files.append(file.path.name)

    def _begin(self, event: Event) -> None:
        if event.ts_ms < self.ts_ms:
            raise self.file.refused(1, "begins before the file before it ends", "give each recording once")
        self.ts_ms = event.ts_ms
        self._put(Kind.STATUS, [], [], BookState.RESYNC)  # joined behind another tape, no book goes on from there

    # --- events ----------------------------------------------------------------------------------------------------
    def _take(self, event: Event) -> None:
        self.book.ts_ms = event.ts_ms
        try:
            if event.name == TRADE:
                self._take_trade(event)
            elif event.name == BOOK:
                self._take_book(event)
            elif fall := self.book.take_order(event):
                self.falls.append(fall)
        except LevelTooLargeError as error:
            raise self.file.refused(event.number, str(error), DAMAGED) from None

    def _take_book(self, event: Event) -> None:
        is_first = not self.book.is_open
        self.book.take_vendor(event)
        if is_first:
            self._put(Kind.SNAPSHOT, self._whole(BUY), self._whole(SELL))
            self.book.changed.clear()
            self.quality.snapshots += 1

    def _whole(self, side: int) -> Rows:
        return [(ticks, lots) for ticks, lots in self.book.rows(side) if lots >= self.lot_satoshis]

    def _take_trade(self, event: Event) -> None:
        [(ticks, lots)] = event.rows
        if event.id in self.trade_ids:  # volume must not count twice
            self.quality.repeats += 1
            return
        self.trade_ids.add(event.id)
        self.falls = [fall for fall in self.falls if fall.ts_ms >= event.ts_ms - TRADE_MS]
        parties = self._parties(ticks, lots)
        side = _aggressor(ticks, parties)
        if side is None:
            side = self._nearer_side(ticks)
            self.quality.assumed_sides += side is not None
        if side is None:
            self.quality.ignored_lines += 1
            return
        for fall in parties:
            self.falls.remove(fall)
            if fall.is_unlisted:
                self.book.take_unlisted(Resting(fall.level, lots))
        self.book.release()
        self.prints[side].append((ticks, lots))
        self.quality.trades += 1

    def _parties(self, ticks: int, lots: int) -> list[Fall]:
        """Of each side the first order that lost this size, else the first that vanished unlisted at this price."""
        fits = [fall for fall in self.falls if fall.lots == lots or (fall.is_unlisted and fall.level[1] == ticks)]
        fits.sort(key=lambda fall: fall.is_unlisted)
        firsts = (next((fall for fall in fits if fall.level[0] == side), None) for side in (BUY, SELL))
        return [fall for fall in firsts if fall is not None]

    def _nearer_side(self, ticks: int) -> int | None:
        """Above the middle a buyer came, below it a seller."""
        bid, ask = self.book.best(BUY), self.book.best(SELL)
        if not (bid and ask) or 2 * ticks == bid + ask:
            return None
        return BUY if 2 * ticks > bid + ask else SELL

    # --- packets ---------------------------------------------------------------------------------------------------
    def _end_moment(self) -> None:
        """Events of one millisecond are one packet of prints and one of levels, or an empty one that says: still here."""
        if any(self.prints):
            self._put(Kind.TRADE, *self.prints)
        if not self.book.is_open:
            self.quality.dropped_before_snapshot += len(self.book.changed) > 0
        elif self.book.changed:
            self._put(Kind.DEPTH, self._changed(BUY), self._changed(SELL))
            self.quality.depth_packets += 1
        elif not self.packets or self.packets[-1][0] != self.ts_ms:
            self._put(Kind.DEPTH, [], [])
            self.quality.heartbeats += 1
        self.prints = ([], [])
        self.book.changed.clear()

    def _changed(self, side: int) -> Rows:
        lots = self.book.lots
        return [(ticks, lots.get((side, ticks), 0)) for s, ticks in sorted(self.book.changed) if s == side]

    def _put(self, kind: Kind, buys: Rows, sells: Rows, code: int = 0) -> None:
        self.packets.append((self.ts_ms, kind, code, len(self.rows), len(buys), len(sells)))
        self.rows += buys
        self.rows += sells

    def _flush(self) -> None:
        table = np.array(self.packets, np.int64)
        packets = np.zeros(len(table), PACKET)
        packets["ts_local_ns"] = packets["ts_venue_ns"] = table[:, 0] * NS_PER_MS
        for column, name in enumerate(("kind", "code", "level_begin", "buy_count", "sell_count"), 1):
            packets[name] = table[:, column]
        self.writer.append(packets, self._levels())
        self.packets, self.rows = [], []

    def _levels(self) -> Array:
        """Books are kept in satoshis, and cut to lots at the very end."""
        table = np.array(self.rows, np.int64).reshape(-1, 2)
        levels = np.zeros(len(table), LEVEL)
        levels["price_ticks"], levels["lots"] = table[:, 0], table[:, 1] // self.lot_satoshis
        self.quality.rounded_sizes += int((table[:, 1] % self.lot_satoshis != 0).sum())
        return levels

    def finish(self) -> None:
        measure(self.quality, *self.writer.written())
        self.writer.finish()


def _aggressor(ticks: int, parties: list[Fall]) -> int | None:
    """Whose order came later took; of one order alone, whether it waited to take, or rests at the trade's price."""
    if not parties:
        return None
    youngest = max(parties, key=lambda fall: fall.order_id)
    side = youngest.level[0]
    is_both = any(fall.level[0] != side for fall in parties)
    if is_both or youngest.is_taker or youngest.level[1] != ticks:
        return side
    return SELL if side == BUY else BUY
