"""python-binance on the emulated Binance USD-M: `python with_python_binance_futures.py WHERE`; prints one JSON line."""

import asyncio
import json
import sys
from typing import Any

from binance import AsyncClient, BinanceSocketManager, FuturesDepthCacheManager  # type: ignore[import-not-found]
from binance_shared import code_of, follow_book, hear  # type: ignore[import-not-found]

BOOKS = 20


def read(event: Any) -> list[Any]:
    if event.get("e") == "ORDER_TRADE_UPDATE":
        return [[event["o"]["c"], event["o"]["x"], event["o"]["X"]]]
    return [["account", event["a"]["m"], event["a"]["P"][0]["s"]]] if event.get("e") == "ACCOUNT_UPDATE" else []


async def hear_one(socket: Any) -> Any:
    async with socket as messages:
        return await asyncio.wait_for(messages.recv(), 20)


async def main(where: dict[str, Any]) -> None:
    AsyncClient.FUTURES_URL = where["rest"].removesuffix("/v1")
    AsyncClient.WS_FUTURES_URL = where["ws_api"]
    BinanceSocketManager.FSTREAM_URL = where["streams"] + "/"
    client, seen = AsyncClient(where["api_key"], where["api_secret"]), list[Any]()
    found: dict[str, Any] = {"crossed": 0}
    try:
        info = await client.futures_exchange_info()
        found["filters"] = sorted(rule["filterType"] for rule in info["symbols"][0]["filters"])
        found["mode"] = await code_of(client.futures_change_position_mode(dualSidePosition="false"))
        found["margin"] = await code_of(client.futures_change_margin_type(symbol="BTCUSDT", marginType="CROSSED"))
        found["leverage"] = (await client.futures_change_leverage(symbol="BTCUSDT", leverage=8))["leverage"]
        sockets = BinanceSocketManager(client)
        hearing = asyncio.create_task(hear(sockets.futures_user_socket(), read, seen))
        await follow_book(FuturesDepthCacheManager(client, symbol="BTCUSDT"), BOOKS, found)
        found["mark"] = (await hear_one(sockets.symbol_mark_price_socket("BTCUSDT")))["data"]["e"]
        found["aggregate"] = (await hear_one(sockets.aggtrade_futures_socket("BTCUSDT")))["data"]["e"]
        price, far = f"{found['touch'][0] - 400:.0f}", f"{found['touch'][1] + 400:.0f}"
        order = {"symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "IOC", "quantity": "0.03"}
        result = {"newOrderRespType": "RESULT"}
        filled = await client.futures_create_order(**order, **result, price=price, newClientOrderId="whole")
        found["filled"] = [filled["status"], filled["executedQty"], "avgPrice" in filled]
        bid = (await client.futures_order_book(symbol="BTCUSDT", limit=5))["bids"][0]
        partly = await client.futures_create_order(
            **(order | {"quantity": f"{float(bid[1]) + 3:.2f}"}), **result, price=bid[0], newClientOrderId="partly"
        )
        found["partly"] = [partly["status"], float(partly["executedQty"]) < float(partly["origQty"])]
        resting = await client.futures_create_order(
            **(order | {"timeInForce": "GTX"}), price=far, newClientOrderId="resting"
        )
        found["resting"] = [resting["status"], len(await client.futures_get_open_orders(symbol="BTCUSDT"))]
        found["cancelled"] = (await client.futures_cancel_order(symbol="BTCUSDT", orderId=resting["orderId"]))["status"]
        queried = await client.futures_get_order(symbol="BTCUSDT", origClientOrderId="whole")
        found["queried"] = [queried["status"], float(queried["avgPrice"]) > 0]
        by_socket = await client.ws_futures_create_order(**order, **result, price=price, newClientOrderId="socket")
        found["by_socket"] = by_socket["status"]
        [risk] = await client.futures_position_information(symbol="BTCUSDT")
        found["position"] = [float(risk["positionAmt"]) <= -0.06, float(risk["liquidationPrice"]) > 0]
        await client.futures_create_order(
            symbol="BTCUSDT", side="BUY", type="MARKET", quantity=risk["positionAmt"][1:], reduceOnly="true"
        )
        account = await client.futures_account()
        trades = await client.futures_account_trades(symbol="BTCUSDT")
        moved = sum(float(row["realizedPnl"]) - float(row["commission"]) for row in trades)
        found["money"] = [round(float(account["totalWalletBalance"]) - moved, 6), len(account["positions"])]
        found["klines"] = len(await client.futures_klines(symbol="BTCUSDT", interval="1m"))
        reducing = order | {"reduceOnly": "true"}
        found["codes"] = {
            "margin": await code_of(client.futures_create_order(**(order | {"quantity": "90000"}), price=bid[0])),
            "reduce": await code_of(client.futures_create_order(**reducing, price=bid[0])),
            "tick": await code_of(client.futures_create_order(**order, price=str(float(bid[0]) + 1))),
            "lot": await code_of(client.futures_create_order(**(order | {"quantity": "0.0301"}), price=bid[0])),
            "all": await code_of(
                client.futures_create_order(**(order | {"quantity": "500", "timeInForce": "FOK"}), price=bid[0])
            ),
            "post": await code_of(client.futures_create_order(**(order | {"timeInForce": "GTX"}), price=price)),
            "unknown": await code_of(client.futures_cancel_order(symbol="BTCUSDT", orderId=999_999)),
            "missing": await code_of(client.futures_get_order(symbol="BTCUSDT", origClientOrderId="nobody")),
            "symbol": await code_of(client.futures_order_book(symbol="NOPE")),
        }
        await asyncio.sleep(0.5)
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        found["events"] = seen
        sys.stdout.write(json.dumps(found) + "\n")
    finally:
        await client.close_connection()


asyncio.run(main(json.loads(sys.argv[1])))
