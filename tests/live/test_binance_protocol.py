"""The emulated Binance Spot answers as the real one: signatures, refusals, streams, books that can be followed."""

import hashlib
import hmac
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from elegant_trading_system.core.kinds import Side
from elegant_trading_system.data.sequence import DepthSequence, Diff, Outcome
from elegant_trading_system.emulator.binance.request import is_signed

from .desk import KEY, SECRET, Clock, Venue

VECTOR_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"  # the venue's own published example
REST_VECTOR = (
    "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
)


def signed(venue: Venue, method: str, path: str, *, secret: str = SECRET, **params: Any) -> tuple[int, Any]:
    query = urlencode({"timestamp": venue.clock() // 1_000_000, **params})
    signature = hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    reply = venue.binance.http(method, f"/api/v3/{path}", f"{query}&signature={signature}", "", {"X-MBX-APIKEY": KEY})
    return reply.status, msgspec.json.decode(reply.body)


def order(**more: Any) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "IOC", "quantity": "0.010", "price": "60000.1",
    } | more  # fmt: skip


@pytest.mark.spec("X2")
def test_the_venue_s_own_signature_vectors_hold() -> None:
    assert is_signed(VECTOR_SECRET, REST_VECTOR, "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71")
    assert not is_signed(
        VECTOR_SECRET, REST_VECTOR + "0", "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    )
    public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=\n-----END PUBLIC KEY-----\n"
    payload = "apiKey=testkey&timestamp=1700000000000"
    signature = "OSJ0tUCCBGDT495kHFU1l3blJwNoXyvouKQx/D89f3IGlzUKm8Pd4QwC7jG7H5Jk+cPBWHG/UzQRwE6QNgyxAg=="
    assert is_signed(public, payload, signature)
    assert not is_signed(public, payload + "1", signature)
    assert not is_signed(public, payload, "no base64")


@pytest.mark.spec("X2")
def test_an_order_is_filled_and_its_answer_has_the_venue_s_shape() -> None:
    venue = Venue(Clock())
    status, answer = signed(venue, "POST", "order", **order(quantity="0.150", price="60000.2"))
    assert status == 200
    assert (answer["status"], answer["executedQty"], answer["cummulativeQuoteQty"]) == (
        "FILLED",
        "0.15000000",
        "9000.02000000",
    )
    assert [(fill["price"], fill["qty"], fill["commission"], fill["commissionAsset"]) for fill in answer["fills"]] == [
        ("60000.10000000", "0.10000000", "0.00010000", "BTC"),
        ("60000.20000000", "0.05000000", "0.00005000", "BTC"),
    ]
    assert signed(venue, "GET", "order", symbol="BTCUSDT", orderId=answer["orderId"])[1]["status"] == "FILLED"
    assert len(signed(venue, "GET", "myTrades", symbol="BTCUSDT")[1]) == 2
    balances = {row["asset"]: row["free"] for row in signed(venue, "GET", "account")[1]["balances"]}
    assert balances == {"BTC": "0.14985000", "USDT": "90999.98000000"}


@pytest.mark.spec("X2", "E4")
@pytest.mark.parametrize(
    "change, status, code, words",
    [
        ({"quantity": "0.0105"}, 400, -1013, "LOT_SIZE"),
        ({"price": "60000.15"}, 400, -1013, "PRICE_FILTER"),
        ({"quantity": "0.001", "price": "10"}, 400, -1013, "NOTIONAL"),
        ({"quantity": "9"}, 400, -2010, "insufficient balance"),
        ({"symbol": "NOPE"}, 400, -1121, "Invalid symbol"),
        ({"newClientOrderId": "has.dots"}, 400, -1100, "newClientOrderId"),
        ({"side": "UP"}, 400, -1117, "side"),
        ({"timeInForce": "GTX"}, 400, -1115, "timeInForce"),
        ({"quantity": "many"}, 400, -1102, "quantity"),
        ({"quantity": "NaN"}, 400, -1013, "LOT_SIZE"),
        ({"timestamp": 1}, 400, -1021, "outside of the recvWindow"),
        ({"timestamp": 10**13}, 400, -1021, "ahead of the server"),
        ({"secret": "wrong"}, 400, -1022, "Signature"),
        ({"type": "LIMIT_MAKER"}, 400, -2010, "immediately match"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_refused_in_the_venue_s_words(
    change: dict[str, Any], status: int, code: int, words: str
) -> None:
    venue = Venue(Clock())
    found, answer = signed(venue, "POST", "order", **order(**change))
    assert (found, answer["code"]) == (status, code)
    assert words in answer["msg"]
    assert not venue.account.orders


@pytest.mark.spec("X2")
def test_a_cancelled_order_is_unknown_the_second_time() -> None:
    venue = Venue(Clock())
    placed = signed(venue, "POST", "order", **order(timeInForce="GTC", price="50000", newClientOrderId="mine"))[1]
    assert placed["status"] == "NEW"
    assert len(signed(venue, "GET", "openOrders")[1]) == 1
    cancelled = signed(venue, "DELETE", "order", symbol="BTCUSDT", origClientOrderId="mine")[1]
    assert (cancelled["status"], cancelled["origClientOrderId"]) == ("CANCELED", "mine")
    assert cancelled["clientOrderId"] != "mine", "the cancel has a name of its own"
    assert signed(venue, "DELETE", "order", symbol="BTCUSDT", origClientOrderId="mine")[1]["code"] == -2011
    assert signed(venue, "GET", "order", symbol="BTCUSDT", origClientOrderId="other")[1]["code"] == -2013


def test_too_much_weight_is_turned_away_until_the_next_minute() -> None:
    venue = Venue(Clock())
    replies = [venue.binance.http("GET", "/api/v3/depth", "symbol=BTCUSDT&limit=5000", "", {}) for _ in range(26)]
    assert [reply.status for reply in replies[:24]] == [200] * 24
    assert replies[-1].status == 429
    assert 0 < int(replies[-1].headers["Retry-After"]) <= 60
    venue.clock.pass_ms(60_000)
    assert venue.binance.http("GET", "/api/v3/ping", "", "", {}).status == 200


class Follower:
    """A book kept from frames and one snapshot, by the sequence rules that read real recordings."""

    def __init__(self) -> None:
        self.sequence = DepthSequence[dict[str, Any]](is_chained=False)
        self.book: tuple[dict[str, str], dict[str, str]] = ({}, {})

    def apply(self, bids: Any, asks: Any) -> None:
        for side, rows in zip(self.book, (bids, asks), strict=True):
            side.update(dict(rows))
            for price in [price for price, quantity in side.items() if quantity == "0.00000000"]:
                del side[price]

    def hear(self, frame: str) -> None:
        message = msgspec.json.decode(frame)
        data = message["data"]
        if message["stream"] == "btcusdt@depth@100ms":
            outcome = self.sequence.take(Diff(data["U"], data["u"], -1, data))
            assert outcome is not Outcome.GAP
            if outcome is Outcome.APPLY:
                self.apply(data["b"], data["a"])

    def begin(self, snapshot: dict[str, Any]) -> None:
        waiting = self.sequence.take_snapshot(snapshot["lastUpdateId"])
        assert waiting is not None
        self.apply(snapshot["bids"], snapshot["asks"])
        for diff in waiting:
            self.sequence.take(diff)
            self.apply(diff.payload["b"], diff.payload["a"])


@pytest.mark.spec("M1")
def test_a_book_kept_by_the_venue_s_rules_is_the_venue_s_book() -> None:
    venue, follower = Venue(Clock()), Follower()
    streams = "btcusdt@depth@100ms/btcusdt@trade/btcusdt@bookTicker"
    venue.binance.streams.open_market(follower.hear, "/stream", streams)
    for n in range(61):
        venue.depth([(600_000 - n % 7, n % 3 * 10)], [(600_001 + n % 5, n % 4 * 10)])
        if n % 3 == 0:
            venue.trade(600_000, 1 + n, Side.SELL)
            venue.flush()
        if n == 31:  # between two flushes: the book is ahead of the stream
            follower.begin(venue.get("depth", "symbol=BTCUSDT&limit=5000"))
    truth = venue.get("depth", "symbol=BTCUSDT&limit=5000")
    assert [dict(truth["bids"]), dict(truth["asks"])] == [dict(side) for side in follower.book]


def test_subscriptions_are_answered_and_obeyed() -> None:
    venue, frames = Venue(Clock()), list[str]()
    session = venue.binance.streams.open_market(frames.append, "/ws", "")
    venue.trade(600_000, 1, Side.BUY)
    assert not frames
    session.receive('{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":7}')
    assert msgspec.json.decode(frames.pop()) == {"result": None, "id": 7}
    venue.trade(600_000, 2, Side.SELL)
    trade = msgspec.json.decode(frames.pop())
    assert (trade["e"], trade["q"], trade["m"]) == ("trade", "0.00200000", True)
    session.receive('{"method":"LIST_SUBSCRIPTIONS","id":8}')
    assert msgspec.json.decode(frames.pop())["result"] == ["btcusdt@trade"]
    for nonsense in ("", "{", "[]", '{"method":"DANCE","id":9}', '{"id":1}', "\ud800"):
        session.receive(nonsense)
        assert "code" in msgspec.json.decode(frames.pop())
