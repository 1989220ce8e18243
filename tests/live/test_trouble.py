"""Trouble one kind at a time: silence, crossed books, old snapshots, nonsense numbers, bans, clocks that jump."""

import json
from typing import Any

import pytest

from elegant_trading_system.core.kinds import BookState, CommandKind, Kind, Side
from elegant_trading_system.emulator.faults import HELP, Faults, parse
from elegant_trading_system.errors import UserError

from .desk import Outside, Venue
from .test_outside import Line, events, state_of


@pytest.fixture
def live(venue: Venue, outside: Outside) -> Outside:
    """Two connections and a book that is LIVE."""
    for connection in (0, 1):
        outside.listen(connection)
    move(venue, outside, 5)
    assert outside.snapshot()
    outside.wanted.clear()
    move(venue, outside, 6)
    assert state_of(outside) is BookState.LIVE
    return outside


def move(venue: Venue, outside: Outside, lots: int, *, price: int = 600_000) -> None:
    venue.depth([(price, lots)])
    venue.flush()
    outside.feed.check_holes(venue.clock())


def wait(venue: Venue, outside: Outside, ms: int) -> None:
    for _ in range(ms // 20):
        venue.clock.pass_ms(20)
        outside.feed.check_holes(venue.clock())


# --- silence --------------------------------------------------------------------------------------------------
@pytest.mark.spec("M3")
def test_a_venue_silent_for_two_seconds_is_stale_until_its_book_goes_on(venue: Venue, live: Outside) -> None:
    wait(venue, live, 1900)
    assert state_of(live) is BookState.LIVE
    wait(venue, live, 200)
    assert state_of(live) is BookState.STALE
    move(venue, live, 7)
    assert state_of(live) is BookState.LIVE
    assert live.book() == venue.exchange.books["BTCUSDT"].sides
    assert live.feed.counts["stale"] == 1
    assert live.feed.counts["snapshots"] == 1, "nothing was missing, so nothing was fetched"


@pytest.mark.spec("M3")
def test_a_book_that_did_not_go_on_where_it_ended_is_not_live_after_a_silence(venue: Venue, live: Outside) -> None:
    sessions, venue.binance.streams.market_sessions = venue.binance.streams.market_sessions, set()
    wait(venue, live, 2100)
    move(venue, live, 7)  # nobody hears this
    venue.binance.streams.market_sessions = sessions
    move(venue, live, 8)
    assert state_of(live) is BookState.GAP
    assert live.wanted
    assert live.snapshot()
    assert state_of(live) is BookState.LIVE


@pytest.mark.spec("M3")
def test_what_is_heard_without_a_book_is_a_sign_of_life_for_thirty_seconds(venue: Venue, live: Outside) -> None:
    for n in range(32):
        wait(venue, live, 1000)
        venue.trade(600_001, 1 + n % 3, Side.BUY)
        if n == 28:
            assert state_of(live) is BookState.LIVE
    assert state_of(live) is BookState.STALE
    assert live.wanted, "is it so quiet, or do we hear it no more?"
    assert live.snapshot()
    assert state_of(live) is BookState.LIVE


@pytest.mark.spec("M3")
def test_without_a_connection_no_book_is_live(venue: Venue, live: Outside) -> None:
    live.feed.hear_down(0)
    assert state_of(live) is BookState.LIVE
    live.feed.hear_down(1)
    assert state_of(live) is BookState.STALE
    live.feed.hear_up(0)
    assert state_of(live) is BookState.STALE
    move(venue, live, 9)
    assert state_of(live) is BookState.LIVE


# --- books that cannot be -------------------------------------------------------------------------------------
@pytest.mark.spec("M3")
def test_a_crossed_book_is_named_counted_and_fetched_anew(venue: Venue, live: Outside) -> None:
    faults = Faults({"crossed": 1.0}, 1, venue.clock)
    venue.depth([(599_990, 3)], [(600_010, 4)])
    frames: list[str] = []
    session = venue.binance.streams.open_market(frames.append, "/stream", live.feed.streams())
    venue.binance.streams.market_sessions = {session}
    venue.flush()
    live.feed.hear(0, faults.market_frame(frames[-1]))
    assert live.book() != venue.exchange.books["BTCUSDT"].sides
    live.feed.check_holes(venue.clock())
    assert state_of(live) is BookState.RESYNC
    assert live.feed.counts["crossed"] == 1
    assert live.snapshot()
    assert live.book() == venue.exchange.books["BTCUSDT"].sides
    live.feed.check_holes(venue.clock())
    assert state_of(live) is BookState.LIVE


@pytest.mark.spec("M3")
def test_a_snapshot_older_than_what_was_applied_is_refused_though_nothing_waits(venue: Venue, live: Outside) -> None:
    body = venue.binance.http("GET", "/api/v3/depth", "symbol=BTCUSDT&limit=1000", "", {}).body
    move(venue, live, 7)
    live.feed.hear(0, frame(live, first=80, last=80))
    live.feed.hear(1, frame(live, first=80, last=80))
    live.listing.depth.pending.clear()
    assert state_of(live) is BookState.GAP
    assert not live.feed.hear_snapshot("BTCUSDT", body)
    assert live.feed.counts["old_snapshots"] == 1
    assert state_of(live) is BookState.GAP
    assert live.snapshot()


def frame(outside: Outside, *, first: int, last: int) -> str:
    data = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": last, "b": [], "a": []}
    assert outside
    return json.dumps({"stream": "btcusdt@depth@100ms", "data": data})


@pytest.mark.spec("M2")
@pytest.mark.parametrize("last", [2**62, 2**61, 10**12])
def test_a_number_of_another_count_costs_a_snapshot_and_no_more(venue: Venue, live: Outside, last: int) -> None:
    live.feed.hear(0, frame(live, first=live.listing.depth.last_id + 1, last=last))
    assert state_of(live) is BookState.GAP
    assert live.snapshot()
    move(venue, live, 12)
    assert state_of(live) is BookState.LIVE
    assert live.book() == venue.exchange.books["BTCUSDT"].sides


@pytest.mark.spec("M2")
def test_prints_go_on_behind_a_number_of_another_count(venue: Venue, live: Outside) -> None:
    data = {"e": "trade", "E": 1, "s": "BTCUSDT", "t": 2**60, "T": 1, "m": True, "p": "60000.0", "q": "0.001"}
    live.feed.hear(0, json.dumps({"data": data}))
    before = len(events(live, Kind.TRADE))
    for lots in (1, 2):
        venue.trade(600_001, lots, Side.BUY)
    assert len(events(live, Kind.TRADE)) == before + 2


# --- bans and clocks ------------------------------------------------------------------------------------------
class Refusing(Line):
    """An order connection behind faults."""

    def __init__(self, venue: Venue, outside: Outside, faults: Faults) -> None:
        self.faults = faults
        self.asked = 0
        super().__init__(venue, outside)

    def carry(self) -> None:
        while self.outside.sent:
            self.asked += 1
            frame = self.outside.sent.pop(0)
            if refusal := self.faults.refusal(frame):
                self.session.send(refusal)
            else:
                self.venue.binance.api(self.session, frame)


@pytest.mark.spec("E4")
def test_a_ban_is_heeded_counted_and_over_in_time(venue: Venue, outside: Outside) -> None:
    faults = Faults({}, 1, venue.clock)
    line = Refusing(venue, outside, faults)
    faults.shares = {"ban": 1.0}
    outside.command(1, Side.BUY, 600_001, 10)
    line.carry()
    assert [(order_id, code) for _, order_id, code, *_ in events(outside, Kind.REJECTED)] == [(1, 1)]
    assert outside.gateway.counts["bans"] == 1
    faults.shares = {}
    asked = line.asked
    for order_id in (2, 3):
        outside.command(order_id, Side.BUY, 600_001, 10)
    outside.command(1, Side.BUY, 0, 0, CommandKind.QUERY)
    outside.gateway.check_unsent()
    line.carry()
    assert line.asked == asked, "nothing leaves while the ban lasts"
    assert outside.gateway.counts["held_back"] == 1
    assert [order_id for _, order_id, *_ in events(outside, Kind.REJECTED)] == [1, 2, 3], "known not to have left"
    venue.clock.pass_ms(4100)
    outside.command(4, Side.BUY, 600_001, 10)
    line.carry()
    assert [order.client_id for order in venue.account.orders.values()] == ["ets-e1-4"]


@pytest.mark.spec("E4")
@pytest.mark.parametrize("jump_s", [-6, -2, 6, 60])
def test_after_the_venue_s_clock_has_jumped_it_is_read_again_and_orders_go_on(
    venue: Venue, outside: Outside, jump_s: int
) -> None:
    line = Line(venue, outside)
    venue.binance.now_ns = lambda: venue.clock() + jump_s * 1_000_000_000
    venue.clock.pass_ms(2000)
    outside.command(1, Side.BUY, 600_001, 10)
    line.carry()
    outside.gateway.check_unsent()
    line.carry()
    assert outside.gateway.offset_ms == jump_s * 1000
    venue.clock.pass_ms(2000)
    outside.command(2, Side.BUY, 600_001, 10)
    line.carry()
    assert "ets-e1-2" in [order.client_id for order in venue.account.orders.values()]


@pytest.mark.spec("E4")
def test_an_answer_that_was_long_under_way_does_not_set_the_clock(venue: Venue, outside: Outside) -> None:
    outside.gateway.hear_up()
    venue.clock.pass_ms(1500)
    late: dict[str, Any] = {"id": "time", "status": 200, "result": {"serverTime": venue.clock() // 1_000_000 + 9000}}
    outside.gateway.hear(json.dumps(late))
    assert outside.gateway.offset_ms == 0
    assert outside.gateway.counts["clock_unclear"] == 1
    outside.sent.clear()
    outside.gateway.check_unsent()
    assert '"time"' in outside.sent[0], "it is asked again"


# --- the emulator's side --------------------------------------------------------------------------------------
def test_maintenance_closes_the_venue_and_then_halts_its_markets(venue: Venue) -> None:
    faults = parse(["maintenance:1@10-14"], 1)
    faults.now_ns, faults._began_ns = venue.clock, venue.clock()

    def ask() -> Any:
        reply = faults.rest(venue.binance.http, "GET", "/api/v3/exchangeInfo", "", "", {})
        return reply.status, json.loads(reply.body)

    assert ask()[1]["symbols"][0]["status"] == "TRADING"
    venue.clock.pass_ms(10_500)  # an episode's slot begins at 8 s: this is its second half
    assert ask()[1]["symbols"][0]["status"] == "BREAK"
    assert "Market is closed." in faults.refusal('{"id":1,"method":"order.place"}')
    venue.clock.pass_ms(2000)
    assert ask() == (503, {"code": -1, "msg": "System is under maintenance."})
    assert faults.market().is_broken
    venue.clock.pass_ms(2000)
    assert ask()[1]["symbols"][0]["status"] == "TRADING"


def test_a_ban_is_429_first_and_418_for_those_who_go_on(venue: Venue) -> None:
    faults = Faults({"ban": 1.0}, 1, venue.clock)
    replies = [faults.rest(venue.binance.http, "GET", "/api/v3/time", "", "", {}) for _ in range(3)]
    assert [reply.status for reply in replies] == [429, 418, 418]
    assert all(1 <= int(reply.headers["Retry-After"]) <= 5 for reply in replies)


@pytest.mark.parametrize("text", ["drop:0.1@5", "drop:0.1@9-3", "drop:0.1@a-b", "drop:nan"])
def test_a_span_that_is_none_is_said(text: str) -> None:
    with pytest.raises(UserError, match=text):
        parse([text], 1)


def test_every_fault_has_a_line_of_help_and_the_issue_s_names_are_in_it() -> None:
    told = " ".join(f"{name} {what}" for name, what in HELP.items())
    wanted = [
        "gap",
        "duplicate",
        "reordered",
        "delay",
        "disconnect",
        "says nothing",
        "bids stand above",
        "older",
        "5xx",
    ]
    wanted += [
        "time-out after accepting",
        "lost fill report",
        "late fill report",
        "duplicate fill report",
        "partial IOC",
    ]
    wanted += ["every order is turned away", "429, then 418", "clock jumps", "maintenance"]
    assert not [word for word in wanted if word not in told]
