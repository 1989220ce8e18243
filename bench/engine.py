"""Where our own engine's time goes: by stage, by compile, by instrument; and how large its records are.

python -m bench.engine [--feed m5] [--catalog FOLDER] [--rounds 5] [--no-compile]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

from elegant_trading_system.config_sources import load as load_config
from elegant_trading_system.core import decider as product
from elegant_trading_system.core import jit, schema
from elegant_trading_system.data.catalog import Catalog, merge
from elegant_trading_system.data.universe import Universe, build
from elegant_trading_system.sim import simulate as product_simulate
from elegant_trading_system.sim.backtest import lookahead_ns
from elegant_trading_system.sim.session import Session

from . import facts, feed, run, simple_decider, stages

DECIDERS = {"product": product, "simple": simple_decider}
RECORDS = ("PACKET", "LEVEL", "UNIVERSE", "MARKET", "BOOKS", "BOOK", "TRADER", "VENUE_SIM")


def simulates(decider: ModuleType, name: str) -> dict[str, ModuleType]:
    """The backtest loop with more and more of a decider in it."""
    steps = {}
    for stage, is_observing in (("books", 0), ("features", 1)):
        stub = jit.instantiate(
            "bench.stages", f"stages_{name}_{stage}", base_override=decider, is_observing=is_observing
        )
        steps[stage] = run.simulate_with(stub, f"{name}_{stage}")
    steps["whole"] = product_simulate if decider is product else run.simulate_with(decider, "bench")
    return steps


def time_stages(name: str, packets: Any, levels: Any, universe: Universe, lookahead: int, rounds: int) -> Any:
    """CPU ns per packet and row, median of interleaved rounds; `steps` is what each stage adds."""
    decider = DECIDERS[name]
    config = load_config(sets=run.SETTINGS, environ={})
    seconds: dict[str, list[float]] = {"stream": []}
    loops = simulates(decider, name)
    for turn in range(rounds + 1):
        began = time.process_time()
        stages.stream(packets, levels)
        spent = {"stream": time.process_time() - began}
        for stage, simulate in loops.items():
            session = Session(
                universe, [config], lookahead, memory=decider.MEMORY, simulate=simulate, is_logging=name == "product"
            )
            began = time.process_time()
            session.run(packets, levels)
            spent[stage] = time.process_time() - began
        for stage, value in spent.items():
            if turn > 0:  # the first compiles
                seconds.setdefault(stage, []).append(value)
    rows = int((packets["buy_count"] + packets["sell_count"]).sum())
    result: dict[str, Any] = {"packets": len(packets), "rows": rows}
    for stage, values in seconds.items():
        spent_s = statistics.median(values)
        result[stage] = {
            "ns_per_packet": round(spent_s / len(packets) * 1e9, 1),
            "ns_per_row": round(spent_s / rows * 1e9, 2),
        }
    return result


def from_catalog(folder: Path) -> tuple[Any, Any, Universe, int]:
    tapes = Catalog(folder).tapes(None, None)
    merged = merge(tapes, None, None)
    config = load_config(environ={})
    return merged.packets, merged.levels, build(merged.listings, config), lookahead_ns(tapes)


# --- compiling ----------------------------------------------------------------------------------------------------
def compile_everything(feed_name: str) -> None:
    """In a process of its own: compile or load, run a little, run another instrument, report."""
    source = feed.load(feed_name)
    packets, levels = source.packets[:2000].copy(), source.levels
    config = load_config(environ={})
    other = run.LISTING.model_copy(
        update={
            "symbol": "ETH/EUR",
            "base": "ETH",
            "kind": "spot",
            "tick_size": Decimal("0.01"),
            "lot_size": Decimal("0.0001"),
        }
    )
    began = time.process_time()
    Session(build([run.LISTING], config), [config]).run(packets, levels)
    first_s = time.process_time() - began
    cache = Path(os.environ["ETS_CACHE_DIR"])
    before = (len(product_simulate.simulate.signatures), sum(1 for _ in cache.rglob("*.n*")))
    Session(build([other, run.LISTING], config), [config]).run(packets, levels)
    after = (len(product_simulate.simulate.signatures), sum(1 for _ in cache.rglob("*.n*")))
    print(
        json.dumps(
            {
                "first_call_cpu_s": round(first_s, 2),
                "compiled_by_another_instrument": after[1] - before[1] + after[0] - before[0],
            }
        )
    )


def measure_compile(feed_name: str) -> dict[str, Any]:
    """Cold and warm start in processes of their own, on a cache folder that begins empty."""
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"ETS_CACHE_DIR": folder}
        for start in ("cold", "warm"):
            began = time.perf_counter()
            command = [sys.executable, "-m", "bench.engine", "--compile-only", "--feed", feed_name]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            result[start] = json.loads(done.stdout) | {"process_wall_s": round(time.perf_counter() - began, 2)}
        result["cache_megabytes"] = round(
            sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file()) / 1e6, 1
        )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feed", default="m5", choices=list(feed.FEEDS))
    parser.add_argument("--generator", type=Path, default=os.environ.get("ETS_BENCH_GENERATOR"))
    parser.add_argument("--catalog", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--compile-only", action="store_true")
    options = parser.parse_args()
    if options.compile_only:
        compile_everything(options.feed)
        return
    source = feed.load(options.feed, options.generator and Path(options.generator))
    universe = build([run.LISTING], load_config(environ={}))
    result: dict[str, Any] = {"bytes": {name: getattr(schema, name).itemsize for name in RECORDS}}
    if not options.no_compile:
        result["compile"] = measure_compile(options.feed)
    for name in DECIDERS:
        result[f"{options.feed} {name}"] = time_stages(
            name, source.packets, source.levels, universe, source.lookahead_ns, options.rounds
        )
    if options.catalog:
        result["captures product"] = time_stages("product", *from_catalog(options.catalog), options.rounds)
    result["peak_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    facts.keep(f"engine {options.feed}", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
