"""Binance Spot market streams into events: two connections arbitrated, books and prints numbered without a hole.

Nothing here waits or opens a connection: frames and snapshots are handed in, what is to be fetched is asked for.
"""

from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np

from ...core.kinds import BookState, Kind
from ...data.decimals import Grid, LevelError, parse_levels
from ..arbiter import Arbiter, Message, Verdict
from ..sequencer import NO_ROWS, Sequencer
from ..silence import Silence
from .scan import STREAMS, Scanner

Array = np.ndarray[Any, Any]
NS_PER_MS = 1_000_000
HOLE_NS = 500 * NS_PER_MS
ROWS_MAX = 100_000  # of one frame or snapshot
Number = Annotated[int, msgspec.Meta(ge=-1, le=2**62)]
Stamp = Annotated[int, msgspec.Meta(ge=0, lt=2**43)]  # ms; in ns it fits int64


class Data(msgspec.Struct, gc=False):
    """A depth diff or a trade."""

    s: str
    E: Stamp = 0
    e: str = ""
    U: Number = -1
    u: Number = -1
    t: Number = -1
    T: Stamp = 0
    m: bool = False
    p: str = ""
    q: str = ""
    b: msgspec.Raw = msgspec.Raw(b"[]")
    a: msgspec.Raw = msgspec.Raw(b"[]")


class Frame(msgspec.Struct, gc=False):
    """A message of a combined connection; answers to subscriptions have no data."""

    data: Data | None = None


FRAMES = msgspec.json.Decoder(Frame)


class Snapshot(msgspec.Struct, gc=False):
    last_id: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = msgspec.field(name="lastUpdateId")
    bids: msgspec.Raw
    asks: msgspec.Raw


class Rows(NamedTuple):
    """What an event holds, decoded."""

    buys: Array
    sells: Array
    ts_venue_ns: int


class Listing:
    """One instrument: its grid, and where its two streams stand."""

    def __init__(self, listing_id: int, symbol: str, grid: Grid) -> None:
        self.listing_id, self.symbol, self.grid = listing_id, symbol, grid
        self.begin(np.zeros(1, STREAMS)[0])
        self.is_snapshot_wanted = False
        self.crossed = self.snapshots = 0  # times seen so far
        self.ts_hole_ns = 0  # since when something is missing; 0: nothing is

    def begin(self, state: Any) -> None:
        """Nothing has been heard; where the streams stand is kept in a STREAMS record."""
        self._state, state.is_stale = state, 0
        self.depth, self.trades = Arbiter[Rows](state.depth), Arbiter[Rows](state.trades)

    @property
    def is_stale(self) -> bool:
        """Told so: LIVE again with the next message that goes on where the last one ended."""
        return bool(self._state.is_stale)

    @is_stale.setter
    def is_stale(self, is_stale: bool) -> None:
        self._state.is_stale = is_stale


class BinanceFeed:
    """All instruments of the venue over however many connections."""

    decoder: msgspec.json.Decoder[Any] = FRAMES
    is_chained = False  # does a message name the last number of the one before it (pu)?

    def __init__(self, sequencer: Sequencer, listings: list[Listing], want_snapshot: Callable[[str], None]) -> None:
        self.sequencer = sequencer
        self.listings = {listing.symbol: listing for listing in listings}
        self.want_snapshot = want_snapshot
        self.counts = Counter[str]()
        self.connections: set[int] = set()  # that are up
        symbols = [(one.listing_id, one.symbol, one.grid) for one in listings]
        self._scanner = Scanner(symbols, sequencer.journal, is_chained=self.is_chained)
        self._read = self._scanner.read
        self.begin()
        self._silence = Silence()
        self._decode: Callable[[str | bytes], Any] = self.decoder.decode
        self._decode_snapshot = msgspec.json.Decoder(Snapshot).decode

    def begin(self) -> None:
        """Nothing has been heard yet."""
        for listing, state in zip(self.listings.values(), self._scanner.streams, strict=True):
            listing.begin(state)

    def streams(self) -> str:
        return "/".join(f"{symbol.lower()}@{kind}" for symbol in self.listings for kind in ("depth@100ms", "trade"))

    @property
    def frames(self) -> int:
        """How many were heard, good or bad."""
        return self._scanner.count + self.counts["read_as_json"]

    def hear(self, connection: int, frame: str | bytes) -> None:
        """One frame; what cannot be read or is not ours is counted and changes nothing.

        The short way is for what comes nearly always: a known message, or the very next in the form it always has.
        """
        try:
            found = self._read(connection, frame)
        except UnicodeError:
            found = 0
        if found > 0:
            self.sequencer.hear_laid()
        elif found == 0:
            self._hear_json(connection, frame)

    def _hear_json(self, connection: int, frame: str | bytes) -> None:
        self.counts["read_as_json"] += 1
        try:
            self._hear_any(connection, frame)
        except (msgspec.DecodeError, UnicodeError, RecursionError, KeyError, LevelError):
            self.counts["refused"] += 1

    def _hear_any(self, connection: int, frame: str | bytes) -> None:
        data = self._decode(frame).data
        if data is None:
            self.counts["answers"] += 1
            return
        listing = self.listings[data.s]
        if data.e == "depthUpdate" and 0 <= self._first_id(data) <= data.U <= data.u:
            self._apply_depth(connection, listing, data)
        elif data.e == "trade" and data.t >= 0:
            self._apply_trade(connection, listing, data)
        elif data.e not in ("depthUpdate", "trade"):
            self._note(data)
        else:
            self.counts["refused"] += 1

    @staticmethod
    def _first_id(data: Any) -> int:
        """The number that has to follow the last one for nothing to be missing; negative when the message names none."""
        return int(data.U)

    def _note(self, data: Any) -> None:  # noqa: ARG002 - some venues say more
        self.counts["ignored"] += 1  # a stream we do not use

    def _apply_depth(self, connection: int, listing: Listing, data: Data) -> None:
        if listing.depth.is_known(connection, data.u):  # the other copy was first: its rows are not even read
            return
        parsed = parse_levels([bytes(data.b), bytes(data.a)], listing.grid)
        if len(parsed.rows) > ROWS_MAX:
            self.counts["refused"] += 1
            return
        self.counts["rounded"] += parsed.rounded
        bids = int(parsed.counts[0])
        rows = Rows(parsed.rows[:bids], parsed.rows[bids:], data.E * NS_PER_MS)
        verdict, moved = listing.depth.take(connection, Message(self._first_id(data), data.u, rows))
        self._publish_depth(listing, moved)
        if verdict is Verdict.LOST:
            self._lose(listing)
        elif listing.depth.last_id < 0:
            self._want(listing)

    def _apply_trade(self, connection: int, listing: Listing, data: Data) -> None:
        stream = listing.trades
        text = f'[["{data.p}","{data.q}"]]' if self._is_print(data) else "[]"
        parsed = parse_levels([text.encode()], listing.grid).rows
        if len(parsed) > 1:
            self.counts["refused"] += 1
            return
        if stream.last_id < 0 or stream.is_jump(data.t):
            stream.begin(data.t - 1)
        buys, sells = (NO_ROWS, parsed) if data.m else (parsed, NO_ROWS)
        verdict, moved = stream.take(connection, Message(data.t, data.t, Rows(buys, sells, data.T * NS_PER_MS)))
        self._publish(Kind.TRADE, listing, moved)
        if verdict is Verdict.LOST:
            self._skip_trades(listing)

    @staticmethod
    def _is_print(_data: Any) -> bool:
        """Did buyer and seller meet in the market?"""
        return True

    def _skip_trades(self, listing: Listing) -> None:
        """A print lost by both is gone for good: go on behind the hole."""
        stream = listing.trades
        if stream.pending:
            self.counts["lost_trades"] += min(stream.pending) - stream.last_id - 1
            self._publish(Kind.TRADE, listing, stream.restart(min(stream.pending) - 1) or [])

    def _publish(self, kind: Kind, listing: Listing, moved: list[Rows]) -> None:
        for buys, sells, ts_venue_ns in moved:
            if kind is Kind.TRADE and not len(buys) + len(sells):
                self.counts["off_market"] += 1
                continue
            self.sequencer.hear(kind, listing.listing_id, buys, sells, ts_venue_ns=ts_venue_ns)

    def _publish_depth(self, listing: Listing, moved: list[Rows]) -> None:
        if moved and listing.is_stale:  # nothing is missing between what was heard before the silence and this
            listing.is_stale = False
            self.sequencer.hear(Kind.STATUS, listing.listing_id, code=BookState.LIVE)
        self._publish(Kind.DEPTH, listing, moved)

    def _lose(self, listing: Listing, why: str = "gaps", state: BookState = BookState.GAP) -> None:
        """Both connections have lost the same message: no entry on this book until a snapshot has mended it."""
        self.counts[why] += 1
        listing.depth.drop()
        listing.is_stale = False
        self.sequencer.hear(Kind.STATUS, listing.listing_id, code=state)
        self._want(listing)

    def _want(self, listing: Listing) -> None:
        if not listing.is_snapshot_wanted:
            listing.is_snapshot_wanted = True
            self.want_snapshot(listing.symbol)

    def hear_snapshot(self, symbol: str, body: bytes) -> bool:
        """A REST book; False when it is too old or unreadable: fetch another."""
        listing = self.listings[symbol]
        try:
            snapshot = self._decode_snapshot(body)
            parsed = parse_levels([bytes(snapshot.bids), bytes(snapshot.asks)], listing.grid)
        except (msgspec.DecodeError, UnicodeError, RecursionError, LevelError):
            self.counts["refused"] += 1
            return False
        if len(parsed.rows) > ROWS_MAX:
            self.counts["refused"] += 1
            return False
        moved = listing.depth.restart(snapshot.last_id)
        if moved is None:
            self.counts["old_snapshots"] += 1
            return False
        self.counts["snapshots"] += 1
        listing.snapshots += 1
        listing.is_snapshot_wanted = listing.is_stale = False
        bids = int(parsed.counts[0])
        self.sequencer.hear(Kind.SNAPSHOT, listing.listing_id, parsed.rows[:bids], parsed.rows[bids:])
        self._publish_depth(listing, moved)
        if not listing.depth.heard:
            self._mark_stale(listing)
        return True

    def hear_up(self, connection: int) -> None:
        """A connection is open and will bring what comes from now on."""
        self.connections.add(connection)
        for listing in self.listings.values():
            listing.depth.join(connection)
            listing.trades.join(connection)

    def check_holes(self, now_ns: int) -> None:
        """A hole that a silent connection does not fill in time is a loss."""
        self._check_silence(now_ns)
        for listing in self.listings.values():
            self._check_crossed(listing)
            has_hole = listing.depth.last_id >= 0 and bool(listing.depth.pending)
            if not (has_hole or listing.trades.pending):
                listing.ts_hole_ns = 0
            elif listing.ts_hole_ns == 0:
                listing.ts_hole_ns = now_ns
            elif now_ns - listing.ts_hole_ns > HOLE_NS:
                if has_hole:
                    self._lose(listing)
                self._skip_trades(listing)

    def _check_crossed(self, listing: Listing) -> None:
        """A book that was crossed holds something that is not so, and not only where it shows."""
        crossed = self.sequencer.crossed_count(listing.listing_id)
        if crossed > listing.crossed and listing.depth.last_id >= 0:
            self._lose(listing, "crossed", BookState.RESYNC)
        listing.crossed = crossed

    def _check_silence(self, now_ns: int) -> None:
        """A venue that says nothing, or nothing of a listing: its books are STALE until they go on."""
        venue_ns, listing_ns = self.sequencer.stale_ns
        heard = self.frames - self.counts["refused"]
        is_venue_silent = self._silence.age_ns("venue", heard, now_ns) > venue_ns
        for listing in self.listings.values():
            depth, n = listing.depth, listing.listing_id
            age_ns = self._silence.age_ns(n, (depth.last_id, listing.snapshots), now_ns)
            repeated_ns = self._silence.age_ns((n, "repeated"), depth.repeated, now_ns)
            if age_ns > listing_ns or age_ns - repeated_ns > venue_ns:
                self._mark_stale(listing)
                self._want(listing)  # is it as quiet as that, or do we take for known what is not?
            elif is_venue_silent:
                self._mark_stale(listing)

    def _mark_stale(self, listing: Listing) -> None:
        if listing.depth.last_id >= 0 and not listing.is_stale:
            listing.is_stale = True
            self.counts["stale"] += 1
            self.sequencer.hear(Kind.STATUS, listing.listing_id, code=BookState.STALE)

    def hear_down(self, connection: int) -> None:
        """A connection is gone: what it alone could have brought is lost. Without any, nothing is heard."""
        self.connections.discard(connection)
        for listing in self.listings.values():
            if listing.depth.forget(connection):
                self._lose(listing)
            if listing.trades.forget(connection):
                self._skip_trades(listing)
            if not listing.depth.heard:
                self._mark_stale(listing)
