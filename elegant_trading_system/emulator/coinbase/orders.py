"""Orders on the emulated Coinbase: configurations read, names used once, what became of them told in pages."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from ...core.kinds import Side
from ...core.units import ASK, BID
from ..exchange import Exchange
from ..orders import FINAL, Account, Instrument, Order, Refusal, TimeInForce
from . import wire
from .streams import Streams
from .wire import ApiError, Json, Refused

PAGE = 100
PAGE_MAX = 1000
Params = dict[str, list[str]]
CONFIGURATIONS = {
    "market_market_ioc": ("MARKET", TimeInForce.IOC),
    "sor_limit_ioc": ("LIMIT", TimeInForce.IOC),
    "limit_limit_gtc": ("LIMIT", TimeInForce.GTC),
    "limit_limit_fok": ("LIMIT", TimeInForce.FOK),
}
REASONS = {  # the exchange's words, the venue's
    "Account has insufficient balance for requested action.": (
        "INSUFFICIENT_FUND",
        "Insufficient balance in source account",
    ),
    "Order would immediately match and take.": ("INVALID_LIMIT_PRICE_POST_ONLY", "Post only order would take"),
}


class Request(NamedTuple):
    """POST /orders, read."""

    client_id: str
    instrument: Instrument
    side: Side
    name: str  # of the configuration
    fields: Json

    @property
    def configuration(self) -> Json:
        return {self.name: self.fields}


class Orders:
    """Everything that can be asked about orders."""

    def __init__(self, exchange: Exchange, streams: Streams) -> None:
        self.exchange = exchange
        self.streams = streams
        self._by_name: dict[tuple[str, str], Order] = {}
        self._configurations: dict[int, Json] = {}

    # --- placing ----------------------------------------------------------------------------------------------
    def create(self, account: Account, body: Json, ts_ms: int) -> Json:
        """A name that is known already answers with its order; nothing new is made."""
        client_id = str(body.get("client_order_id") or "")
        if not client_id:
            raise ApiError(400, "INVALID_ARGUMENT", "client_order_id is required")
        order = self._by_name.get((account.name, client_id))
        if order is None:
            try:
                order = self._place(account, self._read(client_id, body), ts_ms)
            except Refused as refused:
                return refusal_of(refused, body)
        return {
            "success": True,
            "success_response": {
                "order_id": wire.uuid_of(wire.ORDERS, order.order_id),
                "product_id": order.instrument.symbol,
                "side": wire.side_name(order.side),
                "client_order_id": order.client_id,
                "attached_order_id": "",
            },
            "order_configuration": self._configurations[order.order_id],
        }

    def _read(self, client_id: str, body: Json) -> Request:
        configuration, side = body.get("order_configuration"), body.get("side")
        if not isinstance(configuration, dict) or len(configuration) != 1 or side not in ("BUY", "SELL"):
            raise ApiError(400, "INVALID_ARGUMENT", "side and one order_configuration are required")
        instrument = self.exchange.instruments.get(str(body.get("product_id")))
        if instrument is None:
            raise Refused("INVALID_PRODUCT_ID", "Product not found")
        [(name, fields)] = configuration.items()
        if name not in CONFIGURATIONS or not isinstance(fields, dict):
            raise Refused("UNSUPPORTED_ORDER_CONFIGURATION", f"{name} is not supported")
        return Request(client_id, instrument, Side[side], name, fields)

    def _place(self, account: Account, request: Request, ts_ms: int) -> Order:
        kind, time_in_force = CONFIGURATIONS[request.name]
        instrument, fields = request.instrument, request.fields
        ticks = 0 if kind == "MARKET" else _steps(fields, "limit_price", instrument.tick, "INVALID_PRICE_PRECISION")
        lots = self._lots(request, kind)
        price = instrument.price(ticks or self.exchange.books[instrument.symbol].last_ticks)
        if kind != "MARKET" and price * instrument.quantity(lots) < instrument.notional_min:
            raise Refused("UNKNOWN_FAILURE_REASON", "Order is too small", "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL")
        try:
            order, events = self.exchange.place(
                account,
                instrument,
                request.side,
                kind,
                time_in_force,
                ticks,
                lots,
                request.client_id,
                ts_ms,
                is_post_only=bool(fields.get("post_only")),
            )
        except Refusal as refusal:
            raise Refused(*REASONS.get(refusal.reason, ("UNKNOWN_FAILURE_REASON", refusal.reason))) from None
        self._by_name[account.name, request.client_id] = order
        self._configurations[order.order_id] = request.configuration
        self.streams.publish(events)
        return order

    def _lots(self, request: Request, kind: str) -> int:
        if "quote_size" not in request.fields or kind != "MARKET":
            return _steps(request.fields, "base_size", request.instrument.lot, "INVALID_SIZE_PRECISION")
        return self._lots_for(request.instrument, request.side, _number(request.fields, "quote_size"))

    def _lots_for(self, instrument: Instrument, side: Side, money: Decimal) -> int:
        """How much of what rests on the other side the money buys, fee included."""
        s, lots = (ASK if side is Side.BUY else BID), 0
        money /= 1 + self.exchange.fee_rate
        book = self.exchange.books[instrument.symbol]
        for ticks, resting in book.top(s, len(book.sides[s])):
            price = instrument.price(ticks) * instrument.lot
            taken = min(resting, int(money / price))
            lots, money = lots + taken, money - taken * price
            if taken < resting:
                break
        if lots == 0:
            raise Refused("INVALID_NO_LIQUIDITY", "Nothing to be had for it", "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL")
        return lots

    # --- cancelling and asking --------------------------------------------------------------------------------
    def batch_cancel(self, account: Account, body: Json) -> Json:
        ids = body.get("order_ids")
        if not isinstance(ids, list) or not ids or len(ids) > PAGE:
            raise ApiError(400, "INVALID_ARGUMENT", f"order_ids: 1 to {PAGE} are needed")
        return {"results": [self._cancel(account, str(order_id)) for order_id in ids]}

    def _cancel(self, account: Account, order_id: str) -> Json:
        order = account.orders.get(wire.number_of(order_id))
        is_open = order is not None and order.status not in FINAL
        if order is not None and is_open:
            self.streams.publish(self.exchange.cancel(order))
        reason = "UNKNOWN_CANCEL_FAILURE_REASON" if is_open else "UNKNOWN_CANCEL_ORDER"
        return {"success": is_open, "failure_reason": reason, "order_id": order_id}

    def get(self, account: Account, order_id: str) -> Json:
        order = account.orders.get(wire.number_of(order_id))
        if order is None:
            raise ApiError(404, "unknown", "order with this orderID was not found")
        return {"order": self._told(order)}

    def _told(self, order: Order) -> Json:
        return wire.historical_order(order, self._configurations.get(order.order_id, {}))

    def batch(self, account: Account, params: Params) -> Json:
        """The latest first; a cursor says where the next page begins."""
        wanted, since_ms = params.get("order_status", []), _ms_of(params, "start_date", 0)
        until_ms = _ms_of(params, "end_date", 1 << 62)
        found = [
            order
            for order in _of(account, params)
            if since_ms <= order.ts_ms < until_ms and (not wanted or wire.status_name(order) in wanted)
        ]
        rows, cursor = page(found[::-1], params)
        return {
            "orders": [self._told(order) for order in rows],
            "sequence": "0",
            "has_next": bool(cursor),
            "cursor": cursor,
        }

    def fills(self, account: Account, params: Params) -> Json:
        numbers = {wire.number_of(order_id) for name in ("order_ids", "order_id") for order_id in params.get(name, [])}
        trades = params.get("trade_ids", [])
        told = [
            wire.historical_fill(order, fill)
            for order in _of(account, params)
            if not numbers or order.order_id in numbers
            for fill in order.fills
        ]
        rows, cursor = page([row for row in told[::-1] if not trades or row["trade_id"] in trades], params)
        return {"fills": rows, "cursor": cursor}


def _of(account: Account, params: Params) -> Iterable[Order]:
    products = params.get("product_ids", []) + params.get("product_id", [])
    return [order for order in account.orders.values() if not products or order.instrument.symbol in products]


def page(rows: Sequence[Any], params: Params, most: int = PAGE_MAX) -> tuple[Sequence[Any], str]:
    """Rows from the cursor on, as many as asked for, and the cursor behind them: empty at the end."""
    begin = whole(params, "cursor", 0)
    end = begin + max(1, min(whole(params, "limit", PAGE), most))
    return rows[begin:end], str(end) if end < len(rows) else ""


def whole(params: Params, name: str, default: int) -> int:
    """A parameter that is a whole number, not negative."""
    said = params.get(name, [""])[-1]
    if said and not (said.isascii() and said.isdigit() and len(said) < 20):
        raise ApiError(400, "INVALID_ARGUMENT", f"{name} is no number")
    return int(said) if said else default


def _ms_of(params: Params, name: str, default: int) -> int:
    said = params.get(name, [""])[-1]
    try:
        return round(datetime.fromisoformat(said).timestamp() * 1000) if said else default
    except ValueError:
        raise ApiError(400, "INVALID_ARGUMENT", f"{name} is no time") from None


def _number(fields: Json, name: str) -> Decimal:
    try:
        found = Decimal(str(fields[name]))
    except (KeyError, InvalidOperation):
        raise ApiError(400, "INVALID_ARGUMENT", f"{name} is no number") from None
    if not found.is_finite() or found <= 0 or found >= 10**15:
        raise ApiError(400, "INVALID_ARGUMENT", f"{name} is out of range")
    return found


def _steps(fields: Json, name: str, step: Decimal, error: str) -> int:
    steps = _number(fields, name) / step
    if steps != int(steps):
        raise Refused(error, f"{name} is no multiple of {wire.text(step)}")
    return int(steps)


def refusal_of(refused: Refused, body: Json) -> Json:
    return {
        "success": False,
        "error_response": {
            "error": refused.error,
            "message": refused.message,
            "error_details": "",
            "preview_failure_reason": refused.preview,
        },
        "order_configuration": body.get("order_configuration"),
    }
