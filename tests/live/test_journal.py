"""What has been committed is there after anything short of a broken disk, and nothing else is."""

import gzip
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elegant_trading_system.core.schema import COMMAND, SCHEMA_VERSION
from elegant_trading_system.data import journal
from elegant_trading_system.data.journal import Journal
from elegant_trading_system.data.segments import pack
from elegant_trading_system.errors import UserError

WRITER = """
import itertools, sys
from pathlib import Path
from elegant_trading_system.data.journal import Journal
from tests.live.test_journal import write
kept = Journal(Path(sys.argv[1]))
for n in itertools.count():
    write(kept, n, n % 7)
    print(n, flush=True)
    kept.seal()
"""


def write(kept: Journal, n: int, rows: int) -> None:
    begin = kept.begin(rows)
    kept.rows["price_ticks"][begin : begin + rows], kept.rows["lots"][begin : begin + rows] = n, np.arange(rows)
    kept.lay(buy_count=rows)
    kept.commit(n * 10)


def check(folder: Path) -> int:
    """Every event as it was written, from the first; how many."""
    count = 0
    for packets, rows in journal.read(folder):
        for packet in packets:
            assert (packet["seq"], packet["ts_local_ns"], packet["buy_count"]) == (count, count * 10, count % 7)
            own = rows[packet["level_begin"] : packet["level_begin"] + packet["buy_count"]]
            assert own["price_ticks"].tolist() == [count] * (count % 7)
            assert own["lots"].tolist() == list(range(count % 7))
            count += 1
    return count


@pytest.mark.spec("X1")
def test_what_was_committed_is_read_back_over_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SEGMENT_PACKETS", 100)
    monkeypatch.setattr(journal, "SEGMENT_ROWS", 150)
    monkeypatch.setattr(journal, "BLOCK_PACKETS", 16)
    monkeypatch.setattr(
        journal,
        "PARTS",
        tuple((name, dtype, {"packets": 100, "rows": 150, "head": 1}[name]) for name, dtype, _ in journal.PARTS),
    )
    kept = Journal(tmp_path / "j")
    for n in range(500):
        write(kept, n, n % 7)
    kept.begin(3)  # never committed
    digest = kept.close()
    assert check(tmp_path / "j") == 500
    assert len(list(journal.read(tmp_path / "j"))) > 5
    assert journal.check_chain(tmp_path / "j") == digest


@pytest.mark.spec("X1")
def test_segments_that_fill_faster_than_they_are_packed_wait_as_numbers_and_are_packed_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SEGMENT_PACKETS", 20)
    going_on, most = threading.Event(), 0

    def slowly(folder: Path, number: int, packets: int, rows: int) -> None:
        going_on.wait(10)
        pack(folder, number, packets, rows)

    monkeypatch.setattr(journal, "pack", slowly)
    kept = Journal(tmp_path / "j")
    for n in range(400):
        write(kept, n, n % 7)
        most = max(most, sum(thread.name == "packing" for thread in threading.enumerate()))
    assert most == 1
    assert {type(one) for one in kept._to_pack} == {int}
    going_on.set()
    kept.close()
    assert not list((tmp_path / "j").glob("packets-*.bin"))
    assert len(list((tmp_path / "j").glob("packets-*.bin.gz"))) == 20
    assert check(tmp_path / "j") == 400


@pytest.mark.spec("X1")
@pytest.mark.parametrize("kill_after", [1, 40, 700])
def test_a_killed_process_loses_no_committed_event(tmp_path: Path, kill_after: int) -> None:
    folder = tmp_path / "j"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(kill_after)]
        os.kill(writer.pid, signal.SIGKILL)
        said += [line for line in writer.stdout if line.endswith("\n")]
    assert check(folder) >= len(said) >= kill_after
    journal.check_chain(folder)


def test_an_event_changed_afterwards_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "BLOCK_PACKETS", 8)
    kept = Journal(tmp_path / "j")
    for n in range(40):
        write(kept, n, 2)
        kept.seal()
    kept.close()
    path = tmp_path / "j" / "rows-00000.bin.gz"
    data = bytearray(gzip.decompress(path.read_bytes()))
    data[16 * 30] ^= 1  # a price of the sixteenth event
    path.write_bytes(gzip.compress(data))
    with pytest.raises(UserError, match="events 8 to 16 of segment 0 were changed"):
        journal.check_chain(tmp_path / "j")


def test_a_journal_that_ends_early_is_refused(tmp_path: Path) -> None:
    kept = Journal(tmp_path / "j")
    write(kept, 0, 2)
    kept.close()
    path = tmp_path / "j" / "rows-00000.bin.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(UserError, match="rows-00000"):
        list(journal.read(tmp_path / "j"))
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(UserError, match="shorter than its head"):
        list(journal.read(tmp_path / "j"))
    with pytest.raises(UserError, match="no journal"):
        list(journal.read(tmp_path))


@pytest.mark.spec("X1")
def test_a_closed_segment_is_packed_and_a_crash_while_it_is_loses_nothing(tmp_path: Path) -> None:
    kept = Journal(tmp_path / "j")
    for n in range(500):
        write(kept, n, n % 7)
    before = sum(path.stat().st_size for path in (tmp_path / "j").glob("*.bin"))
    digest = kept.close()
    files = {path.name: path for path in (tmp_path / "j").iterdir()}
    assert {"packets-00000.bin.gz", "rows-00000.bin.gz", "head-00000.bin"} <= files.keys()
    assert sum(path.stat().st_size for path in files.values()) < before / 100
    packets = files["packets-00000.bin.gz"]
    (tmp_path / "j" / "packets-00000.bin").write_bytes(gzip.decompress(packets.read_bytes()))
    packets.write_bytes(packets.read_bytes()[:100])  # a crash before the open one was removed
    (tmp_path / "j" / "rows-00000.partial").write_bytes(b"half")
    assert check(tmp_path / "j") == 500
    again = Journal(tmp_path / "j")
    assert again.close() == digest
    assert check(tmp_path / "j") == 500


def test_half_a_command_at_the_end_does_not_count(tmp_path: Path) -> None:
    kept = Journal(tmp_path / "j")
    kept.log_commands(np.ones(3, COMMAND))
    kept.close()
    path = tmp_path / "j" / "commands.bin"
    path.write_bytes(path.read_bytes()[:-5])
    assert len(journal.read_commands(tmp_path / "j")) == 2


# --- segments made ahead ----------------------------------------------------------------------------------------
@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"packets": 100, "rows": 150, "head": 1}
    monkeypatch.setattr(journal, "SEGMENT_PACKETS", sizes["packets"])
    monkeypatch.setattr(journal, "SEGMENT_ROWS", sizes["rows"])
    monkeypatch.setattr(journal, "BLOCK_PACKETS", 16)
    monkeypatch.setattr(journal, "PARTS", tuple((name, dtype, sizes[name]) for name, dtype, _ in journal.PARTS))


def write_all(kept: Journal, numbers: range) -> None:
    for n in numbers:
        write(kept, n, 0)


def made_ahead(kept: Journal) -> None:
    """The running segment is more than half full, and what is done in the journal's thread has been done."""
    kept.seal()
    kept._chainer.submit(int).result()


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def numbers_of(folder: Path) -> set[str]:
    return {path.name.partition(".")[0].rpartition("-")[2] for path in folder.glob("*-*")}


@pytest.mark.usefixtures("small")
@pytest.mark.spec("X1")
def test_the_hot_path_makes_no_file_when_a_segment_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Journal(tmp_path / "j")
    write_all(kept, range(60))
    made_ahead(kept)
    here = threading.get_ident()
    opened = os.open

    def elsewhere(*arguments: Any) -> int:
        assert threading.get_ident() != here, "a file is opened while an event waits"
        return opened(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", elsewhere)
        patch.setattr(os, "posix_fallocate", full)
        write_all(kept, range(60, 150))
    assert kept.segment == 1
    kept.close()
    assert sum(len(packets) for packets, _ in journal.read(tmp_path / "j")) == 150


@pytest.mark.usefixtures("small")
@pytest.mark.spec("X1")
def test_a_segment_made_ahead_and_not_used_is_no_part_of_the_journal(tmp_path: Path) -> None:
    folder = tmp_path / "j"
    kept = Journal(folder)
    write_all(kept, range(60))
    made_ahead(kept)
    assert numbers_of(folder) == {"00000", "00001"}
    assert sum(len(packets) for packets, _ in journal.read(folder)) == 60
    shutil.copytree(folder, tmp_path / "killed")
    digest = kept.close()
    assert numbers_of(folder) == {"00000"}, "its room is free again"
    again = Journal(tmp_path / "killed")
    assert (again.count, again.segment) == (60, 1)
    write_all(again, range(60, 80))
    assert again.close() != digest
    assert sum(len(packets) for packets, _ in journal.read(tmp_path / "killed")) == 80
    journal.check_chain(tmp_path / "killed")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("made", [["packets"], ["packets", "rows"], ["packets", "rows", "head"]])
def test_a_crash_while_a_segment_is_made_ahead_leaves_nothing_in_the_way(tmp_path: Path, made: list[str]) -> None:
    folder = tmp_path / "j"
    kept = Journal(folder)
    write_all(kept, range(60))
    kept.close()
    for name in made:
        (folder / f"{name}-00001.bin").write_bytes(b"")
    assert sum(len(packets) for packets, _ in journal.read(folder)) == 60
    again = Journal(folder)
    write_all(again, range(60, 300))
    again.close()
    assert sum(len(packets) for packets, _ in journal.read(folder)) == 300


@pytest.mark.usefixtures("small")
@pytest.mark.spec("X1")
def test_a_full_disk_is_told_ahead_and_refuses_a_whole_event_when_the_segment_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Journal(tmp_path / "j")
    write_all(kept, range(60))
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        made_ahead(kept)
        [told] = kept.notices()
        assert "No space left on device" in told
        assert kept.notices() == []
        write_all(kept, range(60, 100))
        for _ in range(2):
            with pytest.raises(UserError, match="No space left on device"):
                kept.begin(1)
    assert (kept.count, kept.segment) == (100, 0)
    assert numbers_of(tmp_path / "j") == {"00000"}, "no half segment stays"
    write_all(kept, range(100, 250))  # room has been made
    kept.close()
    assert sum(len(packets) for packets, _ in journal.read(tmp_path / "j")) == 250
    journal.check_chain(tmp_path / "j")


@pytest.mark.usefixtures("small")
def test_a_chain_that_finds_no_room_is_told_and_goes_on_whole_when_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Journal(tmp_path / "j")
    write_all(kept, range(40))
    made_ahead(kept)
    real = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode="r", **more: full() if mode == "a" else real(path, mode, **more))
        write_all(kept, range(40, 80))
        made_ahead(kept)
        with pytest.raises(UserError, match=r"chain\.jsonl: No space left on device"):
            kept.seal()
    digest = kept.close()
    assert journal.check_chain(tmp_path / "j") == digest
    assert sum(len(packets) for packets, _ in journal.read(tmp_path / "j")) == 80


def test_a_journal_made_by_somebody_else_is_not_written_over(tmp_path: Path) -> None:
    kept = Journal(tmp_path / "j")
    with pytest.raises(UserError, match="packets-00000"):
        journal._Segment(tmp_path / "j", 0)
    write(kept, 0, 0)
    kept.close()
    assert check(tmp_path / "j") == 1


# --- other versions, missing parts ------------------------------------------------------------------------------
@pytest.mark.spec("X1")
def test_a_journal_of_another_schema_or_chain_is_refused_with_both_versions_named(tmp_path: Path) -> None:
    kept = Journal(tmp_path / "j")
    write(kept, 0, 2)
    kept.close()
    chain, head = tmp_path / "j" / "chain.jsonl", tmp_path / "j" / "head-00000.bin"
    lines, counts = chain.read_text(), head.read_bytes()
    chain.write_text(lines.replace('"version": 2, ', ""))
    refused: Callable[[Path], object]
    for refused in (journal.check_chain, Journal):
        with pytest.raises(UserError, match="written with version 1, this program reads 2"):
            refused(tmp_path / "j")
    chain.write_text(lines)
    head.write_bytes((7).to_bytes(8, "little") + counts[8:])
    for refused in (journal.check_chain, Journal, lambda folder: list(journal.read(folder))):
        with pytest.raises(UserError, match=f"written with schema 7, this program reads {SCHEMA_VERSION}"):
            refused(tmp_path / "j")


@pytest.mark.usefixtures("small")
def test_a_segment_that_is_gone_is_missed(tmp_path: Path) -> None:
    folder = tmp_path / "j"
    kept = Journal(folder)
    write_all(kept, range(350))
    kept.close()
    last = folder / "head-00003.bin"
    counts = last.read_bytes()
    last.unlink()
    refused: Callable[[Path], object]
    for refused in (journal.check_chain, Journal):
        with pytest.raises(UserError, match="segment 3 was sealed and is gone"):
            refused(folder)
    last.write_bytes(counts)
    (folder / "head-00001.bin").unlink()
    for refused in (journal.check_chain, Journal, lambda folder: list(journal.read(folder))):
        with pytest.raises(UserError, match="segment 1 is missing"):
            refused(folder)


@pytest.mark.usefixtures("small")
def test_what_lies_between_two_places_is_read_while_more_is_written(tmp_path: Path) -> None:
    kept = Journal(tmp_path / "j")
    write_all(kept, range(130))
    first = kept.mark().result()
    write_all(kept, range(130, 310))
    second = kept.mark().result()
    write_all(kept, range(310, 320))
    between = [packets for packets, _ in journal.read(tmp_path / "j", first.place, second.place)]
    assert (first.place, second.place) == ((1, 30), (3, 10))
    assert np.concatenate(between)["seq"].tolist() == list(range(130, 310))
    with pytest.raises(UserError, match="holds 20 events, not 30"):
        list(journal.read(tmp_path / "j", first.place, (3, 30)))
    kept.close()


@pytest.mark.usefixtures("small")
def test_behind_a_trusted_seal_the_rest_is_proven_and_what_lies_before_is_not_read(tmp_path: Path) -> None:
    kept = Journal(tmp_path / "j")
    write_all(kept, range(250))
    seal = kept.mark().result()
    write_all(kept, range(250, 340))
    kept.close()
    shutil.copytree(tmp_path / "j", tmp_path / "spoilt")
    (tmp_path / "j" / "packets-00000.bin.gz").write_bytes(b"lost")
    again = Journal(tmp_path / "j", seal)
    assert (again.count, again.segment) == (340, 4)
    again.close()
    with pytest.raises(UserError, match="packets-00000"):
        Journal(tmp_path / "j")
    packets = np.concatenate([packets for packets, _ in journal.read(tmp_path / "spoilt", (3, 0))])
    packets["ts_local_ns"][-1] += 1
    (tmp_path / "spoilt" / "packets-00003.bin.gz").write_bytes(gzip.compress(packets.tobytes()))
    with pytest.raises(UserError, match="of segment 3 were changed"):
        Journal(tmp_path / "spoilt", seal)
