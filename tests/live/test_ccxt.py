"""The road by ccxt: what its feed and gateway make of what ccxt hands over."""

import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from elegant_trading_system.core.kinds import BookState, CommandKind, Kind, RejectReason, Side
from elegant_trading_system.data.universe import build
from elegant_trading_system.errors import UserError
from elegant_trading_system.shell.ccxt.client import ORDER_NEEDS, Redirected, check_feed, check_orders
from elegant_trading_system.shell.ccxt.feed import CcxtFeed
from elegant_trading_system.shell.ccxt.gateway import CREATE, QUERY, TRADES, CcxtGateway, Request
from elegant_trading_system.shell.ccxt.markets import chosen, instrument_of, spec_of
from elegant_trading_system.shell.ccxt.perpetuals import check_able, contracts_of
from elegant_trading_system.shell.hosts import check_loopback, check_roads
from elegant_trading_system.shell.orders import ABSENCE_MS

from ..builders import loose
from .desk import Clock, Outside, Venue, decided


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
        self.gateway.command(decided(order_id, Side.BUY, 600_001, lots, kind))
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
def test_an_order_that_the_venue_has_taken_is_asked_about_until_it_has_ended(desk: Desk) -> None:
    def beat(ms: int) -> list[str]:
        desk.clock.pass_ms(ms)
        before = len(desk.asked)
        desk.gateway.beat(desk.clock() // 1_000_000)
        return [asked.what for asked in desk.asked[before:]]

    desk.send(lots=10)
    assert beat(5000) == [], "whether the venue has it is for the core to ask"
    desk.gateway.hear_order(1, order(None, None))
    assert (beat(20), beat(20), beat(500)) == ([QUERY], [], [QUERY])
    desk.gateway.hear_order(1, order("closed", 0.01))
    assert desk.asked[-1].what == TRADES
    desk.gateway.hear_trades(1, [])
    assert (beat(20), beat(500)) == ([], [QUERY]), "its fills are not listed yet"
    desk.gateway.hear_order(1, order("closed", 0.01, trades=[trade("a", 0.01)]))
    assert (beat(20), beat(5000), desk.gateway.is_quiet) == ([], [], True)


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


# --- perpetuals -------------------------------------------------------------------------------------------------
class Contracts(Desk):
    """The same with a perpetual whose contract is a hundredth of a coin: a lot of 0.001 coins is a tenth of one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        spec = self.outside.spec.model_copy(update={"symbol": "BTC/USDT:USDT", "kind": "linear"})
        specs, lots = {0: spec}, {0: Decimal("0.1")}
        self.feed = CcxtFeed(self.sequencer, "okx", specs, lots)
        now_ms = lambda: self.clock() // 1_000_000  # noqa: E731 - a clock
        self.gateway = CcxtGateway(self.sequencer, specs, "e1", self.asked.append, now_ms, lots)


@pytest.fixture
def contracts(tmp_path: Path) -> Iterator[Contracts]:
    made = Contracts(tmp_path)
    yield made
    made.outside.journal.close()


@pytest.mark.spec("X2", "X4")
def test_what_a_venue_counts_in_contracts_is_counted_in_lots_here(contracts: Contracts) -> None:
    book = {"bids": [[60000.0, 2.5]], "asks": [[60000.1, 40.0]], "timestamp": 1}
    contracts.feed.hear_book("BTC/USDT:USDT", book)
    assert contracts.outside.book() == ({600_000: 25}, {600_001: 400})
    contracts.feed.hear_trades("BTC/USDT:USDT", [{"id": "1", "side": "buy", "price": 60000.1, "amount": 1.2}])
    assert [contracts.rows(packet) for packet in contracts.heard(Kind.TRADE)] == [[(600_001, 12)]]
    asked = contracts.send(lots=34)
    assert (asked.amount, asked.is_reduce_only) == (Decimal("3.4"), False)
    contracts.gateway.hear_order(1, order("expired", 1.7, trades=[trade("a", 1.7, fee=None)]))
    assert [contracts.rows(packet) for packet in contracts.heard(Kind.FILL)] == [[(600_001, 17)]]
    assert len(contracts.heard(Kind.EXPIRED)) == 1


def payment(name: str | None, amount: float, ts_ms: int, **more: Any) -> dict[str, Any]:
    return {"id": name, "symbol": "BTC/USDT:USDT", "code": "USDT", "amount": amount, "timestamp": ts_ms} | more


@pytest.mark.spec("X4", "P1")
def test_funding_counts_once_however_often_it_is_listed_and_none_of_it_when_a_row_is_nonsense(
    contracts: Contracts,
) -> None:
    now_ms, symbol, hear = contracts.clock() // 1_000_000, "BTC/USDT:USDT", contracts.gateway.hear_funding
    first, second = payment("a", -1.5, now_ms + 1), payment(None, 0.25, now_ms + 9)
    hear(symbol, [payment("z", 7.0, now_ms - 1), first])
    hear(symbol, [first, second, payment("b", 1.0, now_ms + 9, code="BNB")])
    hear(symbol, [first, second])
    for nonsense in ({"amount": None}, payment("c", float("nan"), now_ms), "x"):
        hear(symbol, [payment("d", 3.0, now_ms + 10), nonsense])  # type: ignore[list-item]
    atoms = [int(packet["atoms"]) for packet in contracts.heard(Kind.FUNDING)]
    assert atoms == [-150_000_000, 25_000_000]
    assert (contracts.gateway.counts["refused"], contracts.gateway.counts["foreign"]) == (3, 1)


MARKET = {
    "symbol": "BTC/EUR",
    "id": "XBTEUR",
    "spot": True,
    "base": "BTC",
    "quote": "EUR",
    "precision": {"price": 0.1, "amount": 1e-8},
    "limits": {"amount": {"min": 0.0001}, "cost": {"min": None}},
    "taker": 0.0026,
}
SWAP = MARKET | {
    "symbol": "BTC/USDT:USDT",
    "spot": False,
    "swap": True,
    "linear": True,
    "quote": "USDT",
    "settle": "USDT",
    "contractSize": 0.01,
    "precision": {"price": 0.1, "amount": 0.1},
    "limits": {"amount": {"min": 0.1}, "cost": {"min": 5}},
}


@pytest.mark.spec("X2")
def test_a_market_becomes_a_listing_by_its_steps_and_its_fee() -> None:
    spec = spec_of("kraken", MARKET)
    assert (spec.tick_size, spec.lot_size, spec.lots_min) == (Decimal("0.1"), Decimal("1E-8"), 10_000)
    assert spec.taker_fee_bps == 26
    assert int(build([spec], loose()).record[0]["listings"][0]["taker_fee_ppm"]) == 2600
    ours = build([spec.model_copy(update={"venue": "coinbase"})], loose())
    assert int(ours.record[0]["listings"][0]["taker_fee_ppm"]) == 6000, "the configuration names that venue"
    perpetual = instrument_of("okx", SWAP)
    assert (perpetual.spec.kind, perpetual.spec.lot_size, perpetual.lot) == (
        "linear",
        Decimal("0.001"),
        Decimal("0.1"),
    )
    assert (perpetual.spec.lots_min, perpetual.spec.notional_min) == (1, Decimal(5))


def test_a_fee_that_has_changed_makes_no_other_listing() -> None:
    spec = spec_of("kraken", MARKET)
    assert spec.is_like(spec_of("kraken", MARKET | {"taker": 0.004}))
    assert not spec.is_like(spec.model_copy(update={"lot_size": Decimal(1)}))


@pytest.mark.parametrize(
    "change, told",
    [
        ({"linear": False, "inverse": True}, "is inverse"),
        ({"swap": False, "type": "option"}, "is option"),
        ({"contractSize": None}, "how much a contract is"),
        ({"precision": {"price": None, "amount": 1}}, "does not say its steps"),
    ],
)
def test_a_market_that_cannot_be_traded_safely_is_refused_by_name(change: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        instrument_of("okx", SWAP | change)


def test_an_instrument_is_found_by_symbol_by_base_and_by_the_venue_s_own_name() -> None:
    names = ["BTC/EUR", "BTC/USDT", "BTC/USDT:USDT", "ETH/USD", "ETH/USDT"]
    markets = {name: MARKET | {"symbol": name, "base": name[:3], "id": name.replace("/", "")} for name in names}
    wishes = {"BTC/EUR": "BTC/EUR", "BTC": "BTC/USDT", "ETH": "ETH/USD", "ETHUSDT": "ETH/USDT"}
    assert {wish: chosen("kraken", markets, wish) for wish in wishes} == wishes
    with pytest.raises(UserError) as refused:
        chosen("kraken", markets, "BTC/CHF")
    assert refused.value.hint == "did you mean BTC/EUR, BTC/USDT, BTC/USDT:USDT?"


# --- what nothing passes ----------------------------------------------------------------------------------------
def test_live_orders_by_ccxt_go_to_no_venue_that_is_not_of_this_machine() -> None:
    for stands_for in ({}, {"https://api.kraken.com": "https://example.com"}):
        with pytest.raises(UserError, match="live orders go to this machine only: kraken"):
            check_loopback({"kraken": {"symbols": ["BTC"], "rest": "http://127.0.0.1:1", "stands_for": stands_for}})
    check_loopback({"kraken": {"symbols": ["BTC"], "stands_for": {"https://api.kraken.com": "http://127.0.0.1:1"}}})


def test_an_address_that_stands_for_nothing_is_not_reached() -> None:
    session = Redirected(None, {"https://api.kraken.com": "http://127.0.0.1:1"})  # type: ignore[arg-type]
    assert session.local("https://api.kraken.com/0/public/Time?x=1") == "http://127.0.0.1:1/0/public/Time?x=1"
    for url in ("https://api.kraken.com.example.com/", "https://example.com/", "wss://ws.kraken.com"):
        with pytest.raises(UserError, match="no address of the hosts file stands for it"):
            session.local(url)
    with pytest.raises(AttributeError):
        _ = session.request


def test_one_venue_by_two_roads_is_refused() -> None:
    with pytest.raises(UserError, match="binance: named twice"):
        check_roads(["binance", "ccxt:binance"])


@pytest.mark.parametrize(
    "check, missing",
    [
        (check_feed, "watchOrderBook and no watchTrades"),
        (
            check_orders,
            "createOrder and no fetchOrder and no fetchMyTrades and no fetchBalance and no any of fetchOrders",
        ),
        (check_able, "setMarginMode and no setLeverage and no fetchPositions and no fetchFundingHistory"),
    ],
)
def test_everything_that_ccxt_cannot_do_at_a_venue_is_named_at_once(check: Any, missing: str) -> None:
    with pytest.raises(UserError) as refused:
        check(SimpleNamespace(id="nowhere", has={}))
    assert missing in refused.value.message


def test_positions_in_hedge_mode_are_no_number() -> None:
    long = {"symbol": "BTC/USDT:USDT", "side": "long", "contracts": 3.0}
    assert contracts_of([long, {"symbol": "ETH/USDT:USDT", "side": "short", "contracts": 0.5}, {"contracts": 0}]) == {
        "BTC/USDT:USDT": Decimal(3),
        "ETH/USDT:USDT": Decimal("-0.5"),
    }
    for two in ([long, long | {"side": "short"}], [long | {"hedged": True}], [long | {"side": None}]):
        with pytest.raises(UserError, match="in hedge mode"):
            contracts_of(two)


def test_what_else_a_venue_wants_is_asked_for_by_the_variable_s_name() -> None:
    wants = {"apiKey": True, "secret": True, "privateKey": True, "uid": False}
    able = dict.fromkeys((*ORDER_NEEDS, "fetchOrders"), True)
    exchange = SimpleNamespace(id="okx", has=able, requiredCredentials=wants, apiKey="k", secret="s", privateKey="")
    with pytest.raises(UserError, match="okx asks for privateKey too") as refused:
        check_orders(exchange)
    assert refused.value.hint == "put it into the environment: OKX_PRIVATE_KEY"
    exchange.privateKey = "p"
    check_orders(exchange)
