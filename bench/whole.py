"""Whole processes: imports, compiled code from the cache, the file, the run; five million rows, equal fills first.

    python -m bench.whole [--feed m5] [--rounds 7]

Ours maps a tape; hftbacktest reads its own npz and compiles, as it must in every process. Peak memory is the
system's own figure for each process.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from . import facts
from .peers import CACHE, OURS, in_own_venv

MB = 1024.0


def tape_of(feed_name: str) -> Path:
    """The feed as a tape in the cache folder; written on first use."""
    from elegant_trading_system.data.tape import TapeWriter

    from . import feed, run

    folder = CACHE / f"tape-{feed_name}"
    found = sorted(folder.rglob("tape.json"))
    if not found:
        source = feed.load(feed_name)
        with TapeWriter(folder, run.LISTING, "bench") as writer:
            writer.append(source.packets, source.levels)
            writer.finish()
            return writer.publish()
    return found[0].parent


def trade_ours(folder: Path) -> int:
    """What one of our processes does; returns the number of fills."""
    import gc

    gc.set_threshold(100_000, 50, 100)  # as the command line does
    from elegant_trading_system.config_sources import load as load_config
    from elegant_trading_system.data.tape import Tape
    from elegant_trading_system.data.universe import build
    from elegant_trading_system.sim.session import Session

    from . import run, simple_decider

    tape, config = Tape(folder), load_config(sets=run.SETTINGS, environ={})
    simulate = run.simulate_with(simple_decider, "bench")
    universe = build([tape.facts.listing], config)
    session = Session(
        universe, [config], tape.facts.latency_ns_max, memory=simple_decider.MEMORY, simulate=simulate, is_logging=False
    )
    session.run(tape.packets, tape.levels)
    gc.freeze()
    return len(run.fills(session))


def open_ours(folder: Path) -> str:
    """CPU ns a row until the packets are there to be run, and until every page has been read once as well."""
    from elegant_trading_system.data.merge import merge
    from elegant_trading_system.data.tape import Tape

    opened, read = [], []
    for _ in range(5):
        began = time.process_time()
        merged = merge([Tape(folder)])
        opened.append(time.process_time() - began)
        int(merged.packets["ts_local_ns"].sum() + merged.levels["lots"].sum())
        read.append(time.process_time() - began)
    rows = len(merged.levels)
    per_row = [round(statistics.median(seconds) / rows * 1e9, 2) for seconds in (opened, read)]
    return json.dumps(dict(zip(("opened_ns_per_row", "read_ns_per_row"), per_row, strict=True)))


def trade_theirs(depth_name: str, raw: Path) -> int:
    """What one of theirs does."""
    import numpy as np

    from . import hbt, simple_decider

    events, snapshot = hbt.events(raw)
    memory, fills = np.zeros(simple_decider.MEMORY, np.int64), np.zeros((hbt.FILLS, 3), np.int64)
    backtest = hbt.backtest(depth_name, events, snapshot)
    _, count = hbt.strategy(depth_name)(backtest, memory, fills)
    backtest.close()
    return int(count)


def once(who: str, source: Path) -> dict[str, float]:
    """One process, from start to end: wall and CPU seconds, peak memory, fills."""
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.whole", "--child", who, "--source", str(source)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    fills = int(child.stdout.read())
    _, _, usage = os.wait4(child.pid, 0)
    child.returncode = 0
    wall_s = time.perf_counter() - began
    return {"wall_s": wall_s, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / MB, "fills": fills}


def prepared(feed_name: str) -> dict[str, Path]:
    """Both files, made by another process: a child's peak memory counts from what its parent holds."""
    return {who: Path(path) for who, path in told("files", "--feed", feed_name).items()}


def told(child: str, *arguments: str) -> Any:
    """What a process of this module says."""
    command = [sys.executable, "-m", "bench.whole", "--child", child, *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def files(feed_name: str) -> dict[str, str]:
    from . import feed

    return {OURS: str(tape_of(feed_name)), "ROIVector": str(feed.load(feed_name).raw)}


def child(who: str, source: Path, feed_name: str) -> str:
    if who == "files":
        return json.dumps(files(feed_name))
    if who == "open":
        return open_ours(source)
    return str(trade_ours(source) if who == OURS else trade_theirs(who, source))


def measure(feed_name: str, rounds: int) -> dict[str, Any]:
    sources = prepared(feed_name)
    taken: dict[str, list[dict[str, float]]] = {who: [] for who in sources}
    for turn in range(rounds + 1):  # the first compiles ours
        for who, source in sources.items():
            done = once(who, source)
            taken[who] += [done] if turn else []
    counts = {who: {int(run["fills"]) for run in runs} for who, runs in taken.items()}
    if len(set.union(*counts.values())) != 1:
        sys.exit(f"{feed_name}: fills differ: {counts}: nothing measured")
    result: dict[str, Any] = {"feed": feed_name, "rounds": rounds, "equal_fills": counts[OURS].pop()}
    result["opening a tape"] = told("open", "--source", str(sources[OURS]))
    for who, runs in taken.items():
        result[who] = {
            key: round(statistics.median(run[key] for run in runs), 3) for key in ("wall_s", "cpu_s", "peak_mb")
        }
    for key in ("wall_s", "cpu_s"):
        ratios = [theirs[key] / ours[key] for theirs, ours in zip(taken["ROIVector"], taken[OURS], strict=True)]
        result[f"times_ours_{key.removesuffix('_s')}"] = round(statistics.median(ratios), 2)
    return result


def main() -> None:
    in_own_venv("bench.whole")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feed", default="m5", choices=["m5", "u5", "m1", "u1"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        sys.stdout.write(child(options.child, options.source, options.feed))
        return
    result = measure(options.feed, options.rounds)
    facts.keep(f"whole process {options.feed}", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
