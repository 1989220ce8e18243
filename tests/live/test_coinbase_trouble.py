"""What Coinbase's drill finds by chance, one by one: crossed and old books, bans, clocks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_trading_system.core.kinds import BookState, CommandKind, Kind, Side
from elegant_trading_system.core.schema import LEVEL
from elegant_trading_system.emulator.coinbase.trouble import Trouble
from elegant_trading_system.emulator.faults import Faults
from elegant_trading_system.shell.coinbase.books import Book
from elegant_trading_system.shell.coinbase.clock import VenueClock

from ..builders import loose
from .coinbase_desk import CoinbaseOutside, CoinbaseVenue
from .desk import Clock
from .test_coinbase_feed import let_pass, live_book
from .test_coinbase_gateway import Lines, ends
from .test_outside import events, state_of


@pytest.fixture
def venue() -> CoinbaseVenue:
    return CoinbaseVenue(Clock())


@pytest.fixture
def outside(venue: CoinbaseVenue, tmp_path: Path) -> Iterator[CoinbaseOutside]:
    made = CoinbaseOutside(venue, loose(), tmp_path)
    yield made
    made.journal.close()


def listen_in_trouble(venue: CoinbaseVenue, outside: CoinbaseOutside, line: int, **shares: float) -> Faults:
    """A market connection on which a fault happens; its shares can be changed."""
    faults = Faults({name.replace("_", "-"): share for name, share in shares.items()}, 1, venue.clock)
    trouble = Trouble(venue.coinbase, faults)

    def told(frame: str) -> None:
        outside.feed.hear(line, trouble.passage(frame, line)[1])

    outside.sessions[line] = venue.coinbase.streams.open(told)
    outside.feed.hear_up(line)
    outside.carry()
    return faults


def move(venue: CoinbaseVenue, n: int) -> None:
    venue.depth([(600_000, 50 + n)], [(600_001, 60 + n)])
    venue.flush()


@pytest.mark.spec("M3", "E4")
def test_what_would_cross_the_book_is_never_seen_and_the_other_connection_takes_over(
    venue: CoinbaseVenue, outside: CoinbaseOutside
) -> None:
    faults = listen_in_trouble(venue, outside, 0)
    outside.listen(1)
    let_pass(venue, outside, 3)
    assert outside.listing.leader == 0
    faults.shares = {"crossed": 1.0}
    move(venue, 1)
    assert (outside.listing.leader, state_of(outside), outside.book()) == (1, BookState.LIVE, live_book(venue))
    assert {line for line, _ in outside.said} == {0}, "and the faulty one asks for its book anew"
    faults.shares = {}
    outside.carry()
    outside.hang_up(1)
    assert (outside.listing.leader, outside.book()) == (0, live_book(venue))
    assert outside.sequencer.crossed_count(0) == 0
    assert outside.feed.counts["crossed"] == 1


@pytest.mark.spec("M3", "E4")
def test_where_both_are_crossed_the_book_is_a_gap_until_a_snapshot(
    venue: CoinbaseVenue, outside: CoinbaseOutside
) -> None:
    both = [listen_in_trouble(venue, outside, line) for line in (0, 1)]
    let_pass(venue, outside, 3)
    for faults in both:
        faults.shares = {"crossed": 1.0}
    move(venue, 1)
    assert state_of(outside) is BookState.GAP
    for faults in both:
        faults.shares = {}
    outside.carry()
    assert (state_of(outside), outside.book()) == (BookState.LIVE, live_book(venue))


@pytest.mark.spec("M3", "E4")
def test_a_snapshot_of_before_what_was_heard_is_not_taken(venue: CoinbaseVenue, outside: CoinbaseOutside) -> None:
    faults = listen_in_trouble(venue, outside, 0)
    let_pass(venue, outside, 3)
    move(venue, 1)
    faults.shares = {"old-snapshot": 1.0}
    outside.feed.connections[0].next -= 1  # as if a frame had not come
    for n in range(20):
        move(venue, 2 + n)
        let_pass(venue, outside, 0.1)
        assert state_of(outside) is BookState.GAP
    assert outside.feed.counts["old_snapshots"] > 0
    faults.shares = {}
    let_pass(venue, outside, 2)
    assert (state_of(outside), outside.book()) == (BookState.LIVE, live_book(venue))


@pytest.mark.spec("M3", "E4")
def test_a_book_that_is_long_quiet_is_asked_for_anew_and_without_an_answer_is_none(
    venue: CoinbaseVenue, outside: CoinbaseOutside
) -> None:
    for line in (0, 1):
        outside.listen(line)
    let_pass(venue, outside, 100)
    assert (state_of(outside), outside.feed.counts["gaps"]) == (BookState.LIVE, 0), "nothing moved, and all is well"
    assert 4 <= outside.feed.counts["resubscribed"] <= 8, "every thirty seconds on each"
    for n in range(360):  # hearts beat on, and nobody answers
        venue.clock.pass_ms(100)
        venue.flush()
        outside.feed.check_holes(venue.clock())
        outside.said.clear()
        assert state_of(outside) is BookState.LIVE or n > 200
    assert state_of(outside) is BookState.GAP
    assert outside.feed.counts["stale"] == 2
    let_pass(venue, outside, 2)
    assert (state_of(outside), outside.book()) == (BookState.LIVE, live_book(venue))


LEVELS = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), max_size=6)


@given(st.lists(st.tuples(LEVELS, LEVELS), max_size=30))
def test_a_book_holds_all_that_does_not_cross_it_and_nothing_that_does(updates: list[Any]) -> None:
    book, plain = Book(), ({}, {})  # type: tuple[Book, Any]
    for update in updates:
        after = tuple({**side, **dict(rows)} for side, rows in zip(plain, update, strict=True))
        after = tuple({ticks: lots for ticks, lots in side.items() if lots} for side in after)
        is_good = not (after[0] and after[1]) or max(after[0]) < min(after[1])
        assert book.update(tuple(np.array(rows, LEVEL) for rows in update)) == is_good  # type: ignore[arg-type]
        plain = after if is_good else plain
        assert book.sides == plain


@pytest.mark.spec("E4")
def test_after_too_many_requests_nothing_is_asked_for_a_second_and_longer_each_time(
    venue: CoinbaseVenue, outside: CoinbaseOutside
) -> None:
    lines, gateway = Lines(venue, outside), outside.gateway
    lines.answers = [(429, b'{"errors":[]}')]
    outside.command(1, Side.BUY, 600_001, 10)
    lines.carry()
    assert gateway.banned_s == 1.0
    outside.command(1, Side.BUY, 0, 0, CommandKind.QUERY)
    outside.command(2, Side.BUY, 600_001, 10)
    assert outside.asked == []
    gateway.check_unsent()
    assert (Kind.REJECTED, 2) in ends(outside), "it never left"
    venue.clock.pass_ms(1001)
    lines.answers = [(429, b'{"errors":[]}')]
    outside.command(3, Side.BUY, 600_001, 10)
    lines.carry()
    assert gateway.banned_s == 2.0
    venue.clock.pass_ms(2001)
    outside.command(4, Side.BUY, 600_001, 10)
    lines.carry()
    assert (Kind.FILL, 4) in ends(outside)
    lines.answers = [(429, b"")]
    outside.command(5, Side.BUY, 600_001, 10)
    lines.carry()
    assert gateway.banned_s == 1.0, "a good answer ends the anger"


@pytest.mark.spec("E4")
def test_fills_announced_during_a_ban_are_asked_for_after_it(venue: CoinbaseVenue, outside: CoinbaseOutside) -> None:
    lines = Lines(venue, outside)
    lines.answers = [(429, b"")]
    outside.command(1, Side.BUY, 600_001, 10)
    [request] = outside.asked
    outside.asked.clear()
    outside.gateway.hear_answer("place 99", 429, b"")
    lines.execute(request)
    assert outside.asked == [], "the channel has told of a fill"
    for _ in range(3):
        venue.clock.pass_ms(600)
        outside.gateway.check_unsent()
        lines.carry()
    assert ends(outside)[:1] == [(Kind.FILL, 1)]
    assert events(outside, Kind.FILL)


@pytest.mark.spec("E4")
def test_a_token_turned_away_has_the_venue_s_clock_read_at_once() -> None:
    clock = VenueClock()
    assert clock.is_due(1000)
    assert not clock.is_due(1500), "not twice in a second"
    clock.hear(1000, 1040, 7020)
    assert clock.offset_ms == 6000
    assert not clock.is_due(20_000)
    clock.doubt()
    assert clock.is_due(20_001)
    clock.hear(20_001, 21_500, 99_999)
    assert clock.offset_ms == 6000, "over so long a way a clock says nothing"
    assert clock.is_due(21_501)
    clock.hear(21_501, 21_501, 21_501)
    assert clock.is_due(51_501)
    assert clock.offset_ms == 0
