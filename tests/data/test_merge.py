"""Several tapes become one run: every packet with its own rows, in the order of receipt."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elegant_trading_system.core.kinds import BookState, Kind
from elegant_trading_system.data.merge import Merged, book_after, merge
from elegant_trading_system.data.tape import ListingSpec, Tape
from elegant_trading_system.errors import UserError
from tests import naive

from .made_tapes import Made, Rows, listing, rows_of, tape

SNAPSHOT, DEPTH, TRADE, STATUS = Kind.SNAPSHOT, Kind.DEPTH, Kind.TRADE, Kind.STATUS
BTC = [
    Made(10, SNAPSHOT, [(100, 1), (99, 2)], [(101, 3)]),
    Made(20, TRADE, [(101, 1)]),
    Made(20, DEPTH, [(100, 5)], [(102, 7)]),
    Made(40, DEPTH, [(99, 0)], []),
]
ETH = [Made(5, SNAPSHOT, [(50, 1)], [(51, 1)]), Made(20, DEPTH, [], [(51, 2)]), Made(30, TRADE, [], [(50, 1)])]


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda handle: None)


def told(merged: Merged) -> list[tuple[int, int, int, Rows, Rows]]:
    """(time, listing, kind, buy rows, sell rows) of every packet."""
    return [
        (int(p["ts_local_ns"]), int(p["listing_id"]), int(p["kind"]), *rows_of(merged.levels, p))
        for p in merged.packets
    ]


def made_of(listing_id: int, made: list[Made]) -> list[tuple[int, int, int, Rows, Rows]]:
    return [(one.ts_ns, listing_id, one.kind, one.bids, one.asks) for one in made]


def test_packets_come_in_order_of_receipt_and_keep_their_rows(tmp_path: Path) -> None:
    merged = merge([tape(tmp_path, listing(), BTC), tape(tmp_path, listing(base="ETH"), ETH)])
    btc, eth = made_of(0, BTC), made_of(1, ETH)
    assert told(merged) == [eth[0], btc[0], btc[1], btc[2], eth[1], eth[2], btc[3]]
    assert [spec.base for spec in merged.listings] == ["BTC", "ETH"]
    assert merged.truth is None


def test_at_equal_times_the_order_of_listings_decides(tmp_path: Path) -> None:
    btc, eth = tape(tmp_path, listing(), BTC), tape(tmp_path, listing(base="ETH"), ETH)
    assert [row[1] for row in told(merge([btc, eth])) if row[0] == 20] == [0, 0, 1]
    assert [row[1] for row in told(merge([eth, btc])) if row[0] == 20] == [0, 1, 1]


def test_an_index_is_kept_from_its_beginning_until_the_last_packet_recorded(tmp_path: Path) -> None:
    """Beyond it nothing happens: a backtest would walk through years of silence."""
    index = ListingSpec(
        venue="cboe", symbol="VIX", kind="volatility", base="VIX", quote="USD", settle="USD",
        tick_size=Decimal("0.01"), lot_size=Decimal(1),
    )  # fmt: skip
    closes = [Made(ts, TRADE, [(ticks, 1)]) for ts, ticks in ((1, 1500), (15, 1600), (40, 1700), (41, 9900))]
    merged = merge([tape(tmp_path, listing(), BTC), tape(tmp_path, index, closes)])
    assert [row[0] for row in told(merged) if row[1] == 1] == [1, 15, 40]
    cut = merge([tape(tmp_path / "b", listing(), BTC), tape(tmp_path / "b", index, closes)], 15, 30)
    assert [row[0] for row in told(cut) if row[1] == 1] == [1, 15]


def test_a_whole_single_tape_is_not_copied(tmp_path: Path) -> None:
    merged = merge([tape(tmp_path, listing(), BTC)])
    assert told(merged) == made_of(0, BTC)
    assert isinstance(merged.packets.base, np.memmap)
    assert isinstance(merged.levels.base, np.memmap)


def test_a_whole_tape_and_a_merged_one_are_of_one_type_to_the_compiler(tmp_path: Path) -> None:
    """Or choosing other instruments would compile everything again."""
    import numba

    one, two = tape(tmp_path, listing(), BTC), tape(tmp_path, listing(base="ETH"), ETH)
    assert numba.typeof(merge([one]).packets) == numba.typeof(merge([one, two]).packets)
    assert numba.typeof(merge([one]).levels) == numba.typeof(merge([one, two]).levels)


def test_writing_into_a_mapped_tape_does_not_reach_its_file(tmp_path: Path) -> None:
    one = tape(tmp_path, listing(), BTC)
    before = (one.folder / "packets.bin").read_bytes()
    merge([one]).packets["seq"] = 7
    assert (one.folder / "packets.bin").read_bytes() == before


def test_tapes_of_a_listing_are_joined_in_time_order(tmp_path: Path) -> None:
    later = [Made(50, SNAPSHOT, [(90, 1)], [(91, 1)]), Made(60, TRADE, [(91, 1)])]
    second, first = tape(tmp_path, listing(), later), tape(tmp_path, listing(), BTC)
    merged = merge([second, first])
    assert told(merged) == [*made_of(0, BTC), *made_of(0, later)]
    assert len(merged.listings) == 1


def test_overlapping_or_unlike_tapes_of_a_listing_are_refused(tmp_path: Path) -> None:
    first = tape(tmp_path / "a", listing(), BTC)
    with pytest.raises(UserError, match="overlaps"):
        merge([first, tape(tmp_path / "b", listing(), BTC[-1:])])
    coarse = tape(tmp_path / "c", listing(tick_size=Decimal("0.1")), [Made(50, TRADE, [(9, 1)])])
    with pytest.raises(UserError, match="other ticks or lots"):
        merge([first, coarse])


def test_a_cut_is_half_open(tmp_path: Path) -> None:
    one = tape(tmp_path, listing(), BTC)
    assert told(merge([one], None, 20)) == made_of(0, BTC[:1])
    assert told(merge([one], None, 21)) == made_of(0, BTC[:3])
    assert told(merge([one], 5, 41)) == made_of(0, BTC)
    assert told(merge([one], 41, None)) == []
    assert merge([one], 41, None).listings == [listing()]


def test_a_cut_opens_with_the_book_as_it_was(tmp_path: Path) -> None:
    merged = merge([tape(tmp_path, listing(), BTC)], 30)
    assert told(merged) == [(30, 0, SNAPSHOT, [(100, 5), (99, 2)], [(101, 3), (102, 7)]), *made_of(0, BTC[3:])]
    assert merged.packets["ts_venue_ns"][0] == 13  # of the last packet before


@pytest.mark.parametrize("code", [BookState.GAP, BookState.RESYNC, BookState.STALE])
def test_a_book_that_was_not_live_does_not_open(code: BookState, tmp_path: Path) -> None:
    dead = [*BTC, Made(50, STATUS, code=code), Made(60, TRADE, [(101, 1)])]
    assert told(merge([tape(tmp_path, listing(), dead)], 55)) == made_of(0, dead[-1:])


def test_the_opening_knows_only_what_came_after_the_last_snapshot(tmp_path: Path) -> None:
    again = [*BTC, Made(50, SNAPSHOT, [(90, 1)], []), Made(60, TRADE, [(101, 1)])]
    assert told(merge([tape(tmp_path, listing(), again)], 60))[0] == (60, 0, SNAPSHOT, [(90, 1)], [])


def test_a_listing_silent_throughout_the_cut_still_has_its_book(tmp_path: Path) -> None:
    tapes = [tape(tmp_path, listing(), BTC), tape(tmp_path, listing(base="ETH"), ETH)]
    opened = (21, 0, SNAPSHOT, [(100, 5), (99, 2)], [(101, 3), (102, 7)])
    assert told(merge(tapes, 21, 35)) == [opened, (21, 1, SNAPSHOT, [(50, 1)], [(51, 2)]), *made_of(1, ETH[2:])]


def test_a_cut_must_end_after_it_starts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not after its start"):
        merge([tape(tmp_path, listing(), BTC)], 20, 20)


def test_truth_follows_its_packets(tmp_path: Path) -> None:
    btc = tape(tmp_path, listing(), BTC, [1.0, 2.0, 3.0, 4.0])
    eth = tape(tmp_path, listing(base="ETH"), ETH, [5.0, 6.0, 7.0])
    told_truth = merge([btc, eth]).truth
    assert told_truth is not None
    assert told_truth.tolist() == [5.0, 1.0, 2.0, 3.0, 6.0, 7.0, 4.0]
    assert (opened := merge([btc], 30).truth) is not None
    assert opened.tolist() == [3.0, 4.0]


def test_a_listing_without_truth_has_nan_beside_one_with(tmp_path: Path) -> None:
    btc = tape(tmp_path, listing(), BTC, [1.0, 2.0, 3.0, 4.0])
    merged = merge([btc, tape(tmp_path, listing(base="ETH"), ETH)])
    assert merged.truth is not None
    assert [listing_id for _, listing_id, *_ in told(merged)] == np.isnan(merged.truth).astype(int).tolist()


books = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 3)), max_size=4)
packets = st.builds(Made, st.integers(1, 40), st.sampled_from([SNAPSHOT, DEPTH, DEPTH, DEPTH, TRADE]), books, books)


def recorded(folder: Path, base: str, made: list[Made]) -> Tape:
    return tape(folder, listing(base=base), sorted(made, key=lambda one: one.ts_ns))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    btc=st.lists(packets, min_size=1, max_size=12),
    eth=st.lists(packets, min_size=1, max_size=12),
    cut=st.integers(0, 42),
)
def test_two_halves_hold_the_books_of_the_whole(
    btc: list[Made], eth: list[Made], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Packets before and after a cut are those of the whole run, and so is every book after the cut."""
    folder = tmp_path_factory.mktemp("cut")
    tapes = [recorded(folder, "BTC", btc), recorded(folder, "ETH", eth)]
    whole, before, after = merge(tapes), merge(tapes, None, cut), merge(tapes, cut, None)
    openings = len(before.packets) + len(after.packets) - len(whole.packets)
    assert told(before) + told(after)[openings:] == told(whole)
    for listing_id, listing_tape in enumerate(tapes):
        if (
            last_books(after, listing_id) is not None
            and book_after(listing_tape, len(listing_tape.packets)) is not None
        ):
            assert last_books(after, listing_id) == last_books(whole, listing_id)


def last_books(merged: Merged, listing_id: int) -> tuple[naive.Side, naive.Side] | None:
    of_listing = merged.packets[merged.packets["listing_id"] == listing_id]
    found = None
    for _, bids, asks in naive.tape_books(of_listing, merged.levels):
        found = (bids, asks)
    return found
