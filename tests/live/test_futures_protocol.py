"""The emulated Binance USD-M answers as the real one: refusals by code, three groups of streams, the user's own stream."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from elegant_trading_system.core.kinds import Side
from elegant_trading_system.data.sequence import DepthSequence, Diff, Outcome

from .desk import KEY, Clock
from .futures_desk import FuturesVenue
from .test_binance_protocol import Follower


def ask(venue: FuturesVenue, method: str, path: str, **params: Any) -> tuple[int, Any]:
    status, body = venue.signed(method, path, params)
    return status, msgspec.json.decode(body)


def order(**more: Any) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "IOC", "quantity": "0.010",
        "price": "60000.1", "newOrderRespType": "RESULT",
    } | more  # fmt: skip


@pytest.fixture
def venue() -> FuturesVenue:
    return FuturesVenue(Clock())


@pytest.mark.spec("X2", "E4")
@pytest.mark.parametrize(
    "change, code",
    [
        ({"quantity": "0.0105"}, -1111),
        ({"price": "60000.15"}, -4014),
        ({"price": "64000"}, -4016),
        ({"side": "SELL", "price": "56000"}, -4024),
        ({"quantity": "0.001", "price": "10", "side": "BUY"}, -4164),
        ({"quantity": "10000001"}, -4005),
        ({"quantity": "40"}, -2019),
        ({"reduceOnly": "true"}, -2022),
        ({"quantity": "0.101", "timeInForce": "FOK"}, -5021),
        ({"timeInForce": "GTX"}, -5022),
        ({"timeInForce": "GTD"}, -1115),
        ({"positionSide": "LONG"}, -4061),
        ({"newClientOrderId": "has spaces"}, -4015),
        ({"type": "STOP"}, -1116),
        ({"side": "UP"}, -1117),
        ({"symbol": "NOPE"}, -1121),
        ({"quantity": "many"}, -1102),
    ],
)
def test_what_breaks_a_rule_is_refused_by_its_code_and_leaves_no_trace(
    venue: FuturesVenue, change: dict[str, Any], code: int
) -> None:
    status, answer = ask(venue, "POST", "v1/order", **order(**change))
    assert (status, answer["code"]) == (400, code)
    assert not venue.account.orders
    assert venue.wallet == Decimal(100_000)


@pytest.mark.spec("X2")
def test_an_answer_names_neither_average_price_nor_fills_and_an_acknowledgement_not_even_the_outcome(
    venue: FuturesVenue,
) -> None:
    _, answer = ask(venue, "POST", "v1/order", **order(quantity="0.150", price="60000.2", newClientOrderId="a.b:c/d"))
    assert (answer["status"], answer["executedQty"], answer["clientOrderId"]) == ("FILLED", "0.150", "a.b:c/d")
    assert not {"avgPrice", "cumQuote", "fills"} & set(answer)
    _, queried = ask(venue, "GET", "v1/order", symbol="BTCUSDT", orderId=answer["orderId"])
    assert (queried["avgPrice"], queried["cumQuote"]) == ("60000.13333333", "9000.02000000")
    _, short = ask(venue, "POST", "v1/order", **order(price="60000.2", newOrderRespType="ACK"))
    assert (short["status"], short["executedQty"]) == ("NEW", "0")
    _, rows = ask(venue, "GET", "v1/userTrades", symbol="BTCUSDT", orderId=answer["orderId"])
    assert [(row["qty"], row["commission"], row["commissionAsset"]) for row in rows] == [
        ("0.100", "3.00000500", "USDT"), ("0.050", "1.50000500", "USDT"),
    ]  # fmt: skip


@pytest.mark.spec("X2")
def test_a_name_is_taken_while_its_order_is_open_and_a_cancel_keeps_it(venue: FuturesVenue) -> None:
    resting = order(timeInForce="GTC", price="59000", newClientOrderId="mine")
    assert ask(venue, "POST", "v1/order", **resting)[1]["status"] == "NEW"
    assert ask(venue, "POST", "v1/order", **resting)[1]["code"] == -4116
    cancelled = ask(venue, "DELETE", "v1/order", symbol="BTCUSDT", origClientOrderId="mine")[1]
    assert (cancelled["status"], cancelled["clientOrderId"]) == ("CANCELED", "mine")
    assert ask(venue, "DELETE", "v1/order", symbol="BTCUSDT", origClientOrderId="mine")[1]["code"] == -2011
    assert ask(venue, "GET", "v1/order", symbol="BTCUSDT", origClientOrderId="other")[1]["code"] == -2013


@pytest.mark.spec("X2")
def test_settings_that_are_already_so_are_refused_as_such(venue: FuturesVenue) -> None:
    cases: list[tuple[str, dict[str, Any], int]] = [
        ("v1/marginType", {"symbol": "BTCUSDT", "marginType": "CROSSED"}, -4046),
        ("v1/positionSide/dual", {"dualSidePosition": "false"}, -4059),
        ("v1/leverage", {"symbol": "BTCUSDT", "leverage": 126}, -4028),
    ]
    for path, params, code in cases:
        assert ask(venue, "POST", path, **params)[1]["code"] == code
    assert ask(venue, "POST", "v1/leverage", symbol="BTCUSDT", leverage=7)[1]["leverage"] == 7
    assert ask(venue, "GET", "v1/symbolConfig")[1][0]["leverage"] == 7
    assert ask(venue, "GET", "v1/accountConfig")[1]["dualSidePosition"] is False
    assert ask(venue, "GET", "v1/commissionRate", symbol="BTCUSDT")[1]["takerCommissionRate"] == "0.000500"
    assert ask(venue, "GET", "v1/leverageBracket")[1][0]["brackets"][0]["initialLeverage"] == 125


@pytest.mark.spec("X2")
def test_account_balance_and_risk_say_the_same_of_a_position(venue: FuturesVenue) -> None:
    venue.place(Side.SELL, 600_000, 100)
    [risk] = ask(venue, "GET", "v3/positionRisk")[1]
    account, [balance] = ask(venue, "GET", "v3/account")[1], ask(venue, "GET", "v3/balance")[1]
    assert (risk["positionAmt"], risk["entryPrice"]) == ("-0.100", "60000.00000000")
    assert Decimal(risk["liquidationPrice"]) > 60_000
    assert account["positions"][0]["positionAmt"] == risk["positionAmt"]
    assert account["totalUnrealizedProfit"] == risk["unRealizedProfit"] == balance["crossUnPnl"]
    assert account["availableBalance"] == balance["availableBalance"]
    total = Decimal(account["totalWalletBalance"]) + Decimal(account["totalUnrealizedProfit"])
    assert Decimal(account["availableBalance"]) == total - Decimal(account["totalInitialMargin"])
    assert Decimal(balance["balance"]) == venue.wallet


@pytest.mark.spec("X2")
@pytest.mark.parametrize(
    "path, streams, heard",
    [
        (
            "/public/stream",
            "btcusdt@depth@100ms/btcusdt@trade/btcusdt@bookTicker",
            {"depthUpdate", "trade", "bookTicker"},
        ),
        ("/market/stream", "btcusdt@aggTrade/btcusdt@markPrice@1s", {"aggTrade", "markPriceUpdate"}),
        ("/public/stream", "btcusdt@aggTrade/btcusdt@markPrice", set()),
        ("/market/stream", "btcusdt@depth@100ms/btcusdt@trade", set()),
        ("/stream", "btcusdt@aggTrade/btcusdt@trade", {"trade"}),  # without a group: as /public
    ],
)
def test_a_connection_is_silent_about_streams_of_another_group(
    venue: FuturesVenue, path: str, streams: str, heard: set[str]
) -> None:
    frames: list[str] = []
    session = venue.streams.open_market(frames.append, path, streams)
    session.receive(json.dumps({"method": "SUBSCRIBE", "params": streams.split("/"), "id": 1}))
    assert json.loads(frames.pop())["result"] is None, "accepted all the same"
    venue.depth([(600_000, 7)])
    venue.trade(600_000, 3, Side.SELL)
    venue.trade(600_000, 4, Side.SELL)
    venue.flush()
    found = [json.loads(frame)["data"] for frame in frames]
    assert {data["e"] for data in found} == heard
    if "aggTrade" in heard:
        [total] = [data for data in found if data["e"] == "aggTrade"]
        assert (total["q"], total["f"], total["l"]) == ("0.007", 1, 2)


@pytest.mark.spec("M1")
def test_a_book_kept_by_the_venue_s_rules_is_the_venue_s_book(venue: FuturesVenue) -> None:
    follower = Follower()
    follower.sequence = DepthSequence[dict[str, Any]](is_chained=True)

    def hear(frame: str) -> None:
        data = msgspec.json.decode(frame)["data"]
        outcome = follower.sequence.take(Diff(data["U"], data["u"], data["pu"], data))
        assert outcome is not Outcome.GAP
        if outcome is Outcome.APPLY:
            apply(data["b"], data["a"])

    def apply(bids: Any, asks: Any) -> None:
        for side, rows in zip(follower.book, (bids, asks), strict=True):
            side.update(dict(rows))
            for price in [price for price, quantity in side.items() if Decimal(quantity) == 0]:
                del side[price]

    venue.streams.open_market(hear, "/public/stream", "btcusdt@depth@100ms")
    for n in range(61):
        venue.depth([(600_000 - n % 7, n % 3 * 10)], [(600_001 + n % 5, n % 4 * 10)])
        if n % 3 == 0:
            venue.flush()
        if n == 31:  # between two flushes: the book is ahead of the stream
            snapshot = venue.get("depth", "symbol=BTCUSDT&limit=1000")
            waiting = follower.sequence.take_snapshot(snapshot["lastUpdateId"])
            assert waiting is not None
            apply(snapshot["bids"], snapshot["asks"])
            for diff in waiting:
                follower.sequence.take(diff)
                apply(diff.payload["b"], diff.payload["a"])
    venue.flush()
    truth = venue.get("depth", "symbol=BTCUSDT&limit=1000")
    assert [dict(truth["bids"]), dict(truth["asks"])] == [dict(side) for side in follower.book]


@pytest.mark.spec("X2")
@pytest.mark.parametrize("how", ["path", "query", "subscribe"])
def test_the_user_s_stream_tells_of_orders_money_and_positions(venue: FuturesVenue, how: str) -> None:
    frames: list[str] = []
    key = json.loads(venue.binance.http("POST", "/fapi/v1/listenKey", "", "", {"X-MBX-APIKEY": KEY}).body)["listenKey"]
    openers: dict[str, Callable[[], Any]] = {
        "path": lambda: venue.streams.open_market(frames.append, f"/private/ws/{key}"),
        "query": lambda: venue.streams.open_market(frames.append, "/private/ws", "", key),
        "subscribe": lambda: venue.streams.open_market(frames.append, "/private/ws"),
    }
    session = openers[how]()
    if how == "subscribe":
        session.receive(json.dumps({"method": "SUBSCRIBE", "params": [key], "id": 1}))
        frames.clear()
    ask(venue, "POST", "v1/order", **order(quantity="0.150", newClientOrderId="mine"))
    told = [json.loads(frame) for frame in frames]
    assert [event["e"] for event in told] == [
        "ORDER_TRADE_UPDATE", "TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE",
    ]  # fmt: skip
    reports = [event["o"] for event in told if event["e"] == "ORDER_TRADE_UPDATE"]
    assert [(one["x"], one["X"], one["t"], one["z"], one["er"]) for one in reports] == [
        ("NEW", "NEW", 0, "0.000", "0"),
        ("TRADE", "PARTIALLY_FILLED", 1, "0.100", "0"),
        ("EXPIRED", "EXPIRED", 0, "0.100", "2"),
    ]
    [update] = [event["a"] for event in told if event["e"] == "ACCOUNT_UPDATE"]
    assert update["B"] == [{"a": "USDT", "wb": "99996.99999500", "cw": "99996.99999500", "bc": "0.00000000"}]
    assert [(row["s"], row["pa"], row["ep"]) for row in update["P"]] == [("BTCUSDT", "0.100", "60000.10000000")]
    frames.clear()
    venue.streams.pass_time()
    venue.clock.pass_ms(venue.exchange.next_funding_ms - venue.clock() // 1_000_000)
    venue.streams.pass_time()
    told = [json.loads(frame) for frame in frames]
    assert [(event["e"], event.get("a", {}).get("m")) for event in told] == [
        ("ACCOUNT_UPDATE", "FUNDING_FEE"), ("listenKeyExpired", None),
    ]  # fmt: skip
    assert (told[0]["a"]["B"][0]["bc"], told[0]["a"]["P"]) == ("-0.60000100", [])
    put = venue.binance.http("PUT", "/fapi/v1/listenKey", "", "", {"X-MBX-APIKEY": KEY})
    assert (put.status, json.loads(put.body)["code"]) == (400, -1125)


@pytest.mark.spec("X2")
def test_a_countdown_cancels_what_rests_and_weights_are_counted(venue: FuturesVenue) -> None:
    ask(venue, "POST", "v1/order", **order(timeInForce="GTC", price="59000"))
    assert (
        ask(venue, "POST", "v1/countdownCancelAll", symbol="BTCUSDT", countdownTime=1000)[1]["countdownTime"] == "1000"
    )
    venue.clock.pass_ms(999)
    venue.flush()
    assert len(ask(venue, "GET", "v1/openOrders")[1]) == 1
    venue.clock.pass_ms(1)
    venue.flush()
    assert ask(venue, "GET", "v1/openOrders")[1] == []
    replies = [venue.binance.http("GET", "/fapi/v1/depth", "symbol=BTCUSDT&limit=1000", "", {}) for _ in range(121)]
    assert replies[0].status == 200
    assert (replies[-1].status, json.loads(replies[-1].body)["code"]) == (429, -1003)


def test_the_order_connection_answers_with_limits_and_refuses_what_it_does_not_have(venue: FuturesVenue) -> None:
    frames: list[str] = []
    session = venue.streams.open_api(frames.append)
    venue.binance.api(session, json.dumps({"id": "a", "method": "time"}))
    answer = json.loads(frames.pop())
    assert answer["rateLimits"][0]["limit"] == 2400
    assert answer["result"]["serverTime"] == venue.clock() // 1_000_000
    for text in ("", "{", "[]", '{"id":1}', '{"id":1,"method":"openOrders.status","params":{}}'):
        venue.binance.api(session, text)
        assert json.loads(frames.pop())["status"] >= 400
