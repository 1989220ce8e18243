"""`ets why`: the chain behind an order, and behind a moment without one."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from elegant_trading_system import cli
from elegant_trading_system.errors import ExitCode, UserError
from elegant_trading_system.research.report_run import Run
from elegant_trading_system.research.why import filters_of, why_at, why_order
from elegant_trading_system.research.why_words import moment_lines, order_lines


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
    assert all(asked["passes"] for asked in answer["signal"]["filters"])
    told = "\n".join(order_lines(answer))
    assert "velocity" in told
    assert "FAILS" not in told
    assert f"order {fill['order_id']} " in told
    assert told.count("  fill ") == len(answer["fills_of_the_intent"])
    [trip] = answer["round_trip"]
    assert f"net {trip['net']:+,.2f}" in told


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
    assert all(asked["passes"] is None for asked in answer["filters"])
    told = "\n".join(moment_lines({group: answer}))
    assert f"strength     {weak['strength']:.4g} > {strength['limit']:g}: FAILS" in told
    assert "STRENGTH_LOW: " in told


@pytest.mark.spec("R9", "S3")
@pytest.mark.parametrize(
    "verdict, passes",
    [
        ("STRENGTH_LOW", [None, None, None]),
        ("PERSISTENCE_LOW", [False, None, None]),
        ("VENUES_DISAGREE", [True, False, None]),
        ("FLICKER", [True, True, False]),
        ("NO_VENUE", [True, True, True]),
        ("APPROVED", [True, True, True]),
    ],
)
def test_a_verdict_says_which_filters_were_asked_and_passed(
    folder: Path, verdict: str, passes: list[bool | None]
) -> None:
    run = Run.read(folder)
    run.config["filters"] |= {"persistence_min": 3, "venues_min": 2, "flow_agreement": False, "flicker_max": 2.0}
    found = filters_of(run, verdict)
    assert [asked["name"] for asked in found] == ["persistence", "venues", "flicker"]
    assert [asked["passes"] for asked in found] == passes


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
