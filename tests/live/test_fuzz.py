"""Frames that nobody should send are counted and do nothing: a slice of what `make fuzz` does at length."""

import pytest

from . import fuzz

CASES = 10_000


@pytest.mark.spec("M2")
@pytest.mark.parametrize("name", fuzz.ADAPTERS)
def test_spoilt_frames_never_crash_never_change_a_book_and_are_counted(name: str) -> None:
    tally = sum((fuzz.run_round(name, number) for number in range(CASES // fuzz.ROUND)), fuzz.Counter[str]())
    assert tally.total() == CASES
    assert tally["counted"] > 0.9 * CASES, "what is spoilt beyond belief is the rule"


@pytest.mark.parametrize("frame", [b"{}", b'{"data":{"e":"depthUpdate","s":"BTCUSDT","U":1,"u":2,"b":[["1","1"]]}}'])
def test_the_fuzz_can_fail(frame: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subject that believes what nobody said, or says nothing of what it was told, is found."""
    from .fuzz_subjects import FeedSubject

    def believe(subject: FeedSubject, _frame: fuzz.Frame) -> None:
        if frame != b"{}":
            subject.outside.sequencer.hear(fuzz_kind(), 0)

    monkeypatch.setattr(FeedSubject, "hear", believe)
    with pytest.raises(AssertionError, match=r"python -m tests\.live\.fuzz round binance-feed 0"):
        fuzz.run_round("binance-feed", 0)


def fuzz_kind() -> "object":
    from elegant_trading_system.core.kinds import Kind

    return Kind.TICK
