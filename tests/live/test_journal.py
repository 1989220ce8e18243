"""What has been committed is there after anything short of a broken disk, and nothing else is."""

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from elegant_trading_system.core.schema import COMMAND
from elegant_trading_system.data import journal
from elegant_trading_system.data.journal import Journal
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
