"""Five hours of Bitstamp order events: the book they make is the venue's, and every trade has its taker."""

import gzip
import json
import lzma
import random
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from elegant_trading_system.core.kinds import Kind
from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.tape import Tape
from elegant_trading_system.errors import UserError
from tests.shared_data import shared_data

BTC = 10_000_000  # lots
MS = 1_430_438_404_000
BOOK = {"bids": [["236.40", "1.0"], ["236.30", "2.0"]], "asks": [["236.50", "0.5"], ["236.60", "3.0"]]}
Told = list[tuple[int, str, list[tuple[int, int]], list[tuple[int, int]]]]


def order(event: str, order_id: int, side: int, price: str, amount: str) -> tuple[str, Any]:
    return event, {"price": price, "amount": amount, "datetime": "1430438404", "id": order_id, "order_type": side}


def trade(price: str, amount: str) -> tuple[str, Any]:
    return "trade", {"price": float(price), "amount": float(amount), "id": 1}


def written(folder: Path, events: list[tuple[str, Any]], step_ms: int = 10) -> Path:
    path = folder / "day.log"
    lines = [f"{MS + step_ms * n} {name} {json.dumps(body)}" for n, (name, body) in enumerate(events)]
    path.write_text("\n".join(lines) + "\n")
    return path


def imported(path: Path, catalog: Path) -> Tape:
    import_paths("bitstamp", [path], catalog)
    [tape] = Catalog(catalog).tapes()
    return tape


def told(tape: Tape) -> Told:
    """(ms since the first line, kind, buy rows, sell rows) of every packet that is no heartbeat."""
    found = []
    levels: list[tuple[int, int]] = [(int(ticks), int(lots)) for ticks, lots in tape.levels.tolist()]
    for packet in tape.packets:
        begin, middle = int(packet["level_begin"]), int(packet["level_begin"] + packet["buy_count"])
        rows = levels[begin:middle], levels[middle : middle + int(packet["sell_count"])]
        if any(rows):
            found.append((int(packet["ts_local_ns"]) // 1_000_000 - MS, Kind(int(packet["kind"])).name, *rows))
    return found


# --- by hand --------------------------------------------------------------------------------------------------------
@pytest.mark.spec("M1")
def test_orders_become_levels_and_a_taker_is_none_until_it_rests(tmp_path: Path) -> None:
    events = [
        ("order_book", BOOK),
        order("order_created", 7, 0, "236.40", "0.25"),  # joins the best bid
        order("order_created", 8, 0, "236.50", "0.75"),  # takes the best ask, a half; a quarter stays
        order("order_changed", 8, 0, "236.50", "0.25"),
        order("order_deleted", 3, 1, "236.50", "0.0"),  # an order from before the recording
        trade("236.50", "0.5"),
        order("order_deleted", 7, 0, "236.40", "0.25"),
    ]
    assert told(imported(written(tmp_path, events), tmp_path / "cat")) == [
        (0, "SNAPSHOT", [(23640, BTC), (23630, 2 * BTC)], [(23650, BTC // 2), (23660, 3 * BTC)]),
        (10, "DEPTH", [(23640, BTC + BTC // 4)], []),
        (50, "DEPTH", [(23650, BTC // 4)], [(23650, 0)]),
        (50, "TRADE", [(23650, BTC // 2)], []),
        (60, "DEPTH", [(23640, BTC)], []),
    ]


def test_one_millisecond_is_one_packet_of_levels(tmp_path: Path) -> None:
    events = [
        ("order_book", BOOK),
        order("order_created", 7, 0, "236.35", "1"),
        order("order_created", 8, 1, "236.55", "2"),
    ]
    path = written(tmp_path, events, step_ms=0)
    path.write_text(
        path.read_text() + f"{MS + 5} order_deleted " + json.dumps(order("", 7, 0, "236.35", "1")[1]) + "\n"
    )
    kinds = [(at, kind, len(buys), len(sells)) for at, kind, buys, sells in told(imported(path, tmp_path / "cat"))]
    assert kinds == [(0, "SNAPSHOT", 3, 3), (5, "DEPTH", 1, 0)]


def test_a_level_the_venue_shows_beyond_what_we_know_is_revealed_and_counted(tmp_path: Path) -> None:
    deeper = {"bids": [*BOOK["bids"], ["236.20", "4.0"]], "asks": BOOK["asks"]}
    tape = imported(written(tmp_path, [("order_book", BOOK), ("order_book", deeper)]), tmp_path / "cat")
    assert told(tape)[1:] == [(10, "DEPTH", [(23620, 4 * BTC)], [])]
    assert tape.facts.quality.revealed_levels == 1


def test_the_venue_is_believed_when_it_contradicts_us_twice(tmp_path: Path) -> None:
    created = order("order_created", 7, 0, "236.35", "1")
    events = [("order_book", BOOK), created, ("order_book", BOOK), ("order_book", BOOK)]
    tape = imported(written(tmp_path, events), tmp_path / "cat")
    assert told(tape)[1:] == [(10, "DEPTH", [(23635, BTC)], []), (30, "DEPTH", [(23635, 0)], [])]
    assert tape.facts.quality.corrected_levels == 1


def test_a_trade_without_its_orders_is_put_on_the_nearer_side_and_counted(tmp_path: Path) -> None:
    events = [("order_book", BOOK), trade("236.50", "0.1"), trade("236.40", "0.1")]
    tape = imported(written(tmp_path, events), tmp_path / "cat")
    assert told(tape)[1:] == [(10, "TRADE", [(23650, BTC // 10)], []), (20, "TRADE", [], [(23640, BTC // 10)])]
    assert tape.facts.quality.guessed_sides == 2


def test_dust_of_floating_point_is_the_nearest_tick_and_what_is_finer_than_a_lot_is_cut(tmp_path: Path) -> None:
    line = order("order_created", 7, 0, "236.30000000000001", "1.7885566900000001")
    tape = imported(written(tmp_path, [("order_book", BOOK), line]), tmp_path / "cat")
    assert told(tape)[1:] == [(10, "DEPTH", [(23630, 2 * BTC + 17885566)], [])]


@pytest.mark.parametrize(
    "line, says",
    [
        (f"{MS - 1} trade {{}}", "2: time goes backwards by 1 ms|2: trade: Object missing required field"),
        (f"{MS + 1} order_amended {{}}", "2: unknown event 'order_amended'"),
        ("soon trade {}", "2: b'soon' is no time in ms"),
        (f"{MS + 1} trade {{'price': 1", "2: trade: JSON is malformed"),
        (f'{MS + 1} trade {{"id": 1, "price": -3, "amount": 1}}', "2: -3 is out of range"),
        (f'{MS + 1} trade {{"id": 1, "price": 236.401, "amount": 1}}', "2: price 236.401 is no multiple of 0.01"),
        (f'{MS + 1} trade {{"id": 1, "price": 236.4, "amount": 1e11}}', "2: 236.4 x 1E\\+11 is too large"),
        (f'{MS + 1} order_created {{"id": 1, "price": "236.4", "amount": "1", "order_type": 2}}', "order_type 2"),
    ],
)
def test_a_damaged_line_is_refused_with_its_place(tmp_path: Path, line: str, says: str) -> None:
    path = written(tmp_path, [("order_book", BOOK)])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UserError, match=says):
        imported(path, tmp_path / "cat")
    assert not list((tmp_path / "cat").rglob("tape.json"))


def test_a_recording_without_a_book_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no order_book in it"):
        imported(written(tmp_path, [trade("236.50", "0.1")]), tmp_path / "cat")


def test_a_packed_file_is_read_and_a_truncated_one_refused(tmp_path: Path) -> None:
    text = written(tmp_path, [("order_book", BOOK), trade("236.50", "0.1")]).read_bytes()
    for suffix, pack in ((".gz", gzip.compress), (".xz", lzma.compress)):
        whole, half = tmp_path / f"whole.log{suffix}", tmp_path / f"half.log{suffix}"
        whole.write_bytes(pack(text))
        half.write_bytes(pack(text)[:-12])
        assert len(told(imported(whole, tmp_path / f"cat{suffix}"))) == 2
        with pytest.raises(UserError, match="truncated or damaged"):
            imported(half, tmp_path / f"half{suffix}")


# --- the recording ----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def recording() -> Path:
    return shared_data("bitstamp-l3-20150501") / "2015-05-01.log.xz"


@pytest.fixture(scope="module")
def tape(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Tape:
    return imported(recording, tmp_path_factory.mktemp("bitstamp"))


def raw(recording: Path) -> list[tuple[int, str, Any]]:
    lines = (line.split(" ", 2) for line in lzma.decompress(recording.read_bytes()).decode().splitlines())
    return [(int(stamp), name, json.loads(text)) for stamp, name, text in lines]


@pytest.mark.spec("M1")
@pytest.mark.spec("X4")
def test_the_venues_own_levels_are_ours_at_every_order_book_of_five_hours(recording: Path, tape: Tape) -> None:
    """At each of 5,010 order_books 40 levels; they differ where the venue's page and its orders disagree."""
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    packets, levels, stamps = tape.packets, tape.levels, tape.packets["ts_local_ns"]
    done = equal = rows = 0
    for ts_ms, book in [(ts, event) for ts, name, event in raw(recording) if name == "order_book"]:
        until = int(np.searchsorted(stamps, ts_ms * 1_000_000, "right"))
        for packet in packets[done:until]:
            if packet["kind"] != Kind.TRADE:
                begin, middle = int(packet["level_begin"]), int(packet["level_begin"] + packet["buy_count"])
                bounds = (begin, middle), (middle, middle + int(packet["sell_count"]))
                for side, (low, high) in zip(sides, bounds, strict=True):
                    side.update((int(row["price_ticks"]), int(row["lots"])) for row in levels[low:high])
        done = until
        for name, side in zip(("bids", "asks"), sides, strict=True):
            shown = {round(Decimal(price) * 100): int(round(Decimal(amount), 8) * BTC) for price, amount in book[name]}
            edge = min(shown) if name == "bids" else -max(shown)
            sign = 1 if name == "bids" else -1
            ours = {ticks for ticks, lots in side.items() if lots > 0 and sign * ticks >= edge}
            equal += sum(side.get(ticks, 0) == lots for ticks, lots in shown.items())
            rows += len(ours | set(shown))
    assert (rows, rows - equal) == (200_485, 63)


@pytest.mark.spec("X4")
def test_every_trade_is_on_the_tape_and_most_with_the_taker_its_orders_name(recording: Path, tape: Tape) -> None:
    trades = [event for _, name, event in raw(recording) if name == "trade"]
    packets = tape.packets[tape.packets["kind"] == Kind.TRADE]
    rows = np.concatenate(
        [np.arange(p["level_begin"], p["level_begin"] + p["buy_count"] + p["sell_count"]) for p in packets]
    )
    lots = sorted(int(Decimal(str(event["amount"])) * BTC) for event in trades[1:])  # one before the first book
    assert sorted(tape.levels["lots"][rows].tolist()) == lots
    assert (len(trades), tape.facts.quality.trades, tape.facts.quality.guessed_sides) == (575, 574, 25)


def test_the_events_are_those_of_the_other_copy(recording: Path) -> None:
    with lzma.open(recording.parent / "orders.csv.xz") as file:
        other = pl.read_csv(file.read())
    counts = dict(other["action"].value_counts().iter_rows())
    names = [name.removeprefix("order_") for _, name, _ in raw(recording)]
    assert {name: names.count(name) for name in ("created", "changed", "deleted")} == counts


@pytest.mark.spec("M1")
def test_nothing_is_crossed_and_what_was_mended_is_counted(tape: Tape) -> None:
    quality = tape.facts.quality
    assert (quality.crossed_books, quality.revealed_levels, quality.corrected_levels) == (0, 61, 34)
    assert np.all(np.diff(tape.packets["ts_local_ns"]) >= 0)


def test_damage_anywhere_is_refused_or_read_but_never_a_crash(recording: Path, tmp_path: Path) -> None:
    text = b"".join(lzma.decompress(recording.read_bytes()).splitlines(keepends=True)[:200])
    rng = random.Random(4)
    for n in range(150):
        spoiled = bytearray(text)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(spoiled))
            spoiled[at : at + rng.randint(0, 3)] = bytes(rng.randrange(256) for _ in range(rng.randint(0, 3)))
        path = tmp_path / f"{n}.log"
        path.write_bytes(bytes(spoiled))
        with suppress(UserError):
            assert len(imported(path, tmp_path / f"cat{n}").packets) > 0
