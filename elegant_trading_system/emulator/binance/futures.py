"""Binance USD-M on this machine: perpetuals over REST (/fapi) and the WebSocket API (ws-fapi), without a socket."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar

from ..orders import DUPLICATE, FINAL, WOULD_TAKE, Account, Instrument, Order, Refusal, TimeInForce
from ..perpetuals import BRACKETS, MARGIN, REDUCE_ONLY, UNFILLABLE, PerpetualAccount, Perpetuals
from . import futures_accounts as words
from . import futures_wire as wire
from .futures_streams import LISTEN_KEY_MS, FuturesStreams
from .request import integer, side_of, steps_of
from .venue import BinanceVenue, Key, Requests
from .wire import ApiError, Json

CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
OPEN_ORDERS_MAX = 200
WEIGHTS = {
    "allOrders": 5,
    "userTrades": 5,
    "account": 5,
    "balance": 5,
    "positionRisk": 5,
    "accountConfig": 5,
    "symbolConfig": 5,
    "income": 30,
    "feeBurn": 30,
    "commissionRate": 20,
    "countdownCancelAll": 10,
    "dual": 30,
}
REFUSALS = {
    MARGIN: (-2019, MARGIN),
    REDUCE_ONLY: (-2022, REDUCE_ONLY),
    UNFILLABLE: (-5021, UNFILLABLE),
    DUPLICATE: (-4116, "ClientOrderId is duplicated."),
    WOULD_TAKE: (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected.",
    ),
}
ORDER_TIMES = {"GTC", "IOC", "FOK", "GTX"}


class BinanceFutures(BinanceVenue):
    """The venue of perpetuals."""

    prefix = "/fapi/"
    rate_limits = wire.RATE_LIMITS
    order_weight = 0
    api_weights: ClassVar[dict[str, int]] = {}
    streams: FuturesStreams

    def __init__(self, exchange: Perpetuals, keys: dict[str, Key], now_ns: Callable[[], int]) -> None:
        super().__init__(exchange, keys, now_ns, FuturesStreams(exchange, now_ns))
        self.perpetuals = exchange

    def public(self, params: dict[str, str]) -> Requests:
        return {
            "v1/ping": dict,
            "v1/time": lambda: {"serverTime": self.now_ms},
            "v1/exchangeInfo": self.exchange_info,
            "v1/depth": lambda: self.depth(params),
            "v1/klines": lambda: self.kline_rows(params),
            "v1/ticker/bookTicker": lambda: self.touch(params),
            "v1/premiumIndex": lambda: self.premium_index(params),
            "v1/fundingRate": lambda: self.funding_rates(params),
            "v1/fundingInfo": list,
        }

    def api_public(self, params: dict[str, Any]) -> Requests:
        return {
            "ping": dict,
            "time": lambda: {"serverTime": self.now_ms},
            "depth": lambda: {**self.depth(params), "symbol": params.get("symbol")},
            "ticker.book": lambda: self.touch(params),
        }

    def weight(self, name: str, params: dict[str, str]) -> int:
        limit = integer(params, "limit", 500)
        if name == "v1/depth":
            return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20
        if name == "v1/klines":
            return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10
        return WEIGHTS.get(name.rpartition("/")[2], 1)

    def show(self, order: Order) -> Json:
        return wire.order_query(order)

    def show_fills(self, order: Order) -> list[Json]:
        return wire.user_trades(order)

    # --- public requests --------------------------------------------------------------------------------------
    def exchange_info(self) -> Json:
        instruments = self.exchange.instruments.values()
        assets = sorted({instrument.quote for instrument in instruments})
        return {
            "timezone": "UTC",
            "serverTime": self.now_ms,
            "futuresType": "U_MARGINED",
            "rateLimits": self.rate_limits,
            "exchangeFilters": [],
            "assets": [{"asset": asset, "marginAvailable": True, "autoAssetExchange": "0"} for asset in assets],
            "symbols": [wire.symbol_info(instrument) for instrument in instruments],
        }

    def depth(self, params: dict[str, Any]) -> Json:
        instrument, limit = self.instrument(params), min(integer(params, "limit", 500), 1000)
        return wire.depth_snapshot(instrument, self.exchange.books[instrument.symbol], limit, self.now_ms)

    def touch(self, params: dict[str, Any]) -> Json:
        instrument = self.instrument(params)
        found = wire.book_ticker(instrument, self.exchange.books[instrument.symbol], self.now_ms)
        names = {"s": "symbol", "b": "bidPrice", "B": "bidQty", "a": "askPrice", "A": "askQty", "T": "time"}
        return {name: found[letter] for letter, name in names.items()} | {"lastUpdateId": found["u"]}

    def premium_index(self, params: dict[str, Any]) -> Any:
        if (price := self.coin_price(params)) is not None:
            return {"symbol": params["symbol"], "markPrice": price}
        if params.get("symbol"):
            return wire.premium_index(self.perpetuals, self.instrument(params).symbol, self.now_ms)
        return [wire.premium_index(self.perpetuals, symbol, self.now_ms) for symbol in self.exchange.instruments]

    def funding_rates(self, params: dict[str, Any]) -> list[Json]:
        symbol = params.get("symbol")
        return [
            {"symbol": name, "fundingTime": ts_ms, "fundingRate": f"{rate:.8f}", "markPrice": f"{mark:.8f}"}
            for name, ts_ms, rate, mark in self.perpetuals.fundings
            if symbol in (None, name)
        ][-integer(params, "limit", 100) :]

    # --- requests with a key and no signature -----------------------------------------------------------------
    def _route(self, method: str, name: str, params: dict[str, str], signed: str, api_key: str) -> Any:
        if name == "v1/listenKey":
            return self.listen_key(method, self.key(api_key).account)
        return super()._route(method, name, params, signed, api_key)

    def listen_key(self, method: str, account: Account) -> Json:
        owner = _perpetual(account)
        if method == "POST":
            return {"listenKey": self.streams.issue_key(owner)}
        alive = [name for name, key in self.streams.listen_keys.items() if key.account is owner]
        if not alive:
            raise ApiError(-1125, "This listenKey does not exist.")
        if method == "DELETE":
            del self.streams.listen_keys[alive[0]]
            return {}
        self.streams.listen_keys[alive[0]].expires_ms = self.now_ms + LISTEN_KEY_MS
        return {"listenKey": alive[0]}

    def api_private(self, session: Any, account: Account, method: str, params: dict[str, Any]) -> Any:
        verbs = {"userDataStream.start": "POST", "userDataStream.ping": "PUT", "userDataStream.stop": "DELETE"}
        if method in verbs:
            return self.listen_key(verbs[method], account)
        return super().api_private(session, account, method, params)

    # --- orders -----------------------------------------------------------------------------------------------
    def place(self, account: Account, params: dict[str, Any]) -> Json:
        instrument, side, kind = self.instrument(params), side_of(params), str(params.get("type", ""))
        client_id = str(params.get("newClientOrderId", ""))
        if client_id and not CLIENT_ID.fullmatch(client_id):
            raise ApiError(-4015, "Client order id length should not be more than 36 chars")
        self._check_mode(_perpetual(account), params)
        if kind not in ("LIMIT", "MARKET"):
            raise ApiError(-1116, "Invalid orderType.")
        lots = self._lots(instrument, params)
        ticks = 0 if kind == "MARKET" else self._ticks(instrument, params)
        time_in_force = str(params.get("timeInForce", "")) if kind == "LIMIT" else "GTC"
        if time_in_force not in ORDER_TIMES:
            raise ApiError(-1115, "Invalid timeInForce.")
        is_reduce_only = str(params.get("reduceOnly", False)).lower() == "true"
        self._check_size(account, instrument, ticks, lots, is_reduce_only=is_reduce_only)
        self.count_order(account)
        try:
            order, events = self.exchange.place(
                account,
                instrument,
                side,
                kind,
                TimeInForce.GTC if time_in_force == "GTX" else TimeInForce(time_in_force),
                ticks,
                lots,
                client_id,
                self.now_ms,
                is_post_only=time_in_force == "GTX",
                is_reduce_only=is_reduce_only,
            )
        except Refusal as refusal:
            raise ApiError(*REFUSALS[refusal.reason]) from None
        found = wire.order_result(order)  # ACK is answered before the order has met the market
        self.streams.publish(events)
        is_result = params.get("newOrderRespType", "ACK") == "RESULT"
        untouched = {"status": "NEW", "executedQty": "0", "cumQty": "0"}
        return found if is_result else found | untouched

    def _check_mode(self, account: PerpetualAccount, params: dict[str, Any]) -> None:
        if account.is_hedged or params.get("positionSide", "BOTH") != "BOTH":
            raise ApiError(-4061, "Order's position side does not match user's setting.")

    def _lots(self, instrument: Instrument, params: dict[str, Any]) -> int:
        refusal = ApiError(-1111, "Precision is over the maximum defined for this asset.")
        lots = steps_of(params, "quantity", instrument.lot, refusal)
        if lots > wire.LOTS_MAX:
            raise ApiError(-4005, "Quantity greater than max quantity.")
        return lots

    def _ticks(self, instrument: Instrument, params: dict[str, Any]) -> int:
        refusal = ApiError(-4014, "Price not increased by tick size.")
        ticks = steps_of(params, "price", instrument.tick, refusal)
        mark, price = self.perpetuals.mark(instrument.symbol), instrument.price(ticks)
        is_buy = params.get("side") == "BUY"
        if is_buy and price > mark * wire.PRICE_UP:
            raise ApiError(-4016, f"Limit price can't be higher than {mark * wire.PRICE_UP:.2f}.")
        if not is_buy and price < mark * wire.PRICE_DOWN:
            raise ApiError(-4024, f"Limit price can't be lower than {mark * wire.PRICE_DOWN:.2f}.")
        return ticks

    def _check_size(
        self, account: Account, instrument: Instrument, ticks: int, lots: int, *, is_reduce_only: bool
    ) -> None:
        price = instrument.price(ticks) if ticks else self.perpetuals.mark(instrument.symbol)
        least = instrument.notional_min
        if price * instrument.quantity(lots) < least and not is_reduce_only:
            raise ApiError(
                -4164, f"Order's notional must be no smaller than {least:f} (unless you choose reduce only)."
            )
        if len(account.open_orders(instrument.symbol)) >= OPEN_ORDERS_MAX:
            raise ApiError(-2025, "Reach max open order limit.")

    def cancel(self, account: Account, params: dict[str, Any]) -> Json:
        missing = ApiError(-2011, "Unknown order sent.")
        order = self.find(account, params, missing)
        if order.status in FINAL:
            raise missing
        self.streams.publish(self.exchange.cancel(order))
        return wire.order_result(order)

    def cancel_all(self, account: Account, params: dict[str, Any]) -> Json:
        for order in account.open_orders(self.instrument(params).symbol):
            self.streams.publish(self.exchange.cancel(order))
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def count_down(self, account: Account, params: dict[str, Any]) -> Json:
        """The dead man's switch of one symbol; 0 ends it."""
        symbol, after_ms = self.instrument(params).symbol, integer(params, "countdownTime", 0)
        self.perpetuals.countdowns.pop((account.name, symbol), None)
        if after_ms > 0:
            self.perpetuals.countdowns[account.name, symbol] = self.now_ms + after_ms
        return {"symbol": symbol, "countdownTime": str(after_ms)}

    # --- the account ------------------------------------------------------------------------------------------
    def account_status(self, account: Account, params: dict[str, Any]) -> Json:  # noqa: ARG002 - one signature for all
        return words.account_info(self.perpetuals, _perpetual(account), self._settled(), self.now_ms)

    def balance(self, account: Account, params: dict[str, Any]) -> list[Json]:  # noqa: ARG002
        return words.balances(self.perpetuals, _perpetual(account), self.now_ms)

    def _settled(self) -> str:
        return next(iter(self.exchange.instruments.values())).quote

    def position_risk(self, account: Account, params: dict[str, Any]) -> list[Json]:
        """Only what is held or waited for."""
        owner, symbol = _perpetual(account), params.get("symbol")
        return [
            words.position_risk(self.perpetuals, owner, position)
            for name, position in owner.positions.items()
            if symbol in (None, name) and (position.lots or owner.open_orders(name))
        ]

    def account_config(self, account: Account, params: dict[str, Any]) -> Json:  # noqa: ARG002
        return {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": False,
            "dualSidePosition": _perpetual(account).is_hedged,
            "updateTime": 0,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }

    def fee_burn(self, account: Account, params: dict[str, Any]) -> Json:  # noqa: ARG002
        return {"feeBurn": account.fee_coin is not None}

    def symbol_config(self, account: Account, params: dict[str, Any]) -> list[Json]:
        wanted = [self.instrument(params)] if params.get("symbol") else self.exchange.instruments.values()
        return [words.symbol_config(_perpetual(account).position(instrument)) for instrument in wanted]

    def leverage(self, account: Account, params: dict[str, Any]) -> Json:
        owner, instrument, leverage = _perpetual(account), self.instrument(params), integer(params, "leverage", 0)
        if not 1 <= leverage <= BRACKETS[0].leverage_max:
            raise ApiError(-4028, f"Leverage {leverage} is not valid")
        position = owner.position(instrument)
        if abs(position.amount) * self.perpetuals.mark(instrument.symbol) > words.notional_max(leverage):
            raise ApiError(-2027, "Exceeded the maximum allowable position at current leverage.")
        before, position.leverage = position.leverage, leverage
        if leverage < before and self.perpetuals.available(owner, instrument.quote) < 0:
            position.leverage = before
            raise ApiError(-2028, "Leverage is smaller than permitted: insufficient margin balance.")
        return {
            "leverage": leverage,
            "maxNotionalValue": f"{words.notional_max(leverage):f}",
            "symbol": instrument.symbol,
        }

    def margin_type(self, account: Account, params: dict[str, Any]) -> Json:  # noqa: ARG002
        """Cross is all there is."""
        self.instrument(params)
        if params.get("marginType") != "CROSSED":
            raise ApiError(-4168, "Unable to adjust to isolated-margin mode under the Multi-Assets mode.")
        raise ApiError(-4046, "No need to change margin type.")

    def change_mode(self, account: Account, params: dict[str, Any]) -> Json:
        owner, is_hedged = _perpetual(account), str(params.get("dualSidePosition")).lower() == "true"
        if owner.is_hedged == is_hedged:
            raise ApiError(-4059, "No need to change position side.")
        if owner.open_orders():
            raise ApiError(-4067, "Position side cannot be changed if there exists open orders.")
        if owner.open_positions():
            raise ApiError(-4068, "Position side cannot be changed if there exists position.")
        owner.is_hedged = is_hedged
        return {"code": 200, "msg": "success"}

    def mode(self, account: Account, params: dict[str, Any]) -> Json:  # noqa: ARG002
        return {"dualSidePosition": _perpetual(account).is_hedged}

    def brackets(self, account: Account, params: dict[str, Any]) -> list[Json]:  # noqa: ARG002
        wanted = [self.instrument(params)] if params.get("symbol") else self.exchange.instruments.values()
        return [words.leverage_brackets(instrument) for instrument in wanted]

    def commission(self, account: Account, params: dict[str, Any]) -> Json:  # noqa: ARG002
        return {
            "symbol": self.instrument(params).symbol,
            "makerCommissionRate": _rate(self.perpetuals.maker_fee_rate),
            "takerCommissionRate": _rate(self.perpetuals.fee_rate),
        }

    def income(self, account: Account, params: dict[str, Any]) -> list[Json]:
        first, symbol = integer(params, "startTime", 0), params.get("symbol")
        rows = [row for row in _perpetual(account).income if row.ts_ms >= first and symbol in (None, row.symbol)]
        is_wanted, limit = params.get("incomeType", "FUNDING_FEE") == "FUNDING_FEE", integer(params, "limit", 100)
        return [words.income(row) for row in (rows[:limit] if first else rows[-limit:])] if is_wanted else []

    private = {  # noqa: RUF012 - declared as ClassVar above
        ("POST", "v1/order"): place,
        ("GET", "v1/order"): BinanceVenue.query,
        ("GET", "v1/feeBurn"): fee_burn,
        ("DELETE", "v1/order"): cancel,
        ("DELETE", "v1/allOpenOrders"): cancel_all,
        ("POST", "v1/countdownCancelAll"): count_down,
        ("GET", "v1/openOrders"): BinanceVenue.open_orders,
        ("GET", "v1/allOrders"): BinanceVenue.all_orders,
        ("GET", "v1/userTrades"): BinanceVenue.trades,
        ("GET", "v2/account"): account_status,
        ("GET", "v3/account"): account_status,
        ("GET", "v2/balance"): balance,
        ("GET", "v3/balance"): balance,
        ("GET", "v2/positionRisk"): position_risk,
        ("GET", "v3/positionRisk"): position_risk,
        ("GET", "v1/accountConfig"): account_config,
        ("GET", "v1/symbolConfig"): symbol_config,
        ("POST", "v1/leverage"): leverage,
        ("POST", "v1/marginType"): margin_type,
        ("POST", "v1/positionSide/dual"): change_mode,
        ("GET", "v1/positionSide/dual"): mode,
        ("GET", "v1/leverageBracket"): brackets,
        ("GET", "v1/commissionRate"): commission,
        ("GET", "v1/income"): income,
    }
    api_methods = {  # noqa: RUF012
        "order.place": place,
        "order.status": BinanceVenue.query,
        "order.cancel": cancel,
        "account.status": account_status,
        "v2/account.status": account_status,
        "account.balance": balance,
        "v2/account.balance": balance,
        "account.position": position_risk,
        "v2/account.position": position_risk,
    }


def _perpetual(account: Account) -> PerpetualAccount:
    assert isinstance(account, PerpetualAccount)
    return account


def _rate(rate: Decimal) -> str:
    return f"{rate:.6f}"
