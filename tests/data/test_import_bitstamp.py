"""Bitstamp's orders make the book that its own 20 levels show, and every trade knows who came."""

import csv
import gzip
import json
import lzma
import random
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elegant_trading_system.core.kinds import BookState, Kind
from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.importers.bitstamp_wire import LogFile
from elegant_trading_system.data.tape import Quality, Tape
from elegant_trading_system.errors import UserError
from tests.shared_data import shared_data

FOLDER = "bitstamp-l3-20150501"
START_MS = 1_430_438_400_000
BTC = 10**7  # in lots of the tape
LOT_SATOSHIS = 10
BUY, SELL = 0, 1
Rows = list[tuple[int, int]]
Json = dict[str, Any]


# --- made by hand ------------------------------------------------------------------------------------------------
def line(at_ms: int, name: str, message: Json) -> bytes:
    return f"{START_MS + at_ms} {name} {json.dumps(message)}\n".encode()


def order(at_ms: int, what: str, order_id: int, side: int, price: str, amount: str, **more: Any) -> bytes:
    message = {"price": price, "amount": amount, "datetime": "1430438400", "id": order_id, "order_type": side}
    return line(at_ms, f"order_{what}", message | more)


def trade(at_ms: int, trade_id: int, price: Any, amount: Any) -> bytes:
    return line(at_ms, "trade", {"price": price, "amount": amount, "id": trade_id})


def vendor(at_ms: int, bids: list[list[str]], asks: list[list[str]]) -> bytes:
    return line(at_ms, "order_book", {"bids": bids, "asks": asks})


OPENING = vendor(10, [["100.00", "2.5"], ["99.00", "1.0"]], [["101.00", "3.0"], ["102.00", "1.0"]])
GOOD = [
    order(0, "created", 10, BUY, "100.00", "2.00000000"),
    OPENING,  # 0.5 at 100.00 are of an order placed before
    order(20, "created", 11, SELL, "100.00", "1.50000000"),  # would cross: it came to take
    order(30, "deleted", 5, BUY, "100.00", "0.00000000"),  # of the order placed before; nobody said how much it had
    order(30, "changed", 11, SELL, "100.00", "1.00000000"),
    trade(40, 1, 100.0, 0.5),
    order(50, "changed", 10, BUY, "100.00", "1.00000000"),
    order(50, "deleted", 11, SELL, "100.00", "0.00000000"),
    trade(50, 2, 99.99999999999999, 1.0000000000000002),  # what binary floats make of it
    order(60, "deleted", 11, SELL, "100.00", "0.00000000"),  # told twice
    order(70, "created", 12, SELL, "100.50", "0.25000000"),
]
TOLD = [
    (0, "RESYNC", [], []),
    (10, "SNAPSHOT", [(10_000, 25_000_000), (9_900, BTC)], [(10_100, 3 * BTC), (10_200, BTC)]),
    (20, "DEPTH", [], []),
    (30, "DEPTH", [], []),
    (40, "TRADE", [], [(10_000, BTC // 2)]),  # a seller came
    (40, "DEPTH", [(10_000, 2 * BTC)], []),
    (50, "TRADE", [], [(10_000, BTC)]),
    (50, "DEPTH", [(10_000, BTC)], []),
    (60, "DEPTH", [], []),
    (70, "DEPTH", [], [(10_050, BTC // 4)]),
]


def imported(tmp_path: Path, *lines: bytes, name: str = "made.log") -> Tape:
    path = tmp_path / name
    path.write_bytes(b"".join(lines))
    return of_file(path, tmp_path / "catalog")


def of_file(path: Path, catalog: Path) -> Tape:
    import_paths("bitstamp", [path], catalog)
    [tape] = Catalog(catalog).tapes()
    return tape


def told(tape: Tape) -> list[tuple[int, str, Rows, Rows]]:
    """(ms after the start, kind or state, buy rows, sell rows) of every packet."""
    found, levels = [], tape.levels.tolist()
    for packet in tape.packets:
        begin, buys = int(packet["level_begin"]), int(packet["buy_count"])
        rows = levels[begin : begin + buys + int(packet["sell_count"])]
        kind = Kind(int(packet["kind"]))
        name = BookState(int(packet["code"])).name if kind is Kind.STATUS else kind.name
        found.append((int(packet["ts_local_ns"]) // 10**6 - START_MS, name, rows[:buys], rows[buys:]))
    return found


def counted(quality: Quality) -> dict[str, int]:
    """What is not zero."""
    return {name: value for name, value in quality.model_dump().items() if value}


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
        (30, "DEPTH", [], [(10_100, 0)]),
    ]
    # the trade says what the unlisted order had; from the next event on, nothing is left to take
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


# --- the recording -----------------------------------------------------------------------------------------------
def recording() -> Path:
    return shared_data(FOLDER) / "2015-05-01.log.xz"


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    return of_file(recording(), tmp_path_factory.mktemp("bitstamp"))


@pytest.fixture(scope="module")
def events() -> list[tuple[int, str, Json]]:
    with lzma.open(recording(), "rt") as file:
        parts = (text.split(" ", 2) for text in file)
        return [(int(stamp), name, json.loads(text)) for stamp, name, text in parts]


def ticks_of(price: Any) -> int:
    return round(float(price) * 100)


def lots_of(amount: Any) -> int:
    return round(float(amount) * 10**8)


Book = tuple[dict[int, int], dict[int, int]]


class Twin:
    """The slow obvious book: every order in a dict, what rests unlisted in another, levels added up when asked."""

    def __init__(self) -> None:
        self.orders: dict[int, tuple[int, int, int]] = {}  # side, ticks, lots
        self.waiting: list[int] = []
        self.unlisted: Counter[tuple[int, int]] = Counter()  # negative: the vendor has less than its orders
        self.ended: set[int] = set()
        self.first_id = -1
        self.is_open = False
        self.before: list[tuple[int, Book]] = []  # books of the last second
        self.vanished: list[tuple[int, int, int]] = []  # ms, side, ticks of unlisted orders that were filled
        self.book: Book = ({}, {})

    def add_up(self) -> Book:
        sums: Counter[tuple[int, int]] = Counter(self.unlisted)
        for order_id, (side, ticks, lots) in self.orders.items():
            if order_id not in self.waiting:
                sums[side, ticks] += lots
        return tuple(
            {ticks: lots for (s, ticks), lots in sums.items() if s == side and lots > 0} for side in (BUY, SELL)
        )  # type: ignore[return-value]

    def crosses(self, book: Book, side: int, ticks: int) -> bool:
        if side == BUY:
            return bool(book[SELL]) and ticks >= min(book[SELL])
        return bool(book[BUY]) and ticks <= max(book[BUY])

    def listed_at(self, side: int, ticks: int) -> int:
        rests = ((i, placed) for i, placed in self.orders.items() if i not in self.waiting)
        return sum(lots for _, (s, t, lots) in rests if (s, t) == (side, ticks))

    def take(self, ts_ms: int, name: str, message: Json) -> None:
        self.before = [(at, book) for at, book in self.before if at >= ts_ms - 1000]
        was = self.book
        if name == "order_book":
            self.take_vendor(message)
        elif name == "trade":
            self.take_trade(ts_ms, message)
        elif message["id"] not in self.ended:
            self.take_order(ts_ms, name, message)
        self.book = self.add_up()
        for order_id in sorted(self.waiting) if name != "trade" else []:
            side, ticks, _ = self.orders[order_id]
            if not self.crosses(self.book, side, ticks):
                self.waiting.remove(order_id)
                self.book = self.add_up()
        if self.book != was:
            self.before.append((ts_ms, was))

    def take_order(self, ts_ms: int, name: str, message: Json) -> None:
        order_id, side = message["id"], message["order_type"]
        ticks, lots = ticks_of(message["price"]), lots_of(message["amount"])
        self.first_id = order_id if self.first_id < 0 else self.first_id
        old = self.orders.pop(order_id, None)
        if order_id in self.waiting:
            self.waiting.remove(order_id)
        if old is not None:
            left = self.listed_at(*old[:2])
            self.unlisted[old[:2]] = max(self.unlisted[old[:2]], -left)
        elif name != "order_created" and order_id < self.first_id:
            self.unlisted[side, ticks] -= min(lots, max(0, self.unlisted[side, ticks]))
            if name == "order_changed" or lots == 0:
                self.vanished.append((ts_ms, side, ticks))
        if name == "order_deleted":
            self.ended.add(order_id)
            return
        if self.crosses(self.add_up(), side, ticks):
            self.waiting.append(order_id)
        self.orders[order_id] = (side, ticks, lots)

    def take_trade(self, ts_ms: int, message: Json) -> None:
        ticks, lots = ticks_of(message["price"]), lots_of(message["amount"])
        for at, side, where in self.vanished:
            if where == ticks and at >= ts_ms - 1000:
                self.unlisted[side, ticks] -= min(lots, max(0, self.unlisted[side, ticks]))
        self.vanished = [each for each in self.vanished if each[2] != ticks]

    def take_vendor(self, message: Json) -> None:
        for side, shown in enumerate(shown_by(message)):
            ours = self.book[side]
            worst = min(shown) if side == BUY else max(shown)
            inside = {t for t in ours if (t >= worst if side == BUY else t <= worst)}
            for ticks in shown.keys() | inside:
                have, want = ours.get(ticks, 0), shown.get(ticks, 0)
                if have != want and not any(had(book, side, ticks) == want for book in self.steps(side, ticks)):
                    self.unlisted[side, ticks] = want - self.listed_at(side, ticks)
        self.is_open = True

    def steps(self, side: int, ticks: int) -> Iterator[Book]:
        """Books of the last second that had something else at this level than the book after them."""
        books = [book for _, book in self.before] + [self.book]
        return (one for one, other in pairwise(books) if had(one, side, ticks) != had(other, side, ticks))


def had(book: Book, side: int, ticks: int) -> int:
    return book[side].get(ticks, 0)


def in_lots(book: Book) -> Book:
    """As the tape has it: dust below a lot is no level."""
    bids, asks = ({t: n // LOT_SATOSHIS for t, n in side.items() if n >= LOT_SATOSHIS} for side in book)
    return bids, asks


def shown_by(message: Json) -> Book:
    bids, asks = ({ticks_of(p): lots_of(n) for p, n in message[side]} for side in ("bids", "asks"))
    return bids, asks


class TapeBooks:
    """A dict of the tape's levels, packet by packet."""

    def __init__(self, tape: Tape) -> None:
        self.story, self.at = told(tape), 0
        self.book: Book = ({}, {})

    def until(self, ts_ms: int) -> Book:
        while self.at < len(self.story) and self.story[self.at][0] <= ts_ms - START_MS:
            _, kind, *sides = self.story[self.at]
            if kind == "SNAPSHOT":
                self.book = ({}, {})
            if kind in ("SNAPSHOT", "DEPTH"):
                for side, rows in enumerate(sides):
                    for ticks, lots in rows:
                        self.book[side][ticks] = lots
                        if lots == 0:
                            del self.book[side][ticks]
            self.at += 1
        return self.book


@pytest.mark.spec("M1", "X4")
def test_the_tape_is_the_book_that_adds_up_from_all_orders(tape: Tape, events: list[tuple[int, str, Json]]) -> None:
    twin, books, compared = Twin(), TapeBooks(tape), 0
    for number, (ts_ms, name, message) in enumerate(events[:12_000]):
        twin.take(ts_ms, name, message)
        is_last = events[number + 1][0] > ts_ms
        if is_last and twin.is_open and number % 3 == 0:
            assert books.until(ts_ms) == in_lots(twin.book), number + 1
            compared += 1
    assert compared == 3_989


@pytest.mark.spec("M1")
def test_the_tape_shows_the_vendors_twenty_levels(tape: Tape, events: list[tuple[int, str, Json]]) -> None:
    """Held against each order_book as it comes, before the tape learns from it: row by row."""
    books, rows, equal, whole, seen = TapeBooks(tape), 0, 0, 0, 0
    for ts_ms, name, message in events:
        if name != "order_book":
            continue
        book = books.until(ts_ms - 1)
        if seen:
            same = sum(
                had(book, s, t) == n // LOT_SATOSHIS
                for s, side in enumerate(shown_by(message))
                for t, n in side.items()
            )
            rows, equal, whole = rows + 40, equal + same, whole + (same == 40)
        seen += 1
    quality = tape.facts.quality
    assert (quality.vendor_rows, quality.vendor_rows_equal) == (200_400, 200_336)  # 99.97 %
    assert (rows, equal, whole) == (200_400, 200_335, 4_958)  # without events of the book's own millisecond
    assert (quality.revealed_levels, quality.corrected_levels, quality.crossed_books) == (29, 10, 0)


@pytest.mark.spec("M1")
def test_every_trade_is_there_and_the_younger_order_came(tape: Tape, events: list[tuple[int, str, Json]]) -> None:
    """In hindsight both orders of a trade are known: those that lost its size within a second on either side of it."""
    side_of: dict[tuple[int, int, int], list[int]] = {}
    for at, kind, *sides in told(tape):
        for side, rows in enumerate(sides) if kind == "TRADE" else []:
            for ticks, lots in rows:
                side_of.setdefault((at + START_MS, ticks, lots), []).append(side)
    recorded = [(ts, ticks_of(m["price"]), lots_of(m["amount"])) for ts, name, m in events if name == "trade"]
    cut = Counter((ts_ms, ticks, lots // LOT_SATOSHIS) for ts_ms, ticks, lots in recorded)
    assert cut == Counter({one: len(sides) for one, sides in side_of.items()})
    assert (len(recorded), sum(lots for *_, lots in recorded)) == (575, 84_765_711_841)  # 847.65711841 BTC
    assert sum(lots * len(sides) for (_, _, lots), sides in side_of.items()) == 8_476_571_049
    assert sum(sides.count(BUY) for sides in side_of.values()) == 306
    falls: list[tuple[int, int, int, int, int | None]] = []
    had_lots: dict[int, int] = {}
    for ts_ms, name, m in events:
        if name in ("order_created", "order_changed", "order_deleted"):
            left, order_id = lots_of(m["amount"]), m["id"]
            if name == "order_changed" or left == 0:
                lost = had_lots[order_id] - left if order_id in had_lots else None
                falls.append((ts_ms, order_id, m["order_type"], ticks_of(m["price"]), lost))
            had_lots[order_id] = left
    both = alone = 0
    for ts_ms, ticks, lots in recorded:
        near = [fall for fall in falls if abs(fall[0] - ts_ms) <= 1000]
        parties = [fall for fall in near if fall[4] == lots or (fall[4] is None and fall[3] == ticks)]
        *_, side, price, _ = max(parties, key=lambda fall: fall[1])
        if {fall[2] for fall in parties} == {BUY, SELL}:
            both += side_of[ts_ms, ticks, lots // LOT_SATOSHIS] == [side]
        else:  # of the other order, several trades were told at once: this one rested at the trade's price
            alone += side_of[ts_ms, ticks, lots // LOT_SATOSHIS] == [1 - side] and price == ticks
    assert (both, alone) == (569, 6)
    assert tape.facts.quality.assumed_sides == 0


@pytest.mark.spec("M1")
def test_the_orders_are_those_of_the_csv_beside_the_recording(tape: Tape) -> None:
    with lzma.open(shared_data(FOLDER) / "orders.csv.xz", "rt") as file:
        beside = sorted(
            (int(row["id"]), int(row["timestamp"]), f"order_{row['action']}", row["direction"],
             ticks_of(row["price"]), int(float(row["volume"])))
            for row in csv.DictReader(file)
        )  # fmt: skip
    ours = sorted(
        (event.id, event.ts_ms, event.name, ("bid", "ask")[event.side], *event.rows[0])
        for event in LogFile(recording()).events(tape.facts.listing.tick_size)
        if event.side >= 0
    )
    assert [row[:-1] for row in ours] == [row[:-1] for row in beside]
    cut = Counter(mine[-1] - theirs[-1] for mine, theirs in zip(ours, beside, strict=True))
    assert cut == {0: 46_348, 1: 4_066}  # theirs were floats, and cut
    actions = Counter(row[2] for row in ours)
    assert actions == {"order_created": 24_894, "order_changed": 602, "order_deleted": 24_918}


# --- damage ------------------------------------------------------------------------------------------------------
def damaged(text: bytes, chance: random.Random) -> bytes:
    """Bytes flipped, lines cut, swapped or doubled."""
    lines = text.splitlines(keepends=True)
    at = chance.randrange(len(lines))
    what = chance.randrange(5)
    if what == 0:
        spoilt = bytearray(lines[at])
        spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        lines[at] = bytes(spoilt)
    elif what == 1:
        lines[at] = lines[at][: chance.randrange(len(lines[at]))]
    elif what == 2:
        lines[at], lines[at - 1] = lines[at - 1], lines[at]
    elif what == 3:
        lines.insert(at, lines[at])
    else:
        del lines[at]
    return b"".join(lines)


def fate(path: Path, catalog: Path) -> str:
    try:
        tape = of_file(path, catalog)
    except UserError as refused:
        return "refused" if path.name in refused.message else f"refused without its file: {refused.message}"
    assert (np.diff(tape.packets["ts_local_ns"]) >= 0).all()
    assert tape.levels["lots"].min() >= 0
    return "taken"


@pytest.mark.spec("M1")
def test_damage_is_refused_or_harmless_and_never_a_crash(tmp_path: Path) -> None:
    chance = random.Random(1)
    outcomes: Counter[str] = Counter()
    with lzma.open(recording(), "rb") as file:
        head = b"".join(next(file) for _ in range(400))
    for number in range(150):
        path = tmp_path / f"{number}.log"
        path.write_bytes(damaged(head, chance))
        outcomes[fate(path, tmp_path / f"{number}")] += 1
    assert set(outcomes) == {"refused", "taken"}
    assert min(outcomes.values()) > 20
