"""Frames that nobody should send are counted and do nothing: a slice of what `make fuzz` does at length."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from elegant_trading_system.core.kinds import Kind
from elegant_trading_system.shell.orders import OrdersSent

from . import fuzz
from .fuzz_binance import FeedSubject
from .fuzz_spoil import is_json, spoil
from .fuzz_subject import Frame

CASES = 2000


@pytest.mark.spec("M2")
@pytest.mark.parametrize("name", fuzz.ADAPTERS)
def test_spoilt_frames_never_crash_never_change_a_book_and_are_counted(name: str) -> None:
    tally = fuzz.run_round(name, 0, CASES)
    assert tally.total() == CASES
    assert tally["refused"] > 0.3 * CASES, "what is spoilt beyond reading is common"


def test_the_same_round_spoils_the_same_frames() -> None:
    def spoilt() -> list[Frame]:
        chance = random.Random("a round")
        return [spoil(chance, [b'{"a":1,"b":["2","3"]}', b'{"a":7}']) for _ in range(200)]

    assert spoilt() == spoilt()


# --- and the fuzz finds what it is there to find --------------------------------------------------------------
def believes(subject: FeedSubject, _frame: Frame) -> None:
    subject.outside.sequencer.hear(Kind.TICK, 0)


def says_nothing(_subject: FeedSubject, _frame: Frame) -> None:
    pass


def counts_twice(subject: FeedSubject, _frame: Frame) -> None:
    subject.feed.counts["refused"] += 2


def half_applies(subject: FeedSubject, _frame: Frame) -> None:
    subject.feed.counts["refused"] += 1
    subject.listing.depth.state.last_id += 1


def never_refuses(subject: FeedSubject, _frame: Frame) -> None:
    subject.feed.counts["ignored"] += 1


def keeps_all(subject: FeedSubject, frame: Frame) -> None:
    subject.feed.counts["ignored" if is_json(frame) else "refused"] += 1
    vars(subject.feed).setdefault("kept", []).append(frame * 20)


def crashes(_subject: FeedSubject, _frame: Frame) -> None:
    raise KeyError("b")


@pytest.mark.parametrize(
    "mistake, said",
    [
        (believes, "was believed"), (says_nothing, "not counted"), (counts_twice, "2 times"), (crashes, "KeyError"),
        (half_applies, "of some effect"), (never_refuses, "not refused"), (keeps_all, "bytes are remembered"),
    ],
)  # fmt: skip
def test_the_fuzz_finds_a_feed_that(
    mistake: Callable[[FeedSubject, Frame], None], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FeedSubject, "hear", mistake)
    with pytest.raises(AssertionError, match=rf"python -m tests\.live\.fuzz round binance-feed 0.*{said}"):
        fuzz.run_round("binance-feed", 0)


@pytest.mark.parametrize("name", [name for name in fuzz.ADAPTERS if name.endswith("gateway")])
def test_the_fuzz_finds_a_gateway_that_fills_more_than_was_sent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hear_fill = OrdersSent._hear_fill

    def twice(self: Any, sent: Any, ticks: int, lots: int, *more: Any) -> None:
        hear_fill(self, sent, ticks, 2 * lots, *more)

    monkeypatch.setattr(OrdersSent, "_hear_fill", twice)
    with pytest.raises(AssertionError, match=rf"round {name} 0"):
        fuzz.run_round(name, 0)


def test_the_fuzz_finds_a_book_that_has_gone_astray(monkeypatch: pytest.MonkeyPatch) -> None:
    shake = FeedSubject.shake

    def changed(self: FeedSubject) -> None:
        shake(self)
        if len(self.snapshots) > 1:
            side = self.venue.exchange.books["BTCUSDT"].sides[0]
            side[599_000] = side.get(599_000, 0) + 1  # which nobody is told

    monkeypatch.setattr(FeedSubject, "shake", changed)
    with pytest.raises(AssertionError):
        fuzz.run_round("binance-feed", 0)


def test_a_round_leaves_no_files_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert isinstance(fuzz.run_round("deribit-feed", 0, 100), Counter)
    assert list(tmp_path.iterdir()) == []
