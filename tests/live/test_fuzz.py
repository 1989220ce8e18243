"""Frames that nobody should send are counted and do nothing: a slice of what `make fuzz` does at length."""

from collections import Counter

import pytest

from elegant_trading_system.core.kinds import Kind

from . import fuzz
from .fuzz_subjects import FeedSubject

CASES = 10_000


@pytest.mark.spec("M2")
@pytest.mark.parametrize("name", fuzz.ADAPTERS)
def test_spoilt_frames_never_crash_never_change_a_book_and_are_counted(name: str) -> None:
    tally = Counter[str]()
    for number in range(CASES // fuzz.ROUND):
        tally += fuzz.run_round(name, number)
    assert tally.total() == CASES
    assert tally["counted"] > 0.9 * CASES, "what is spoilt beyond belief is the rule"


@pytest.mark.parametrize("is_told", [True, False])
def test_the_fuzz_finds_who_believes_nonsense_and_who_does_not_count_it(
    is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hear(subject: FeedSubject, _frame: fuzz.Frame) -> None:
        if is_told:
            subject.outside.sequencer.hear(Kind.TICK, 0)

    monkeypatch.setattr(FeedSubject, "hear", hear)
    with pytest.raises(AssertionError, match=r"python -m tests\.live\.fuzz round binance-feed 0"):
        fuzz.run_round("binance-feed", 0)
