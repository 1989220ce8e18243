"""What is fuzzed of Binance Spot: feed and gateway, each with genuine traffic that goes on in between."""

import random
import re
from pathlib import Path
from typing import Any

from elegant_trading_system.core.kinds import BookState, Side
from elegant_trading_system.emulator.orders import FINAL
from elegant_trading_system.shell.binance.fills import Sent

from ..builders import loose
from .desk import Clock, Outside, Venue
from .fuzz_subject import Frame, Subject, check_rows, told_lots

SYMBOL = "BTCUSDT"
NUMBER = re.compile(r"\d*\.?\d* *", re.ASCII)  # blanks behind it are read over
TRIES = 900  # genuine frames after which a feed must have found back
FRAMES = 20  # remembered
ERRORS = [  # as documented
    b'{"id":"place 1","status":429,"error":{"code":-1003,"msg":"Too many","data":{"retryAfter":1760000060000}}}',
    b'{"id":"place 1","status":400,"error":{"code":-1021,"msg":"Timestamp for this request is outside"}}',
    b'{"id":"place 1","status":503,"error":{"code":-1008,"msg":"Request throttled"}}',
    b'{"id":"status 1","status":400,"error":{"code":-2013,"msg":"Order does not exist."}}',
]


class Desk(Subject):
    """A venue whose market moves, and a trader's outside that does not act."""

    venue: Venue
    outside: Outside

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.chance = chance
        self.make(folder)

    def make(self, folder: Path) -> None:
        self.venue = Venue(Clock())
        self.outside = Outside(self.venue, loose(), folder)

    def told(self) -> int:
        return self.outside.journal.count

    def close(self) -> None:
        self.outside.journal.close()

    def shake(self) -> None:
        """The market moves a little and says so."""
        chance = self.chance
        mid = 600_000 + chance.randrange(-2, 3)
        book = self.venue.exchange.books[SYMBOL].sides
        gone = [(ticks, 0) for ticks in book[0] if ticks >= mid], [(ticks, 0) for ticks in book[1] if ticks <= mid]
        bids = [(mid - 1, 5), *((mid - chance.randrange(1, 12), chance.randrange(5) * 10) for _ in range(3))]
        asks = [(mid + 1, 5), *((mid + chance.randrange(1, 12), chance.randrange(5) * 10) for _ in range(3))]
        self.venue.depth([*gone[0], *bids], [*gone[1], *asks])
        if chance.random() < 0.5:
            self.venue.trade(mid, chance.randrange(1, 9), chance.choice([Side.BUY, Side.SELL]))
        self.venue.clock.pass_ms(100)
        self.venue.flush()


class FeedSubject(Desk):
    """BinanceFeed over two connections; some of what is spoilt is a REST book."""

    market_path = "/stream"

    def __init__(self, folder: Path, chance: random.Random) -> None:
        super().__init__(folder, chance)
        self.adapter = self.feed = self.outside.feed
        self.listing = self.outside.listing
        self.before: list[bytes] = []
        self.coming: list[bytes] = []
        self.snapshots: list[bytes] = []
        session = self.venue.binance.streams.open_market(
            lambda frame: self.coming.append(frame.encode()), self.market_path, self.feed.streams()
        )
        assert session.streams
        for connection in (0, 1):
            self.feed.hear_up(connection)
        self.settle(is_dirty=True)

    def genuine(self) -> list[bytes]:
        return [*self.before, *self.coming, *self.snapshots]

    def hear(self, frame: Frame) -> None:
        if (b"lastUpdateId" in frame) if isinstance(frame, bytes) else ("lastUpdateId" in frame):
            self.feed.hear_snapshot(SYMBOL, frame if isinstance(frame, bytes) else frame.encode("utf-8", "replace"))
        else:
            self.feed.hear(self.chance.randrange(2), frame)
        self.feed.check_holes(self.venue.clock())

    def counted(self) -> int:
        counts = self.feed.counts
        return sum(counts.values()) + self.listing.depth.repeated + self.listing.trades.repeated

    def state(self) -> Any:
        one = self.listing
        places = [(stream.last_id, len(stream.pending)) for stream in (one.depth, one.trades)]
        return places, one.is_snapshot_wanted, one.is_stale

    def check(self) -> None:
        check_rows(self.outside.journal)

    def may_tell(self, message: Any) -> bool:
        if not isinstance(message, dict):
            return False
        if "lastUpdateId" in message:
            sides = {name: message.get(name) for name in ("bids", "asks")}
            return is_count(message["lastUpdateId"]) and are_rows(sides)
        data = message.get("data")
        if not isinstance(data, dict) or data.get("s") != SYMBOL:
            return False
        if data.get("e") == "depthUpdate":
            return is_count(data.get("U")) and is_count(data.get("u")) and data["U"] <= data["u"] and are_rows(data)
        return (
            data.get("e") == "trade" and is_count(data.get("t")) and are_rows({"b": [[data.get("p"), data.get("q")]]})
        )

    def settle(self, *, is_dirty: bool) -> None:
        for n in range(TRIES):
            self._deliver()
            if not self.outside.wanted and n and self._is_there():
                break
        assert self._is_there(), f"the feed has not found back: {dict(self.feed.counts)}"
        if is_dirty:  # levels that were believed stay until the venue speaks of them: begin anew
            self.listing.depth.begin(-1)
            assert self.outside.snapshot()
            self._deliver()
        assert self.outside.book() == self.venue.exchange.books[SYMBOL].sides
        self.shake()
        body = self.venue.binance.http("GET", f"{self.venue.prefix}/depth", "symbol=BTCUSDT&limit=20", "", {}).body
        self.snapshots = [self.snapshots[-1] if self.snapshots else body, body]
        self.feed.check_holes(self.venue.clock())  # what time alone does is no spoilt frame's doing

    def _deliver(self) -> None:
        self.shake()
        for connection in (0, 1):
            for frame in self.coming:
                self.feed.hear(connection, frame)
        self.before = (self.before + self.coming)[-FRAMES:]
        self.coming.clear()
        self.feed.check_holes(self.venue.clock())
        self.venue.binance._spent.clear()  # as if we did not ask more often than anybody would
        if self.outside.wanted and self.outside.snapshot():
            self.outside.wanted.clear()

    def _is_there(self) -> bool:
        state = int(self.outside.sequencer.market[0]["books"][0]["state"])
        return state == BookState.LIVE and self.listing.depth.last_id == self.venue.exchange.books[SYMBOL].last_id


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**62


def are_rows(sides: dict[str, Any]) -> bool:
    """Lists of [price, size] in decimals, whole."""
    lists = [sides[name] for name in ("b", "a", "bids", "asks") if name in sides]
    return all(isinstance(rows, list) and all(map(is_row, rows)) for rows in lists)


def is_row(row: Any) -> bool:
    return (
        isinstance(row, list) and len(row) == 2
        and all(isinstance(text, str) and text.strip(". ") and NUMBER.fullmatch(text) for text in row)
    )  # fmt: skip


class GatewaySubject(Desk):
    """BinanceGateway with two orders on their way, whose answers and events are spoilt before they come."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        super().__init__(folder, chance)
        self.adapter = self.gateway = self.outside.gateway
        self.before: list[bytes] = []
        self.coming: list[bytes] = []
        self.sent: list[Sent] = []
        self.connect()
        self.gateway.hear_up()
        self.carry()
        self.hear_all()
        self._order()

    def make(self, folder: Path) -> None:
        self.venue = Venue(Clock(), USDT="100000", BTC="10")
        self.outside = Outside(self.venue, loose(), folder)

    def connect(self) -> None:
        self.session = self.venue.binance.streams.open_api(lambda frame: self.coming.append(frame.encode()))

    def genuine(self) -> list[bytes]:
        return [*self.before, *self.coming, *ERRORS]

    def hear(self, frame: Frame) -> None:
        self.gateway.hear(frame)

    def state(self) -> Any:
        gateway = self.gateway
        session = gateway.is_subscribed, gateway.offset_ms, gateway.budget._until_ms, len(gateway.orders)
        return session, [(one.venue_id, one.filled_lots, len(one.trades), one.is_done) for one in self.sent]

    def check(self) -> None:
        assert all(0 <= one.filled_lots <= one.lots for one in self.sent)

    def may_tell(self, message: Any) -> bool:
        return isinstance(message, dict) and ("event" in message or isinstance(message.get("id"), str))

    def settle(self, *, is_dirty: bool) -> None:
        """The orders' genuine end: unless one was believed to have ended otherwise, it fills by as much as at the venue."""
        self._recover()
        for _ in range(3):  # answers, what is asked because of them, and its answers
            self.hear_all()
            self.carry()
        for sent in self.sent:
            order = self.venue.account.by_client_id.get((SYMBOL, sent.name))
            if order is None:  # held back, for a ban was believed
                assert sent.is_done
            elif not is_dirty:
                assert (sent.filled_lots, sent.is_done) == (order.filled_lots, order.status in FINAL)
        for sent in self.sent:
            assert told_lots(self.outside.journal, sent.order_id) == sent.filled_lots
        self.shake()
        self._order()
        self.gateway.check_unsent()

    def _recover(self) -> None:
        """Bans pass; a wrong clock is found out."""
        self.venue.clock.ns += round(self.gateway.banned_s * 1e9) + 2_000_000_000
        self.outside.sent.clear()
        self.gateway.hear_down()
        self.gateway.hear_up()
        self.carry()

    def _order(self) -> None:
        """One that buys and one that sells, and both meet somebody."""
        first = len(self.gateway.orders) + 1
        for order_id, side in ((first, Side.BUY), (first + 1, Side.SELL)):
            self.outside.command(order_id, side, 600_000 + side * 5, self.chance.randrange(1, 60))
        self.sent = [self.gateway.orders[order_id] for order_id in (first, first + 1)]
        self.carry()

    def carry(self) -> None:
        while self.outside.sent:
            self.venue.binance.api(self.session, self.outside.sent.pop(0))

    def hear_all(self) -> None:
        for frame in self.coming:
            self.gateway.hear(frame)
        self.before = (self.before + self.coming)[-FRAMES:]
        self.coming.clear()
