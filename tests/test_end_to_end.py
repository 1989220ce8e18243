"""The commands on the real thing, one after another, as a person would type them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from elegant_trading_system import cli
from elegant_trading_system.errors import ExitCode

Ets = Callable[..., dict[str, Any]]


@pytest.fixture
def ets(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ets:
    """Run one command with --json in an empty folder: its answer."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> dict[str, Any]:
        with pytest.raises(SystemExit) as left:
            cli.main([*arguments, "--json"])
        out, err = capsys.readouterr()
        assert left.value.code in (None, ExitCode.OK), err
        answer: dict[str, Any] = json.loads(out)
        return answer

    return run


def test_a_simulated_market_is_in_the_catalog(ets: Ets) -> None:
    simulated = ets("simulate", "--minutes", "0.5", "--seed", "3")["tapes"]
    described = ets("data")["tapes"]
    assert {tape["digest"] for tape in described} == {facts["digest"] for facts in simulated}
    assert {tape["venue"] for tape in described} == {"sim-a", "sim-b", "sim-c", "sim-dark"}


def test_a_seed_is_a_market(ets: Ets) -> None:
    def digests(seed: str, catalog: str) -> list[str]:
        tapes = ets("simulate", "--minutes", "0.2", "--seed", seed, "--catalog", catalog)["tapes"]
        return [facts["digest"] for facts in tapes]

    first = digests("3", "a")
    assert digests("3", "b") == first
    assert digests("4", "c") != first


@pytest.mark.spec("X1")
def test_a_backtest_can_be_replayed_to_the_same_decisions(ets: Ets) -> None:
    ets("simulate", "--minutes", "4", "--seed", "3")
    summary = ets("backtest", "--config", "short-windows", "--out", "run")
    assert summary["orders"] > 0
    assert summary["lots"]["sent"] == sum(summary["lots"][name] for name in ("filled", "expired", "working"))
    verified = ets("replay", "run", "--verify")
    assert (verified["identical"], verified["recorded"]) == (True, summary["digests"]["decisions"])


def test_a_run_is_never_overwritten(ets: Ets, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ets("simulate", "--minutes", "0.1")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").touch()
    with pytest.raises(SystemExit) as left:
        cli.main(["backtest", "--out", "run"])
    assert left.value.code == ExitCode.USAGE
    assert "run is not empty" in capsys.readouterr().err
