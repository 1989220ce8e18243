"""Coinbase Advanced Trade's words: how products, books, orders and events are written, and what its errors are called."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from ...core.kinds import Side
from ...core.units import ASK, BID
from ..orders import FINAL, Account, Balance, Book, Depth, Fill, Instrument, Order, Rows, Status, Trade

Json = dict[str, Any]
NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
SIDES = ("bid", "offer")
STATUSES = {Status.NEW: "OPEN", Status.PARTIALLY_FILLED: "OPEN", Status.FILLED: "FILLED"}
LIFETIMES = {"GTC": "GOOD_UNTIL_CANCELLED", "IOC": "IMMEDIATE_OR_CANCEL", "FOK": "FILL_OR_KILL"}
ORDERS, TRADES = 0x0DE5 << 112, 0x7ADE << 112  # the first digits of their ids
NUMBER = (1 << 64) - 1
NOWHERE = "00000000-0000-0000-0000-000000000000"
BORN = "2023-01-01T00:00:00Z"


class ApiError(Exception):
    """An answer that is no success by its HTTP status."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.message = message.encode("utf-8", "replace").decode()  # it may repeat half a character of what was asked


class Refused(Exception):
    """An order that is turned down: HTTP 200 all the same."""

    def __init__(self, error: str, message: str, preview: str = "") -> None:
        super().__init__(message)
        self.error = error
        self.message = message
        self.preview = preview or f"PREVIEW_{error}"


def text(number: Decimal) -> str:
    """Without zeros at the end."""
    return f"{number.normalize():f}"


def stamp(ts_ns: int) -> str:
    """RFC 3339 to the nanosecond, zeros at the end left out."""
    seconds, rest = divmod(ts_ns, NS_PER_S)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def go_time(ts_ns: int, ts_open_ns: int) -> str:
    """The time as programs in Go print it, as heartbeats carry it."""
    moment = datetime.fromtimestamp(ts_ns // NS_PER_S, UTC)
    up = f"{(ts_ns - ts_open_ns) / NS_PER_S:.9f}"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{ts_ns % NS_PER_S // 1000:06d} +0000 UTC m=+{up}"


def uuid_of(kind: int, number: int) -> str:
    return str(UUID(int=kind | number))


def number_of(order_id: str) -> int:
    """-1 for what is no id of an order."""
    try:
        found = UUID(order_id).int
    except ValueError:
        return -1
    return found & NUMBER if found & ~NUMBER == ORDERS else -1


def side_name(side: Side) -> str:
    return "BUY" if side is Side.BUY else "SELL"


# --- the market ---------------------------------------------------------------------------------------------
def product(instrument: Instrument, book: Book) -> Json:
    return {
        "product_id": instrument.symbol,
        "price": text(instrument.price(book.last_ticks or book.best(BID) or 0)),
        "price_percentage_change_24h": "0",
        "volume_24h": "0",
        "volume_percentage_change_24h": "0",
        "base_increment": text(instrument.lot),
        "quote_increment": text(instrument.tick),
        "quote_min_size": text(instrument.notional_min),
        "quote_max_size": "150000000",
        "base_min_size": text(instrument.lot),
        "base_max_size": "3400",
        "base_name": instrument.base,
        "quote_name": instrument.quote,
        "watched": False,
        "is_disabled": False,
        "new": False,
        "status": "online",
        "cancel_only": False,
        "limit_only": False,
        "post_only": False,
        "trading_disabled": False,
        "auction_mode": False,
        "product_type": "SPOT",
        "quote_currency_id": instrument.quote,
        "base_currency_id": instrument.base,
        "fcm_trading_session_details": None,
        "mid_market_price": "",
        "alias": "",
        "alias_to": [f"{instrument.base}-USDC"] if instrument.quote == "USD" else [],
        "base_display_symbol": instrument.base,
        "quote_display_symbol": instrument.quote,
        "view_only": False,
        "price_increment": text(instrument.tick),
        "display_name": instrument.symbol,
        "product_venue": "CBE",
        "approximate_quote_24h_volume": "0",
        "new_at": BORN,
    }


def price_book(instrument: Instrument, book: Book, limit: int, ts_ns: int) -> Json:
    sides = [
        [
            {"price": text(instrument.price(ticks)), "size": text(instrument.quantity(lots))}
            for ticks, lots in book.top(s, limit)
        ]
        for s in (BID, ASK)
    ]
    return {"product_id": instrument.symbol, "bids": sides[BID], "asks": sides[ASK], "time": stamp(ts_ns)}


def product_book(instrument: Instrument, book: Book, limit: int, ts_ns: int) -> Json:
    bid, ask = instrument.price(book.best(BID) or 0), instrument.price(book.best(ASK) or 0)
    middle = (bid + ask) / 2
    return {
        "pricebook": price_book(instrument, book, limit, ts_ns),
        "last": text(instrument.price(book.last_ticks)),
        "mid_market": text(middle),
        "spread_bps": text(((ask - bid) / middle * 10_000).quantize(Decimal("1e-12"))) if middle else "",
        "spread_absolute": text(ask - bid),
    }


def level_updates(instrument: Instrument, sides: Iterable[Rows], ts_ns: int) -> list[Json]:
    """Bids, then offers."""
    moment = stamp(ts_ns)
    return [
        {
            "side": SIDES[s],
            "event_time": moment,
            "price_level": text(instrument.price(ticks)),
            "new_quantity": text(instrument.quantity(lots)),
        }
        for s, rows in enumerate(sides)
        for ticks, lots in rows
    ]


def book_snapshot(instrument: Instrument, book: Book, ts_ns: int) -> Json:
    sides = (book.top(BID, len(book.sides[BID])), book.top(ASK, len(book.sides[ASK])))
    return {
        "type": "snapshot",
        "product_id": instrument.symbol,
        "updates": level_updates(instrument, sides, ts_ns),
    }


def book_update(depth: Depth, ts_ns: int) -> Json:
    instrument = depth.instrument
    updates = level_updates(instrument, (depth.bids, depth.asks), ts_ns)
    return {"type": "update", "product_id": instrument.symbol, "updates": updates}


def market_trade(trade: Trade, ts_ns: int) -> Json:
    """Its side is the maker's."""
    instrument = trade.instrument
    return {
        "product_id": instrument.symbol,
        "trade_id": str(trade.trade_id),
        "price": text(instrument.price(trade.ticks)),
        "size": text(instrument.quantity(trade.lots)),
        "time": stamp(ts_ns),
        "side": side_name(Side(-trade.aggressor)),
    }


# --- orders ---------------------------------------------------------------------------------------------------
def status_name(order: Order) -> str:
    """What is left of an IOC is cancelled: EXPIRED is for orders with a date."""
    return STATUSES.get(order.status, "CANCELLED")


def fees_of(order: Order) -> Decimal:
    return sum((fill.fee for fill in order.fills), Decimal(0))


def figures(order: Order) -> Json:
    """What get-order and the user channel both say, under the same names."""
    instrument, fees = order.instrument, fees_of(order)
    filled = instrument.quantity(order.filled_lots)
    return {
        "order_id": uuid_of(ORDERS, order.order_id),
        "client_order_id": order.client_id,
        "product_id": instrument.symbol,
        "product_type": "SPOT",
        "status": status_name(order),
        "completion_percentage": text((Decimal(100) * order.filled_lots / order.lots).quantize(Decimal("0.01"))),
        "number_of_fills": str(len(order.fills)),
        "filled_value": text(order.quote_filled),
        "total_fees": text(fees),
        "total_value_after_fees": text(order.quote_filled + order.side * fees),
        "outstanding_hold_amount": text(order.locked),
        "trigger_status": "INVALID_ORDER_TYPE",
        "reject_reason": "REJECT_REASON_UNSPECIFIED",
        "average": text((order.quote_filled / filled).quantize(Decimal("1e-8"))) if filled else "0",
        "filled": text(filled),
    }


def historical_order(order: Order, configuration: Json) -> Json:
    """An order as REST tells it."""
    found = figures(order)
    average, filled = found.pop("average"), found.pop("filled")
    moment = stamp(order.ts_ms * NS_PER_MS)
    return found | {
        "user_id": NOWHERE,
        "order_configuration": configuration,
        "side": side_name(order.side),
        "time_in_force": LIFETIMES[order.time_in_force.value],
        "created_time": moment,
        "filled_size": filled,
        "average_filled_price": average,
        "fee": "",
        "pending_cancel": False,
        "size_in_quote": False,
        "size_inclusive_of_fees": False,
        "order_type": order.kind,
        "settled": order.status in FINAL,
        "reject_message": "",
        "cancel_message": "",
        "order_placement_source": "RETAIL_ADVANCED",
        "is_liquidation": False,
        "last_fill_time": moment if order.fills else None,
        "edit_history": [],
        "leverage": "",
        "margin_type": "UNKNOWN_MARGIN_TYPE",
        "retail_portfolio_id": NOWHERE,
    }


def user_order(order: Order) -> Json:
    """An order as the user channel tells it: everything a string, everything cumulative."""
    found, instrument = figures(order), order.instrument
    average, filled = found.pop("average"), found.pop("filled")
    left = order.left if order.status not in FINAL else 0
    return found | {
        "avg_price": average,
        "cancel_reason": "" if status_name(order) != "CANCELLED" else "Unfilled quantity of the order was cancelled",
        "contract_expiry_type": "UNKNOWN_CONTRACT_EXPIRY_TYPE",
        "cumulative_quantity": filled,
        "leaves_quantity": text(instrument.quantity(left)),
        "limit_price": text(instrument.price(order.ticks)),
        "order_side": side_name(order.side),
        "order_type": order.kind.capitalize(),
        "post_only": "false",
        "retail_portfolio_id": NOWHERE,
        "risk_managed_by": "UNKNOWN_RISK_MANAGEMENT_TYPE",
        "stop_price": "",
        "time_in_force": LIFETIMES[order.time_in_force.value],
        "creation_time": stamp(order.ts_ms * NS_PER_MS),
        "end_time": "0001-01-01T00:00:00Z",
        "start_time": "0001-01-01T00:00:00Z",
    }


def historical_fill(order: Order, fill: Fill) -> Json:
    instrument, moment = order.instrument, stamp(order.ts_ms * NS_PER_MS)
    return {
        "entry_id": f"{order.order_id:032x}{fill.trade_id:032x}",
        "trade_id": uuid_of(TRADES | order.order_id << 64, fill.trade_id),
        "order_id": uuid_of(ORDERS, order.order_id),
        "trade_time": moment,
        "trade_type": "FILL",
        "price": text(instrument.price(fill.ticks)),
        "size": text(instrument.quantity(fill.lots)),
        "commission": text(fill.fee),
        "product_id": instrument.symbol,
        "sequence_timestamp": moment,
        "liquidity_indicator": "MAKER" if fill.is_maker else "TAKER",
        "size_in_quote": False,
        "user_id": NOWHERE,
        "side": side_name(order.side),
        "retail_portfolio_id": NOWHERE,
    }


# --- the account ------------------------------------------------------------------------------------------------
def wallet(account: Account, asset: str, balance: Balance) -> Json:
    def amount(value: Decimal) -> Json:
        return {"value": text(value), "currency": asset}

    return {
        "uuid": str(uuid5(NAMESPACE_OID, f"{account.name} {asset}")),
        "name": f"{asset} Wallet",
        "currency": asset,
        "available_balance": amount(balance.free),
        "default": asset == "USD",
        "active": True,
        "created_at": BORN,
        "updated_at": BORN,
        "deleted_at": None,
        "type": "ACCOUNT_TYPE_FIAT" if asset == "USD" else "ACCOUNT_TYPE_CRYPTO",
        "ready": True,
        "hold": amount(balance.locked),
        "retail_portfolio_id": NOWHERE,
        "platform": "ACCOUNT_PLATFORM_CONSUMER",
    }
