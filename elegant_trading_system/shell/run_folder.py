"""A live run's folder: the manifest from its first moment on, the tables from its journal when it has ended."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import __version__
from ..config import Config
from ..core.jit import SOURCE_DIGEST
from ..core.kinds import PRIVATE_FIRST, SYSTEM_FIRST, Kind
from ..core.schema import EQUITY, EVALUATION, LEVEL, MARK, SCHEMA_VERSION
from ..data import journal
from ..data.segments import Seal, end_of
from ..data.tape import ListingSpec
from ..data.universe import Universe
from ..errors import UserError
from ..sim import backtest
from ..sim.rebalancing import rebalancing
from ..sim.replay import LIVE, events_of, first_difference, new_counts, read_manifest, steps
from ..sim.session import Log, Session
from ..sim.summary import summarise
from ..sim.tables import all_tables
from . import snapshots
from .link import FillKey, OpenOrder
from .shadow import Shadow

Array = np.ndarray[Any, Any]


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


def note_epoch(folder: Path, first_order_id: int, epoch: str) -> None:
    """Under which names the orders from this one on go out: on the disk before the first of them does."""
    epochs = json.loads((folder / "manifest.json").read_text()).get("epochs", [])
    note(folder, epochs=[*epochs, [first_order_id, epoch]])


def note(folder: Path, **facts: Any) -> None:
    """Add to what the manifest says."""
    _write(folder, json.loads((folder / "manifest.json").read_text()) | facts)


class Recovered(NamedTuple):
    """A run as it was after the last event that its journal holds."""

    config: Config
    listings: list[ListingSpec]
    market: Array
    books: Array
    traders: Array
    ts_ns: int  # of that event
    open_orders: list[OpenOrder]
    ignored: dict[str, dict[str, str]]  # what each account held of other assets when the run began: not ours to sell
    missing: Array  # commands decided by the last events and never logged: whether they have left is asked
    shadow: Shadow  # the same state once more, for snapshots to go on from
    behind: Seal  # of the snapshot it began with: the journal up to there was not read
    replayed: int  # events behind it
    refused: list[str]  # newer snapshots, each with what is wrong with it


def recover(folder: Path) -> Recovered:
    """The state of a run that ended somehow: its newest snapshot, and the journal from there on.

    Raises UserError when other code decides otherwise.
    """
    manifest = read_manifest(folder)
    if manifest.get("kind") != LIVE:
        raise UserError(f"{folder} is no live run: only those go on", "`ets run` makes one")
    config = Config(**manifest["config"])
    universe, _ = events_of(folder, manifest)
    shadow, behind, refused = snapshots.newest(folder, universe, config)
    begin, before = shadow.event_count, shadow.command_count
    commands = shadow.follow(folder / "journal", end_of(folder / "journal"))
    logged = journal.read_commands(folder / "journal")[before:]
    if logged.tobytes() != commands[: len(logged)].tobytes():
        raise UserError(
            f"{folder}: this program decides otherwise: {first_difference(logged, commands)}",
            "go on with the version that traded it, or begin a new run",
        )
    if not shadow.market[0]["next_boundary_ns"]:
        raise UserError(f"{folder}: it ended before it had seen a market", "begin a new run")
    return Recovered(
        config,
        universe.listings,
        shadow.market.copy(),
        shadow.books.copy(),
        shadow.traders.copy(),
        shadow.ts_ns,
        _open_orders(shadow, manifest.get("epochs", [])),
        manifest.get("ignored", {}),
        commands[len(logged) :],
        shadow,
        behind,
        shadow.event_count - begin,
        refused,
    )


def _open_orders(shadow: Shadow, epochs: list[tuple[int, str]]) -> list[OpenOrder]:
    return [open_order(order, epochs, shadow.fills) for order in shadow.traders[0]["orders"] if order["state"]]


def open_order(order: Any, epochs: list[tuple[int, str]], fills: dict[int, Counter[FillKey]]) -> OpenOrder:
    """An order the core has not seen the end of."""
    order_id = int(order["order_id"])
    epoch = [epoch for first, epoch in epochs if first <= order_id][-1]
    listing_id, side, lots, filled_lots, ts_sent_ns = (
        int(order[name]) for name in ("listing_id", "side", "lots", "filled_lots", "ts_sent_ns")
    )
    return OpenOrder(order_id, listing_id, side, lots, filled_lots, ts_sent_ns, epoch, fills.get(order_id, Counter()))


def finish(folder: Path, wall_s: float) -> dict[str, Any]:
    """Tables and summary, made from the journal alone."""
    manifest = json.loads((folder / "manifest.json").read_text())
    config, session = retell(folder, manifest)
    tables = all_tables(session)
    summary = summarise(session, tables["trades"], wall_s, config.digest(), journal.check_chain(folder / "journal"))
    summary |= rebalancing(session)
    for name, frame in tables.items():
        frame.write_parquet(folder / f"{name}.parquet")
    last_ns = int(session.market[0]["ts_ns"])
    _write(folder, manifest | {"first_ns": _began_ns(folder, last_ns), "last_ns": last_ns, "summary": summary})
    return summary


def _began_ns(folder: Path, last_ns: int) -> int:
    """When the first book was heard: before it there is history, stamped as it happened."""
    for packets, _ in journal.read(folder / "journal"):
        books = packets["ts_local_ns"][packets["kind"] == Kind.SNAPSHOT]
        if len(books):
            return int(books[0])
    return last_ns


def retell(folder: Path, manifest: dict[str, Any]) -> tuple[Config, Session]:
    """The run again, from its journal."""
    config = Config(**manifest["config"])
    universe, parts = events_of(folder, manifest)
    session = Session(universe, [config])
    drive(session, config, parts)
    return config, session


def drive(session: Session, config: Config, parts: Iterable[tuple[Array, Array]]) -> None:
    """Feed a journal to a session's only trader and keep its logs."""
    log, counts = session.logs[0], new_counts()
    room = (np.zeros(8192, EVALUATION), np.zeros(4096, EQUITY), np.zeros(4096, MARK))

    def kept() -> Iterator[tuple[Array, Array]]:
        for packets, levels in parts:
            _keep_replies(log, packets, levels)
            yield packets, levels

    worlds = (session.universe.record, session.market, session.books)
    for commands in steps(worlds, session.traders, config, kept(), (*room, counts)):
        for pieces, array, made in (
            (log.evaluations, room[0], counts[0]),
            (log.equity, room[1], counts[1]),
            (log.marks, room[2], counts[4]),
            (log.commands, commands, len(commands)),
        ):
            if made:
                pieces.append(array[:made].copy())


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
    with partial.open("w") as file:
        file.write(json.dumps(manifest, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / "manifest.json")
