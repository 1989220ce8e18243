"""Five recorded hours of Bitstamp, against its own 20 levels, the csv beside it, a slow book, hindsight and damage."""

import csv
import json
import lzma
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from elegant_trading_system.data.importers.bitstamp_wire import LogFile
from elegant_trading_system.data.tape import Tape
from elegant_trading_system.errors import UserError
from tests.shared_data import shared_data

from .bitstamp_files import (
    BUY,
    FOLDER,
    LOT_SATOSHIS,
    SELL,
    START_MS,
    Json,
    TapeBooks,
    Twin,
    had,
    in_lots,
    lots_of,
    of_file,
    recording,
    shown_by,
    ticks_of,
    told,
)  # fmt: skip


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    return of_file(recording(), tmp_path_factory.mktemp("bitstamp"))


@pytest.fixture(scope="module")
def events() -> list[tuple[int, str, Json]]:
    with lzma.open(recording(), "rt") as file:
        parts = (text.split(" ", 2) for text in file)
        return [(int(stamp), name, json.loads(text)) for stamp, name, text in parts]


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
    assert (rows, equal, whole) == (200_400, 200_336, 4_958)  # without events of the book's own millisecond
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
