"""Bitstamp's orders become a book that never crosses, and every trade knows who came; bad lines are refused."""

import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.errors import UserError

from .bitstamp_files import (
    BTC,
    BUY,
    GOOD,
    OPENING,
    SELL,
    START_MS,
    TOLD,
    Rows,
    counted,
    imported,
    line,
    order,
    told,
    trade,
    vendor,
)  # fmt: skip


@pytest.mark.spec("M1", "X4")
def test_orders_become_packets_and_a_match_is_one_print_and_one_depth(tmp_path: Path) -> None:
    tape = imported(tmp_path, *GOOD)
    assert told(tape) == TOLD
    assert counted(tape.facts.quality) == {
        "lines": 11, "depth_packets": 3, "trades": 2, "snapshots": 1, "dropped_before_snapshot": 1, "repeats": 1,
        "heartbeats": 3, "unlisted_orders": 1, "held_orders": 1, "silence_ns_max": 10_000_000,
    }  # fmt: skip
    assert (tape.packets["ts_venue_ns"] == tape.packets["ts_local_ns"]).all()
    assert [text.split(":")[0] for text in tape.facts.assumed] == [
        "BTC/USD, spot, tick 0.01", "lot 0.0000001", "venue times are receive times",
    ]  # fmt: skip


@pytest.mark.parametrize("packed", [gzip.compress, lzma.compress])
def test_packed_files_are_the_plain_one(packed: Any, tmp_path: Path) -> None:
    name = "made.log.gz" if packed is gzip.compress else "made.log.xz"
    assert told(imported(tmp_path, packed(b"".join(GOOD)), name=name)) == TOLD


def after(tmp_path: Path, *lines: bytes) -> tuple[list[tuple[int, str, Rows, Rows]], dict[str, int]]:
    """What the tape tells after the opening book, and its counts."""
    tape = imported(tmp_path, order(0, "created", 10, BUY, "98.00", "1.0"), OPENING, *lines)
    return told(tape)[2:], counted(tape.facts.quality)


@pytest.mark.spec("M1")
def test_the_vendors_book_reveals_and_corrects_but_not_what_is_only_late(tmp_path: Path) -> None:
    bids = [["100.00", "2.5"], ["99.00", "0.4"]]
    story, counts = after(
        tmp_path,
        order(20, "created", 11, SELL, "100.50", "0.1"),
        vendor(1000, bids, [["101.00", "3.0"], ["101.50", "7.0"]]),  # 100.50 is not in it: late; 102.00 is beyond it
        vendor(1021, bids, [["101.00", "3.0"], ["101.50", "7.0"]]),  # a second later it is wrong
        order(1030, "deleted", 11, SELL, "100.50", "0.1"),
    )
    assert story == [
        (20, "DEPTH", [], [(10_050, BTC // 10)]),
        (1000, "DEPTH", [(9_900, 4_000_000)], [(10_150, 7 * BTC)]),
        (1021, "DEPTH", [], [(10_050, 0)]),
        (1030, "DEPTH", [], []),
    ]
    assert (counts["revealed_levels"], counts["corrected_levels"]) == (1, 2)
    assert (counts["vendor_rows"], counts["vendor_rows_equal"]) == (8, 6)


@pytest.mark.spec("M1")
def test_an_order_that_would_cross_rests_as_soon_as_it_no_longer_does(tmp_path: Path) -> None:
    story, counts = after(
        tmp_path,
        order(20, "created", 11, BUY, "101.00", "5.0"),
        order(30, "changed", 11, BUY, "101.00", "2.0"),
        order(30, "deleted", 4, SELL, "101.00", "0.0"),
        trade(30, 1, 101.0, 3.0),
    )
    assert story == [
        (20, "DEPTH", [], []),
        (30, "TRADE", [(10_100, 3 * BTC)], []),
        (30, "DEPTH", [(10_100, 2 * BTC)], [(10_100, 0)]),  # the trade says what the unlisted order had
    ]
    assert counts["held_orders"] == 1


@pytest.mark.parametrize("price, bought, assumed", [(100.51, True, 1), (100.49, False, 1), (100.5, None, 0)])
def test_a_trade_that_no_order_explains_takes_the_side_it_lies_on(
    price: float, bought: bool | None, assumed: int, tmp_path: Path
) -> None:
    story, counts = after(tmp_path, trade(20, 1, price, 0.25))
    print_row = [(round(price * 100), BTC // 4)]
    assert story[0] == {
        True: (20, "TRADE", print_row, []), False: (20, "TRADE", [], print_row), None: (20, "DEPTH", [], [])
    }[bought]  # fmt: skip
    assert (counts.get("assumed_sides", 0), counts.get("ignored_lines", 0)) == (assumed, 1 - assumed)


@pytest.mark.spec("M1")
def test_trades_of_one_size_told_at_once_have_orders_of_their_own(tmp_path: Path) -> None:
    story, counts = after(
        tmp_path,
        order(20, "created", 11, SELL, "100.50", "0.5"),
        order(20, "created", 12, SELL, "100.50", "0.5"),
        order(30, "created", 13, BUY, "100.50", "1.0"),
        order(40, "deleted", 11, SELL, "100.50", "0.0"),
        order(40, "changed", 13, BUY, "100.50", "0.5"),
        order(40, "deleted", 12, SELL, "100.50", "0.0"),
        order(40, "deleted", 13, BUY, "100.50", "0.0"),
        trade(40, 1, 100.5, 0.5),
        trade(40, 2, 100.5, 0.5),
    )
    assert story[2:] == [
        (40, "TRADE", [(10_050, BTC // 2)] * 2, []),
        (40, "DEPTH", [], [(10_050, 0)]),
    ]
    assert (counts["held_orders"], "assumed_sides" in counts) == (1, False)


def test_a_repeated_trade_and_an_order_created_after_its_end_count_once(tmp_path: Path) -> None:
    story, counts = after(
        tmp_path,
        trade(20, 1, 101.0, 0.25),
        trade(30, 1, 101.0, 0.25),
        order(40, "deleted", 11, BUY, "99.50", "1.0"),
        order(50, "created", 11, BUY, "99.50", "1.0"),
    )
    assert [packet[1:] for packet in story] == [("TRADE", [(10_100, BTC // 4)], []), *[("DEPTH", [], [])] * 3]
    assert (counts["repeats"], counts["ignored_lines"], "unlisted_orders" in counts) == (1, 1, False)


def test_files_are_joined_in_time_order_and_each_opens_its_own_book(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("b.log", "a.log")]
    for path, at_ms in zip(paths, (0, 1_000), strict=True):
        path.write_bytes(b"".join(GOOD).replace(str(START_MS)[:-4].encode(), str(START_MS + at_ms * 10)[:-4].encode()))
    import_paths("bitstamp", paths, tmp_path / "catalog")
    [tape] = Catalog(tmp_path / "catalog").tapes()
    later = [(at + 10_000, *rest) for at, *rest in TOLD]
    # trade ids of the first file are known: their volume does not count twice
    assert [packet for packet in told(tape) if packet[1] != "TRADE"][:8] == [p for p in TOLD if p[1] != "TRADE"]
    assert [packet[:2] for packet in told(tape)[len(TOLD) :]][:2] == [(p[0], p[1]) for p in later][:2]
    assert (tape.facts.source_files, tape.facts.quality.trades) == (["b.log", "a.log"], 2)


def described(folder: Path, **more: Any) -> None:
    spec = {"venue": "bitstamp", "symbol": "BTC/EUR", "kind": "spot", "base": "BTC", "quote": "EUR", "settle": "EUR"}
    (folder / "made.listing.json").write_text(json.dumps({**spec, "tick_size": "0.01", **more}))


def test_a_file_beside_it_says_which_pair_and_lot(tmp_path: Path) -> None:
    fine = order(80, "created", 13, SELL, "100.60", "0.12345678")
    described(tmp_path, lot_size="0.00000001")
    tape = imported(tmp_path, *GOOD, fine)
    assert (tape.facts.listing.name, told(tape)[-1][3]) == ("bitstamp BTC/EUR", [(10_060, 12_345_678)])
    assert (tape.facts.quality.rounded_sizes, len(tape.facts.assumed)) == (0, 1)
    (tmp_path / "coarse").mkdir()
    described(tmp_path / "coarse", lot_size="0.001")
    tape = imported(tmp_path / "coarse", *GOOD, fine)
    assert (told(tape)[-1][3], tape.facts.quality.rounded_sizes) == ([(10_060, 123)], 1)


def test_a_lot_that_satoshis_do_not_make_is_refused(tmp_path: Path) -> None:
    described(tmp_path, lot_size="0.000000001")
    with pytest.raises(UserError, match=r"made.log:1: lot 1E-9 of its .listing.json"):
        imported(tmp_path, *GOOD)


# --- refusals ----------------------------------------------------------------------------------------------------
def book_of(text: str) -> bytes:
    return f"{START_MS + 90} order_book {text}\n".encode()


BAD = {
    "cut short": (order(90, "created", 20, BUY, "99.00", "1.0")[:-9], ":12: bad JSON"),
    "no JSON": (f"{START_MS + 90} trade oops\n".encode(), ":12: bad JSON"),
    "not text": (f"{START_MS + 90} trade ".encode() + b'{"id": "\xff"}\n', ":12: bad JSON"),
    "deep": (f"{START_MS + 90} trade ".encode() + b'{"a":' * 100_000 + b"\n", ":12: bad JSON"),
    "unknown event": (line(90, "order_moved", {}), ":12: unknown event 'order_moved'"),
    "no event": (f"{START_MS + 90}\n".encode(), ":12: unknown event ''"),
    "blank": (b"\n", ":12: no receive time"),
    "no stamp": (b"trade {}\n", ":12: no receive time"),
    "nanoseconds": (b"1430438404518000000 trade {}\n", ":12: receive time 1430438404518000000 is not in milliseconds"),
    "seconds": (b"1430438404 trade {}\n", ":12: receive time 1430438404 is not in milliseconds"),
    "backwards": (trade(60, 3, 100.0, 1.0), ":12: time goes backwards by 10 ms"),
    "no id": (line(90, "trade", {"price": 100.0, "amount": 1.0}), ":12: bad JSON"),
    "a third side": (order(90, "created", 20, 2, "99.00", "1.0"), ":12: order_type 2"),
    "a price as a number": (order(90, "created", 20, BUY, 99.0, "1.0"), ":12: not a list"),  # type: ignore[arg-type]
    "zero price": (order(90, "created", 20, BUY, "0.00", "1.0"), ":12: price is zero"),
    "negative size": (order(90, "created", 20, BUY, "99.00", "-1.0"), ":12: negative"),
    "off tick": (order(90, "created", 20, BUY, "99.001", "1.0"), ":12: price off its tick grid"),
    "absurd price": (order(90, "created", 20, BUY, "9" * 30, "1.0"), ":12: number too large"),
    "absurd product": (order(90, "created", 20, BUY, "9" * 9, "9" * 9), ":12: number too large"),
    "absurd sum": (
        order(90, "created", 20, BUY, "0.01", "4" + "0" * 10) + order(91, "created", 21, BUY, "0.01", "4" + "0" * 10),
        ":13: number too large: the orders of a level",
    ),
    "empty trade": (trade(90, 3, 100.0, 0.0), ":12: trade of 0.0 at 100.0"),
    "negative trade": (trade(90, 3, -100.0, 1.0), ":12: trade of 1.0 at -100.0"),
    "trade off tick": (trade(90, 3, 100.004, 1.0), ":12: price off its tick grid: 100.004"),
    "absurd trade": (trade(90, 3, 1e300, 1.0), ":12: number too large"),
    "infinite trade": (f'{START_MS + 90} trade {{"id": 3, "price": 1e999, "amount": 1}}\n'.encode(), ":12: "),
    "NaN": (f'{START_MS + 90} trade {{"id": 3, "price": NaN, "amount": 1}}\n'.encode(), ":12: bad JSON"),
    "half a book": (book_of('{"bids": []}'), ":12: bad JSON"),
    "no book": (book_of('{"bids": {}, "asks": []}'), ":12: not a list"),
    "a level without size": (book_of('{"bids": [["99.00"]], "asks": []}'), ":12: not a list"),
    "a long line": (f"{START_MS + 90} trade ".encode() + b" " * (1 << 20) + b"\n", ":12: line longer than 1 MB"),
}


@pytest.mark.spec("M1")
@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_named_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    bad, said = BAD[name]
    with pytest.raises(UserError) as refused:
        imported(tmp_path, *GOOD, bad)
    assert f"made.log{said}" in refused.value.message
    assert refused.value.hint
    assert not list((tmp_path / "catalog").glob("*/*/*"))


PACKED = lzma.compress(b"".join(GOOD))


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("a.log", b"", "a.log: empty file"),
        ("a.log.xz", lzma.compress(b""), "a.log.xz: empty file"),
        ("a.log.xz", b"rubbish" * 50, ":1: truncated or damaged"),
        ("a.log.gz", b"rubbish" * 50, ":1: truncated or damaged"),
        ("a.log.xz", PACKED[:-40], ": truncated or damaged"),
        ("a.log", PACKED, ":1: no receive time"),
        ("a.log", GOOD[0], "a.log: no order_book in it"),
    ],
)
def test_a_bad_file_is_refused(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        imported(tmp_path, content, name=name)
    assert said in refused.value.message


def test_the_same_time_twice_and_a_folder_of_others_are_refused(tmp_path: Path) -> None:
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_bytes(b"".join(GOOD))
    with pytest.raises(UserError, match=r"b.log:1: begins before the file before it ends"):
        import_paths("bitstamp", [tmp_path], tmp_path / "catalog")
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match=r"no \*\.log or \*\.log\.gz or \*\.log\.xz files"):
        import_paths("bitstamp", [tmp_path / "none"], tmp_path / "catalog")
