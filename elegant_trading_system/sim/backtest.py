"""`ets backtest`: tapes and a configuration in, a folder of results out."""

import ast
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from .. import __version__
from ..config import Config
from ..core import signal_engine
from ..core.jit import is_compiled
from ..core.schema import SCHEMA_VERSION
from ..data.catalog import Catalog, merge
from ..data.sessions import with_sessions
from ..data.tape import PARTIAL_PREFIX, Tape
from ..data.universe import Universe, build
from ..data.warmup import is_history
from ..errors import ExitCode, UserError
from .session import Session
from .summary import summarise
from .tables import all_tables

Progress = Callable[[str, float], None]


class Facts(NamedTuple):
    """Where a run's market came from: tapes, or a simulated market made while it ran."""

    tapes: list[dict[str, str]]
    market: dict[str, Any] | None  # minutes, seed, edge, instruments
    sources: list[str]
    start_ns: int | None  # the cut
    end_ns: int | None
    first_ns: int
    last_ns: int
    quality: dict[str, Any]


def run(
    catalog: Path,
    config: Config,
    out: Path,
    instruments: list[str] | None = None,
    venues: list[str] | None = None,
    start: int | None = None,
    end: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Backtest the selected tapes between two UTC ns stamps; write the run folder; return the summary."""
    check_out(out)
    tapes = Catalog(catalog).tapes(instruments, venues)
    began = time.perf_counter()
    if progress is not None:
        progress("merging tapes", 0.0)
    merged = with_sessions(merge(tapes, start, end))
    if all(is_history(tape) for tape in tapes):
        raise UserError("these tapes hold history only: bars and indices", "a backtest needs recorded order books")
    if len(merged.packets) == 0:
        raise UserError("no packet lies between --start and --end", f"the tapes cover {_span(tapes)}")
    universe = build(merged.listings, config)
    if progress is not None:
        progress("backtesting" if is_compiled() else "backtesting (the first run compiles for about a minute)", 0.0)
    session = Session(universe, [config], lookahead_ns(tapes))
    session.run(merged.packets, merged.levels, progress=progress)
    wall_s = time.perf_counter() - began
    tables = all_tables(session)
    summary = summarise(session, tables["trades"], wall_s, config.digest(), data_digest(tapes, start, end))
    write(out, session, tables, summary, config, facts_of(tapes, start, end))
    return summary


def check_out(out: Path) -> None:
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty", "give another --out, or remove it", ExitCode.USAGE)


def lookahead_ns(tapes: list[Tape]) -> int:
    """How far behind the venue our copy of its book may be: the largest feed latency on the tapes."""
    return max(tape.facts.latency_ns_max for tape in tapes)


def data_digest(tapes: list[Tape], start: int | None, end: int | None) -> str:
    """sha256 over the tapes' own digests, their order and the cut."""
    text = json.dumps([[tape.facts.listing.name, tape.facts.digest] for tape in tapes] + [[start, end]])
    return hashlib.sha256(text.encode()).hexdigest()


def write(
    out: Path,
    session: Session,
    tables: dict[str, pl.DataFrame],
    summary: dict[str, Any],
    config: Config,
    facts: Facts,
) -> None:
    """The run folder, under a temporary name until it is whole."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.parent / f"{PARTIAL_PREFIX}{uuid.uuid4().hex}"
    partial.mkdir()
    try:
        for name, frame in tables.items():
            frame.write_parquet(partial / f"{name}.parquet")
        write_journal(partial / "journal", session)
        (partial / "manifest.json").write_text(
            json.dumps(manifest(session.universe, summary, config, facts), indent=2) + "\n"
        )
        if out.exists():
            out.rmdir()
        os.rename(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_journal(folder: Path, session: Session) -> None:
    """What the tapes do not hold: every reply with its place, and the commands to compare a replay with."""
    folder.mkdir()
    log = session.logs[0]
    for name in ("replies", "rows", "commands"):
        log.joined(name).tofile(folder / f"{name}.bin")


def facts_of(tapes: list[Tape], start: int | None, end: int | None) -> Facts:
    return Facts(
        tapes=[
            {"folder": str(tape.folder.resolve()), "listing": tape.facts.listing.name, "digest": tape.facts.digest}
            for tape in tapes
        ],
        market=None,
        sources=sorted({tape.facts.source for tape in tapes}),
        start_ns=start,
        end_ns=end,
        first_ns=min(tape.facts.ts_first_ns for tape in tapes if not is_history(tape)),
        last_ns=max(tape.facts.ts_last_ns for tape in tapes if not is_history(tape)),
        quality={tape.facts.listing.name: tape.facts.quality.model_dump() for tape in tapes},
    )


def manifest(universe: Universe, summary: dict[str, Any], config: Config, facts: Facts) -> dict[str, Any]:
    """Everything needed to run it again: resolved numbers, listings, tapes by digest, versions."""
    return {
        "version": __version__,
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": config.values(),
        "origins": config.origins(),
        "formula": formula(),
        "listings": [spec.model_dump(mode="json") for spec in universe.listings],
        **facts._asdict(),
        "summary": summary,
    }


def formula() -> str:
    """The line that was traded on, as it stands in the source."""
    source = Path(signal_engine.__file__).read_text(encoding="utf-8")
    [found] = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "strength"]
    returned = [node.value for node in ast.walk(found) if isinstance(node, ast.Return) and node.value is not None]
    return "Strength = " + "; or ".join(ast.unparse(value).replace("view.", "") for value in returned)


def _span(tapes: list[Tape]) -> str:
    first, last = min(t.facts.ts_first_ns for t in tapes), max(t.facts.ts_last_ns for t in tapes)
    return " to ".join(datetime.fromtimestamp(ns / 1e9, UTC).isoformat(timespec="seconds") for ns in (first, last))


def read_tables(run_folder: Path) -> dict[str, pl.DataFrame]:
    """The Parquet tables of a run by name."""
    return {path.stem: pl.read_parquet(path) for path in sorted(run_folder.glob("*.parquet"))}
