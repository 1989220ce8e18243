"""Frames that nobody should send: spoilt copies of genuine ones, against everything that hears a venue or is one.

`python -m tests.live.fuzz CASES [NAME...]` spoils so many for each adapter; `python -m tests.live.fuzz round NAME N`
runs one round again. Where the venues' documented messages lie (ETS_SHARED_DATA), every twentieth frame is one of them,
spoilt. An adapter is a class with what `Subject` says; a new one is a line in `ADAPTERS`.

After every frame: no exception; what is refused counts as one and has changed nothing; what no JSON reader can read is
refused; what had an effect could have been the venue's word; what had none is counted; no order is filled by more than
was sent. Every few frames genuine traffic goes on and must lead to the venue's own truth. A round must leave no more
behind than `HELD_MAX`.
"""

import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .fuzz_binance import FeedSubject, GatewaySubject
from .fuzz_coinbase import CoinbaseFeedSubject, CoinbaseGatewaySubject
from .fuzz_emulators import (
    CoinbaseEmulatorSubject,
    DeribitEmulatorSubject,
    EmulatorSubject,
    FuturesEmulatorSubject,
)
from .fuzz_futures import FuturesFeedSubject, FuturesGatewaySubject
from .fuzz_others import CcxtFeedSubject, CcxtGatewaySubject, DeribitFeedSubject
from .fuzz_spoil import documented, is_json, read, spoil
from .fuzz_subject import Frame, Subject

ROUND = 2500  # cases with one subject
DOCUMENTED_SHARE = 0.05
BATCH = 50  # spoilt frames between two looks at the truth
HELD_MAX = 4_000_000  # bytes that an adapter may remember, roughly: entries, texts, arrays
ENTRY_BYTES = 64
NOT_ITS_OWN = ("sequencer", "_journal", "journal", "exchange", "perpetuals", "universe")


def held(root: Any) -> int:
    """Roughly how many bytes hang on an object: what it knows of, not the engine behind it."""
    total, seen, waiting = 0, set[int](), [root]
    while waiting:
        at = waiting.pop()
        if id(at) in seen or callable(at):
            continue
        seen.add(id(at))
        total += ENTRY_BYTES
        if isinstance(at, str | bytes):
            total += len(at)
        elif isinstance(at, int):
            total += at.bit_length() // 8
        elif isinstance(at, np.ndarray):
            total += at.nbytes
        elif isinstance(at, dict):
            waiting += [*at.keys(), *at.values()]
        elif isinstance(at, list | tuple | set | frozenset) or hasattr(at, "maxlen"):
            waiting += at
        else:
            waiting += [one for name, one in getattr(at, "__dict__", {}).items() if name not in NOT_ITS_OWN]
    return total


# --- rounds -----------------------------------------------------------------------------------------------------
def run_round(name: str, number: int, cases: int = ROUND, documents: list[bytes] | None = None) -> Counter[str]:
    """So many spoilt frames for one subject; AssertionError with the case that should not have passed."""
    chance, tally = random.Random(f"{name} {number}"), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        subject = ADAPTERS[name](Path(folder), chance)
        try:
            hear_all(subject, chance, tally, range(cases), documents or [], repro(name, number, documents))
        finally:
            subject.close()
    return tally


def hear_all(
    subject: Subject, chance: random.Random, tally: Counter[str], cases: range, documents: list[bytes], again: str
) -> None:
    is_dirty = False
    for case in cases:
        is_documented = bool(documents) and chance.random() < DOCUMENTED_SHARE
        frame = spoil(chance, documents if is_documented else subject.genuine())
        try:
            verdict = judge(subject, frame)
            is_dirty = is_dirty or verdict == "believed"
            tally[verdict] += 1
            if case % BATCH == BATCH - 1:
                subject.settle(is_dirty=is_dirty)
                is_dirty = False
        except Exception as error:
            raise AssertionError(f"{again}, case {case}: {error!r} from {frame[:600]!r}") from error
    size = held(subject.adapter)
    assert size < HELD_MAX, f"{again}: {size} bytes are remembered"


def judge(subject: Subject, frame: Frame) -> str:
    """One frame heard, and whether that was right."""
    told, counted, refused, state = subject.told(), subject.counted(), subject.refused(), subject.state()
    subject.hear(frame)
    is_believed, refusals = subject.told() > told, subject.refused() - refused
    assert refusals in (0, 1), f"counted as refused {refusals} times"
    if refusals:
        assert not is_believed, "refused, and believed"
        assert subject.state() == state, "refused, and of some effect"
    elif is_believed:
        assert subject.may_tell(read(frame)), "this was believed"
    elif subject.counted() == counted:
        assert subject.may_tell(read(frame)), "not counted"
    elif subject.reads_json:
        assert is_json(frame), "not refused"
    subject.check()
    return "believed" if is_believed else "refused" if refusals else "without effect"


def repro(name: str, number: int, documents: list[bytes] | None) -> str:
    return f"python -m tests.live.fuzz round {name} {number}" + (" documents" if documents else "")


def main(cases: int, names: Iterable[str]) -> None:
    for name in names:
        tally, began, documents = Counter[str](), time.monotonic(), documented(name)
        for number in range(-(-cases // ROUND)):
            tally += run_round(name, number, documents=documents)
        told = ", ".join(f"{tally[verdict]:,} {verdict}" for verdict in ("refused", "without effect", "believed"))
        sys.stdout.write(f"{name}: {tally.total():,} spoilt frames: {told}; {time.monotonic() - began:.0f} s\n")
        sys.stdout.flush()


ADAPTERS: dict[str, Callable[[Path, random.Random], Subject]] = {
    "binance-feed": FeedSubject,
    "binance-gateway": GatewaySubject,
    "binance-emulator": EmulatorSubject,
    "binanceusdm-feed": FuturesFeedSubject,
    "binanceusdm-gateway": FuturesGatewaySubject,
    "binanceusdm-emulator": FuturesEmulatorSubject,
    "coinbase-feed": CoinbaseFeedSubject,
    "coinbase-gateway": CoinbaseGatewaySubject,
    "coinbase-emulator": CoinbaseEmulatorSubject,
    "ccxt-feed": CcxtFeedSubject,
    "ccxt-gateway": CcxtGatewaySubject,
    "deribit-feed": DeribitFeedSubject,
    "deribit-emulator": DeribitEmulatorSubject,
}

if __name__ == "__main__":
    if sys.argv[1] == "round":
        run_round(sys.argv[2], int(sys.argv[3]), documents=documented(sys.argv[2]) if sys.argv[4:] else None)
    else:
        main(int(sys.argv[1]), sys.argv[2:] or ADAPTERS)
