"""What moves emulated venues: a market, its time shifted to now, with a past that is served as klines.

The market is a simulated one (here) or a recorded one (`tape_market.py`).
"""

from abc import ABC, abstractmethod
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
from ..sim.market_stream import MarketStream
from .exchange import Exchange
from .orders import Event, Instrument
from .perpetuals import Perpetuals

MINUTE_MS = 60_000
NS_PER_MS = 1_000_000
HISTORY_CHUNK_S = 600
Array = np.ndarray[Any, Any]
Progress = Callable[[str, float], None]


class Shown(NamedTuple):
    """What a venue shows: which listing of a simulated instrument, under what name, matched by what."""

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


Coming = Iterator[tuple[int, Any, Array]]  # when it left the venue, the packet, its rows


class Market(ABC):
    """Listings, each moving a book of its venue's exchange as time goes by."""

    def __init__(self, ts_start_ns: int) -> None:
        self.exchanges: dict[str, Exchange] = {}
        self.klines: dict[str, dict[str, list[list[Any]]]] = {}
        self._shown: dict[int, tuple[str, str]] = {}  # listing -> venue, symbol
        self._ts_ns = ts_start_ns  # up to here it has happened
        self._shift_ns = 0
        self._due: Coming = iter(())
        self._next: tuple[int, Any, Array] | None = None

    def show(self, venue: str, listings: dict[int, ListingSpec]) -> None:
        """The listings of a venue, under the names it has for them."""
        shown = VENUES[venue]
        instruments = {n: instrument_of(listing, shown.symbol) for n, listing in listings.items()}
        self.exchanges[venue] = shown.make(instruments.values())
        self.klines[venue] = {instrument.symbol: [] for instrument in instruments.values()}
        self._shown |= {n: (venue, instrument.symbol) for n, instrument in instruments.items()}

    @abstractmethod
    def coming(self) -> Coming:
        """Everything from here on, in the order in which it left the venues."""

    @abstractmethod
    def live_through(self, total_s: int, progress: Progress | None = None) -> None:
        """Let the market's past happen: books and klines are then as if it had been watched."""

    @property
    @abstractmethod
    def usual_volatility(self) -> float:
        """Percent a year, before anything has been seen."""

    def begin(self, now_ns: int) -> None:
        """From here on the market's time is that of the caller's clock."""
        self._shift_ns = now_ns - self._ts_ns
        self._due = self.coming()
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
            if self._next is None or self._next[0] + self._shift_ns > now_ns:
                return events
            _, packet, rows = self._next
            events[self._shown[int(packet["listing_id"])][0]] += self.apply(packet, rows)
            self._next = None

    def _packets(self, packets: Array, levels: Array, *, ordered: bool) -> Coming:
        """Those of the listings that are shown."""
        found = np.flatnonzero(np.isin(packets["listing_id"], list(self._shown)))
        if ordered:
            found = found[np.argsort(packets["ts_venue_ns"][found], kind="stable")]
        for n in found:
            packet = packets[n]
            begin = int(packet["level_begin"])
            rows = levels[begin : begin + int(packet["buy_count"]) + int(packet["sell_count"])]
            yield int(packet["ts_venue_ns"]), packet, rows

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


class SimulatedMarket(Market):
    """The simulated instruments."""

    def __init__(self, instruments: list[str], seed: int, edge: float = 0.0, venues: Iterable[str] = VENUES) -> None:
        self.stream = MarketStream(instruments, seed, edge)
        super().__init__(self.stream.preset.ts_start_ns)
        for venue in venues:
            ids = range(VENUES[venue].offset, len(self.stream.listings), LISTED)
            self.show(venue, {n: self.stream.listings[n] for n in ids})

    @property
    def usual_volatility(self) -> float:
        return self.stream.preset.volatility * 100

    def live_through(self, total_s: int, progress: Progress | None = None) -> None:
        for done_s in range(0, total_s, HISTORY_CHUNK_S):
            seconds = min(HISTORY_CHUNK_S, total_s - done_s)
            for _, packet, rows in self._chunk(seconds, ordered=False):
                self.apply(packet, rows)
            if progress is not None:
                progress("letting the market's past happen", (done_s + seconds) / total_s)

    def coming(self) -> Coming:
        while True:
            yield from self._chunk(1, ordered=True)

    def _chunk(self, seconds: int, *, ordered: bool) -> Coming:
        chunk = self.stream.chunk(seconds)
        self._ts_ns += seconds * NS_PER_S
        return self._packets(chunk.packets, chunk.levels, ordered=ordered)


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


def kline_of(instrument: Instrument, open_ms: int, rows: list[tuple[int, int]]) -> list[Any]:
    """A minute as a recording tells it: open, high, low, close with the volume."""
    made = _row(open_ms, instrument.price(rows[0][0]))
    made[2], made[3], made[4] = (str(instrument.price(ticks)) for ticks, _ in rows[1:4])
    made[5] = str(instrument.quantity(rows[3][1]))
    made[7] = str(instrument.price(rows[3][0]) * instrument.quantity(rows[3][1]))
    return made
