"""Binance USD-M's words: how perpetuals, positions and events are written. Decimals follow tick and lot, not eight places."""

from decimal import Decimal

from ...core.kinds import Side
from ...core.units import ASK, BID
from ..orders import Book, Depth, Instrument, Order, Report, Status, Trade
from ..perpetuals import AUTOCLOSE, PerpetualAccount, Perpetuals, Position
from .wire import Json, side_name, text

UNIVERSE = 1  # `st`: 1 for USD-M, 2 for COIN-M, which shares streams and events
FOREVER_MS = 4133404800000  # the delivery of what is never delivered
PRICE_UP, PRICE_DOWN = Decimal("1.05"), Decimal("0.95")  # of the mark: a buy may not be above, a sell not below
LOTS_MAX = 10_000_000
RATE_LIMITS = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
    {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
]
STEPS = {"TRADE_PREVENTION": "EXPIRED"}  # what Spot has a word of its own for
EXPIRY_REASONS = {"GTC": "4", "IOC": "2", "FOK": "2"}  # a reduce-only order that rested, what an IOC did not get


def price_text(instrument: Instrument, ticks: int) -> str:
    return f"{instrument.price(ticks):f}"


def quantity_text(instrument: Instrument, lots: int) -> str:
    return f"{instrument.quantity(lots):f}"


def levels(instrument: Instrument, rows: list[tuple[int, int]]) -> list[list[str]]:
    return [[price_text(instrument, ticks), quantity_text(instrument, lots)] for ticks, lots in rows]


def _places(step: Decimal) -> int:
    return max(0, -int(step.normalize().as_tuple().exponent))


# --- the market -----------------------------------------------------------------------------------------------
def symbol_info(instrument: Instrument) -> Json:
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": FOREVER_MS,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.quote,
        "pricePrecision": _places(instrument.tick),
        "quantityPrecision": _places(instrument.lot),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "filters": filters(instrument),
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def filters(instrument: Instrument) -> list[Json]:
    lots = {"minQty": quantity_text(instrument, 1), "maxQty": quantity_text(instrument, LOTS_MAX)}
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": price_text(instrument, 1),
            "maxPrice": "4529764",
            "tickSize": price_text(instrument, 1),
        },
        {"filterType": "LOT_SIZE", **lots, "stepSize": quantity_text(instrument, 1)},
        {"filterType": "MARKET_LOT_SIZE", **lots, "stepSize": quantity_text(instrument, 1)},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MIN_NOTIONAL", "notional": f"{instrument.notional_min:f}"},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": f"{PRICE_UP:.4f}",
            "multiplierDown": f"{PRICE_DOWN:.4f}",
            "multiplierDecimal": "4",
        },
    ]


def depth_snapshot(instrument: Instrument, book: Book, limit: int, ts_ms: int) -> Json:
    return {
        "lastUpdateId": book.last_id,
        "E": ts_ms,
        "T": ts_ms,
        "bids": levels(instrument, book.top(BID, limit)),
        "asks": levels(instrument, book.top(ASK, limit)),
    }


def depth_update(depth: Depth, previous_id: int, ts_ms: int) -> Json:
    instrument = depth.instrument
    return {
        "e": "depthUpdate",
        "E": ts_ms,
        "T": ts_ms,
        "s": instrument.symbol,
        "ps": instrument.symbol,
        "U": depth.first_id,
        "u": depth.last_id,
        "pu": previous_id,
        "b": levels(instrument, depth.bids),
        "a": levels(instrument, depth.asks),
        "st": UNIVERSE,
    }


def book_ticker(instrument: Instrument, book: Book, ts_ms: int) -> Json:
    (bid, bid_quantity), (ask, ask_quantity) = (
        (levels(instrument, book.top(s, 1)) or [["0", "0"]])[0] for s in (BID, ASK)
    )
    found = {"e": "bookTicker", "u": book.last_id, "s": instrument.symbol, "ps": instrument.symbol}
    return found | {"b": bid, "B": bid_quantity, "a": ask, "A": ask_quantity, "T": ts_ms, "E": ts_ms, "st": UNIVERSE}


def trade_event(trade: Trade, ts_ms: int) -> Json:
    instrument = trade.instrument
    return {
        "e": "trade",
        "E": ts_ms,
        "T": ts_ms,
        "s": instrument.symbol,
        "t": trade.trade_id,
        "p": price_text(instrument, trade.ticks),
        "q": quantity_text(instrument, trade.lots),
        "X": "MARKET",
        "m": trade.aggressor is Side.SELL,
        "st": UNIVERSE,
    }


def aggregate_trade(trades: list[Trade], number: int, ts_ms: int) -> Json:
    """Prints of one price and one taker side."""
    instrument, quantity = trades[0].instrument, quantity_text(trades[0].instrument, sum(one.lots for one in trades))
    return {
        "e": "aggTrade",
        "E": ts_ms,
        "a": number,
        "s": instrument.symbol,
        "p": price_text(instrument, trades[0].ticks),
        "q": quantity,
        "nq": quantity,
        "f": trades[0].trade_id,
        "l": trades[-1].trade_id,
        "T": ts_ms,
        "m": trades[0].aggressor is Side.SELL,
        "st": UNIVERSE,
    }


def mark_price(exchange: Perpetuals, symbol: str, ts_ms: int) -> Json:
    mark = text(exchange.mark(symbol))
    return {
        "e": "markPriceUpdate",
        "E": ts_ms,
        "s": symbol,
        "p": mark,
        "ap": mark,
        "i": mark,
        "P": mark,
        "r": text(exchange.funding_rates[symbol]),
        "T": exchange.next_funding_ms,
        "st": UNIVERSE,
    }


def premium_index(exchange: Perpetuals, symbol: str, ts_ms: int) -> Json:
    mark = text(exchange.mark(symbol))
    return {
        "symbol": symbol,
        "markPrice": mark,
        "indexPrice": mark,
        "estimatedSettlePrice": mark,
        "lastFundingRate": text(exchange.funding_rates[symbol]),
        "interestRate": "0.00010000",
        "nextFundingTime": exchange.next_funding_ms,
        "time": ts_ms,
    }


# --- orders ---------------------------------------------------------------------------------------------------
def time_in_force(order: Order) -> str:
    return "GTX" if order.is_post_only else order.time_in_force.value


def expiry_reason(order: Order) -> str:
    return "9" if order.kind == "MARKET" else EXPIRY_REASONS[order.time_in_force.value]


def order_result(order: Order) -> Json:
    """The answer to placing and cancelling: neither average price nor fills."""
    instrument = order.instrument
    filled = quantity_text(instrument, order.filled_lots)
    return {
        "orderId": order.order_id,
        "symbol": instrument.symbol,
        "status": order.status.value,
        "clientOrderId": order.client_id,
        "price": price_text(instrument, order.ticks),
        "origQty": quantity_text(instrument, order.lots),
        "executedQty": filled,
        "cumQty": filled,
        "timeInForce": time_in_force(order),
        "type": order.kind,
        "origType": order.kind,
        "side": side_name(order.side),
        "positionSide": "BOTH",
        "reduceOnly": order.is_reduce_only,
        "closePosition": False,
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "updateTime": order.ts_ms,
    }


def average_price(order: Order, filled_lots: int, quote_filled: Decimal) -> str:
    return text(quote_filled / order.instrument.quantity(filled_lots)) if filled_lots else "0.00"


def order_query(order: Order) -> Json:
    return order_result(order) | {
        "avgPrice": average_price(order, order.filled_lots, order.quote_filled),
        "cumQuote": text(order.quote_filled),
        "time": order.ts_ms,
    }


def user_trades(order: Order) -> list[Json]:
    instrument = order.instrument
    return [
        {
            "symbol": instrument.symbol,
            "id": fill.trade_id,
            "orderId": order.order_id,
            "price": price_text(instrument, fill.ticks),
            "qty": quantity_text(instrument, fill.lots),
            "quoteQty": text(instrument.price(fill.ticks) * instrument.quantity(fill.lots)),
            "commission": text(fill.fee),
            "commissionAsset": fill.fee_asset,
            "realizedPnl": text(fill.profit),
            "side": side_name(order.side),
            "positionSide": "BOTH",
            "buyer": order.side is Side.BUY,
            "maker": fill.is_maker,
            "time": order.ts_ms,
        }
        for fill in order.fills
    ]


# --- events ---------------------------------------------------------------------------------------------------
def order_trade_update(report: Report, ts_ms: int) -> Json:
    order, fill = report.order, report.fill
    instrument = order.instrument
    is_liquidation = order.client_id.startswith(AUTOCLOSE)
    found: Json = {
        "s": instrument.symbol,
        "c": order.client_id,
        "S": side_name(order.side),
        "o": "LIQUIDATION" if is_liquidation else order.kind,
        "f": time_in_force(order),
        "q": quantity_text(instrument, order.lots),
        "p": price_text(instrument, order.ticks),
        "ap": average_price(order, report.filled_lots, report.quote_filled),
        "sp": "0",
        "x": "CALCULATED" if is_liquidation and fill else STEPS.get(report.step, report.step),
        "X": report.status.value,
        "i": order.order_id,
        "l": quantity_text(instrument, fill.lots) if fill else "0",
        "z": quantity_text(instrument, report.filled_lots),
        "L": price_text(instrument, fill.ticks) if fill else "0",
        "n": text(fill.fee) if fill else "0",
        "N": fill.fee_asset if fill else instrument.quote,
        "T": ts_ms,
        "t": fill.trade_id if fill else 0,
        "b": "0",
        "a": "0",
        "m": fill.is_maker if fill else False,
        "R": order.is_reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": order.kind,
        "ps": "BOTH",
        "cp": False,
        "rp": text(fill.profit) if fill else "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": 0,
        "er": expiry_reason(order) if report.status is Status.EXPIRED else "0",
    }
    return {"e": "ORDER_TRADE_UPDATE", "E": ts_ms, "T": ts_ms, "o": found, "st": UNIVERSE}


def trade_lite(report: Report, ts_ms: int) -> Json:
    order, fill = report.order, report.fill
    assert fill is not None
    instrument = order.instrument
    return {
        "e": "TRADE_LITE",
        "E": ts_ms,
        "T": ts_ms,
        "s": instrument.symbol,
        "q": quantity_text(instrument, order.lots),
        "p": price_text(instrument, order.ticks),
        "m": fill.is_maker,
        "c": order.client_id,
        "S": side_name(order.side),
        "L": price_text(instrument, fill.ticks),
        "l": quantity_text(instrument, fill.lots),
        "t": fill.trade_id,
        "i": order.order_id,
    }


def account_update(
    account: PerpetualAccount, asset: str, reason: str, change: Decimal, positions: list[Json], ts_ms: int
) -> Json:
    """`change` is what came in or went out besides profit and fees."""
    wallet = text(account.balance(asset).free)
    told: Json = {"m": reason, "B": [{"a": asset, "wb": wallet, "cw": wallet, "bc": text(change)}]}
    return {"e": "ACCOUNT_UPDATE", "E": ts_ms, "T": ts_ms, "a": told | {"P": positions}, "st": UNIVERSE}


def position_update(position: Position, mark: Decimal) -> Json:
    return {
        "s": position.instrument.symbol,
        "pa": f"{position.amount:f}",
        "ep": text(position.entry_price),
        "bep": text(position.entry_price),
        "cr": "0",
        "up": text(position.unrealised(mark)),
        "mt": "cross",
        "iw": "0",
        "ps": "BOTH",
    }
