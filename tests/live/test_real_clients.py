"""Clients that nobody here wrote, each in an environment of its own, on the emulated venues."""

import hashlib
import json
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from platformdirs import user_cache_path

HERE = Path(__file__).parent / "clients"
ROOT = Path(__file__).parents[2]
INSTALL_S, TALK_S = 600, 180


def python_of(client: str) -> Path:
    """The interpreter of the client's environment, made from its hashed lock the first time."""
    lock = HERE / f"{client}.txt"
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = user_cache_path("elegant-trading-system") / "clients" / f"{client}-{digest}"
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / "made").exists():
            venv.create(folder, with_pip=True, clear=True)
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
            made = subprocess.run(
                [*pip, "-r", str(lock)], capture_output=True, text=True, timeout=INSTALL_S, check=False
            )
            assert made.returncode == 0, made.stderr[-3000:]
            (folder / "made").touch()
    return python


@pytest.fixture(scope="module")
def venues() -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "elegant_trading_system", "emulator"]
    command += ["--instruments", "BTC,ETH", "--history", "30", "--capital", "50000000"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        assert running.stdout is not None
        yield json.loads(running.stdout.readline())["venues"]
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0


def talk(client: str, script: str, where: dict[str, Any]) -> dict[str, Any]:
    """What the client saw; its own complaint when it failed."""
    command = [str(python_of(client)), str(HERE / script), json.dumps(where)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=TALK_S, check=False)
    assert said.returncode == 0, said.stderr[-3000:]
    found: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return found


@pytest.mark.spec("X2", "M1", "E2")
def test_ccxt_keeps_the_book_in_step_trades_and_calls_refusals_by_their_types(venues: dict[str, Any]) -> None:
    found = talk("ccxt", "with_ccxt.py", venues["binance"])
    assert found["precision"]["price"] == 4.0
    assert found["crossed"] == 0
    assert found["nonces"] == sorted(found["nonces"]), "no gap: it would have raised ChecksumError"
    assert found["filled"] == ["closed", 0.01, True, 1]
    assert found["partly"] == ["expired", True]
    assert found["missed"] == ["expired", 0.0]
    assert (found["open"], found["cancelled"], found["fetched"], found["by_socket"]) == (
        ["resting"],
        "canceled",
        "closed",
        "closed",
    )
    assert found["trades"] >= 2
    assert found["errors"] == {
        "funds": "InsufficientFunds",
        "unknown": "OrderNotFound",
        "notional": "BadRequest",
        "taking": "OrderImmediatelyFillable",
        "signature": "AuthenticationError",
    }
    told = [(name, status) for name, status, _ in found["events"] if name in ("whole", "partly", "missed", "resting")]
    assert told[0] == ("whole", "open")
    assert {("whole", "closed"), ("partly", "expired"), ("missed", "expired"), ("resting", "canceled")} <= set(told)


@pytest.mark.spec("X2", "M1", "E2")
def test_python_binance_keeps_the_book_trades_and_hears_of_its_orders(venues: dict[str, Any]) -> None:
    found = talk("python-binance", "with_python_binance.py", venues["binance"])
    assert found["crossed"] == 0
    assert min(found["depth"]) > 10
    assert found["filters"] == ["ICEBERG_PARTS", "LOT_SIZE", "MAX_NUM_ORDERS", "NOTIONAL", "PRICE_FILTER"]
    assert found["filled"] == ["FILLED", "0.01000000", "BTC"]
    assert (found["partly"], found["missed"], found["resting"]) == (["EXPIRED", True], "EXPIRED", ["NEW", 1])
    assert (found["cancelled"], found["by_socket"]) == ("CANCELED", "FILLED")
    assert found["klines"] > 30
    assert found["codes"] == {"funds": -2010, "lot": -1013, "unknown": -2011, "missing": -2013, "symbol": -1121}
    steps = [(name, step, status) for name, step, status in found["events"]]
    assert [step for step in steps if step[0] == "whole"] == [("whole", "NEW", "NEW"), ("whole", "TRADE", "FILLED")]
    first, *fills, last = [step for name, *step in steps if name == "partly"]
    assert (first, last) == (["NEW", "NEW"], ["EXPIRED", "EXPIRED"])
    assert fills
    assert all(step == ["TRADE", "PARTIALLY_FILLED"] for step in fills)


@pytest.mark.spec("X2", "M1", "E2")
def test_ccxt_keeps_a_perpetual_s_book_trades_it_and_calls_refusals_by_their_types(venues: dict[str, Any]) -> None:
    found = talk("ccxt", "with_ccxt_futures.py", venues["binanceusdm"])
    assert found["market"] == [True, 1.0, 0.01, 5.0]
    assert (found["leverage"], found["crossed"]) == (10, 0)
    assert found["nonces"] == sorted(found["nonces"]), "no gap: it would have raised ChecksumError"
    assert any(later - before > 2 for before, later in pairwise(found["nonces"]))
    assert (found["filled"], found["partly"], found["missed"]) == (["closed", 0.03], ["expired", True], "expired")
    assert (found["open"], found["cancelled"], found["by_socket"]) == (["resting"], "canceled", "closed")
    assert (found["fetched"], found["closing"], found["fees"]) == (["closed", True], True, ["USDT"])
    assert found["position"][:2] == ["long", True]
    assert found["funding"] == [0.0001, 0]
    assert (found["duplicate"], found["trades"] > 0) == ("InvalidOrder", True)
    assert found["errors"] == {
        "funds": "InsufficientFunds",
        "unknown": "OrderNotFound",
        "notional": "InvalidOrder",
        "taking": "OrderNotFillable",
        "whole or nothing": "OrderNotFillable",
        "margin mode": "MarginModeAlreadySet",
        "signature": "AuthenticationError",
    }
    told = [(name, status) for name, status, _ in found["events"]]
    assert told[:2] == [("whole", "open"), ("whole", "closed")]
    assert {("partly", "expired"), ("missed", "expired"), ("resting", "canceled"), ("closing", "closed")} <= set(told)


@pytest.mark.spec("X2", "M1", "E2")
def test_python_binance_trades_perpetuals_and_hears_of_its_orders_by_listen_key(venues: dict[str, Any]) -> None:
    found = talk("python-binance", "with_python_binance_futures.py", venues["binanceusdm"])
    assert (found["crossed"], found["depth"]) == (0, [10, 10])
    assert {"LOT_SIZE", "MIN_NOTIONAL", "PERCENT_PRICE", "PRICE_FILTER"} <= set(found["filters"])
    assert (found["mode"], found["margin"], found["leverage"]) == (-4059, -4046, 8)
    assert (found["mark"], found["aggregate"]) == ("markPriceUpdate", "aggTrade")
    assert found["filled"] == ["FILLED", "0.03", False], "an answer names no average price"
    assert (found["partly"], found["resting"], found["cancelled"]) == (["EXPIRED", True], ["NEW", 1], "CANCELED")
    assert (found["queried"], found["by_socket"]) == (["FILLED", True], "FILLED")
    assert found["position"] == [True, True]
    assert found["klines"] > 30
    assert found["codes"] == {
        "margin": -2019, "reduce": -2022, "tick": -4014, "lot": -1111, "all": -5021, "post": -5022,
        "unknown": -2011, "missing": -2013, "symbol": -1121,
    }  # fmt: skip
    steps = [(name, step, status) for name, step, status in found["events"]]
    assert [step for step in steps if step[0] == "whole"] == [("whole", "NEW", "NEW"), ("whole", "TRADE", "FILLED")]
    assert [step for name, *step in steps if name == "partly"][-1] == ["EXPIRED", "EXPIRED"]
    assert ("account", "ORDER", "BTCUSDT") in steps


def test_the_venue_s_own_library_keeps_coinbase_s_book_trades_and_hears_of_its_orders(venues: dict[str, Any]) -> None:
    found = talk("coinbase-advanced", "with_coinbase_advanced.py", venues["coinbase"])
    assert found["product"] == ["BTC", "USD", "online"]
    assert (found["permissions"], found["fee"]) == (True, "0.006")
    assert (found["crossed"], found["contiguous"]) == (0, True)
    assert found["channels"] == ["heartbeats", "l2_data", "market_trades", "subscriptions"]
    matched, asked = found["books"]
    assert matched > 0.8 * asked, "its book was the venue's; a REST book may fall between two messages"
    assert found["prints"] > 0
    assert found["whole"] == ["FILLED", "0.01", "whole"]
    assert found["again"], "the same name gives the same order"
    assert (found["partly"], found["missed"]) == (["CANCELLED", True], ["CANCELLED", "0"])
    assert (found["open"], found["cancelled"], found["resting"]) == (["resting"], True, "CANCELLED")
    assert (found["fills"], found["market"], found["sold"]) == ([0.01, True], "FILLED", ["FILLED", "0.01"])
    assert found["candles"] > 25
    assert found["accounts"] == ["BTC", "USD"]
    unknown, key = found["errors"].pop("unknown"), found["errors"].pop("key")
    assert found["errors"] == {
        "funds": "INSUFFICIENT_FUND",
        "precision": "INVALID_SIZE_PRECISION",
        "taking": "INVALID_LIMIT_PRICE_POST_ONLY",
        "product": "INVALID_PRODUCT_ID",
    }
    assert unknown[0] == 404 and "was not found" in unknown[1]
    assert key[0] == 401 and "Unauthorized" in key[1]
    told = [(name, status) for name, status, _ in found["events"]]
    assert [status for name, status in told if name == "resting"] == ["OPEN", "CANCELLED"]
    assert {("whole", "FILLED"), ("partly", "CANCELLED"), ("missed", "CANCELLED"), ("market", "FILLED")} <= set(told)
    assert [filled for name, _, filled in found["events"] if name == "whole"] == ["0.01"]


@pytest.mark.spec("X2", "M1", "E2")
def test_ccxt_keeps_coinbase_s_book_trades_and_hears_of_its_orders(venues: dict[str, Any]) -> None:
    found = talk("ccxt", "with_ccxt_coinbase.py", venues["coinbase"])
    assert found["crossed"] == 0
    assert found["levels"] > 10
    assert found["trades"]
    assert found["whole"][:2] == ["closed", 0.01]
    assert (found["partly"], found["missed"]) == (["canceled", True], ["canceled", 0.0])
    assert (found["open"], found["resting"]) == (["ccxt-resting"], ["open", "canceled"])
    assert found["fills"] > 1
    assert (found["candles"], found["balance"]) == (20, True)
    assert found["errors"] == {  # this client has no names of its own for two of them
        "funds": "InsufficientFunds",
        "unknown": "ExchangeError",
        "taking": "ExchangeError",
        "key": "AuthenticationError",
    }
    told = [(name.removeprefix("ccxt-"), status) for name, status, _ in found["events"]]
    assert {("whole", "closed"), ("partly", "canceled"), ("missed", "canceled")} <= set(told)
    assert [status for name, status in told if name == "resting"] == ["open", "canceled"]


@pytest.mark.spec("X2", "M1", "E2")
def test_the_venue_s_own_library_reads_binance_s_streams_trades_and_hears_of_its_orders(venues: dict[str, Any]) -> None:
    found = talk("binance-sdk-spot", "with_binance_sdk.py", venues["binance"])
    assert found["book"] == [0, 0, True], "no gap, never crossed"
    assert found["whole"] == ["FILLED", "0.01000000", "BTC"]
    assert (found["partly"], found["missed"], found["resting"]) == (["EXPIRED", True], "EXPIRED", ["NEW", 1])
    assert (found["cancelled"], found["queried"], found["by_socket"]) == ("CANCELED", "FILLED", "FILLED")
    assert found["balances"] == ["BTC", "USDT"]
    assert {name: error[0] for name, error in found["errors"].items()} == dict.fromkeys(
        ("funds", "unknown", "symbol"), "BadRequestError"
    )
    steps = [(name, *step) for name, *step in found["events"]]
    assert [step for step in steps if step[0] == "whole"] == [("whole", "NEW", "NEW"), ("whole", "TRADE", "FILLED")]
    assert [step for step in steps if step[0] == "partly"][-1] == ("partly", "EXPIRED", "EXPIRED")
    assert ("socket", "TRADE", "FILLED") in steps
