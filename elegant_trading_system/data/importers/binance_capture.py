"""Raw Binance websocket captures: spot, USD-M and COIN-M files become one tape a listing.

A file holds one symbol's streams: diff depth, trades, bookTicker (counted, not used: the diff book runs behind it)
and the REST snapshots the recorder fetched. Files of a listing are joined in time order; a book goes on across
a file rotation as long as its update ids do.
"""

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from ...core.kinds import BookState, Kind
from ...core.schema import PACKET
from ...errors import UserError
from ..decimals import Array, Fault, Grid, LevelError, Parsed, parse_levels
from ..sequence import DepthSequence, Diff, Outcome
from ..tape import ListingSpec, TapeWriter
from ..verify import clock_offset_ns, measure
from .binance_symbols import KNOWN_STEPS, Market, listing_spec
from .binance_wire import CaptureFile, Data, Identity, Line, identify, infer_steps

BATCH_PACKETS = 8192
CLOCK_ERROR_NS_MAX = 86_400 * 10**9  # a venue stamp further than a day from ours is no stamp
NS_PER_MS, NS_PER_US = 1_000_000, 1_000
MICROSECONDS_MIN = 10**14  # a stamp this large counts microseconds, as Binance sends on request
READING_SHARE = 0.9  # of the whole work, as far as progress is concerned
NOTHING = b"[]"
DAMAGED = "the recording is damaged: fetch it again, or leave this file out"

OpenWriter = Callable[[ListingSpec], TapeWriter]
Progress = Callable[[str, float], None]


class Pending(msgspec.Struct, frozen=True, gc=False):
    """A packet whose rows are still text."""

    number: int  # line in the file
    kind: Kind
    ts_local_ns: int
    ts_venue_ns: int  # 0 = not said
    buy: bytes = NOTHING
    sell: bytes = NOTHING
    code: int = 0


class Meter:
    """The share of all bytes read, out of the share of one file."""

    def __init__(self, bytes_total: int, progress: Progress) -> None:
        self.bytes_total, self.progress = bytes_total, progress
        self.bytes_before = 0

    def part(self, path: Path) -> Callable[[float], None]:
        size, before = path.stat().st_size, self.bytes_before
        self.bytes_before += size

        def report(share: float) -> None:
            self.progress(path.name, READING_SHARE * (before + share * size) / self.bytes_total)

        return report


class Source(NamedTuple):
    """The files of one listing, in time order."""

    market: Market
    symbol: str
    paths: list[Path]


def read(paths: list[Path], open_writer: OpenWriter, progress: Progress) -> None:
    """Fill and finish one tape per listing found in the files."""
    meter = Meter(sum(path.stat().st_size for path in paths), progress)
    captures = []
    for source in sources(paths):
        captures.append(Capture(source, open_writer))
        for path in source.paths:
            captures[-1].read(path, meter.part(path))
    progress("checking books and clocks", READING_SHARE)
    finish(captures)


def sources(paths: list[Path]) -> list[Source]:
    """Files sorted by listing, then by time."""
    identities = sorted((identify(path) for path in paths), key=lambda found: (*_listing(found), found.ts_first_ns))
    return [
        Source(Market(venue), symbol, [found.path for found in of_listing])
        for (venue, symbol), of_listing in groupby(identities, key=_listing)
    ]


def _listing(found: Identity) -> tuple[str, str]:
    return found.market.value, found.symbol


def finish(captures: list["Capture"]) -> None:
    """Correct venue clocks, measure, and finish the tapes. Captures come sorted by market: each has one clock."""
    for _, of_market in groupby(captures, key=lambda capture: capture.market):
        together = list(of_market)
        offset_ns = clock_offset_ns([capture.writer.written()[0] for capture in together])
        for capture in together:
            capture.finish(offset_ns)


class Capture:
    """One listing on its way from files to tape."""

    def __init__(self, source: Source, open_writer: OpenWriter) -> None:
        self.market, self.symbol, self.paths = source
        steps = KNOWN_STEPS.get((self.market, self.symbol)) or infer_steps(self.paths)
        self.grid = Grid.of(steps.tick_size, steps.lot_size)
        self.writer = open_writer(listing_spec(self.market, self.symbol, steps))
        self.quality = self.writer.facts.quality
        self.sequence = DepthSequence[Pending](is_chained=self.market is not Market.SPOT)
        self.file = CaptureFile(self.paths[0])
        self.batch: list[Pending] = []
        self.ts_local_ns = 0  # last line's
        self.ts_venue_ns = 0  # last stamp heard
        self.trade_id = -1

    def read(self, path: Path, progress: Callable[[float], None]) -> None:
        """Append one file; the next one must begin after its end."""
        self.file = CaptureFile(path)
        for line in self.file.lines():
            if line.number == 1:
                self._begin(line)
            self._take(line)
            if len(self.batch) >= BATCH_PACKETS:
                self._flush()
                progress(self.file.share_read)
        self._flush()
        self.ts_local_ns = line.ts_local_ns
        self.quality.lines += line.number
        self.writer.facts.source_files.append(path.name)

    def _begin(self, line: Line) -> None:
        if self.ts_local_ns == 0:  # joined behind another tape, this one's book does not go on from there
            self.batch.append(Pending(1, Kind.STATUS, line.ts_local_ns, 0, code=BookState.RESYNC))
        elif line.ts_local_ns < self.ts_local_ns:
            raise self.file.refused(1, "begins before the file before it ends", "give each recording once")

    def _take(self, line: Line) -> None:
        message = line.message
        if message.data is not None:
            self._take_stream(line, message.data)
        elif message.last_update_id >= 0:
            self._take_snapshot(line)
        elif message.id != -1:  # the answer to a subscription
            self.quality.ignored_lines += 1
        else:
            raise self.file.refused(line.number, "neither a stream message nor a depth snapshot")

    def _take_stream(self, line: Line, data: Data) -> None:
        if data.s != self.symbol and data.s:
            raise self.file.refused(line.number, f"{data.s} in a file of {self.symbol}", "one symbol a file")
        name = line.message.stream.partition("@")[2].partition("@")[0]
        if name == "depth":
            self._take_depth(line, data)
        elif name == "trade":
            self._take_trade(line, data)
        else:
            self.quality.ignored_lines += 1

    def _take_depth(self, line: Line, data: Data) -> None:
        buy, sell = bytes(data.b), bytes(data.a)
        if not (0 <= data.U <= data.u and buy and sell and (data.pu >= 0) == self.sequence.is_chained):
            raise self.file.refused(line.number, f"not a depth message of {self.market.value}")
        ts_venue_ns = self._venue_ns(line, data.T or data.E)
        row = Pending(line.number, Kind.DEPTH, line.ts_local_ns, ts_venue_ns, buy, sell)
        self._take_diff(Diff(data.U, data.u, data.pu, row))

    def _take_diff(self, diff: Diff[Pending]) -> None:
        outcome = self.sequence.take(diff)
        if outcome is Outcome.APPLY:
            self.quality.depth_packets += 1
            self.batch.append(diff.payload)
        elif outcome is Outcome.DROP:
            self.quality.repeats += 1
        else:
            self.quality.dropped_before_snapshot += 1  # taken back if a snapshot saves it
        if outcome is Outcome.GAP:
            self.quality.sequence_gaps += 1
            row = diff.payload
            self.batch.append(Pending(row.number, Kind.STATUS, row.ts_local_ns, row.ts_venue_ns, code=BookState.GAP))

    def _take_snapshot(self, line: Line) -> None:
        message = line.message
        if message.symbol not in ("", self.symbol) or not (bytes(message.bids) and bytes(message.asks)):
            raise self.file.refused(line.number, f"not a snapshot of {self.symbol}")
        waiting = self.sequence.take_snapshot(message.last_update_id)
        if waiting is None:
            self.quality.ignored_lines += 1
            return
        stamp = message.T or message.E  # spot says neither: the stream's last stamp is the nearest before it
        ts_venue_ns = self._venue_ns(line, stamp) if stamp else self.ts_venue_ns
        bids, asks = bytes(message.bids), bytes(message.asks)
        self.batch.append(Pending(line.number, Kind.SNAPSHOT, line.ts_local_ns, ts_venue_ns, bids, asks))
        self.quality.snapshots += 1
        self.quality.dropped_before_snapshot -= len(waiting)
        for diff in waiting:  # only now can we know what they mean
            self._take_diff(diff._replace(payload=msgspec.structs.replace(diff.payload, ts_local_ns=line.ts_local_ns)))

    def _take_trade(self, line: Line, data: Data) -> None:
        if not (data.t >= 0 and bytes(data.p) and bytes(data.q) and data.m is not None):
            raise self.file.refused(line.number, "not a trade message")
        if data.t <= self.trade_id:  # venues resend after a reconnect: volume must not count twice
            self.quality.repeats += 1
            return
        self.quality.trade_id_gaps += 0 <= self.trade_id < data.t - 1
        self.trade_id = data.t
        if data.X not in ("", "MARKET"):  # insurance fund, ADL: prices of no market
            self.quality.ignored_lines += 1
            return
        row = b"[[%b,%b]]" % (data.p, data.q)
        buy, sell = (NOTHING, row) if data.m else (row, NOTHING)
        ts_venue_ns = self._venue_ns(line, data.T or data.E)
        self.batch.append(Pending(line.number, Kind.TRADE, line.ts_local_ns, ts_venue_ns, buy, sell))
        self.quality.trades += 1

    def _venue_ns(self, line: Line, stamp: int) -> int:
        ts_ns = stamp * (NS_PER_MS if stamp < MICROSECONDS_MIN else NS_PER_US)
        if abs(ts_ns - line.ts_local_ns) > CLOCK_ERROR_NS_MAX:
            raise self.file.refused(line.number, f"venue time {stamp} is more than a day from the receive time")
        self.ts_venue_ns = ts_ns
        return ts_ns

    def _flush(self) -> None:
        if self.batch:
            rows, counts, rounded = self._parsed()
            packets = _packets(self.batch, counts)
            self._refuse_empty_trades(packets, rows)
            self.writer.append(packets, rows)
            self.quality.rounded_sizes += rounded
            self.batch = []

    def _refuse_empty_trades(self, packets: Array, rows: Array) -> None:
        trades = np.flatnonzero(packets["kind"] == Kind.TRADE)
        empty = rows["lots"][packets["level_begin"][trades]] == 0
        for pending in (self.batch[index] for index in trades[empty]):
            size = (pending.buy + pending.sell).rpartition(b",")[2]
            if not size.strip(b'"0.]['):  # else less than a lot, and counted as rounded
                raise self.file.refused(pending.number, "trade of size zero")

    def _parsed(self) -> Parsed:
        texts = [text for pending in self.batch for text in (pending.buy, pending.sell)]
        try:
            return parse_levels(texts, self.grid)
        except LevelError as error:
            number = self.batch[error.text_index // 2].number
            grid = f"one tick of {self.symbol} is {self.writer.facts.listing.tick_size}"
            raise self.file.refused(number, str(error), grid if error.fault is Fault.OFF_GRID else DAMAGED) from None

    def finish(self, clock_offset_ns: int) -> None:
        """Correct the venue's clock, measure what was found, and close the tape."""
        if self.quality.dropped_before_snapshot and not self.quality.snapshots:
            raise UserError(
                f"{self.paths[0]}: no snapshot fits its depth messages, so there is no book to build",
                "import it together with the recording before it, which has the snapshot",
            )
        packets, levels = self.writer.written()
        packets["ts_venue_ns"] += clock_offset_ns
        self.quality.clock_offset_ns = clock_offset_ns
        self.writer.facts.latency_ns_max = int((packets["ts_local_ns"] - packets["ts_venue_ns"]).max())
        measure(self.quality, packets, levels)
        self.writer.finish()


def _packets(batch: list[Pending], counts: Array) -> Array:
    """Packet headers over rows that lie one after the other, two texts a packet."""
    packets = np.zeros(len(batch), PACKET)
    for name in ("kind", "code", "ts_local_ns", "ts_venue_ns"):
        packets[name] = [getattr(pending, name) for pending in batch]
    packets["buy_count"], packets["sell_count"] = counts[::2], counts[1::2]
    packets["level_begin"] = np.cumsum(counts)[1::2] - counts[::2] - counts[1::2]
    silent = packets["ts_venue_ns"] == 0  # only before the first stamp: as if they had travelled as long as that one
    heard = packets[~silent][:1]
    latency_ns = heard["ts_local_ns"][0] - heard["ts_venue_ns"][0] if len(heard) else 0
    packets["ts_venue_ns"][silent] = packets["ts_local_ns"][silent] - latency_ns
    return packets
