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
