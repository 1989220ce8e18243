"""What is fuzzed: Binance's feed, gateway and emulator, each with genuine traffic that goes on in between."""

import json
import random
import re
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from elegant_trading_system.core.kinds import BookState, Side
from elegant_trading_system.emulator.binance.request import plain
from elegant_trading_system.emulator.orders import FINAL
from elegant_trading_system.shell.binance.orders import client_id, signature_of

from ..builders import loose
from .desk import BTC, KEY, SECRET, Clock, Outside, Venue
from .futures_desk import FuturesOutside, FuturesVenue

Frame = bytes | str
SYMBOL = "BTCUSDT"
NUMBER = re.compile(r"\d*\.?\d* *", re.ASCII)  # blanks behind it are read over
TRIES = 900  # genuine frames after which a feed must have found back
FRAMES = 20  # remembered


class Desk:
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
        self.feed, self.listing = self.outside.feed, self.outside.listing
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

    def may_tell(self, message: Any) -> bool:
        if not isinstance(message, dict):
            return False
        if "lastUpdateId" in message:
            return is_count(message["lastUpdateId"]) and are_rows(message)
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


class FuturesFeedSubject(FeedSubject):
    """The same with perpetuals, whose messages name the one before."""

    market_path = "/public/stream"

    def make(self, folder: Path) -> None:
        venue = FuturesVenue(Clock())
        self.venue, self.outside = venue, FuturesOutside(venue, loose(), folder)


class GatewaySubject(Desk):
    """BinanceGateway with an order on its way, whose answers and events are spoilt before they come."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        super().__init__(folder, chance)
        self.gateway = self.outside.gateway
        self.before: list[bytes] = []
        self.coming: list[bytes] = []
        self.session = self.venue.binance.streams.open_api(lambda frame: self.coming.append(frame.encode()))
        self.gateway.hear_up()
        self.order_id = 0
        self._carry()
        self._hear_all()
        self._order()

    def genuine(self) -> list[bytes]:
        return [*self.before, *self.coming]

    def hear(self, frame: Frame) -> None:
        self.gateway.hear(frame)
        self.gateway.check_unsent()

    def counted(self) -> int:
        return sum(self.gateway.counts.values())

    def may_tell(self, message: Any) -> bool:
        return isinstance(message, dict) and ("event" in message or isinstance(message.get("id"), str))

    def settle(self, *, is_dirty: bool) -> None:
        """The order's genuine end: unless it was believed to have ended otherwise, it fills by as much as at the venue."""
        self._recover()
        self._hear_all()
        self._carry()  # questions that were asked
        self._hear_all()
        sent = self.gateway.orders[self.order_id]
        order = self.venue.account.by_client_id.get((SYMBOL, client_id(self.gateway.epoch, self.order_id)))
        assert sent.filled_lots <= sent.lots
        if order is None:  # held back, for a ban was believed
            assert sent.is_done
        elif not is_dirty:
            assert (sent.filled_lots, sent.is_done) == (order.filled_lots, order.status in FINAL)
        self.shake()
        self._order()

    def _recover(self) -> None:
        """Bans pass; a wrong clock is found out."""
        self.venue.clock.ns += round(self.gateway.banned_s * 1e9) + 2_000_000_000
        self.outside.sent.clear()
        self.gateway.hear_down()
        self.gateway.hear_up()
        self._carry()

    def _order(self) -> None:
        self.order_id += 1
        side = Side.BUY if self.order_id % 2 else Side.SELL
        self.outside.command(self.order_id, side, 600_000 + side * 5, self.chance.randrange(1, 60))
        self._carry()

    def _carry(self) -> None:
        while self.outside.sent:
            self.venue.binance.api(self.session, self.outside.sent.pop(0))

    def _hear_all(self) -> None:
        for frame in self.coming:
            self.gateway.hear(frame)
        self.before = (self.before + self.coming)[-FRAMES:]
        self.coming.clear()


class EmulatorSubject(Desk):
    """The venue itself: REST, the WebSocket API, subscriptions."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        super().__init__(folder, chance)
        self.answers = 0
        self.binance = self.venue.binance
        self.api = self.binance.streams.open_api(self._answered)
        self.market = self.binance.streams.open_market(self._answered, "/stream", "btcusdt@depth@100ms")
        self.order_id = 0
        self.requests = self._requests()

    def _answered(self, frame: str) -> None:
        json.loads(frame)
        self.answers += 1

    def genuine(self) -> list[bytes]:
        return self.requests

    def _requests(self) -> list[bytes]:
        """Signed requests that would be carried out, and public ones."""
        self.order_id += 1
        self.outside.sent.clear()
        self.outside.gateway.is_connected = True
        self.outside.command(self.order_id, Side.BUY, 600_003, 10)
        placed = [frame.encode() for frame in self.outside.sent]
        params = {"symbol": SYMBOL, "limit": 5, "interval": "1m", "timestamp": self.binance.now_ms, "apiKey": KEY}
        asked = [
            {"id": 1, "method": method, "params": params} for method in ("depth", "klines", "order.status", "time")
        ]
        subscribed = {"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 3}
        set_property = {"method": "SET_PROPERTY", "params": ["combined", True], "id": 4}
        http = b"GET /api/v3/depth?symbol=BTCUSDT&limit=5", b"GET /api/v3/klines?symbol=BTCUSDT&interval=1m&startTime=1"
        signed = f"POST /api/v3/order?symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=IOC&quantity=1&price=60000&timestamp={self.binance.now_ms}&signature=ab".encode()
        return [*placed, *(json.dumps(one).encode() for one in (*asked, subscribed, set_property)), *http, signed]

    def hear(self, frame: Frame) -> None:
        text = frame if isinstance(frame, str) else frame.decode("utf-8", "surrogateescape")
        way = self.chance.randrange(4)
        if way == 0:
            self.binance.api(self.api, text)
        elif way == 3:
            self._hear_signed(text)
        elif way == 1:
            self.market.receive(text)
        else:
            method, _, rest = text.partition(" ")
            path, _, query = rest.partition("?")
            body, key = self.chance.choice(["", text]), self.chance.choice([KEY, text[:64]])
            reply = self.binance.http(method, path or text, query, body, {"X-MBX-APIKEY": key})
            assert 200 <= reply.status < 600
            json.loads(reply.body)
            self.answers += 1
            self.venue.clock.pass_ms(20)  # weights pass

    def _hear_signed(self, text: str) -> None:
        """What is spoilt is signed as it stands: so it gets further."""
        try:
            message = json.loads(text)
            params = {name: value for name, value in message["params"].items() if name != "signature"}
            payload = "&".join(f"{name}={plain(params[name])}" for name in sorted(params))
            message["params"] = params | {"signature": signature_of(SECRET, payload)}
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            self.binance.api(self.api, text)
            return
        if self.chance.random() < 0.5:
            self.binance.api(self.api, json.dumps(message))
            return
        query = urlencode({name: value for name, value in params.items() if name != "apiKey"}, errors="replace")
        signed = f"{query}&signature={signature_of(SECRET, query)}"
        method = self.chance.choice(["POST", "GET", "DELETE"])
        reply = self.binance.http(method, "/api/v3/order", signed, "", {"X-MBX-APIKEY": KEY})
        json.loads(reply.body)
        self.answers += 1

    def told(self) -> int:
        return len(self.venue.account.orders)

    def counted(self) -> int:
        return self.answers

    def may_tell(self, message: Any) -> bool:
        """Only what is signed is carried out, and to the letter."""
        return isinstance(message, dict) and isinstance(message.get("params"), dict)

    def settle(self, *, is_dirty: bool) -> None:
        account, exchange = self.venue.account, self.venue.exchange
        for order in account.open_orders():
            self.binance.streams.publish(exchange.cancel(order))
        assert all(balance.locked == 0 and balance.free >= 0 for balance in account.balances.values())
        assert all(lots > 0 for side in exchange.books[SYMBOL].sides for lots in side.values())
        spent = sum((order.quote_filled * order.side for order in account.orders.values()), Decimal(0))
        fees = sum(fill.fee for order in account.orders.values() for fill in order.fills if fill.fee_asset == "USDT")
        assert account.balance("USDT").free == Decimal(100_000) - spent - fees
        assert exchange.instruments == {SYMBOL: BTC}, is_dirty
        self.market.streams = {"btcusdt@depth@100ms"}
        self.market.is_combined = True
        self.shake()
        self.requests = self._requests()
