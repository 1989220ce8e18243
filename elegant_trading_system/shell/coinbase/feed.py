"""Coinbase Advanced Trade channels into events: two connections, of which one leads and the other stands by.

The venue numbers the frames of a connection, not the changes of a book: a number says that this connection has lost
nothing, and nothing about the other one, so copies cannot be put side by side as on Binance. Each connection therefore
keeps a whole book of its own. The leader's changes are passed on; as soon as it has a hole, is refused, is crossed,
falls silent or goes down, the other takes over by the difference of the two books, and the faulty one subscribes anew: a snapshot
comes on it alone. Frames of one connection cannot overtake each other, so a hole is a loss at once. Without a sound
connection the book is a GAP until one has its snapshot. Both books are right, each as of its own last frame: after a
take-over the book may be some milliseconds older for an instant, never mixed.

Prints carry numbers of their own and are taken from whoever tells them first. A snapshot repeats earlier ones; those
it tells late are history and are not passed on.

Nothing here waits or opens a connection: frames are handed in, what is to be said on a connection is asked for.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from ...core.kinds import BookState, Kind
from ...data.decimals import Grid, parse_levels
from ..sequencer import NO_ROWS, Sequencer
from .books import Array, Book, Rows
from .frames import Event, Frame, Print, ns_of, request

NS_PER_S = 1_000_000_000
SILENT_NS = 3 * NS_PER_S  # heartbeats come every second
ASK_AGAIN_NS = 1200 * 1_000_000  # between two snapshots asked for: the venue takes eight messages a second from us
ANSWER_NS = 3 * NS_PER_S  # a new subscription has its snapshot long before
OLD_NS = 5 * NS_PER_S  # a print told later than that is history
OLD_BOOK_NS = NS_PER_S // 2  # a snapshot so far behind what was told before is not to be trusted
TRADES_KEPT = 4096
DIGITS_MAX = 18
CHANNELS = ("level2", "market_trades")
SIDES = ("bid", "offer")


class Listing:
    """One product: its grid, who leads its book, which prints are known."""

    def __init__(self, listing_id: int, symbol: str, grid: Grid) -> None:
        self.listing_id, self.symbol, self.grid = listing_id, symbol, grid
        self.leader = -1  # connection
        self.shown = Book()  # the book as it was passed on: the leader's, or that of the last one
        self.is_live = False
        self.ts_told_ns = 0  # of the venue's last word on it, by its own clock
        self.trades: dict[int, None] = {}  # ids, in the order they were heard in


class Change(NamedTuple):
    """What an event does, decoded whole before any of it is applied."""

    listing: Listing
    kind: Kind
    rows: Rows
    ts_venue_ns: int
    trade_id: int = -1


class Connection:
    """What one connection has brought so far."""

    def __init__(self, ts_ns: int) -> None:
        self.next = 0  # number of the frame that is due
        self.books: dict[str, Book] = {}  # of products that have a snapshot and no hole since
        self.ts_told_ns: dict[str, int] = {}  # product -> when something was last said of its book
        self.ts_heard_ns = ts_ns
        self.ts_asked_ns = ts_ns
        self.is_silent = False


class CoinbaseFeed:
    """All products of the venue over however many connections."""

    def __init__(self, sequencer: Sequencer, listings: list[Listing], say: Callable[[int, str], None]) -> None:
        self.sequencer = sequencer
        self.listings = {listing.symbol: listing for listing in listings}
        self.say = say  # a frame on a connection
        self.connections: dict[int, Connection] = {}
        self.counts = Counter[str]()
        self._decode = msgspec.json.Decoder(Frame).decode
        self._quiet_ns = sequencer.stale_ns[1]
        self._named = {symbol.removesuffix("C"): one for symbol, one in self.listings.items() if symbol[-5:] == "-USDC"}
        self._named |= self.listings  # a book in USDC is told under the name of the one in USD

    # --- connections ------------------------------------------------------------------------------------------
    def hear_up(self, connection: int) -> None:
        """A connection is open; it has five seconds to subscribe."""
        self.connections[connection] = Connection(self.sequencer.now_ns())
        self.say(connection, request("subscribe", "heartbeats", []))
        for channel in CHANNELS:
            self.say(connection, request("subscribe", channel, list(self.listings)))

    def hear_down(self, connection: int) -> None:
        """A connection is gone, and its books with it."""
        self.connections.pop(connection, None)
        self._settle()

    def is_silent(self, connection: int) -> bool:
        """Open, but nothing comes, not even a heartbeat: better closed."""
        return connection in self.connections and self.connections[connection].is_silent

    def check_holes(self, now_ns: int) -> None:
        """Silence, and snapshots that do not come."""
        for number, connection in self.connections.items():
            connection.is_silent = now_ns - connection.ts_heard_ns > SILENT_NS
            self._doubt(connection, now_ns)
            self._mend(number, connection, now_ns)
        self._settle()

    def _doubt(self, connection: Connection, now_ns: int) -> None:
        """A book of which nothing is said for long, though the connection lives and was asked for it anew, is none."""
        for symbol, ts_ns in connection.ts_told_ns.items():
            if now_ns - ts_ns > self._quiet_ns + ANSWER_NS and connection.books.pop(symbol, None) is not None:
                self.counts["stale"] += 1

    def _mend(self, number: int, connection: Connection, now_ns: int) -> None:
        """Snapshots of books that are lost or have long been quiet, asked for by subscribing anew; not too often."""
        told, doubtful_ns = connection.ts_told_ns, now_ns - self._quiet_ns
        missing = [one for one in self.listings if one not in connection.books or told[one] < doubtful_ns]
        if not missing or now_ns - connection.ts_asked_ns <= ASK_AGAIN_NS:
            return
        connection.ts_asked_ns = now_ns
        self.counts["resubscribed"] += 1
        for channel in CHANNELS:
            for kind in ("unsubscribe", "subscribe"):
                self.say(number, request(kind, channel, missing))

    # --- frames -----------------------------------------------------------------------------------------------
    def hear(self, connection: int, frame: str | bytes) -> None:
        """One frame. What cannot be read is counted and changes nothing; the next one shows the hole it leaves."""
        self.counts["frames"] += 1
        line = self.connections.get(connection)
        if line is None:
            self.counts["refused"] += 1
            return
        try:
            message = self._decode(frame)
            if message.type == "error":
                self.counts["complaints"] += 1
                return
            changes = self._read(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, OverflowError):
            self.counts["refused"] += 1
            return
        now_ns = self.sequencer.now_ns()
        if self._is_new(line, message.sequence_num, now_ns):
            self._apply(connection, line, changes)
            self._settle()
        self._mend(connection, line, now_ns)

    def _is_new(self, line: Connection, number: int, now_ns: int) -> bool:
        if number < line.next:
            self.counts["repeated"] += 1
            return False
        if number > line.next:
            self.counts["holes"] += 1
            line.books.clear()
        line.next = number + 1
        line.ts_heard_ns = now_ns
        line.is_silent = False
        return True

    def _read(self, message: Frame) -> list[Change]:
        """Every event of a frame, or ValueError."""
        if message.sequence_num < 0:
            raise ValueError(message.sequence_num)
        if message.channel == "l2_data":
            return [change for event in message.events for change in self._read_book(event, message.timestamp)]
        if message.channel == "market_trades":
            late = ns_of(message.timestamp) - OLD_NS
            found = [self._read_print(one, late) for event in message.events for one in event.trades]
            return sorted((one for one in found if one is not None), key=lambda change: change.trade_id)
        return []

    def _read_book(self, event: Event, timestamp: str) -> list[Change]:
        listing = self._named.get(event.product_id)
        if listing is None:
            self.counts["ignored"] += 1
            return []
        if event.type not in ("snapshot", "update"):
            raise ValueError(event.type)
        sides: list[list[tuple[str, str]]] = [[], []]
        for row in event.updates:
            sides[SIDES.index(row.side)].append((row.price_level, row.new_quantity))
        bids, asks = (self._rows(side, listing.grid) for side in sides)
        told = event.updates[0].event_time if event.updates else ""
        is_dated = told[:4] > "1970"  # older snapshots say 1970
        kind = Kind.SNAPSHOT if event.type == "snapshot" else Kind.DEPTH
        return [Change(listing, kind, (bids, asks), ns_of(told if is_dated else timestamp))]

    def _rows(self, side: list[tuple[str, str]], grid: Grid) -> Array:
        joined = ",".join(f'["{price}","{size}"]' for price, size in side)
        parsed = parse_levels([f"[{joined}]".encode()], grid)
        if len(parsed.rows) != len(side):
            raise ValueError(joined)
        self.counts["rounded"] += parsed.rounded
        return parsed.rows

    def _read_print(self, told: Print, late_ns: int) -> Change | None:
        """None: of no product of ours, known, or history."""
        listing = self._named.get(told.product_id)
        if listing is None:
            self.counts["ignored"] += 1
            return None
        ts_ns, is_number = ns_of(told.time), told.trade_id.isascii() and told.trade_id.isdigit()
        if told.side not in ("BUY", "SELL") or not is_number or len(told.trade_id) > DIGITS_MAX:
            raise ValueError(told.side)
        row = self._rows([(told.price, told.size)], listing.grid)
        if ts_ns < late_ns:
            self.counts["old_trades"] += 1
            return None
        rows = (NO_ROWS, row) if told.side == "BUY" else (row, NO_ROWS)  # the maker bought: it was sold to him
        return Change(listing, Kind.TRADE, rows, ts_ns, int(told.trade_id))

    # --- books and prints -------------------------------------------------------------------------------------
    def _apply(self, connection: int, line: Connection, changes: list[Change]) -> None:
        for change in changes:
            if change.kind is Kind.TRADE:
                self._print(change)
            else:
                self._apply_book(connection, line, change)

    def _apply_book(self, connection: int, line: Connection, change: Change) -> None:
        """A snapshot or a change; a book that cannot be true is dropped before anybody sees it, and asked for anew."""
        listing, symbol = change.listing, change.listing.symbol
        if change.kind is Kind.SNAPSHOT:
            line.books.pop(symbol, None)
            if change.ts_venue_ns < listing.ts_told_ns - OLD_BOOK_NS:
                self.counts["old_snapshots"] += 1
                return
            self.counts["snapshots"] += 1
        listing.ts_told_ns = change.ts_venue_ns
        book = line.books.get(symbol) if change.kind is Kind.DEPTH else Book()
        if book is None:
            return
        if not book.update(change.rows):
            self.counts["crossed"] += 1
            line.books.pop(symbol, None)
            return
        line.books[symbol], line.ts_told_ns[symbol] = book, self.sequencer.now_ns()
        if listing.leader == connection and listing.shown is book:
            self._publish(Kind.DEPTH, listing, change.rows, change.ts_venue_ns)

    def _print(self, change: Change) -> None:
        listing, trade_id = change.listing, change.trade_id
        if trade_id in listing.trades:
            self.counts["repeated_trades"] += 1
            return
        listing.trades[trade_id] = None
        if len(listing.trades) > TRADES_KEPT:
            del listing.trades[next(iter(listing.trades))]
        self._publish(Kind.TRADE, listing, change.rows, change.ts_venue_ns)

    def _settle(self) -> None:
        """Every book is led by a sound connection, where there is one."""
        for listing in self.listings.values():
            lines = {
                number: line.books[listing.symbol]
                for number, line in self.connections.items()
                if listing.symbol in line.books and not line.is_silent
            }
            if lines.get(listing.leader) is listing.shown:
                continue
            if lines:
                self._lead(listing, *next(iter(lines.items())))
            else:
                self._lose(listing)

    def _lead(self, listing: Listing, connection: int, book: Book) -> None:
        """Another connection leads, or the same with a new book."""
        kind = Kind.DEPTH if listing.is_live else Kind.SNAPSHOT
        self.counts["taken_over"] += listing.is_live
        rows = book.rows_from(listing.shown if listing.is_live else None)
        listing.leader, listing.shown, listing.is_live = connection, book, True
        if kind is Kind.SNAPSHOT or len(rows[0]) + len(rows[1]) > 0:
            self._publish(kind, listing, rows, 0)

    def _lose(self, listing: Listing) -> None:
        """No sound connection: no entry on this book until one has its snapshot."""
        listing.leader = -1
        if listing.is_live:
            listing.is_live = False
            self.counts["gaps"] += 1
            self.sequencer.hear(Kind.STATUS, listing.listing_id, code=BookState.GAP)

    def _publish(self, kind: Kind, listing: Listing, rows: Rows, ts_venue_ns: int) -> None:
        self.sequencer.hear(kind, listing.listing_id, *rows, ts_venue_ns=ts_venue_ns)
