"""hftbacktest beside our engine: the same feed, the same rule, equal fills first, then CPU time in interleaved rounds.

    python -m bench.peers [--feed m5] [--rounds 9] [--generator PATH]

The first call makes a virtual environment of its own in the cache folder.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("ETS_BENCH_CACHE") or Path.home() / ".cache" / "elegant-trading-system" / "bench")
OURS = "ours"


def in_own_venv(module: str = "bench.peers", peers: str = "peers") -> None:
    """Go on in a virtual environment that holds the locked peers; make it when it is missing or of another lock."""
    folder = CACHE / f"venv-{peers}"
    requirements = HERE / f"requirements-{peers}.txt"
    python, stamp = folder / "bin" / "python", folder / "made"
    if Path(sys.prefix) == folder:
        return
    lock = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != lock:
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*pip, "-r", str(requirements)], check=True)
        stamp.write_text(lock)
    os.chdir(HERE.parent)
    os.execv(python, [str(python), "-m", module, *sys.argv[1:]])


def contenders(feed: Any) -> dict[str, Callable[[], tuple[float, Any]]]:
    """Name -> one run: CPU seconds and fills. Everything is compiled before it is returned."""
    import numpy as np

    from . import hbt, run, simple_decider

    events, snapshot = hbt.events(feed.raw)
    simulate = run.simulate_with(simple_decider, "bench")

    def ours() -> tuple[float, Any]:
        session = run.session(feed, simulate, simple_decider.MEMORY)
        began = time.process_time()
        session.run(feed.packets, feed.levels)
        return time.process_time() - began, run.fills(session)

    def theirs(depth_name: str, strategy: Callable[..., Any], rows: Any) -> tuple[float, Any]:
        memory, fills = np.zeros(simple_decider.MEMORY, np.int64), np.zeros((hbt.FILLS, 3), np.int64)
        backtest = hbt.backtest(depth_name, rows, snapshot)
        began = time.process_time()
        _, count = strategy(backtest, memory, fills)
        spent = time.process_time() - began
        backtest.close()
        return spent, fills[:count]

    runs: dict[str, Callable[[], tuple[float, Any]]] = {OURS: ours}
    run.session(feed, simulate, simple_decider.MEMORY).run(feed.packets[:100], feed.levels)
    for depth_name in hbt.DEPTHS:
        strategy = hbt.strategy(depth_name)
        theirs(depth_name, strategy, events[:100].copy())
        runs[depth_name] = lambda depth_name=depth_name, strategy=strategy: theirs(depth_name, strategy, events)
    return runs


def measure(name: str, rounds: int, generator: Path | None) -> dict[str, Any]:
    from . import feed as feeds

    feed = feeds.load(name, generator)
    runs = contenders(feed)
    spent: dict[str, list[float]] = {who: [] for who in runs}
    fills = {who: once()[1] for who, once in runs.items()}
    for who in runs:
        if not (len(fills[who]) == len(fills[OURS]) and (fills[who] == fills[OURS]).all()):
            sys.exit(f"{name}: {who} has {len(fills[who])} fills, ours {len(fills[OURS])}: not equal, nothing measured")
    for _ in range(rounds):
        for who, once in runs.items():
            spent[who].append(once()[0])
    result: dict[str, Any] = {"feed": name, "rows": feed.rows, "packets": len(feed.packets), "rounds": rounds}
    result["equal_fills"] = len(fills[OURS])
    for who, seconds in spent.items():
        ratios = [theirs / ours for theirs, ours in zip(seconds, spent[OURS], strict=True)]
        result[who] = {
            "ns_per_row": round(statistics.median(seconds) / feed.rows * 1e9, 2),
            "ns_per_packet": round(statistics.median(seconds) / len(feed.packets) * 1e9, 1),
            "times_ours": round(statistics.median(ratios), 2),
            "times_ours_range": [round(min(ratios), 2), round(max(ratios), 2)],
        }
    return result


def main() -> None:
    in_own_venv()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feed", action="append", choices=["m5", "u5", "m1", "u1"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--generator", type=Path, default=os.environ.get("ETS_BENCH_GENERATOR"))
    options = parser.parse_args()
    from . import facts

    for name in options.feed or ["m5", "u5"]:
        result = measure(name, options.rounds, options.generator and Path(options.generator))
        facts.keep(f"hftbacktest {name}", result)
        print(json.dumps(result))
        print(f"{name}: {result['rows']:,} rows, {result['packets']:,} packets, {result['equal_fills']:,} equal fills")
        for who in (OURS, "ROIVector", "HashMap"):
            row = result[who]
            times = f"{row['ns_per_row']:>8.1f} ns/row {row['ns_per_packet']:>8.0f} ns/packet"
            print(f"  {who:<10} {times} {row['times_ours']:>7.2f} x ours")


if __name__ == "__main__":
    main()
