"""What the importer makes of gaps, resends, resynchronisation, rotation, and of listings it has no table for."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elegant_trading_system.core.kinds import BookState, Kind
from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.tape import Tape

from .capture_files import GOOD, START_NS, futures_depth, line, snapshot, spot_depth, stream, trade, write

RESYNC, SNAPSHOT, DEPTH, TRADE, GAP = "RESYNC", "SNAPSHOT", "DEPTH", "TRADE", "GAP"


def imported(tmp_path: Path, *files: list[bytes]) -> Tape:
    paths = [write(tmp_path / f"{number}.gz", *lines) for number, lines in enumerate(files)]
    import_paths("binance-capture", paths, tmp_path / "catalog")
    (tape,) = Catalog(tmp_path / "catalog").tapes()
    return tape


def story(tape: Tape) -> list[str]:
    """Packets by name: a STATUS by its state."""
    return [
        BookState(packet["code"]).name if packet["kind"] == Kind.STATUS else Kind(packet["kind"]).name
        for packet in tape.packets
    ]


def rows_of(tape: Tape, index: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    packet = tape.packets[index]
    begin, middle = int(packet["level_begin"]), int(packet["level_begin"] + packet["buy_count"])
    rows = [(int(row["price_ticks"]), int(row["lots"])) for row in tape.levels]
    return rows[begin:middle], rows[middle : middle + int(packet["sell_count"])]


def test_a_message_becomes_a_packet_of_ticks_and_lots_bids_first(tmp_path: Path) -> None:
    tape = imported(tmp_path, GOOD)
    assert story(tape) == [RESYNC, TRADE, SNAPSHOT, DEPTH, TRADE, DEPTH]
    assert rows_of(tape, 1) == ([(10_050, 10_000)], [])  # the buyer came
    assert rows_of(tape, 2) == ([(10_000, 100_000)], [(10_100, 100_000)])
    assert rows_of(tape, 3) == ([(10_050, 200_000)], [(10_200, 300_000)])
    assert rows_of(tape, 4) == ([], [(10_050, 10_000)])  # `m`: the buyer was there already
    assert rows_of(tape, 5) == ([(10_050, 0)], [])
    assert (tape.packets["ts_local_ns"] - START_NS).tolist() == [0, 5_000_000, 10_000_000, 10**8, 15 * 10**7, 2 * 10**8]


def test_the_fastest_message_is_given_one_millisecond(tmp_path: Path) -> None:
    tape = imported(tmp_path, GOOD)  # all took 5 ms by the venue's clock
    assert tape.facts.quality.clock_offset_ns == 4_000_000
    latencies = tape.packets["ts_local_ns"] - tape.packets["ts_venue_ns"]
    assert latencies[story(tape).index(DEPTH)] == 1_000_000
    assert tape.facts.quality.negative_latencies_after_correction == 0


def test_a_spot_snapshot_without_a_stamp_takes_the_streams_last(tmp_path: Path) -> None:
    tape = imported(tmp_path, GOOD)
    assert tape.packets["ts_venue_ns"][2] == tape.packets["ts_venue_ns"][1]


@pytest.mark.parametrize(
    "first_id, dropped",
    [(8, 1), (7, 1), (1, 1)],
    ids=["next id", "straddling", "far behind"],
)
def test_spot_goes_on_from_the_first_diff_that_reaches_beyond_the_snapshot(
    first_id: int, dropped: int, tmp_path: Path
) -> None:
    tape = imported(tmp_path, [spot_depth(0, 1, 7), snapshot(10, 7), spot_depth(100, first_id, 9)])
    assert story(tape) == [RESYNC, SNAPSHOT, DEPTH]
    assert tape.facts.quality.dropped_before_snapshot == dropped


def test_diffs_that_outran_the_snapshot_are_applied_behind_it_at_its_time(tmp_path: Path) -> None:
    tape = imported(tmp_path, [spot_depth(0, 1, 5), spot_depth(5, 6, 9), spot_depth(8, 10, 11), snapshot(10, 7)])
    assert story(tape) == [RESYNC, SNAPSHOT, DEPTH, DEPTH]
    assert set((tape.packets["ts_local_ns"][1:] - START_NS).tolist()) == {10_000_000}
    assert np.diff(tape.packets["ts_venue_ns"][2:]) == 3_000_000
    assert tape.facts.quality.dropped_before_snapshot == 1


FUTURES_SNAPSHOT = snapshot(10, 50, T=START_NS // 1_000_000 + 8, E=START_NS // 1_000_000 + 9)


@pytest.mark.parametrize(
    "previous, first, last, outcome",
    [
        (40, 45, 55, [DEPTH]),
        (50, 53, 60, [DEPTH]),  # ids between belong to other symbols
        (40, 45, 50, [DEPTH]),  # `u` equal to the snapshot's is applied again
        (40, 45, 49, []),  # older
        (51, 52, 60, [GAP]),
    ],
)
def test_futures_go_on_from_the_diff_that_spans_the_snapshot(
    previous: int, first: int, last: int, outcome: list[str], tmp_path: Path
) -> None:
    tape = imported(tmp_path, [futures_depth(0, 1, 2, 3), FUTURES_SNAPSHOT, futures_depth(20, previous, first, last)])
    assert story(tape) == [RESYNC, SNAPSHOT, *outcome]


def test_futures_are_chained_by_their_previous_id_alone(tmp_path: Path) -> None:
    chain = [futures_depth(20, 40, 45, 55), futures_depth(30, 55, 70, 80), futures_depth(40, 80, 99, 99)]
    tape = imported(tmp_path, [FUTURES_SNAPSHOT, *chain])
    assert story(tape) == [RESYNC, SNAPSHOT, DEPTH, DEPTH, DEPTH]
    assert tape.facts.quality.sequence_gaps == 0


def test_a_gap_ends_the_book_until_the_next_snapshot(tmp_path: Path) -> None:
    gap = [spot_depth(300, 14, 15), spot_depth(400, 16, 17), trade(450, 3), spot_depth(500, 18, 19)]
    tape = imported(tmp_path, [*GOOD, *gap, snapshot(510, 17), spot_depth(600, 20, 20)])
    assert story(tape)[6:] == [GAP, TRADE, SNAPSHOT, DEPTH, DEPTH]
    assert tape.facts.quality.sequence_gaps == 1
    assert tape.facts.quality.snapshots == 2
    assert tape.facts.quality.dropped_before_snapshot == 3  # one at the start, two the second snapshot contains


def test_a_gap_among_the_waiting_diffs_is_seen_when_they_are_applied(tmp_path: Path) -> None:
    tape = imported(tmp_path, [spot_depth(0, 6, 9), spot_depth(5, 12, 13), snapshot(10, 7)])
    assert story(tape) == [RESYNC, SNAPSHOT, DEPTH, GAP]


def test_a_snapshot_older_than_the_book_changes_nothing(tmp_path: Path) -> None:
    tape = imported(tmp_path, [*GOOD, snapshot(300, 11)])
    assert story(tape) == [RESYNC, TRADE, SNAPSHOT, DEPTH, TRADE, DEPTH]
    assert tape.facts.quality.ignored_lines == 1


def test_a_newer_snapshot_replaces_the_book(tmp_path: Path) -> None:
    tape = imported(tmp_path, [*GOOD, snapshot(300, 15), spot_depth(400, 13, 14), spot_depth(500, 15, 18)])
    assert story(tape)[6:] == [SNAPSHOT, DEPTH]
    assert tape.facts.quality.repeats == 1


def test_a_book_goes_on_across_a_rotation_and_not_across_a_hole(tmp_path: Path) -> None:
    whole = imported(tmp_path / "whole", GOOD, [spot_depth(300, 13, 14)]) if _made(tmp_path / "whole") else None
    torn = imported(tmp_path / "torn", GOOD, [spot_depth(300, 15, 16)]) if _made(tmp_path / "torn") else None
    assert whole and story(whole)[6:] == [DEPTH]
    assert torn and story(torn)[6:] == [GAP]
    assert whole.facts.source_files == ["0.gz", "1.gz"]


def _made(folder: Path) -> bool:
    folder.mkdir()
    return True


def test_trades_sent_again_count_once_and_missing_ones_are_counted(tmp_path: Path) -> None:
    tape = imported(tmp_path, [*GOOD, trade(300, 2), trade(310, 3), trade(320, 7)])
    quality = tape.facts.quality
    assert (quality.trades, quality.repeats, quality.trade_id_gaps) == (4, 1, 1)


def test_trades_of_no_market_are_left_out(tmp_path: Path) -> None:
    """Liquidations taken over by the insurance fund print prices nobody could trade at, zero among them."""
    fund = [trade(300, 3, "0", "0", X="INSURANCE_FUND"), trade(310, 4, X="MARKET"), trade(320, 5, "0", "0", X="NA")]
    tape = imported(tmp_path, [*GOOD, *fund])
    assert story(tape)[6:] == [TRADE]
    assert (tape.facts.quality.trade_id_gaps, tape.facts.quality.ignored_lines) == (0, 2)


def test_streams_without_a_use_here_are_counted(tmp_path: Path) -> None:
    others: list[dict[str, Any]] = [{"u": 9, "b": "1", "a": "2"}, {"e": "kline"}]
    lines = [
        stream(300 + i, name, data)
        for i, (name, data) in enumerate(zip(["bookTicker", "kline_1m"], others, strict=True))
    ]
    tape = imported(tmp_path, [*GOOD, *lines, line(400, {"result": None, "id": 1}), stream(401, "depth20", {"u": 1})])
    assert tape.facts.quality.ignored_lines == 4
    assert story(tape) == [RESYNC, TRADE, SNAPSHOT, DEPTH, TRADE, DEPTH]


def test_a_crossed_book_is_counted_for_as_long_as_it_lasts(tmp_path: Path) -> None:
    crossed = [
        spot_depth(300, 13, 13, [["101.00", "1"]]),
        spot_depth(400, 14, 14),
        spot_depth(500, 15, 15, [["101.00", "0"]]),
    ]
    assert imported(tmp_path, [*GOOD, *crossed]).facts.quality.crossed_books == 2


def test_silence_is_the_longest_time_between_two_packets(tmp_path: Path) -> None:
    assert imported(tmp_path, [*GOOD, trade(5200, 3)]).facts.quality.silence_ns_max == 5_000_000_000


def test_stamps_in_microseconds_are_understood(tmp_path: Path) -> None:
    stamp_us = START_NS // 1_000 + 295_123
    tape = imported(tmp_path, [*GOOD, trade(300, 3, T=stamp_us)])
    assert tape.packets["ts_venue_ns"][-1] - tape.facts.quality.clock_offset_ns == stamp_us * 1_000


def test_a_pair_without_a_table_gets_the_finest_steps_seen(tmp_path: Path) -> None:
    def doge(text: bytes) -> bytes:
        return text.replace(b"BTCUSDT", b"DOGEUSDT").replace(b"btcusdt", b"dogeusdt")

    odd = spot_depth(300, 13, 14, [["0.12345000", "7.00000000"]], [["200.00000000", "12.50000000"]])
    tape = imported(tmp_path, [doge(text) for text in (*GOOD, odd)])
    listing = tape.facts.listing
    assert (listing.symbol, listing.tick_size, listing.lot_size) == ("DOGE/USDT", Decimal("0.00001"), Decimal("0.1"))
    assert rows_of(tape, 6) == ([(12_345, 70)], [(20_000_000, 125)])


def test_a_leftover_below_a_lot_is_no_level(tmp_path: Path) -> None:
    tape = imported(tmp_path, [*GOOD, spot_depth(300, 13, 14, [["99.00", "0.00000400"], ["98.00", "1.00000900"]])])
    assert rows_of(tape, 6) == ([(9_900, 0), (9_800, 100_000)], [])
    assert tape.facts.quality.rounded_sizes == 2


def test_files_without_depth_are_tapes_of_trades(tmp_path: Path) -> None:
    assert story(imported(tmp_path, [trade(0, 1), trade(10, 2)])) == [RESYNC, TRADE, TRADE]


def test_progress_rises_to_one(tmp_path: Path) -> None:
    shares: list[float] = []
    path = write(tmp_path / "a.gz", *GOOD)
    import_paths("binance-capture", [path], tmp_path / "catalog", lambda text, share: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
