"""A run's tables, asked in SQL."""

from pathlib import Path

import polars as pl

from ..errors import ExitCode, UserError


def columns_of(run: Path) -> dict[str, list[str]]:
    """The tables of a run and their columns."""
    return {name: frame.collect_schema().names() for name, frame in _frames(run).items()}


def query(run: Path, sql: str) -> pl.DataFrame:
    """The answer to one SELECT over the tables of a run; UserError names what does not fit."""
    try:
        return pl.SQLContext(_frames(run)).execute(sql).collect()
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        raise UserError(reason, f"`ets query {run}` lists tables and columns", ExitCode.USAGE) from error


def _frames(run: Path) -> dict[str, pl.LazyFrame]:
    return {path.stem: pl.scan_parquet(path) for path in sorted(run.glob("*.parquet"))}
