"""ccxt itself on the emulated venues: recorded, traded on paper and with orders, replayed."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from elegant_trading_system.shell.ccxt.gateway import is_clear
from elegant_trading_system.sim.replay import verify

from ..builders import LOOSE
from .test_real_clients import python_of

CLIENTS = Path(__file__).parent / "clients"
ROOT = Path(__file__).parents[2]
TALK_S = 500
NO = {"InsufficientFunds", "InvalidOrder", "BadRequest", "BadSymbol", "AuthenticationError", "PermissionDenied"}
NO |= {"OperationRejected", "OrderNotFillable", "RateLimitExceeded", "InvalidNonce"}


def by_ccxt(script: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """A script of ours with ccxt from its own environment."""
    site = next((python_of("ccxt").parents[1]).rglob("site-packages"))
    command = [sys.executable, str(CLIENTS / script), str(site), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=TALK_S, check=False, cwd=ROOT)


def traded(folder: Path, venues: str, how: str, *faults: str) -> dict[str, Any]:
    """What both sides hold after a run, which replays to the same decisions."""
    said = by_ccxt("ets_over_ccxt.py", str(folder / "run"), venues, how, *faults)
    assert said.returncode == 0, said.stderr[-3000:]
    found: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    assert not any(found["refused"]), found["refused"]
    assert found["crossed"] == 0
    verified = verify(folder / "run")
    assert verified["identical"], verified["first_difference"]
    return found


def ours(found: dict[str, Any]) -> dict[str, Decimal]:
    return {asset: Decimal(atoms).scaleb(-decimals) for asset, (atoms, decimals) in found["ours"].items()}


def theirs(found: dict[str, Any]) -> dict[str, Decimal]:
    return {asset: Decimal(amount) for asset, amount in found["venue"].items()}


@pytest.mark.spec("X2", "E4", "P1")
@pytest.mark.parametrize(
    "venue, faults", [("binance", []), ("binance", ["lost-answer:0.2", "drop:0.01"]), ("coinbase", [])]
)
def test_what_is_traded_by_ccxt_is_what_the_venue_s_account_holds(
    tmp_path: Path, venue: str, faults: list[str]
) -> None:
    found = traded(tmp_path, venue, "live", *faults)
    held = theirs(found)
    assert {asset: amount for asset, amount in ours(found).items() if amount or asset in held} == held, (
        "to the last decimal"
    )
    assert found["orders"] >= 6
    assert found["fills"] > 0
    assert len(set(found["names"])) == len(found["names"]) <= found["orders"], "none twice"
    assert {name for name, names in found["errors"].items() if is_clear(names)} == NO


@pytest.mark.spec("X2", "X4", "E4", "P1")
def test_perpetuals_are_traded_by_ccxt_in_one_way_mode_and_exits_only_close(tmp_path: Path) -> None:
    found = traded(tmp_path, "binanceusdm", "live")
    assert found["contracts"][0] == found["contracts"][1]
    if not found["contracts"][0][0]:
        assert ours(found)["USDT"] == theirs(found)["USDT"]
    assert found["fills"] > 0
    assert found["hedged"] == [False], "it was when the run began"
    assert set(found["exits"]) == {False, True}


@pytest.mark.spec("X2", "X4", "P1")
def test_funding_is_asked_for_and_counts_once(tmp_path: Path) -> None:
    found = traded(tmp_path, "binanceusdm", "funding")
    paid, heard = map(Decimal, found["funding"])
    assert heard == paid != 0
    assert ours(found)["USDT"] == theirs(found)["USDT"]


@pytest.mark.spec("X2", "X4", "P1")
def test_a_run_killed_while_it_holds_a_perpetual_goes_on_and_is_not_halted(tmp_path: Path) -> None:
    found = traded(tmp_path, "binanceusdm", "resumed")
    assert (found["halted"], [line for line in found["said"] if "HALTED" in line]) == (0, [])
    assert found["contracts"] == [[0], [0]]
    assert ours(found)["USDT"] == theirs(found)["USDT"]


@pytest.mark.spec("X2", "E5")
def test_a_position_that_somebody_else_opened_halts_the_run(tmp_path: Path) -> None:
    found = traded(tmp_path, "binanceusdm", "meddled")
    assert found["halted"]
    assert [line for line in found["said"] if "HALTED, nothing is entered" in line and "by +0.07" in line]


@pytest.mark.spec("X2", "E6", "R2")
@pytest.mark.parametrize("venue", ["binance", "binanceusdm"])
def test_what_an_account_held_is_adopted_by_ccxt_and_an_order_of_somebody_s_cancelled(
    venue: str, tmp_path: Path
) -> None:
    found = traded(tmp_path, venue, "adopted")
    assert [line for line in found["said"] if "is a position of this run" in line], found["said"]
    assert [line for line in found["said"] if f"{venue}: cancelled BTC/USDT" in line], found["said"]
    assert found["open"] == [0]
    assert found["contracts"][0] == [0]
    assert found["orders"] > 0
    assert ours(found)["USDT"] == theirs(found)["USDT"]


@pytest.mark.spec("X1", "X2", "P1")
def test_orders_on_paper_by_ccxt_never_reach_the_venues(tmp_path: Path) -> None:
    found = traded(tmp_path, "binance,coinbase,binanceusdm", "paper")
    assert found["orders"] >= 6
    assert found["fills"] > 0
    assert found["names"] == []
    assert theirs(found) == {"USDT": Decimal(200_000), "USD": Decimal(100_000)}


# --- the commands -----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Emulated venues of another process."""
    path = tmp_path_factory.mktemp("hosts") / "hosts.json"
    command = [sys.executable, "-m", "elegant_trading_system", "emulator"]
    command += ["--instruments", "BTC", "--history", "30", "--edge", "0.3"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        assert running.stdout is not None
        path.write_text(running.stdout.readline())
        yield path
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0


def ets(*words: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
    done = by_ccxt("ets_with.py", *words)
    assert done.returncode == code, done.stderr[-2000:]
    return done


SETS = [argument for setting in LOOSE for argument in ("--set", setting)]
SPOT, ALL = "ccxt:binance,ccxt:coinbase", "ccxt:binance,ccxt:coinbase,ccxt:binanceusdm"


@pytest.mark.spec("X2", "M4")
def test_what_ccxt_tells_is_recorded(tmp_path: Path, hosts: Path) -> None:
    words = ["--hosts", str(hosts), "--venues", ALL, "--minutes", "0.1", "--catalog", str(tmp_path), "--json"]
    tapes = json.loads(ets("record", *words).stdout)["tapes"]
    assert {(tape["listing"]["venue"], tape["listing"]["symbol"]) for tape in tapes} == {
        ("binance", "BTC/USDT"), ("coinbase", "BTC/USD"), ("binanceusdm", "BTC/USDT:USDT"),
    }  # fmt: skip
    live = [tape for tape in tapes if not tape["quality"]["bars"]]
    assert [tape["quality"]["sequence_gaps"] + tape["quality"]["crossed_books"] for tape in live] == [0, 0, 0]
    assert all(tape["quality"]["depth_packets"] for tape in live)
    assert {tape["listing"]["taker_fee_bps"] for tape in live} == {"10", "5", "120"}, "as each venue says"


@pytest.mark.spec("X1", "X2", "P1")
def test_ets_run_sends_orders_by_ccxt_to_this_machine_and_replays(tmp_path: Path, hosts: Path) -> None:
    words = ["--hosts", str(hosts), "--live", "--minutes", "0.3", "--no-browser", "--json", *SETS]
    summary = json.loads(ets("run", *words, "--venues", SPOT, "--out", str(tmp_path / "spot")).stdout)
    assert {name for name, entry in summary["assets"].items() if entry["transfer"]} == {"USDT", "USD"}
    refused = ets("run", *words, "--venues", "ccxt:binanceusdm", "--out", str(tmp_path / "no"), code=3)
    assert "cannot be told whether the key may withdraw" in refused.stderr
    assert not (tmp_path / "no").exists()
    checked = ["--key-checked", "ccxt:binanceusdm", "--out", str(tmp_path / "linear")]
    summary = json.loads(ets("run", *words, "--venues", "ccxt:binanceusdm", *checked).stdout)
    assert summary["refused_reports"] == 0
    for name in ("spot", "linear"):
        assert verify(tmp_path / name)["identical"]


def test_a_venue_that_nobody_knows_is_refused_with_what_was_perhaps_meant() -> None:
    assert "did you mean kraken" in ets("run", "--venues", "krakn", code=2).stderr
    command = [sys.executable, "-m", "elegant_trading_system", "run", "--venues", "krakn"]
    without = subprocess.run(command, capture_output=True, text=True, timeout=TALK_S, check=False, cwd=ROOT)
    assert (without.returncode, "pip install '.[ccxt]'" in without.stderr) == (2, True)
