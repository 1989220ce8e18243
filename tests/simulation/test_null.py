"""On a market without edge nothing is earned at the efficient price (SCIENCE 4.3, N1 and N2), and the test has teeth."""

from types import ModuleType

import pytest

from elegant_trading_system.config_sources import load
from elegant_trading_system.research.null_test import NullFigures, follower, follower_sets, run_null_test

INSTRUMENTS = ["BTC", "ETH", "SOL", "XRP", "ADA", "DOGE"]
#: The strategy with everything off that only makes it trade less: a null needs trades, not quality.
MINUTE_BARS = [
    "bars.lengths_s=[60]",
    "volatility.warmup_size=1.0",
    "filters.persistence_min=0",
    "filters.venues_min=1",
    "filters.flow_agreement=false",
    "filters.flicker_max=0.0",
    "filters.cool_down_s=0.0",
    "breakers.streak_pause_min=0.0",
    "risk.cluster_max=10",
]


def shown(figures: NullFigures) -> str:
    return str(figures.as_dict())


@pytest.fixture(scope="module")
def following() -> ModuleType:
    return follower()


def follow(following: ModuleType, seed: int, *, look_ahead: bool) -> NullFigures:
    config = load([], follower_sets())
    return run_null_test(config, 1.0, seed, INSTRUMENTS, look_ahead=look_ahead, simulate=following)


@pytest.mark.spec("X5")
def test_following_prints_earns_nothing_at_the_efficient_price_and_loses_its_costs(following: ModuleType) -> None:
    figures = follow(following, seed=1, look_ahead=False)
    assert figures.trades >= 2000, shown(figures)
    assert abs(figures.at_truth.t) < 3.0, shown(figures)
    assert abs(figures.executable.value + figures.costs.value) < 3.0 * figures.executable.error, shown(figures)
    assert figures.executable.value < -1.0, shown(figures)
    assert figures.passes


@pytest.mark.spec("X5")
def test_one_packet_of_look_ahead_is_caught(following: ModuleType) -> None:
    figures = follow(following, seed=1, look_ahead=True)
    assert figures.at_truth.t > 5.0, shown(figures)
    assert not figures.passes


@pytest.mark.spec("X5")
def test_the_strategy_earns_nothing_at_the_efficient_price() -> None:
    figures = run_null_test(load([], MINUTE_BARS), 6.0, 1, INSTRUMENTS)
    assert figures.trades >= 100, shown(figures)
    assert figures.passes, shown(figures)


@pytest.mark.drill
@pytest.mark.spec("X5")
def test_the_strategy_earns_nothing_over_two_thousand_trades() -> None:
    figures = run_null_test(load([], MINUTE_BARS), 60.0, 2, INSTRUMENTS)
    assert figures.trades >= 2000, shown(figures)
    assert figures.passes, shown(figures)
