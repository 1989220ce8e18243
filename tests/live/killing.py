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
from elegant_trading_system.shell import snapshots
from elegant_trading_system.shell.run_folder import recover
from elegant_trading_system.sim.replay import verify

from ..builders import LOOSE
from .drill import SETTINGS

ROOT = Path(__file__).parents[2]
ETS = [sys.executable, "-m", "elegant_trading_system"]
#: The same with a snapshot five times a second, so that kills fall into all of it.
HASTY = "from elegant_trading_system.shell import snapshots; snapshots.EVERY_NS = 200_000_000\n"
HASTY_ETS = [sys.executable, "-c", HASTY + "from elegant_trading_system.__main__ import start; start()"]
SETS = [argument for setting in (*LOOSE, *SETTINGS) for argument in ("--set", setting)]  # nothing may stop it but us
PATIENCE_S = 300.0  # a first start compiles
FAULTS = ["lost-answer:0.1", "lost-report:0.1", "unclear-answer:0.1", "duplicate-report:0.2", "late-request:0.3"]


class Outcome(NamedTuple):
    """What became of a trader that was killed so often; `problems` must be empty."""

    kills: int
    orders: int
    fills: int
    open_at_kills: int  # kills at which orders were under way, or not heard of for good
    from_snapshots: int  # kills after which less than the whole journal was replayed
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
    command = [*HASTY_ETS, "run", "--hosts", str(folder / "hosts.json"), "--live", "--no-browser", "--json", *how]
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
    from_snapshots, problems = 0, list[str]()
    for _ in range(kills):
        before = size(run)
        with start(folder, run) as running:
            wait_for_orders(running, run, before)
            time.sleep(chance.choice([0.0, 0.001, 0.003, 0.01, 0.1, 1.0]) * chance.random())
            os.kill(running.pid, signal.SIGKILL)
        found = compare_recoveries(run, problems)
        open_at_kills, from_snapshots = open_at_kills + found.is_open, from_snapshots + found.is_from_snapshot
    before = size(run)
    with start(folder, run) as running:  # and once to the end
        wait_for_orders(running, run, before)
        running.send_signal(signal.SIGINT)
        code = running.wait(120)
    if code:
        problems.append(f"the last run ended with {code}: {(folder / 'errors').read_text()[-2000:]}")
    problems += check(where, run)
    orders, fills = len(all_of(where, "allOrders")), len(all_of(where, "myTrades"))
    return Outcome(kills, orders, fills, open_at_kills, from_snapshots, problems)


class Left(NamedTuple):
    """What a kill has left."""

    is_open: bool  # orders without their end
    is_from_snapshot: bool


def compare_recoveries(run: Path, problems: list[str]) -> Left:
    """From the newest snapshot as from the whole journal, byte for byte."""
    kept, hidden = run / snapshots.FOLDER, run / "hidden"
    if not kept.exists():
        return Left(is_open=False, is_from_snapshot=False)  # it had hardly begun
    found = recover(run)
    kept.rename(hidden)
    whole = recover(run)
    hidden.rename(kept)
    for name in ("market", "books", "traders", "missing"):
        if getattr(found, name).tobytes() != getattr(whole, name).tobytes():
            problems.append(f"{name} differs between snapshot and journal, behind {found.behind}")
    if (found.ts_ns, found.open_orders) != (whole.ts_ns, whole.open_orders):
        problems.append(f"open orders differ between snapshot and journal, behind {found.behind}")
    problems += found.refused  # a kill leaves half a file, never half a snapshot
    return Left(bool(found.open_orders), found.replayed < whole.replayed)


def all_of(where: dict[str, Any], what: str) -> Any:
    return signed(where, what, "symbol=BTCUSDT&limit=100000")


def check(where: dict[str, Any], run: Path) -> list[str]:
    """No order twice, no fill lost, ours and the venue's account equal, every decision made again."""
    orders, trades = all_of(where, "allOrders"), all_of(where, "myTrades")
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
    claims = (
        (len(set(numbers)) == len(numbers), "an order was sent twice"),
        (set(numbers) <= sent, "the venue has orders that were never decided"),
        (fills == len(trades), f"{len(trades)} fills at the venue, {fills} in the journal"),
        (ours == theirs, f"ours {ours}, the venue's {theirs}"),
        (summary["refused_reports"] == 0, f"{summary['refused_reports']} reports were refused"),
        (verified["identical"], f"replay differs: {verified['first_difference']}"),
    )
    return [text for holds, text in claims if not holds]


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
