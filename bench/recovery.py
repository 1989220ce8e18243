"""What a crash costs after a long run, and what being ready for one costs while it lasts.

    python -m bench.recovery time [--events 5000000]
    python -m bench.recovery pause [--seconds 60] [--rate 5000] [--every 1]

`time`: a journal of so many events of the simulated market, written by the live path with the snapshots of a live run;
then recovery from the newest snapshot, and from the journal alone, each until the next event could be written.
`pause`: events due at a fixed rate, as long as each takes from when it is due until it has been decided on; with a snapshot
every so many seconds, with none, and with the state copied in the loop instead. The three take turns; medians over rounds.
"""

import argparse
import gc
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from elegant_trading_system.config_sources import load as load_config
from elegant_trading_system.data.journal import Journal
from elegant_trading_system.data.universe import build
from elegant_trading_system.shell import run_folder, snapshots
from elegant_trading_system.shell.sequencer import Sequencer, compile_engine
from elegant_trading_system.shell.shadow import Shadow
from elegant_trading_system.shell.snapshots import Snapshots
from elegant_trading_system.sim.market_stream import MarketStream

from . import facts

Array = np.ndarray[Any, Any]
INSTRUMENTS, SEED, CHUNK_S = ["BTC", "ETH"], 1, 600.0
BEAT_EVENTS = 10_000
SLICE_S = 1.0


class Run:
    """The live path without venues, in a folder of its own; its clock is what it is told."""

    def __init__(self) -> None:
        self.config = load_config(environ={})
        self.stream = MarketStream(INSTRUMENTS, SEED, 0.0)
        self.universe = build(self.stream.listings, self.config)
        self.folder = Path(tempfile.mkdtemp(prefix="ets-bench-")) / "run"
        self.folder.mkdir()
        run_folder.begin(self.folder, self.config, self.universe, "bench")
        run_folder.note_epoch(self.folder, 1, "bench")
        self.ts_ns = 0
        self.journal = Journal(self.folder / "journal")
        self.sequencer = Sequencer(self.universe, self.config, self.journal, lambda: self.ts_ns, lambda _command: None)
        self.snapshots = Snapshots(self.folder, Shadow(self.universe, self.config), self.journal, lambda: self.ts_ns)

    def events(self) -> Iterator[Callable[[], None]]:
        """One after the other, for ever: call it to have it heard."""
        while True:
            chunk = self.stream.chunk(CHUNK_S)
            for packet in chunk.packets.tolist():
                yield partial(self._hear, packet, chunk.levels)

    def _hear(self, packet: tuple[int, ...], levels: Array) -> None:
        _, ts_local_ns, ts_venue_ns, begin, _, _, buys, sells, listing_id, kind, code, _ = packet
        at, self.ts_ns = self.journal.begin(buys + sells), ts_local_ns
        self.journal.rows[at : at + buys + sells] = levels[begin : begin + buys + sells]
        self.journal.lay(ts_venue_ns, 0, 0, buys, sells, listing_id, kind, code, 0)
        self.sequencer.hear_laid()

    def close(self) -> None:
        self.snapshots.close()
        self.journal.close()


# --- time -------------------------------------------------------------------------------------------------------
def recovery_s(folder: Path) -> tuple[float, int]:
    """Seconds until the next event could be written, and how many were replayed for it."""
    gc.collect()
    began = time.perf_counter()
    found = run_folder.recover(folder)
    journal = Journal(folder / "journal", found.behind)
    took = time.perf_counter() - began
    journal.close()
    return took, found.replayed


def measure_time(events: int) -> dict[str, Any]:
    run = Run()
    began = time.perf_counter()
    for n, hear in enumerate(run.events()):
        hear()
        if n % BEAT_EVENTS == 0:
            run.journal.seal()
            run.snapshots.beat()
        if n + 1 == events:
            break
    took = time.perf_counter() - began
    run.close()
    kept, folder = run.snapshots.counts["kept"], run.folder
    sizes = [path.stat().st_size for path in (folder / snapshots.FOLDER).glob("*.bin")]
    with_snapshot = recovery_s(folder)
    (folder / snapshots.FOLDER).rename(folder / "none")
    without = recovery_s(folder)
    shutil.rmtree(folder.parent)
    return {
        "events": events,
        "written_in_s": round(took, 1),
        "snapshots_kept": kept,
        "snapshot_bytes": max(sizes),
        "with_snapshot_s": round(with_snapshot[0], 2),
        "replayed_behind_it": with_snapshot[1],
        "journal_alone_s": round(without[0], 2),
        "events_per_s_alone": round(without[1] / without[0]),
    }


# --- pause ------------------------------------------------------------------------------------------------------
def measure_pause(seconds: float, rate: float, every_s: float) -> dict[str, Any]:
    run, late = Run(), dict[str, list[Array]]()
    copies = [block.copy() for block in run.snapshots.shadow.blocks]
    state = (run.sequencer.market, run.sequencer.books, run.sequencer.traders)

    def copy() -> None:
        for mine, theirs in zip(copies, state, strict=True):
            np.copyto(mine.view(np.uint8), theirs.view(np.uint8))

    def keep() -> None:
        snapshots.EVERY_NS = 0
        run.snapshots.beat()

    ways: dict[str, Callable[[], None]] = {"without": lambda: None, "snapshot": keep, "copy_in_the_loop": copy}
    events = run.events()
    for _ in range(200_000):  # what follows is warm
        next(events)()
    gc.collect()
    gc.freeze()
    rounds = max(1, round(seconds / every_s / len(ways)))
    for _ in range(rounds):
        for name, way in ways.items():
            late.setdefault(name, []).append(_slice(run, events, rate, every_s, way))
    kept = run.snapshots.counts["kept"]
    run.close()
    shutil.rmtree(run.folder.parent)
    result: dict[str, Any] = {"per_s": rate, "every_s": every_s, "rounds": rounds, "snapshots_kept": kept}
    for name, pieces in late.items():
        each = np.sort([np.percentile(ns, (50, 99, 99.9, 100)) / 1e3 for ns in pieces], axis=0)
        median = each[len(each) // 2].round(1).tolist()
        result[name] = dict(zip(("p50_us", "p99_us", "p99.9_us", "max_us"), median, strict=True))
    return result


def _slice(
    run: Run, events: Iterator[Callable[[], None]], rate: float, seconds: float, way: Callable[[], None]
) -> Array:
    """Ns from due to decided of each event; `way` is called once, in the middle. Waiting is sleeping, as in a loop."""
    count, gap_ns, pc = round(rate * seconds), 1e9 / rate, time.perf_counter_ns
    due, done = np.zeros(count), np.zeros(count)
    ready = [next(events) for _ in range(count)]
    start = pc() + 1_000_000
    for n, hear in enumerate(ready):
        due[n] = at = start + n * gap_ns
        if (left := at - pc()) > 0:
            time.sleep(left / 1e9)
        if n == count // 2:
            way()
        hear()
        done[n] = pc()
        if n % 100 == 0:
            run.journal.seal()
    return done - due


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["time", "pause"])
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=5000)
    parser.add_argument("--every", type=float, default=1)
    options = parser.parse_args()
    compile_engine(load_config(environ={}), is_replay_too=True)
    gc.set_threshold(100_000, 50, 100)  # as the command line does
    if options.what == "time":
        result = measure_time(options.events)
    else:
        result = measure_pause(options.seconds, options.rate, options.every)
    facts.keep(f"recovery {options.what}", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
