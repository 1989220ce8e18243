"""A recording on its way into the catalog: a journal while it lasts, tapes when it has ended, however it ended.

It lies in the catalog as `.recording-TIME/` with the listings in `recording.json` and the events in `journal/`. Whoever
records holds the lock beside it: a folder whose lock is free was left behind by a process that is gone.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from ..core.kinds import PRIVATE_FIRST, BookState, Kind
from ..core.schema import LEVEL, PACKET, SCHEMA_VERSION
from ..errors import UserError
from . import journal
from .tape import ListingSpec, Tape, TapeFacts, TapeWriter, discard_stale_partials, publish_all, tape_path
from .verify import clock_offset_ns, measure
from .warmup import is_history

Array = np.ndarray[Any, Any]
Progress = Callable[[str, float], None]
PREFIX = ".recording-"
SOURCE = "recorded from"


class Facts(BaseModel):
    """What the journal does not say."""

    schema_version: int = SCHEMA_VERSION
    source: str  # "SIMULATED binance, deribit seed=1 edge=0", "binance"
    listings: list[ListingSpec]


def begin(folder: Path, listings: list[ListingSpec], source: str) -> None:
    """Before the first event, and whole or not at all."""
    partial = folder / "recording.json.partial"
    partial.write_text(Facts(source=source, listings=listings).model_dump_json(indent=2) + "\n")
    partial.replace(folder / "recording.json")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """As long as this lasts nobody else publishes the folder. UserError if somebody records into it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{folder} is being recorded", "stop that first") from None
    try:
        yield
    finally:
        lock.release()
        if not folder.exists():
            Path(lock.lock_file).unlink(missing_ok=True)


def left_behind(catalog: Path) -> list[Path]:
    """Recordings that nobody is writing any more."""
    found = []
    for folder in sorted(path for path in catalog.glob(f"{PREFIX}*") if path.is_dir()):
        try:
            with held(folder):
                found.append(folder)
        except UserError:
            continue
    return found


def publish(folder: Path, catalog: Path, progress: Progress) -> list[TapeFacts]:
    """Everything that was committed becomes tapes, all or none; then the folder is gone. Again after a crash is safe.

    Raises UserError when it is no recording, or when there is no room: the folder stays as it is.
    """
    facts = _facts(folder)
    try:
        discard_stale_partials(catalog)
        with ExitStack() as stack:
            intakes = [
                _Intake(listing_id, spec, catalog, facts, stack) for listing_id, spec in enumerate(facts.listings)
            ]
            for n, (packets, rows) in enumerate(journal.read(folder / "journal")):
                progress(f"reading the recording, segment {n + 1}", 0.0)
                for intake in intakes:
                    intake.take(packets, rows)
            progress("checking books and clocks", 0.5)
            writers = _finished(intakes)
            publish_all([writer for writer in writers if not (catalog / tape_path(writer.facts)).exists()])
    except OSError as error:
        raise UserError(
            f"{catalog}: {error.strerror}; what was recorded is kept in {folder}",
            f"make room, then: ets record --catalog {catalog} --recover {folder}",
        ) from None
    shutil.rmtree(folder)
    return [writer.facts for writer in writers]


def _facts(folder: Path) -> Facts:
    try:
        facts = Facts.model_validate_json((folder / "recording.json").read_text())
    except (OSError, ValidationError, ValueError) as error:
        raise UserError(
            f"{folder}: no recording: {str(error).splitlines()[0]}", f"is it a {PREFIX}... folder?"
        ) from None
    if facts.schema_version != SCHEMA_VERSION:
        message = f"{folder}: has schema {facts.schema_version}, this program reads {SCHEMA_VERSION}"
        raise UserError(message, "publish it with the version that recorded it")
    return facts


def _finished(intakes: list["_Intake"]) -> list[TapeWriter]:
    """Clocks corrected, a venue's together; measured, digested."""
    writers: list[TapeWriter] = []
    for _, of_venue in groupby(intakes, lambda intake: intake.spec.venue):
        together = list(of_venue)
        recorded = [intake.market for intake in together if not intake.is_index and intake.market.facts.packets]
        offset_ns = clock_offset_ns([writer.written()[0] for writer in recorded]) if recorded else 0
        for intake in together:
            writers += intake.finish(offset_ns)
    return writers


class _Intake:
    """One listing's events on their way into up to two tapes: what was recorded, and the bars from before it."""

    def __init__(self, listing_id: int, spec: ListingSpec, catalog: Path, facts: Facts, stack: ExitStack) -> None:
        self.listing_id, self.spec = listing_id, spec
        self.is_index = spec.kind == "volatility"
        self.market, self.bars = (
            stack.enter_context(TapeWriter(catalog, spec, f"{SOURCE} {facts.source}")) for _ in range(2)
        )
        self._history_known_ns = _known_until_ns(catalog, self.market)

    def take(self, packets: Array, rows: Array) -> None:
        ours = packets[(packets["listing_id"] == self.listing_id) & (packets["kind"] < PRIVATE_FIRST)]
        is_bar = ours["kind"] == Kind.BAR
        is_new = ours["ts_local_ns"] > self._history_known_ns
        self._append_market(ours[is_new] if self.is_index else ours[~is_bar], rows)
        if not self.is_index:
            self.bars.append(*_own(ours[is_bar & is_new], rows))
            self.bars.facts.quality.bars += int((is_bar & is_new).sum())

    def _append_market(self, packets: Array, rows: Array) -> None:
        if len(packets) == 0:
            return
        if self.market.facts.packets == 0 and not self.is_index:  # behind another tape no book goes on from there
            opening = packets[:1].copy()
            opening["kind"], opening["code"], opening["buy_count"], opening["sell_count"] = Kind.STATUS, 0, 0, 0
            packets = np.concatenate([opening, packets])
        quality, kinds = self.market.facts.quality, packets["kind"]
        quality.lines += len(packets)
        quality.depth_packets += int((kinds == Kind.DEPTH).sum())
        quality.snapshots += int((kinds == Kind.SNAPSHOT).sum())
        quality.trades += int((kinds == Kind.TRADE).sum())
        quality.sequence_gaps += int(((kinds == Kind.STATUS) & (packets["code"] == BookState.GAP)).sum())
        self.market.append(*_own(packets, rows))

    def finish(self, offset_ns: int) -> list[TapeWriter]:
        """The tapes that hold something."""
        made = [writer for writer in (self.market, self.bars) if writer.facts.packets]
        for writer in made:
            if writer is self.market and not self.is_index:
                packets, levels = writer.written()
                packets["ts_venue_ns"] += offset_ns
                writer.facts.quality.clock_offset_ns = offset_ns
                writer.facts.latency_ns_max = int((packets["ts_local_ns"] - packets["ts_venue_ns"]).max())
                measure(writer.facts.quality, packets, levels)
            else:
                writer.facts.latency_ns_max = 0  # a period's length is no latency
            writer.finish()
        return made


def _known_until_ns(catalog: Path, writer: TapeWriter) -> int:
    """History of the listing that the catalog holds is not told twice; nor is it told of a time that was recorded."""
    folder = (catalog / tape_path(writer.facts)).parent
    tapes = [Tape(path.parent) for path in folder.glob("*/tape.json")]
    is_index = writer.facts.listing.kind == "volatility"
    return max((tape.facts.ts_last_ns for tape in tapes if is_history(tape) or not is_index), default=0)


def _own(packets: Array, rows: Array) -> tuple[Array, Array]:
    """A listing's packets, numbered as a tape's, with their rows and no others."""
    counts = (packets["buy_count"] + packets["sell_count"]).astype(np.int64)
    ends = np.cumsum(counts)
    places = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(packets["level_begin"] - ends + counts, counts)
    own = np.ascontiguousarray(packets).view(np.uint8).copy().view(PACKET)
    own["listing_id"], own["level_begin"] = 0, ends - counts
    return own, np.take(rows.view(("V", LEVEL.itemsize)), places).view(LEVEL)
