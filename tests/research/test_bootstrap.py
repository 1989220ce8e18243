"""The stationary bootstrap: blocks as they should be, the library's draws, and intervals that hold what they promise."""

from typing import Any

import numpy as np
import pytest

from elegant_trading_system.research.bootstrap import Array, intervals, redrawn, stationary_indices

DRAWS = 2000
PERIODS = 365


def breaks(indices: Array) -> Array:
    """Where a redrawn series does not simply run on; a new block may run on by chance, once in `PERIODS`."""
    return np.asarray((indices[:, 1:] - indices[:, :-1]) % indices.shape[1] != 1)


def block_lengths(indices: Array) -> Array:
    """Of the blocks that neither begin nor end with the series, which would be cut there."""
    ends = [np.flatnonzero(row) for row in breaks(indices)]
    return np.concatenate([np.diff(end) for end in ends])


@pytest.fixture(scope="module")
def drawn() -> Array:
    return np.concatenate(list(redrawn(PERIODS, DRAWS)))


@pytest.mark.spec("P3")
def test_blocks_have_geometric_lengths_with_a_mean_of_five_days(drawn: Array) -> None:
    lengths = block_lengths(drawn)
    chance = (1 - 1 / PERIODS) / 5.0  # that a block ends and that this can be seen
    assert breaks(drawn).mean() == pytest.approx(chance, rel=0.01)
    assert [np.mean(lengths == k) for k in (1, 2, 5)] == pytest.approx(
        [chance * (1 - chance) ** (k - 1) for k in (1, 2, 5)], rel=0.05
    )


@pytest.mark.spec("P3")
def test_every_day_is_drawn_equally_often_and_the_last_is_followed_by_the_first(drawn: Array) -> None:
    counts = np.bincount(drawn.ravel(), minlength=PERIODS)
    assert len(counts) == PERIODS and drawn.shape == (DRAWS, PERIODS)
    assert counts / DRAWS == pytest.approx(1.0, abs=0.15)
    after_last = drawn[:, 1:][drawn[:, :-1] == PERIODS - 1]
    assert np.mean(after_last == 0) == pytest.approx(0.8, abs=0.05)


@pytest.mark.spec("P3")
def test_the_draws_are_distributed_as_the_librarys() -> None:
    library = pytest.importorskip("arch.bootstrap", reason="arch is the oracle")
    oracle = library.StationaryBootstrap(5, np.arange(PERIODS), seed=2)
    expected = np.array([data[0][0] for data in oracle.bootstrap(DRAWS)])
    drawn = stationary_indices(np.random.default_rng(3), PERIODS, DRAWS)
    assert breaks(drawn).mean() == pytest.approx(breaks(expected).mean(), rel=0.01)
    shares = [np.bincount(block_lengths(which), minlength=40)[1:20] for which in (drawn, expected)]
    assert shares[0] / shares[0].sum() == pytest.approx(shares[1] / shares[1].sum(), abs=0.003)


@pytest.mark.spec("P3")
def test_the_intervals_equal_the_librarys_but_for_chance() -> None:
    library = pytest.importorskip("arch.bootstrap", reason="arch is the oracle")
    returns = np.random.default_rng(0).standard_t(4, size=PERIODS) * 0.01

    def figures(redrawn: Array) -> Array:
        return np.stack([redrawn.mean(axis=-1), redrawn.std(axis=-1)])

    expected = library.StationaryBootstrap(5, returns, seed=1).conf_int(figures, reps=4000, method="percentile").T
    found = intervals(lambda at: figures(returns[at]), PERIODS)
    width = expected[:, 1:] - expected[:, :1]
    assert np.abs(found - expected).max(axis=1) / width[:, 0] == pytest.approx(0.0, abs=0.05)


def covered(series: list[Array], block: float) -> float:
    """Share of the 95 % intervals of the mean that hold the true one, nothing."""
    bounds = [interval_of_mean(one, block, seed) for seed, one in enumerate(series)]
    return float(np.mean([low <= 0.0 <= high for low, high in bounds]))


def interval_of_mean(values: Array, block: float, seed: int) -> Array:
    found: Array = intervals(lambda at: values[at].mean(axis=-1)[None], len(values), 500, block, seed)
    return np.asarray(found[0])


def hanging_together(random: np.random.Generator, share: float) -> Array:
    noise, values = random.normal(size=PERIODS), np.zeros(PERIODS)
    for k in range(1, PERIODS):
        values[k] = share * values[k - 1] + noise[k]
    return values


@pytest.mark.spec("P3", "X5")
def test_an_interval_of_95_percent_holds_the_truth_that_often() -> None:
    random = np.random.default_rng(11)
    assert 0.90 <= covered([random.standard_t(5, size=PERIODS) for _ in range(300)], 5.0) <= 0.98


@pytest.mark.spec("P3", "X5")
def test_where_days_hang_together_blocks_are_needed_for_that() -> None:
    random = np.random.default_rng(12)
    series = [hanging_together(random, 0.3) for _ in range(300)]
    assert 0.90 <= covered(series, 5.0) <= 0.98
    assert covered(series, 1.0) < covered(series, 5.0) - 0.03


@pytest.mark.spec("P3")
def test_the_same_series_gives_the_same_intervals() -> None:
    values = np.random.default_rng(5).normal(size=(2, 60))
    first, second = (intervals(lambda at: values[:, at].mean(axis=-1), 60, 300) for _ in range(2))
    assert first.tolist() == second.tolist()
    assert first[0].tolist() != first[1].tolist()


@pytest.mark.spec("P3", "X5")
def test_a_figure_that_a_tenth_of_the_draws_does_not_have_gets_no_interval() -> None:
    once = np.zeros(30)
    once[7] = 1.0

    def inverse(at: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            total = once[at].sum(axis=-1)
            return np.stack([np.where(total > 0, 1.0 / total, np.nan), total])

    found = intervals(inverse, 30, 500)
    assert np.isnan(found[0]).all()
    assert found[1, 0] == 0.0 and found[1, 1] > 1.0


def test_one_period_is_drawn_again_and_again() -> None:
    drawn: Any = stationary_indices(np.random.default_rng(0), 1, 3)
    assert drawn.tolist() == [[0], [0], [0]]
