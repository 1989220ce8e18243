"""What Binance's venues on this machine have in common: signatures, weights, REST and WebSocket API, without a socket.

Whoever moves bytes (a server, a test in virtual time) hands requests and frames in and gets the answers back. Facts
about the protocol: PROTOCOLS 1.2 to 1.9 and 1b.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qsl, unquote

import msgspec

from ..exchange import Exchange
from ..orders import Account, Instrument, Order
from .request import integer, is_signed, plain
from .streams import NS_PER_MS, ApiSession, Streams, encode
from .wire import ApiError, Json

KLINES_MAX = 1000
_SECONDS = {"SECOND": 1, "MINUTE": 60, "DAY": 86_400}
Requests = dict[str, Callable[[], Any]]


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Key(NamedTuple):
    secret: str
    account: Account
    can_withdraw: bool = False
    can_trade: bool = True


Action = Callable[[Any, Account, dict[str, Any]], Any]


class BinanceVenue(ABC):
    """One exchange, its customers' keys, its open connections."""

    prefix: ClassVar[str]  # of every path
    rate_limits: list[Json]  # a test may make them tighter
    api_weights: ClassVar[Mapping[str, int]]  # by method; 1 where nothing stands
    order_weight: ClassVar[int]  # of an order that is turned down; others cost none
    private: ClassVar[Mapping[tuple[str, str], Action]]  # by method and path
    api_methods: ClassVar[Mapping[str, Action]]

    def __init__(self, exchange: Exchange, keys: dict[str, Key], now_ns: Callable[[], int], streams: Streams) -> None:
        self.exchange = exchange
        self.keys = keys
        self.now_ns = now_ns
        self.klines: dict[str, list[list[Any]]] = {}
        self.streams = streams
        self.counts = Counter[str]()  # "limited": requests turned away for there were too many
        self._spent: dict[tuple[str, int], tuple[int, int]] = {}  # who, window -> which of them, how much in it

    @property
    def now_ms(self) -> int:
        return self.now_ns() // NS_PER_MS

    # --- what each venue says in its own words ----------------------------------------------------------------
    @abstractmethod
    def public(self, params: dict[str, str]) -> Requests:
        """GET requests that need no key, by path."""

    @abstractmethod
    def api_public(self, params: dict[str, Any]) -> Requests:
        """Methods of the WebSocket API that need no key."""

    @abstractmethod
    def weight(self, name: str, params: dict[str, str]) -> int: ...

    @abstractmethod
    def show(self, order: Order) -> Json:
        """An order as a query answers it."""

    @abstractmethod
    def show_fills(self, order: Order) -> list[Json]: ...

    # --- REST -------------------------------------------------------------------------------------------------
    def http(self, method: str, path: str, query: str, body: str, headers: dict[str, str]) -> Reply:
        """One request; a parameter in the query wins over one in the body."""
        params = dict(parse_qsl(body, keep_blank_values=True)) | dict(parse_qsl(query, keep_blank_values=True))
        name = path.removeprefix(self.prefix)
        is_order = method == "POST" and name.endswith("order")
        try:
            self._spend(self.order_weight if is_order else self.weight(name, params))
            answer: Any = self._route(method, name, params, query + body, headers.get("X-MBX-APIKEY", ""))
            self._forgive(self.order_weight if is_order else 0)
            status = 200
        except ApiError as error:
            status, answer = error.status, {"code": error.code, "msg": error.message}
        shown = {"Content-Type": "application/json;charset=UTF-8", "X-MBX-USED-WEIGHT-1M": str(self._weight)}
        if is_order and status == 200:
            shown |= {f"X-MBX-ORDER-COUNT-{_span(row)}": str(row["count"]) for row in self._counted(params)[1:]}
        if status == 429:
            shown["Retry-After"] = str(60 - self.now_ms // 1000 % 60)
        return Reply(status, shown, msgspec.json.encode(answer))

    # --- limits -----------------------------------------------------------------------------------------------
    @property
    def _weight(self) -> int:
        return self._used("", self.rate_limits[0])

    def _used(self, who: str, row: Json, more: int = 0) -> int:
        """How much of a limit is used in the window that runs, with so much more; windows begin with the clock's."""
        window_ms = _SECONDS[row["interval"]] * row["intervalNum"] * 1000
        number, used = self._spent.get((who, window_ms), (0, 0))
        used = (used if number == self.now_ms // window_ms else 0) + more
        self._spent[who, window_ms] = self.now_ms // window_ms, used
        return used

    def _spend(self, weight: int) -> None:
        """Weight is counted by address, of which there is one here."""
        row = self.rate_limits[0]
        if self._used("", row, weight) > row["limit"]:
            self.counts["limited"] += 1
            limit = f"current limit is {row['limit']} request weight per {row['intervalNum']} {row['interval']}."
            raise ApiError(-1003, f"Too much request weight used; {limit}", 429)

    def _forgive(self, weight: int) -> None:
        self._used("", self.rate_limits[0], -weight)

    def count_order(self, account: Account) -> None:
        """Orders are counted by account; before one is made. Fills give nothing back here."""
        rows = [row for row in self.rate_limits if row["rateLimitType"] == "ORDERS"]
        if over := [row for row in rows if self._used(account.name, row) >= row["limit"]]:
            self.counts["limited"] += 1
            limit = f"{over[0]['limit']} orders per {over[0]['intervalNum']} {over[0]['interval']}"
            raise ApiError(-1015, f"Too many new orders; current limit is {limit}.", 429)
        for row in rows:
            self._used(account.name, row, 1)

    def _counted(self, params: dict[str, Any]) -> list[Json]:
        """What an answer says of the limits; of orders where one was placed."""
        rows = [self.rate_limits[0] | {"count": self._weight}]
        key = self.keys.get(str(params.get("apiKey", "")))
        account = key.account if key else next(iter(self.keys.values())).account
        if "newClientOrderId" in params:
            kept = [row for row in self.rate_limits if row["rateLimitType"] == "ORDERS"]
            rows += [row | {"count": self._used(account.name, row)} for row in kept]
        return rows

    def _route(self, method: str, name: str, params: dict[str, str], signed: str, api_key: str) -> Any:
        public = self.public(params)
        if method == "GET" and name in public:
            return public[name]()
        action = self.private.get((method, name))
        if action is None:
            raise ApiError(-1000, "An unknown error occurred while processing the request.", 404)
        payload, _, signature = signed.rpartition("signature=")
        account = self.signed_by(api_key, payload.removesuffix("&"), unquote(signature.partition("&")[0]), params)
        return action(self, account, params)

    def key(self, api_key: str) -> Key:
        found = self.keys.get(api_key)
        if found is None:
            raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        return found

    def signed_by(self, api_key: str, payload: str, signature: str, params: dict[str, Any]) -> Account:
        """Whose request it is: known key, right signature, in time."""
        key = self.key(api_key)
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

    # --- what both are asked ----------------------------------------------------------------------------------
    def instrument(self, params: dict[str, Any]) -> Instrument:
        symbol = params.get("symbol")
        if not symbol:
            raise ApiError(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        found = self.exchange.instruments.get(symbol)
        if found is None:
            raise ApiError(-1121, "Invalid symbol.")
        return found

    def coin_price(self, params: dict[str, Any]) -> str | None:
        """Of the coin that somebody pays fees with, where it is no instrument here."""
        for account in self.exchange.accounts.values():
            coin = account.fee_coin
            if coin is not None and str(params.get("symbol", "")).startswith(coin.asset):
                return f"{coin.price:f}"
        return None

    def kline_rows(self, params: dict[str, Any]) -> list[list[Any]]:
        if params.get("interval") != "1m":
            raise ApiError(-1120, "Invalid interval.")
        rows = self.klines.get(self.instrument(params).symbol, [])
        first, last = integer(params, "startTime", -1), integer(params, "endTime", 2**62)
        limit = min(integer(params, "limit", 500), KLINES_MAX)
        within = [row for row in rows if first <= row[0] <= last]
        return within[:limit] if first >= 0 else within[-limit:]

    def find(self, account: Account, params: dict[str, Any], missing: ApiError) -> Order:
        """By the venue's number or by the customer's name for it; both must agree."""
        symbol = self.instrument(params).symbol
        number, client_id = integer(params, "orderId", -1), str(params.get("origClientOrderId", ""))
        order = account.orders.get(number) if number >= 0 else account.by_client_id.get((symbol, client_id))
        if order is None or order.instrument.symbol != symbol or client_id not in ("", order.client_id):
            raise missing
        return order

    def query(self, account: Account, params: dict[str, Any]) -> Json:
        return self.show(self.find(account, params, ApiError(-2013, "Order does not exist.")))

    def open_orders(self, account: Account, params: dict[str, Any]) -> list[Json]:
        symbol = self.instrument(params).symbol if params.get("symbol") else None
        return [self.show(order) for order in account.open_orders(symbol)]

    def all_orders(self, account: Account, params: dict[str, Any]) -> list[Json]:
        symbol = self.instrument(params).symbol
        found = [order for order in account.orders.values() if order.instrument.symbol == symbol]
        return [self.show(order) for order in found[-integer(params, "limit", 500) :]]

    def trades(self, account: Account, params: dict[str, Any]) -> list[Json]:
        symbol, number = self.instrument(params).symbol, integer(params, "orderId", -1)
        orders = [order for order in account.orders.values() if order.instrument.symbol == symbol]
        return [row for order in orders if number in (-1, order.order_id) for row in self.show_fills(order)]

    # --- WebSocket API ----------------------------------------------------------------------------------------
    def api(self, session: ApiSession, text: str) -> None:
        """One request on the WebSocket API; the answer goes to the session, events may go before it."""
        request_id: Any = None
        params: dict[str, Any] = {}
        try:
            request = msgspec.json.decode(text)
            request_id, method, params = request.get("id"), request["method"], dict(request.get("params") or {})
            weight = self._api_weight(method, params)
            self._spend(weight)
            answer: Json = {"id": request_id, "status": 200, "result": self._api_result(session, method, params)}
            self._forgive(weight if method == "order.place" else 0)
        except (msgspec.DecodeError, UnicodeError, RecursionError, KeyError, TypeError, ValueError, AttributeError):
            error = {"code": -1135, "msg": "Invalid JSON Request."}
            answer = {"id": request_id, "status": 400, "error": error}
        except ApiError as refusal:
            error = {"code": refusal.code, "msg": refusal.message} | self._retry(refusal)
            answer = {"id": request_id, "status": refusal.status, "error": error}
        answer["rateLimits"] = self._counted(params)
        session.send(encode(answer))

    def _retry(self, refusal: ApiError) -> Json:
        if refusal.code != -1003:
            return {}
        return {"data": {"serverTime": self.now_ms, "retryAfter": (self.now_ms // 60_000 + 1) * 60_000}}

    def _api_weight(self, method: str, params: dict[str, Any]) -> int:
        if method in ("depth", "klines"):
            return self.weight(method if self.prefix.startswith("/api") else f"v1/{method}", params)
        return self.order_weight if method == "order.place" else self.api_weights.get(method, 1)

    def _api_result(self, session: ApiSession, method: str, params: dict[str, Any]) -> Any:
        public = self.api_public(params)
        if method in public:
            return public[method]()
        if method == "session.status":
            return self._logged_on(session)
        account = self._api_account(session, params)
        if method == "session.logon":
            session.account = account
            return self._logged_on(session)
        return self.api_private(session, account, method, params)

    def api_private(self, _session: ApiSession, account: Account, method: str, params: dict[str, Any]) -> Any:
        action = self.api_methods.get(method)
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


def _span(row: Json) -> str:
    """10S, 1M, 1D: as headers name a window."""
    return f"{row['intervalNum']}{row['interval'][0]}"
