"""Two lossy connections make one stream without a hole, or say that it has one."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_trading_system.shell.arbiter import Arbiter, Message, Verdict, take_next


def deliver(
    stream: Arbiter[int], lost: tuple[set[int], set[int]], count: int, seed: int
) -> tuple[list[int], list[Verdict]]:
    """Both connections bring 0..count-1 in order, each without what it lost, mixed by chance."""
    chance, queues = random.Random(seed), [[n for n in range(count) if n not in gone] for gone in lost]
    applied, verdicts = [], []
    while any(queues):
        connection = chance.choice([c for c in (0, 1) if queues[c]])
        n = queues[connection].pop(0)
        verdict, moved = stream.take(connection, Message(n, n, n))
        applied += moved
        verdicts.append(verdict)
        if verdict is Verdict.LOST:
            break
    return applied, verdicts


@pytest.mark.spec("M2")
@given(
    lost=st.tuples(st.sets(st.integers(1, 60), max_size=20), st.sets(st.integers(1, 60), max_size=20)),
    seed=st.integers(0, 2**32),
)
def test_only_what_both_lost_is_lost(lost: tuple[set[int], set[int]], seed: int) -> None:
    stream = Arbiter[int](last_id=0)
    for connection in (0, 1):
        stream.join(connection)
    applied, verdicts = deliver(stream, lost, 62, seed)  # 61 arrives on both
    assert applied == list(range(1, len(applied) + 1)), "in order, each once"
    both = lost[0] & lost[1]
    assert (Verdict.LOST in verdicts) == bool(both)
    assert len(applied) == (min(both) - 1 if both else 61)


@pytest.mark.spec("M2")
def test_a_snapshot_mends_a_hole_with_what_was_kept_behind_it() -> None:
    stream = Arbiter[str](last_id=10)
    assert stream.take(0, Message(11, 12, "a")) == (Verdict.MOVED, ["a"])
    assert stream.take(0, Message(15, 16, "c")) == (Verdict.LOST, []), "the only connection has gone past the hole"
    stream.drop()
    assert stream.take(0, Message(17, 17, "d")) == (Verdict.WAITING, [])
    assert stream.restart(13) is None, "too old: 14 is missing between it and what was kept"
    assert stream.restart(15) == ["c", "d"], "overlapping: the rest of it is newer than the snapshot"
    assert stream.last_id == 17


@pytest.mark.spec("M2")
def test_a_hole_waits_for_the_twin_and_no_longer_when_it_goes_down() -> None:
    stream = Arbiter[str](last_id=0)
    for connection in (0, 1):
        stream.join(connection)
    stream.take(0, Message(1, 1, "a"))
    assert stream.take(0, Message(3, 3, "c")) == (Verdict.WAITING, [])
    assert stream.take(1, Message(2, 2, "b")) == (Verdict.MOVED, ["b", "c"])
    assert stream.repaired == 1
    assert stream.take(0, Message(5, 5, "e")) == (Verdict.WAITING, [])
    assert stream.forget(1), "the twin went down: 4 will not come"


STREAM = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(0, 25), st.integers(0, 3), st.sampled_from(["take"] * 9 + ["drop", "forget"])
    ),
    max_size=40,
)


@pytest.mark.spec("M2")
@given(messages=STREAM, begin=st.integers(-1, 5))
def test_the_next_message_without_a_payload_leaves_the_stream_where_taking_it_would(
    messages: list[tuple[int, int, int, str]], begin: int
) -> None:
    """What is neither known nor the very next changes nothing until it is taken."""
    short, long = Arbiter[int](), Arbiter[int]()
    for one in (short, long):
        one.restart(begin)
        one.join(0)
    for n, (connection, first, length, what) in enumerate(messages):
        message = Message(first, first + length, n)
        if what == "drop":
            short.drop()
            long.drop()
            assert short.restart(first) == long.restart(first)
            continue
        if what == "forget":
            assert short.forget(connection) == long.forget(connection)
            continue
        verdict, moved = Verdict(take_next(short.state, connection, message.first, message.last)), [n]
        if verdict is Verdict.WAITING:
            verdict, moved = short.take(connection, message)
        expected = long.take(connection, message)
        assert (verdict, moved if verdict is Verdict.MOVED else []) == expected
        assert standing(short) == standing(long)


def standing(stream: Arbiter[int]) -> Any:
    return {name: str(value) for name, value in stream.__dict__.items()}
