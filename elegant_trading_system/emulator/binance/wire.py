"""Binance Spot's words: how instruments, orders and events are written, and what its errors are called."""

from decimal import Decimal
from typing import Any

from ...core.kinds import Side
from ...core.units import ASK, BID
from ..orders import FINAL, Account, Book, Depth, Instrument, Order, Report, Status, Trade

Json = dict[str, Any]
ICEBERG_PARTS = 100
PLACES = Decimal("0.00000001")
RATE_LIMITS = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50},
    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 160000},
    {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300000},
]
EXPIRY_REASONS = {"IOC": "UNFILLED_IOC_QUANTITY_EXPIRED", "FOK": "UNFILLED_FOK_ORDER_EXPIRED"}


class ApiError(Exception):
    """An answer of the venue's that says no."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def text(number: Decimal) -> str:
    """Eight decimals, always: clients compare the text of a removed level with 0.00000000."""
    return f"{number.quantize(PLACES):f}"


def levels(instrument: Instrument, rows: list[tuple[int, int]]) -> list[list[str]]:
    return [[text(instrument.price(ticks)), text(instrument.quantity(lots))] for ticks, lots in rows]


# --- the market ---------------------------------------------------------------------------------------------
def symbol_info(instrument: Instrument) -> Json:
    return {
        "symbol": instrument.symbol,
        "status": "TRADING",
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": True,
        "ocoAllowed": False,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": False,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": text(instrument.tick),
                "maxPrice": "1000000.00000000",
                "tickSize": text(instrument.tick),
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": text(instrument.lot),
                "maxQty": "9000.00000000",
                "stepSize": text(instrument.lot),
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": text(instrument.notional_min),
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "ICEBERG_PARTS", "limit": ICEBERG_PARTS},
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def depth_snapshot(instrument: Instrument, book: Book, limit: int) -> Json:
    return {
        "lastUpdateId": book.last_id,
        "bids": levels(instrument, book.top(BID, limit)),
        "asks": levels(instrument, book.top(ASK, limit)),
    }


def depth_update(depth: Depth, ts_ms: int) -> Json:
    instrument = depth.instrument
    return {
        "e": "depthUpdate",
        "E": ts_ms,
        "s": instrument.symbol,
        "U": depth.first_id,
        "u": depth.last_id,
        "b": levels(instrument, depth.bids),
        "a": levels(instrument, depth.asks),
    }


def book_ticker(instrument: Instrument, book: Book) -> Json:
    sides = [levels(instrument, book.top(s, 1)) or [["0.00000000", "0.00000000"]] for s in (BID, ASK)]
    (bid, bid_quantity), (ask, ask_quantity) = sides[BID][0], sides[ASK][0]
    return {"u": book.last_id, "s": instrument.symbol, "b": bid, "B": bid_quantity, "a": ask, "A": ask_quantity}


def trade_event(trade: Trade, ts_ms: int) -> Json:
    instrument = trade.instrument
    return {
        "e": "trade",
        "E": ts_ms,
        "s": instrument.symbol,
        "t": trade.trade_id,
        "p": text(instrument.price(trade.ticks)),
        "q": text(instrument.quantity(trade.lots)),
        "T": ts_ms,
        "m": trade.aggressor is Side.SELL,
        "M": True,
    }


def api_restrictions(*, can_withdraw: bool, can_trade: bool) -> Json:
    """Of a key whose use is tied to addresses."""
    return {
        "ipRestrict": True,
        "createTime": 0,
        "enableReading": True,
        "enableWithdrawals": can_withdraw,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": False,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
        "enableSpotAndMarginTrading": can_trade,
        "enablePortfolioMarginTrading": False,
    }


# --- orders ---------------------------------------------------------------------------------------------------
def side_name(side: Side) -> str:
    return "BUY" if side is Side.BUY else "SELL"


def order_result(order: Order) -> Json:
    """What RESULT answers, and every query of an order."""
    instrument = order.instrument
    found: Json = {
        "symbol": instrument.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "transactTime": order.ts_ms,
        "price": text(instrument.price(order.ticks)),
        "origQty": text(instrument.quantity(order.lots)),
        "executedQty": text(instrument.quantity(order.filled_lots)),
        "origQuoteOrderQty": "0.00000000",
        "cummulativeQuoteQty": text(order.quote_filled),
        "status": order.status.value,
        "timeInForce": order.time_in_force.value,
        "type": order.kind,
        "side": side_name(order.side),
        "workingTime": order.ts_ms,
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }
    if order.display_lots:
        found["icebergQty"] = text(instrument.quantity(order.display_lots))
    if order.status is Status.EXPIRED:
        found["expiryReason"] = expiry_reason(order)
    return found


def expiry_reason(order: Order) -> str:
    return EXPIRY_REASONS.get(order.time_in_force.value, "INSUFFICIENT_LIQUIDITY")


def order_full(order: Order) -> Json:
    instrument = order.instrument
    fills = [
        {
            "price": text(instrument.price(fill.ticks)),
            "qty": text(instrument.quantity(fill.lots)),
            "commission": text(fill.fee),
            "commissionAsset": fill.fee_asset,
            "tradeId": fill.trade_id,
        }
        for fill in order.fills
    ]
    return order_result(order) | {"fills": fills}


def order_query(order: Order) -> Json:
    found = order_result(order)
    del found["transactTime"]
    return found | {
        "stopPrice": "0.00000000",
        "icebergQty": text(order.instrument.quantity(order.display_lots)),
        "time": order.ts_ms,
        "updateTime": order.ts_ms,
        "isWorking": True,
    }


def my_trades(order: Order) -> list[Json]:
    instrument = order.instrument
    return [
        {
            "symbol": instrument.symbol,
            "id": fill.trade_id,
            "orderId": order.order_id,
            "orderListId": -1,
            "price": text(instrument.price(fill.ticks)),
            "qty": text(instrument.quantity(fill.lots)),
            "quoteQty": text(instrument.price(fill.ticks) * instrument.quantity(fill.lots)),
            "commission": text(fill.fee),
            "commissionAsset": fill.fee_asset,
            "time": order.ts_ms,
            "isBuyer": order.side is Side.BUY,
            "isMaker": fill.is_maker,
            "isBestMatch": True,
        }
        for fill in order.fills
    ]


def account_info(account: Account, fee_rate: Decimal, ts_ms: int) -> Json:
    rate = text(fee_rate)
    return {
        "makerCommission": 10,
        "takerCommission": 10,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {"maker": rate, "taker": rate, "buyer": "0.00000000", "seller": "0.00000000"},
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": ts_ms,
        "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": text(balance.free), "locked": text(balance.locked)}
            for asset, balance in sorted(account.balances.items())
        ],
        "permissions": ["SPOT"],
        "uid": 1,
    }


def execution_report(report: Report, execution_id: int, ts_ms: int) -> Json:
    order, fill = report.order, report.fill
    instrument = order.instrument
    is_trade = fill is not None
    found: Json = {
        "e": "executionReport",
        "E": ts_ms,
        "s": instrument.symbol,
        "c": order.client_id if report.step != "CANCELED" else f"cancel-{order.order_id}",
        "S": side_name(order.side),
        "o": order.kind,
        "f": order.time_in_force.value,
        "q": text(instrument.quantity(order.lots)),
        "p": text(instrument.price(order.ticks)),
        "P": "0.00000000",
        "F": text(instrument.quantity(order.display_lots)),
        "g": -1,
        "C": order.client_id if report.step == "CANCELED" else "",
        "x": report.step,
        "X": report.status.value,
        "r": "NONE",
        "i": order.order_id,
        "l": text(instrument.quantity(fill.lots)) if fill else "0.00000000",
        "z": text(instrument.quantity(report.filled_lots)),
        "L": text(instrument.price(fill.ticks)) if fill else "0.00000000",
        "n": text(fill.fee) if fill else "0",
        "N": fill.fee_asset if fill else None,
        "T": ts_ms,
        "t": fill.trade_id if fill else -1,
        "I": execution_id,
        "w": report.status not in FINAL and not is_trade,
        "m": fill.is_maker if fill else False,
        "M": is_trade,
        "O": order.ts_ms,
        "Z": text(report.quote_filled),
        "Y": text(instrument.price(fill.ticks) * instrument.quantity(fill.lots)) if fill else "0.00000000",
        "Q": "0.00000000",
        "W": order.ts_ms,
        "V": "EXPIRE_MAKER",
    }
    if report.step == "EXPIRED":
        found["eR"] = expiry_reason(order)
    return found


def account_position(report: Report, ts_ms: int) -> Json:
    order = report.order
    assets = {order.instrument.base, order.instrument.quote}
    return {
        "e": "outboundAccountPosition",
        "E": ts_ms,
        "u": ts_ms,
        "B": [
            {"a": asset, "f": text(order.account.balance(asset).free), "l": text(order.account.balance(asset).locked)}
            for asset in sorted(assets)
        ],
    }
