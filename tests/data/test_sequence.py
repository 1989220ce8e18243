"""Depth sequencing by itself: what is kept while there is no book."""

from elegant_trading_system.data.sequence import BUFFER_DIFFS, DepthSequence, Diff, Outcome


def test_waiting_diffs_are_bounded_and_the_oldest_go_first() -> None:
    sequence = DepthSequence[int](is_chained=False)
    outcomes = {sequence.take(Diff(i, i, -1, i)) for i in range(BUFFER_DIFFS + 5)}
    assert outcomes == {Outcome.BUFFER}
    assert [sequence.buffer[0].payload, len(sequence.buffer)] == [5, BUFFER_DIFFS]


def test_a_snapshot_older_than_what_waits_is_not_used() -> None:
    sequence = DepthSequence[int](is_chained=False)
    sequence.take(Diff(9, 9, -1, 0))
    assert sequence.take_snapshot(7) is None
    assert not sequence.is_live
    assert sequence.take_snapshot(8) == [Diff(9, 9, -1, 0)]
    assert sequence.is_live


def test_after_a_gap_the_message_that_showed_it_waits_for_the_snapshot() -> None:
    sequence = DepthSequence[int](is_chained=True)
    sequence.take_snapshot(50)
    assert sequence.take(Diff(48, 55, 47, 1)) is Outcome.APPLY
    assert sequence.take(Diff(60, 65, 57, 2)) is Outcome.GAP
    assert sequence.take_snapshot(62) == [Diff(60, 65, 57, 2)]
