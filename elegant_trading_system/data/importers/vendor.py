"""What importers of row-wise vendor files share: files of a listing become one tape, in batches, by one set of rules.

A format is a subclass of VendorFile and a `read` that opens files and calls `import_files`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from ...core.kinds import BookState, Kind
from ...errors import UserError
from ..decimals import Array, Grid
from ..tape import ListingSpec, TapeWriter
from ..verify import LATENCY_FLOOR_NS, clock_offset_ns, measure
from .listing_files import Known, check_names, with_steps
from .rows import (
    blank_rows,
    check_levels,
    check_stamps,
    is_first,
    merged_rows,
    packets_of,
    whole_packets,
    without_early_depth,
)

TRADES_FIRST, BOOK_BEHIND = 0, 1  # streams: at equal times a trade comes before the depth it leaves
READING_SHARE = 0.9  # of the whole work, as far as progress is concerned
DAMAGED = "the file is damaged or of another format: fetch it again, or leave it out"

OpenWriter = Callable[[ListingSpec], TapeWriter]
Progress = Callable[[str, float], None]


class VendorFile(ABC):
    """One stream of one listing in one file."""

    known: Known  # the listing
    stream: int = BOOK_BEHIND  # streams of a listing are merged by time, at equal times in this order
    hint: str = DAMAGED
    share_read: float = 0.0

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def listing_name(self) -> str:
        return self.known.spec.name

    @property
    @abstractmethod
    def ts_first_ns(self) -> int:
        """Receive time of the first row."""

    @abstractmethod
    def places(self) -> tuple[int, int]:
        """Decimal places of the finest price and size in the file."""

    @abstractmethod
    def batches(self, intake: "Intake") -> Iterator[Array]:
        """The file as rows.ROW in file order; what is left out is counted in the intake's quality."""

    def refused(self, number: int, reason: str, hint: str = "") -> UserError:
        return UserError(f"{self.path}:{number}: {reason}", hint or self.hint)


class Intake:
    """One listing on its way from files to tape."""

    def __init__(self, files: list[VendorFile], open_writer: OpenWriter, progress: Progress) -> None:
        self.files = files
        self.known = _known(files, progress)
        self.spec = self.known.spec
        self.grid = Grid.of(self.spec.tick_size, self.spec.lot_size)
        self.writer = open_writer(self.spec)
        self.writer.facts.assumed = self.known.assumed
        self.quality = self.writer.facts.quality
        self.last_ids: dict[int, int] = {}  # by stream

    def fill(self, progress: Progress) -> None:
        """Read all files into the tape."""
        streams = [self._stream(list(files), progress) for _, files in groupby(self.files, lambda file: file.stream)]
        for rows in whole_packets(merged_rows(streams), self.files[0].refused):
            self._append(rows)
        self.writer.facts.source_files = [file.path.name for file in self.files]

    def _stream(self, files: list[VendorFile], progress: Progress) -> Iterator[Array]:
        previous_ns = 0
        for file in files:
            if file.ts_first_ns < previous_ns:
                raise file.refused(1, "begins before the file before it ends", "give each recording once")
            for rows in file.batches(self):
                check_stamps(rows, previous_ns, file.refused)
                check_levels(rows, file.refused)
                previous_ns = int(rows["ts_local_ns"][-1]) if len(rows) else previous_ns
                progress(file.path.name, READING_SHARE * file.share_read)
                yield rows

    def _append(self, rows: Array) -> None:
        rows, dropped = without_early_depth(rows, has_snapshot=self.quality.snapshots > 0)
        self.quality.dropped_before_snapshot += dropped
        if len(rows) == 0:
            return
        if self.writer.facts.packets == 0 and rows["kind"][0] != Kind.STATUS:
            rows = np.concatenate([_opening(rows[:1]), rows])  # joined behind another tape, no book goes on from there
        kinds = rows["kind"]
        self.quality.trades += int((kinds == Kind.TRADE).sum())
        self.quality.snapshots += int((is_first(rows) & (kinds == Kind.SNAPSHOT)).sum())
        self.quality.depth_packets += int((is_first(rows) & (kinds == Kind.DEPTH)).sum())
        self.quality.sequence_gaps += int(((kinds == Kind.STATUS) & (rows["code"] == BookState.GAP)).sum())
        self.writer.append(*packets_of(rows))

    def take_ids(self, stream: int, ids: Array, is_gapless: bool) -> Array:
        """Which rows are new, by ids that only rise; repeats and, where ids have no holes, gaps are counted."""
        last = self.last_ids.get(stream, -1)
        highest = np.maximum.accumulate(np.concatenate([[last], ids]))
        is_new: Array = ids > highest[:-1]
        fresh = ids[is_new]
        steps = np.diff(fresh, prepend=fresh[:1] - 1 if last < 0 else last)
        self.quality.repeats += int((~is_new).sum())
        self.quality.trade_id_gaps += int((steps > 1).sum()) if is_gapless else 0
        self.last_ids[stream] = int(highest[-1])
        return is_new

    def finish(self, offset_ns: int) -> None:
        """Correct the venue's clock, measure what was found, and close the tape."""
        if self.quality.dropped_before_snapshot and not self.quality.snapshots:
            raise UserError(
                f"{self.files[0].path}: no snapshot in it, so there is no book to build",
                "import it together with the file that has the snapshot",
            )
        packets, levels = self.writer.written()
        if len(packets) == 0:
            raise UserError(f"{self.files[0].path}: nothing in it can be used", self.files[0].hint)
        packets["ts_venue_ns"] += offset_ns
        self.quality.clock_offset_ns = offset_ns
        self.writer.facts.latency_ns_max = int((packets["ts_local_ns"] - packets["ts_venue_ns"]).max())
        measure(self.quality, packets, levels)
        self.writer.finish()


def _known(files: list[VendorFile], progress: Progress) -> Known:
    """One listing for all files: as one of them says, or with the finest steps of all."""
    said = {file.known.spec.model_dump_json(): file for file in files if file.known.has_steps}
    if len(said) > 1:
        first, second, *_ = said.values()
        message = f"{second.path}: described unlike {first.path}, though both are {first.listing_name}"
        raise UserError(message, "make the .listing.json files beside them agree")
    if said:
        return next(iter(said.values())).known
    places = []
    for file in files:
        progress(f"{file.path.name}: looking for the finest steps", 0.0)
        places.append(file.places())
    return with_steps(files[0].known, max(price for price, _ in places), max(size for _, size in places))


def _opening(first: Array) -> Array:
    stamps = {name: first[name] for name in ("number", "ts_local_ns", "ts_venue_ns")}
    return blank_rows(1, kind=Kind.STATUS, code=BookState.RESYNC, **stamps)


def import_files(files: list[VendorFile], open_writer: OpenWriter, progress: Progress, has_one_clock: bool) -> None:
    """Fill and finish one tape per listing.

    With one clock, both stamps of a file come from clocks that somebody keeps together: they are left as they are
    unless messages arrive before they were sent. Else each venue's clock is corrected.
    """
    for file in files:
        check_names(file.path, file.known.spec)
    ordered = sorted(files, key=lambda file: (file.listing_name, file.stream, file.ts_first_ns))
    intakes = []
    of_listings = [list(group) for _, group in groupby(ordered, lambda file: file.listing_name)]
    for i, of_listing in enumerate(of_listings):
        intakes.append(Intake(of_listing, open_writer, progress))
        intakes[-1].fill(_part(progress, i, len(of_listings)))
    progress("checking books and clocks", READING_SHARE)
    for _, of_venue in groupby(intakes, lambda intake: intake.spec.venue):
        together = list(of_venue)
        offset_ns = _offset_ns([intake.writer.written()[0] for intake in together], has_one_clock)
        for intake in together:
            intake.finish(offset_ns)


def _part(progress: Progress, index: int, count: int) -> Progress:
    return lambda text, share: progress(text, (index * READING_SHARE + share) / count)


def _offset_ns(tapes: list[Array], has_one_clock: bool) -> int:
    """What to add to venue stamps; 0 where the file has one stamp only, or one clock and nothing arrives early."""
    latencies = [packets["ts_local_ns"] - packets["ts_venue_ns"] for packets in tapes]
    offset_ns = clock_offset_ns(tapes)
    has_two_stamps = any(latency.any() for latency in latencies)
    is_early = offset_ns + LATENCY_FLOOR_NS < 0
    return offset_ns if has_two_stamps and (is_early or not has_one_clock) else 0
