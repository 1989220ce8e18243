"""`ets record`: what venues' feeds bring is in the catalog, all of it, however the recording ended."""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import numpy as np
import pytest

from elegant_trading_system import cli
from elegant_trading_system.cli_emulator import Scene, addresses, embedded
from elegant_trading_system.core.kinds import BookState, Kind, Side
from elegant_trading_system.data import journal, recording
from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.decimals import Grid
from elegant_trading_system.data.journal import Journal
from elegant_trading_system.data.merge import book_after, merge
from elegant_trading_system.data.tape import ListingSpec, Tape, TapeFacts
from elegant_trading_system.data.universe import build
from elegant_trading_system.emulator.embedded import DVOL, OPENERS
from elegant_trading_system.emulator.faults import Faults
from elegant_trading_system.errors import UserError
from elegant_trading_system.shell.binance.feed import BinanceFeed, Listing
from elegant_trading_system.shell.hosts import link_to
from elegant_trading_system.shell.live import wall_ns
from elegant_trading_system.shell.recorder import Recorder, Recording
from elegant_trading_system.sim import backtest

from ..builders import loose
from .desk import Clock, Venue

ROOT = Path(__file__).parents[2]
ETS = [sys.executable, "-m", "elegant_trading_system"]
PATIENCE_S = 120.0


def silent(_text: str, _share: float) -> None:
    pass


def market_tape(catalog: Path, venue: str = "binance") -> Tape:
    return next(tape for tape in Catalog(catalog).tapes(venues=[venue]) if not tape.facts.quality.bars)


def book_of(tape: Tape) -> tuple[dict[int, int], dict[int, int]]:
    sides = book_after(tape, tape.facts.packets)
    assert sides is not None, "the recording ended without a book"
    bids, asks = ({int(row["price_ticks"]): int(row["lots"]) for row in side} for side in sides)
    return bids, asks


class Desk:
    """A venue, two lossy connections and a recorder, joined by function calls."""

    def __init__(self, catalog: Path, clock: Clock, losses: float = 0.0) -> None:
        self.clock, self.catalog, self.chance = clock, catalog, random.Random(1)
        self.venue, self.losses = Venue(clock), losses
        self.folder = catalog / f"{recording.PREFIX}{clock()}"
        self.journal = Journal(self.folder / "journal")
        recording.begin(self.folder, [self.venue.spec], "test")
        config = loose()
        universe = build([self.venue.spec], config)
        recorder = Recorder(universe, config, self.journal, clock, lambda _command: None)
        self.wanted: list[str] = []
        grid = Grid.of(self.venue.spec.tick_size, self.venue.spec.lot_size)
        self.feed = BinanceFeed(recorder, [Listing(0, "BTCUSDT", grid)], self.wanted.append)
        for connection in (0, 1):
            self.venue.binance.streams.open_market(self._line(connection), "/stream", self.feed.streams())
            self.feed.hear_up(connection)

    def _line(self, connection: int) -> Any:
        def hear(frame: str) -> None:
            if self.chance.random() >= self.losses:
                self.feed.hear(connection, frame)

        return hear

    def live(self, steps: int) -> None:
        for n in range(steps):
            self.clock.pass_ms(100)
            ticks = 600_000 + self.chance.randrange(-30, 31)
            side = [(ticks, self.chance.randrange(5))]
            self.venue.depth(side if ticks <= 600_000 else [], side if ticks > 600_000 else [])
            self.venue.trade(600_001, 1 + n % 3, Side.BUY)
            self.venue.flush()
            self.feed.check_holes(self.clock())
            while self.wanted:
                query = "symbol=BTCUSDT&limit=1000"
                body = self.venue.binance.http("GET", "/api/v3/depth", query, "", {}).body
                assert self.feed.hear_snapshot(self.wanted.pop(), body)

    def settle(self) -> None:
        """A second without losses: what is still missing is found to be, and repaired."""
        self.losses = 0.0
        self.live(20)

    def publish(self) -> list[TapeFacts]:
        self.journal.close()
        return recording.publish(self.folder, self.catalog, silent)


@pytest.mark.spec("M2", "M4")
@pytest.mark.parametrize("losses", [0.0, 0.02, 0.3])
def test_the_book_of_the_tape_is_the_venue_s_and_what_both_connections_lost_is_counted(
    tmp_path: Path, losses: float
) -> None:
    desk = Desk(tmp_path, Clock(), losses)
    desk.live(400)
    desk.settle()
    [facts] = desk.publish()
    tape = market_tape(tmp_path)
    assert book_of(tape) == desk.venue.exchange.books["BTCUSDT"].sides
    quality = facts.quality
    assert quality.sequence_gaps == desk.feed.counts["gaps"]
    assert quality.crossed_books == 0
    assert quality.trades == 420 - desk.feed.counts["lost_trades"] - (desk.feed.counts["refused"])
    assert quality.snapshots == 1 + quality.sequence_gaps
    if losses == 0.0:
        assert (quality.sequence_gaps, quality.trades, quality.depth_packets) == (0, 420, 419)
    elif losses == 0.3:
        assert quality.sequence_gaps > 0
    assert not desk.folder.exists()


def test_two_recordings_of_one_catalog_are_one_market_with_a_hole_between_them(tmp_path: Path) -> None:
    clock = Clock()
    first = Desk(tmp_path, clock)
    first.live(50)
    first.publish()
    clock.pass_ms(60_000)
    second = Desk(tmp_path, clock)
    second.live(50)
    second.publish()
    merged = merge(Catalog(tmp_path).tapes())
    assert len(merged.listings) == 1
    statuses = merged.packets[merged.packets["kind"] == Kind.STATUS]
    assert statuses["code"].tolist() == [BookState.RESYNC, BookState.RESYNC], "no book goes on from the tape before"


@pytest.mark.spec("X1")
def test_publishing_again_after_a_crash_in_the_middle_of_it_gives_the_same_tapes(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "one", Clock())
    desk.live(30)
    desk.journal.close()
    kept = tmp_path / "kept"
    subprocess.run(["cp", "-r", str(desk.folder), str(kept)], check=True)
    before = recording.publish(desk.folder, desk.catalog, silent)
    after = recording.publish(kept, desk.catalog, silent)
    assert [facts.digest for facts in after] == [facts.digest for facts in before]
    assert len(Catalog(desk.catalog).tapes()) == 1


def test_a_recording_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Clock())
    with recording.held(desk.folder):
        assert recording.left_behind(tmp_path) == []
        with pytest.raises(UserError, match="is being recorded"), recording.held(desk.folder):
            pass
    assert recording.left_behind(tmp_path) == [desk.folder]
    desk.journal.close()


def test_a_disk_that_fills_up_ends_the_recording_and_loses_nothing_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        journal, "PARTS", tuple((n, d, min(c, 200) if n == "packets" else c) for n, d, c in journal.PARTS)
    )
    monkeypatch.setattr(journal, "SEGMENT_PACKETS", 200)
    desk = Desk(tmp_path, Clock())

    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match="No space left on device"):
        desk.live(300)
    [facts] = desk.publish()
    assert facts.packets == 200 + 1, "and the opening"


def test_a_folder_that_is_no_recording_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(UserError, match="no recording"):
        recording.publish(tmp_path / "x", tmp_path, silent)


# --- over sockets -----------------------------------------------------------------------------------------------
class Witness:
    """Somebody else who listens to the same streams and keeps every message."""

    def __init__(self) -> None:
        self.diffs: list[Any] = []
        self.trades: list[Any] = []

    async def listen(self, http: aiohttp.ClientSession, host: str, heard: asyncio.Event) -> None:
        url = f"ws://{host}/stream?streams=btcusdt@depth@100ms/btcusdt@trade"
        async with http.ws_connect(url) as socket:
            async for message in socket:
                data = msgspec.json.decode(message.data)["data"]
                (self.trades if data["e"] == "trade" else self.diffs).append(data)
                heard.set()


async def record_beside_a_witness(folder: Path, seconds: float) -> tuple[Witness, Recording]:
    """The witness hears before the recording begins and after it has ended."""
    witness, heard = Witness(), asyncio.Event()
    place = embedded(Scene("", ["BTC"], 1, 0.0, 180, []), ["binance", "deribit"], 0.0)
    async with place.serve(wall_ns, Faults({}, 0)) as doors, aiohttp.ClientSession() as http:
        watching = asyncio.create_task(witness.listen(http, doors[0].host, heard))
        await heard.wait()
        live = Recording([link_to(door.venue, addresses(door), wall_ns) for door in doors], loose(), folder)
        await live.run(seconds, lambda run: recording.begin(folder, run.known.listings, "test"))
        await asyncio.sleep(0.5)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    return witness, live


def pairs(levels: list[list[str]], spec: ListingSpec) -> list[tuple[int, int]]:
    return [(int(Decimal(p) / spec.tick_size), int(Decimal(q) / spec.lot_size)) for p, q in levels]


@pytest.mark.spec("M2", "M4", "X1")
def test_a_recording_over_sockets_misses_nothing_that_another_listener_heard(tmp_path: Path) -> None:
    folder = tmp_path / f"{recording.PREFIX}1"
    witness, live = asyncio.run(record_beside_a_witness(folder, 8.0))
    assert live.counts() == {"gaps": 0, "lost_trades": 0, "refused": 0}
    recording.publish(folder, tmp_path, silent)
    tape = market_tape(tmp_path)
    packets, levels, spec = tape.packets, tape.levels, tape.facts.listing
    packets["ts_venue_ns"] -= tape.facts.quality.clock_offset_ns
    trades = packets[packets["kind"] == Kind.TRADE]
    heard = [(t["T"], *pairs([[t["p"], t["q"]]], spec)[0]) for t in witness.trades]
    ours = [(int(p["ts_venue_ns"]) // 1_000_000, *levels[p["level_begin"]].tolist()) for p in trades]
    assert [t["t"] for t in witness.trades] == list(range(witness.trades[0]["t"], witness.trades[-1]["t"] + 1))
    assert ours, "nothing was traded"
    at = heard.index(ours[0])
    assert ours == heard[at : at + len(ours)], "every print, in order, once"

    bids, asks = dict[int, int](), dict[int, int]()
    sides = book_after(tape, int(np.flatnonzero(packets["kind"] == Kind.SNAPSHOT)[0]) + 1)
    assert sides is not None
    for side, rows in ((bids, sides[0]), (asks, sides[1])):
        side.update((int(row["price_ticks"]), int(row["lots"])) for row in rows)
    depth = packets[packets["kind"] == Kind.DEPTH]
    stamps = [int(p["ts_venue_ns"]) // 1_000_000 for p in depth]
    told = [diff for diff in witness.diffs if stamps[0] <= diff["E"] <= stamps[-1]]
    assert [diff["E"] for diff in told] == stamps, "every change of the book, in order, once"
    for diff in told:
        for side, key in ((bids, "b"), (asks, "a")):
            side.update(pairs(diff[key], spec))
    kept = ({k: v for k, v in bids.items() if v}, {k: v for k, v in asks.items() if v})
    assert book_of(tape) == kept, "the book at the end"
    assert any(tape.facts.listing.kind == "volatility" for tape in Catalog(tmp_path).tapes())
    assert all(tape.facts.source == "recorded from test" for tape in Catalog(tmp_path).tapes())


@pytest.mark.spec("M2", "X1")
def test_a_recording_killed_in_the_middle_is_published_by_the_next_and_can_be_traded(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog"
    command = [*ETS, "record", "--history", "3", "--catalog", str(catalog)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + PATIENCE_S
        head: list[Path] = []
        while time.monotonic() < deadline and running.poll() is None:
            head = list(catalog.glob(f"{recording.PREFIX}*/journal/head-*.bin"))
            if head and np.fromfile(head[0], journal.HEAD)["packets"][0] > 500:
                break
            time.sleep(0.1)
        os.kill(running.pid, signal.SIGKILL)
    [folder] = recording.left_behind(catalog)
    journaled = np.concatenate([packets for packets, _ in journal.read(folder / "journal")])
    again = subprocess.run(
        [*command, "--minutes", "0.02", "--json"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    recovered = json.loads(again.stdout)["recovered"][str(folder)]
    books = [tape for tape in recovered if tape["listing"]["kind"] != "volatility" and not tape["quality"]["bars"]]
    assert sum(tape["packets"] for tape in recovered) == len(journaled) + len(books), "all of it, and the openings"
    assert not folder.exists()
    assert recording.left_behind(catalog) == []
    summary = backtest.run(catalog, loose(), tmp_path / "run")
    assert summary["events"] >= len(journaled)
    assert summary["refused_rows"] == 0


def test_ctrl_c_ends_a_recording_with_everything_published(tmp_path: Path) -> None:
    command = [*ETS, "record", "--history", "0", "--catalog", str(tmp_path), "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and not list(tmp_path.glob(f"{recording.PREFIX}*/recording.json")):
            time.sleep(0.1)
        time.sleep(2.0)
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=60)
        assert running.returncode == 0
    answer = json.loads(said)
    assert {tape["listing"]["venue"] for tape in answer["tapes"]} == {*OPENERS, DVOL}
    assert answer["counts"]["gaps"] == 0
    assert not list(tmp_path.glob(".*")), "nothing is left lying about"


def test_a_venue_that_cannot_be_recorded_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["--venues", "nowhere"], ["--instruments", "NOPE"], ["--recover", "nothing"]):
        with pytest.raises(SystemExit) as left:
            cli.main(["record", *words])
        assert left.value.code == 2
    assert "nowhere: no road of our own goes there" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*"))
