"""ccxt.pro on the emulated Coinbase: `python with_ccxt_coinbase.py WHERE`; prints what it saw as one JSON line."""

from typing import Any
from urllib.parse import urlsplit

import ccxt.pro as ccxt  # type: ignore[import-not-found]
from ccxt_shared import IOC, follow_book, kind_of_error, tell  # type: ignore[import-not-found]

BOOKS = 30
MUCH = 500.0  # more than is to be had near the touch
SYMBOL = "BTC/USD"


def client(where: dict[str, Any]) -> Any:
    exchange = ccxt.coinbase({"apiKey": where["api_key"], "secret": where["api_secret"], "rateLimit": 110})
    exchange.urls["api"]["rest"] = f"http://{urlsplit(where['rest']).netloc}"
    exchange.urls["api"]["ws"] = where["streams"]
    return exchange


async def drive(exchange: Any, found: dict[str, Any]) -> None:
    await follow_book(exchange, SYMBOL, BOOKS, found)  # it neither numbers its frames nor checks them
    found["trades"] = len(await exchange.watch_trades(SYMBOL)) > 0
    best = (await exchange.fetch_order_book(SYMBOL))["asks"][0][0]
    deep, far = best * 1.001, best * 0.9

    async def place(name: str, amount: float, price: float, **more: Any) -> Any:
        params = {"client_order_id": f"ccxt-{name}", **more}
        made = await exchange.create_order(SYMBOL, "limit", "buy", amount, price, params)
        return await exchange.fetch_order(made["id"])

    whole = await place("whole", 0.01, best * 1.01, **IOC)
    found["whole"] = [whole["status"], whole["filled"], whole["fee"]["currency"]]
    partly = await place("partly", MUCH, deep, **IOC)
    found["partly"] = [partly["status"], 0 < partly["filled"] < MUCH]
    found["missed"] = [(await place("missed", 0.01, far, **IOC))[name] for name in ("status", "filled")]
    resting = await place("resting", 0.01, far, postOnly=True)
    found["open"] = [order["clientOrderId"] for order in await exchange.fetch_open_orders(SYMBOL)]
    await exchange.cancel_order(resting["id"])
    found["resting"] = [resting["status"], (await exchange.fetch_order(resting["id"]))["status"]]
    found["fills"] = len(await exchange.fetch_my_trades(SYMBOL))
    found["candles"] = len(await exchange.fetch_ohlcv(SYMBOL, "1m", limit=20))
    found["balance"] = (await exchange.fetch_balance({"v3": True}))["BTC"]["total"] > 0
    found["errors"] = {
        "funds": await kind_of_error(place("f", 9000, deep, **IOC)),
        "unknown": await kind_of_error(exchange.fetch_order("0de50000-0000-0000-0000-00000000ffff")),
        "taking": await kind_of_error(place("t", 0.01, best * 1.01, postOnly=True)),
    }
    exchange.apiKey = "organizations/x/apiKeys/y"
    found["errors"]["key"] = await kind_of_error(exchange.fetch_balance({"v3": True}))


tell(client, SYMBOL, drive)
