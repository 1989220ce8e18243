"""The journal of a live run: every event in the order it was decided on, written before it is.

A segment is two preallocated memory-mapped files, packets and rows, and a head that says how many of each count. The
head is written last, so a process killed at any moment leaves whole events only. Blocks of events are chained by
sha256 as they fill; what a chain covers can be proven unchanged. A full segment is cut and packed by a thread.

Nothing on the hot path waits for the disk: one thread chains and makes the next segment when the running one is half
full, another packs. `segments` reads what is written here.
"""

import contextlib
import json
import mmap
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ..core.append import PACKETS, ROWS, commit, lay
from ..core.jit import direct
from ..core.schema import COMMAND, LEVEL, PACKET, SCHEMA_VERSION
from ..errors import UserError
from .segments import (
    CHAIN_VERSION,
    HEAD,
    START,
    Seal,
    check_chain,
    checked,
    head_of,
    next_digest,
    number_of,
    pack,
    read,
    read_commands,
    used_segments,
)

__all__ = ["HEAD", "Journal", "check_chain", "read", "read_commands"]

Array = np.ndarray[Any, Any]
SEGMENT_PACKETS = 1 << 18  # 16 MB
SEGMENT_ROWS = 1 << 20  # 16 MB
BLOCK_PACKETS = 1 << 12
WARM_BYTES = 1 << 18
PARTS = (("packets", PACKET, SEGMENT_PACKETS), ("rows", LEVEL, SEGMENT_ROWS), ("head", HEAD, 1))


class _Segment:
    """One pair of files, mapped. Until `use` nobody takes it for more than room that was claimed."""

    def __init__(self, folder: Path, number: int, *, is_warm: bool = False) -> None:
        self.folder, self.number = folder, number
        self._maps: list[mmap.mmap] = []
        self._made: list[Path] = []
        try:
            self.packets, self.rows, head = (self._map(*part, is_warm=is_warm) for part in PARTS)
        except OSError as error:
            self.discard()
            raise UserError(f"{error.filename}: {error.strerror}", "make room on the disk; nothing was lost") from None
        self.head = head.view(np.int64)  # as HEAD has them, one store a count

    def use(self) -> None:
        self.head[0] = SCHEMA_VERSION

    def _map(self, name: str, dtype: np.dtype[Any], count: int, *, is_warm: bool) -> Array:
        """Room on the disk is claimed now: a full disk is noticed before an event is half written."""
        path, size = _path(self.folder, name, self.number), dtype.itemsize * count
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._made.append(path)
        try:
            _claim(descriptor, size, is_warm=is_warm)
            self._maps.append(mmap.mmap(descriptor, size))
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None
        finally:
            os.close(descriptor)
        return np.frombuffer(self._maps[-1], dtype)

    def discard(self) -> None:
        """Nothing was written: the room is free again."""
        _remove(self._made)


class _Chain:
    """The chain's last seal; one thread alone makes it longer."""

    def __init__(self, path: Path, last: Seal) -> None:
        self.path, self.last = path, last

    def extend(self, segment: int, packets: Array, rows: Array, end: int) -> Seal:
        """Seal so many events of a segment, block by block; a block that the disk does not take counts as none."""
        begin = self.last.end if self.last.segment == segment else 0
        if segment < self.last.segment or end <= begin:
            return self.last
        size = self.path.stat().st_size if self.path.exists() else 0
        seals = [self.last]
        for stop in [*range(begin + BLOCK_PACKETS, end, BLOCK_PACKETS), end]:
            seals.append(Seal(segment, stop, next_digest(seals[-1], packets[begin:stop], rows)))
            begin = stop
        try:
            with self.path.open("a") as file:
                file.write("".join(_line(seal) for seal in seals[1:]))
        except OSError as error:
            with contextlib.suppress(OSError):
                os.truncate(self.path, size)
            raise UserError(f"{self.path}: {error.strerror}", "make room on the disk; no event was lost") from None
        self.last = seals[-1]
        return self.last


class Journal:
    """Writes a run's events: `begin`, put the rows in, `lay` the header, `commit`. Goes on behind what a folder holds already."""

    def __init__(self, folder: Path, behind: Seal = START) -> None:
        """`behind`: a seal of this journal, up to which somebody has proven it before; the rest is proven now."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.seq_begin = 0  # of the running segment's first event
        self._chainer = ThreadPoolExecutor(1, "journal")
        self._chaining: Future[Seal] = Future()
        self._chaining.set_result(START)
        self._next: Future[_Segment] | None = None  # once the running segment is half full
        self._is_warned = False
        self._chain = _Chain(folder / "chain.jsonl", behind)
        self._packing: threading.Thread | None = None
        self._to_pack = deque[int]()  # closed segments, by their numbers
        self._chainer.submit(int)
        following = _Segment(folder, self._resume(behind))
        self._open(following, self.seq_begin)
        self._lay = direct(lay, self.packets, self.head, *[0] * 9)
        self._commit = direct(commit, self.packets, self.head, 0, 0)
        self._commands = (folder / "commands.bin").open("ab", buffering=0)

    def _resume(self, behind: Seal) -> int:
        """What a crash left is checked, cut to whole entries and sealed; returns the next segment's number."""
        numbers = used_segments(self.folder)
        self._chain.last = checked(self.folder, behind)
        _cut(self.folder / "commands.bin", lambda data: len(data) // COMMAND.itemsize * COMMAND.itemsize)
        _cut(self.folder / "chain.jsonl", lambda data: data.rfind(b"\n") + 1)
        _remove(path for path in self.folder.glob("*-*.bin") if number_of(path) not in numbers)  # made ahead, not used
        if numbers:
            for number, part in zip(numbers[behind.segment :], read(self.folder, (behind.segment, 0)), strict=True):
                self._chain.extend(number, *part, len(part[0]))
                self.seq_begin = int(part[0]["seq"][-1]) + 1 if len(part[0]) else self.seq_begin
            self._chainer.submit(self._pack, *numbers)
        return len(numbers)

    def _open(self, segment: _Segment, seq_begin: int) -> None:
        self.seq_begin, self._segment = seq_begin, segment
        self._counted = segment.head.data
        # Of the running segment, committed or not; the head counts what is.
        self.packets, self.rows, self.head = segment.packets, segment.rows, segment.head
        self._asked = 0  # so many of its events are sealed, or will be in a moment
        segment.use()

    @property
    def segment(self) -> int:
        """The running segment's number."""
        return self._segment.number

    @property
    def position(self) -> int:
        """Events committed in the running segment."""
        return self._counted[PACKETS]

    @property
    def count(self) -> int:
        """Events committed."""
        return self.seq_begin + self._counted[PACKETS]

    def begin(self, row_count: int) -> int:
        """Where in `rows` the next event's go, when there are so many; nothing counts until `commit`."""
        end = self._counted[ROWS]
        if self._counted[PACKETS] == SEGMENT_PACKETS or end + row_count > SEGMENT_ROWS:
            assert row_count <= SEGMENT_ROWS, row_count
            self._rotate()
            return 0
        return end

    def lay(
        self,
        ts_venue_ns: int = 0,
        order_id: int = 0,
        atoms: int = 0,
        buy_count: int = 0,
        sell_count: int = 0,
        listing_id: int = 0,
        kind: int = 0,
        code: int = 0,
        asset_id: int = 0,
    ) -> None:
        """The next event's header, behind its rows. Fields as PACKET has them; a venue's stamp of 0: it has none."""
        self._lay(
            self.packets,
            self.head,
            ts_venue_ns,
            order_id,
            atoms,
            buy_count,
            sell_count,
            listing_id,
            kind,
            code,
            asset_id,
        )

    def commit(self, ts_local_ns: int) -> None:
        """What was laid counts from here on; `engine.step` does the same and decides on it."""
        self._commit(self.packets, self.head, self.seq_begin, ts_local_ns)

    def log_commands(self, commands: Array) -> None:
        """What was decided: to be compared with what a replay decides."""
        self._commands.write(commands.tobytes())

    def seal(self) -> None:
        """Have the blocks that are full chained, and the next segment made in time. Often, off the hot path.

        Raises UserError when the disk had no room for what was asked before.
        """
        if self._chaining.done():
            self._chaining.result()
            full = (self.position - self._asked) // BLOCK_PACKETS * BLOCK_PACKETS
            if full:
                self._seal_to(self._asked + full)
        if self._next is None and (self.position * 2 > SEGMENT_PACKETS or self._counted[ROWS] * 2 > SEGMENT_ROWS):
            self._next = self._chainer.submit(_Segment, self.folder, self._segment.number + 1, is_warm=True)

    def mark(self) -> Future[Seal]:
        """Have all that was committed sealed: a place that can be named to others."""
        return self._seal_to(self.position)

    def _seal_to(self, end: int) -> Future[Seal]:
        self._asked = end
        self._chaining = self._chainer.submit(self._chain.extend, self._segment.number, self.packets, self.rows, end)
        return self._chaining

    def notices(self) -> list[str]:
        """What a person should hear before the running segment is full, once."""
        if self._is_warned or self._next is None or not self._next.done() or not self._next.exception():
            return []
        self._is_warned = True
        return [f"{self._next.exception()}: the run ends when the journal's running segment is full"]

    def _rotate(self) -> None:
        following = self._following()  # first: if the disk is full, nothing is closed
        self._finish_segment()
        self._open(following, self.count)

    def _following(self) -> _Segment:
        """The next segment as it was made ahead; made now where it was not, or had no room then."""
        ahead, self._next = self._next, None
        if ahead is None or ahead.exception():  # waits for one that is being made
            return _Segment(self.folder, self._segment.number + 1)
        return ahead.result()

    def _finish_segment(self) -> None:
        self._seal_to(self.position)
        self._chainer.submit(self._pack, self._segment.number)  # once sealed; a thread's start is not for the hot path

    def _pack(self, *numbers: int) -> None:
        """Behind those that wait already, in a thread that ends with them: the heap of one that lives on only grows."""
        self._to_pack.extend(numbers)
        if self._packing is None or not self._packing.is_alive():
            self._packing = threading.Thread(target=self._pack_waiting, name="packing")
            self._packing.start()

    def _pack_waiting(self) -> None:
        """Cut the files to what was used and pack them. Takes a while; safe to be killed in.

        No `mmap.flush`: it keeps the interpreter's lock while the disk writes, so that everybody waits.
        """
        while self._to_pack:
            _pack_closed(self.folder, self._to_pack.popleft())

    def close(self) -> str:
        """Everything is on the disk; returns the chain's last digest."""
        self._finish_segment()
        self._chainer.shutdown()
        if self._packing is not None:
            self._packing.join()
        self._pack_waiting()  # what came while the thread was ending
        if self._next and not self._next.exception():
            self._next.result().discard()
        self._commands.close()
        return self._chaining.result().sha256


def _claim(descriptor: int, size: int, *, is_warm: bool) -> None:
    """Room for a file; with `is_warm` in memory as well, where the first to write would wait two milliseconds for it."""
    if not hasattr(os, "posix_fallocate"):
        os.write(descriptor, bytes(size))
        return
    os.posix_fallocate(descriptor, 0, size)
    for begin in range(0, size, WARM_BYTES) if is_warm else ():
        os.pwrite(descriptor, bytes(min(WARM_BYTES, size - begin)), begin)


def _path(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}-{number:05d}.bin"


def _remove(paths: Iterable[Path]) -> None:
    """A system that keeps the files it has mapped keeps them until the next start."""
    with contextlib.suppress(OSError):
        for path in sorted(paths):  # heads first: without one there is no segment
            path.unlink()


def _pack_closed(folder: Path, number: int) -> None:
    """A closed segment, or one that a crash, or a full disk, has left open."""
    head = head_of(folder, number)
    pack(folder, number, int(head["packets"]), int(head["rows"]))


def _line(seal: Seal) -> str:
    return json.dumps({"version": CHAIN_VERSION, **seal._asdict()}) + "\n"


def _cut(path: Path, whole: Callable[[bytes], int]) -> None:
    """Half an entry at the end goes."""
    if path.exists():
        os.truncate(path, whole(path.read_bytes()))
