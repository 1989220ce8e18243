"""ccxt.pro on the emulated Binance USD-M: `python with_ccxt_futures.py WHERE`; prints what it saw as one JSON line."""

from typing import Any

import ccxt.pro as ccxt  # type: ignore[import-not-found]
from ccxt_shared import IOC, follow_book, kind_of_error, pointed, tell  # type: ignore[import-not-found]

BOOKS = 60  # updates to follow
FAR_ABOVE = 400  # dollars: taking still, when the market has moved while others kept the machine busy
REAL = "https://fapi.binance.com"
SYMBOL = "BTC/USDT:USDT"


def client(where: dict[str, Any]) -> Any:
    options = {"fetchCurrencies": False}
    exchange = ccxt.binanceusdm({"apiKey": where["api_key"], "secret": where["api_secret"], "options": options})
    base = where["rest"].removesuffix("/fapi/v1")
    urls, exceptions_of = exchange.urls["api"], exchange.get_exceptions_by_url
    urls["ws"]["linear"] = where["streams"] + "/ws"  # it makes /public/ws and /private/ws of it
    urls["ws"]["ws-api"]["linear"] = where["ws_api"]
    exchange.get_exceptions_by_url = lambda url, kind: exceptions_of(url.replace(base, REAL), kind)
    return pointed(exchange, REAL, base)


async def trade(exchange: Any, found: dict[str, Any]) -> None:
    book = await exchange.watch_order_book(SYMBOL)
    ask, deep, far = book["asks"][0], book["asks"][0][0] + FAR_ABOVE, round(book["bids"][0][0] * 0.97)
    far -= far % 4

    def send(side: str, amount: float, price: float, **more: Any) -> Any:
        return exchange.create_order(SYMBOL, "limit", side, amount, price, {**IOC, **more})

    filled = await send("buy", 0.03, deep, clientOrderId="whole")
    found["filled"] = [filled["status"], filled["filled"]]
    touch, size = (await exchange.watch_order_book(SYMBOL))["asks"][0]
    partly = await send("buy", round(size + 30, 2), touch, clientOrderId="partly")
    found["partly"] = [partly["status"], 0 <= partly["filled"] < size + 30]
    found["missed"] = (await send("buy", 0.03, far, clientOrderId="missed"))["status"]
    resting = await send("buy", 0.03, far, clientOrderId="resting", timeInForce="GTC")
    found["duplicate"] = await kind_of_error(send("buy", 0.03, far, clientOrderId="resting", timeInForce="GTC"))
    found["open"] = [order["clientOrderId"] for order in await exchange.fetch_open_orders(SYMBOL)]
    found["cancelled"] = (await exchange.cancel_order(resting["id"], SYMBOL))["status"]
    fetched = await exchange.fetch_order(filled["id"], SYMBOL)
    found["fetched"] = [fetched["status"], fetched["average"] > 0]
    trades = await exchange.fetch_my_trades(SYMBOL)
    found["fees"] = sorted({trade["fee"]["currency"] for trade in trades})
    [position] = await exchange.fetch_positions([SYMBOL])
    found["position"] = [position["side"], position["contracts"] >= 0.03, position["leverage"]]
    by_socket = await exchange.create_order_ws(SYMBOL, "limit", "buy", 0.03, deep, IOC)
    found["by_socket"] = by_socket["status"]
    [position] = await exchange.fetch_positions([SYMBOL])
    closing = await exchange.create_order(
        SYMBOL, "market", "sell", position["contracts"], None, {"reduceOnly": True, "clientOrderId": "closing"}
    )
    found["closing"] = (await exchange.fetch_order(closing["id"], SYMBOL))["reduceOnly"]
    found["errors"] = {
        "funds": await kind_of_error(send("buy", 90_000, ask[0])),
        "unknown": await kind_of_error(exchange.cancel_order("999999", SYMBOL)),
        "notional": await kind_of_error(send("buy", 0.00, 1000.0)),
        "taking": await kind_of_error(send("buy", 0.03, deep, postOnly=True, timeInForce="GTX")),
        "whole or nothing": await kind_of_error(send("buy", 500, ask[0], timeInForce="FOK")),
        "margin mode": await kind_of_error(exchange.set_margin_mode("cross", SYMBOL)),
    }


async def drive(exchange: Any, found: dict[str, Any]) -> None:
    market = exchange.market(SYMBOL)
    found["market"] = [
        market["linear"],
        market["contractSize"],
        market["precision"]["amount"],
        market["limits"]["cost"]["min"],
    ]
    found["leverage"] = (await exchange.set_leverage(10, SYMBOL))["leverage"]
    await follow_book(exchange, SYMBOL, BOOKS, found)  # it raises ChecksumError when pu is not the last u
    found["trades"] = len(await exchange.watch_trades(SYMBOL))
    await trade(exchange, found)
    funding = await exchange.fetch_funding_rate(SYMBOL)
    next_ms = funding["nextFundingTimestamp"] or funding["fundingTimestamp"]
    found["funding"] = [funding["fundingRate"], next_ms % 28_800_000]
    found["balance"] = (await exchange.fetch_balance())["USDT"]["total"]
    exchange.secret = "wrong"
    found["errors"]["signature"] = await kind_of_error(exchange.fetch_balance())


tell(client, SYMBOL, drive)
