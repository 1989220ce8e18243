"""Coinbase Advanced Trade on this machine: REST and WebSocket, without a socket.

Whoever moves bytes hands requests and frames in and gets the answers back. Facts about the protocol: PROTOCOLS 2.
"""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import msgspec

from ..binance.spot import Key, Reply
from ..exchange import Exchange
from ..orders import Account, Instrument
from . import wire
from .jwt import Unauthorized, verify
from .orders import Orders, Params, page, whole
from .streams import Streams
from .wire import NS_PER_MS, NS_PER_S, ApiError, Json

ROOT = "/api/v3/brokerage/"
PRIVATE_MAX, PUBLIC_MAX = 30, 10  # requests a second
CANDLES_MAX = 350
ACCOUNTS_MAX, ACCOUNTS = 250, 49
BOOK_ROWS = 1000
GRANULARITIES = {
    "ONE_MINUTE": 60,
    "FIVE_MINUTE": 300,
    "FIFTEEN_MINUTE": 900,
    "THIRTY_MINUTE": 1800,
    "ONE_HOUR": 3600,
    "TWO_HOUR": 7200,
    "SIX_HOUR": 21_600,
    "ONE_DAY": 86_400,
}


class Coinbase:
    """The venue: one exchange, its customers' public keys by name, its open connections."""

    def __init__(self, exchange: Exchange, keys: dict[str, Key], now_ns: Callable[[], int]) -> None:
        self.exchange = exchange
        self.keys = keys  # the secret of each is the public key in PEM
        self.now_ns = now_ns
        self.klines: dict[str, list[list[Any]]] = {}
        self.streams = Streams(exchange, now_ns, lambda token: self.keys[self._verify(token)].account)
        self.orders = Orders(exchange, self.streams)
        self.counts = Counter[str]()  # "limited": requests turned away for there were too many
        self._spent: dict[tuple[int, str], int] = {}

    def _verify(self, token: str, request: str = "") -> str:
        public = {name: key.secret for name, key in self.keys.items()}
        return verify(token, public, self.now_ns() / NS_PER_S, request)

    # --- REST -------------------------------------------------------------------------------------------------
    def http(self, method: str, path: str, query: str, body: str, headers: dict[str, str]) -> Reply:
        """One request; an order that is turned down is a 200 like one that is not."""
        said = {name.lower(): value for name, value in headers.items()}
        shown = {"Content-Type": "application/json"}
        try:
            answer: Any = self._route(method, path, parse_qs(query), body, said)
            return Reply(200, shown, msgspec.json.encode(answer))
        except Unauthorized:
            return Reply(401, {"Content-Type": "text/plain"}, b"Unauthorized\n")
        except ApiError as error:
            answer = {"error": error.error, "error_details": error.message, "message": error.message}
            if error.status == 429:
                answer = {"errors": [{"id": error.error, "message": error.message}]}
            return Reply(error.status, shown, msgspec.json.encode(answer))

    def _route(self, method: str, path: str, params: Params, body: str, headers: dict[str, str]) -> Any:
        name = path.removeprefix(ROOT)
        if method == "GET" and (name == "time" or path.startswith("/v2/") or name.startswith("market/")):
            self._spend("")
            return self._public(path if path.startswith("/v2/") else name.removeprefix("market/"), params)
        token = headers.get("authorization", "").removeprefix("Bearer ")
        key = self._verify(token, f"{method} {headers.get('host', '')}{path}")
        self._spend(key)
        account = self.keys[key].account
        if method == "POST":
            return self._act(account, name, body)
        if method != "GET":
            raise ApiError(404, "NOT_FOUND", f"no {method} at {path}")
        return self._tell(account, name, params)

    def _spend(self, key: str) -> None:
        """So many requests a second, by key; without one by address, of which there is one here."""
        second = self.now_ns() // NS_PER_S
        self._spent = {spent: count for spent, count in self._spent.items() if spent[0] == second}
        self._spent[second, key] = count = self._spent.get((second, key), 0) + 1
        if count > (PRIVATE_MAX if key else PUBLIC_MAX):
            self.counts["limited"] += 1
            raise ApiError(429, "rate_limit_exceeded", "Too many requests")

    # --- public requests --------------------------------------------------------------------------------------
    def _public(self, name: str, params: Params) -> Json:
        match name.split("/"):
            case ["time"]:
                ts_ns = self.now_ns()
                return {
                    "iso": wire.stamp(ts_ns),
                    "epochSeconds": str(ts_ns // NS_PER_S),
                    "epochMillis": str(ts_ns // NS_PER_MS),
                }
            case ["products"]:
                return self._products(params)
            case ["products", symbol]:
                return self._product(self._instrument(symbol))
            case ["products", symbol, "candles"]:
                return {"candles": self._candles(self._instrument(symbol), params)}
            case ["products", symbol, "ticker"]:
                return self._ticker(self._instrument(symbol), params)
            case ["product_book"]:
                return self._book(params)
            case ["best_bid_ask"]:
                books = [self._price_book(instrument, 1) for instrument in self._wanted(params)]
                return {"pricebooks": books}
            case ["", "v2", *_]:  # currencies and rates, as clients ask for them: none beyond the products
                return {"data": {"currency": "USD", "rates": {}} if name.endswith("rates") else []}
        raise ApiError(404, "NOT_FOUND", f"no {name}")

    def _instrument(self, symbol: str) -> Instrument:
        found = self.exchange.instruments.get(symbol)
        if found is None:
            raise ApiError(404, "NOT_FOUND", f"product {symbol} was not found")
        return found

    def _wanted(self, params: Params) -> list[Instrument]:
        named = params.get("product_ids", [])
        return [instrument for symbol, instrument in self.exchange.instruments.items() if not named or symbol in named]

    def _products(self, params: Params) -> Json:
        wanted = self._wanted(params) if params.get("product_type", ["SPOT"]) == ["SPOT"] else []
        begin = whole(params, "offset", 0)
        rows = wanted[begin : begin + whole(params, "limit", len(wanted))]
        return {"products": [self._product(instrument) for instrument in rows], "num_products": len(rows)}

    def _product(self, instrument: Instrument) -> Json:
        return wire.product(instrument, self.exchange.books[instrument.symbol])

    def _book(self, params: Params) -> Json:
        instrument = self._instrument(params.get("product_id", [""])[-1])
        book = self.exchange.books[instrument.symbol]
        return wire.product_book(instrument, book, whole(params, "limit", BOOK_ROWS), self.now_ns())

    def _price_book(self, instrument: Instrument, limit: int) -> Json:
        return wire.price_book(instrument, self.exchange.books[instrument.symbol], limit, self.now_ns())

    def _ticker(self, instrument: Instrument, params: Params) -> Json:
        touch = self._price_book(instrument, 1)
        best = [rows[0]["price"] if rows else "" for rows in (touch["bids"], touch["asks"])]
        trades = list(self.streams.recent[instrument.symbol])[: whole(params, "limit", 100)]
        return {"trades": trades, "best_bid": best[0], "best_ask": best[1]}

    def _candles(self, instrument: Instrument, params: Params) -> list[Json]:
        """The latest first; a bucket holds the minutes that are known of it."""
        seconds = GRANULARITIES.get(params.get("granularity", [""])[-1])
        start_s, end_s = whole(params, "start", -1), whole(params, "end", -1)
        if seconds is None or start_s < 0 or end_s < start_s:
            raise ApiError(400, "INVALID_ARGUMENT", "start, end and granularity are required")
        if (end_s - start_s) // seconds > CANDLES_MAX:
            raise ApiError(400, "INVALID_ARGUMENT", f"number of candles requested should be less than {CANDLES_MAX}")
        buckets: dict[int, list[list[Any]]] = {}
        for row in self.klines.get(instrument.symbol, []):
            if start_s <= row[0] // 1000 <= end_s:
                buckets.setdefault(row[0] // 1000 // seconds * seconds, []).append(row)
        rows = [_candle(start, rows) for start, rows in sorted(buckets.items(), reverse=True)]
        return rows[: min(CANDLES_MAX, whole(params, "limit", CANDLES_MAX))]

    # --- private requests -------------------------------------------------------------------------------------
    def _act(self, account: Account, name: str, body: str) -> Json:
        try:
            said = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise ApiError(400, "INVALID_ARGUMENT", "the body is no JSON object")
        if name == "orders":
            return self.orders.create(account, said, self.now_ns() // NS_PER_MS)
        if name == "orders/batch_cancel":
            return self.orders.batch_cancel(account, said)
        raise ApiError(404, "NOT_FOUND", f"no {name}")

    def _tell(self, account: Account, name: str, params: Params) -> Json:
        match name.split("/"):
            case ["orders", "historical", "batch"]:
                return self.orders.batch(account, params)
            case ["orders", "historical", "fills"]:
                return self.orders.fills(account, params)
            case ["orders", "historical", order_id]:
                return self.orders.get(account, order_id)
            case ["accounts"]:
                return self._accounts(account, params)
            case ["accounts", uuid]:
                found = [wallet for wallet in self._wallets(account) if wallet["uuid"] == uuid]
                if not found:
                    raise ApiError(404, "NOT_FOUND", "account was not found")
                return {"account": found[0]}
            case ["transaction_summary"]:
                return self._fees(account)
            case ["key_permissions"]:
                key = next(key for key in self.keys.values() if key.account is account)
                return {
                    "can_view": True,
                    "can_trade": key.can_trade,
                    "can_transfer": key.can_withdraw,
                    "portfolio_uuid": wire.NOWHERE,
                    "portfolio_type": "DEFAULT",
                }
        return self._public(name, params)

    def _wallets(self, account: Account) -> list[Json]:
        return [wire.wallet(account, asset, balance) for asset, balance in sorted(account.balances.items())]

    def _accounts(self, account: Account, params: Params) -> Json:
        rows, cursor = page(self._wallets(account), {"limit": [str(ACCOUNTS)]} | params, ACCOUNTS_MAX)
        return {"accounts": rows, "has_next": bool(cursor), "cursor": cursor, "size": len(rows)}

    def _fees(self, account: Account) -> Json:
        rate = wire.text(self.exchange.fee_rate)
        fees = sum((wire.fees_of(order) for order in account.orders.values()), Decimal(0))
        volume = sum((order.quote_filled for order in account.orders.values()), Decimal(0))
        return {
            "total_volume": float(volume),
            "total_fees": float(fees),
            "fee_tier": {
                "pricing_tier": "Advanced 1",
                "usd_from": "0",
                "usd_to": "10000",
                "taker_fee_rate": rate,
                "maker_fee_rate": rate,
                "aop_from": "",
                "aop_to": "",
            },
            "margin_rate": None,
            "goods_and_services_tax": None,
            "advanced_trade_only_volumes": float(volume),
            "advanced_trade_only_fees": float(fees),
            "coinbase_pro_volume": 0.0,
            "coinbase_pro_fees": 0.0,
            "total_balance": "",
            "has_promo_fee": False,
        }


def _candle(start_s: int, rows: list[list[Any]]) -> Json:
    return {
        "start": str(start_s),
        "low": wire.text(min(Decimal(row[3]) for row in rows)),
        "high": wire.text(max(Decimal(row[2]) for row in rows)),
        "open": wire.text(Decimal(rows[0][1])),
        "close": wire.text(Decimal(rows[-1][4])),
        "volume": wire.text(sum((Decimal(row[5]) for row in rows), Decimal(0))),
    }
