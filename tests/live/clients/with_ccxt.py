"""ccxt.pro on the emulated Binance Spot: `python with_ccxt.py WHERE`; prints what it saw as one JSON line."""

import asyncio
import contextlib
import json
import sys
from typing import Any

import ccxt.pro as ccxt  # type: ignore[import-not-found]

MUCH = 300  # more than rests within ten ticks, wherever the touch is by then
BOOKS = 60  # updates to follow


def client(where: dict[str, Any]) -> Any:
    exchange = ccxt.binance(
        {
            "apiKey": where["api_key"],
            "secret": where["api_secret"],
            "options": {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False},
        }
    )
    base = where["rest"].removesuffix("/api/v3")
    urls = exchange.urls["api"]
    for name, url in urls.items():
        if isinstance(url, str):
            urls[name] = url.replace("https://api.binance.com", base)
    urls["ws"]["spot"] = where["streams"] + "/stream/ws"
    urls["ws"]["ws-api"]["spot"] = where["ws_api"]
    return exchange


async def kind_of_error(action: Any) -> str:
    try:
        await action
    except ccxt.BaseError as error:
        return type(error).__name__
    return "none"


async def watch_orders(exchange: Any, seen: list[Any]) -> None:
    while True:
        seen += [
            [order["clientOrderId"], order["status"], order["filled"]]
            for order in await exchange.watch_orders("BTC/USDT")
        ]


async def main(where: dict[str, Any]) -> None:
    exchange, seen = client(where), list[Any]()
    try:
        await exchange.load_markets()
        found: dict[str, Any] = {"precision": exchange.market("BTC/USDT")["precision"], "crossed": 0, "nonces": []}
        watching = asyncio.create_task(watch_orders(exchange, seen))
        for _ in range(BOOKS):  # it keeps the book itself and raises ChecksumError on a gap
            book = await exchange.watch_order_book("BTC/USDT")
            found["nonces"].append(book["nonce"])
            found["crossed"] += book["bids"][0][0] >= book["asks"][0][0]
        best = book["asks"][0]
        deep = book["asks"][3][0]
        ioc = {"timeInForce": "IOC"}
        filled = await exchange.create_order("BTC/USDT", "limit", "buy", 0.01, deep, ioc | {"clientOrderId": "whole"})
        found["filled"] = [filled["status"], filled["filled"], filled["cost"] > 0, len(filled["trades"])]
        above = (await exchange.watch_order_book("BTC/USDT"))["asks"][0][0] + 40
        partly = await exchange.create_order("BTC/USDT", "limit", "buy", MUCH, above, ioc | {"clientOrderId": "partly"})
        found["partly"] = [partly["status"], 0 < partly["filled"] < MUCH]
        missed = await exchange.create_order(
            "BTC/USDT", "limit", "buy", 0.01, best[0] * 0.9, ioc | {"clientOrderId": "missed"}
        )
        found["missed"] = [missed["status"], missed["filled"]]
        resting = await exchange.create_order(
            "BTC/USDT", "limit", "buy", 0.01, best[0] * 0.9, {"clientOrderId": "resting"}
        )
        found["open"] = [order["clientOrderId"] for order in await exchange.fetch_open_orders("BTC/USDT")]
        found["cancelled"] = (await exchange.cancel_order(resting["id"], "BTC/USDT"))["status"]
        found["fetched"] = (await exchange.fetch_order(filled["id"], "BTC/USDT"))["status"]
        found["trades"] = len(await exchange.fetch_my_trades("BTC/USDT"))
        found["balance"] = (await exchange.fetch_balance())["BTC"]["total"]
        found["by_socket"] = (await exchange.create_order_ws("BTC/USDT", "limit", "buy", 0.01, deep, ioc))["status"]
        found["errors"] = {
            "funds": await kind_of_error(exchange.create_order("BTC/USDT", "limit", "buy", 5000, best[0], ioc)),
            "unknown": await kind_of_error(exchange.cancel_order("999999", "BTC/USDT")),
            "notional": await kind_of_error(exchange.create_order("BTC/USDT", "limit", "buy", 0.001, 1000.0, ioc)),
            "taking": await kind_of_error(
                exchange.create_order("BTC/USDT", "limit", "buy", 0.01, deep, {"postOnly": True})
            ),
        }
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
