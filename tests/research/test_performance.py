"""Our measures against a library that others keep, on curves of every kind; and by hand where the library differs."""

import json
import lzma
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from elegant_trading_system.research.performance import (
    Array,
    annual_return,
    calmar,
    drawdown,
    sharpe,
    sortino,
    volatility,
)
from tests.shared_data import shared_data

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def library() -> Any:
    return pytest.importorskip("empyrical", reason="empyrical-reloaded is the oracle")


def depth(returns: Array) -> float:
    return drawdown(np.append(1.0, np.cumprod(1.0 + returns))).depth


def ours(returns: Array) -> list[float]:
    annual = annual_return(returns)
    ratios = (volatility(returns), sharpe(returns), sortino(returns), calmar(annual, np.asarray(depth(returns))))
    return [float(annual), depth(returns), *(float(ratio) for ratio in ratios)]


def theirs(library: Any, returns: Array) -> list[float]:
    measures = ("annual_volatility", "sharpe_ratio", "sortino_ratio", "calmar_ratio")
    return [
        library.annual_return(returns, annualization=365),
        -library.max_drawdown(returns),
        *(getattr(library, name)(returns, annualization=365) for name in measures),
    ]


def fat_tailed() -> Array:
    return np.random.default_rng(7).standard_t(3, size=730) * 0.01


def bitcoin() -> Array:
    """Daily returns of BTC/USDT out of its minute bars."""
    path = shared_data("binance-spot-1m-2023") / "BTC_USDT-1m.json.xz"
    bars = np.array(json.loads(lzma.decompress(path.read_bytes())), np.float64)
    day = bars[:, 0] // DAY_MS
    closes = bars[np.append(np.flatnonzero(np.diff(day)), len(bars) - 1), 4]
    return np.asarray(np.diff(closes) / closes[:-1])


@pytest.mark.spec("P3")
@pytest.mark.parametrize("make", [fat_tailed, bitcoin, lambda: np.array([0.01, -0.02])])
def test_return_drawdown_volatility_sharpe_sortino_and_calmar_equal_the_library(
    library: Any, make: Callable[[], Array]
) -> None:
    returns = make()
    assert ours(returns) == pytest.approx(theirs(library, returns), rel=1e-12)


@pytest.mark.spec("P3")
@given(st.lists(st.floats(-0.2, 0.2).map(lambda x: round(x, 6)), min_size=2, max_size=400))
def test_they_equal_the_library_on_any_curve(library: Any, values: list[float]) -> None:
    returns = np.array(values)
    assume(len(set(values)) > 1)  # what the library makes of others is below
    assume(depth(returns) > 1e-3)  # a smaller one is known to fewer digits
    assert ours(returns) == pytest.approx(theirs(library, returns), rel=1e-12, abs=1e-12)


@pytest.mark.spec("P3")
@pytest.mark.parametrize("days", [1, 2, 365])
def test_a_curve_that_never_moves_has_no_ratios_as_in_the_library(library: Any, days: int) -> None:
    found, expected = ours(np.zeros(days)), theirs(library, np.zeros(days))
    assert found[:2] == expected[:2] == [0.0, 0.0]
    assert np.isnan(found[3:]).all() and np.isnan(expected[3:]).all()
    assert np.isnan(found[2]) == np.isnan(expected[2]) == (days == 1)


@pytest.mark.spec("P3")
def test_a_total_loss_equals_the_library(library: Any) -> None:
    returns = np.array([0.02, -0.01, -1.0, 0.0, 0.0])
    assert ours(returns) == pytest.approx(theirs(library, returns), rel=1e-12)
    assert ours(returns)[:2] == [-1.0, 1.0]


@pytest.mark.spec("P3")
def test_without_a_loss_the_library_says_an_infinite_sortino_ratio_and_we_say_unknown(library: Any) -> None:
    returns = np.linspace(0.001, 0.01, 60)
    found, expected = ours(returns), theirs(library, returns)
    assert found[:4] == pytest.approx(expected[:4], rel=1e-12)
    assert math.isnan(found[4]) and math.isinf(expected[4])
    assert math.isnan(found[5]) and math.isnan(expected[5])


@pytest.mark.spec("P3")
def test_of_equal_returns_the_library_gives_a_sharpe_ratio_of_rounding_errors_and_we_say_unknown(library: Any) -> None:
    returns = np.full(60, 0.001)
    assert library.sharpe_ratio(returns, annualization=365) > 1e10
    assert math.isnan(ours(returns)[3])


@pytest.mark.spec("P3")
def test_of_a_debt_the_library_gives_no_return_and_we_say_all_is_lost(library: Any) -> None:
    returns = np.array([0.01, -1.5])
    with np.errstate(invalid="ignore"):
        assert math.isnan(library.annual_return(returns, annualization=365))
    assert ours(returns)[0] == -1.0


@pytest.mark.spec("P3")
def test_of_no_days_nothing_is_known() -> None:
    none = np.zeros(0)
    assert np.isnan([float(measure(none)) for measure in (annual_return, volatility, sharpe, sortino)]).all()
    assert math.isnan(drawdown(none).depth)


@pytest.mark.spec("P3")
def test_the_measures_by_hand() -> None:
    """Up 10 %, down 20 %, up 25 %: growth 1.1, mean 5 %, deviations 5, 25 and 20 %, one loss of 20 %."""
    returns = np.array([0.1, -0.2, 0.25])
    spread = math.sqrt((0.05**2 + 0.25**2 + 0.2**2) / 2)
    assert annual_return(returns, 6.0) == pytest.approx(1.1**2 - 1)
    assert volatility(returns, 4.0) == pytest.approx(2 * spread)
    assert sharpe(returns, 4.0) == pytest.approx(2 * 0.05 / spread)
    assert sortino(returns, 4.0) == pytest.approx(2 * 0.05 / math.sqrt(0.2**2 / 3))
    assert calmar(np.asarray(0.21), np.asarray(0.2)) == pytest.approx(1.05)


@pytest.mark.spec("P3")
def test_many_curves_at_once_are_measured_as_one_by_one() -> None:
    curves = np.random.default_rng(3).normal(0, 0.01, (4, 3, 50))
    for measure in (annual_return, volatility, sharpe, sortino):
        single = [[float(measure(curve)) for curve in row] for row in curves]
        assert np.allclose(measure(curves), single, rtol=1e-14, atol=0.0)


@pytest.mark.spec("P3")
@pytest.mark.parametrize(
    "levels, expected",
    [
        ([100, 110, 110, 88, 99, 120, 60], (0.5, 5, 6, -1)),
        ([100, 110, 110, 88, 99, 110, 120], (0.2, 2, 3, 5)),
        ([100, 90, 100, 90], (0.1, 0, 1, 2)),
        ([1, 2, 3], (0.0, 0, 0, 0)),
        ([100, 0, 0], (1.0, 0, 1, -1)),
        ([0, 0], (0.0, 0, 0, 0)),
    ],
)
def test_a_drawdown_has_a_depth_a_peak_a_trough_and_maybe_a_recovery(
    levels: list[float], expected: tuple[float, int, int, int]
) -> None:
    assert drawdown(np.array(levels, np.float64)) == pytest.approx(expected)
