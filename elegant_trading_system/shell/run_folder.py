"""A live run's folder: the manifest from its first moment on, the tables from its journal when it has ended."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..config import Config
from ..core import engine
from ..core.jit import SOURCE_DIGEST
from ..core.kinds import PRIVATE_FIRST, SYSTEM_FIRST
from ..core.schema import COMMAND, EQUITY, EVALUATION, LEVEL, MARK, SCHEMA_VERSION
from ..data import journal
from ..data.universe import Universe
from ..sim import backtest
from ..sim.replay import LIVE, events_of
from ..sim.session import Log, Session
from ..sim.summary import summarise
from ..sim.tables import all_tables

Array = np.ndarray[Any, Any]
COMMAND_ROOM = 4096


def begin(folder: Path, config: Config, universe: Universe, source: str) -> None:
    """Everything a replay needs but the events, before the first of them."""
    _write(
        folder,
        {
            "version": __version__,
            "schema_version": SCHEMA_VERSION,
            "kind": LIVE,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "config": config.values(),
            "origins": config.origins(),
            "formula": backtest.formula(),
            "listings": [spec.model_dump(mode="json") for spec in universe.listings],
            "tapes": [],
            "market": None,
            "sources": [source],
            "start_ns": None,
            "end_ns": None,
            "quality": {},
            "source": SOURCE_DIGEST,
        },
    )


def finish(folder: Path, wall_s: float) -> dict[str, Any]:
    """Tables and summary, made from the journal alone."""
    manifest = json.loads((folder / "manifest.json").read_text())
    config, session = retell(folder, manifest)
    tables = all_tables(session)
    summary = summarise(session, tables["trades"], wall_s, config.digest(), journal.check_chain(folder / "journal"))
    for name, frame in tables.items():
        frame.write_parquet(folder / f"{name}.parquet")
    first = [int(packets["ts_local_ns"][0]) for packets, _ in journal.read(folder / "journal") if len(packets)]
    last = int(session.market[0]["ts_ns"])
    _write(folder, manifest | {"first_ns": first[0], "last_ns": last, "summary": summary})
    return summary


def retell(folder: Path, manifest: dict[str, Any]) -> tuple[Config, Session]:
    """The run again, from its journal."""
    config = Config(**manifest["config"])
    universe, parts = events_of(folder, manifest)
    session = Session(universe, [config])
    drive(session, parts)
    return config, session


def drive(session: Session, parts: Iterable[tuple[Array, Array]]) -> None:
    """Feed a journal to a session's only trader and keep its logs."""
    log, counts = session.logs[0], np.zeros(5, np.int64)
    room = (np.zeros(8192, EVALUATION), np.zeros(4096, EQUITY), np.zeros(4096, MARK))
    commands = np.zeros(COMMAND_ROOM, COMMAND)
    worlds = (session.universe.record, session.market, session.books)
    for packets, levels in parts:
        _keep_replies(log, packets, levels)
        at = 0
        while at < len(packets):
            consumed, count = engine.advance(
                worlds,
                session.traders,
                session.memory,
                session.market_params,
                session.params,
                (*room, counts),
                packets[at:],
                levels,
                commands,
            )
            at += consumed
            for pieces, array, made in (
                (log.evaluations, room[0], counts[0]),
                (log.equity, room[1], counts[1]),
                (log.marks, room[2], counts[4]),
                (log.commands, commands, count),
            ):
                if made:
                    pieces.append(array[:made].copy())
            counts[:] = 0


def _keep_replies(log: Log, packets: Array, levels: Array) -> None:
    """What was said to us alone, each with its row."""
    found = packets[(packets["kind"] >= PRIVATE_FIRST) & (packets["kind"] < SYSTEM_FIRST)]
    rows = np.zeros(len(found), LEVEL)
    has_row = found["buy_count"] + found["sell_count"] > 0
    rows[has_row] = levels[found["level_begin"][has_row]]
    log.replies.append(found)
    log.rows.append(rows)


def _write(folder: Path, manifest: dict[str, Any]) -> None:
    """Under another name first: there is never half a manifest."""
    partial = folder / "manifest.json.partial"
    partial.write_text(json.dumps(manifest, indent=2) + "\n")
    partial.replace(folder / "manifest.json")
