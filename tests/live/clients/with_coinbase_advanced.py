"""coinbase-advanced-py on the emulated Coinbase: `python with_coinbase_advanced.py WHERE`; prints what it saw as one JSON line."""

import json
import sys
import time
from collections import deque
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import requests  # type: ignore[import-untyped,unused-ignore]
from coinbase.rest import RESTClient  # type: ignore[import-not-found,unused-ignore]
from coinbase.websocket import WebsocketResponse, WSClient, WSUserClient  # type: ignore[import-not-found,unused-ignore]
from requests.adapters import HTTPAdapter  # type: ignore[import-untyped,unused-ignore]

PRODUCT = "BTC-USD"
BOOKS = 40
DEPTH = 5


class Plain(HTTPAdapter):  # type: ignore[misc,unused-ignore]
    """The client knows nothing but https."""

    def send(self, request: Any, *args: Any, **more: Any) -> Any:
        request.url = request.url.replace("https://", "http://", 1)
        return super().send(request, *args, **more)


class Market:
    """A book kept from the client's messages, and what else came."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[float, float]] = {"bid": {}, "offer": {}}
        self.numbers: list[int] = []
        self.channels: set[str] = set()
        self.prints: set[str] = set()
        self.states: deque[Any] = deque(maxlen=200)
        self.updates = self.crossed = 0

    def hear(self, text: str) -> None:
        message = WebsocketResponse({"client_id": "", **json.loads(text)})  # its types want a field that is not sent
        self.numbers.append(message.sequence_num)
        self.channels.add(message.channel)
        for event in message.events:
            if message.channel == "l2_data":
                self.apply(event)
            elif message.channel == "market_trades":
                self.prints.update(trade.trade_id for trade in event.trades)

    def apply(self, event: Any) -> None:
        for row in event.updates:
            side = self.sides[row.side]
            side[float(row.price_level)] = float(row.new_quantity)
            if float(row.new_quantity) == 0:
                del side[float(row.price_level)]
        top = self.top()
        self.states.append(top)
        self.crossed += top[0][0][0] >= top[1][0][0]
        self.updates += event.type == "update"

    def top(self) -> Any:
        bids, offers = (sorted(self.sides[name].items(), reverse=name == "bid") for name in ("bid", "offer"))
        return [bids[:DEPTH], offers[:DEPTH]]


def plain(answer: Any) -> Any:
    return answer.to_dict() if hasattr(answer, "to_dict") else answer


def follow(where: dict[str, Any], key: dict[str, str], client: Any) -> dict[str, Any]:
    """A book kept for some seconds, held against the venue's."""
    market = Market()
    socket = WSClient(base_url=where["streams"], on_message=market.hear, **key)
    socket.open()
    socket.subscribe([PRODUCT], ["level2", "market_trades", "heartbeats"])
    truths = []
    while market.updates < BOOKS:
        time.sleep(0.15)
        book = plain(client.get_public_product_book(PRODUCT, limit=DEPTH))["pricebook"]
        truths.append([[(float(row["price"]), float(row["size"])) for row in book[name]] for name in ("bids", "asks")])
    time.sleep(0.3)
    socket.unsubscribe_all()
    socket.close()
    return {
        "books": [sum(truth in market.states for truth in truths), len(truths)],
        "crossed": market.crossed,
        "contiguous": market.numbers == list(range(len(market.numbers))),
        "channels": sorted(market.channels),
        "prints": len(market.prints),
        "top": market.top(),
    }


def kind_of_error(action: Any) -> Any:
    """Errors of this client are requests' HTTPError with the venue's words, or an answer without success."""
    try:
        answer = plain(action())
    except requests.HTTPError as error:
        response: Any = error.response
        return [response.status_code, response.text]
    return answer["error_response"]["error"]


def trade(client: Any, ask: Decimal, step: Decimal) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def state_of(order: Any) -> list[str]:
        told = plain(client.get_order(plain(order)["success_response"]["order_id"]))["order"]
        return [told["status"], told["filled_size"], told["client_order_id"]]

    deep, far = (f"{ask * share // step * step:f}" for share in (Decimal("1.01"), Decimal("0.9")))
    whole = client.limit_order_ioc_buy("whole", PRODUCT, "0.01", deep)
    found["whole"] = state_of(whole)
    found["again"] = plain(client.limit_order_ioc_buy("whole", PRODUCT, "0.01", deep)) == plain(whole)
    best = plain(client.get_public_product_book(PRODUCT, limit=1))["pricebook"]["asks"][0]
    wanted = f"{float(best['size']) + 3:.3f}"
    partly = state_of(client.limit_order_ioc_buy("partly", PRODUCT, wanted, best["price"]))
    found["partly"] = [partly[0], 0 < float(partly[1]) < float(wanted)]
    found["missed"] = state_of(client.limit_order_ioc_buy("missed", PRODUCT, "0.01", far))[:2]
    resting = client.limit_order_gtc_buy("resting", PRODUCT, "0.01", far, post_only=True)
    resting_id = plain(resting)["success_response"]["order_id"]
    found["open"] = [order["client_order_id"] for order in plain(client.list_orders(order_status=["OPEN"]))["orders"]]
    found["cancelled"] = plain(client.cancel_orders([resting_id]))["results"][0]["success"]
    found["resting"] = state_of(resting)[0]
    fills = plain(client.get_fills(order_ids=[plain(whole)["success_response"]["order_id"]]))["fills"]
    found["fills"] = [
        sum(float(fill["size"]) for fill in fills),
        {fill["liquidity_indicator"] for fill in fills} == {"TAKER"},
    ]
    found["market"] = state_of(client.market_order_buy("market", PRODUCT, quote_size="1000"))[0]
    found["sold"] = state_of(client.market_order_sell("sold", PRODUCT, base_size="0.01"))[:2]
    found["errors"] = {
        "funds": kind_of_error(lambda: client.limit_order_ioc_buy("f", PRODUCT, "90000", deep)),
        "precision": kind_of_error(lambda: client.limit_order_ioc_buy("g", PRODUCT, "0.0100000001", deep)),
        "taking": kind_of_error(lambda: client.limit_order_gtc_buy("h", PRODUCT, "0.01", deep, post_only=True)),
        "product": kind_of_error(lambda: client.limit_order_ioc_buy("i", "NO-PE", "1", "1")),
        "unknown": kind_of_error(lambda: client.get_order("0de50000-0000-0000-0000-00000000ffff")),
    }
    return found


def main(where: dict[str, Any]) -> None:
    host, key = urlsplit(where["rest"]).netloc, {"api_key": where["api_key"], "api_secret": where["api_secret"]}
    client, events = RESTClient(base_url=host, **key), list[Any]()
    client.session.trust_env = False
    client.session.mount("https://", Plain())

    def hear(text: str) -> None:
        message = json.loads(text)
        if message.get("channel") == "user":
            for event in message["events"]:
                events.extend(
                    [order["client_order_id"], order["status"], order["cumulative_quantity"]]
                    for order in event["orders"]
                )

    user = WSUserClient(base_url=where["user"], on_message=hear, **key)
    user.open()
    user.subscribe([PRODUCT], ["user", "heartbeats"])
    product = plain(client.get_product(PRODUCT))
    found: dict[str, Any] = {"product": [product["base_currency_id"], product["quote_currency_id"], product["status"]]}
    found |= {"permissions": plain(client.get_api_key_permissions())["can_trade"]}
    found |= {"fee": plain(client.get_transaction_summary())["fee_tier"]["taker_fee_rate"]}
    found |= follow(where, key, client)
    ask = Decimal(str(found.pop("top")[1][0][0]))
    found |= trade(client, ask, Decimal(product["price_increment"]))
    now_s = int(time.time())
    candles = client.get_public_candles(PRODUCT, str(now_s - 1800), str(now_s), "ONE_MINUTE")
    found["candles"] = len(plain(candles)["candles"])
    found["accounts"] = sorted(account["currency"] for account in plain(client.get_accounts())["accounts"])
    wrong = RESTClient(base_url=host, api_key="organizations/x/apiKeys/y", api_secret=where["api_secret"])
    wrong.session.trust_env = False
    wrong.session.mount("https://", Plain())
    found["errors"]["key"] = kind_of_error(wrong.get_accounts)
    time.sleep(0.5)
    user.close()
    found["events"] = events
    sys.stdout.write(json.dumps(found) + "\n")


main(json.loads(sys.argv[1]))
