"""The soak's verdict: a leak of a megabyte an hour is found, and memory that only wanders is not called a leak."""

import math

import numpy as np
import pytest

from bench.soak import KINDS, Slope, judged, slope_of

TIMES_S = np.arange(60) * 20.0 + 600  # twenty minutes behind ten of warm-up, a mean every twenty seconds


def wandering(seed: int, likeness: float, spread_kb: float) -> np.ndarray:
    """Means whose neighbours resemble one another, around a level that stays."""
    chance = np.random.default_rng(seed)
    found = np.zeros(len(TIMES_S))
    found[0] = chance.normal(0, spread_kb)
    for n in range(1, len(found)):
        found[n] = likeness * found[n - 1] + chance.normal(0, spread_kb * math.sqrt(1 - likeness**2))
    return found


def alarms(likeness: float, leak_kb: float = 0.0, spread_kb: float = 50.0) -> float:
    drift = leak_kb * TIMES_S / 3600
    found = [slope_of(TIMES_S, drift + wandering(seed, likeness, spread_kb)).grows for seed in range(150)]
    return sum(found) / len(found)


@pytest.mark.parametrize("likeness", [0.0, 0.3, 0.6, 0.8])
def test_memory_that_wanders_is_hardly_ever_called_a_leak(likeness: float) -> None:
    assert alarms(likeness) < 0.06


@pytest.mark.parametrize("likeness", [0.0, 0.3, 0.6])
def test_a_megabyte_an_hour_is_found(likeness: float) -> None:
    assert alarms(likeness, leak_kb=1024) > 0.95


def test_a_line_without_any_noise_is_what_it_is() -> None:
    found = slope_of(TIMES_S, TIMES_S / 3.6)
    assert found.slope == pytest.approx(1000)
    assert found.grows
    assert not slope_of(TIMES_S, TIMES_S * 0 + 7).grows


def test_what_grows_while_it_warms_up_is_no_leak_and_the_segment_that_runs_is_not_counted() -> None:
    sums = np.zeros((100, 2 + len(KINDS)))
    sums[:90, 0], sums[:90, 1] = 80, np.arange(90) * 20.0 * 80
    level = np.minimum(np.arange(90), 25) * 400.0
    level[-1] = 10**9
    sums[:90, 2:] = level[:, np.newaxis] * 80
    verdicts = judged(sums)
    assert list(verdicts) == list(KINDS)
    assert all(
        isinstance(one, Slope) and not one.grows and one.slope == pytest.approx(0, abs=1e-6)
        for one in verdicts.values()
    )
