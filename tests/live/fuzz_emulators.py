"""What is fuzzed of the emulated venues: REST, sockets and, signed as it stands, whatever would be carried out."""

import json
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from elegant_trading_system.core.kinds import Side
from elegant_trading_system.emulator.binance.request import plain
from elegant_trading_system.emulator.coinbase.venue import ROOT
from elegant_trading_system.emulator.deribit import CHANNEL, Deribit
from elegant_trading_system.emulator.volatility import VolatilityIndex
from elegant_trading_system.shell.binance.orders import signature_of
from elegant_trading_system.shell.coinbase.auth import Signer

from ..builders import loose
from .coinbase_desk import HOST, CoinbaseVenue
from .coinbase_desk import KEY as COINBASE_KEY
from .coinbase_desk import SECRET as COINBASE_SECRET
from .desk import BTC, KEY, SECRET, Clock
from .futures_desk import FuturesOutside, FuturesVenue
from .fuzz_binance import SYMBOL, Desk
from .fuzz_spoil import is_json
from .fuzz_subject import Frame, Subject

MONEY = Decimal(100_000)
TOKEN_NS = 60_000_000_000
SHOWN = {"X-MBX-APIKEY": KEY}


def text_of(frame: Frame) -> str:
    return frame if isinstance(frame, str) else frame.decode("utf-8", "surrogateescape")


class Answers:
    """Every request has one, and it can be read; those that are a no are counted."""

    def __init__(self) -> None:
        self.count = self.refusals = 0

    def hear(self, text: str) -> None:
        message = json.loads(text)
        self.count += 1
        self.refusals += isinstance(message, dict) and (
            "error" in message or message.get("type") == "error" or ("code" in message and "msg" in message)
        )

    def hear_reply(self, reply: Any) -> None:
        assert 200 <= reply.status < 600
        if reply.headers["Content-Type"].startswith("application/json"):
            json.loads(reply.body)
        self.count += 1
        self.refusals += reply.status >= 400


class AnsweringSubject(Subject):
    """What a venue refuses it refuses once, and then it has done nothing."""

    answers: Answers

    def counted(self) -> int:
        return self.answers.count

    def refused(self) -> int:
        return self.answers.refusals

    def heard_by(self, session: Callable[[str], None], text: str) -> None:
        """On a socket: what cannot be read is refused, whatever is refused or done is said."""
        refusals, count = self.answers.refusals, self.answers.count
        session(text)
        assert self.answers.count > count, "not answered"
        assert is_json(text) or self.answers.refusals == refusals + 1, "not refused"


class EmulatorSubject(AnsweringSubject, Desk):
    """Binance Spot: REST, the WebSocket API, subscriptions."""

    streams_path = "/stream"
    reads_json = False

    def __init__(self, folder: Path, chance: random.Random) -> None:
        super().__init__(folder, chance)
        self.answers = Answers()
        self.adapter = self.binance = self.venue.binance
        self.api = self.binance.streams.open_api(self.answers.hear)
        self.market = self.binance.streams.open_market(self.answers.hear, self.streams_path, "btcusdt@depth@100ms")
        self.order_id = 0
        self.requests = self._requests()

    def genuine(self) -> list[bytes]:
        return self.requests

    def _requests(self) -> list[bytes]:
        """Signed requests that would be carried out, and public ones."""
        self.order_id += 1
        self.outside.sent.clear()
        self.outside.gateway.is_connected = True
        self.outside.command(self.order_id, Side.BUY, 600_003, 10)
        placed = [json.loads(frame) for frame in self.outside.sent if "order.place" in frame]
        own = placed[0]["params"]
        resting = {**own, "timeInForce": "GTC", "price": "59000.0", "newClientOrderId": f"rest-{self.order_id}"}
        sold = {**own, "side": "SELL", "type": "MARKET", "newClientOrderId": f"sold-{self.order_id}"}
        placed += [{"id": 9, "method": "order.place", "params": params} for params in (resting, sold)]
        params = {"symbol": SYMBOL, "limit": 5, "interval": "1m", "timestamp": self.binance.now_ms, "apiKey": KEY}
        params |= {"origClientOrderId": f"rest-{self.order_id - 1}", "orderId": self.order_id, **self.more()}
        asked = [{"id": 1, "method": method, "params": params} for method in self.methods()]
        subscribed = {"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 3}
        set_property = {"method": "SET_PROPERTY", "params": ["combined", True], "id": 4}
        prefix = self.venue.prefix
        http = [
            f"GET {prefix}/depth?symbol=BTCUSDT&limit=5",
            f"GET {prefix}/klines?symbol=BTCUSDT&interval=1m&startTime=1",
            f"POST {prefix}/order?symbol=BTCUSDT&side=BUY&quantity=1&timestamp={self.binance.now_ms}&signature=ab",
        ]
        said = [json.dumps(one).encode() for one in (*placed, *asked, subscribed, set_property)]
        return said + [line.encode() for line in http]

    def methods(self) -> list[str]:
        return ["depth", "time", "session.logon", "session.status", *self.binance.api_methods]

    def more(self) -> dict[str, Any]:
        """Parameters that only this venue knows."""
        return {}

    def hear(self, frame: Frame) -> None:
        text = text_of(frame)
        way = self.chance.randrange(5)
        if way == 0:
            self.heard_by(lambda said: self.binance.api(self.api, said), text)
        elif way == 1:
            self.heard_by(self.market.receive, text)
        elif way == 2:
            method, _, rest = text.partition(" ")
            path, _, query = rest.partition("?")
            body, key = self.chance.choice(["", text]), self.chance.choice([KEY, text[:64]])
            self.answers.hear_reply(self.binance.http(method, path or text, query, body, {"X-MBX-APIKEY": key}))
        else:
            self._hear_signed(text)
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
            self.heard_by(lambda said: self.binance.api(self.api, said), json.dumps(message))
            return
        query = urlencode({name: value for name, value in params.items() if name != "apiKey"}, errors="replace")
        signed = f"{query}&signature={signature_of(SECRET, query)}"
        method, path = self.chance.choice(list(self.binance.private))
        path = path if path.startswith("/") else f"{self.binance.prefix}{path}"
        self.answers.hear_reply(self.binance.http(method, path, signed, "", SHOWN))

    def told(self) -> int:
        return len(self.venue.account.orders)

    def state(self) -> Any:
        account = self.venue.account
        money = [(asset, one.free, one.locked) for asset, one in account.balances.items() if one.free or one.locked]
        return (
            money,
            len(account.working),
            len(self.market.streams),
            self.market.is_combined,
            len(self.api.subscriptions),
        )

    def may_tell(self, message: Any) -> bool:
        """Only what is signed is carried out, and to the letter."""
        return isinstance(message, dict) and isinstance(message.get("params"), dict)

    def settle(self, *, is_dirty: bool) -> None:
        account, exchange = self.venue.account, self.venue.exchange
        for order in account.open_orders():
            self.binance.streams.publish(exchange.cancel(order))
        assert all(lots > 0 for side in exchange.books[SYMBOL].sides for lots in side.values())
        assert all(0 <= order.filled_lots <= order.lots for order in account.orders.values())
        assert exchange.instruments == {SYMBOL: BTC}
        self.check_money()
        self.market.streams = {"btcusdt@depth@100ms"}
        self.market.is_combined, self.api.account = True, None
        self.binance._spent.clear()
        self.shake()
        self.requests = self._requests()

    def check_money(self) -> None:
        account = self.venue.account
        assert all(balance.locked == 0 and balance.free >= 0 for balance in account.balances.values())
        spent = sum((order.quote_filled * order.side for order in account.orders.values()), Decimal(0))
        fees = sum(fill.fee for order in account.orders.values() for fill in order.fills if fill.fee_asset == "USDT")
        assert account.balance("USDT").free == MONEY - spent - fees


class FuturesEmulatorSubject(EmulatorSubject):
    """Binance USD-M, settings of the account included."""

    venue: FuturesVenue
    streams_path = "/public/stream"

    def make(self, folder: Path) -> None:
        self.venue = FuturesVenue(Clock())
        self.outside = FuturesOutside(self.venue, loose(), folder)

    def methods(self) -> list[str]:
        return ["depth", "ticker.book", "userDataStream.start", *self.binance.api_methods]

    def more(self) -> dict[str, Any]:
        return {"leverage": 10, "marginType": "CROSSED", "dualSidePosition": "false", "countdownTime": 5000}

    def state(self) -> Any:
        account, streams = self.venue.account, self.venue.streams
        held = [
            (one.lots, one.cost, one.leverage) for one in account.positions.values() if one.lots or one.leverage != 20
        ]
        settings = account.is_hedged, len(streams.listen_keys), len(self.venue.exchange.countdowns)
        return super().state(), held, settings

    def check_money(self) -> None:
        """The wallet is what it was, and what closing has brought, less fees; what is open is what was filled."""
        account = self.venue.account
        orders = account.orders.values()
        fills = [fill for order in orders for fill in order.fills]
        assert account.balance("USDT").free == MONEY + sum((fill.profit - fill.fee for fill in fills), Decimal(0))
        assert account.position(BTC).lots == sum(order.filled_lots * order.side for order in orders)
        assert len(self.venue.exchange.countdowns) <= 1
        account.is_hedged = False
        self.venue.exchange.countdowns.clear()


class CoinbaseEmulatorSubject(AnsweringSubject):
    """Coinbase: REST with a token for what is asked, and a socket."""

    reads_json = False

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.chance, self.clock = chance, Clock()
        self.venue = CoinbaseVenue(self.clock)
        self.adapter = self.coinbase = self.venue.coinbase
        self.answers, self.signer = Answers(), Signer(COINBASE_KEY, COINBASE_SECRET)
        self.session = self.coinbase.streams.open(self.answers.hear)
        self.tokens: dict[tuple[str, str], tuple[int, str]] = {}
        self.order_id = 0
        self.requests = self._requests()

    def genuine(self) -> list[bytes]:
        return self.requests

    def _requests(self) -> list[bytes]:
        self.order_id += 1
        limit = {"base_size": "0.01", "limit_price": "60000.3"}
        kinds: list[tuple[str, dict[str, Any], str]] = [
            ("sor_limit_ioc", limit, "BUY"),
            ("limit_limit_gtc", {"base_size": "0.01", "limit_price": "59000", "post_only": True}, "BUY"),
            ("market_market_ioc", {"quote_size": "100"}, "BUY"),
            ("market_market_ioc", {"base_size": "0.002"}, "SELL"),
            ("limit_limit_fok", limit, "BUY"),
        ]
        orders = [
            {
                "client_order_id": f"{self.order_id}-{n}", "product_id": "BTC-USD", "side": side,
                "order_configuration": {kind: fields},
            }
            for n, (kind, fields, side) in enumerate(kinds)
        ]  # fmt: skip
        token = self.signer.socket(self.clock() / 1e9)
        known = next(reversed(self.venue.account.orders), 0)
        said: list[Any] = [
            *orders,
            {"order_ids": [self._uuid(known), "x"]},
            {"type": "subscribe", "channel": "level2", "product_ids": ["BTC-USD"]},
            {"type": "unsubscribe", "channel": "market_trades", "product_ids": ["BTC-USD"]},
            {"type": "subscribe", "channel": "heartbeats"},
            {"type": "subscribe", "channel": "user", "jwt": token},
        ]
        paths = [
            "market/products/BTC-USD/candles?start=1759999000&end=1760000000&granularity=ONE_MINUTE",
            "market/product_book?product_id=BTC-USD&limit=5", "market/products?limit=3&offset=0",
            "orders/historical/batch?product_ids=BTC-USD&start_date=2025-10-01T00:00:00Z&limit=5&cursor=1",
            f"orders/historical/fills?order_ids={self._uuid(known)}&limit=5", f"orders/historical/{self._uuid(known)}",
            "accounts?limit=2", "transaction_summary", "key_permissions",
        ]  # fmt: skip
        return [json.dumps(one).encode() for one in said] + [path.encode() for path in paths]

    @staticmethod
    def _uuid(number: int) -> str:
        from elegant_trading_system.emulator.coinbase import wire

        return wire.uuid_of(wire.ORDERS, number)

    def hear(self, frame: Frame) -> None:
        text = text_of(frame)
        way = self.chance.randrange(4)
        if way == 0:
            self.heard_by(lambda said: self.coinbase.streams.receive(self.session, said), text)
        elif way == 1:
            path, _, query = text.partition("?")
            self._ask(self.chance.choice(["GET", "GET", "POST", text[:8]]), ROOT + path, query, text, is_known=False)
        elif text.startswith("{"):
            name = "orders/batch_cancel" if '"order_ids"' in text else "orders"
            self._ask("POST", ROOT + name, "", text, is_known=True)
        else:
            path, _, query = text.partition("?")
            known = [one for one in ("orders/historical/batch", "orders/historical/fills", "accounts") if path == one]
            self._ask("GET", ROOT + path, query, "", is_known=bool(known))

    def _ask(self, method: str, path: str, query: str, body: str, *, is_known: bool) -> None:
        """With a token that fits where one is at hand; otherwise with somebody else's, or none."""
        token = self._token(method, path) if is_known else self.chance.choice([body[:200], "", "a.b.c"])
        headers = {"Authorization": f"Bearer {token}", "Host": HOST}
        self.answers.hear_reply(self.coinbase.http(method, path, query, body, headers))
        self.clock.pass_ms(110)  # as if we did not ask more often than anybody would

    def _token(self, method: str, path: str) -> str:
        issued_ns, token = self.tokens.get((method, path), (0, ""))
        if self.clock() - issued_ns > TOKEN_NS:
            token = self.signer.rest(method, HOST, path, self.clock() / 1e9)
            self.tokens[method, path] = self.clock(), token
        return token

    def told(self) -> int:
        return len(self.venue.account.orders)

    def state(self) -> Any:
        account, session = self.venue.account, self.session
        money = [(asset, one.free, one.locked) for asset, one in account.balances.items() if one.free or one.locked]
        return money, len(account.working), session.account, {name: list(of) for name, of in session.channels.items()}

    def may_tell(self, message: Any) -> bool:
        return isinstance(message, dict) and isinstance(message.get("order_configuration"), dict)

    def settle(self, *, is_dirty: bool) -> None:
        account, exchange = self.venue.account, self.venue.exchange
        for order in account.open_orders():
            self.coinbase.streams.publish(exchange.cancel(order))
        assert all(balance.locked == 0 and balance.free >= 0 for balance in account.balances.values())
        assert all(lots > 0 for side in exchange.books["BTC-USD"].sides for lots in side.values())
        orders = account.orders.values()
        spent = sum((order.quote_filled * order.side for order in orders), Decimal(0))
        fees = sum((fill.fee for order in orders for fill in order.fills), Decimal(0))
        assert account.balance("USD").free == MONEY - spent - fees
        assert len({order.client_id for order in orders}) == len(orders), "a name is used once"
        book = exchange.books["BTC-USD"].sides
        gone = (
            [(ticks, 0) for ticks in book[0] if ticks > 600_000],
            [(ticks, 0) for ticks in book[1] if ticks < 600_001],
        )
        self.venue.depth([*gone[0], (600_000, 50)], [*gone[1], (600_001, 50)])
        self.clock.pass_ms(1000)
        self.venue.flush()
        self.requests = self._requests()


class DeribitEmulatorSubject(AnsweringSubject):
    """Deribit: JSON-RPC on a socket, and GET."""

    reads_json = False

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.chance, self.clock = chance, Clock()
        self.adapter = self.venue = Deribit({"btc_usd": VolatilityIndex([], 55.0, 1)}, self.clock)
        self.answers, self.is_ended = Answers(), False
        self.session = self.venue.open(self.answers.hear, self._end)
        span = {"start_timestamp": self.clock() // 1_000_000 - 86_400_000, "end_timestamp": self.clock() // 1_000_000}
        asked: list[tuple[str, dict[str, Any]]] = [
            ("public/subscribe", {"channels": [f"{CHANNEL}btc_usd"]}),
            ("public/unsubscribe", {"channels": [f"{CHANNEL}btc_usd"]}),
            ("public/set_heartbeat", {"interval": 10}),
            ("public/disable_heartbeat", {}),
            ("public/test", {}),
            ("public/get_time", {}),
            ("public/get_volatility_index_data", {"currency": "BTC", "resolution": "3600", **span}),
        ]
        rpc = [{"jsonrpc": "2.0", "id": n, "method": name, "params": params} for n, (name, params) in enumerate(asked)]
        self.requests = [json.dumps(one).encode() for one in rpc]
        self.requests += [f"/api/v2/{name}?{urlencode(params)}".encode() for name, params in asked]

    def _end(self) -> None:
        self.is_ended = True

    def genuine(self) -> list[bytes]:
        return self.requests

    def hear(self, frame: Frame) -> None:
        text = text_of(frame)
        if text.startswith("/") or self.chance.random() < 0.05:
            path, _, query = text.partition("?")
            self.answers.hear_reply(self.venue.http("GET", path, query, "", {}))
        else:
            self.heard_by(lambda said: self.venue.receive(self.session, said), text)

    def told(self) -> int:
        return 0

    def state(self) -> Any:
        return set(self.session.channels), self.session.heartbeat_ns

    def may_tell(self, message: Any) -> bool:
        return False

    def settle(self, *, is_dirty: bool) -> None:
        self.venue.receive(self.session, '{"id":1,"method":"public/disable_heartbeat"}')
        self.venue.receive(self.session, self.requests[0].decode())
        count = self.answers.count
        self.clock.pass_ms(1000)
        self.venue.flush_depth()
        assert self.answers.count == count + 1, "one print a second, and nothing else"
        assert self.session.channels == {f"{CHANNEL}btc_usd"}
