"""Speed of the simulated market on one core: internal events (orders, cancels, requotes, jumps; thinned ones excluded)
per second of processor time, the best of some rounds, for packets of all listings merged and for samples alone.

    python -m bench.market [--hours 1] [--rounds 5] [--cold]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

from elegant_trading_system.sim.market_stream import MarketStream

from . import facts

CASES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "packets, 1 instrument": (["BTC"], {}),
    "packets, 6 instruments": (["BTC", "ETH", "SOL", "XRP", "ADA", "DOGE"], {}),
    "samples only, 1 instrument": (["BTC"], {"batch_ms": 0, "sample_ms": 100}),
}
COLD = """
import time
from elegant_trading_system.sim.market_stream import MarketStream
begin = time.process_time()
MarketStream(["BTC"], 1).chunk(1)
print(time.process_time() - begin)
"""


def measure(instruments: list[str], options: dict[str, Any], hours: float, rounds: int) -> dict[str, float]:
    stream = MarketStream(instruments, 1, **options)
    stream.chunk(1)
    seconds = max(1, round(hours * 3_600 / len(instruments)))
    best: dict[str, float] = {}
    for _ in range(rounds):
        events, begin = stream.event_count, time.process_time()
        packets = stream.chunk(seconds).packets
        spent = time.process_time() - begin
        events = stream.event_count - events
        if events / spent > best.get("events_per_s", 0.0):
            best = {
                "events_per_s": round(events / spent),
                "packets_per_s": round(len(packets) / spent),
                "events_per_simulated_s": round(events / seconds / len(instruments), 1),
                "times_real_time": round(seconds * len(instruments) / spent),
            }
    return best


def cold_compile_s() -> float:
    """Processor seconds of the very first second of market, with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"ETS_CACHE_DIR": cache, "PYTHONPATH": os.pathsep.join(sys.path)}
        ran = subprocess.run([sys.executable, "-c", COLD], env=environment, capture_output=True, text=True, check=True)
    return round(float(ran.stdout), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0, help="instrument-hours per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold", action="store_true", help="also compile with an empty cache")
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        name: measure(instruments, options, arguments.hours, arguments.rounds)
        for name, (instruments, options) in CASES.items()
    }
    if arguments.cold:
        result["cold compile, s"] = cold_compile_s()
    facts.keep("market", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
