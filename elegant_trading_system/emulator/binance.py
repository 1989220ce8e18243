"""Binance Spot on this machine: market streams, REST and WebSocket API, without a socket.

Whoever moves bytes (a server, a test in virtual time) hands requests and frames in and gets the answers back. Facts
about the protocol: PROTOCOLS 1.2 to 1.9.
"""

import itertools
import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

import msgspec

from . import binance_wire as wire
from .binance_request import integer, is_signed, plain, side_of, steps_of, time_in_force_of
from .binance_streams import NS_PER_MS, ApiSession, Streams, encode
from .binance_wire import ApiError, Json
from .exchange import FINAL, Account, Exchange, Instrument, Order, Refusal, TimeInForce

WEIGHT_MAX = 6000
KLINES_MAX = 1000
CLIENT_ID = re.compile(r"[a-zA-Z0-9-_]{1,36}")
WEIGHTS = {"exchangeInfo": 20, "account": 20, "klines": 2, "openOrders": 6, "allOrders": 20, "myTrades": 20}


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Key(NamedTuple):
    secret: str
    account: Account
    can_withdraw: bool = False
    can_trade: bool = True


class BinanceSpot:
    """The venue: one exchange, its customers' keys, its open connections."""

    def __init__(self, exchange: Exchange, keys: dict[str, Key], now_ns: Callable[[], int]) -> None:
        self.exchange = exchange
        self.keys = keys
        self.now_ns = now_ns
        self.klines: dict[str, list[list[Any]]] = {}
        self.streams = Streams(exchange, now_ns)
        self._subscription_ids = itertools.count(0)
        self._weight_minute, self._weight = 0, 0

    @property
    def now_ms(self) -> int:
        return self.now_ns() // NS_PER_MS

    # --- REST -------------------------------------------------------------------------------------------------
    def http(self, method: str, path: str, query: str, body: str, headers: dict[str, str]) -> Reply:
        """One request; a parameter in the query wins over one in the body."""
        params = dict(parse_qsl(body, keep_blank_values=True)) | dict(parse_qsl(query, keep_blank_values=True))
        name = path.removeprefix("/api/v3/")
        try:
            self._spend(name, params)
            answer: Any = self._route(method, name, params, query + body, headers.get("X-MBX-APIKEY", ""))
            status = 200
        except ApiError as error:
            status, answer = error.status, {"code": error.code, "msg": error.message}
        shown = {"Content-Type": "application/json;charset=UTF-8", "X-MBX-USED-WEIGHT-1M": str(self._weight)}
        if status == 429:
            shown["Retry-After"] = str(60 - self.now_ms // 1000 % 60)
        return Reply(status, shown, msgspec.json.encode(answer))

    def _spend(self, name: str, params: dict[str, str]) -> None:
        minute = self.now_ms // 60_000
        if minute != self._weight_minute:
            self._weight_minute, self._weight = minute, 0
        limit = integer(params, "limit", 100)
        depth = 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250
        self._weight += depth if name == "depth" else WEIGHTS.get(name, 1)
        if self._weight > WEIGHT_MAX:
            raise ApiError(
                -1003, "Too much request weight used; current limit is 6000 request weight per 1 MINUTE.", 429
            )

    def _route(self, method: str, name: str, params: dict[str, str], signed: str, api_key: str) -> Any:
        public: dict[str, Callable[[], Any]] = {
            "ping": dict,
            "/sapi/v1/margin/allPairs": list,  # clients ask; there is no margin here
            "/sapi/v1/margin/isolated/allPairs": list,
            "time": lambda: {"serverTime": self.now_ms},
            "exchangeInfo": lambda: self.exchange_info(params),
            "depth": lambda: self.depth(params),
            "klines": lambda: self.kline_rows(params),
            "ticker/bookTicker": lambda: self.touch(params),
        }
        if method == "GET" and name in public:
            return public[name]()
        action = PRIVATE.get((method, name))
        if action is None:
            raise ApiError(-1000, "An unknown error occurred while processing the request.", 404)
        payload, _, signature = signed.rpartition("signature=")
        account = self.signed_by(api_key, payload.removesuffix("&"), unquote(signature.partition("&")[0]), params)
        return action(self, account, params)

    def signed_by(self, api_key: str, payload: str, signature: str, params: dict[str, Any]) -> Account:
        """Whose request it is: known key, right signature, in time."""
        key = self.keys.get(api_key)
        if key is None:
            raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        if not is_signed(key.secret, payload, signature):
            raise ApiError(-1022, "Signature for this request is not valid.")
        self._check_time(params)
        return key.account

    def _check_time(self, params: dict[str, Any]) -> None:
        stamp, window = integer(params, "timestamp", -1), integer(params, "recvWindow", 5000)
        if stamp < 0:
            raise ApiError(-1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.")
        if stamp >= self.now_ms + 1000:
            raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        if self.now_ms - stamp > window:
            raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")

    # --- public requests --------------------------------------------------------------------------------------
    def instrument(self, params: dict[str, Any]) -> Instrument:
        symbol = params.get("symbol")
        if not symbol:
            raise ApiError(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        found = self.exchange.instruments.get(symbol)
        if found is None:
            raise ApiError(-1121, "Invalid symbol.")
        return found

    def exchange_info(self, params: dict[str, Any]) -> Json:
        wanted = [self.instrument(params)] if params.get("symbol") else self.exchange.instruments.values()
        return {
            "timezone": "UTC",
            "serverTime": self.now_ms,
            "rateLimits": wire.RATE_LIMITS,
            "exchangeFilters": [],
            "symbols": [wire.symbol_info(instrument) for instrument in wanted],
        }

    def depth(self, params: dict[str, Any]) -> Json:
        """The book as far as it has been published: what is pending reaches the streams with higher ids."""
        instrument = self.instrument(params)
        return wire.depth_snapshot(
            instrument, self.exchange.books[instrument.symbol], min(integer(params, "limit", 100), 5000)
        )

    def touch(self, params: dict[str, Any]) -> Json:
        instrument = self.instrument(params)
        found = wire.book_ticker(instrument, self.exchange.books[instrument.symbol])
        return {"symbol": found["s"], "bidPrice": found["b"], "bidQty": found["B"], "askPrice": found["a"]} | {
            "askQty": found["A"]
        }

    def kline_rows(self, params: dict[str, Any]) -> list[list[Any]]:
        if params.get("interval") != "1m":
            raise ApiError(-1120, "Invalid interval.")
        rows = self.klines.get(self.instrument(params).symbol, [])
        first, last = integer(params, "startTime", -1), integer(params, "endTime", 2**62)
        limit = min(integer(params, "limit", 500), KLINES_MAX)
        within = [row for row in rows if first <= row[0] <= last]
        return within[:limit] if first >= 0 else within[-limit:]

    # --- private requests -------------------------------------------------------------------------------------
    def place(self, account: Account, params: dict[str, Any]) -> Json:
        instrument, side, kind = self.instrument(params), side_of(params), str(params.get("type", ""))
        client_id = str(params.get("newClientOrderId", ""))
        if client_id and not CLIENT_ID.fullmatch(client_id):
            raise ApiError(
                -1100,
                "Illegal characters found in parameter 'newClientOrderId'; legal range is '^[a-zA-Z0-9-_]{1,36}$'.",
            )
        if kind not in ("LIMIT", "MARKET", "LIMIT_MAKER"):
            raise ApiError(-1116, "Invalid orderType.")
        lots = steps_of(params, "quantity", instrument.lot, "LOT_SIZE")
        ticks = 0 if kind == "MARKET" else steps_of(params, "price", instrument.tick, "PRICE_FILTER")
        time_in_force = time_in_force_of(params) if kind == "LIMIT" else TimeInForce.GTC
        price = instrument.price(ticks or self.exchange.books[instrument.symbol].last_ticks)
        if price * instrument.quantity(lots) < instrument.notional_min:
            raise ApiError(-1013, "Filter failure: NOTIONAL")
        try:
            order, events = self.exchange.place(
                account,
                instrument,
                side,
                kind,
                time_in_force,
                ticks,
                lots,
                client_id,
                self.now_ms,
                is_post_only=kind == "LIMIT_MAKER",
            )
        except Refusal as refusal:
            raise ApiError(-2010, refusal.reason) from None
        self.streams.publish(events)
        shown = params.get("newOrderRespType", "FULL")
        if shown == "ACK":
            names = ("symbol", "orderId", "orderListId", "clientOrderId", "transactTime")
            return {name: value for name, value in wire.order_result(order).items() if name in names}
        return wire.order_full(order) if shown == "FULL" else wire.order_result(order)

    def find(self, account: Account, params: dict[str, Any], missing: ApiError) -> Order:
        """By the venue's number or by the customer's name for it; both must agree."""
        symbol = self.instrument(params).symbol
        number, client_id = integer(params, "orderId", -1), str(params.get("origClientOrderId", ""))
        order = account.orders.get(number) if number >= 0 else account.by_client_id.get((symbol, client_id))
        if order is None or order.instrument.symbol != symbol or client_id not in ("", order.client_id):
            raise missing
        return order

    def query(self, account: Account, params: dict[str, Any]) -> Json:
        return wire.order_query(self.find(account, params, ApiError(-2013, "Order does not exist.")))

    def cancel(self, account: Account, params: dict[str, Any]) -> Json:
        missing = ApiError(-2011, "Unknown order sent.")
        order = self.find(account, params, missing)
        if order.status in FINAL:
            raise missing
        self.streams.publish(self.exchange.cancel(order))
        own_id = str(params.get("newClientOrderId") or f"cancel-{order.order_id}")
        return wire.order_result(order) | {"origClientOrderId": order.client_id, "clientOrderId": own_id}

    def open_orders(self, account: Account, params: dict[str, Any]) -> list[Json]:
        symbol = self.instrument(params).symbol if params.get("symbol") else None
        return [wire.order_query(order) for order in account.open_orders(symbol)]

    def all_orders(self, account: Account, params: dict[str, Any]) -> list[Json]:
        symbol = self.instrument(params).symbol
        found = [order for order in account.orders.values() if order.instrument.symbol == symbol]
        return [wire.order_query(order) for order in found[-integer(params, "limit", 500) :]]

    def trades(self, account: Account, params: dict[str, Any]) -> list[Json]:
        symbol, number = self.instrument(params).symbol, integer(params, "orderId", -1)
        orders = [order for order in account.orders.values() if order.instrument.symbol == symbol]
        return [row for order in orders if number in (-1, order.order_id) for row in wire.my_trades(order)]

    def restrictions(self, account: Account, params: dict[str, Any]) -> Json:  # noqa: ARG002 - one signature for all
        """What the key that asks may do."""
        key = next(key for key in self.keys.values() if key.account is account)
        return wire.api_restrictions(can_withdraw=key.can_withdraw, can_trade=key.can_trade)

    def account_status(self, account: Account, params: dict[str, Any]) -> Json:  # noqa: ARG002 - one signature for all
        return wire.account_info(account, self.exchange.fee_rate, self.now_ms)

    # --- WebSocket API ----------------------------------------------------------------------------------------
    def api(self, session: ApiSession, text: str) -> None:
        """One request on the WebSocket API; the answer goes to the session, events may go before it."""
        request_id: Any = None
        try:
            request = msgspec.json.decode(text)
            request_id, method, params = request.get("id"), request["method"], request.get("params") or {}
            answer: Json = {"id": request_id, "status": 200, "result": self._api_result(session, method, params)}
        except (msgspec.DecodeError, UnicodeError, KeyError, TypeError, AttributeError):
            error = {"code": -1135, "msg": "Invalid JSON Request."}
            answer = {"id": request_id, "status": 400, "error": error}
        except ApiError as refusal:
            error = {"code": refusal.code, "msg": refusal.message}
            answer = {"id": request_id, "status": refusal.status, "error": error}
        answer["rateLimits"] = [wire.RATE_LIMITS[0] | {"count": self._weight}]
        session.send(encode(answer))

    def _api_result(self, session: ApiSession, method: str, params: dict[str, Any]) -> Any:
        public = {"ping": {}, "time": {"serverTime": self.now_ms}}
        if method in public:
            return public[method]
        if method in ("exchangeInfo", "depth", "klines"):
            return {"exchangeInfo": self.exchange_info, "depth": self.depth, "klines": self.kline_rows}[method](params)
        if method == "session.status":
            return self._logged_on(session)
        account = self._api_account(session, params)
        if method == "session.logon":
            session.account = account
            return self._logged_on(session)
        if method in ("userDataStream.subscribe", "userDataStream.subscribe.signature"):
            number = next(self._subscription_ids)
            session.subscriptions[number] = account
            return {"subscriptionId": number}
        action = API_METHODS.get(method)
        if action is None:
            raise ApiError(-1000, "Unknown method.")
        return action(self, account, params)

    def _logged_on(self, session: ApiSession) -> Json:
        names = {key.account.name: api_key for api_key, key in self.keys.items()}
        return {
            "apiKey": names[session.account.name] if session.account else None,
            "authorizedSince": self.now_ms if session.account else None,
            "connectedSince": self.now_ms,
            "returnRateLimits": True,
            "serverTime": self.now_ms,
            "userDataStream": bool(session.subscriptions),
        }

    def _api_account(self, session: ApiSession, params: dict[str, Any]) -> Account:
        """Signed by itself, or on a connection that has logged on."""
        if "signature" not in params and session.account is not None:
            self._check_time(params)
            return session.account
        payload = "&".join(f"{name}={plain(params[name])}" for name in sorted(params) if name != "signature")
        return self.signed_by(str(params.get("apiKey", "")), payload, str(params.get("signature", "")), params)


Action = Callable[[BinanceSpot, Account, dict[str, Any]], Any]
PRIVATE: dict[tuple[str, str], Action] = {
    ("POST", "order"): BinanceSpot.place,
    ("GET", "order"): BinanceSpot.query,
    ("DELETE", "order"): BinanceSpot.cancel,
    ("GET", "openOrders"): BinanceSpot.open_orders,
    ("GET", "allOrders"): BinanceSpot.all_orders,
    ("GET", "myTrades"): BinanceSpot.trades,
    ("GET", "account"): BinanceSpot.account_status,
    ("GET", "/sapi/v1/account/apiRestrictions"): BinanceSpot.restrictions,
}
API_METHODS: dict[str, Action] = {
    "order.place": BinanceSpot.place,
    "order.status": BinanceSpot.query,
    "order.cancel": BinanceSpot.cancel,
    "openOrders.status": BinanceSpot.open_orders,
    "allOrders": BinanceSpot.all_orders,
    "myTrades": BinanceSpot.trades,
    "account.status": BinanceSpot.account_status,
}
