"""A day of NASDAQ messages: the book they make is the vendor's, level by level, message by message."""

import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from elegant_trading_system.core.kinds import Kind, SessionState
from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.sessions import session_packets, with_sessions
from elegant_trading_system.data.tape import Tape
from elegant_trading_system.errors import UserError
from tests.shared_data import shared_data

NAME = "LOBSTER_SampleFile_GOOG_2012-06-21_10.zip"
EMPTY = 9_999_999_999
STEM = "XYZ_2012-06-21_34200000_57600000"
#: time, type, order, size, price, direction; then ask, size, bid, size of two levels after it
MESSAGES = [
    "34200.5,1,1,100,1000000,1",
    "34201.000000001,1,2,50,1000200,-1",
    "34201.000000001,4,2,20,1000200,-1",
    "34205.25,5,0,7,1000150,1",
    "34206,3,2,30,1000200,-1",
    "34207,7,0,0,-1,-1",
    "34208,7,0,0,1,-1",
]
BOOKS = [
    "1000300,10,1000000,100,1000400,5,999900,40",
    "1000200,50,1000000,100,1000300,10,999900,40",
    "1000200,30,1000000,100,1000300,10,999900,40",
    "1000200,30,1000000,100,1000300,10,999900,40",
    "1000300,10,1000000,100,1000400,6,999900,40",
    "1000300,10,1000000,100,1000400,6,999900,40",
    "1000300,10,1000000,100,1000400,6,999900,40",
]


def pair(folder: Path, messages: list[str] = MESSAGES, books: list[str] = BOOKS) -> Path:
    path = folder / "XYZ.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{STEM}_message_2.csv", "\n".join(messages) + "\n")
        archive.writestr(f"{STEM}_orderbook_2.csv", "\n".join(books) + "\n")
    return path


def imported(path: Path, catalog: Path) -> Tape:
    import_paths("lobster", [path], catalog)
    [tape] = Catalog(catalog).tapes()
    return tape


def told(tape: Tape) -> list[tuple[float, str, list[tuple[int, int]], list[tuple[int, int]]]]:
    """(seconds after 9:30 New York, kind, buy rows, sell rows) of every packet that is no heartbeat."""
    open_ns = int(datetime(2012, 6, 21, 13, 30, tzinfo=UTC).timestamp()) * 10**9
    found = []
    for packet in tape.packets:
        begin, buys = int(packet["level_begin"]), int(packet["buy_count"])
        rows = [(int(t), int(n)) for t, n in tape.levels[begin : begin + buys + int(packet["sell_count"])].tolist()]
        if rows or packet["kind"] == Kind.SESSION:
            second = (int(packet["ts_local_ns"]) - open_ns) / 1e9
            found.append((second, Kind(int(packet["kind"])).name, rows[:buys], rows[buys:]))
    return found


@pytest.mark.spec("M1", "X4")
def test_messages_become_packets_and_a_sweep_is_one(tmp_path: Path) -> None:
    tape = imported(pair(tmp_path), tmp_path / "catalog")
    assert told(tape) == [
        (0.5, "SNAPSHOT", [(10000, 100), (9999, 40)], [(10003, 10), (10004, 5)]),
        (1.000000001, "TRADE", [(10002, 20)], []),  # a sell order executed: a buyer came
        (1.000000001, "DEPTH", [], [(10002, 30), (10004, 0)]),  # what was pushed out at the edge is not known any more
        (5.25, "TRADE", [], [(10002, 7)]),  # hidden, half a cent rounded up
        (6.0, "DEPTH", [], [(10002, 0), (10004, 6)]),  # and what comes back is read from the vendor's book
        (7.0, "SESSION", [], []),
        (8.0, "SESSION", [], []),
    ]
    quality = tape.facts.quality
    assert (quality.revealed_levels, quality.rounded_prices, quality.trades, quality.heartbeats) == (1, 1, 2, 4)
    codes = tape.packets["code"][tape.packets["kind"] == Kind.SESSION].tolist()
    assert codes == [SessionState.HALTED, SessionState.OPEN]
    assert (tape.facts.listing.symbol, tape.facts.listing.calendar) == ("XYZ/USD", "XNAS")


BAD: dict[str, tuple[list[str], list[str], str]] = {
    "short row": ([*MESSAGES[:1], "34201,1,2,50"], BOOKS[:2], "message_2.csv line 2: 4 cells instead of 6"),
    "no number": (["34200.5,1,one,100,1000000,1"], BOOKS[:1], "message_2.csv line 1: not whole numbers"),
    "no time": (["noon,1,1,100,1000000,1"], BOOKS[:1], "message_2.csv line 1: noon is no time of day"),
    "back in time": ([MESSAGES[1], MESSAGES[0]], BOOKS[:2], "message_2.csv line 2: 34200.5 is before the line above"),
    "unknown type": (["34200.5,8,1,100,1000000,1"], BOOKS[:1], "message_2.csv line 1: type 8"),
    "no size": (["34200.5,1,1,0,1000000,1"], BOOKS[:1], "message_2.csv line 1: type 1, size 0"),
    "unequal files": (MESSAGES, BOOKS[:3], "orderbook_2.csv: 3 rows"),
    "wide book": (MESSAGES[:1], ["1,2,3"], "orderbook_2.csv line 1: 3 cells instead of 8"),
    "more than rests": ([MESSAGES[0], "34201,3,9,500,1000000,1"], BOOKS[:2], "line 2: takes more than rests"),
    "another book": (MESSAGES[:2], [BOOKS[0], BOOKS[0]], "orderbook_2.csv line 2: not the book that the messages make"),
    "empty": ([], BOOKS[:1], "message_2.csv: empty"),
}


@pytest.mark.spec("M1")
@pytest.mark.parametrize("name", list(BAD))
def test_a_damaged_pair_is_refused_with_its_line_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    messages, books, said = BAD[name]
    with pytest.raises(UserError) as caught:
        imported(pair(tmp_path, messages, books), tmp_path / "catalog")
    assert said in str(caught.value)
    assert not list((tmp_path / "catalog").glob("*/*/*"))


def test_a_cut_archive_and_half_a_pair_are_refused(tmp_path: Path) -> None:
    path = pair(tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="not a readable archive"):
        imported(path, tmp_path / "catalog")
    alone = tmp_path / f"{STEM}_message_2.csv"
    alone.write_text("\n".join(MESSAGES))
    with pytest.raises(UserError, match="its orderbook file is not among the files"):
        imported(alone, tmp_path / "catalog")


# --- the real day ------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def goog(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    return imported(shared_data("lobster-20120621") / NAME, tmp_path_factory.mktemp("goog"))


def vendor_books() -> tuple[Any, list[str]]:
    with zipfile.ZipFile(shared_data("lobster-20120621") / NAME) as archive:
        names = archive.namelist()
        book = next(name for name in names if "orderbook" in name)
        message = next(name for name in names if "message" in name)
        cells = pl.read_csv(io.BytesIO(archive.read(book)), has_header=False).to_numpy()
        return cells, [line.split(",")[0] for line in archive.read(message).decode().splitlines()]


@pytest.mark.spec("M1", "X4")
def test_a_dict_of_the_tape_is_the_vendors_ten_levels_at_the_end_of_every_moment(goog: Tape) -> None:
    cells, times = vendor_books()
    last_of = {time: row for row, time in enumerate(times)}  # the vendor's book after the last message of each moment
    rows = sorted(last_of.values())
    midnight_ns = int(datetime(2012, 6, 21, 4, tzinfo=UTC).timestamp()) * 10**9
    stamps = [midnight_ns + int(float(times[row].split(".")[0])) * 10**9 + nanos(times[row]) for row in rows]
    books: tuple[dict[int, int], dict[int, int]] = ({}, {})
    packets, levels, at, compared = goog.packets, goog.levels.tolist(), 0, 0
    kinds, ts = packets["kind"].tolist(), packets["ts_local_ns"].tolist()
    begins, buys, sells = (packets[name].tolist() for name in ("level_begin", "buy_count", "sell_count"))
    for row, stamp in zip(rows, stamps, strict=True):
        while at < len(ts) and ts[at] <= stamp:
            if kinds[at] in (Kind.SNAPSHOT, Kind.DEPTH):
                middle = begins[at] + buys[at]
                for s, (begin, end) in enumerate(((begins[at], middle), (middle, middle + sells[at]))):
                    for ticks, lots in levels[begin:end]:
                        if lots:
                            books[s][ticks] = lots
                        else:
                            books[s].pop(ticks, None)
            at += 1
        if row % 3 == 0:  # a third of the day is fifty thousand books
            asks = {
                int(p) // 100: int(n) for p, n in zip(cells[row][0::4], cells[row][1::4], strict=True) if p != EMPTY
            }
            bids = {
                int(p) // 100: int(n) for p, n in zip(cells[row][2::4], cells[row][3::4], strict=True) if p != -EMPTY
            }
            assert (books[0], books[1]) == (bids, asks), row
            compared += 1
    assert compared > 40_000
    assert goog.facts.quality.crossed_books == 0


def nanos(time: str) -> int:
    return int((time.partition(".")[2] or "0").ljust(9, "0"))


@pytest.mark.spec("M1")
def test_the_day_holds_the_executions_the_vendor_counts(goog: Tape) -> None:
    quality = goog.facts.quality
    assert quality.trades == 7_765 + 3_913 - 1  # the first message is already in the opening book
    assert quality.revealed_levels > 0


# --- opening hours -----------------------------------------------------------------------------------------------
def hours(goog: Tape, first: str, last: str) -> list[tuple[str, str]]:
    """(UTC, state) of the session packets between two UTC times."""
    pytest.importorskip("exchange_calendars")
    edges = [int(np.datetime64(text, "ns").astype(np.int64)) for text in (first, last)]
    packets = session_packets([goog.facts.listing], *edges)
    return [
        (
            str(np.datetime64(int(packet["ts_local_ns"]), "ns").astype("datetime64[m]")),
            SessionState(int(packet["code"])).name,
        )
        for packet in packets
    ]


@pytest.mark.spec("X4")
def test_a_market_opens_and_closes_by_its_calendar(goog: Tape) -> None:
    assert hours(goog, "2012-06-21T12:00", "2012-06-22T12:00") == [
        ("2012-06-21T12:00", "CLOSED"), ("2012-06-21T13:30", "OPEN"), ("2012-06-21T20:00", "CLOSED"),
    ]  # fmt: skip
    assert hours(goog, "2012-11-22T12:00", "2012-11-23T23:00") == [  # Thanksgiving, and half a day
        ("2012-11-22T12:00", "CLOSED"), ("2012-11-23T14:30", "OPEN"), ("2012-11-23T18:00", "CLOSED"),
    ]  # fmt: skip
    assert [turn[0][11:] for turn in hours(goog, "2012-03-09T20:30", "2012-03-12T20:30")][1:] == [
        "21:00",
        "13:30",
        "20:00",
    ]


@pytest.mark.spec("X4")
def test_a_recording_gets_its_openings_and_an_always_open_one_stays_itself(goog: Tape) -> None:
    pytest.importorskip("exchange_calendars")
    from elegant_trading_system.data.merge import merge

    plain = merge([goog])
    merged = with_sessions(plain)
    [first] = merged.packets[merged.packets["kind"] == Kind.SESSION]
    assert (int(first["code"]), int(first["atoms"])) == (SessionState.OPEN, 1340308800 * 10**9)
    assert (np.diff(merged.packets["ts_local_ns"]) >= 0).all()
    crypto = plain._replace(listings=[goog.facts.listing.model_copy(update={"calendar": ""})])
    assert with_sessions(crypto) is crypto
