"""One budget for everything that uses a key: never above what the venue allows, never waiting, a reserve for what must leave."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_trading_system.core.kinds import Kind, RejectReason, Side
from elegant_trading_system.shell.budget import SHARES, SLOTS, Budget, Limit, Use, limits_of

from ..builders import loose
from . import drill
from .coinbase_desk import CoinbaseOutside, CoinbaseVenue
from .coinbase_drill import CoinbaseDrill
from .desk import Clock, Outside, Venue
from .futures_drill import FuturesDrill
from .test_outside import Line, events

WINDOW_MS, MOST = 1000, 20


class Twin:
    """Every grant remembered; slow and obvious."""

    def __init__(self, limits: list[Limit]) -> None:
        self.limits = limits
        self.granted: list[tuple[int, dict[str, int]]] = []

    def used(self, limit: Limit, now_ms: int) -> int:
        step_ms = -(-limit.window_ms // SLOTS)
        recent = [one for ts_ms, one in self.granted if ts_ms // step_ms >= now_ms // step_ms - SLOTS]
        return sum(one.get(limit.kind, 0) for one in recent)

    def take(self, use: Use, now_ms: int, amounts: dict[str, int]) -> bool:
        is_room = all(
            self.used(limit, now_ms) + amounts[limit.kind] <= max(1, int(limit.most * SHARES[use]))
            for limit in self.limits
            if amounts.get(limit.kind)
        )
        if is_room:
            self.granted.append((now_ms, amounts))
        return is_room


AMOUNTS = st.fixed_dictionaries({}, optional={"A": st.integers(0, 8), "B": st.integers(0, 3)})
STEPS = st.lists(st.tuples(st.integers(0, 400), st.sampled_from(Use), AMOUNTS), max_size=80)
LIMITS = [Limit("A", WINDOW_MS, MOST), Limit("B", 333, 5), Limit("B", 4000, 9)]


@given(STEPS)
def test_what_is_granted_is_what_a_slow_and_obvious_count_would_grant(
    steps: list[tuple[int, Use, dict[str, int]]],
) -> None:
    now = [10_000]
    budget, twin = Budget(LIMITS, lambda: now[0]), Twin(LIMITS)
    for pause_ms, use, amounts in steps:
        now[0] += pause_ms
        assert budget.take(use, **amounts) == twin.take(use, now[0], amounts)
        for limit in LIMITS:
            assert budget.used(limit.kind, limit.window_ms) == twin.used(limit, now[0])
    for limit in LIMITS:  # wherever a venue lets its windows begin
        for ts_ms, _ in twin.granted:
            within = [one for at_ms, one in twin.granted if ts_ms <= at_ms < ts_ms + limit.window_ms]
            assert sum(one.get(limit.kind, 0) for one in within) <= limit.most


@given(STEPS, st.integers(-5000, 5000))
def test_after_a_window_of_silence_everything_is_free_again_and_a_clock_set_back_frees_nothing(
    steps: list[tuple[int, Use, dict[str, int]]], jump_ms: int
) -> None:
    now = [10_000]
    budget = Budget(LIMITS, lambda: now[0])
    for pause_ms, use, amounts in steps:
        now[0] += pause_ms
        budget.take(use, **amounts)
    before = [budget.used(limit.kind, limit.window_ms) for limit in LIMITS]
    now[0] += min(jump_ms, 0)
    assert [budget.used(limit.kind, limit.window_ms) for limit in LIMITS] == before
    now[0] += 10_000
    assert [budget.used(limit.kind, limit.window_ms) for limit in LIMITS] == [0, 0, 0]


def test_the_venue_s_own_count_wins_where_it_is_higher() -> None:
    budget = Budget([Limit("A", WINDOW_MS, MOST)], lambda: 10_000)
    assert budget.take(Use.ENTRY, A=3)
    budget.hear_used("A", WINDOW_MS, 2)
    assert budget.used("A", WINDOW_MS) == 3
    budget.hear_used("A", WINDOW_MS, 16)  # somebody else uses the key, too
    assert not budget.take(Use.ENTRY, A=1)
    assert budget.take(Use.NEEDED, A=1)
    budget.hear_used("A", 77, 10**9)  # a window we have never heard of
    budget.hear_used("A", WINDOW_MS, 10**18)
    assert budget.used("A", WINDOW_MS) == 2 * MOST


def test_each_use_leaves_the_rest_to_those_behind_it() -> None:
    budget = Budget([Limit("A", WINDOW_MS, 100)], lambda: 10_000)

    def granted(use: Use) -> int:
        return sum(budget.take(use, A=1) for _ in range(200))

    assert [granted(use) for use in Use] == [60, 20, 15]
    assert budget.counts["entry"] == 180


def test_a_venue_that_wants_to_be_left_alone_is_left_alone_for_as_long_as_it_says() -> None:
    now = [10_000]
    budget = Budget([Limit("A", WINDOW_MS, MOST)], lambda: now[0])
    budget.hold_back(7000)
    budget.hold_back(3000)
    now[0] += 6999
    assert not budget.take(Use.NEEDED, A=1)
    now[0] += 1
    assert budget.take(Use.BACKGROUND, A=1)


def test_limits_are_read_as_the_venue_says_them() -> None:
    rows = [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50},
        {"rateLimitType": "ORDERS", "interval": "FORTNIGHT", "intervalNum": 1, "limit": 50},
    ]
    assert limits_of(rows) == [Limit("ORDERS", 10_000, 50)]
    budget = Budget([Limit("ORDERS", 10_000, 50)], lambda: 0)
    for _ in range(5):
        budget.take(Use.ENTRY, ORDERS=1)
    budget.learn([Limit("ORDERS", 10_000, 10)])
    assert budget.used("ORDERS", 10_000) == 5, "what was sent before counts on"
    assert sum(budget.take(Use.ENTRY, ORDERS=1) for _ in range(20)) == 3


# --- gateways ---------------------------------------------------------------------------------------------------
@pytest.fixture
def venue() -> Venue:
    found = Venue(Clock())
    found.binance.rate_limits = [
        row | {"limit": 10} if row["interval"] == "SECOND" else row for row in found.binance.rate_limits
    ]
    return found


@pytest.fixture
def outside(venue: Venue, tmp_path: Path) -> Iterator[Outside]:
    made = Outside(venue, loose(), tmp_path)
    yield made
    made.journal.close()


def rejects(outside: Outside) -> list[tuple[int, int]]:
    outside.gateway.check_unsent()
    return [(order_id, code) for _, order_id, code, *_ in events(outside, Kind.REJECTED)]


@pytest.mark.spec("E4", "R7")
def test_entries_leave_a_reserve_that_exits_may_use_and_no_order_waits(venue: Venue, outside: Outside) -> None:
    line = Line(venue, outside)
    for order_id in range(1, 13):
        outside.command(order_id, Side.BUY, 600_001, 1)
    line.carry()
    assert len(venue.account.orders) == 8, "of ten"
    assert rejects(outside) == [(order_id, RejectReason.RATE) for order_id in (9, 10, 11, 12)]
    outside.command(13, Side.SELL, 600_000, 1, is_exit=True)
    line.carry()
    assert len(venue.account.orders) == 9
    outside.command(14, Side.BUY, 600_001, 1)
    assert rejects(outside)[-1] == (14, RejectReason.RATE)
    venue.clock.pass_ms(11_000)
    line.carry()
    assert len(venue.account.orders) == 9, "what was refused does not leave later"
    outside.command(15, Side.BUY, 600_001, 1)
    line.carry()
    assert len(venue.account.orders) == 10
    assert venue.binance.counts["limited"] == 0


@pytest.mark.spec("R7")
def test_the_emulated_venue_turns_away_what_is_above_its_limits(
    venue: Venue, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Budget, "take", lambda *_args, **_more: True)
    line = Line(venue, outside)
    for order_id in range(1, 13):
        outside.command(order_id, Side.BUY, 600_001, 1)
    line.carry()
    assert [order_id for order_id, _ in rejects(outside)] == [11, 12]
    assert venue.binance.counts["limited"] == 2
    for _ in range(150):
        reply = venue.binance.http("GET", "/api/v3/depth", "symbol=BTCUSDT&limit=1000", "", {})
    assert reply.status == 429
    assert int(reply.headers["Retry-After"]) > 0
    outside.gateway.check_session()
    outside.gateway._ask_time()
    line.carry()
    assert outside.gateway.banned_s > 0, "one budget of weight for REST and the WebSocket API"


@pytest.mark.spec("R7")
def test_orders_sent_by_hand_with_the_same_key_count(venue: Venue, outside: Outside) -> None:
    line = Line(venue, outside)
    other = Outside(venue, loose(), outside.journal.folder.parent / "other")
    other_line = Line(venue, other)
    other.gateway.epoch = "e2"
    for order_id in range(1, 7):
        other.command(order_id, Side.BUY, 600_001, 1)
    other_line.carry()
    outside.command(1, Side.BUY, 600_001, 1)
    line.carry()  # the answer says: seven
    for order_id in range(2, 6):
        outside.command(order_id, Side.BUY, 600_001, 1)
    line.carry()
    assert len(venue.account.orders) == 8
    assert venue.binance.counts["limited"] == 0
    other.journal.close()


@pytest.mark.spec("E4", "R7")
def test_coinbase_s_thirty_requests_a_second_are_kept_with_a_reserve(tmp_path: Path) -> None:
    venue = CoinbaseVenue(Clock())
    outside = CoinbaseOutside(venue, loose(), tmp_path)
    outside.gateway.is_subscribed = True
    for order_id in range(1, 41):
        outside.command(order_id, Side.BUY, 600_001, 1)
    assert len(outside.asked) == 24
    outside.command(41, Side.SELL, 600_000, 1, is_exit=True)
    assert len(outside.asked) == 25
    assert len(rejects(outside)) == 16
    outside.gateway.hear_answer("place 1", 429, json.dumps({"errors": [{"id": "rate_limit_exceeded"}]}))
    venue.clock.pass_ms(900)
    outside.command(42, Side.SELL, 600_000, 1, is_exit=True)
    assert len(outside.asked) == 25, "told to stop, it stops"
    venue.clock.pass_ms(200)
    outside.command(43, Side.SELL, 600_000, 1, is_exit=True)
    assert len(outside.asked) == 26
    outside.journal.close()


# --- the drill --------------------------------------------------------------------------------------------------
TIGHT = [seed for seed in range(56) if seed % drill.TIGHT_EVERY == drill.TIGHT_EVERY - 1]


@pytest.mark.spec("R7", "E4")
def test_in_schedules_with_a_venue_of_little_patience_it_never_has_to_say_so() -> None:
    results = [drill.run(seed) for seed in TIGHT] + [drill.run(seed, FuturesDrill) for seed in TIGHT[:3]]
    assert not [result.problems for result in results if result.problems]
    assert sum(result.held_back for result in results) > 0, "a drill that never comes near a limit drills nothing"
    assert not [problem for seed in range(3) for problem in drill.run(seed, CoinbaseDrill).problems]


def test_a_gateway_without_a_budget_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Budget, "take", lambda *_args, **_more: True)
    assert any("limits were exceeded" in problem for seed in TIGHT for problem in drill.run(seed).problems)
