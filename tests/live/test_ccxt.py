"""The road by ccxt: what its feed and gateway make of what ccxt hands over."""

import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elegant_trading_system.core.kinds import BookState, CommandKind, Kind, RejectReason, Side
from elegant_trading_system.core.schema import COMMAND
from elegant_trading_system.shell.ccxt.feed import CcxtFeed
from elegant_trading_system.shell.ccxt.gateway import CREATE, QUERY, TRADES, CcxtGateway, Request
from elegant_trading_system.shell.ccxt.markets import spec_of
from elegant_trading_system.shell.orders import ABSENCE_MS

from ..builders import loose
from .desk import Clock, Outside, Venue


class Desk:
    """Feed and gateway of one listing, BTC/USDT in ticks of 0.1 and lots of 0.001; ccxt is played by the test."""

    def __init__(self, folder: Path, venue: str = "kraken") -> None:
        self.clock = Clock()
        self.outside = Outside(Venue(self.clock), loose(), folder)
        self.sequencer, specs = self.outside.sequencer, {0: self.outside.spec}
        self.feed = CcxtFeed(self.sequencer, venue, specs)
        self.asked: list[Request] = []
        self.gateway = CcxtGateway(self.sequencer, specs, "e1", self.asked.append, lambda: self.clock() // 1_000_000)

    def heard(self, *kinds: Kind) -> list[Any]:
        packets = self.outside.journal.packets[: self.outside.journal.position]
        return [packet for packet in packets if packet["kind"] in kinds]

    def rows(self, packet: Any) -> list[tuple[int, int]]:
        begin = int(packet["level_begin"])
        end = begin + int(packet["buy_count"]) + int(packet["sell_count"])
        return [(int(row["price_ticks"]), int(row["lots"])) for row in self.outside.journal.rows[begin:end]]

    def send(self, order_id: int = 1, lots: int = 10, kind: CommandKind = CommandKind.SEND) -> Request:
        made = np.zeros(1, COMMAND)[0]
        made["order_id"], made["side"], made["price_ticks"], made["lots"], made["kind"] = (
            order_id,
            Side.BUY,
            600_001,
            lots,
            kind,
        )
        self.gateway.command(made)
        return self.asked[-1]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.outside.journal.close()


def trade(name: str, amount: float, **more: Any) -> dict[str, Any]:
    fee = {"cost": amount / 1000, "currency": "BTC"}
    return {"id": name, "order": "77", "price": 60000.1, "amount": amount, "fee": fee, "timestamp": 1} | more


def order(status: str | None, filled: float | None, **more: Any) -> dict[str, Any]:
    return {"id": "77", "status": status, "filled": filled} | more


# --- books and prints -------------------------------------------------------------------------------------------
@pytest.mark.spec("M2")
def test_whole_books_handed_over_one_after_the_other_are_the_book_the_engine_has(desk: Desk) -> None:
    chance = random.Random(1)
    for _ in range(200):
        middle = 600_000 + chance.randrange(-20, 21)
        book: dict[str, Any] = {"timestamp": 1_700_000_000_000}
        for name, sign in (("bids", -1), ("asks", 1)):
            ticks = sorted(chance.sample(range(1, 40), 15))
            book[name] = [[(middle + sign * k) / 10, chance.randrange(1, 50) / 1000] for k in ticks]
        desk.feed.hear_book("BTC/USDT", book)
        wanted = tuple(
            {round(price * 10): round(lots * 1000) for price, lots in book[name]} for name in ("bids", "asks")
        )
        assert desk.outside.book() == wanted
    assert len(desk.heard(Kind.SNAPSHOT)) == 1
    assert len(desk.heard(Kind.DEPTH)) == 199
    assert desk.feed.counts["refused"] == 0


GOOD = {"bids": [[60000.0, 1.0]], "asks": [[60000.1, 1.0]], "timestamp": 1}


@pytest.mark.parametrize(
    "book",
    [
        {},
        {"bids": None, "asks": []},
        {"bids": [[60000.1, 1.0]], "asks": [[60000.1, 1.0]]},
        {"bids": [], "asks": [[60000.1, 1.0]]},
        {"bids": [["x", 1.0]], "asks": [[60000.1, 1.0]]},
        {"bids": [[float("nan"), 1.0]], "asks": [[60000.1, 1.0]]},
        {"bids": [[60000.0, float("inf")]], "asks": [[60000.1, 1.0]]},
        {"bids": [[-1.0, 1.0]], "asks": [[60000.1, 1.0]]},
        {"bids": [[60000.05, 1.0]], "asks": [[60000.1, 1.0]]},
        {"bids": [[60000.0]], "asks": [[60000.1, 1.0]]},
    ],
)
def test_a_book_that_is_none_is_refused_and_the_next_good_one_begins_anew(desk: Desk, book: Any) -> None:
    desk.feed.hear_book("BTC/USDT", GOOD)
    desk.feed.hear_book("BTC/USDT", book)
    assert desk.feed.counts["refused"] == 1
    [status] = desk.heard(Kind.STATUS)
    assert status["code"] == BookState.GAP
    desk.feed.hear_book("BTC/USDT", GOOD)
    assert len(desk.heard(Kind.SNAPSHOT)) == 2
    assert desk.outside.book() == ({600_000: 1000}, {600_001: 1000})


@pytest.mark.parametrize("venue, is_buy", [("kraken", True), ("coinbase", False)])
def test_prints_count_once_on_the_side_that_took(tmp_path: Path, venue: str, is_buy: bool) -> None:
    desk = Desk(tmp_path, venue)
    prints = [{"id": str(n), "side": "buy", "price": 60000.1, "amount": 0.002, "timestamp": n} for n in range(5)]
    desk.feed.hear_trades("BTC/USDT", prints[:3])
    desk.feed.hear_trades("BTC/USDT", [*prints, {"id": "x"}, {"id": "y", "side": "up"}])
    heard = desk.heard(Kind.TRADE)
    assert [desk.rows(packet) for packet in heard] == [[(600_001, 2)]] * 5
    assert {bool(packet["buy_count"]) for packet in heard} == {is_buy}
    assert (desk.feed.counts["repeated"], desk.feed.counts["refused"]) == (3, 2)
    desk.outside.journal.close()


# --- orders -----------------------------------------------------------------------------------------------------
@pytest.mark.spec("E4")
def test_an_order_goes_out_once_with_exact_numbers_and_our_name(desk: Desk) -> None:
    asked = desk.send(lots=1234)
    assert (asked.what, asked.symbol, asked.name, asked.side) == (CREATE, "BTC/USDT", "ets69x1", "buy")
    assert (asked.amount, asked.price) == (Decimal("1.234"), Decimal("60000.1"))
    assert (str(float(asked.amount)), str(float(asked.price))) == ("1.234", "60000.1")


@pytest.mark.spec("E4")
def test_fills_of_the_answer_count_once_and_what_is_left_expires(desk: Desk) -> None:
    desk.send(lots=10)
    answer = order("expired", 0.007, trades=[trade("a", 0.004), trade("b", 0.003)])
    desk.gateway.hear_order(1, answer)
    desk.gateway.hear_order(1, answer)
    assert [desk.rows(packet) for packet in desk.heard(Kind.FILL)] == [[(600_001, 4)], [(600_001, 3)]]
    assert [int(packet["atoms"]) for packet in desk.heard(Kind.FILL)] == [-40, -30], "of ten million a bitcoin"
    assert len(desk.heard(Kind.EXPIRED)) == 1


@pytest.mark.spec("E4")
def test_fills_that_an_answer_does_not_hold_are_asked_for_before_the_order_ends(desk: Desk) -> None:
    desk.send(lots=10)
    desk.gateway.hear_order(1, order("closed", 0.01))
    assert desk.asked[-1].what == TRADES
    assert not desk.heard(Kind.FILL, Kind.EXPIRED)
    desk.gateway.hear_trades(1, [trade("z", 0.5, order="another's"), trade("a", 0.01)])
    assert [desk.rows(packet) for packet in desk.heard(Kind.FILL)] == [[(600_001, 10)]]
    assert not desk.heard(Kind.EXPIRED), "filled whole"


@pytest.mark.spec("E4")
def test_a_time_out_leaves_the_order_unknown_and_the_core_s_question_settles_it(desk: Desk) -> None:
    desk.send(lots=10)
    desk.gateway.hear_error(1, CREATE, ["RequestTimeout", "NetworkError", "OperationFailed", "BaseError", "Exception"])
    assert not desk.heard(Kind.REJECTED, Kind.EXPIRED)
    assert len(desk.asked) == 1, "never made again"
    assert desk.send(kind=CommandKind.QUERY).what == QUERY
    desk.gateway.hear_order(1, order("expired", 0.004, trades=[trade("a", 0.004)]))
    assert len(desk.heard(Kind.FILL)) == len(desk.heard(Kind.EXPIRED)) == 1
    desk.gateway.hear_error(1, CREATE, ["InvalidOrder", "ExchangeError", "BaseError"])
    assert not desk.heard(Kind.REJECTED), "what has filled is not undone by a late no"


def test_no_such_order_is_believed_only_when_the_order_can_no_longer_arrive(desk: Desk) -> None:
    desk.send()
    absent = ["OrderNotFound", "InvalidOrder", "ExchangeError", "BaseError"]
    desk.gateway.hear_error(1, QUERY, absent)
    assert not desk.heard(Kind.REJECTED)
    desk.clock.pass_ms(ABSENCE_MS + 1)
    desk.gateway.hear_error(1, QUERY, absent)
    assert len(desk.heard(Kind.REJECTED)) == 1


def test_a_clear_no_ends_the_order_and_says_when_it_was_the_money(desk: Desk) -> None:
    desk.send(1)
    desk.send(2)
    desk.gateway.hear_error(1, CREATE, ["InsufficientFunds", "ExchangeError", "BaseError"])
    desk.gateway.hear_error(2, CREATE, ["InvalidOrder", "ExchangeError", "BaseError"])
    assert [packet["code"] for packet in desk.heard(Kind.REJECTED)] == [RejectReason.BALANCE, RejectReason.VENUE]


@pytest.mark.parametrize(
    "answer", [{}, {"id": "1", "filled": "x"}, {"id": "1", "filled": -1}, {"id": None, "trades": 5}]
)
def test_an_answer_that_cannot_be_read_changes_nothing(desk: Desk, answer: Any) -> None:
    desk.send()
    desk.gateway.hear_order(1, answer)
    desk.gateway.hear_trades(1, [{"order": "", "price": None}])
    assert not desk.heard(Kind.FILL, Kind.EXPIRED, Kind.REJECTED)
    assert desk.gateway.counts["refused"] >= 1


def test_a_fee_in_an_asset_without_a_ledger_is_counted(desk: Desk) -> None:
    desk.send(lots=1)
    desk.gateway.hear_order(1, order("closed", 0.001, trades=[trade("a", 0.001, fee={"cost": 1, "currency": "BNB"})]))
    assert [int(packet["atoms"]) for packet in desk.heard(Kind.FILL)] == [0]
    assert desk.gateway.counts["foreign_fees"] == 1


def test_a_market_becomes_a_listing_by_its_steps() -> None:
    market = {
        "symbol": "BTC/EUR",
        "spot": True,
        "base": "BTC",
        "quote": "EUR",
        "precision": {"price": 0.1, "amount": 1e-8},
        "limits": {"amount": {"min": 0.0001}, "cost": {"min": None}},
    }
    spec = spec_of("kraken", market)
    assert (spec.tick_size, spec.lot_size, spec.lots_min) == (Decimal("0.1"), Decimal("1E-8"), 10_000)
