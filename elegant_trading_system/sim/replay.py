"""`ets replay RUN --verify`: the recorded events through core's own `advance`, and the same decisions or the first
difference.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Config
from ..core import engine
from ..core.schema import COMMAND, EQUITY, EVALUATION, GROUPS, LEVEL, MARK, PACKET, SCHEMA_VERSION, TRADER
from ..data.catalog import merge
from ..data.tape import Tape
from ..data.universe import build
from ..errors import UserError
from .session import decisions_digest, new_market

Array = np.ndarray[Any, Any]
SLICE_EVENTS = 100_000
ROOM = 8192


def verify(run: Path) -> dict[str, Any]:
    """Replay a run; `identical` is whether every command, verdict and digest came out the same."""
    manifest = read_manifest(run)
    packets, _levels, commands, trader = replay(run, manifest)
    recorded_commands = np.fromfile(run / "journal" / "commands.bin", COMMAND)
    recorded = manifest["summary"]["digests"]["decisions"]
    replayed = decisions_digest(commands, trader)
    difference = None if recorded == replayed else first_difference(recorded_commands, commands)
    return {
        "identical": recorded == replayed,
        "recorded": recorded,
        "replayed": replayed,
        "events": len(packets),
        "commands": len(commands),
        "first_difference": difference,
    }


def read_manifest(run: Path) -> dict[str, Any]:
    path = run / "manifest.json"
    if not path.exists():
        raise UserError(f"{run} is no run folder: it has no manifest.json", "`ets backtest` makes one")
    manifest: dict[str, Any] = json.loads(path.read_text())
    if manifest["schema_version"] != SCHEMA_VERSION:
        raise UserError(
            f"{run} was written with schema {manifest['schema_version']}, this program reads {SCHEMA_VERSION}",
            "run the backtest again, or use the version that wrote it",
        )
    return manifest


def replay(run: Path, manifest: dict[str, Any]) -> tuple[Array, Array, Array, Any]:
    """(events, rows, commands, trader): the journal of the run, driven through core alone."""
    config = Config(**manifest["config"])
    tapes = [open_tape(entry) for entry in manifest["tapes"]]
    merged = merge(tapes, manifest["start_ns"], manifest["end_ns"])
    universe = build(merged.listings, config)
    packets, levels = weave(merged.packets, merged.levels, *read_replies(run))
    commands, trader = advance(universe.record, config, packets, levels)
    return packets, levels, commands, trader


def open_tape(entry: dict[str, Any]) -> Tape:
    folder = Path(entry["folder"])
    if not (folder / "tape.json").exists():
        raise UserError(f"{entry['listing']}: its tape is gone from {folder}", "put the catalog back where it was")
    tape = Tape(folder)
    if tape.facts.digest != entry["digest"]:
        raise UserError(f"{entry['listing']}: the tape at {folder} is not the one the run used", "import it again")
    return tape


def read_replies(run: Path) -> tuple[Array, Array]:
    return (
        np.fromfile(run / "journal" / "replies.bin", PACKET),
        np.fromfile(run / "journal" / "rows.bin", LEVEL),
    )


def weave(packets: Array, levels: Array, replies: Array, rows: Array) -> tuple[Array, Array]:
    """Tape and replies as the one sequence of events the trader saw: a reply's seq is its place among them."""
    woven = np.zeros(len(packets) + len(replies), PACKET)
    is_reply = np.zeros(len(woven), bool)
    is_reply[replies["seq"]] = True
    moved = replies.copy()
    moved["level_begin"] += len(levels)
    woven[is_reply] = moved
    woven[~is_reply] = packets
    return woven, np.concatenate([levels, rows])


def advance(
    universe: Array, config: Config, packets: Array, levels: Array, cuts: list[int] | None = None
) -> tuple[Array, Any]:
    """Feed events through `engine.advance` in slices (at `cuts`, or evenly); returns commands and the trader."""
    traders, commands = np.zeros(1, TRADER), np.zeros(ROOM, COMMAND)
    worlds = (universe, *new_market())
    memory, counts = np.zeros(1, np.int64), np.zeros(5, np.int64)
    logs = (np.zeros(2 * GROUPS * 64, EVALUATION), np.zeros(1024, EQUITY), np.zeros(4096, MARK), counts)
    market_params, params = config.market_params(), config.params()
    kept: list[Array] = []
    edges = [*(cuts if cuts is not None else range(SLICE_EVENTS, len(packets), SLICE_EVENTS)), len(packets)]
    at = 0
    for edge in edges:
        while at < edge:
            consumed, count = engine.advance(
                worlds,
                traders,
                memory,
                market_params,
                params,
                logs,
                packets[at:edge],
                levels,
                commands,
            )
            kept.append(commands[:count].copy())
            counts[:] = 0
            at += consumed
    return np.concatenate(kept) if kept else np.zeros(0, COMMAND), traders[0]


def first_difference(recorded: Array, replayed: Array) -> str:
    """The first command that differs, field by field; or which side has more; or that only verdicts differ."""
    for i in range(min(len(recorded), len(replayed))):
        fields = [
            f"{name}: {recorded[i][name]} recorded, {replayed[i][name]} replayed"
            for name in recorded.dtype.names or ()
            if recorded[i][name] != replayed[i][name]
        ]
        if fields:
            return f"command {i}: " + "; ".join(fields)
    if len(recorded) != len(replayed):
        return f"{len(recorded)} commands recorded, {len(replayed)} replayed; the common part is equal"
    return "all commands are equal, the verdict counts are not"
