"""How genuine frames are spoilt, and what another reader makes of the result."""

import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from ..shared_data import SHARED_DATA
from .fuzz_subject import Frame

HUGE = [
    "-1", "0", str(2**63 - 1), str(2**63), str(-(2**63)), str(2**62), str(2**64), "1e999", "-1e999", "1E-999", "NaN",
    "Infinity", "-Infinity", "1.5", "9" * 30, "9" * 400, "9" * 5000, "true", "null", "[]", "{}", '""', '"NaN"', "01",
    '"Infinity"', '"-0.1"', '"1e30"', '"' + "9" * 25 + '"', '"0.00000000000000000001"', '"\\ud800"', '"\\u0000"',
    '"1e999999"', '"1e-999999"', '"1e99999999999"',
]  # fmt: skip
ODD: list[Any] = [None, True, -1, 2**62, 2**63 - 1, 2**63, 1.5, "", "x", [], {}, [[]], 0, "NaN", "-1", "1e30"]
STEPS = [-(10**6), -2, -1, 1, 2, 3, 10**6, 10**9, 10**12, 2**62]
SHARES = [Decimal(one) for one in ("-1", "0", "0.1", "0.5", "1.00001", "1.5", "2", "10", "1000000", "1e15", "1e-9")]
Place = tuple[Any, Any]  # a list or an object, and a key of it


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


# --- what is still JSON ---------------------------------------------------------------------------------------
def leaf(chance: random.Random, frame: bytes, other: bytes) -> bytes:
    """A value somewhere inside becomes something else, is gone, or changes places with its neighbour."""
    message = read(frame)
    at, key = place_in(chance, message)
    if at is None:
        return flip(chance, frame, other)
    how = chance.randrange(4)
    if how == 0:
        del at[key]
    elif how == 1:
        at[key] = chance.choice([*ODD, [at[key]]])
    elif how == 2 and isinstance(at[key], int):
        at[key] += chance.choice(STEPS)
    else:
        other_key = chance.choice(list(keys_of(at)))
        at[key], at[other_key] = at[other_key], at[key]
    return json.dumps(message).encode()


def scale(chance: random.Random, frame: bytes, other: bytes) -> bytes:
    """More than was ordered, less than nothing: a number somewhere inside is multiplied, and stays what it was written as."""
    message = read(frame)
    for _ in range(8):
        at, key = place_in(chance, message)
        number = number_of(at[key]) if at is not None else None
        if number is None:
            continue
        scaled = number * chance.choice(SHARES)
        at[key] = f"{scaled:f}" if isinstance(at[key], str) else type(at[key])(scaled)
        return json.dumps(message).encode()
    return flip(chance, frame, other)


def borrow(chance: random.Random, frame: bytes, other: bytes) -> bytes:
    """A value of another frame in the place of its namesake: another order's name, another number in the row."""
    message, lender = read(frame), read(other)
    for _ in range(8):
        at, key = place_in(chance, lender)
        found = [(one, name) for one, name in places(message) if name == key] if at is not None else []
        if found:
            to, name = chance.choice(found)
            to[name] = at[key]
            return json.dumps(message).encode()
    return splice(chance, frame, other)


def keys_of(at: Any) -> Any:
    return at if isinstance(at, dict) else range(len(at))


def place_in(chance: random.Random, message: Any) -> Place:
    """Somewhere inside; (None, None) where there is no inside."""
    at = message
    while isinstance(at, dict | list) and at:
        key = chance.choice(list(keys_of(at)))
        if not isinstance(at[key], dict | list) or not at[key] or chance.random() < 0.2:
            return at, key
        at = at[key]
    return None, None


def places(message: Any) -> list[Place]:
    found = list[Place]()
    waiting = [message]
    while waiting and len(found) < 200:
        at = waiting.pop()
        if isinstance(at, dict | list):
            found += [(at, key) for key in keys_of(at)]
            waiting += at.values() if isinstance(at, dict) else at
    return found


def number_of(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > 40:
        return None
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        return None
    return number if number.is_finite() and abs(number.adjusted()) < 40 else None


# --- what is no longer anything -------------------------------------------------------------------------------
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
    flip, cut, splice, noise, digits, digits, leaf, leaf, leaf, scale, borrow, twice, nothing, junk,
]  # fmt: skip


def spoil(chance: random.Random, frames: list[bytes]) -> Frame:
    """One spoilt frame, as bytes or as text; text may hold what is no text."""
    dice = chance.random()
    how = large if dice < 0.0005 else deep if dice < 0.01 else chance.choice(COMMON)
    spoilt = how(chance, chance.choice(frames), chance.choice(frames))
    return spoilt.decode("utf-8", "surrogateescape") if chance.random() < 0.5 else spoilt


def documented(name: str) -> list[bytes]:
    """The messages of an adapter's venue that were recorded or copied from its documents; none where they are not at hand."""
    folders = {"binance": "binance*", "binanceusdm": "binance*", "coinbase": "coinbase*", "deribit": "deribit"}
    pattern = folders.get(name.partition("-")[0], "")
    found = list[bytes]()
    for path in sorted((SHARED_DATA / "venue-messages").glob(f"{pattern}/*.json")) if pattern else []:
        message = json.loads(path.read_text(encoding="utf-8"))
        for one in message if isinstance(message, list) else [message]:
            is_event = isinstance(one, dict) and one.get("e") == "executionReport"
            found.append(json.dumps({"subscriptionId": 0, "event": one} if is_event else one).encode())
    return found


def is_json(frame: Frame) -> bool:
    return read(frame) is not None or frame.strip() in ("null", b"null")


def read(frame: Frame) -> Any:
    """What another reader makes of it; None for nothing."""
    text = frame if isinstance(frame, str) else frame.decode("utf-8", "replace")
    try:
        return json.loads(text, strict=False, parse_int=lambda digits: int(digits[:40]))
    except (ValueError, RecursionError):
        return None
