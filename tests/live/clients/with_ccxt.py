"""ccxt.pro on the emulated Binance Spot: `python with_ccxt.py WHERE`; prints what it saw as one JSON line."""

from typing import Any

import ccxt.pro as ccxt  # type: ignore[import-not-found]
from ccxt_shared import IOC, follow_book, kind_of_error, pointed, tell  # type: ignore[import-not-found]

MUCH = 300  # more than rests within ten ticks, wherever the touch is by then
BOOKS = 60  # updates to follow
FAR_ABOVE = 400  # dollars: taking still, when the market has moved while others kept the machine busy
SYMBOL = "BTC/USDT"


def client(where: dict[str, Any]) -> Any:
    options = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}
    exchange = ccxt.binance({"apiKey": where["api_key"], "secret": where["api_secret"], "options": options})
    urls = exchange.urls["api"]
    urls["ws"]["spot"] = where["streams"] + "/stream/ws"
    urls["ws"]["ws-api"]["spot"] = where["ws_api"]
    return pointed(exchange, "https://api.binance.com", where["rest"].removesuffix("/api/v3"))


async def drive(exchange: Any, found: dict[str, Any]) -> None:
    found["precision"] = exchange.market(SYMBOL)["precision"]
    await follow_book(exchange, SYMBOL, BOOKS, found)
    asks = (await exchange.watch_order_book(SYMBOL))["asks"]
    best = asks[0][0]
    deep = best + FAR_ABOVE

    def buy(amount: float, price: float, **more: Any) -> Any:
        return exchange.create_order(SYMBOL, "limit", "buy", amount, price, more)

    filled = await buy(0.01, deep, clientOrderId="whole", **IOC)
    found["filled"] = [filled["status"], filled["filled"], filled["cost"] > 0, len(filled["trades"])]
    above = (await exchange.watch_order_book(SYMBOL))["asks"][0][0] + 40
    partly = await buy(MUCH, above, clientOrderId="partly", **IOC)
    found["partly"] = [partly["status"], 0 < partly["filled"] < MUCH]
    missed = await buy(0.01, best * 0.9, clientOrderId="missed", **IOC)
    found["missed"] = [missed["status"], missed["filled"]]
    resting = await buy(0.01, best * 0.9, clientOrderId="resting")
    found["open"] = [order["clientOrderId"] for order in await exchange.fetch_open_orders(SYMBOL)]
    found["cancelled"] = (await exchange.cancel_order(resting["id"], SYMBOL))["status"]
    found["fetched"] = (await exchange.fetch_order(filled["id"], SYMBOL))["status"]
    found["trades"] = len(await exchange.fetch_my_trades(SYMBOL))
    found["balance"] = (await exchange.fetch_balance())["BTC"]["total"]
    found["by_socket"] = (await exchange.create_order_ws(SYMBOL, "limit", "buy", 0.01, deep, IOC))["status"]
    found["errors"] = {
        "funds": await kind_of_error(buy(5000, best, **IOC)),
        "unknown": await kind_of_error(exchange.cancel_order("999999", SYMBOL)),
        "notional": await kind_of_error(buy(0.001, 1000.0, **IOC)),
        "taking": await kind_of_error(buy(0.01, deep, postOnly=True)),
    }
    exchange.secret = "wrong"
    found["errors"]["signature"] = await kind_of_error(exchange.fetch_balance())


tell(client, SYMBOL, drive)
