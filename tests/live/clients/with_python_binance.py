"""python-binance on the emulated Binance Spot: `python with_python_binance.py WHERE`; prints what it saw as one JSON line."""

import asyncio
import json
import sys
from typing import Any

from binance import AsyncClient, BinanceSocketManager, DepthCacheManager  # type: ignore[import-not-found]
from binance_shared import code_of, follow_book, hear  # type: ignore[import-not-found]

MUCH = "300"  # more than rests within ten ticks, wherever the touch is by then
BOOKS = 40


def read(event: Any) -> list[Any]:
    return [[event["c"], event["x"], event["X"]]] if event.get("e") == "executionReport" else []


async def main(where: dict[str, Any]) -> None:
    AsyncClient.API_URL = where["rest"].removesuffix("/v3")
    AsyncClient.WS_API_URL = where["ws_api"]
    BinanceSocketManager.STREAM_URL = where["streams"] + "/"
    client, seen = await AsyncClient.create(where["api_key"], where["api_secret"]), list[Any]()
    found: dict[str, Any] = {"crossed": 0}
    try:
        info = await client.get_symbol_info("BTCUSDT")
        found["filters"] = sorted(rule["filterType"] for rule in info["filters"])
        hearing = asyncio.create_task(hear(BinanceSocketManager(client).user_socket(), read, seen))
        await follow_book(DepthCacheManager(client, symbol="BTCUSDT", limit=1000, ws_interval=100), BOOKS, found)
        price = f"{found['touch'][1] + 400:.2f}"
        far = f"{found['touch'][0] - 4000:.2f}"
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "IOC", "quantity": "0.010"}
        filled = await client.create_order(**order, price=price, newClientOrderId="whole")
        found["filled"] = [filled["status"], filled["executedQty"], filled["fills"][0]["commissionAsset"]]
        ask = (await client.get_order_book(symbol="BTCUSDT", limit=5))["asks"][0]
        partly = await client.create_order(
            **(order | {"quantity": MUCH}), price=f"{float(ask[0]) + 40:.2f}", newClientOrderId="partly"
        )
        found["partly"] = [partly["status"], 0.0 < float(partly["executedQty"]) < float(partly["origQty"])]
        found["missed"] = (await client.create_order(**order, price=far, newClientOrderId="missed"))["status"]
        resting = await client.create_order(**(order | {"timeInForce": "GTC"}), price=far, newClientOrderId="resting")
        found["resting"] = [resting["status"], len(await client.get_open_orders(symbol="BTCUSDT"))]
        found["cancelled"] = (await client.cancel_order(symbol="BTCUSDT", orderId=resting["orderId"]))["status"]
        found["by_socket"] = (await client.ws_create_order(**order, price=price, newClientOrderId="socket"))["status"]
        found["klines"] = len(await client.get_klines(symbol="BTCUSDT", interval="1m"))
        found["codes"] = {
            "funds": await code_of(client.create_order(**(order | {"quantity": "5000"}), price=price)),
            "lot": await code_of(client.create_order(**(order | {"quantity": "0.0000001"}), price=price)),
            "unknown": await code_of(client.cancel_order(symbol="BTCUSDT", orderId=999_999)),
            "missing": await code_of(client.get_order(symbol="BTCUSDT", origClientOrderId="nobody")),
            "symbol": await code_of(client.get_order_book(symbol="NOPE")),
        }
        await asyncio.sleep(0.5)
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        found["events"] = seen
        sys.stdout.write(json.dumps(found) + "\n")
    finally:
        await client.close_connection()


asyncio.run(main(json.loads(sys.argv[1])))
