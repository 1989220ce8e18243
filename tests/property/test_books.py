"""The ladder and its far table are a dict of prices, only faster."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elegant_trading_system.core import books as book_ops
from elegant_trading_system.core.kinds import BookState, Kind
from elegant_trading_system.core.market_data import apply_packet
from elegant_trading_system.core.quotes import is_crossed, mid_ticks
from elegant_trading_system.core.schema import FAR, LADDER, LEVEL, MARKET_PARAMS, NO_X, PACKET, UNIVERSE, WORD
from elegant_trading_system.sim.session import new_market

from ..builders import DARK, WORLD, Event, Rows, depth, random_tape, snapshot, status, tape
from ..naive_core import NaiveBook, assert_same_book

FAR_MAX = FAR * 3 // 4
SHARED: dict[str, Any] = {}


class Desk:
    """A book and its twin, fed the same packets. The pool of ladders is large, so tests share one and clean up."""

    def __init__(self) -> None:
        if not SHARED:
            SHARED["books"] = new_market()[1]
        self.market = new_market()[0]
        self.books = SHARED["books"]
        for name in ("lots", "words", "far"):
            self.books[name][0, 0] = np.zeros((), self.books[name].dtype)
        self.universe = np.zeros(1, UNIVERSE)
        self.params = np.zeros(1, MARKET_PARAMS)[0]
        self.naive = NaiveBook()

    @property
    def book(self) -> Any:
        return self.market["books"][0, 0]

    def hear(self, *events: Event, is_checked: bool = True) -> None:
        packets, levels = tape(events)
        for packet in packets:
            self.naive.apply(packet, levels)
            apply_packet(self.universe[0], self.market[0], self.books[0], self.params, as_record(packet), levels)
            if is_checked:
                assert_same_book(self.naive, self.book, self.books[0], 0)


def as_record(packet: Any) -> Any:
    return np.array([packet], PACKET)[0]


def best_levels(desk: Desk, s: int, count: int) -> list[tuple[int, int]]:
    """The top of one side as the core walks it."""
    book, found = desk.market[0].books[0], []
    x = int(book.best_x[s])
    for _ in range(count):
        if x == NO_X:
            break
        found.append((x, int(book_ops.lots_at(desk.books[0], 0, s, x))))
        x = int(book_ops.level_at_or_below(desk.books[0], 0, s, x - 1, int(book.low_x[s])))
    return found


def random_rows(rng: random.Random, middle: int, sign: int, spread: int, count: int, removed: float) -> Rows:
    """Levels on one side of the middle: mostly near, some far, some removed, some of them not there at all."""
    rows = []
    for _ in range(count):
        reach = rng.choice([5, 50, 500, spread])
        ticks = max(middle + sign * (1 + rng.randrange(reach)), 1)
        rows.append((ticks, 0 if rng.random() < removed else rng.randrange(1, 1000)))
    return rows


def some_removed(rng: random.Random, best_first: list[int]) -> Rows:
    half = len(best_first) // 2
    taken = rng.sample(best_first, half) if rng.random() < 0.5 else best_first[: rng.randrange(len(best_first) + 1)]
    return [(ticks, 0) for ticks in taken]


@pytest.mark.spec("M1")
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), spread=st.sampled_from([100, 3 * LADDER, 20 * LADDER]))
def test_after_every_packet_the_book_is_the_dict(seed: int, spread: int) -> None:
    rng = random.Random(seed)
    desk = Desk()
    middle = rng.randrange(10_000, 1_000_000)
    for n in range(60):
        if rng.random() < 0.1:
            middle = max(
                middle + rng.choice([-1, 1]) * rng.randrange(2 * spread), 5
            )  # the price jumps, the book may cross
        removed = rng.choice([0.1, 0.5, 0.9])
        bids = random_rows(rng, middle, -1, spread, rng.randrange(12), removed)
        asks = random_rows(rng, middle, 1, spread, rng.randrange(12), removed)
        if rng.random() < 0.3:  # take half of the levels that are there, or the best of them
            bids = [*some_removed(rng, sorted(desk.naive.bids, reverse=True)), *bids]
            asks = [*some_removed(rng, sorted(desk.naive.asks)), *asks]
        make = snapshot if n == 0 or rng.random() < 0.03 else depth
        desk.hear(make(n, 0, bids, asks))
        for s in (0, 1):
            side = desk.naive.side(s)
            low_x = int(desk.book["low_x"][s])
            expected = [(x, side[x]) for x in sorted(side, reverse=True)[:10] if x >= low_x]
            assert best_levels(desk, s, 10) == expected


@pytest.mark.uncompiled
def test_random_markets_keep_all_their_books() -> None:
    packets, levels = random_tape(seed=3, count=200)
    market, books = new_market()
    universe, params = np.zeros(1, UNIVERSE), np.zeros(1, MARKET_PARAMS)[0]
    twins = [NaiveBook() for _ in WORLD]
    for packet in packets:
        listing_id = int(packet["listing_id"])
        twins[listing_id].apply(packet, levels)
        apply_packet(universe[0], market[0], books[0], params, as_record(packet), levels)
        book = market["books"][0, listing_id]
        assert_same_book(twins[listing_id], book, books[0], listing_id)
        assert int(book["state"]) == twins[listing_id].state
        bids, asks = twins[listing_id].bids, twins[listing_id].asks
        is_two_sided = bool(bids) and bool(asks)
        assert bool(is_crossed(market[0].books[listing_id])) == (is_two_sided and max(bids) >= min(asks))
        mid = 0.5 * (max(bids) + min(asks)) if is_two_sided else 0.0
        assert mid_ticks(market[0].books[listing_id]) == mid
    assert twins[DARK].state == BookState.LIVE


def test_a_price_that_runs_away_takes_its_levels_along() -> None:
    desk = Desk()
    desk.hear(
        snapshot(0, 0, [(100_000 - k * 997, k + 1) for k in range(40)], [(100_001 + k * 997, k + 1) for k in range(40)])
    )
    for step in (LADDER // 3, LADDER, -2 * LADDER, 7 * LADDER, -3 * LADDER):
        best = max(desk.naive.bids) + step
        gone = [(ticks, 0) for ticks in desk.naive.bids if ticks > best] + [(best, 7)]
        lifted = [(ticks, 0) for ticks in desk.naive.asks if ticks <= best] + [(best + 3, 9)]
        desk.hear(depth(1, 0, gone, lifted))


def test_when_the_ladder_runs_out_within_a_packet_the_best_far_level_is_still_the_best() -> None:
    desk = Desk()
    desk.hear(snapshot(0, 0, [(100_000, 1), (50_000, 2), (30_000, 3)], [(100_001, 1)]))
    desk.hear(depth(1, 0, bids=[(100_000, 0), (40_010, 5)]))


def test_a_snapshot_that_takes_back_its_best_level_shows_the_next_one() -> None:
    desk = Desk()
    desk.hear(snapshot(0, 0, [(100_000, 1), (50_000, 2), (100_000, 0)], [(100_001, 1)]))


def test_a_far_level_merged_within_a_packet_can_be_the_best() -> None:
    desk = Desk()
    desk.hear(snapshot(0, 0, [(100_000, 1), (42_000, 2)], [(100_001, 1)]))
    desk.hear(depth(1, 0, bids=[(100_000, 0), (40_010, 5)]))


@pytest.mark.spec("M1")
def test_a_snapshot_leaves_nothing_of_the_book_before() -> None:
    desk = Desk()
    desk.hear(snapshot(0, 0, [(100_000 - 7 * k, 1) for k in range(3000)], [(100_001 + 9 * k, 1) for k in range(3000)]))
    desk.hear(snapshot(1, 0, [(500, 3)], [(501, 4)]))
    desk.hear(snapshot(2, 0))
    assert desk.book["best_x"].tolist() == [NO_X, NO_X]
    desk.hear(depth(3, 0, [(7_000_000, 1)], [(7_000_001, 1)]))


@pytest.mark.uncompiled
def test_depth_is_ignored_until_a_snapshot_and_after_a_gap() -> None:
    desk = Desk()
    desk.hear(depth(0, 0, [(100, 1)], [(101, 1)]))
    assert desk.naive.bids == {} and desk.book["best_x"][0] == NO_X
    desk.hear(snapshot(1, 0, [(100, 1)], [(101, 1)]), status(2, 0, BookState.GAP), depth(3, 0, [(100, 5)]))
    assert desk.naive.bids == {100: 1}


def test_a_far_table_that_overflows_says_so_and_from_where() -> None:
    desk = Desk()
    far = [(1_000_000 - LADDER - 11 * k, k + 1) for k in range(FAR_MAX + 500)]
    desk.hear(snapshot(0, 0, [(1_000_000, 1), *far], [(1_000_001, 1)]), is_checked=False)
    assert desk.book["overflow_count"] == 500
    assert desk.book["far_count"].tolist() == [FAR_MAX, 0]
    assert desk.book["truncated_x"].tolist() == [far[FAR_MAX][0], NO_X]
    kept = dict([(1_000_000, 1), *far[:FAR_MAX]])
    desk.naive.bids = kept
    assert_same_book(desk.naive, desk.book, desk.books[0], 0)
    # a known far level may change and leave; then there is room for one more
    desk.hear(depth(1, 0, [(far[5][0], 77), (far[6][0], 0)]))
    desk.hear(depth(2, 0, [far[FAR_MAX + 3]]))
    assert desk.book["overflow_count"] == 500
    desk.hear(snapshot(3, 0, [(50, 1)], [(51, 1)]))
    assert desk.book["truncated_x"].tolist() == [NO_X, NO_X]


def test_rows_outside_the_provable_range_are_refused_and_counted() -> None:
    desk = Desk()
    desk.hear(snapshot(0, 0, [(100, 1)], [(101, 1)]))
    wrong = [(-5, 1), (0, 1), (2**41, 1), (100, -1), (100, 2**51)]
    desk.hear(depth(1, 0, bids=wrong), is_checked=False)
    assert desk.market["refused_count"][0] == len(wrong)
    assert best_levels(desk, 0, 5) == [(100, 1)]


def test_a_crossed_book_is_counted_and_not_fresh() -> None:
    desk = Desk()
    desk.hear(snapshot(0, 0, [(100, 1)], [(101, 1)]), depth(1, 0, bids=[(101, 1)]), depth(2, 0, bids=[(103, 1)]))
    assert desk.book["crossed_count"] == 2
    desk.hear(depth(3, 0, bids=[(101, 0), (103, 0)]))
    assert desk.book["crossed_count"] == 2


@pytest.mark.uncompiled
@settings(max_examples=60, deadline=None)
@given(
    low=st.integers(-(10**9), 10**9),
    occupied=st.sets(st.integers(0, LADDER - 1), max_size=30),
    at=st.integers(0, LADDER - 1),
    s=st.integers(0, 1),
)
def test_the_next_level_down_is_what_a_linear_scan_finds(low: int, occupied: set[int], at: int, s: int) -> None:
    desk = Desk()
    low_x = low // WORD * WORD
    for offset in occupied:
        book_ops.set_slot(desk.books[0], 0, s, low_x + offset, 1)
    expected = max((low_x + offset for offset in occupied if offset <= at), default=NO_X)
    assert book_ops.level_at_or_below(desk.books[0], 0, s, low_x + at, low_x) == expected


@pytest.mark.uncompiled
@given(word=st.integers(1, 2**32 - 1))
def test_the_highest_bit_is_the_logarithm(word: int) -> None:
    assert book_ops.highest_bit(word) == word.bit_length() - 1


def test_a_packet_of_no_rows_changes_nothing() -> None:
    desk = Desk()
    desk.hear(snapshot(0, 0, [(100, 1)], [(101, 1)]))
    before = desk.book.tobytes()
    desk.hear(Event(0, 0, 0, Kind.DEPTH, (), ()))
    assert desk.book.tobytes() == before
    assert np.zeros(0, LEVEL).size == 0
