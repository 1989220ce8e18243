"""A trader that is killed again and again at moments nobody chose, and goes on each time.

`python -m tests.live.killing KILLS [SEED]` runs it and prints what became of it.
"""

import contextlib
import hashlib
import hmac
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np

from elegant_trading_system.core.kinds import CommandKind, Kind
from elegant_trading_system.data import journal
from elegant_trading_system.sim.replay import verify

from ..builders import LOOSE
from .drill import SETTINGS

ROOT = Path(__file__).parents[2]
ETS = [sys.executable, "-m", "elegant_trading_system"]
SETS = [argument for setting in (*LOOSE, *SETTINGS) for argument in ("--set", setting)]  # nothing may stop it but us
PATIENCE_S = 300.0  # a first start compiles
FAULTS = ["lost-answer:0.1", "lost-report:0.1", "unclear-answer:0.1", "duplicate-report:0.2"]


class Outcome(NamedTuple):
    """What became of a trader that was killed so often; `problems` must be empty."""

    kills: int
    orders: int
    fills: int
    open_at_kills: int
    problems: list[str]


@contextlib.contextmanager
def venue(folder: Path, *more: str) -> Iterator[dict[str, Any]]:
    """An emulator in a process of its own; its addresses are in hosts.json of the folder."""
    command = [*ETS, "emulator", "--instruments", "BTC", "--history", "30", "--edge", "0.3", *more]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        assert running.stdout is not None
        found = json.loads(running.stdout.readline())
        found["venues"] = {"binance": found["venues"]["binance"]}
        (folder / "hosts.json").write_text(json.dumps(found))
        yield found["venues"]["binance"]
        running.send_signal(signal.SIGINT)
        running.wait(30)


def signed(where: dict[str, Any], path: str, query: str = "") -> Any:
    query += f"{'&' if query else ''}timestamp={time.time_ns() // 1_000_000}"
    signature = hmac.new(where["api_secret"].encode(), query.encode(), hashlib.sha256).hexdigest()
    url = f"{where['rest']}/{path}?{query}&signature={signature}"
    return httpx.get(url, headers={"X-MBX-APIKEY": where["api_key"]}).json()


def start(folder: Path, run: Path) -> "subprocess.Popen[bytes]":
    how = ["--resume", str(run)] if run.exists() else ["--out", str(run), *SETS]
    command = [*ETS, "run", "--hosts", str(folder / "hosts.json"), "--live", "--no-browser", "--json", *how]
    with (folder / "errors").open("a") as errors:
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors)


def size(run: Path) -> int:
    path = run / "journal" / "commands.bin"
    return path.stat().st_size if path.exists() else 0


def wait_for_orders(running: "subprocess.Popen[bytes]", run: Path, before: int) -> None:
    """Until it has sent something more."""
    deadline = time.monotonic() + PATIENCE_S
    while size(run) <= before and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)


def kill_often(folder: Path, where: dict[str, Any], kills: int, seed: int) -> Outcome:
    chance, run, open_at_kills = random.Random(seed), folder / "run", 0
    for _ in range(kills):
        before = size(run)
        with start(folder, run) as running:
            wait_for_orders(running, run, before)
            time.sleep(chance.choice([0.0, 0.001, 0.003, 0.01, 0.1, 1.0]) * chance.random())
            os.kill(running.pid, signal.SIGKILL)
        open_at_kills += len(signed(where, "openOrders"))
    before = size(run)
    with start(folder, run) as running:  # and once to the end
        wait_for_orders(running, run, before)
        running.send_signal(signal.SIGINT)
        code = running.wait(120)
    problems = [] if code == 0 else [f"the last run ended with {code}: {(folder / 'errors').read_text()[-2000:]}"]
    return check(where, run, kills, open_at_kills, problems)


def check(where: dict[str, Any], run: Path, kills: int, open_at_kills: int, problems: list[str]) -> Outcome:
    """No order twice, no fill lost, ours and the venue's account equal, every decision made again."""
    orders = signed(where, "allOrders", "symbol=BTCUSDT&limit=100000")
    trades = signed(where, "myTrades", "symbol=BTCUSDT&limit=100000")
    names = [order["clientOrderId"] for order in orders]
    numbers = [int(name.rpartition("-")[2]) for name in names]
    commands = journal.read_commands(run / "journal")
    sent = set(commands["order_id"][commands["kind"] == CommandKind.SEND].tolist())
    fills = sum(int(np.count_nonzero(packets["kind"] == Kind.FILL)) for packets, _ in journal.read(run / "journal"))
    summary = json.loads((run / "manifest.json").read_text())["summary"]
    ours = {asset: Decimal(entry["balance"]).scaleb(-entry["decimals"]) for asset, entry in summary["assets"].items()}
    theirs = {
        row["asset"]: Decimal(row["free"]) + Decimal(row["locked"]) for row in signed(where, "account")["balances"]
    }
    verified = verify(run)
    for holds, text in (
        (len(set(numbers)) == len(numbers), "an order was sent twice"),
        (set(numbers) <= sent, "the venue has orders that were never decided"),
        (fills == len(trades), f"{len(trades)} fills at the venue, {fills} in the journal"),
        (ours == theirs, f"ours {ours}, the venue's {theirs}"),
        (summary["refused_reports"] == 0, f"{summary['refused_reports']} reports were refused"),
        (verified["identical"], f"replay differs: {verified['first_difference']}"),
    ):
        if not holds:
            problems.append(text)
    return Outcome(kills, len(orders), fills, open_at_kills, problems)


def main(kills: int, seed: int) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        faults = [word for fault in FAULTS for word in ("--fault", fault)]
        with venue(folder, *faults) as where:
            outcome = kill_often(folder, where, kills, seed)
    sys.stdout.write(f"{outcome}\n")
    return bool(outcome.problems)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1))
