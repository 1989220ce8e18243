"""What the fuzz has found, each by itself: nothing of an answer counts before all of it has been understood."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from elegant_trading_system.core.kinds import Kind, Side
from elegant_trading_system.emulator.binance.spot import SUBSCRIPTIONS_MAX
from elegant_trading_system.emulator.coinbase.venue import ROOT
from elegant_trading_system.emulator.deribit import Deribit
from elegant_trading_system.emulator.volatility import VolatilityIndex
from elegant_trading_system.shell.coinbase.orders import page_behind

from ..builders import loose
from .coinbase_desk import CoinbaseOutside, CoinbaseVenue
from .desk import Clock, Outside, Venue
from .futures_desk import FuturesOutside, FuturesVenue
from .fuzz_others import DeribitFeedSubject
from .test_ccxt import Desk as CcxtDesk
from .test_ccxt import order, trade
from .test_coinbase_gateway import ends

Close = Callable[[Any], Any]


@pytest.fixture
def closing() -> Iterator[Close]:
    """Closes the journal of whatever is handed to it when the test ends."""
    made: list[Any] = []

    def keep(one: Any) -> Any:
        made.append(one)
        return one

    yield keep
    for one in made:
        getattr(one, "outside", one).journal.close()


# --- Binance ----------------------------------------------------------------------------------------------------
@pytest.mark.spec("M2")
@pytest.mark.parametrize("code", [-1003, -1021])
def test_an_error_that_does_not_say_its_status_is_refused_and_bans_nobody(
    code: int, tmp_path: Path, closing: Close
) -> None:
    outside = closing(Outside(Venue(Clock()), loose(), tmp_path))
    outside.gateway.hear_up()
    outside.gateway.hear(json.dumps({"id": "place 1", "error": {"code": code, "data": {"retryAfter": 2**41}}}))
    counts = outside.gateway.counts
    assert (counts["refused"], counts["bans"], counts["out_of_time"], outside.gateway.banned_s) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    "body", [b'{"lastUpdateId":7}', b'{"lastUpdateId":7,"bids":[]}', b'{"lastUpdateId":7,"asks":[]}']
)
def test_a_snapshot_that_does_not_tell_both_sides_is_no_empty_book(body: bytes, tmp_path: Path, closing: Close) -> None:
    outside = closing(Outside(Venue(Clock()), loose(), tmp_path))
    assert not outside.feed.hear_snapshot("BTCUSDT", body)
    assert (outside.feed.counts["refused"], outside.journal.count) == (1, 0)


@pytest.mark.parametrize("body", [b"{}", b'""', b"null"])
def test_a_list_of_funding_that_is_none_leaves_it_to_be_asked_for(body: bytes, tmp_path: Path, closing: Close) -> None:
    outside = closing(FuturesOutside(FuturesVenue(Clock()), loose(), tmp_path))
    outside.gateway.restore([])
    outside.gateway.hear_reply("income", 200, body)
    assert outside.gateway.counts["refused"] == 1
    assert outside.gateway.unsettled() == 1
    outside.gateway.hear_reply("income", 200, b"[]")
    assert outside.gateway.unsettled() == 0


def test_a_connection_has_no_more_than_a_thousand_subscriptions_to_user_data() -> None:
    venue, said = Venue(Clock()), list[dict[str, Any]]()
    session = venue.binance.streams.open_api(lambda frame: said.append(json.loads(frame)))
    session.account = venue.account
    frame = {"id": 1, "method": "userDataStream.subscribe", "params": {"timestamp": venue.binance.now_ms}}
    for _ in range(SUBSCRIPTIONS_MAX + 1):
        venue.binance.api(session, json.dumps(frame))
    assert [one["status"] for one in said] == [200] * SUBSCRIPTIONS_MAX + [400]
    assert len(session.subscriptions) == SUBSCRIPTIONS_MAX


# --- Coinbase ---------------------------------------------------------------------------------------------------
@pytest.fixture
def coinbase(tmp_path: Path, closing: Close) -> CoinbaseOutside:
    """With an order of 10 lots that the venue has acknowledged."""
    outside: CoinbaseOutside = closing(CoinbaseOutside(CoinbaseVenue(Clock()), loose(), tmp_path))
    outside.gateway.is_subscribed = True
    outside.command(1, Side.BUY, 600_001, 10)
    placed = {"success": True, "success_response": {"order_id": "77"}}
    outside.gateway.hear_answer("place 1", 200, json.dumps(placed))
    return outside


def fill(name: str, size: str, **more: Any) -> dict[str, Any]:
    return {"order_id": "77", "trade_id": name, "price": "60000.1", "size": size, "commission": "0.1"} | more


@pytest.mark.spec("M2", "E4")
@pytest.mark.parametrize(
    "rows",
    [
        [fill("a", "0.011")], [fill("a", "0.006"), fill("b", "0.005")], [fill("a", "0.001", price="0")],
        [fill("a", "0.001", price="99999999999999999999")], [fill("a", "0.001", commission="99999999999")],
        [fill("a", "0.001"), fill("b", "x")],
    ],
)  # fmt: skip
def test_fills_that_cannot_be_count_as_none_of_them(coinbase: CoinbaseOutside, rows: list[Any]) -> None:
    coinbase.gateway.hear_answer("fills 1", 200, json.dumps({"fills": rows, "cursor": ""}))
    assert coinbase.gateway.counts["refused"] == 1
    assert (coinbase.gateway.orders[1].filled_lots, ends(coinbase)) == (0, [])
    coinbase.gateway.hear_answer("fills 1", 200, json.dumps({"fills": [fill("a", "0.010")], "cursor": ""}))
    assert ends(coinbase) == [(Kind.FILL, 1)]


def test_more_than_was_ordered_is_not_waited_for(coinbase: CoinbaseOutside) -> None:
    sent = coinbase.gateway.orders[1]
    told = {"order_id": "77", "client_order_id": sent.name, "status": "FILLED", "cumulative_quantity": "0.011"}
    frame = {"channel": "user", "sequence_num": 0, "events": [{"orders": [told]}]}
    coinbase.gateway.hear(json.dumps(frame))
    assert (coinbase.gateway.counts["refused"], int(sent.announced), sent.status) == (1, 0, "")


@pytest.mark.parametrize("cursor", [["x"], {"a": 1}, "x" * 10_000])
def test_a_next_page_that_has_no_name_is_not_asked_for(coinbase: CoinbaseOutside, cursor: Any) -> None:
    asked = len(coinbase.asked)
    coinbase.gateway.hear_answer("list 1", 200, json.dumps({"orders": [], "has_next": True, "cursor": cursor}))
    assert (coinbase.gateway.counts["refused"], len(coinbase.asked)) == (1, asked)


def test_a_page_s_name_cannot_say_anything_else() -> None:
    assert page_behind("7&order_ids=8#/..") == "&cursor=7%26order_ids%3D8%23%2F.."


def test_a_no_about_an_order_that_is_known_to_be_there_is_counted(coinbase: CoinbaseOutside) -> None:
    coinbase.gateway.hear_answer("place 1", 400, b"")
    assert (coinbase.gateway.counts["contradicted"], ends(coinbase)) == (1, [])


def test_half_a_character_in_a_question_is_answered() -> None:
    reply = CoinbaseVenue(Clock()).coinbase.http("GET", f"{ROOT}market/pro\udce4ucts", "", "", {})
    assert (reply.status, "pro?ucts" in json.loads(reply.body)["message"]) == (404, True)


# --- ccxt -------------------------------------------------------------------------------------------------------
@pytest.fixture
def ccxt(tmp_path: Path, closing: Close) -> CcxtDesk:
    desk: CcxtDesk = closing(CcxtDesk(tmp_path))
    desk.send(1, 10)
    return desk


@pytest.mark.spec("M2", "E4")
@pytest.mark.parametrize(
    "trades",
    [
        [trade("a", 0.011)], [trade("a", 0.006), trade("b", 0.005)], [trade("a", 0.001), trade("b", 0.001, price="x")],
        [trade("a", 0.0001)], [trade("a", 0.001, price=0)], [trade("a", 0.001, timestamp=2**63)],
        [trade("a", 0.001, timestamp=-1)], [trade("a", 0.001, fee={"cost": 1e14, "currency": "BTC"})],
        [trade("", 0.001, id={"a": 1})], [trade("a" * 1000, 0.001)],
    ],
)  # fmt: skip
def test_fills_by_ccxt_that_cannot_be_count_as_none_of_them(ccxt: CcxtDesk, trades: list[Any]) -> None:
    ccxt.gateway.hear_order(1, order("closed", 0.01, trades=trades))
    assert ccxt.gateway.counts["refused"] == 1
    sent = ccxt.gateway.orders[1]
    assert (ccxt.heard(Kind.FILL), sent.venue_id, sent.status, int(sent.executed)) == ([], "", "", 0)
    ccxt.gateway.hear_order(1, order("closed", 0.01, trades=[trade("a", 0.01)]))
    assert len(ccxt.heard(Kind.FILL)) == 1


@pytest.mark.parametrize("trades", [None, 7, "abc", {"id": "1"}])
def test_prints_that_are_no_list_are_refused(ccxt: CcxtDesk, trades: Any) -> None:
    ccxt.feed.hear_trades("BTC/USDT", trades)
    assert (ccxt.feed.counts["refused"], ccxt.heard(Kind.TRADE)) == (1, [])


@pytest.mark.parametrize("amount", [1e14, 9e14])
def test_more_than_a_book_can_hold_is_refused(ccxt: CcxtDesk, amount: float) -> None:
    book = {"bids": [[60000.0, amount]], "asks": [[9e14, amount]], "timestamp": 1}
    ccxt.feed.hear_book("BTC/USDT", book)
    assert (ccxt.feed.counts["refused"], ccxt.heard(Kind.SNAPSHOT)) == (1, [])


@pytest.mark.parametrize("timestamp", [2**63, -1, 10**400])
def test_a_book_of_no_time_is_refused(ccxt: CcxtDesk, timestamp: int) -> None:
    ccxt.feed.hear_book("BTC/USDT", {"bids": [[1.0, 1.0]], "asks": [[2.0, 1.0]], "timestamp": timestamp})
    assert (ccxt.feed.counts["refused"], ccxt.heard(Kind.SNAPSHOT)) == (1, [])


# --- Deribit ----------------------------------------------------------------------------------------------------
def test_half_a_character_is_refused(tmp_path: Path) -> None:
    subject = DeribitFeedSubject(tmp_path, random.Random(1))
    subject.feed.hear(0, '{"id":2,"result":"\udc9f"}')
    assert subject.feed.counts["refused"] == 1
    subject.close()


@pytest.mark.parametrize("begin", [10**400, 2**63, 1_760_000_000_001])
def test_a_history_that_begins_behind_its_end_is_empty(begin: int) -> None:
    venue = Deribit({"btc_usd": VolatilityIndex([], 55.0, 1)}, Clock())
    query = f"currency=BTC&resolution=1D&start_timestamp={begin}&end_timestamp=1"
    reply = venue.http("GET", "/api/v2/public/get_volatility_index_data", query, "", {})
    assert json.loads(reply.body)["result"] == {"data": [], "continuation": None}
