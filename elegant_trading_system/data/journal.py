"""The journal of a live run: every event in the order it was decided on, written before it is.

A segment is two preallocated memory-mapped files, packets and rows, and a head that says how many of each count. The
head is written last, so a process killed at any moment leaves whole events only. Blocks of events are chained by
sha256 as they fill; what a chain covers can be proven unchanged. A full segment is cut and packed by a thread.
"""

import gzip
import hashlib
import json
import mmap
import os
import shutil
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..core.schema import COMMAND, LEVEL, PACKET, SCHEMA_VERSION
from ..errors import UserError

Array = np.ndarray[Any, Any]
SEGMENT_PACKETS = 1 << 18  # 16 MB
SEGMENT_ROWS = 1 << 20  # 16 MB
BLOCK_PACKETS = 1 << 12
PACK_LEVEL = 1
PACK_BYTES = 1 << 13  # read at a time: small pieces leave small holes in the heap
HEAD = np.dtype([("schema_version", "i8"), ("packets", "i8"), ("rows", "i8")])
PARTS = (("packets", PACKET, SEGMENT_PACKETS), ("rows", LEVEL, SEGMENT_ROWS), ("head", HEAD, 1))

PACKET_FORM = struct.Struct("=6q2i4h")  # written field by field through NumPy it takes thirty times as long
PACKET_BYTES = PACKET.itemsize
assert PACKET_FORM.size == PACKET_BYTES


class _Segment:
    """One pair of files, mapped."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.number = folder, number
        self._maps: list[mmap.mmap] = []
        self.packets, self.rows, _ = (self._map(*part) for part in PARTS)
        self.packet_map = self._maps[0]
        self.head = memoryview(self._maps[2]).cast("q")  # as HEAD has them, one store a count
        self.head[0] = SCHEMA_VERSION

    def path(self, name: str) -> Path:
        return self.folder / f"{name}-{self.number:05d}.bin"

    def _map(self, name: str, dtype: np.dtype[Any], count: int) -> Array:
        """Room on the disk is claimed now: a full disk is noticed before an event is half written."""
        size = dtype.itemsize * count
        descriptor = os.open(self.path(name), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, size)
            else:
                os.write(descriptor, bytes(size))
            self._maps.append(mmap.mmap(descriptor, size))
        except OSError as error:
            raise UserError(f"{self.path(name)}: {error.strerror}", "make room on the disk; nothing was lost") from None
        finally:
            os.close(descriptor)
        return np.frombuffer(self._maps[-1], dtype)

    def close(self) -> None:
        """Cut the files to what was used, make them durable and pack them. Takes a while; safe to be killed in."""
        for mapped in self._maps:
            mapped.flush()
        _pack(self.folder, self.number, self.head[1], self.head[2])


class Journal:
    """Writes a run's events: `begin`, put the rows in, `commit`. Goes on behind what a folder holds already."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.count = 0  # events committed
        self._chain, self._chained = hashlib.sha256(), 0
        numbers = _segments(folder)
        if numbers:
            self._resume(numbers)
        self._open(_Segment(folder, len(numbers)))
        self._commands = (folder / "commands.bin").open("ab", buffering=0)
        self._packing: threading.Thread | None = None

    def _resume(self, numbers: list[int]) -> None:
        """What a crash left is checked, cut to whole entries and sealed."""
        self._chain, ends = _checked(self.folder)
        _cut(self.folder / "commands.bin", lambda data: len(data) // COMMAND.itemsize * COMMAND.itemsize)
        _cut(self.folder / "chain.jsonl", lambda data: data.rfind(b"\n") + 1)
        for number, (packets, rows) in zip(numbers, read(self.folder), strict=True):
            self.count += len(packets)
            begin = ends.get(number, 0)
            if begin < len(packets):
                self._log_block(number, len(packets), _block(packets[begin:], rows))
            _pack(self.folder, number, len(packets), _row_end(packets))

    def _open(self, segment: _Segment) -> None:
        self._segment = segment
        self.packets, self.rows = segment.packets, segment.rows  # of the running segment, committed or not
        self.position, self._row_count = 0, 0  # where in them the next event goes
        self._packet_map, self._head = segment.packet_map, segment.head

    @property
    def segment(self) -> int:
        """The running segment's number."""
        return self._segment.number

    def begin(self, row_count: int) -> int:
        """Where in `rows` the next event's go, when there are so many; nothing counts until `commit`."""
        if self.position == SEGMENT_PACKETS or self._row_count + row_count > SEGMENT_ROWS:
            assert row_count <= SEGMENT_ROWS, row_count
            self._rotate()
        return self._row_count

    def commit(
        self,
        ts_local_ns: int,
        ts_venue_ns: int = 0,
        order_id: int = 0,
        atoms: int = 0,
        buy_count: int = 0,
        sell_count: int = 0,
        listing_id: int = 0,
        kind: int = 0,
        code: int = 0,
        asset_id: int = 0,
    ) -> int:
        """The event counts from here on; returns its place in the segment. Fields as PACKET has them."""
        n, begin = self.position, self._row_count
        PACKET_FORM.pack_into(
            self._packet_map,
            n * PACKET_BYTES,
            self.count,
            ts_local_ns,
            ts_venue_ns,
            begin,
            order_id,
            atoms,
            buy_count,
            sell_count,
            listing_id,
            kind,
            code,
            asset_id,
        )
        self._row_count = self._head[2] = begin + buy_count + sell_count
        self.position = self._head[1] = n + 1
        self.count += 1
        return n

    def log_commands(self, commands: Array) -> None:
        """What was decided: to be compared with what a replay decides."""
        self._commands.write(commands.tobytes())

    def seal(self) -> None:
        """Chain the blocks that are full. Off the hot path."""
        while self.position - self._chained >= BLOCK_PACKETS:
            self._seal_to(self._chained + BLOCK_PACKETS)

    def _seal_to(self, end: int) -> None:
        self._log_block(self._segment.number, end, _block(self._segment.packets[self._chained : end], self.rows))
        self._chained = end

    def _log_block(self, segment: int, end: int, block: bytes) -> None:
        self._chain.update(block)
        with (self.folder / "chain.jsonl").open("a") as file:
            file.write(json.dumps({"segment": segment, "end": end, "sha256": self._chain.hexdigest()}) + "\n")

    def _rotate(self) -> None:
        following = _Segment(self.folder, self._segment.number + 1)  # first: if the disk is full, nothing is closed
        self._finish_segment()
        self._open(following)
        self._chained = 0

    def _finish_segment(self) -> None:
        if self.position > self._chained:
            self._seal_to(self.position)
        self._packing = threading.Thread(target=_close_behind, args=(self._packing, self._segment), name="journal")
        self._packing.start()

    def close(self) -> str:
        """Everything is on the disk; returns the chain's last digest."""
        self._finish_segment()
        assert self._packing is not None
        self._packing.join()
        self._commands.close()
        return self._chain.hexdigest()


def _close_behind(before: threading.Thread | None, segment: _Segment) -> None:
    """One after the other, each in a thread of its own: what the heap of one that lives on keeps for it only grows."""
    if before is not None:
        before.join()
    segment.close()


def _block(packets: Array, rows: Array) -> bytes:
    """Events with their rows, as the chain takes them."""
    return packets.tobytes() + rows[int(packets[0]["level_begin"]) : _row_end(packets)].tobytes()


def _row_end(packets: Array) -> int:
    """Behind the last row of the last event."""
    if len(packets) == 0:
        return 0
    last = packets[-1]
    return int(last["level_begin"] + last["buy_count"] + last["sell_count"])


def _cut(path: Path, whole: Callable[[bytes], int]) -> None:
    """Half an entry at the end goes."""
    if path.exists():
        os.truncate(path, whole(path.read_bytes()))


def _pack(folder: Path, number: int, packets: int, rows: int) -> None:
    """A closed segment's files as short as they may be. One that is packed already stays; a full disk leaves it open."""
    for name, used in (("packets", packets * PACKET.itemsize), ("rows", rows * LEVEL.itemsize)):
        path = folder / f"{name}-{number:05d}.bin"
        if not path.exists():
            continue
        os.truncate(path, used)
        partial, packed = path.with_suffix(".partial"), path.with_suffix(".bin.gz")
        try:
            with path.open("rb", buffering=0) as whole, gzip.open(partial, "wb", PACK_LEVEL) as file:
                shutil.copyfileobj(whole, file, PACK_BYTES)
            partial.replace(packed)
            path.unlink()
        except OSError:
            partial.unlink(missing_ok=True)


def _load(folder: Path, name: str, number: int, dtype: np.dtype[Any]) -> Array:
    """A segment's part, packed or not; both, when a crash came between: then they are equal."""
    path = folder / f"{name}-{number:05d}.bin"
    if path.exists():
        return np.fromfile(path, dtype)
    try:
        data = gzip.decompress(path.with_suffix(".bin.gz").read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: {error}", "the files were damaged") from None
    return np.frombuffer(data[: len(data) // dtype.itemsize * dtype.itemsize], dtype)


# --- reading --------------------------------------------------------------------------------------------------
def read(folder: Path) -> Iterator[tuple[Array, Array]]:
    """(packets, rows) of each segment, as far as they were committed: after a crash as well."""
    numbers = _segments(folder)
    if not numbers:
        raise UserError(f"{folder} is no journal: it has no segment", "a live run's folder holds one in journal/")
    for number in numbers:
        found = {name: _load(folder, name, number, dtype) for name, dtype, _ in PARTS}
        if len(found["head"]) == 0 or found["head"][0]["schema_version"] not in (0, SCHEMA_VERSION):
            raise UserError(f"{folder}: segment {number} has another schema", "use the version that wrote it")
        head = found["head"][0]
        if len(found["packets"]) < head["packets"] or len(found["rows"]) < head["rows"]:
            raise UserError(f"{folder}: segment {number} is shorter than its head says", "the files were damaged")
        yield found["packets"][: head["packets"]], found["rows"][: head["rows"]]


def _segments(folder: Path) -> list[int]:
    return [int(path.stem.rpartition("-")[2]) for path in sorted(folder.glob("head-*.bin"))]


def check_chain(folder: Path) -> str:
    """Recompute the chain over what was sealed; returns the last digest. Raises UserError where it breaks."""
    return _checked(folder)[0].hexdigest()


def _checked(folder: Path) -> tuple["hashlib._Hash", dict[int, int]]:
    """The chain over what was sealed, and how many events of each segment that is."""
    chain, ends = hashlib.sha256(), dict[int, int]()
    path = folder / "chain.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    entries = [json.loads(line) for line in lines if line.endswith(b"\n")]  # the last may be half
    for number, (packets, rows) in enumerate(read(folder)):
        begin = 0
        for end in (entry for entry in entries if entry["segment"] == number):
            chain.update(_block(packets[begin : end["end"]], rows))
            if chain.hexdigest() != end["sha256"]:
                raise UserError(
                    f"{folder}: events {begin} to {end['end']} of segment {number} were changed after they were sealed"
                )
            begin = ends[number] = end["end"]
    return chain, ends


def read_commands(folder: Path) -> Array:
    """Whole commands only: the last may have been cut off by a crash."""
    data = (folder / "commands.bin").read_bytes()
    return np.frombuffer(data[: len(data) // COMMAND.itemsize * COMMAND.itemsize], COMMAND)
