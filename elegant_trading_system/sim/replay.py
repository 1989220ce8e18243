"""`ets replay RUN --verify`: the recorded events through core's own `advance`, and the same decisions or the first
difference.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Config
from ..core import engine
from ..core.jit import SOURCE_DIGEST
from ..core.schema import COMMAND, EQUITY, EVALUATION, GROUPS, LEVEL, MARK, PACKET, SCHEMA_VERSION, TRADER
from ..data import journal
from ..data.catalog import merge
from ..data.sessions import with_sessions
from ..data.tape import ListingSpec, Tape
from ..data.universe import Universe, build
from ..errors import UserError
from .market_stream import MarketStream
from .session import decisions_digest, new_market
from .simulated_run import CHUNK_S, chunk_count

Array = np.ndarray[Any, Any]
Part = tuple[Array, Array]  # packets, levels
LIVE = "live"
SLICE_EVENTS = 100_000
ROOM = 8192
MARK_ROOM = 4096


def verify(run: Path) -> dict[str, Any]:
    """Replay a run; `identical` is whether every command, verdict and digest came out the same.

    A live run that was killed has said no digest: its commands are compared, as far as they were written.
    """
    manifest = read_manifest(run)
    if is_live(manifest):
        journal.check_chain(run / "journal")
    commands, trader, events = replay(run, manifest)
    recorded_commands = journal.read_commands(run / "journal")
    replayed = decisions_digest(commands, trader)
    if "summary" in manifest:
        recorded = manifest["summary"]["digests"]["decisions"]
    else:
        recorded = decisions_digest(_with_unwritten(recorded_commands, commands, events), trader)
    difference = None if recorded == replayed else first_difference(recorded_commands, commands)
    return {
        "identical": recorded == replayed,
        "is_same_code": source_of(manifest) == SOURCE_DIGEST,
        "recorded": recorded,
        "replayed": replayed,
        "events": events,
        "commands": len(commands),
        "first_difference": difference,
    }


def _with_unwritten(recorded: Array, replayed: Array, events: int) -> Array:
    """Killed between sending and writing it down, a run has not written what its last event led to."""
    rest = replayed[len(recorded) :]
    return np.concatenate([recorded, rest]) if (rest["cause_seq"] >= events - 2).all() else recorded


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


def replay(run: Path, manifest: dict[str, Any]) -> tuple[Array, Any, int]:
    """(commands, trader, events): the journal of the run, driven through core alone."""
    universe, parts = events_of(run, manifest)
    commands, trader = drive(universe.record, Config(**manifest["config"]), parts)
    return commands, trader, int(trader["seq"])


def is_live(manifest: dict[str, Any]) -> bool:
    """Was the run traded as it happened? Its journal then holds the market as well."""
    return manifest.get("kind") == LIVE


def source_of(manifest: dict[str, Any]) -> str:
    """The digest of the code that traded."""
    source: str = manifest["source"] if is_live(manifest) else manifest["summary"]["digests"]["source"]
    return source


def events_of(run: Path, manifest: dict[str, Any]) -> tuple[Universe, Iterator[Part]]:
    """Everything the trader of a run heard, in order."""
    config = Config(**manifest["config"])
    if is_live(manifest):
        listings = [ListingSpec(**entry) for entry in manifest["listings"]]
        return build(listings, config), journal.read(run / "journal")
    universe, parts = market_of(manifest, config)
    return universe, woven(parts, *read_replies(run))


def market_of(manifest: dict[str, Any], config: Config) -> tuple[Universe, Iterator[Part]]:
    """The market of a run again: its tapes, or the simulated market made anew from its seed."""
    made = manifest["market"]
    if made is not None:
        stream = MarketStream(made["instruments"], made["seed"], made["edge"])
        count = chunk_count(made["minutes"] * 60.0)
        chunks = (stream.chunk(CHUNK_S) for _ in range(count))
        return build(stream.listings, config), ((chunk.packets, chunk.levels) for chunk in chunks)
    tapes = [open_tape(entry) for entry in manifest["tapes"]]
    merged = with_sessions(merge(tapes, manifest["start_ns"], manifest["end_ns"]))
    return build(merged.listings, config), iter([(merged.packets, merged.levels)])


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


def woven(parts: Iterable[Part], replies: Array, rows: Array) -> Iterator[Part]:
    """Tape and replies as the one sequence of events the trader saw: a reply's seq is its place among them."""
    seq, done = 0, 0
    for packets, levels in parts:
        taken = _replies_within(replies["seq"][done:], seq, len(packets))
        yield weave(packets, levels, replies[done : done + taken], rows, seq)
        done += taken
        seq += len(packets) + taken
    if done < len(replies):
        yield weave(np.zeros(0, PACKET), np.zeros(0, LEVEL), replies[done:], rows, seq)


def _replies_within(seqs: Array, seq: int, packets: int) -> int:
    """How many replies came before the last of the next packets: each moves the packets behind it by one."""
    return int((seqs - np.arange(len(seqs)) < seq + packets).sum())


def weave(packets: Array, levels: Array, replies: Array, rows: Array, seq: int = 0) -> Part:
    """One stretch of tape with its replies, the first event of which is number `seq`."""
    both = np.zeros(len(packets) + len(replies), PACKET)
    is_reply = np.zeros(len(both), bool)
    is_reply[replies["seq"] - seq] = True
    moved = replies.copy()
    moved["level_begin"] += len(levels)
    both[is_reply] = moved
    both[~is_reply] = packets
    return both, np.concatenate([levels, rows])


def advance(
    universe: Array, config: Config, packets: Array, levels: Array, cuts: list[int] | None = None
) -> tuple[Array, Any]:
    """Feed events through `engine.advance` in slices (at `cuts`, or evenly); returns commands and the trader."""
    edges = [0, *(cuts if cuts is not None else range(SLICE_EVENTS, len(packets), SLICE_EVENTS)), len(packets)]
    return drive(universe, config, ((packets[a:b], levels) for a, b in pairwise(edges)))


def drive(universe: Array, config: Config, parts: Iterable[Part]) -> tuple[Array, Any]:
    """Feed parts of one sequence of events through `engine.advance`; returns commands and the trader."""
    traders = np.zeros(1, TRADER)
    logs = (np.zeros(2 * GROUPS * 64, EVALUATION), np.zeros(1024, EQUITY), np.zeros(MARK_ROOM, MARK), new_counts())
    driven = steps((universe, *new_market()), traders, config, parts, logs)
    kept = [commands for commands in driven if len(commands)]
    return np.concatenate(kept) if kept else np.zeros(0, COMMAND), traders[0]


def new_counts() -> Array:
    """How many rows each log of `engine.advance` holds."""
    return np.zeros(5, np.int64)


def steps(
    worlds: tuple[Array, Array, Array],
    traders: Array,
    config: Config,
    parts: Iterable[Part],
    logs: tuple[Array, Array, Array, Array],
) -> Iterator[Array]:
    """`engine.advance` until all parts are used up: yields the commands of each call, with its logs still full."""
    memory, commands = np.zeros(1, np.int64), np.zeros(ROOM, COMMAND)
    market_params, params = config.market_params(), config.params()
    for packets, levels in parts:
        at = 0
        while at < len(packets):
            consumed, count = engine.advance(
                worlds, traders, memory, market_params, params, logs, packets[at:], levels, commands
            )
            at += consumed
            yield commands[:count].copy()
            logs[3][:] = 0


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
