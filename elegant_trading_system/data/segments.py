"""A journal's files, read: its segments, packed or not, the chain over them, and the commands beside them.

Of a segment only what its head counts is there; a segment whose head is empty was made ahead and never used.
"""

import gzip
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..core.schema import COMMAND, LEVEL, PACKET, SCHEMA_VERSION
from ..errors import UserError

Array = np.ndarray[Any, Any]
Place = tuple[int, int]  # a segment, and how many of its events
HEAD = np.dtype([("schema_version", "i8"), ("packets", "i8"), ("rows", "i8")])
PACK_LEVEL = 1
PACK_BYTES = 1 << 13  # read at a time: small pieces leave small holes in the heap
CHAIN_VERSION = 2  # each digest is over the one before and its block; 1: over all that was before
OTHER_VERSION = "use the version that wrote it"
DAMAGED = "the files were damaged"


class Seal(NamedTuple):
    """The chain's digest behind so many events of a segment."""

    segment: int
    end: int
    sha256: str

    @property
    def place(self) -> Place:
        return self.segment, self.end


START = Seal(0, 0, hashlib.sha256().hexdigest())


# --- events -----------------------------------------------------------------------------------------------------
def read(folder: Path, behind: Place = START.place, until: Place | None = None) -> Iterator[tuple[Array, Array]]:
    """(packets, rows) of each segment, as far as they were committed: after a crash as well.

    Whoever knows two places of a running journal may read what lies between them, while more is written.
    """
    for number in _some_segments(folder):
        if number < behind[0] or (until and number > until[0]):
            continue
        packets, rows = _committed(folder, number)
        end = until[1] if until and number == until[0] else len(packets)
        begin = behind[1] if number == behind[0] else 0
        if not begin <= end <= len(packets):
            raise UserError(f"{folder}: segment {number} holds {len(packets)} events, not {max(begin, end)}", DAMAGED)
        yield packets[begin:end], rows


def end_of(folder: Path) -> Place:
    """Behind the last event that was committed."""
    last = _some_segments(folder)[-1]
    return last, int(head_of(folder, last)["packets"])


def used_segments(folder: Path) -> list[int]:
    """Their numbers, from 0 and without a hole. Raises UserError when one is missing."""
    numbers = [number_of(path) for path in sorted(folder.glob("head-*.bin"))]
    while numbers and not head_of(folder, numbers[-1])["schema_version"]:
        numbers.pop()
    if numbers != list(range(len(numbers))):
        missing = min(set(range(len(numbers))) - set(numbers))
        raise UserError(f"{folder}: segment {missing} is missing", DAMAGED)
    return numbers


def _some_segments(folder: Path) -> list[int]:
    numbers = used_segments(folder)
    if not numbers:
        raise UserError(f"{folder} is no journal: it has no segment", "a live run's folder holds one in journal/")
    return numbers


def number_of(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def head_of(folder: Path, number: int) -> Any:
    """How many events and rows count; all 0 where none ever did."""
    found = np.fromfile(folder / f"head-{number:05d}.bin", HEAD, 1)
    return found[0] if len(found) else np.zeros(1, HEAD)[0]


def _committed(folder: Path, number: int) -> tuple[Array, Array]:
    head = head_of(folder, number)
    if head["schema_version"] != SCHEMA_VERSION:
        versions = f"schema {head['schema_version']}, this program reads {SCHEMA_VERSION}"
        raise UserError(f"{folder}: segment {number} was written with {versions}", OTHER_VERSION)
    found = [
        _load(folder, name, number, dtype, int(head[name])) for name, dtype in (("packets", PACKET), ("rows", LEVEL))
    ]
    if len(found[0]) < head["packets"] or len(found[1]) < head["rows"]:
        raise UserError(f"{folder}: segment {number} is shorter than its head says", DAMAGED)
    return found[0], found[1]


def _load(folder: Path, name: str, number: int, dtype: np.dtype[Any], count: int) -> Array:
    """A segment's part, packed or not; both, when a crash came between: then they are equal.

    Always an array that may be written to: for any other the engine would be compiled once more.
    """
    path = folder / f"{name}-{number:05d}.bin"
    try:
        return np.fromfile(path, dtype, count)
    except FileNotFoundError:
        pass  # packed, perhaps a moment ago
    try:
        data = bytearray(gzip.decompress(path.with_suffix(".bin.gz").read_bytes()))
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: {error}", DAMAGED) from None
    return np.frombuffer(data, dtype, min(count, len(data) // dtype.itemsize))


def row_end(packets: Array) -> int:
    """Behind the last row of the last event."""
    if len(packets) == 0:
        return 0
    last = packets[-1]
    return int(last["level_begin"] + last["buy_count"] + last["sell_count"])


# --- commands ---------------------------------------------------------------------------------------------------
def read_commands(folder: Path) -> Array:
    """Whole commands only: the last may have been cut off by a crash."""
    data = (folder / "commands.bin").read_bytes()
    return np.frombuffer(data[: len(data) // COMMAND.itemsize * COMMAND.itemsize], COMMAND)


# --- the chain --------------------------------------------------------------------------------------------------
def check_chain(folder: Path) -> str:
    """Recompute the chain over what was sealed; returns the last digest. Raises UserError where it breaks."""
    return checked(folder).sha256


def checked(folder: Path, behind: Seal = START) -> Seal:
    """The last seal, after recomputing what lies behind one that is trusted."""
    last, left = behind, [seal for seal in seals(folder) if seal.place > behind.place]
    numbers = used_segments(folder)
    if left and left[-1].segment not in numbers:
        raise UserError(f"{folder}: segment {left[-1].segment} was sealed and is gone", DAMAGED)
    for number in numbers[behind.segment :]:
        packets, rows = _committed(folder, number)
        for seal in (seal for seal in left if seal.segment == number):
            begin = last.end if last.segment == number else 0
            if seal.end > len(packets) or next_digest(last, packets[begin : seal.end], rows) != seal.sha256:
                raise UserError(
                    f"{folder}: events {begin} to {seal.end} of segment {number} were changed after they were sealed"
                )
            last = seal
    return last


def next_digest(last: Seal, packets: Array, rows: Array) -> str:
    """sha256 of the digest before, the events and their rows. No copies: who hashes lets others go on meanwhile."""
    chain = hashlib.sha256(bytes.fromhex(last.sha256))
    if len(packets):
        chain.update(packets.view(np.uint8).data)
        chain.update(rows[int(packets[0]["level_begin"]) : row_end(packets)].view(np.uint8).data)
    return chain.hexdigest()


def seals(folder: Path) -> list[Seal]:
    """All that was sealed. Raises UserError when another version did it."""
    path = folder / "chain.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [_seal(path, n, line) for n, line in enumerate(lines) if line.endswith(b"\n")]  # the last may be half


def _seal(path: Path, n: int, line: bytes) -> Seal:
    try:
        entry = json.loads(line)
        version, seal = entry.get("version", 1), Seal(entry["segment"], entry["end"], entry["sha256"])
    except (ValueError, KeyError, AttributeError):
        raise UserError(f"{path}: line {n + 1} cannot be read", DAMAGED) from None
    if version != CHAIN_VERSION:
        raise UserError(f"{path}: written with version {version}, this program reads {CHAIN_VERSION}", OTHER_VERSION)
    return seal


# --- packing ----------------------------------------------------------------------------------------------------
def pack(folder: Path, number: int, packets: int, rows: int) -> None:
    """A closed segment's files as short as they may be, and durable. One that is packed already stays; a full disk leaves it open."""
    for name, used in (("packets", packets * PACKET.itemsize), ("rows", rows * LEVEL.itemsize)):
        path = folder / f"{name}-{number:05d}.bin"
        if not path.exists():
            continue
        os.truncate(path, used)
        partial, packed = path.with_suffix(".partial"), path.with_suffix(".bin.gz")
        try:
            with partial.open("wb") as file:
                with path.open("rb", buffering=0) as whole, gzip.open(file, "wb", PACK_LEVEL) as packing:
                    shutil.copyfileobj(whole, packing, PACK_BYTES)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(packed)
            path.unlink()
        except OSError:
            partial.unlink(missing_ok=True)
