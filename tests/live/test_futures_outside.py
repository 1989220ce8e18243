"""Perpetuals around the core: books by their chain of numbers, money by fills, fees and funding, whatever is lost."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from elegant_trading_system.core.kinds import BookState, CommandKind, Kind, OperatorCommand, RejectReason, Side
from elegant_trading_system.emulator.orders import TimeInForce
from elegant_trading_system.errors import UserError
from elegant_trading_system.shell.binance import futures_gateway
from elegant_trading_system.shell.binance import futures_setup as setup
from elegant_trading_system.shell.binance.futures_gateway import Payments

from ..builders import loose
from .desk import BTC, Clock
from .futures_desk import FuturesLine, FuturesOutside, FuturesVenue
from .test_outside import check_nonsense, events, follow_through_losses, state_of

D = Decimal
FUNDING_EVERY_MS = 8 * 3_600_000


@pytest.fixture
def venue() -> FuturesVenue:
    return FuturesVenue(Clock())


@pytest.fixture
def outside(venue: FuturesVenue, tmp_path: Path) -> Iterator[FuturesOutside]:
    made = FuturesOutside(venue, loose(), tmp_path)
    yield made
    made.journal.close()


# --- the feed ---------------------------------------------------------------------------------------------
@pytest.mark.spec("M2", "M3")
def test_one_frame_in_twelve_lost_on_each_connection_and_no_snapshot_but_for_what_both_lost(
    venue: FuturesVenue, outside: FuturesOutside
) -> None:
    jumps = list[int]()
    follow_through_losses(venue, outside, 11, lambda update: jumps.append(update["U"] > update["pu"] + 1))
    assert sum(jumps) > 1000, "numbers of other instruments lie between ours: U is not the last u plus one"


@pytest.mark.spec("M3")
def test_a_broken_chain_on_the_only_connection_is_a_gap_until_a_snapshot(
    venue: FuturesVenue, outside: FuturesOutside
) -> None:
    count = 0

    def third_is_lost(frame: str) -> bool:
        nonlocal count
        count += '"depthUpdate"' in frame
        return count != 3

    outside.listen(0, third_is_lost)
    for n in range(6):
        venue.depth([(600_000, 10 + n)])
        venue.flush()
        if n == 0:
            assert outside.snapshot()
            outside.wanted.clear()
        assert state_of(outside) is (BookState.LIVE if n < 3 else BookState.GAP)
        assert outside.wanted == (["BTCUSDT"] if n >= 3 else [])
    assert outside.snapshot()
    assert state_of(outside) is BookState.LIVE
    assert outside.book() == venue.exchange.books["BTCUSDT"].sides


@pytest.mark.parametrize(
    "snapshot_at, fits", [(90, False), (99, True), (100, True), (107, True), (115, True), (121, True)]
)
def test_a_snapshot_fits_when_its_number_is_between_pu_and_u(
    outside: FuturesOutside, snapshot_at: int, *, fits: bool
) -> None:
    def diff(first: int, last: int, previous: int, lots: str) -> str:
        data = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": last, "pu": previous}
        return json.dumps({"data": data | {"b": [["59999.9", lots]], "a": []}})

    outside.feed.hear_up(0)
    outside.feed.hear(0, diff(105, 110, 99, "1.000"))
    outside.feed.hear(0, diff(118, 120, 110, "2.000"))
    book = {"lastUpdateId": snapshot_at, "bids": [["59999.9", "9.000"]], "asks": [["60000.1", "1.000"]]}
    assert outside.feed.hear_snapshot("BTCUSDT", json.dumps(book).encode()) is fits
    if fits:
        assert outside.book()[0] == {599_999: 2000 if snapshot_at < 120 else 9000}
        outside.feed.hear(0, diff(130, 131, max(120, snapshot_at), "3.000"))
        assert outside.book()[0] == {599_999: 3000}


def test_prints_off_the_market_are_left_out_and_mark_prices_are_noted(
    venue: FuturesVenue, outside: FuturesOutside
) -> None:
    outside.listen(0)
    assert outside.snapshot()
    print_ = {"e": "trade", "E": 1, "s": "BTCUSDT", "T": 1, "m": True, "p": "60000.0", "q": "0.001"}
    for number, kind in enumerate(["MARKET", "INSURANCE_FUND", "ADL", "NA", "MARKET"], 5):
        price = "60000.0" if kind == "MARKET" else "12345.6789"  # not even on the grid
        outside.feed.hear(0, json.dumps({"data": print_ | {"t": number, "X": kind, "p": price}}))
    assert len(events(outside, Kind.TRADE)) == 2
    assert (outside.feed.counts["off_market"], outside.feed.counts["lost_trades"]) == (3, 0)
    venue.streams.open_market(outside.feed.hear_marks, "/market/stream", outside.feed.mark_streams())
    venue.clock.pass_ms(1000)
    venue.flush()
    mark = outside.feed.marks["BTCUSDT"]
    assert (mark.price, mark.funding_rate, mark.next_funding_ms % 28_800_000) == (D("60000.05"), D("0.0001"), 0)


NONSENSE = [
    b"", b"{", b"[]", b"null", b'{"data":{}}', b"\xff\xfe", b"[" * 10_000,
    b'{"data":{"e":"depthUpdate","s":"BTCUSDT","E":1,"U":900,"u":901,"b":[],"a":[]}}',
    b'{"data":{"e":"depthUpdate","s":"BTCUSDT","E":1,"U":900,"u":901,"pu":900,"b":[],"a":[]}}',
    b'{"data":{"e":"depthUpdate","s":"BTCUSDT","E":1,"U":900,"u":899,"pu":898,"b":[],"a":[]}}',
    b'{"data":{"e":"depthUpdate","s":"BTCUSDT","E":1,"U":900,"u":901,"pu":"899","b":[],"a":[]}}',
    b'{"data":{"e":"depthUpdate","s":"BTCUSDT","E":1,"U":900,"u":901,"pu":899,"b":[["60000.05","1"]],"a":[]}}',
    b'{"data":{"e":"depthUpdate","s":"OTHER","E":1,"U":900,"u":901,"pu":899,"b":[],"a":[]}}',
    b'{"data":{"e":"trade","s":"BTCUSDT","E":1,"t":9,"T":1,"m":true,"p":"99999999999999999999","q":"1","X":"MARKET"}}',
    b'{"data":{"e":"markPriceUpdate","s":"BTCUSDT","E":1,"p":"NaN","r":"0.0001","T":1}}',
    b'{"data":{"e":"markPriceUpdate","s":"BTCUSDT","E":1,"p":"-5","r":"0.0001","T":1}}',
    b'{"data":{"e":"markPriceUpdate","s":"BTCUSDT","E":1,"p":"60000","r":"much","T":1}}',
]  # fmt: skip


@pytest.mark.parametrize("frame", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_counted_and_changes_nothing(venue: FuturesVenue, outside: FuturesOutside, frame: bytes) -> None:
    marks = dict(outside.feed.marks)
    check_nonsense(venue, outside, frame)
    assert outside.feed.marks == marks


# --- the gateway --------------------------------------------------------------------------------------------
def trip(venue: FuturesVenue, line: FuturesLine, side: Side, first_id: int) -> None:
    """Open, pay funding, close by half and by half; the market goes up in between."""
    outside = line.outside
    for n, (one, lots) in enumerate([(side, 90), (Side(-side), 41), (Side(-side), 49)]):
        low = 600_000 + 700 * n
        venue.depth([(low - k, 500) for k in range(10)], [(low + 3 + k, 33) for k in range(10)], is_whole=True)
        if n == 1:
            venue.fund()
            assert outside.gateway.listen_key.name == "", "nobody has renewed it in eight hours"
            line.open_user()
        limit = low + 12 if one is Side.BUY else low - 9
        decide(outside, first_id + n, one, limit, lots, is_exit=n > 0)
        line.carry()


def decide(outside: FuturesOutside, order_id: int, side: Side, ticks: int, lots: int, *, is_exit: bool) -> None:
    """Entered into the core's own order table, as if it had decided it."""
    trader = outside.sequencer.trader
    slot = next(order for order in trader["orders"] if order["state"] == 0)
    slot["order_id"], slot["state"], slot["side"], slot["price_ticks"], slot["lots"] = order_id, 1, side, ticks, lots
    slot["filled_lots"], slot["listing_id"], slot["is_exit"] = 0, 0, is_exit
    slot["ts_sent_ns"] = slot["ts_query_ns"] = outside.venue.clock()
    trader["order_count"] += 1
    working = "working_buy_lots" if side is Side.BUY else "working_sell_lots"
    trader["inventory"][0][working] += lots
    outside.command(order_id, side, ticks, lots, is_exit=is_exit)


@pytest.mark.spec("P1", "E4")
@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
@pytest.mark.parametrize("copies", [1, 3])
def test_a_round_trip_with_fees_and_funding_is_the_same_money_on_both_sides_to_the_last_decimal(
    venue: FuturesVenue, outside: FuturesOutside, side: Side, copies: int
) -> None:
    outside.fund()
    line = FuturesLine(venue, outside)
    line.copies = copies
    trip(venue, line, side, 1)
    orders = list(venue.account.orders.values())
    assert [(order.status.value, order.is_reduce_only) for order in orders] == [
        ("FILLED", False), ("FILLED", True), ("FILLED", True),
    ]  # fmt: skip
    assert not venue.account.open_positions()
    assert int(outside.sequencer.trader["inventory"][0]["held_atoms"]) == 0
    assert len(venue.account.income) == 1
    fees = sum(fill.fee for order in orders for fill in order.fills)
    profit = sum(fill.profit for order in orders for fill in order.fills)
    assert profit * side > 0
    assert venue.wallet == D(100_000) + profit - fees + venue.account.income[0].amount
    assert outside.balance() == venue.wallet
    assert [int(count) for count in outside.sequencer.trader["refused_reports"].flatten()] == [0]
    assert outside.gateway.counts["refused"] == 0


@pytest.mark.spec("P1")
def test_between_the_two_halves_our_balance_differs_by_less_than_a_lot_s_tick(
    venue: FuturesVenue, outside: FuturesOutside
) -> None:
    """The core releases cost in whole ticks of a lot, the venue to the eighth decimal; a flat position shows no trace."""
    outside.fund()
    line = FuturesLine(venue, outside)
    decide(outside, 1, Side.BUY, 600_003, 250, is_exit=False)
    line.carry()
    decide(outside, 2, Side.SELL, 599_990, 83, is_exit=True)
    line.carry()
    assert abs(outside.balance() - venue.wallet) < BTC.tick * BTC.lot


@pytest.mark.spec("E4")
def test_what_the_user_stream_lost_is_asked_for_and_counted_once(venue: FuturesVenue, outside: FuturesOutside) -> None:
    line = FuturesLine(venue, outside)
    line.is_telling = False
    outside.command(1, Side.BUY, 600_002, 150)
    line.carry()
    assert not events(outside, Kind.FILL, Kind.EXPIRED), "the answer names no fills: they are awaited"
    line.is_telling = True
    outside.command(1, Side.BUY, 0, 0, CommandKind.QUERY)
    line.carry()
    assert [rows for _, _, _, _, rows in events(outside, Kind.FILL)] == [[(600_001, 100)], [(600_002, 50)]]
    assert [atoms for _, _, _, atoms, _ in events(outside, Kind.FILL)] == [-300_000_500, -150_000_500]
    line.is_telling = False
    outside.command(2, Side.BUY, 600_002, 90)  # 51 are left there
    line.carry()
    venue.streams.close(line.user)
    outside.gateway.hear_user_down()
    line.is_telling = True
    outside.gateway.hear_user_up()
    line.carry()
    assert [(order_id, kind) for kind, order_id, *_ in events(outside, Kind.FILL, Kind.EXPIRED)][2:] == [
        (2, Kind.FILL), (2, Kind.EXPIRED),
    ]  # fmt: skip
    outside.command(3, Side.BUY, 600_003, 5)
    outside.gateway.hear_user_down()
    line.carry()
    assert [order_id for _, order_id, *_ in events(outside, Kind.FILL)][3:] == [3], "nobody listens: asked at once"


@pytest.mark.spec("E4")
def test_an_answer_behind_its_fills_adds_nothing(venue: FuturesVenue, outside: FuturesOutside) -> None:
    line, held = FuturesLine(venue, outside), list[str]()
    line.session.send = held.append
    outside.command(1, Side.BUY, 600_001, 150)
    line.carry()
    assert [kind for kind, *_ in events(outside, Kind.ACCEPTED, Kind.FILL, Kind.EXPIRED)] == [
        Kind.ACCEPTED, Kind.FILL, Kind.EXPIRED,
    ]  # fmt: skip
    before = outside.journal.count
    for frame in held:
        outside.gateway.hear(frame)
    assert outside.journal.count == before


@pytest.mark.spec("E4")
@pytest.mark.parametrize(
    "side, lots, is_exit, reason",
    [
        (Side.BUY, 40_000, False, RejectReason.BALANCE),
        (Side.SELL, 10, True, RejectReason.REDUCE_ONLY),
    ],
)
def test_a_clear_refusal_ends_an_order_and_says_why(
    venue: FuturesVenue, outside: FuturesOutside, side: Side, lots: int, reason: RejectReason, *, is_exit: bool
) -> None:
    line = FuturesLine(venue, outside)
    outside.command(1, side, 600_001, lots, is_exit=is_exit)
    line.carry()
    assert [(order_id, code) for _, order_id, code, *_ in events(outside, Kind.REJECTED)] == [(1, reason)]


@pytest.mark.spec("E4")
@pytest.mark.parametrize("code, status", [(-1007, 408), (-1008, 503), (-1000, 503), (-4116, 400)])
def test_an_unclear_refusal_leaves_the_order_to_be_asked_about(
    venue: FuturesVenue, outside: FuturesOutside, code: int, status: int
) -> None:
    line = FuturesLine(venue, outside)
    outside.command(1, Side.BUY, 600_001, 10)
    outside.sent.clear()
    outside.gateway.hear(json.dumps({"id": "place 1", "status": status, "error": {"code": code, "msg": "?"}}))
    assert not events(outside, Kind.REJECTED)
    for ms, count in ((0, 0), (21_000, 1)):
        venue.clock.pass_ms(ms)
        outside.command(1, Side.BUY, 0, 0, CommandKind.QUERY)
        line.carry()
        assert len(events(outside, Kind.REJECTED)) == count, "only late is an absence believed"


@pytest.mark.spec("P1")
def test_funding_counts_once_whether_told_repeated_or_found_in_the_list(
    venue: FuturesVenue, outside: FuturesOutside
) -> None:
    outside.fund()
    line = FuturesLine(venue, outside)
    line.copies = 2
    decide(outside, 1, Side.BUY, 600_001, 100, is_exit=False)
    line.carry()
    venue.fund()
    line.is_telling = False
    venue.fund()
    line.is_telling = True
    assert len(events(outside, Kind.FUNDING)) == 1
    for _ in range(2):
        outside.gateway.hear_user_up()
        line.carry()
    assert [atoms for _, _, _, atoms, _ in events(outside, Kind.FUNDING)] == [-60_000_100, -60_000_100]
    assert outside.balance() == venue.wallet


def test_two_equal_payments_of_one_hour_are_two() -> None:
    payments = Payments()
    rows = [{"asset": "USDT", "income": "-0.50000000", "time": 1000 * n} for n in range(2)]
    assert payments.is_new("USDT", "-0.5", "99.5", 10)
    assert not payments.is_new("USDT", "-0.5", "99.5", 10), "a copy leaves the same wallet"
    assert [amount for _, amount, _ in payments.missing(rows)] == [D("-0.5")]
    assert not payments.is_new("USDT", "-0.5", "99", 10), "listed before it was told"
    assert not payments.missing(rows)
    assert payments.is_new("USDT", "-0.5", "98.5", 28_800_000)


@pytest.mark.spec("P1", "X4")
def test_payments_on_several_pages_count_once_each_and_what_is_long_past_is_forgotten(
    venue: FuturesVenue, outside: FuturesOutside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(futures_gateway, "INCOME_ROWS_MAX", 4)
    asked = list[int]()
    outside.gateway._request = lambda _name, _method, _path, params: asked.append(params["startTime"])
    began_ms = venue.clock() // 1_000_000
    rows: list[dict[str, Any]] = [
        {"asset": "USDT", "income": f"-0.{n}", "time": began_ms + FUNDING_EVERY_MS * n} for n in range(1, 8)
    ]

    def listed() -> bytes:
        return json.dumps([row for row in rows if row["time"] >= asked[-1]][:4]).encode()

    def ask() -> None:
        outside.gateway.ask_income()
        for _ in range(20):
            before = len(asked)
            outside.gateway.hear_reply("income", 200, listed())
            if len(asked) == before:
                return

    venue.clock.pass_ms(FUNDING_EVERY_MS * 8)
    ask()
    assert asked == [began_ms, rows[3]["time"], rows[6]["time"]]
    venue.clock.pass_ms(FUNDING_EVERY_MS * 100)
    ask()
    ask()
    assert asked[-1] == venue.clock() // 1_000_000 - futures_gateway.INCOME_PAST_MS
    assert [atoms for _, _, _, atoms, _ in events(outside, Kind.FUNDING)] == [-10_000_000 * n for n in range(1, 8)]
    assert (len(outside.gateway.payments._counted), len(outside.gateway.payments._told)) == (0, 0)


@pytest.mark.spec("P1", "X4")
def test_funding_paid_while_a_trader_was_down_is_settled_before_it_goes_on(
    venue: FuturesVenue, outside: FuturesOutside
) -> None:
    outside.fund()
    line = FuturesLine(venue, outside)
    decide(outside, 1, Side.BUY, 600_001, 100, is_exit=False)
    line.carry()
    venue.fund()
    outside.gateway.hear_user_down()
    outside.gateway.hear_down()
    venue.streams.close(line.user)
    venue.fund()
    outside.make()  # a gateway that knows nothing, on a ledger that ends where the journal does
    outside.gateway.restore([])
    assert outside.gateway.unsettled() == 1, "not before the venue has said what was paid"
    venue.clock.pass_ms(5000)
    FuturesLine(venue, outside)
    assert outside.gateway.unsettled() == 0
    assert len(events(outside, Kind.FUNDING)) == 2
    assert outside.balance() == venue.wallet


@pytest.mark.spec("R7")
def test_a_liquidation_is_not_ours_is_reported_and_stops_entries(venue: FuturesVenue, outside: FuturesOutside) -> None:
    line = FuturesLine(venue, outside)
    venue.account.balances["USDT"].free = D(700)
    outside.command(1, Side.BUY, 600_001, 100)
    line.carry()
    venue.exchange.marks["BTCUSDT"] = D(50_000)
    venue.streams.pass_time()
    assert not venue.account.open_positions()
    assert outside.gateway.counts["forced"] == 1
    assert "autoclose-1" in outside.notices[0]
    assert [code for _, _, code, *_ in events(outside, Kind.OPERATOR)] == [OperatorCommand.HALT]
    assert len(events(outside, Kind.FILL)) == 1, "the venue's own order is none of ours"
    assert outside.sequencer.trader["is_halted"] == 1


def test_hostile_user_events_are_counted_and_change_nothing(venue: FuturesVenue, outside: FuturesOutside) -> None:
    line = FuturesLine(venue, outside)
    frames = [
        "", "{", "[]", "7", '{"e":"ORDER_TRADE_UPDATE"}', '{"e":"ORDER_TRADE_UPDATE","o":{}}',
        '{"e":"ACCOUNT_UPDATE","a":{"m":"FUNDING_FEE","B":[{"a":"USDT"}]}}', "[" * 10_000,
        '{"e":"ACCOUNT_UPDATE","T":1,"a":{"m":"FUNDING_FEE","B":[{"a":"USDT","bc":"much","wb":"1"}]}}',
        '{"e":"ACCOUNT_UPDATE","T":1,"a":{"m":"FUNDING_FEE","B":[{"a":"USDT","bc":"NaN","wb":"1"}]}}',
        '{"e":"ACCOUNT_UPDATE","T":1,"a":{"m":"FUNDING_FEE","B":[{"a":"USDT","bc":"-1e400","wb":"1"}]}}',
        '{"e":"ACCOUNT_UPDATE","T":-1,"a":{"m":"FUNDING_FEE","B":[{"a":"USDT","bc":"1","wb":"1"}]}}',
        '{"e":"ACCOUNT_UPDATE","T":1,"a":{"m":"FUNDING_FEE","B":[{"a":"USDT","bc":"1","wb":"1"},{"a":"USDT"}]}}',
    ]  # fmt: skip
    outside.command(1, Side.BUY, 600_001, 10)
    line.carry()
    before = outside.journal.count
    fill = {"s": "ETHUSDT", "c": "ets-e1-1", "x": "TRADE", "X": "FILLED", "i": 1, "t": 99, "T": 1}
    frames.append(
        json.dumps({"e": "ORDER_TRADE_UPDATE", "o": fill | {"z": "1", "l": "1", "L": "1", "n": "0", "N": "USDT"}})
    )
    for frame in frames:
        outside.gateway.hear_event(frame)
    outside.gateway.hear_reply("income", 200, b'[{"asset":"USDT","income":"1","time":1},{"asset":"USDT"}]')
    assert outside.gateway.counts["refused"] == len(frames) + 1
    assert outside.journal.count == before


def test_a_key_that_expires_is_replaced_and_one_that_lives_is_renewed(
    venue: FuturesVenue, outside: FuturesOutside
) -> None:
    line, key = FuturesLine(venue, outside), outside.gateway.listen_key
    first = key.name
    assert key.due(outside.now_ms()) == ""
    venue.clock.pass_ms(setup.KEY_RENEWAL_MS)
    assert key.due(outside.now_ms()) == "PUT"
    assert key.due(outside.now_ms()) == "", "not again while it is on its way"
    assert key.hear("PUT", *venue.signed("PUT", "v1/listenKey", {}), outside.now_ms())
    venue.clock.pass_ms(3_600_000)
    venue.flush()
    assert key.name == "", "told on the stream, which stays open"
    assert line.user in venue.streams.market_sessions
    line.open_user()
    assert key.name not in ("", first)
    venue.streams.listen_keys.clear()
    assert not key.hear("PUT", *venue.signed("PUT", "v1/listenKey", {}), outside.now_ms())
    assert key.name == "", "-1125: another is asked for"


# --- the account before trading ---------------------------------------------------------------------------
def test_the_account_is_made_one_way_with_cross_margin_and_our_leverage(venue: FuturesVenue) -> None:
    for is_hedged in (True, False):  # the second time there is no need to change anything
        venue.account.is_hedged = is_hedged
        for request in setup.requests(["BTCUSDT"], 5):
            setup.check(request, *venue.signed(request.method, request.path, request.params))
        assert not venue.account.is_hedged
        assert venue.account.position(BTC).leverage == 5
    venue.place(Side.BUY, 600_001, 100)
    venue.account.is_hedged = True
    [mode, *_] = setup.requests([], 5)
    with pytest.raises(UserError, match=r"one-way mode: .*exists position.* \(-4068\)"):
        setup.check(mode, *venue.signed(mode.method, mode.path, mode.params))
    with pytest.raises(UserError, match="502"):
        setup.check(mode, 502, b"<html>")


@pytest.mark.spec("R7")
def test_the_distance_to_liquidation_is_a_share_of_the_mark(venue: FuturesVenue) -> None:
    venue.account.balances["USDT"].free = D(1000)
    assert setup.liquidation_distances(json.loads(venue.signed("GET", "v3/positionRisk", {})[1])) == {}
    venue.place(Side.SELL, 600_000, 100)
    venue.place(Side.BUY, 599_000, 1, TimeInForce.GTC)
    [risk] = json.loads(venue.signed("GET", "v3/positionRisk", {})[1])
    found = setup.liquidation_distances([risk])["BTCUSDT"]
    assert found == abs(D(risk["liquidationPrice"]) - D(risk["markPrice"])) / D(risk["markPrice"])
    assert D("0.15") < found < D("0.17")
    watch, near = setup.LiquidationWatch(), risk | {"markPrice": "69000"}
    assert [watch.hear([one]) for one in (risk, near, near, risk)] == [
        [], ["BTCUSDT is 1.0% from its liquidation"], [], [],
    ]  # fmt: skip
