"""Binance Spot on this machine: what it says in its own words, and how orders are placed and cancelled."""

import itertools
import re
from collections.abc import Callable
from typing import Any

from ..exchange import Exchange
from ..orders import FINAL, Account, Order, Refusal, TimeInForce
from . import wire
from .request import iceberg_of, integer, side_of, steps_of, time_in_force_of
from .streams import ApiSession, Streams
from .venue import BinanceVenue, Key, Reply, Requests
from .wire import ApiError, Json

__all__ = ["BinanceSpot", "Key", "Reply"]
SUBSCRIPTIONS_MAX = 1000  # of one connection at a time
CLIENT_ID = re.compile(r"[a-zA-Z0-9-_]{1,36}")
WEIGHTS = {
    "exchangeInfo": 20,
    "account": 20,
    "account/commission": 20,
    "klines": 2,
    "openOrders": 6,
    "allOrders": 20,
    "myTrades": 20,
}


class BinanceSpot(BinanceVenue):
    """The venue of coins."""

    prefix = "/api/v3/"
    rate_limits = wire.RATE_LIMITS
    order_weight = 1
    api_weights = {"exchangeInfo": 20, "order.status": 4, "myTrades": 20, "account.status": 20, "openOrders.status": 6}  # noqa: RUF012

    def __init__(self, exchange: Exchange, keys: dict[str, Key], now_ns: Callable[[], int]) -> None:
        super().__init__(exchange, keys, now_ns, Streams(exchange, now_ns))
        self._subscription_ids = itertools.count(0)

    def public(self, params: dict[str, str]) -> Requests:
        return {
            "ping": dict,
            "/sapi/v1/margin/allPairs": list,  # clients ask; there is no margin here
            "/sapi/v1/margin/isolated/allPairs": list,
            "time": lambda: {"serverTime": self.now_ms},
            "exchangeInfo": lambda: self.exchange_info(params),
            "depth": lambda: self.depth(params),
            "klines": lambda: self.kline_rows(params),
            "ticker/bookTicker": lambda: self.touch(params),
        }

    def api_public(self, params: dict[str, Any]) -> Requests:
        return {
            "ping": dict,
            "time": lambda: {"serverTime": self.now_ms},
            "exchangeInfo": lambda: self.exchange_info(params),
            "depth": lambda: self.depth(params),
            "klines": lambda: self.kline_rows(params),
        }

    def weight(self, name: str, params: dict[str, str]) -> int:
        limit = integer(params, "limit", 100)
        depth = 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250
        return depth if name == "depth" else WEIGHTS.get(name, 1)

    def show(self, order: Order) -> Json:
        return wire.order_query(order)

    def show_fills(self, order: Order) -> list[Json]:
        return wire.my_trades(order)

    # --- public requests --------------------------------------------------------------------------------------
    def exchange_info(self, params: dict[str, Any]) -> Json:
        wanted = [self.instrument(params)] if params.get("symbol") else self.exchange.instruments.values()
        return {
            "timezone": "UTC",
            "serverTime": self.now_ms,
            "rateLimits": self.rate_limits,
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
        if (price := self.coin_price(params)) is not None:
            return {"symbol": params["symbol"], "bidPrice": price, "bidQty": "1", "askPrice": price, "askQty": "1"}
        instrument = self.instrument(params)
        found = wire.book_ticker(instrument, self.exchange.books[instrument.symbol])
        return {"symbol": found["s"], "bidPrice": found["b"], "bidQty": found["B"], "askPrice": found["a"]} | {
            "askQty": found["A"]
        }

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
        lots = steps_of(params, "quantity", instrument.lot, ApiError(-1013, "Filter failure: LOT_SIZE"))
        ticks = (
            0
            if kind == "MARKET"
            else steps_of(params, "price", instrument.tick, ApiError(-1013, "Filter failure: PRICE_FILTER"))
        )
        time_in_force = time_in_force_of(params) if kind == "LIMIT" else TimeInForce.GTC
        price = instrument.price(ticks or self.exchange.books[instrument.symbol].last_ticks)
        if price * instrument.quantity(lots) < instrument.notional_min:
            raise ApiError(-1013, "Filter failure: NOTIONAL")
        display_lots = iceberg_of(params, instrument, kind, time_in_force, lots)
        self.count_order(account)
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
                display_lots=display_lots,
            )
        except Refusal as refusal:
            raise ApiError(-2010, refusal.reason) from None
        self.streams.publish(events)
        shown = params.get("newOrderRespType", "FULL")
        if shown == "ACK":
            names = ("symbol", "orderId", "orderListId", "clientOrderId", "transactTime")
            return {name: value for name, value in wire.order_result(order).items() if name in names}
        return wire.order_full(order) if shown == "FULL" else wire.order_result(order)

    def cancel(self, account: Account, params: dict[str, Any]) -> Json:
        missing = ApiError(-2011, "Unknown order sent.")
        order = self.find(account, params, missing)
        if order.status in FINAL:
            raise missing
        self.streams.publish(self.exchange.cancel(order))
        own_id = str(params.get("newClientOrderId") or f"cancel-{order.order_id}")
        return wire.order_result(order) | {"origClientOrderId": order.client_id, "clientOrderId": own_id}

    def cancel_all(self, account: Account, params: dict[str, Any]) -> list[Json]:
        """All of one symbol; without any there is nothing to cancel."""
        open_orders = account.open_orders(self.instrument(params).symbol)
        if not open_orders:
            raise ApiError(-2011, "Unknown order sent.")
        return [
            self.cancel(account, {"symbol": order.instrument.symbol, "orderId": order.order_id})
            for order in open_orders
        ]

    def restrictions(self, account: Account, params: dict[str, Any]) -> Json:  # noqa: ARG002 - one signature for all
        """What the key that asks may do."""
        key = next(key for key in self.keys.values() if key.account is account)
        return wire.api_restrictions(can_withdraw=key.can_withdraw, can_trade=key.can_trade)

    def commission(self, account: Account, params: dict[str, Any]) -> Json:
        """What trading costs, and whether it may be paid in the venue's coin."""
        rates = {side: wire.text(self.exchange.fee_rate) for side in ("maker", "taker")}
        none = {"maker": "0.00000000", "taker": "0.00000000", "buyer": "0.00000000", "seller": "0.00000000"}
        return {
            "symbol": self.instrument(params).symbol,
            "standardCommission": none | rates,
            "taxCommission": none,
            "discount": {
                "enabledForAccount": account.fee_coin is not None,
                "enabledForSymbol": True,
                "discountAsset": "BNB",
                "discount": "0.75000000",
            },
        }

    def account_status(self, account: Account, params: dict[str, Any]) -> Json:  # noqa: ARG002 - one signature for all
        return wire.account_info(account, self.exchange.fee_rate, self.now_ms)

    def api_private(self, session: ApiSession, account: Account, method: str, params: dict[str, Any]) -> Any:
        if method in ("userDataStream.subscribe", "userDataStream.subscribe.signature"):
            if len(session.subscriptions) >= SUBSCRIPTIONS_MAX:
                raise ApiError(-2042, "Too many subscriptions on this connection.")
            number = next(self._subscription_ids)
            session.subscriptions[number] = account
            return {"subscriptionId": number}
        return super().api_private(session, account, method, params)

    private = {  # noqa: RUF012 - declared as ClassVar above
        ("POST", "order"): place,
        ("GET", "order"): BinanceVenue.query,
        ("DELETE", "order"): cancel,
        ("GET", "openOrders"): BinanceVenue.open_orders,
        ("DELETE", "openOrders"): cancel_all,
        ("GET", "allOrders"): BinanceVenue.all_orders,
        ("GET", "myTrades"): BinanceVenue.trades,
        ("GET", "account"): account_status,
        ("GET", "account/commission"): commission,
        ("GET", "/sapi/v1/account/apiRestrictions"): restrictions,
    }
    api_methods = {  # noqa: RUF012
        "order.place": place,
        "order.status": BinanceVenue.query,
        "order.cancel": cancel,
        "openOrders.status": BinanceVenue.open_orders,
        "allOrders": BinanceVenue.all_orders,
        "myTrades": BinanceVenue.trades,
        "account.status": account_status,
    }
