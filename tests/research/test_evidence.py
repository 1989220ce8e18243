"""The formulas of evidence against their published and worked examples."""

import math

import numpy as np
import pytest

from elegant_trading_system.research.evidence import (
    break_even_win_rate,
    chance_win_rate,
    deflated_sharpe,
    expected_maximum,
    minimum_track_record,
    overfitting_probability,
    probabilistic_sharpe,
)


@pytest.mark.spec("X5", "P3")
def test_t21_the_deflated_sharpe_ratio_of_the_papers_example() -> None:
    found = deflated_sharpe(2.5 / math.sqrt(250), 1250, -3.0, 10.0, 100, 0.5 / 250)
    assert round(found, 4) == 0.9004
    assert round(math.sqrt(0.5) * expected_maximum(100), 4) == 1.7894


@pytest.mark.spec("X5", "P3")
@pytest.mark.parametrize("trials, expected", [(2, 0.9446), (10, 0.8068), (45, 0.6589), (100, 0.5815), (1000, 0.3841)])
def test_t22_the_more_was_tried_the_less_a_sharpe_of_two_says(trials: int, expected: float) -> None:
    assert round(deflated_sharpe(2 / math.sqrt(365), 365, -0.3, 6.0, trials, 0.5 / 365), 4) == expected


@pytest.mark.spec("X5")
@pytest.mark.parametrize("trials, factor", [(10, 1.5746), (50, 2.2763), (100, 2.5306), (1000, 3.2551)])
def test_the_best_of_many_is_good_by_luck(trials: int, factor: float) -> None:
    assert round(expected_maximum(trials), 4) == factor


@pytest.mark.spec("X5")
@pytest.mark.parametrize("blocks, noise, planted", [(8, 0.485714, 0.0), (16, 0.501321, 0.018026)])
def test_t23_noise_is_overfitted_half_the_time_and_an_edge_is_not(blocks: int, noise: float, planted: float) -> None:
    returns = np.random.default_rng(0).normal(size=(1008, 40))
    assert round(overfitting_probability(returns, blocks), 6) == noise
    returns[:, 0] += 0.15
    assert round(overfitting_probability(returns, blocks), 6) == planted


@pytest.mark.spec("X5")
def test_a_single_try_is_not_the_best_of_many() -> None:
    assert expected_maximum(1) == 0.0
    assert deflated_sharpe(0.1, 365, -0.3, 6.0, 1, 0.5 / 365) == probabilistic_sharpe(0.1, 0.0, 365, -0.3, 6.0)


@pytest.mark.spec("X5")
@pytest.mark.parametrize("sharpe", [0.0, -0.1])
def test_no_record_is_long_enough_to_tell_a_loss_from_zero_as_a_gain(sharpe: float) -> None:
    assert minimum_track_record(sharpe) == math.inf


@pytest.mark.spec("X5")
def test_a_variant_that_never_trades_is_neither_the_best_nor_an_error() -> None:
    """It used to win every half, because NaN is the largest of all to argmax."""
    returns = np.random.default_rng(0).normal(size=(1008, 40))
    returns[:, 0] += 0.15
    returns[:, 5] = 0.0
    assert overfitting_probability(returns, 8) == 0.0


@pytest.mark.spec("X5")
def test_variants_that_are_all_the_same_show_nothing_and_count_as_overfitted() -> None:
    one = np.random.default_rng(0).normal(size=(160, 1))
    assert overfitting_probability(np.repeat(one, 7, axis=1), 8) == 1.0


@pytest.mark.spec("X5")
@pytest.mark.parametrize("sharpe, days", [(1.0, 990), (1.5, 441), (2.0, 249), (3.0, 112)])
def test_a_track_record_must_be_long(sharpe: float, days: int) -> None:
    found = minimum_track_record(sharpe / math.sqrt(365))
    assert round(found) == days
    assert probabilistic_sharpe(sharpe / math.sqrt(365), 0.0, round(found), 0.0, 3.0) == pytest.approx(0.95, abs=1e-3)


@pytest.mark.spec("R9", "X5")
@pytest.mark.parametrize(
    "stop, target, chance, needed", [(0.75, 2.25, 0.25, 0.32), (1.0, 3.0, 0.25, 0.3025), (0.5, 1.5, 0.25, 0.355)]
)
def test_t20_what_must_be_won_to_pay_the_costs(stop: float, target: float, chance: float, needed: float) -> None:
    assert chance_win_rate(stop, target) == chance
    assert break_even_win_rate(stop, target, 10.5, 50.0) == pytest.approx(needed)
