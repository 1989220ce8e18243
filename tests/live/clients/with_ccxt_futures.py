"""ccxt.pro on the emulated Binance USD-M: `python with_ccxt_futures.py WHERE`; prints what it saw as one JSON line."""

import asyncio
import contextlib
import json
import sys
from typing import Any

import ccxt.pro as ccxt  # type: ignore[import-not-found]

BOOKS = 60  # updates to follow
REAL = "https://fapi.binance.com"
SYMBOL = "BTC/USDT:USDT"


def client(where: dict[str, Any]) -> Any:
    exchange = ccxt.binanceusdm(
        {"apiKey": where["api_key"], "secret": where["api_secret"], "options": {"fetchCurrencies": False}}
    )
    base = where["rest"].removesuffix("/fapi/v1")
    urls, exceptions_of = exchange.urls["api"], exchange.get_exceptions_by_url
    for name, url in urls.items():
        if isinstance(url, str):
            urls[name] = url.replace(REAL, base)
    urls["ws"]["linear"] = where["streams"] + "/ws"  # it makes /public/ws and /private/ws of it
    urls["ws"]["ws-api"]["linear"] = where["ws_api"]
    exchange.get_exceptions_by_url = lambda url, kind: exceptions_of(url.replace(base, REAL), kind)
    return exchange


async def kind_of_error(action: Any) -> str:
    try:
        await action
    except ccxt.BaseError as error:
        return type(error).__name__
    return "none"


async def watch_orders(exchange: Any, seen: list[Any]) -> None:
    while True:
        orders = await exchange.watch_orders(SYMBOL)
        seen += [[order["clientOrderId"], order["status"], order["filled"]] for order in orders]


async def trade(exchange: Any, found: dict[str, Any]) -> None:
    ioc, book = {"timeInForce": "IOC"}, await exchange.watch_order_book(SYMBOL)
    ask, deep, far = book["asks"][0], book["asks"][3][0], round(book["bids"][0][0] * 0.97)
    far -= far % 4

    def send(side: str, amount: float, price: float, **more: Any) -> Any:
        return exchange.create_order(SYMBOL, "limit", side, amount, price, {**ioc, **more})

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
    by_socket = await exchange.create_order_ws(SYMBOL, "limit", "buy", 0.03, deep + 40, ioc)
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
        "taking": await kind_of_error(send("buy", 0.03, deep + 80, postOnly=True, timeInForce="GTX")),
        "whole or nothing": await kind_of_error(send("buy", 500, ask[0], timeInForce="FOK")),
        "margin mode": await kind_of_error(exchange.set_margin_mode("cross", SYMBOL)),
    }


async def main(where: dict[str, Any]) -> None:
    exchange, seen = client(where), list[Any]()
    found: dict[str, Any] = {"crossed": 0, "nonces": []}
    try:
        await exchange.load_markets()
        market = exchange.market(SYMBOL)
        found["market"] = [
            market["linear"],
            market["contractSize"],
            market["precision"]["amount"],
            market["limits"]["cost"]["min"],
        ]
        found["leverage"] = (await exchange.set_leverage(10, SYMBOL))["leverage"]
        watching = asyncio.create_task(watch_orders(exchange, seen))
        for _ in range(BOOKS):  # it keeps the book itself and raises ChecksumError when pu is not the last u
            book = await exchange.watch_order_book(SYMBOL)
            found["nonces"].append(book["nonce"])
            found["crossed"] += book["bids"][0][0] >= book["asks"][0][0]
        found["trades"] = len(await exchange.watch_trades(SYMBOL))
        await trade(exchange, found)
        funding = await exchange.fetch_funding_rate(SYMBOL)
        found["funding"] = [
            funding["fundingRate"],
            funding["nextFundingTimestamp"] % 28_800_000
            if funding["nextFundingTimestamp"]
            else funding["fundingTimestamp"] % 28_800_000,
        ]
        found["balance"] = (await exchange.fetch_balance())["USDT"]["total"]
        exchange.secret = "wrong"
        found["errors"]["signature"] = await kind_of_error(exchange.fetch_balance())
        await asyncio.sleep(0.5)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        found["events"] = seen
        sys.stdout.write(json.dumps(found) + "\n")
    finally:
        await exchange.close()


asyncio.run(main(json.loads(sys.argv[1])))
