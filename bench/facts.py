"""What machine and which code a measurement belongs to: no names of hosts, no paths."""

import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

from elegant_trading_system.core import jit

RESULTS = Path(__file__).parent / "results.json"


def machine() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")]
    facts = {"cpu": models[0] if models else platform.machine(), "cores": os.cpu_count(), "system": platform.system()}
    facts["python"] = platform.python_version()
    for package in ("numba", "numpy", "hftbacktest", "aiohttp", "ccxt", "cryptofeed", "python-binance"):
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return facts | {"source_digest": jit.SOURCE_DIGEST[:16], "load_average": round(os.getloadavg()[0], 1)}


def keep(name: str, result: Any) -> None:
    """Put one measurement into results.json, leaving the others."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[name] = {"machine": machine(), "result": result}
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
