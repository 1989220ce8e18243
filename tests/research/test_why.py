"""`ets why`: the chain behind an order, and behind a moment without one."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from elegant_trading_system import cli
from elegant_trading_system.errors import ExitCode, UserError
from elegant_trading_system.research.report_run import Run
from elegant_trading_system.research.why import lines, why_at, why_order


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six simulated minutes."""
    place = tmp_path_factory.mktemp("why")
    run = place / "run"
    with pytest.raises(SystemExit) as left:
        cli.main(["backtest", "--config", "short-windows", "--simulated", "6", "--seed", "1", "--out", str(run)])
    assert left.value.code in (None, ExitCode.OK)
    return run


def _first_filled(run: Run) -> dict[str, Any]:
    return run.table("fills").row(0, named=True)


@pytest.mark.spec("R9")
def test_an_order_is_told_from_its_packet_to_its_fills(folder: Path) -> None:
    run = Run.read(folder)
    fill = _first_filled(run)
    answer = why_order(folder, fill["order_id"])
    order = answer["order"]
    assert answer["packet"]["seq"] == order["cause_seq"]
    assert answer["packet"]["ts"] <= order["ts"]  # the last thing known when the clock decided
    assert answer["signal"]["verdict"] == "APPROVED"
    assert all(gate["passes"] for gate in answer["signal"]["gates"])
    assert sum(row["quantity"] for row in answer["fills"]) == pytest.approx(
        run.table("fills").filter(pl.col("order_id") == fill["order_id"])["quantity"].sum()
    )
    assert order in answer["orders_of_the_intent"]
    told = "\n".join(lines(answer))
    assert "gate velocity" in told
    assert "FAILS" not in told


@pytest.mark.spec("R9")
def test_a_moment_without_an_order_names_the_gate_that_stopped_it(folder: Path) -> None:
    run = Run.read(folder)
    group = run.groups[0]
    weak = run.evaluations(group).filter(pl.col("verdict") == "STRENGTH_LOW").row(0, named=True)
    ts_ns = int(weak["ts"].timestamp() * 1e9) + 1_000
    answer = why_at(folder, ts_ns, group)[group]
    [strength] = [gate for gate in answer["gates"] if gate["name"] == "strength"]
    assert (answer["verdict"], strength["passes"]) == ("STRENGTH_LOW", False)
    assert strength["value"] == weak["strength"]
    assert "gate strength" in "\n".join(lines(answer))


@pytest.mark.parametrize("order_id, says", [(0, "has no order 0"), (10**9, "has no order 1000000000")])
def test_an_order_never_sent_is_said_with_those_that_were(folder: Path, order_id: int, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        why_order(folder, order_id)
    assert "orders 1 to" in caught.value.hint


def test_a_moment_outside_the_run_is_said_with_its_span(folder: Path) -> None:
    with pytest.raises(UserError, match="outside the run"):
        why_at(folder, 0)
    with pytest.raises(UserError, match="no group MOON"):
        why_at(folder, Run.read(folder).span_ns[0], "MOON")


@pytest.mark.parametrize("arguments", [[], ["3", "--at", "2025-01-31T12:30:05"]])
def test_an_order_or_a_moment_is_asked_for_not_both(
    folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["why", str(folder), *arguments])
    assert left.value.code == ExitCode.USAGE
    assert "an order or" in capsys.readouterr().err
