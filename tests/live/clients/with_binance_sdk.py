"""The venue's own library on the emulated Binance Spot: `python with_binance_sdk.py WHERE`; prints what it saw as one JSON line."""

import asyncio
import json
import sys
from typing import Any

from binance_common.configuration import (  # type: ignore[import-not-found]
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_sdk_spot.spot import Spot  # type: ignore[import-not-found]

SYMBOL = "BTCUSDT"
MUCH = 300.0  # more than rests within ten ticks, wherever the touch is by then
BOOKS = 40


def kind_of_error(action: Any) -> list[Any]:
    try:
        action()
    except Exception as error:  # noqa: BLE001 - which one is what is asked
        return [type(error).__name__]
    return []


class Book:
    """Kept by the documented rules: the library brings typed messages and no book."""

    def __init__(self) -> None:
        self.last_id, self.gaps, self.applied, self.crossed = -1, 0, 0, 0
        self.sides: dict[str, dict[float, float]] = {"b": {}, "a": {}}
        self.waiting: list[Any] = []
        self.has_begun, self.has_seen_enough = asyncio.Event(), asyncio.Event()

    def restart(self, last_id: int, bids: Any, asks: Any) -> None:
        self.last_id = last_id
        self.sides = {"b": levels(bids), "a": levels(asks)}
        for message in self.waiting:
            self.apply(message)

    def hear(self, message: Any) -> None:
        if self.last_id < 0:
            self.waiting.append(message)
            self.has_begun.set()
        else:
            self.apply(message)

    def apply(self, message: Any) -> None:
        first, last = message.U, message.u
        if last <= self.last_id:
            return
        self.gaps += first > self.last_id + 1
        for name, changes in (("b", message.b), ("a", message.a)):
            self.sides[name] |= levels(changes)
            self.sides[name] = {price: size for price, size in self.sides[name].items() if size}
        self.last_id = last
        self.applied += 1
        if self.applied == BOOKS:
            self.has_seen_enough.set()
        self.crossed += max(self.sides["b"]) >= min(self.sides["a"])


def levels(rows: Any) -> dict[float, float]:
    return {float(price): float(size) for price, size in (getattr(row, "root", row) for row in rows)}


async def follow(client: Any, found: dict[str, Any]) -> Book:
    book = Book()
    await client.websocket_streams.create_connection()
    stream = await client.websocket_streams.diff_book_depth(symbol=SYMBOL.lower(), update_speed="100ms")
    stream.on("message", book.hear)
    await book.has_begun.wait()
    snapshot = client.rest_api.depth(SYMBOL, limit=1000).data()
    book.restart(snapshot.last_update_id, snapshot.bids, snapshot.asks)
    await book.has_seen_enough.wait()
    found["book"] = [book.gaps, book.crossed, min(len(side) for side in book.sides.values()) > 10]
    return book


def trade(rest: Any, book: Book, found: dict[str, Any]) -> None:
    ask = min(book.sides["a"])
    above, far = ask + 40.0, round(ask * 0.9 / 4) * 4.0
    limit = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "time_in_force": "IOC", "quantity": 0.01}

    def place(**more: Any) -> Any:
        return rest.new_order(**(limit | more)).data()

    whole = place(price=ask + 400.0, new_client_order_id="whole", new_order_resp_type="FULL")
    found["whole"] = [whole.status, whole.executed_qty, whole.fills[0].commission_asset]
    partly = place(price=above, quantity=MUCH, new_client_order_id="partly")
    found["partly"] = [partly.status, 0.0 < float(partly.executed_qty) < MUCH]
    found["missed"] = place(price=far, new_client_order_id="missed").status
    resting = place(price=far, time_in_force="GTC", new_client_order_id="resting")
    found["resting"] = [resting.status, len(rest.get_open_orders(SYMBOL).data())]
    found["cancelled"] = rest.delete_order(SYMBOL, order_id=resting.order_id).data().status
    found["queried"] = rest.get_order(SYMBOL, orig_client_order_id="whole").data().status
    found["balances"] = sorted(row.asset for row in rest.get_account().data().balances)
    found["errors"] = {
        "funds": kind_of_error(lambda: place(price=ask, quantity=5000.0)),
        "unknown": kind_of_error(lambda: rest.delete_order(SYMBOL, order_id=999_999)),
        "symbol": kind_of_error(lambda: rest.depth("NOPE")),
    }


async def main(where: dict[str, Any]) -> None:
    key = {"api_key": where["api_key"], "api_secret": where["api_secret"]}
    client = Spot(
        config_rest_api=ConfigurationRestAPI(**key, base_path=where["rest"].removesuffix("/api/v3")),
        config_ws_api=ConfigurationWebSocketAPI(**key, stream_url=where["ws_api"]),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=where["streams"]),
    )
    found: dict[str, Any] = {}
    seen: list[Any] = []
    await client.websocket_api.create_connection()
    told = await client.websocket_api.user_data_stream_subscribe_signature()

    def hear(event: Any) -> None:
        report = getattr(event, "actual_instance", event)
        if getattr(report, "e", "") == "executionReport" or type(report).__name__ == "ExecutionReport":
            seen.append([report.c, report.x, report.X])

    told.stream.on("message", hear)
    book = await follow(client, found)
    await asyncio.to_thread(trade, client.rest_api, book, found)
    sent = await client.websocket_api.order_place(
        symbol=SYMBOL, side="BUY", type="LIMIT", time_in_force="IOC", quantity=0.01,
        price=min(book.sides["a"]) + 4000.0, new_client_order_id="socket",
    )  # fmt: skip
    found["by_socket"] = sent.data().result.status
    await asyncio.sleep(0.5)
    found["events"] = seen
    await client.websocket_streams.close_connection()
    await client.websocket_api.close_connection()
    sys.stdout.write(json.dumps(found, default=str) + "\n")


asyncio.run(main(json.loads(sys.argv[1])))
