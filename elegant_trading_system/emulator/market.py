"""What moves an emulated venue: the simulator, its time shifted to now, with a past that is served as klines."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np

from ..core.kinds import Kind, Side
from ..core.schema import NS_PER_S
from ..data.tape import ListingSpec
from ..sim.market_records import LISTED
from ..sim.market_stream import Chunk, MarketStream
from .exchange import Event, Exchange, Instrument

MINUTE_MS = 60_000
NS_PER_MS = 1_000_000
HISTORY_CHUNK_S = 600
Array = np.ndarray[Any, Any]
Progress = Callable[[str, float], None]


def instrument_of(listing: ListingSpec) -> Instrument:
    return Instrument(
        listing.base + listing.quote,
        listing.base,
        listing.quote,
        listing.tick_size,
        listing.lot_size,
        listing.notional_min,
    )


class SimulatedMarket:
    """The first lit listing of each simulated instrument, moving an exchange's books as time goes by."""

    def __init__(self, instruments: list[str], seed: int, edge: float = 0.0) -> None:
        self.stream = MarketStream(instruments, seed, edge)
        self.listings = {n: self.stream.listings[n] for n in range(0, len(self.stream.listings), LISTED)}
        self.exchange = Exchange(instrument_of(listing) for listing in self.listings.values())
        self.klines: dict[str, list[list[Any]]] = {symbol: [] for symbol in self.exchange.instruments}
        self._symbols = {n: instrument_of(listing).symbol for n, listing in self.listings.items()}
        self._due: Iterator[tuple[int, Any, Array]] = iter(())
        self._next: tuple[int, Any, Array] | None = None
        self._ts_ns = self.stream.preset.ts_start_ns
        self._shift_ns = 0

    def live_through(self, minutes: int, progress: Progress | None = None) -> None:
        """Let the market's past happen: books and klines are then as if it had been watched."""
        total_s = minutes * 60
        for done_s in range(0, total_s, HISTORY_CHUNK_S):
            seconds = min(HISTORY_CHUNK_S, total_s - done_s)
            chunk = self.stream.chunk(seconds)
            self._ts_ns += seconds * NS_PER_S
            for _, packet, rows in self._packets(chunk, ordered=False):
                self.apply(packet, rows)
            if progress is not None:
                progress("letting the market's past happen", (done_s + seconds) / total_s)

    def begin(self, now_ns: int) -> None:
        """From here on the market's time is that of the caller's clock."""
        self._shift_ns = now_ns - self._ts_ns
        for rows in self.klines.values():
            for row in rows:
                row[0] += self._shift_ns // NS_PER_MS // MINUTE_MS * MINUTE_MS
                row[6] += self._shift_ns // NS_PER_MS // MINUTE_MS * MINUTE_MS

    def advance(self, now_ns: int) -> list[Event]:
        """Everything that has happened up to now."""
        events: list[Event] = []
        while True:
            if self._next is None:
                self._next = next(self._due, None)
            if self._next is None:
                chunk = self.stream.chunk(1)
                self._ts_ns += NS_PER_S
                self._due = self._packets(chunk, ordered=True)
                if self._ts_ns + self._shift_ns > now_ns + NS_PER_S:
                    return events
                continue
            ts_ns, packet, rows = self._next
            if ts_ns + self._shift_ns > now_ns:
                return events
            events += self.apply(packet, rows)
            self._next = None

    def _packets(self, chunk: Chunk, *, ordered: bool) -> Iterator[tuple[int, Any, Array]]:
        """(when it left the venue, packet, its rows) of the listings that are shown."""
        is_ours = np.isin(chunk.packets["listing_id"], list(self._symbols))
        found = np.flatnonzero(is_ours)
        if ordered:
            found = found[np.argsort(chunk.packets["ts_venue_ns"][found], kind="stable")]
        for n in found:
            packet = chunk.packets[n]
            begin = int(packet["level_begin"])
            yield (
                int(packet["ts_venue_ns"]),
                packet,
                chunk.levels[begin : begin + int(packet["buy_count"]) + int(packet["sell_count"])],
            )

    def apply(self, packet: Any, rows: Array) -> list[Event]:
        symbol, kind, buys = self._symbols[int(packet["listing_id"])], int(packet["kind"]), int(packet["buy_count"])
        pairs = [(int(ticks), int(lots)) for ticks, lots in rows.tolist()]
        if kind in (Kind.DEPTH, Kind.SNAPSHOT):
            return self.exchange.apply_depth(symbol, pairs[:buys], pairs[buys:], is_whole=kind == Kind.SNAPSHOT)
        events: list[Event] = []
        if kind == Kind.TRADE:
            ms = (int(packet["ts_venue_ns"]) + self._shift_ns) // NS_PER_MS
            for n, (ticks, lots) in enumerate(pairs):
                side = Side.BUY if n < buys else Side.SELL
                events += self.exchange.apply_trade(symbol, ticks, lots, side)
                self._apply_kline(symbol, ms, ticks, lots, side)
        return events

    def _apply_kline(self, symbol: str, ms: int, ticks: int, lots: int, side: Side) -> None:
        """One print joins its minute; minutes without one repeat the last close."""
        instrument, rows = self.exchange.instruments[symbol], self.klines[symbol]
        price, quantity, open_ms = instrument.price(ticks), instrument.quantity(lots), ms // MINUTE_MS * MINUTE_MS
        while rows and rows[-1][0] + MINUTE_MS < open_ms:
            rows.append(_row(rows[-1][0] + MINUTE_MS, Decimal(rows[-1][4])))
        if not rows or rows[-1][0] < open_ms:
            rows.append(_row(open_ms, price))
        row = rows[-1]
        row[2], row[3] = str(max(Decimal(row[2]), price)), str(min(Decimal(row[3]), price))
        row[4] = str(price)
        row[5], row[7] = str(Decimal(row[5]) + quantity), str(Decimal(row[7]) + price * quantity)
        row[8] += 1
        if side is Side.BUY:
            row[9], row[10] = str(Decimal(row[9]) + quantity), str(Decimal(row[10]) + price * quantity)


def _row(open_ms: int, price: Decimal) -> list[Any]:
    text = str(price)
    return [open_ms, text, text, text, text, "0", open_ms + MINUTE_MS - 1, "0", 0, "0", "0", "0"]
