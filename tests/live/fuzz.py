"""Frames that nobody should send: spoilt copies of genuine ones, against everything that hears a venue or is one.

`python -m tests.live.fuzz CASES [NAME...]` spoils so many for each adapter; `python -m tests.live.fuzz round NAME N`
runs one round again. An adapter is a class with what `Subject` says; a new one is a line in `ADAPTERS`.
"""

import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

ROUND = 2500  # cases with one subject
BATCH = 50  # spoilt frames between two looks at the book
Frame = bytes | str


class Subject(Protocol):
    """Something that hears frames. `told` and `counted` only grow."""

    def genuine(self) -> list[bytes]:
        """Frames that were heard, and frames that are about to be: what is spoilt."""

    def hear(self, frame: Frame) -> None:
        """Must never raise."""

    def told(self) -> int:
        """How much has changed for those behind it."""

    def counted(self) -> int:
        """How many frames were refused, ignored or found known."""

    def may_tell(self, message: Any) -> bool:
        """Could this message, read with another reader, be the venue's word?"""

    def settle(self, *, is_dirty: bool) -> None:
        """Genuine traffic goes on; AssertionError unless all is as it should be. Dirty: spoilt frames passed for good."""

    def close(self) -> None:
        """Let go of files."""


# --- how frames are spoilt --------------------------------------------------------------------------------------
HUGE = [
    "-1", "0", str(2**63 - 1), str(2**63), str(-(2**63)), str(2**62), str(2**64), "1e999", "-1e999", "1E-999", "NaN",
    "Infinity", "-Infinity", "1.5", "9" * 30, "9" * 400, "9" * 5000, "true", "null", "[]", "{}", '""', '"NaN"', "01",
    '"Infinity"', '"-0.1"', '"1e30"', '"' + "9" * 25 + '"', '"0.00000000000000000001"', '"\\ud800"', '"\\u0000"',
    '"1e999999"', '"1e-999999"', '"1e99999999999"',
]  # fmt: skip


def flip(chance: random.Random, frame: bytes, _other: bytes) -> bytes:
    spoilt = bytearray(frame)
    for _ in range(chance.randrange(1, 6)):
        if spoilt:
            spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
    return bytes(spoilt)


def cut(chance: random.Random, frame: bytes, _other: bytes) -> bytes:
    begin = chance.choice([0, 0, 0, chance.randrange(len(frame) + 1)])
    return frame[begin : chance.randrange(begin, len(frame) + 1)]


def splice(chance: random.Random, frame: bytes, other: bytes) -> bytes:
    return frame[: chance.randrange(len(frame) + 1)] + other[chance.randrange(len(other) + 1) :]


def noise(chance: random.Random, frame: bytes, _other: bytes) -> bytes:
    at = chance.randrange(len(frame) + 1)
    return frame[:at] + chance.randbytes(chance.randrange(1, 20)) + frame[at + chance.randrange(3) :]


def digits(chance: random.Random, frame: bytes, _other: bytes) -> bytes:
    """A number or text between two of the marks that separate values becomes another."""
    ends = [n for n, byte in enumerate(frame) if byte in b",:[]{}"]
    if len(ends) < 2:
        return frame
    n = chance.randrange(len(ends) - 1)
    return frame[: ends[n] + 1] + chance.choice(HUGE).encode() + frame[ends[n + 1] :]


def leaf(chance: random.Random, frame: bytes, other: bytes) -> bytes:
    """A value somewhere inside becomes something else, or is gone, or is there twice."""
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        return flip(chance, frame, other)
    at = message
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at))) if isinstance(at, list) else []
        if not keys:
            return json.dumps(message).encode()
        key = chance.choice(keys)
        if isinstance(at[key], dict | list) and at[key] and chance.random() < 0.8:
            at = at[key]
            continue
        how = chance.randrange(4)
        if how == 0:
            del at[key]
        elif how == 1:
            at[key] = chance.choice([None, True, -1, 2**62, 2**63 - 1, 2**63, 1.5, "", "x", [], {}, [[]], [at[key]], 0])
        elif how == 2 and isinstance(at[key], int):
            at[key] += chance.choice([-(10**6), -2, -1, 1, 2, 3, 10**6, 10**9, 10**12, 2**62])
        else:
            other_key = chance.choice(keys)
            at[key], at[other_key] = at[other_key], at[key]
        return json.dumps(message).encode()


def twice(chance: random.Random, frame: bytes, other: bytes) -> bytes:
    """Keys that come twice."""
    at = frame.find(b"{", chance.randrange(len(frame) + 1))
    inside = other.strip()[1:-1] if other.strip().startswith(b"{") else b'"s":1'
    return frame if at < 0 else frame[: at + 1] + inside + b"," + frame[at + 1 :]


def deep(chance: random.Random, frame: bytes, _other: bytes) -> bytes:
    """Brackets inside brackets."""
    depth = chance.choice([10, 500, 1100, 5000])
    at = frame.find(b":", chance.randrange(len(frame) + 1)) + 1
    opening, closing = chance.choice([(b"[", b"]"), (b'{"a":', b"}")])
    return frame[:at] + opening * depth + b"1" + closing * chance.choice([depth, 0]) + b"," + frame[at:]


def large(chance: random.Random, frame: bytes, _other: bytes) -> bytes:
    """A megabyte where a word was."""
    at = chance.choice([n for n, byte in enumerate(frame) if byte in b'":'] or [0])
    filling = chance.choice([b"x", b"9", b'["1","1"],', b"\xff", b" "])
    return frame[: at + 1] + filling * ((1 << 20) // len(filling)) + frame[at + 1 :]


def nothing(_chance: random.Random, frame: bytes, _other: bytes) -> bytes:
    """As it was: repeated, too early, out of order."""
    return frame


def junk(chance: random.Random, _frame: bytes, _other: bytes) -> bytes:
    return chance.choice([b"", b"null", b"0", b"[]", b"{}", b'""', b"{}{}", b"\x00", b"\xff", chance.randbytes(40)])


COMMON: list[Callable[[random.Random, bytes, bytes], bytes]] = [
    flip, cut, splice, noise, digits, digits, leaf, leaf, leaf, twice, nothing, junk,
]  # fmt: skip


def spoil(chance: random.Random, frames: list[bytes]) -> Frame:
    """One spoilt frame, as bytes or as text; text may hold what is no text."""
    dice = chance.random()
    how = large if dice < 0.0005 else deep if dice < 0.02 else chance.choice(COMMON)
    spoilt = how(chance, chance.choice(frames), chance.choice(frames))
    return spoilt.decode("utf-8", "surrogateescape") if chance.random() < 0.5 else spoilt


# --- rounds -----------------------------------------------------------------------------------------------------
def read(frame: Frame) -> Any:
    """What another reader makes of it; None for nothing."""
    text = frame if isinstance(frame, str) else frame.decode("utf-8", "replace")
    try:
        return json.loads(text, strict=False, parse_int=lambda digits: int(digits[:40]))
    except (ValueError, RecursionError):
        return None


def run_round(name: str, number: int, cases: int = ROUND) -> Counter[str]:
    """So many spoilt frames for one subject; AssertionError with the case that should not have passed."""
    chance, tally = random.Random(f"{name} {number}"), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        subject = ADAPTERS[name](Path(folder), chance)
        try:
            hear_all(subject, chance, tally, cases, repro(name, number))
        finally:
            subject.close()
    return tally


def hear_all(subject: Subject, chance: random.Random, tally: Counter[str], cases: int, again: str) -> None:
    is_dirty = False
    for case in range(cases):
        frame = spoil(chance, subject.genuine())
        before = subject.told(), subject.counted()
        try:
            subject.hear(frame)
        except Exception as error:
            raise AssertionError(f"{again}, case {case}: {error!r} from {frame[:600]!r}") from error
        told, counted = subject.told() > before[0], subject.counted() > before[1]
        if told and not subject.may_tell(read(frame)):
            raise AssertionError(f"{again}, case {case}: this was believed: {frame[:600]!r}")
        if not told and not counted and not subject.may_tell(read(frame)):
            raise AssertionError(f"{again}, case {case}: not counted: {frame[:600]!r}")
        is_dirty = is_dirty or told
        tally["believed" if told else "counted"] += 1
        if case % BATCH == BATCH - 1:
            try:
                subject.settle(is_dirty=is_dirty)
            except Exception as error:
                raise AssertionError(f"{again}, case {case}: {error!r}") from error
            is_dirty = False


def repro(name: str, number: int) -> str:
    return f"python -m tests.live.fuzz round {name} {number}"


def main(cases: int, names: Iterable[str]) -> None:
    for name in names:
        tally = Counter[str]()
        for number in range(-(-cases // ROUND)):
            tally += run_round(name, number)
        sys.stdout.write(f"{name}: {tally.total():,} spoilt frames, {tally['counted']:,} counted and without effect\n")
        sys.stdout.flush()


from .fuzz_subjects import EmulatorSubject, FeedSubject, GatewaySubject  # noqa: E402 - they need what stands above

ADAPTERS: dict[str, Callable[[Path, random.Random], Subject]] = {
    "binance-feed": FeedSubject,
    "binance-gateway": GatewaySubject,
    "binance-emulator": EmulatorSubject,
}

if __name__ == "__main__":
    if sys.argv[1] == "round":
        run_round(sys.argv[2], int(sys.argv[3]))
    else:
        main(int(sys.argv[1]), sys.argv[2:] or ADAPTERS)
