"""Tardis CSV files. Those named SAMPLES are real rows; all others are written by the tests in the same layout."""

import gzip
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from elegant_trading_system.data.importers import import_paths, text_files
from tests.shared_data import shared_data

from .made_tapes import listing
from .vendor_files import START_US, Seen, Side, books, imported, last_by_time, lines, prints, refusal, story

BOOK = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"
TRADES = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
VENUE = "binance-futures,BTCUSDT"
SAMPLES = "tests/test_data/tardis"


def book_row(at_ms: float, is_snapshot: bool, side: str, price: str, amount: str, listing_: str = VENUE) -> str:
    """Received at_ms after the start, 5 ms after it was sent."""
    at_us = START_US + int(at_ms * 1000)
    return f"{listing_},{at_us - 5_000},{at_us},{str(is_snapshot).lower()},{side},{price},{amount}"


def trade_row(at_ms: float, trade_id: object, side: str, price: str, amount: str, listing_: str = VENUE) -> str:
    at_us = START_US + int(at_ms * 1000)
    return f"{listing_},{at_us - 5_000},{at_us},{trade_id},{side},{price},{amount}"


GOOD = [
    BOOK,
    book_row(0, True, "bid", "100", "1.5"),
    book_row(0, True, "bid", "99.9", "2"),
    book_row(0, True, "ask", "100.1", "0.25"),
    book_row(10, False, "ask", "100.1", "0"),
    book_row(10, False, "bid", "100.1", "1e-3"),
    book_row(20, True, "ask", "100.3", "4"),
    book_row(20, True, "bid", "100.2", "3"),
    book_row(30, False, "ask", "100.4", "1"),
]
TAPE = [
    TRADES,
    trade_row(5, 10, "buy", "100.1", "0.25"),
    trade_row(10, 11, "sell", "100", "0.5"),
    trade_row(10, 11, "sell", "100", "0.5"),  # sent again
    trade_row(25, 14, "unknown", "100", "0.5"),
    trade_row(25, 15, "buy", "100", "0.125"),
]


def test_a_run_of_snapshot_rows_is_one_packet_and_begins_the_book_anew(tmp_path: Path) -> None:
    found = imported("tardis", tmp_path, lines(tmp_path / "book.csv.gz", *GOOD))
    assert story(found) == ["RESYNC", "SNAPSHOT", "DEPTH", "SNAPSHOT", "DEPTH"]
    assert books(found)[0][1:] == ({1000: 1500, 999: 2000}, {1001: 250})
    assert books(found)[1][1:] == ({1000: 1500, 999: 2000, 1001: 1}, {})
    assert books(found)[2][1:] == ({1002: 3000}, {1003: 4000})


def test_a_snapshot_told_in_two_moments_is_one_book(tmp_path: Path) -> None:
    rows = [
        book_row(0, True, "bid", "100", "1"),
        book_row(1, True, "ask", "101", "1"),
        book_row(2, True, "bid", "99", "1"),
    ]
    found = imported("tardis", tmp_path, lines(tmp_path / "book.csv", BOOK, *rows))
    assert story(found) == ["RESYNC", "SNAPSHOT", "DEPTH", "DEPTH"]
    assert books(found)[-1][1:] == ({1000: 1000, 990: 1000}, {1010: 1000})


def test_books_and_trades_of_a_listing_become_one_tape_trades_first(tmp_path: Path) -> None:
    paths = [lines(tmp_path / "book.csv.gz", *GOOD), lines(tmp_path / "trades.csv.gz", *TAPE)]
    found = imported("tardis", tmp_path, *paths)
    assert story(found) == ["RESYNC", "SNAPSHOT", "TRADE", "TRADE", "DEPTH", "SNAPSHOT", "TRADE", "DEPTH"]
    assert [one[1:] for one in prints(found)] == [(1, 1001, 250), (-1, 1000, 500), (1, 1000, 125)]
    quality = found.facts.quality
    assert (quality.lines, quality.trades, quality.repeats, quality.trade_id_gaps, quality.ignored_lines) == (
        13,
        3,
        1,
        1,
        1,
    )
    assert (quality.depth_packets, quality.snapshots) == (2, 2)


def test_the_fastest_message_is_given_one_millisecond(tmp_path: Path) -> None:
    found = imported("tardis", tmp_path, lines(tmp_path / "book.csv", *GOOD))
    assert found.facts.quality.clock_offset_ns == 4_000_000
    assert found.facts.quality.latency_ns_median == 1_000_000


def test_steps_are_the_venues_own_or_the_finest_in_the_data_or_those_beside_the_file(tmp_path: Path) -> None:
    known = imported("tardis", tmp_path / "1", lines(tmp_path / "book.csv", *GOOD)).facts
    assert (known.listing.name, known.listing.tick_size) == ("binanceusdm BTC/USDT:USDT", Decimal("0.1"))
    assert known.assumed == ["tick 0.1 and lot 0.001, as Binance has them for BTCUSDT"]
    rows = [row.replace(VENUE, "coinbase,BTC-USD") for row in GOOD]
    found = imported("tardis", tmp_path / "2", lines(tmp_path / "coinbase.csv", *rows)).facts
    assert (found.listing.name, found.listing.tick_size, found.listing.lot_size) == (
        "coinbase BTC/USD", Decimal("0.1"), Decimal("0.001"),
    )  # fmt: skip
    assert "finest decimal steps" in found.assumed[-1]
    spec = listing("mine", "BTC", tick_size=Decimal("0.05"))
    (tmp_path / "other.listing.json").write_text(spec.model_dump_json())
    assert imported("tardis", tmp_path / "3", lines(tmp_path / "other.csv", *rows)).facts.listing == spec


def test_small_blocks_make_the_same_tape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [lines(tmp_path / "book.csv.gz", *GOOD), lines(tmp_path / "trades.csv.gz", *TAPE)]
    whole = imported("tardis", tmp_path / "whole", *paths)
    monkeypatch.setattr(text_files, "BLOCK_BYTES", 100)
    parts = imported("tardis", tmp_path / "parts", *paths)
    assert parts.facts.digest == whole.facts.digest
    assert parts.facts.quality == whole.facts.quality


def test_days_are_joined_in_time_order_and_days_that_overlap_are_refused(tmp_path: Path) -> None:
    first, second = lines(tmp_path / "2.csv", *GOOD[:6]), lines(tmp_path / "1.csv", BOOK, *GOOD[6:])
    whole = imported("tardis", tmp_path / "whole", lines(tmp_path / "whole.csv", *GOOD))
    assert imported("tardis", tmp_path / "parts", second, first).facts.digest == whole.facts.digest
    again = lines(tmp_path / "3.csv", *GOOD[:6])
    assert "3.csv:1: begins before the file before it ends" in refusal("tardis", [first, again], tmp_path / "catalog")


def naive_books(path: Path, tick: Decimal, lot: Decimal) -> list[Seen]:
    """Line by line, as Tardis' documentation says."""
    bids: Side = {}
    asks: Side = {}
    seen, was_snapshot = [], False
    for line in gzip.decompress(path.read_bytes()).decode().splitlines()[1:]:
        _, _, _, local, is_snapshot, side_name, price, amount = line.split(",")
        if is_snapshot == "true" and not was_snapshot:
            bids, asks = {}, {}
        was_snapshot = is_snapshot == "true"
        side, ticks = bids if side_name == "bid" else asks, int(Decimal(price) / tick)
        side[ticks] = int(Decimal(amount) / lot)
        if side[ticks] == 0:
            del side[ticks]
        seen.append(Seen(int(local) * 1_000, dict(bids), dict(asks)))
    return last_by_time(seen)


@pytest.mark.spec("M1")
def test_the_tape_rebuilds_the_books_a_naive_reader_of_the_rows_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, rows, at_ms, is_snapshot = np.random.default_rng(4), [], 0, True
    for i in range(4_000):
        was_snapshot, is_snapshot = is_snapshot, i < 5 or random.random() < (0.7 if is_snapshot else 0.01)
        at_ms += 1 if is_snapshot != was_snapshot else int(random.random() < 0.4)
        price = f"{random.integers(990, 1010) / 10}"
        amount = "0" if not is_snapshot and random.random() < 0.3 else f"{random.integers(1, 99) / 1000}"
        rows.append(book_row(at_ms, is_snapshot, "bid" if random.random() < 0.5 else "ask", price, amount))
    path = lines(tmp_path / "book.csv.gz", BOOK, *rows)
    monkeypatch.setattr(text_files, "BLOCK_BYTES", 5_000)
    found = imported("tardis", tmp_path, path)
    expected = naive_books(path, Decimal("0.1"), Decimal("0.001"))
    assert len(expected) > 1_000
    assert last_by_time(books(found)) == expected


@pytest.mark.spec("M1")
def test_real_rows_of_deribit_are_the_snapshot_they_are(tmp_path: Path) -> None:
    path = shared_data("nautilus-fixtures") / SAMPLES / "deribit_incremental_book_L2_BTC-PERPETUAL.csv"
    found = imported("tardis", tmp_path, path)
    assert story(found) == ["RESYNC", "SNAPSHOT"]
    (seen,) = books(found)
    rows = [line.split(",") for line in path.read_text().split()[1:]]
    assert seen.ts_local_ns == int(rows[0][3]) * 1_000
    assert seen.asks == {int(Decimal(row[6]) / Decimal("0.5")): int(row[7]) // 10 for row in rows}
    spec = found.facts.listing
    assert (spec.name, spec.kind, spec.contract_quote) == ("deribit BTC/USD:BTC", "inverse", Decimal(1))


def test_real_trades_of_bitmex_keep_their_sizes(tmp_path: Path) -> None:
    path = shared_data("nautilus-fixtures") / SAMPLES / "bitmex_trades_XBTUSD.csv"
    found = imported("tardis", tmp_path, path)
    rows = [line.split(",") for line in path.read_text().split()[1:]]
    expected = [(int(row[3]) * 1_000, -1 if row[5] == "sell" else 1, 17_063, int(row[7])) for row in rows]
    assert prints(found) == expected
    assert found.facts.quality.latency_ns_median >= 1_000_000


END = len(GOOD) + 1
BAD_LINES = {
    "a missing field": (f"{VENUE},1,2,true,bid,100", f":{END}: not 8 fields"),
    "one field more": (book_row(40, False, "bid", "100", "1") + ",", f":{END}: not 8 fields"),
    "a blank line": ("", f":{END}: not 8 fields"),
    "NaN": (book_row(40, False, "bid", "NaN", "1"), f":{END}: not a decimal number"),
    "an empty price": (book_row(40, False, "bid", "", "1"), f":{END}: not a decimal number"),
    "a negative size": (book_row(40, False, "bid", "100", "-1"), f":{END}: negative number"),
    "a price of zero": (book_row(40, False, "bid", "0.0", "1"), f":{END}: price is zero"),
    "a price off its tick": (book_row(40, False, "bid", "100.05", "1"), f":{END}: price off its tick grid"),
    "a huge exponent": (book_row(40, False, "bid", "1e400", "1"), f":{END}: not a decimal number"),
    "a huge number": (book_row(40, False, "bid", "9" * 30, "1"), f":{END}: number too large"),
    "time backwards": (book_row(29, False, "bid", "100", "1"), f":{END}: time goes backwards by 1000000 ns"),
    "a time that is none": (book_row(40, False, "bid", "100", "1").replace(str(START_US + 40_000), "soon"), f":{END}: local_timestamp"),
    "a time in seconds": (book_row(40, False, "bid", "100", "1").replace(str(START_US + 40_000), "1700000000"), f":{END}: "),
    "no side": (book_row(40, False, "middle", "100", "1"), f":{END}: side is 'middle', not bid or ask"),
    "neither true nor false": (book_row(40, False, "bid", "1", "1").replace("false", "maybe"), f":{END}: is_snapshot is 'maybe'"),
    "another symbol": (book_row(40, False, "bid", "1", "1").replace("BTC", "ETH"), f":{END}: ETHUSDT in a file of BTCUSDT"),
    "another exchange": (book_row(40, False, "bid", "1", "1", "binance,BTCUSDT"), f":{END}: binance in a file of"),
    "quotes": (book_row(40, False, "bid", '"100"', "1"), f":{END}: not a"),
    "not text": (book_row(40, False, "bid", "1\xb22", "1"), f":{END}: not text"),
    "a line without an end": ("x" * 100_000, f":{END}: "),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_refused_by_its_number(name: str, tmp_path: Path) -> None:
    row, reason = BAD_LINES[name]
    path = lines(tmp_path / "book.csv.gz", *GOOD, row)
    assert f"{path}{reason}" in refusal("tardis", [lines(tmp_path / "t.csv", *TAPE), path], tmp_path / "catalog")


def test_rubbish_is_refused_by_file(tmp_path: Path) -> None:
    packed = lines(tmp_path / "good.csv.gz", *GOOD).read_bytes()
    for content, reason in (
        (b"", "truncated or damaged|empty file"),
        (gzip.compress(b""), "empty file"),
        (gzip.compress(f"{BOOK}\n".encode()), "no rows"),
        (b"rubbish", ":1: truncated or damaged"),
        (packed[:-20], "truncated or damaged"),
        (gzip.compress(b"a,b,c\n1,2,3\n"), ":1: columns of no known Tardis file"),
        (gzip.compress("\n".join(GOOD[1:]).encode()), ":1: columns of no known Tardis file"),
        (gzip.compress(f"{BOOK}\n{book_row(0, False, 'bid', '1', '1')}\n".encode()), "no snapshot in it"),
        (gzip.compress(f"{TRADES}\n{trade_row(0, 1, 'unknown', '1', '1')}\n".encode()), "nothing in it can be used"),
        (gzip.compress(f"{TRADES}\n{trade_row(0, 1, 'buy', '1', '0.0')}\n".encode()), ":2: trade of size zero"),
        (gzip.compress(f"{TRADES}\n{trade_row(0, 'x', 'buy', '1', '1')}\n".encode()), ":2: id is not a whole number"),
    ):
        path = tmp_path / "bad.csv.gz"
        path.write_bytes(content)
        assert any(part in refusal("tardis", [path], tmp_path / "catalog") for part in reason.split("|"))


def test_an_unknown_listing_asks_for_a_file_beside_it(tmp_path: Path) -> None:
    path = lines(tmp_path / "x.csv", BOOK, book_row(0, True, "bid", "1", "1", "moonbase,CHEESE"))
    assert "what CHEESE of moonbase is, is not known" in refusal("tardis", [path], tmp_path / "catalog")
    one, two = lines(tmp_path / "1.csv", *GOOD[:6]), lines(tmp_path / "2.csv", BOOK, *GOOD[6:])
    for path, tick in ((one, "0.1"), (two, "0.01")):
        spec = listing("mine", "BTC", tick_size=Decimal(tick))
        path.with_name(f"{path.stem}.listing.json").write_text(spec.model_dump_json())
    assert "described unlike" in refusal("tardis", [one, two], tmp_path / "catalog")


def test_a_folder_of_files_is_read_once_each(tmp_path: Path) -> None:
    folder = tmp_path / "day"
    folder.mkdir()
    lines(folder / "book.csv.gz", *GOOD)
    lines(folder / "trades.csv", *TAPE)
    said: list[float] = []
    (facts,) = import_paths("tardis", [folder, folder], tmp_path / "catalog", lambda _, share: said.append(share))
    assert facts.source_files == ["trades.csv", "book.csv.gz"]
    assert said[-1] == 1.0 and all(0 <= share <= 1 for share in said)
