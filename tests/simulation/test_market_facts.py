"""The simulated market is accepted by what it looks like, and by what cannot be known in it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from elegant_trading_system.research.market_facts import (
    ACCEPTED,
    PER_S,
    SAMPLE_MS,
    area_under_curve,
    facts,
    lagged_likeness,
    simulate_samples,
)
from elegant_trading_system.sim.market_stream import MarketStream, preset_of

Array = np.ndarray[Any, Any]
HORIZON_S = 60


def mean_facts(seeds: range, hours: int) -> dict[str, float]:
    tables = [facts(*simulate_samples("BTC", seed, hours)) for seed in seeds]
    return {name: float(np.mean([table[name] for table in tables])) for name in tables[0]}


def outside(table: dict[str, float]) -> dict[str, float]:
    return {name: table[name] for name, (low, high) in ACCEPTED.items() if not low <= table[name] <= high}


def samples_of(seed: int, hours: int, edge: float = 0.0) -> Iterator[dict[str, Array]]:
    """Samples of BTC and ETH, without packets, in pieces of at most four hours."""
    stream = MarketStream(["BTC", "ETH"], seed, edge, batch_ms=0, sample_ms=SAMPLE_MS)
    for done in range(0, hours, 4):
        stream.chunk(min(4, hours - done) * 3_600)
        yield dict(stream.samples)


# --- how it looks -----------------------------------------------------------------------------------------
def test_a_day_in_slices_has_the_accepted_facts() -> None:
    assert outside(mean_facts(range(1, 5), hours=6)) == {}


@pytest.mark.drill
def test_ten_days_have_the_accepted_facts() -> None:
    assert outside(mean_facts(range(10), hours=24)) == {}


def test_instruments_move_together_but_not_alike() -> None:
    (samples,) = samples_of(1, hours=4)
    moves = [np.diff(samples[base]["price"][:: HORIZON_S * PER_S]) for base in ("BTC", "ETH")]
    assert 0.25 < np.corrcoef(moves)[0, 1] < 0.6


# --- what cannot be known ---------------------------------------------------------------------------------
def known_things(samples: Array, other: Array) -> dict[str, Array]:
    """What a trader with perfect sight might forecast from, at each sample but the last."""
    touch = samples["touch_units"][:, 0]
    return {
        "nothing": np.ones(len(samples)),
        "momentum": samples["momentum"],
        "momentum of the other": other["momentum"],
        "flow": samples["rates"][:, 0] - samples["rates"][:, 1],
        "fresh flow": samples["excitation"][:, 0],
        "queue imbalance": (touch[:, 0] - touch[:, 1]) / touch.sum(axis=1),
        "depth": np.log(samples["five_units"][:, 0, 0] / samples["five_units"][:, 0, 1]),
        "distance of the mid": samples["best_ticks"][:, 2].mean(axis=1) - samples["price"],
        "last move": np.diff(samples["price"], prepend=samples["price"][0]),
        "last move of the other": np.diff(other["price"], prepend=other["price"][0]),
    }


def gains(samples: Array, other: Array, step: int) -> dict[str, Array]:
    """What betting on each known thing earns at V over the next `step` samples: of an exact martingale, mean 0."""
    price = samples["price"][::step]
    things = known_things(samples[::step], other[::step])
    return {name: thing[:-1] * np.diff(price) for name, thing in things.items()}


def z_scores(seeds: range, hours: int, edge: float = 0.0) -> dict[str, float]:
    """Over 100 ms and 1 s. Uncorrelated gains need no model of their variance: sum over root of the sum of squares."""
    totals: dict[str, float] = {}
    squares: dict[str, float] = {}
    for samples in (piece for seed in seeds for piece in samples_of(seed, hours, edge)):
        for step in (1, PER_S):
            for name, gain in gains(samples["BTC"], samples["ETH"], step).items():
                key = f"{name}, {step * SAMPLE_MS} ms"
                totals[key] = totals.get(key, 0.0) + float(gain.sum())
                squares[key] = squares.get(key, 0.0) + float(gain @ gain)
    return {key: round(totals[key] / squares[key] ** 0.5, 2) for key in totals}


def test_without_edge_the_price_is_a_martingale_to_all_that_is_known() -> None:
    assert {key: z for key, z in z_scores(range(200, 204), hours=4).items() if abs(z) >= 3.0} == {}


@pytest.mark.drill
def test_forty_days_without_edge_are_a_martingale() -> None:
    assert {key: z for key, z in z_scores(range(300, 340), hours=24).items() if abs(z) >= 3.0} == {}


def test_with_edge_momentum_and_its_traces_forecast() -> None:
    """The same statistic does catch what is there."""
    scores = z_scores(range(200, 202), hours=4, edge=0.5)
    assert scores["momentum, 1000 ms"] > 8.0
    assert scores["depth, 1000 ms"] > 4.0


# --- the dial ---------------------------------------------------------------------------------------------
def forecasts_and_moves(seed: int, hours: int, tau_m: float) -> tuple[Array, Array]:
    """The oracle's forecast of the 60 s move and the move itself, once a minute, at edge 0.5."""
    stream = MarketStream(["BTC"], seed, 0.5, batch_ms=0, sample_ms=1_000, tau_m=tau_m)
    stream.chunk(hours * 3_600)
    samples = stream.samples["BTC"][::HORIZON_S]
    return stream.expected_move(1.0, HORIZON_S) * samples["momentum"][:-1], np.diff(samples["price"])


@pytest.mark.parametrize("tau_m", [90.0, 300.0])
def test_the_oracle_is_right_and_worth_its_edge(tau_m: float) -> None:
    """Volatility of few hours varies by half, and the correlation with it; the slope does not."""
    paths = [forecasts_and_moves(seed, 6, tau_m) for seed in range(20, 26)]
    forecast, move = (np.concatenate(parts) for parts in zip(*paths, strict=True))
    assert forecast @ move / (forecast @ forecast) == pytest.approx(1.0, abs=0.1)
    assert np.corrcoef(forecast, move)[0, 1] == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("edge", [0.05, 0.3, 0.5])
def test_edge_is_the_correlation_of_the_best_forecast_over_a_minute(edge: float) -> None:
    preset = preset_of(edge, {})
    forecast_sd = preset.drift_ticks * preset.memory_s(HORIZON_S)
    assert forecast_sd / (forecast_sd**2 + HORIZON_S * preset.variance_ticks) ** 0.5 == pytest.approx(edge)


def test_the_dial_leaves_momentum_and_activity_as_they_are() -> None:
    (placebo,), (dosed,) = samples_of(7, 1), samples_of(7, 1, edge=0.5)
    assert np.array_equal(placebo["BTC"]["momentum"], dosed["BTC"]["momentum"])
    assert not np.array_equal(placebo["BTC"]["price"], dosed["BTC"]["price"])


# --- the measures themselves ------------------------------------------------------------------------------
def test_the_area_under_the_curve_counts_ties_half() -> None:
    assert area_under_curve(np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, False, True, True])) == 0.875


def test_a_copy_delayed_by_two_samples_lags_200_ms() -> None:
    path = np.random.default_rng(1).standard_normal(5_000).cumsum()
    lags_ms, alike = lagged_likeness(path[2:], path[:-2])
    assert lags_ms[np.argmax(alike)] == 200
