"""ccxt.pro on the emulated Coinbase: `python with_ccxt_coinbase.py WHERE`; prints what it saw as one JSON line."""

import asyncio
import contextlib
import json
import sys
from typing import Any
from urllib.parse import urlsplit

import ccxt.pro as ccxt  # type: ignore[import-not-found]

BOOKS = 30
MUCH = 500.0  # more than is to be had near the touch


def client(where: dict[str, Any]) -> Any:
    exchange = ccxt.coinbase({"apiKey": where["api_key"], "secret": where["api_secret"], "rateLimit": 110})
    exchange.urls["api"]["rest"] = f"http://{urlsplit(where['rest']).netloc}"
    exchange.urls["api"]["ws"] = where["streams"]
    return exchange


async def kind_of_error(action: Any) -> str:
    try:
        await action
    except ccxt.BaseError as error:
        return type(error).__name__
    return "none"


async def watch_orders(exchange: Any, seen: list[Any]) -> None:
    while True:
        seen += [[order["clientOrderId"], order["status"]] for order in await exchange.watch_orders("BTC/USD")]


async def main(where: dict[str, Any]) -> None:
    exchange, seen = client(where), list[Any]()
    try:
        await exchange.load_markets()
        market = exchange.market("BTC/USD")
        found: dict[str, Any] = {"precision": market["precision"], "crossed": 0, "levels": BOOKS * 20}
        watching = asyncio.create_task(watch_orders(exchange, seen))
        for _ in range(BOOKS):  # it neither numbers its frames nor checks them
            book = await exchange.watch_order_book("BTC/USD")
            found["crossed"] += book["bids"][0][0] >= book["asks"][0][0]
            found["levels"] = min(found["levels"], len(book["bids"]), len(book["asks"]))
        found["trades"] = len(await exchange.watch_trades("BTC/USD")) > 0
        best = (await exchange.fetch_order_book("BTC/USD"))["asks"][0][0]
        deep, far = best * 1.001, best * 0.9

        async def place(name: str, amount: float, price: float, **more: Any) -> Any:
            params = {"client_order_id": f"ccxt-{name}", **more}
            made = await exchange.create_order("BTC/USD", "limit", "buy", amount, price, params)
            return await exchange.fetch_order(made["id"])

        ioc = {"timeInForce": "IOC"}
        whole = await place("whole", 0.01, deep, **ioc)
        found["whole"] = [whole["status"], whole["filled"], whole["fee"]["currency"]]
        partly = await place("partly", MUCH, deep, **ioc)
        found["partly"] = [partly["status"], 0 < partly["filled"] < MUCH]
        found["missed"] = [(await place("missed", 0.01, far, **ioc))[name] for name in ("status", "filled")]
        resting = await place("resting", 0.01, far, postOnly=True)
        found["open"] = [order["clientOrderId"] for order in await exchange.fetch_open_orders("BTC/USD")]
        await exchange.cancel_order(resting["id"])
        found["resting"] = [resting["status"], (await exchange.fetch_order(resting["id"]))["status"]]
        found["fills"] = len(await exchange.fetch_my_trades("BTC/USD"))
        found["candles"] = len(await exchange.fetch_ohlcv("BTC/USD", "1m", limit=20))
        found["balance"] = (await exchange.fetch_balance({"v3": True}))["BTC"]["total"] > 0
        found["errors"] = {
            "funds": await kind_of_error(place("f", 9000, deep, **ioc)),
            "unknown": await kind_of_error(exchange.fetch_order("0de50000-0000-0000-0000-00000000ffff")),
            "taking": await kind_of_error(place("t", 0.01, deep, postOnly=True)),
        }
        exchange.apiKey = "organizations/x/apiKeys/y"
        found["errors"]["key"] = await kind_of_error(exchange.fetch_balance({"v3": True}))
        await asyncio.sleep(0.5)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        found["events"] = seen
        sys.stdout.write(json.dumps(found) + "\n")
    finally:
        await exchange.close()


asyncio.run(main(json.loads(sys.argv[1])))
