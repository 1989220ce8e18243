"""What moves emulated venues: one simulator, its time shifted to now, with a past that is served as klines."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..core.kinds import Kind, Side
from ..core.schema import NS_PER_S
from ..data.tape import ListingSpec
from ..sim.market_records import LISTED
from ..sim.market_stream import Chunk, MarketStream
from .exchange import Exchange
from .orders import Event, Instrument
from .perpetuals import Perpetuals

MINUTE_MS = 60_000
NS_PER_MS = 1_000_000
HISTORY_CHUNK_S = 600
Array = np.ndarray[Any, Any]
Progress = Callable[[str, float], None]


class Shown(NamedTuple):
    """What a venue shows of each simulated instrument: which of its listings, under what name, matched by what."""

    offset: int
    symbol: str
    make: Callable[[Iterable[Instrument]], Exchange]


VENUES = {
    "binance": Shown(0, "{base}{quote}", Exchange),
    "binanceusdm": Shown(2, "{base}{quote}", Perpetuals),
    "coinbase": Shown(1, "{base}-{quote}", partial(Exchange, fee_rate=Decimal("0.006"), is_fee_in_quote=True)),
}


def instrument_of(listing: ListingSpec, symbol: str) -> Instrument:
    return Instrument(
        symbol.format(base=listing.base, quote=listing.quote),
        listing.base,
        listing.quote,
        listing.tick_size,
        listing.lot_size,
        listing.notional_min,
    )


class SimulatedMarket:
    """The simulated instruments' listings, each moving a book of its venue's exchange as time goes by."""

    def __init__(self, instruments: list[str], seed: int, edge: float = 0.0, venues: Iterable[str] = VENUES) -> None:
        self.stream = MarketStream(instruments, seed, edge)
        self.exchanges: dict[str, Exchange] = {}
        self.klines: dict[str, dict[str, list[list[Any]]]] = {}
        self._shown: dict[int, tuple[str, str]] = {}  # listing -> venue, symbol
        for venue in venues:
            self._show(venue, VENUES[venue])
        self._due: Iterator[tuple[int, Any, Array]] = iter(())
        self._next: tuple[int, Any, Array] | None = None
        self._ts_ns = self.stream.preset.ts_start_ns
        self._shift_ns = 0

    def _show(self, venue: str, shown: Shown) -> None:
        ids = range(shown.offset, len(self.stream.listings), LISTED)
        instruments = [instrument_of(self.stream.listings[n], shown.symbol) for n in ids]
        self.exchanges[venue] = shown.make(instruments)
        self.klines[venue] = {instrument.symbol: [] for instrument in instruments}
        self._shown |= {n: (venue, instrument.symbol) for n, instrument in zip(ids, instruments, strict=True)}

    def live_through(self, total_s: int, progress: Progress | None = None) -> None:
        """Let the market's past happen: books and klines are then as if it had been watched."""
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
        shift_ms = self._shift_ns // NS_PER_MS // MINUTE_MS * MINUTE_MS
        for row in (row for klines in self.klines.values() for rows in klines.values() for row in rows):
            row[0] += shift_ms
            row[6] += shift_ms

    def advance(self, now_ns: int) -> dict[str, list[Event]]:
        """Everything that has happened up to now, by venue."""
        events = defaultdict[str, list[Event]](list)
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
            events[self._shown[int(packet["listing_id"])][0]] += self.apply(packet, rows)
            self._next = None

    def _packets(self, chunk: Chunk, *, ordered: bool) -> Iterator[tuple[int, Any, Array]]:
        """(when it left the venue, packet, its rows) of the listings that are shown."""
        is_ours = np.isin(chunk.packets["listing_id"], list(self._shown))
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
        venue, symbol = self._shown[int(packet["listing_id"])]
        exchange, kind, buys = self.exchanges[venue], int(packet["kind"]), int(packet["buy_count"])
        pairs = [(int(ticks), int(lots)) for ticks, lots in rows.tolist()]
        if kind in (Kind.DEPTH, Kind.SNAPSHOT):
            return exchange.apply_depth(symbol, pairs[:buys], pairs[buys:], is_whole=kind == Kind.SNAPSHOT)
        events: list[Event] = []
        if kind == Kind.TRADE:
            ms = (int(packet["ts_venue_ns"]) + self._shift_ns) // NS_PER_MS
            for n, (ticks, lots) in enumerate(pairs):
                side = Side.BUY if n < buys else Side.SELL
                events += exchange.apply_trade(symbol, ticks, lots, side)
                apply_kline(self.klines[venue][symbol], exchange.instruments[symbol], ms, ticks, lots, side)
        return events


def apply_kline(rows: list[list[Any]], instrument: Instrument, ms: int, ticks: int, lots: int, side: Side) -> None:
    """One print joins its minute; minutes without one repeat the last close."""
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
