"""Everything goes wrong on Coinbase, by seed, in virtual time: no order twice, nothing untracked, ours = the venue's."""

import pytest

from . import coinbase_drill

CHUNK = 50


@pytest.mark.spec("E4", "M2", "M3", "P1", "R7")
@pytest.mark.parametrize("first", range(0, 100, CHUNK))
def test_whatever_goes_wrong_ours_is_coinbase_s_in_the_end(first: int) -> None:
    results = [coinbase_drill.run(seed) for seed in range(first, first + CHUNK)]
    failed = [f"python -m tests.live.coinbase_drill {one.seed}: {one.problems}" for one in results if one.problems]
    assert not failed, "\n".join(failed)
    assert sum(result.orders for result in results) > 100, "a drill without orders drills nothing"
    assert sum(result.fills for result in results) > 100
    assert sum(result.unknown for result in results) > 0
    assert sum(result.gaps for result in results) > 0


def test_a_schedule_follows_from_its_seed() -> None:
    assert coinbase_drill.run(7) == coinbase_drill.run(7)
