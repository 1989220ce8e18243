"""A snapshot saves time and changes nothing: with it or without, a run goes on from the same state."""

import itertools
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

from elegant_trading_system.core import engine
from elegant_trading_system.core.schema import NS_PER_S
from elegant_trading_system.data import journal
from elegant_trading_system.data.journal import Journal
from elegant_trading_system.data.segments import START
from elegant_trading_system.errors import UserError
from elegant_trading_system.shell import run_folder, snapshots
from elegant_trading_system.shell.run_folder import Recovered
from elegant_trading_system.shell.shadow import Shadow
from elegant_trading_system.shell.snapshots import Snapshots
from elegant_trading_system.sim.replay import verify

from ..builders import loose
from .drill import Drill

SMALL = {"packets": 600, "rows": 3000, "head": 1}


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some seconds of trading fill a few of them."""
    monkeypatch.setattr(journal, "SEGMENT_PACKETS", SMALL["packets"])
    monkeypatch.setattr(journal, "SEGMENT_ROWS", SMALL["rows"])
    monkeypatch.setattr(journal, "BLOCK_PACKETS", 50)
    monkeypatch.setattr(journal, "PARTS", tuple((name, dtype, SMALL[name]) for name, dtype, _ in journal.PARTS))
    monkeypatch.setattr(snapshots, "EVERY_NS", NS_PER_S)


class Trading:
    """A run with snapshots, in time that the test moves."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.folder = folder
        self.drill = Drill(seed, folder)
        self.outside = self.drill.outside
        run_folder.begin(folder, self.drill.config, self.outside.universe, "test")
        run_folder.note_epoch(folder, 1, "e1")
        shadow = Shadow(self.outside.universe, self.drill.config)
        self.snapshots = Snapshots(folder, shadow, self.outside.journal, self.drill.clock)
        self.drill.begin()

    def trade(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.drill.pass_time(0.1)
            self.outside.journal.seal()
            self.snapshots.beat()

    def trade_until(self, is_enough: Callable[[], bool]) -> None:
        for _ in range(300):
            if is_enough():
                return
            self.trade(0.1)
        raise AssertionError("thirty seconds were not enough")

    def keep(self) -> Path:
        """A snapshot of this moment."""
        self.wait()
        seal = self.outside.journal.mark().result()
        self.snapshots.shadow.follow(self.folder / "journal", seal.place)
        return snapshots.write(self.folder / snapshots.FOLDER, self.snapshots.shadow, seal)

    def rest(self) -> None:
        """Nobody writes any more."""
        self.wait()
        self.outside.journal._chainer.submit(int).result()
        if self.outside.journal._packing is not None:
            self.outside.journal._packing.join()

    def wait(self) -> None:
        if self.snapshots._making:
            self.snapshots._making.result()

    def state(self) -> list[bytes]:
        sequencer = self.outside.sequencer
        return [block.tobytes() for block in (sequencer.market, sequencer.books, sequencer.traders)]

    def close(self) -> None:
        self.snapshots.close()
        self.outside.journal.close()


def state(found: Recovered) -> list[bytes]:
    return [block.tobytes() for block in (found.market, found.books, found.traders)]


def facts(found: Recovered) -> Any:
    return found.ts_ns, found.open_orders, found.missing.tobytes(), found.shadow.command_count, found.shadow.place


class Dead(NamedTuple):
    """What a kill at some moment left, and the state in memory at that moment."""

    folder: Path
    state: list[bytes]

    def without_snapshots(self) -> Path:
        bare = self.folder.with_suffix(".bare")
        shutil.copytree(self.folder, bare)
        shutil.rmtree(bare / snapshots.FOLDER, ignore_errors=True)
        return bare


def killed(trading: Trading, folder: Path) -> Dead:
    trading.rest()  # what is copied must not change meanwhile; `killing` kills in the middle of it
    shutil.copytree(trading.folder, folder)
    return Dead(folder, trading.state())


# --- equality ---------------------------------------------------------------------------------------------------
@pytest.mark.spec("X1", "R7")
@pytest.mark.parametrize("seed", [1, 3, 10])
def test_killed_at_any_moment_a_run_comes_back_alike_from_a_snapshot_and_from_the_whole_journal(
    tmp_path: Path, seed: int
) -> None:
    chance, trading = random.Random(seed), Trading(tmp_path / "run", seed)
    helped = 0
    for n in range(6):
        trading.trade(chance.uniform(0.3, 6.0))
        dead = killed(trading, tmp_path / f"dead-{n}")
        found, whole = run_folder.recover(dead.folder), run_folder.recover(dead.without_snapshots())
        assert state(found) == state(whole) == dead.state
        assert facts(found) == facts(whole)
        assert whole.replayed == trading.outside.journal.count
        assert found.refused == []
        helped += found.replayed < whole.replayed
        goes_on_behind_it(dead, found)
    assert helped >= 4
    assert trading.snapshots.counts.keys() == {"kept"}
    trading.close()


def goes_on_behind_it(dead: Dead, found: Recovered) -> None:
    """The journal is sealed and goes on as if all of it had been proven again."""
    trusting, proving = (
        Journal(folder / "journal", behind)
        for folder, behind in ((dead.folder, found.behind), (dead.folder.with_suffix(".bare"), START))
    )
    assert (trusting.count, trusting.segment) == (proving.count, proving.segment)
    assert trusting.close() == proving.close() == journal.check_chain(dead.folder / "journal")
    assert verify(dead.folder)["identical"]


def test_fills_of_an_open_order_are_known_from_a_snapshot(tmp_path: Path) -> None:
    trading = Trading(tmp_path, seed=10)
    orders = trading.outside.sequencer.trader["orders"]
    trading.trade_until(lambda: bool(((orders["state"] != 0) & (orders["filled_lots"] > 0)).any()))
    trading.keep()
    found = run_folder.recover(tmp_path)
    assert found.replayed == 0
    filled = [order for order in found.open_orders if order.filled_lots]
    assert filled
    for order in filled:
        assert sum(lots * n for (_, lots, _, _), n in order.fills.items()) == order.filled_lots
    trading.close()


def test_recovery_from_packed_segments_compiles_nothing_that_trading_has_not(tmp_path: Path) -> None:
    trading = Trading(tmp_path)
    trading.trade(2.0)
    trading.keep()
    before = len(engine.advance.signatures)
    trading.close()  # its segments are packed now
    shutil.rmtree(tmp_path / snapshots.FOLDER)
    assert run_folder.recover(tmp_path).replayed
    assert len(engine.advance.signatures) == before


def test_of_orders_that_have_ended_no_fill_is_kept(tmp_path: Path) -> None:
    trading = Trading(tmp_path)
    trading.trade(15)
    trading.keep()
    open_orders = [int(order["order_id"]) for order in trading.outside.sequencer.trader["orders"] if order["state"]]
    assert trading.snapshots.shadow.fills.keys() <= set(open_orders)
    assert len(trading.drill.watch.sent) > len(open_orders)
    trading.close()


# --- killed while one is written --------------------------------------------------------------------------------
class Killed(BaseException):
    """The process ends here: nobody catches it."""


class Deadly:
    """Ends the process at one step of all that touch the disk; a write leaves half of what it should have written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
        self.left = step
        self.took = list[str]()
        self._open = Path.open
        monkeypatch.setattr(Path, "open", lambda path, mode="r", **more: self.open(path, mode, **more))
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink")):
            monkeypatch.setattr(owner, name, self.counted(name, getattr(owner, name)))

    def step(self, name: str) -> None:
        self.took.append(name)
        if self.left == 0:
            raise Killed
        self.left -= 1

    def counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            self.step(name)
            return real(*arguments, **more)

        return call

    def open(self, path: Path, mode: str, **more: Any) -> Any:
        if mode != "wb" or path.parent.name != snapshots.FOLDER:
            return self._open(path, mode, **more)
        self.step("open")
        file = self._open(path, mode, buffering=0)
        real = file.write

        class Half:
            def __enter__(self) -> Self:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def write(_, data: bytes) -> None:  # noqa: N805
                real(data[: len(data) // 2])
                self.step("write")
                real(data[len(data) // 2 :])

            def flush(self) -> None:
                pass

            def fileno(self) -> int:
                return int(file.fileno())

        return Half()


@pytest.mark.spec("X1")
def test_killed_between_any_two_steps_of_writing_a_snapshot_nothing_is_lost(tmp_path: Path) -> None:
    trading = Trading(tmp_path / "run")
    for seconds in (2.0, 1.0):
        trading.trade(seconds)
        trading.keep()
    trading.trade(1.0)
    trading.rest()
    for step in itertools.count():
        shutil.copytree(trading.folder, folder := tmp_path / f"step-{step}")
        before = run_folder.recover(folder)
        seal = trading.outside.journal.mark().result()
        shadow = before.shadow
        with pytest.MonkeyPatch.context() as patch:
            deadly = Deadly(patch, step)
            try:
                snapshots.write(folder / snapshots.FOLDER, shadow, seal)
                break
            except Killed:
                pass
        shutil.copy(trading.folder / "journal" / "chain.jsonl", folder / "journal")
        found = run_folder.recover(folder)
        assert state(found) == state(before) == trading.state(), deadly.took
        assert found.refused == [], "a half one has no name that is looked for"
        assert found.replayed == (0 if "replace" in deadly.took[:-1] else before.replayed), deadly.took
        snapshots.write(folder / snapshots.FOLDER, shadow, seal)
        assert len(list((folder / snapshots.FOLDER).iterdir())) == snapshots.KEPT, "what was left behind is gone"
    assert deadly.took == ["open", "write", "write", "fsync", "replace", "unlink"]
    trading.close()


# --- what is not taken ------------------------------------------------------------------------------------------
def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def with_version(path: Path, version: str) -> None:
    magic, _, rest = path.read_bytes().split(b" ", 2)
    path.write_bytes(b" ".join([magic, version.encode(), rest]))


SPOILT: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a bit of the state": (lambda path: flip(path, -100), "damaged"),
    "a bit of its head": (lambda path: flip(path, 30), "damaged"),
    "torn": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "damaged"),
    "torn in its first line": (lambda path: path.write_bytes(path.read_bytes()[:7]), "damaged"),
    "empty": (lambda path: path.write_bytes(b""), "damaged"),
    "noise": (lambda path: path.write_bytes(os.urandom(1000)), "damaged"),
    "of another version": (lambda path: with_version(path, "7"), "written with version 7, this program reads 1"),
}


@pytest.mark.spec("X1")
@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_snapshot_is_named_and_the_one_before_is_used(tmp_path: Path, what: str) -> None:
    spoil, why = SPOILT[what]
    trading = Trading(tmp_path)
    trading.trade(1.0)
    first = trading.keep()
    seen = trading.outside.journal.count
    trading.trade(1.0)
    second = trading.keep()
    spoil(second)
    found = run_folder.recover(tmp_path)
    assert found.refused == [f"{second.name} is not used: {why}"]
    assert state(found) == trading.state()
    assert found.replayed == trading.outside.journal.count - seen
    spoil(first)
    found = run_folder.recover(tmp_path)
    assert found.refused == [f"{path.name} is not used: {why}" for path in (second, first)]
    assert state(found) == trading.state()
    assert found.replayed == trading.outside.journal.count
    trading.close()


@pytest.mark.parametrize(
    "name, why",
    [
        ("code", "made with other code"),
        ("universe", "made with other universe"),
        ("configuration", "made with other configuration"),
        ("schema_version", "written with schema 7, this program reads"),
    ],
)
def test_a_snapshot_of_something_else_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    trading = Trading(tmp_path)
    trading.trade(1.0)
    with monkeypatch.context() as patch:
        real = snapshots.identity
        patch.setattr(snapshots, "identity", lambda *what: real(*what) | {name: 7})
        trading.keep()
    found = run_folder.recover(tmp_path)
    assert len(found.refused) == 1
    assert why in found.refused[0]
    assert state(found) == trading.state()
    trading.close()


@pytest.mark.spec("X1")
def test_a_snapshot_newer_than_the_journal_or_of_another_is_not_taken(tmp_path: Path) -> None:
    trading, other = Trading(tmp_path / "run"), Trading(tmp_path / "other", seed=3)
    trading.trade(1.0)
    early = killed(trading, tmp_path / "early")
    trading.trade(1.0)
    other.trade(1.0)
    for path, why in ((trading.keep(), "never sealed"), (other.keep(), "never sealed")):
        shutil.rmtree(early.folder / snapshots.FOLDER, ignore_errors=True)
        shutil.copytree(path.parent, early.folder / snapshots.FOLDER)
        found = run_folder.recover(early.folder)
        assert any(why in refused for refused in found.refused)
        assert state(found) == early.state
    shutil.copy(trading.folder / "journal" / "chain.jsonl", early.folder / "journal")
    shutil.rmtree(early.folder / snapshots.FOLDER)
    shutil.copytree(trading.folder / snapshots.FOLDER, early.folder / snapshots.FOLDER)
    found = run_folder.recover(early.folder)
    assert any("newer than the journal" in refused for refused in found.refused), "its events never reached the disk"
    assert state(found) == early.state
    for each in (trading, other):
        each.close()


# --- while a run lasts ------------------------------------------------------------------------------------------
@pytest.mark.spec("X1")
def test_a_full_disk_costs_a_snapshot_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    trading = Trading(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        trading.trade(2.5)
        trading.wait()
    counts = trading.snapshots.counts
    assert counts["failed"] >= 1
    assert counts["kept"] == 0
    told = trading.snapshots.notices()
    assert told[0] == "no snapshot, the run goes on without: No space left on device"
    assert trading.snapshots.notices() == [], "told once"
    assert list((tmp_path / snapshots.FOLDER).iterdir()) == [], "no half one takes room"
    assert state(run_folder.recover(tmp_path)) == trading.state()
    trading.trade(2.5)
    trading.wait()
    assert counts["kept"] >= 1
    found = run_folder.recover(tmp_path)
    assert found.replayed < trading.outside.journal.count
    assert state(found) == trading.state()
    trading.close()


@pytest.mark.spec("X1")
def test_there_is_a_snapshot_behind_each_segment_and_only_the_last_two_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "EVERY_NS", 3600 * NS_PER_S)
    trading, stands = Trading(tmp_path), set[int]()
    while trading.outside.journal.segment < 4:
        trading.trade(0.1)
        trading.wait()
        names = sorted(path.name for path in (tmp_path / snapshots.FOLDER).glob("*"))
        assert len(names) <= snapshots.KEPT
        stands |= {int(name.split("-")[1]) for name in names}
    assert stands == set(range(1, trading.outside.journal.segment + 1))
    trading.close()


def test_a_run_that_goes_on_keeps_at_once_what_it_came_back_to(tmp_path: Path) -> None:
    trading = Trading(tmp_path / "run")
    trading.trade(0.9)
    dead = killed(trading, tmp_path / "dead")
    assert not (dead.folder / snapshots.FOLDER).exists()
    found = run_folder.recover(dead.folder)
    kept = Journal(dead.folder / "journal", found.behind)
    again = Snapshots(dead.folder, found.shadow, kept, trading.drill.clock)
    again.beat()
    assert again._making
    again._making.result()
    assert again.counts == {"kept": 1}
    assert run_folder.recover(dead.folder).replayed == 0
    again.close()
    kept.close()
    trading.close()


def test_where_nothing_was_heard_nothing_is_kept(tmp_path: Path) -> None:
    trading = Trading(tmp_path)
    trading.trade(1.5)
    trading.wait()
    kept = trading.snapshots.counts["kept"]
    trading.drill.clock.pass_ms(60_000)
    trading.snapshots.beat()
    trading.wait()
    assert trading.snapshots.counts["kept"] <= kept + 1
    for _ in range(3):
        trading.drill.clock.pass_ms(60_000)
        trading.snapshots.beat()
        trading.wait()
    assert trading.snapshots.counts["kept"] <= kept + 1
    trading.close()


@pytest.mark.spec("X1")
def test_a_trader_who_decided_otherwise_than_a_replay_is_told_and_no_snapshot_is_kept(tmp_path: Path) -> None:
    trading = Trading(tmp_path)
    trading.trade_until(lambda: bool(trading.drill.watch.sent))
    trading.wait()
    command = journal.read_commands(tmp_path / "journal")[-1:].copy()
    command["lots"] += 1
    trading.outside.journal.log_commands(command)  # a decision that no event leads to
    sent = len(trading.drill.watch.sent)
    trading.trade_until(lambda: len(trading.drill.watch.sent) > sent)
    counts = trading.snapshots.counts
    for _ in range(3):  # each long enough for another one
        trading.wait()
        before = counts["kept"]
        trading.trade(1.1)
    trading.wait()
    assert (counts["differed"], counts["kept"]) == (1, before)
    assert any("a replay decides otherwise" in told for told in trading.snapshots.notices())
    trading.close()


def test_a_state_read_back_is_the_state_that_was_written(tmp_path: Path) -> None:
    trading = Trading(tmp_path)
    trading.trade(1.0)
    trading.wait()
    shadow = trading.snapshots.shadow
    seal = trading.outside.journal.mark().result()
    shadow.follow(tmp_path / "journal", seal.place)
    shadow.fills = {5: Counter({(1, 2, -3, 4): 2, (1, 2, -3, 5): 1}), 9: Counter()}
    again, where = snapshots.load(snapshots.write(tmp_path / "s", shadow, seal), shadow.universe, shadow.config)
    assert [block.tobytes() for block in again.blocks] == [block.tobytes() for block in shadow.blocks]
    assert (again.place, again.ts_ns, again.command_count) == (shadow.place, shadow.ts_ns, shadow.command_count)
    assert again.fills == shadow.fills
    assert where == seal
    with pytest.raises(UserError, match="made with other configuration"):
        snapshots.load(next((tmp_path / "s").iterdir()), shadow.universe, loose("risk.base_risk=0.001"))
    trading.close()
