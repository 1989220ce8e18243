"""`ets query`: what SQL says of a run is what its tables hold."""

import io
import json
from pathlib import Path

import polars as pl
import pytest

from elegant_trading_system import cli
from elegant_trading_system.errors import ExitCode
from elegant_trading_system.research.query import columns_of, query

from . import run_folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return run_folder.write(tmp_path / "run")


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        cli.main(["query", *arguments])
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


@pytest.mark.spec("S5", "P3")
def test_signals_can_be_grouped_joined_and_cut_by_time(run: Path) -> None:
    verdicts = pl.read_parquet(run / "verdicts.parquet")
    found = query(run, "SELECT verdict, count(*) AS n FROM verdicts GROUP BY verdict ORDER BY verdict")
    assert dict(found.rows()) == dict(verdicts["verdict"].cast(pl.String).value_counts().rows())
    middle = verdicts["ts"].sort()[len(verdicts) // 2]
    later = query(run, f"SELECT count(*) AS n FROM verdicts WHERE ts > '{middle:%Y-%m-%d %H:%M:%S}'")
    assert later["n"][0] == (verdicts["ts"] > middle).sum() > 0
    joined = query(
        run,
        "SELECT o.order_id, sum(f.notional) AS paid FROM orders o JOIN fills f ON o.order_id = f.order_id GROUP BY 1",
    )
    fills = pl.read_parquet(run / "fills.parquet")
    assert dict(joined.rows()) == dict(fills.group_by("order_id").agg(pl.col("notional").sum()).rows())


@pytest.mark.spec("S5")
def test_the_answer_comes_as_a_table_as_csv_or_as_json(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT order_id, price FROM fills ORDER BY order_id"
    fills = pl.read_parquet(run / "fills.parquet").select("order_id", "price").sort("order_id")
    code, out, _ = told(capsys, str(run), sql, "--json")
    assert (code, json.loads(out)["rows"]) == (0, fills.to_dicts())
    _, out, _ = told(capsys, str(run), sql, "--csv")
    assert pl.read_csv(io.StringIO(out)).rows() == fills.rows()
    _, out, _ = told(capsys, str(run), sql)
    assert len(out.strip().splitlines()) == 1 + len(fills)
    _, out, _ = told(capsys, str(run), "--json")
    assert json.loads(out)["tables"] == columns_of(run)


@pytest.mark.parametrize(
    "sql, says", [("SELEC 1", "SQL"), ("SELECT colour FROM fills", "colour"), ("SELECT * FROM nowhere", "nowhere")]
)
def test_what_does_not_fit_is_named_and_leaves_with_the_code_of_a_wrong_command(
    run: Path, capsys: pytest.CaptureFixture[str], sql: str, says: str
) -> None:
    code, out, err = told(capsys, str(run), sql)
    assert (code, out) == (ExitCode.USAGE, "")
    assert says in err
    assert "ets query" in err
    assert "FAILED HERE" not in err
