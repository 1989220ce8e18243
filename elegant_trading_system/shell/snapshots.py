"""Snapshots of a live run, so that recovery replays the journal's tail instead of all of it.

The trader is not stopped to be copied. A shadow of it is moved by the same events in a thread of its own, out of the
journal, and it is the shadow that is written: what a replay would come to, by construction. If it has decided otherwise
than the trader did, that is told, and nothing is kept.
"""

import hashlib
import json
import os
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..config import Config
from ..core.jit import SOURCE_DIGEST
from ..core.schema import SCHEMA_VERSION
from ..data.journal import Journal, read_commands
from ..data.segments import START, Place, Seal, end_of, seals
from ..data.universe import Universe
from ..errors import UserError
from ..sim.replay import first_difference
from .shadow import Shadow

Array = np.ndarray[Any, Any]
FOLDER = "snapshots"
MAGIC, VERSION = "ets-snapshot", 1
KEPT = 2
EVERY_NS = 300 * 1_000_000_000  # and whenever a segment of the journal is full
PACK_LEVEL = 1


# --- one file ---------------------------------------------------------------------------------------------------
def write(folder: Path, shadow: Shadow, seal: Seal) -> Path:
    """Keep a state; the last two stay. Killed at any moment, what was there before is there. Raises OSError."""
    folder.mkdir(exist_ok=True)
    path = folder / f"snapshot-{seal.segment:05d}-{seal.end:07d}.bin"
    partial, body = path.with_suffix(".partial"), _body(shadow, seal)
    try:
        with partial.open("wb") as file:
            file.write(f"{MAGIC} {VERSION} {hashlib.sha256(body).hexdigest()}\n".encode())
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    for old in [*sorted(folder.glob("snapshot-*.bin"))[:-KEPT], *folder.glob("*.partial")]:
        old.unlink()
    return path


def _body(shadow: Shadow, seal: Seal) -> bytes:
    facts = {
        **identity(shadow.universe, shadow.config),
        **seal._asdict(),
        "ts_ns": shadow.ts_ns,
        "command_count": shadow.command_count,
        "fills": [[order_id, [[*key, n] for key, n in keys.items()]] for order_id, keys in shadow.fills.items()],
    }
    packing = zlib.compressobj(PACK_LEVEL)
    packed = [packing.compress(block.view(np.uint8).data) for block in shadow.blocks]
    return b"".join([json.dumps(facts).encode(), b"\n", *packed, packing.flush()])


def identity(universe: Universe, config: Config) -> dict[str, Any]:
    """What a state means nothing without."""
    return {
        "schema_version": SCHEMA_VERSION,
        "code": SOURCE_DIGEST,
        "configuration": config.digest(),
        "universe": hashlib.sha256(universe.record.view(np.uint8).data).hexdigest(),
    }


def load(path: Path, universe: Universe, config: Config) -> tuple[Shadow, Seal]:
    """A state and where it stands. Raises UserError, which says why, when it is damaged or another's."""
    head, _, body = path.read_bytes().partition(b"\n")
    magic, version, digest = [*head.decode(errors="replace").split(), "", "", ""][:3]
    if magic == MAGIC and version != str(VERSION):
        raise UserError(f"written with version {version}, this program reads {VERSION}")
    if magic != MAGIC or hashlib.sha256(body).hexdigest() != digest:
        raise UserError("damaged")
    line, _, packed = body.partition(b"\n")
    facts = json.loads(line)
    if facts["schema_version"] != SCHEMA_VERSION:
        raise UserError(f"written with schema {facts['schema_version']}, this program reads {SCHEMA_VERSION}")
    others = [name for name, value in identity(universe, config).items() if facts[name] != value]
    if others:
        raise UserError(f"made with other {' and '.join(others)}")
    return _shadow(facts, zlib.decompress(packed), universe, config), Seal(*(facts[name] for name in Seal._fields))


def _shadow(facts: dict[str, Any], state: bytes, universe: Universe, config: Config) -> Shadow:
    shadow, begin = Shadow(universe, config), 0
    for block in shadow.blocks:
        block.view(np.uint8)[:] = np.frombuffer(state, np.uint8, block.nbytes, begin)
        begin += block.nbytes
    shadow.place = facts["segment"], facts["end"]
    shadow.ts_ns, shadow.command_count = facts["ts_ns"], facts["command_count"]
    shadow.fills = {number: Counter({tuple(key): n for *key, n in keys}) for number, keys in facts["fills"]}
    return shadow


class Found(NamedTuple):
    """The state nearest to a journal's end, where it stands, and why each newer snapshot was not taken."""

    shadow: Shadow
    seal: Seal
    refused: list[str]


def newest(run: Path, universe: Universe, config: Config) -> Found:
    """The newest snapshot that this journal, this program and this configuration stand for; else the beginning."""
    refused = list[str]()
    for path in sorted((run / FOLDER).glob("snapshot-*.bin"), reverse=True):
        try:
            shadow, seal = load(path, universe, config)
            _check_behind(run / "journal", shadow, seal)
            return Found(shadow, seal, refused)
        except (UserError, OSError) as error:
            refused.append(f"{path.name} is not used: {error}")
    return Found(Shadow(universe, config), START, refused)


def _check_behind(folder: Path, shadow: Shadow, seal: Seal) -> None:
    """Does the journal hold what the state stands behind?"""
    if seal not in seals(folder):
        raise UserError("this journal was never sealed where it stands")
    if seal.place > end_of(folder) or shadow.command_count > len(read_commands(folder)):
        raise UserError("newer than the journal")


# --- while a run lasts ------------------------------------------------------------------------------------------
class Snapshots:
    """Keeps a snapshot now and then. `beat` often; nothing of it waits."""

    def __init__(self, run: Path, shadow: Shadow, journal: Journal, now_ns: Callable[[], int]) -> None:
        """`shadow` is what the run goes on from, and belongs to this from now on."""
        self.run, self.shadow, self.journal, self.now_ns = run, shadow, journal, now_ns
        self.counts = Counter[str]()  # kept, failed, differed
        self._said = list[str]()
        self._thread = ThreadPoolExecutor(1, "snapshots")
        self._making: Future[None] | None = None
        self._last = (journal.segment, journal.count, now_ns())
        if shadow.event_count:  # the next restart need not do again what this one has just done
            self._last = (-1, 0, 0)

    def beat(self) -> None:
        if self._making and not self._making.done():
            return
        if self._making:
            self._making.result()  # a bug of ours is not hidden
        if self._is_due() and not self.counts["differed"]:
            self._last = (self.journal.segment, self.journal.count, self.now_ns())
            self._making = self._thread.submit(self._make, self.journal.mark(), self.journal.count)

    def _is_due(self) -> bool:
        segment, count, ts_ns = self._last
        is_time = self.journal.segment != segment or self.now_ns() - ts_ns >= EVERY_NS
        return is_time and self.journal.count > count

    def _make(self, marked: Future[Seal], event_count: int) -> None:
        try:
            seal = marked.result()
            difference = self._follow(seal.place, event_count)
            if difference:
                self.counts["differed"] += 1
                self._said.append(f"no more snapshots, a replay decides otherwise: {difference}")
                return
            write(self.run / FOLDER, self.shadow, seal)
            self.counts["kept"] += 1
        except (OSError, UserError) as error:
            self.counts["failed"] += 1
            self._said.append(f"no snapshot, the run goes on without: {getattr(error, 'strerror', '') or error}")

    def _follow(self, place: Place, event_count: int) -> str:
        """Bring the shadow there; returns what it decided otherwise than the trader did."""
        shadow, folder, before = self.shadow, self.run / "journal", self.shadow.command_count
        decided = shadow.follow(folder, place)
        logged = read_commands(folder)[before : shadow.command_count]
        if logged.tobytes() != decided.tobytes():
            return first_difference(logged, decided)
        return "" if shadow.event_count == event_count else f"{event_count} events, {shadow.event_count} followed"

    def notices(self) -> list[str]:
        """What a person should hear, once."""
        said, self._said = self._said, []
        return said

    def close(self) -> None:
        """A snapshot that is being written is finished; one that waits is not begun."""
        self._thread.shutdown(cancel_futures=True)
