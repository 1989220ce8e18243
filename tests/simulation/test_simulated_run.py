"""A market traded as it is made: the same run as from its tapes, and again from its seed."""

import json
from pathlib import Path

import pytest

from elegant_trading_system.config_sources import load
from elegant_trading_system.sim import backtest, replay, simulated_run
from elegant_trading_system.sim.market_tape import simulate_market

MINUTES = 30.0
SETS = [Path("demo")]


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streamed") / "run"
    simulated_run.run(MINUTES, 3, 0.3, load(SETS, environ={}), folder, ["BTC", "ETH"])
    return folder


@pytest.mark.spec("X1")
def test_a_market_traded_as_it_is_made_is_traded_as_from_its_tapes(streamed: Path, tmp_path: Path) -> None:
    simulate_market(tmp_path / "catalog", MINUTES, 3, 0.3, ["BTC", "ETH"])
    taped = backtest.run(tmp_path / "catalog", load(SETS, environ={}), tmp_path / "run")
    live = json.loads((streamed / "manifest.json").read_text())["summary"]
    assert live["orders"] > 0
    for name in ("orders", "fills", "lots", "verdicts"):
        assert live[name] == taped[name], name


@pytest.mark.spec("X1")
def test_it_is_made_again_from_its_seed_and_decides_the_same(streamed: Path) -> None:
    found = replay.verify(streamed)
    assert found["identical"], found["first_difference"]
    assert found["commands"] > 0


def test_another_seed_is_another_market(streamed: Path, tmp_path: Path) -> None:
    other = simulated_run.run(MINUTES, 4, 0.3, load(SETS, environ={}), tmp_path / "run", ["BTC", "ETH"])
    assert other["digests"]["decisions"] != replay.read_manifest(streamed)["summary"]["digests"]["decisions"]
