"""`ets run` and `ets emulator` over real sockets of this machine."""

import asyncio
import hashlib
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import time
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from elegant_trading_system import cli
from elegant_trading_system.cli_emulator import addresses, embedded
from elegant_trading_system.data import journal
from elegant_trading_system.emulator.embedded import Door
from elegant_trading_system.emulator.faults import Faults, parse
from elegant_trading_system.errors import ExitCode, UserError
from elegant_trading_system.shell import live as live_module
from elegant_trading_system.shell import run_folder
from elegant_trading_system.shell.binance.link import BinanceLink, Place
from elegant_trading_system.shell.hosts import link_to
from elegant_trading_system.shell.live import LiveRun, poll, wall_ns
from elegant_trading_system.sim.replay import verify

from ..builders import LOOSE, loose
from .trading import PATIENCE_S, SCENE, begun, has_sent, money, trade_until, until

ROOT = Path(__file__).parents[2]
ETS = [sys.executable, "-m", "elegant_trading_system"]
SETS = [argument for setting in LOOSE for argument in ("--set", setting)]


def balances(door: Door) -> dict[str, Decimal]:
    """What the venue says the account holds."""
    query = f"timestamp={time.time_ns() // 1_000_000}"
    signature = hmac.new(door.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    url = f"http://{door.host}/api/v3/account?{query}&signature={signature}"
    answer = httpx.get(url, headers={"X-MBX-APIKEY": door.api_key}).json()
    return {row["asset"]: Decimal(row["free"]) + Decimal(row["locked"]) for row in answer["balances"]}


async def trade(folder: Path, orders: int, faults: Faults) -> tuple[BinanceLink, dict[str, Decimal]]:
    async with embedded(SCENE, ["binance"], 100_000.0).serve(wall_ns, faults) as (door,):
        link = link_to(door.venue, addresses(door), wall_ns)
        assert isinstance(link, BinanceLink)
        await trade_until([link], folder, orders, faults)
        return link, await asyncio.to_thread(balances, door)


@pytest.mark.spec("X1", "P1", "E4", "M2")
def test_what_was_traded_over_sockets_is_the_venue_s_account_and_replays_to_the_same_decisions(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    link, held = asyncio.run(trade(folder, 6, Faults({}, 0)))
    summary = run_folder.finish(folder, 1.0)
    assert summary["orders"] >= 6
    assert summary["fills"] > 0
    assert summary["lots"]["sent"] == sum(summary["lots"][name] for name in ("filled", "expired"))
    assert (summary["refused_reports"], summary["refused_rows"], link.feed.counts["refused"]) == (0, 0, 0)
    assert money(summary) == held, "to the last decimal"
    assert link.feed.counts["gaps"] == 0
    assert link.feed.listings["BTCUSDT"].depth.repeated > 0, "two connections brought everything twice"
    verified = verify(folder)
    assert verified["identical"], verified["first_difference"]
    assert verified["commands"] >= 6
    assert (folder / "trades.parquet").exists()


@pytest.mark.spec("E4", "M2", "P1")
def test_what_goes_wrong_on_real_sockets_leaves_the_accounts_equal(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shares = {
        "drop": 0.02,
        "duplicate": 0.1,
        "disconnect": 0.003,
        "lost-report": 0.1,
        "duplicate-report": 0.3,
        "lost-answer": 0.1,
    }
    link, held = asyncio.run(trade(folder, 20, Faults(shares, 3)))
    summary = run_folder.finish(folder, 1.0)
    assert money(summary) == held
    assert summary["refused_reports"] == 0
    assert link.gateway.counts["repeated_fills"] > 0
    assert verify(folder)["identical"]


@pytest.mark.spec("X1", "P1")
def test_a_run_that_ends_waits_to_hear_what_became_of_its_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "SETTLE_S", 0.01)

    async def trade() -> tuple[LiveRun, dict[str, Decimal]]:
        faults = Faults({}, 2)
        async with embedded(SCENE, ["binance"], 100_000.0).serve(wall_ns, faults) as (door,):
            live = LiveRun([link_to(door.venue, addresses(door), wall_ns)], loose(), tmp_path / "run")
            running = begun(live)
            await until(running, lambda: live.universe and live.sequencer.trader["verdicts"].any())
            faults.shares = {"late-request": 1.0}  # orders are seconds under way
            await until(running, lambda: has_sent(live, 1), 0.005)
            live.stop()
            await running
            return live, await asyncio.to_thread(balances, door)

    live, held = asyncio.run(trade())
    assert int(live.sequencer.trader["order_count"]) == 0
    ours = money(run_folder.finish(live.folder, 1.0))
    assert {asset: ours[asset] for asset in ("BTC", "USDT")} == {asset: held[asset] for asset in ("BTC", "USDT")}


@pytest.mark.spec("X1")
def test_a_run_killed_in_the_middle_replays_to_every_command_it_sent(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [*ETS, "run", "--busy-poll", "--out", str(folder), "--history", "30", "--edge", "0.3", *SETS]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        commands, deadline = folder / "journal" / "commands.bin", time.monotonic() + PATIENCE_S
        while (
            time.monotonic() < deadline
            and running.poll() is None
            and not (commands.exists() and commands.stat().st_size)
        ):
            time.sleep(0.05)
        time.sleep(1.0)
        os.kill(running.pid, signal.SIGKILL)
    assert len(journal.read_commands(folder / "journal")) > 0
    verified = verify(folder)
    assert verified["identical"], verified["first_difference"]


def test_a_run_that_polls_never_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = list[float | None]()

    async def passes(seconds: float) -> None:
        selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
        select = selector.select

        def noted(timeout: float | None = None) -> Any:
            waited.append(timeout)
            return select(timeout)

        monkeypatch.setattr(selector, "select", noted)
        await asyncio.sleep(seconds)
        monkeypatch.undo()

    async def both() -> None:
        await passes(0.02)
        assert max(timeout for timeout in waited if timeout is not None) > 0, "it would notice"
        waited.clear()
        polling = asyncio.create_task(poll())
        await passes(0.02)
        polling.cancel()

    asyncio.run(both())
    assert len(waited) > 10
    assert set(waited) == {0}


@pytest.mark.spec("X1", "X3")
def test_the_demonstration_decides_and_sends_within_its_first_minute_on_three_venues(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [*ETS, "run", "--demo", "--minutes", "1", "--no-browser", "--json", "--out", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    summary = json.loads(done.stdout)
    assert summary["orders"] >= 1
    assert summary["fills"] >= 1
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["sources"] == ["SIMULATED binance, binanceusdm, coinbase: demo scenario, seed 3, planted edge 0.2"]
    assert {spec["venue"] for spec in manifest["listings"]} == {"binance", "binanceusdm", "coinbase", "deribit"}
    page = Path(summary["report"]).read_text()
    assert "<h1>Live run: BTC, ETH, SOL</h1>" in page
    assert ">SIMULATED market</span>" in page
    assert "made with edge 0.2" in page
    assert 0 < manifest["last_ns"] - manifest["first_ns"] < 100 * 10**9, "its history is not traded"
    verified = verify(folder)
    assert verified["identical"], verified["first_difference"]


@pytest.mark.spec("X1")
def test_the_emulator_says_where_it_is_and_stops_when_told() -> None:
    command = [*ETS, "emulator", "--instruments", "ETH", "--history", "5"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        assert running.stdout is not None
        where: dict[str, Any] = json.loads(running.stdout.readline())
        where = where["venues"]["binance"]
        assert where["symbols"] == ["ETHUSDT"]
        assert where["rest"].startswith("http://127.0.0.1:")
        klines = httpx.get(f"{where['rest']}/klines", params={"symbol": "ETHUSDT", "interval": "1m"}).json()
        assert 5 <= len(klines) <= 7
        assert all(later[0] == earlier[0] + 60_000 for earlier, later in pairwise(klines))
        assert httpx.get(f"{where['rest']}/nothing").status_code == 404
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0


def test_a_venue_that_is_not_there_is_said_in_a_sentence(tmp_path: Path) -> None:
    nowhere = Place("http://127.0.0.1:9", "ws://127.0.0.1:9", "ws://127.0.0.1:9/ws-api/v3", "key", "secret")
    with pytest.raises(UserError, match=r"binance: exchangeInfo at http://127\.0\.0\.1:9/api/v3"):
        asyncio.run(LiveRun([BinanceLink(nowhere, ["BTCUSDT"], wall_ns)], loose(), tmp_path).run(1.0))


def test_everything_wrong_with_the_faults_is_said_at_once() -> None:
    with pytest.raises(UserError) as refused:
        parse(["drop:0.5", "dropp:0.1", "delay:2", "reject:x"], 1)
    assert [
        word in refused.value.message for word in ("dropp:0.1: no such", "delay:2: a share", "reject:x: its share")
    ] == [True] * 3
    assert "lost-report" in refused.value.hint


def test_a_port_that_is_taken_is_said_by_its_number() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        async def serve() -> None:
            async with embedded(SCENE, ["binance"], 1000.0).serve(wall_ns, Faults({}, 0), port):
                pass

        with pytest.raises(UserError, match=f"port {port}: "):
            asyncio.run(serve())


def test_a_run_that_cannot_begin_leaves_no_folder_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["--instruments", "NOPE"], ["--fault", "nothing:1"]):
        with pytest.raises(SystemExit) as left:
            cli.main(["run", *words])
        assert left.value.code == ExitCode.USAGE
    assert not list(tmp_path.rglob("*"))
