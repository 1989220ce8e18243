"""One message in a hundred lost on each of two connections: the book is the venue's after every packet."""

import json
import random
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elegant_trading_system.core.kinds import BookState, Kind, Side
from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.shell.sequencer import Sequencer
from tests.shared_data import shared_data

from ..builders import loose
from .desk import Clock, Outside, Venue
from .test_recorded_frames import feed_of, lines

LOSS = 0.01
Sides = tuple[dict[int, int], dict[int, int]]


def copied(sides: Sides) -> Sides:
    return dict(sides[0]), dict(sides[1])


class Losing:
    """Passes 99 depth messages in a hundred on, and remembers which it kept to itself."""

    def __init__(self, seed: object) -> None:
        self.chance = random.Random(f"{seed}")
        self.lost: set[int] = set()

    def passes(self, last_id: int) -> bool:
        if self.chance.random() < LOSS:
            self.lost.add(last_id)
            return False
        return True


def after_each(sequencer: Sequencer, look: Callable[[Any], None]) -> None:
    """Show every event, however it came, once the core has taken it."""
    step = sequencer._step

    def stepped(*args: Any) -> tuple[int, int]:
        found = step(*args)
        look(sequencer.journal.packets[sequencer.journal.position - 1].copy())
        return found

    sequencer._step = stepped


@pytest.mark.spec("M2")
@pytest.mark.parametrize("seed", range(6))
def test_the_book_equals_the_venue_s_after_every_packet(seed: int, tmp_path: Path) -> None:
    venue = Venue(Clock())
    outside = Outside(venue, loose(), tmp_path)
    published: dict[int, Sides] = {}  # by the venue's stamp, ns
    compared = 0

    def checked(packet: Any) -> None:
        nonlocal compared
        if packet["kind"] == Kind.DEPTH:
            assert outside.book() == published[int(packet["ts_venue_ns"])], f"after {compared} packets"
            compared += 1
        elif packet["kind"] == Kind.SNAPSHOT:
            assert outside.book() == venue.exchange.books["BTCUSDT"].sides

    after_each(outside.sequencer, checked)
    losing = Losing(f"{seed} 0"), Losing(f"{seed} 1")
    chance, late = random.Random(seed), deque[str]()

    def is_kept(connection: int, frame: str) -> bool:
        data = json.loads(frame)["data"]
        return data["e"] != "depthUpdate" or losing[connection].passes(data["u"])

    def held(frame: str) -> bool:
        late.extend([frame] if is_kept(1, frame) else [])
        return False

    outside.listen(0, lambda frame: is_kept(0, frame))
    outside.listen(1, held)
    assert outside.snapshot()
    for n in range(4000):
        ticks = chance.randrange(12)
        venue.depth([(600_000 - ticks, chance.randrange(5) * 10)], [(600_001 + ticks, chance.randrange(5) * 10)])
        if chance.random() < 0.2:
            venue.trade(600_000, 1 + n % 5, Side.BUY)
        venue.clock.pass_ms(50)
        published[venue.clock() // 1_000_000 * 1_000_000] = copied(venue.exchange.books["BTCUSDT"].sides)
        venue.flush()
        while len(late) > chance.randrange(5):  # the second is up to four messages behind
            outside.feed.hear(1, late.popleft())
        outside.feed.check_holes(venue.clock())
        if outside.wanted:
            outside.wanted.clear()
            assert outside.snapshot()
    outside.journal.close()
    both = losing[0].lost & losing[1].lost
    assert min(len(one.lost) for one in losing) > 20, "it loses enough to mean something"
    assert outside.listing.depth.repaired > 20
    assert outside.feed.counts["gaps"] == len(both)
    assert outside.feed.counts["snapshots"] == 1 + len(both), "a snapshot only for what both lost"
    assert compared > 3900
    assert outside.feed.counts["refused"] == 0


# --- recorded frames --------------------------------------------------------------------------------------------
class Book:
    """The venue's book in dicts, level by level as it says."""

    def __init__(self, tick: Decimal, lot: Decimal) -> None:
        self.tick, self.lot = tick, lot
        self.sides: Sides = ({}, {})

    def rows(self, texts: list[list[str]]) -> list[tuple[int, int]]:
        return [(int(Decimal(price) / self.tick), int(Decimal(size) / self.lot)) for price, size in texts]

    def apply(self, rows: tuple[list[tuple[int, int]], list[tuple[int, int]]]) -> None:
        for s in (0, 1):
            for ticks, lots in rows[s]:
                self.sides[s].pop(ticks, None)
                if lots:
                    self.sides[s][ticks] = lots

    def body(self, last_id: int) -> bytes:
        """As REST would give it."""
        bids, asks = ([[str(t * self.tick), str(n * self.lot)] for t, n in side.items()] for side in self.sides)
        return json.dumps({"lastUpdateId": last_id, "bids": bids, "asks": asks}).encode()


def assert_same(sequencer: Sequencer, sides: Sides, touched: Any, *, is_whole: bool) -> None:
    """Touch and changed levels; from time to time all the window covers."""
    book = sequencer.market[0]["books"][0]
    assert int(book["state"]) == BookState.LIVE
    for s, sign, best in ((0, 1, max), (1, -1, min)):
        lots, low_x = sequencer.books[0]["lots"][0, s], int(book["low_x"][s])
        assert int(book["best_x"][s]) * sign == best(sides[s])
        for ticks, _ in touched[s]:
            if low_x <= sign * ticks < low_x + len(lots):
                assert int(lots[sign * ticks % len(lots)]) == sides[s].get(ticks, 0)
        if is_whole:
            expected = np.zeros_like(lots)
            for ticks, n in sides[s].items():
                if low_x <= sign * ticks < low_x + len(lots):
                    expected[sign * ticks % len(lots)] = n
            assert (lots == expected).all()


class Recording:
    """A recorded stream over two connections that lose, and REST answers where a snapshot is needed."""

    def __init__(self, path: Path, folder: Path, seed: int) -> None:
        import_paths("binance-capture", [path], folder / "catalog")
        [tape] = Catalog(folder / "catalog").tapes()
        spec = tape.facts.listing
        self.path, self.clock = path, Clock()
        self.feed, self.journal = feed_of(tape, self.clock, folder)
        self.wanted: list[str] = []
        self.feed.want_snapshot = self.wanted.append
        self.theirs, self.ours = Book(spec.tick_size, spec.lot_size), Book(spec.tick_size, spec.lot_size)
        self.due: deque[tuple[int, Any]] = deque()  # told by the venue, not yet applied by us
        self.compared, self.last_id = 0, -1
        self.losing = Losing(f"{seed} 0"), Losing(f"{seed} 1")
        self.late: deque[tuple[int, bytes]] = deque()
        after_each(self.feed.sequencer, self.checked)

    def checked(self, packet: Any) -> None:
        if packet["kind"] == Kind.DEPTH:
            _, rows = self.due.popleft()
            self.ours.apply(rows)
            self.compared += 1
            assert_same(self.feed.sequencer, self.ours.sides, rows, is_whole=self.compared % 100 == 0)

    def snapshot(self, body: bytes, snapshot_id: int) -> None:
        """What was told before it came and is not in it is applied on top."""
        self.ours.sides = copied(self.theirs.sides)
        while self.due and self.due[0][0] <= snapshot_id:
            self.due.popleft()
        assert self.feed.hear_snapshot("BTCUSDT", body)
        self.wanted.clear()

    def recorded_snapshot(self, text: bytes) -> None:
        message = json.loads(text)
        self.last_id = message["lastUpdateId"]
        self.theirs.sides = ({}, {})
        self.theirs.apply((self.theirs.rows(message["bids"]), self.theirs.rows(message["asks"])))
        told = [(n, rows) for n, rows in self.due if n > self.last_id]
        self.snapshot(text, self.last_id)
        for n, rows in told:
            self.theirs.apply(rows)
            self.last_id = n

    def depth(self, text: bytes) -> list[bool]:
        """The venue's book moves; which connection brings it?"""
        data = json.loads(text)["data"]
        if data["u"] > self.last_id:
            rows = self.theirs.rows(data["b"]), self.theirs.rows(data["a"])
            self.due.append((data["u"], rows))
            if self.last_id >= 0:
                self.theirs.apply(rows)
                self.last_id = data["u"]
        return [one.passes(data["u"]) for one in self.losing]

    def run(self) -> None:
        for ts_ns, text in lines(self.path):
            self.clock.ns = ts_ns
            while self.late and self.late[0][0] < ts_ns - 300_000_000:
                self.feed.hear(1, self.late.popleft()[1])
            if text.startswith(b'{"lastUpdateId"'):
                self.recorded_snapshot(text)
                continue
            kept = self.depth(text) if b'"depthUpdate"' in text else [True, True]
            if kept[0]:
                self.feed.hear(0, text)
            if kept[1]:
                self.late.append((ts_ns, text))
            self.feed.check_holes(ts_ns)
            if self.wanted and self.last_id >= 0:
                self.snapshot(self.theirs.body(self.last_id), self.last_id)


@pytest.mark.spec("M2")
@pytest.mark.parametrize("seed", range(2))
def test_recorded_frames_with_losses_give_the_recorded_book_after_every_packet(seed: int, tmp_path: Path) -> None:
    recording = Recording(shared_data("hftbacktest-20240808") / "spot_btcusdt_20240808.gz", tmp_path, seed)
    try:
        recording.run()
    finally:
        recording.journal.close()
    counts, losing = recording.feed.counts, recording.losing
    assert min(len(one.lost) for one in losing) > 20
    assert counts["gaps"] <= len(losing[0].lost & losing[1].lost)
    assert (counts["refused"], counts["crossed"]) == (0, 0)
    assert recording.compared > 1_000
