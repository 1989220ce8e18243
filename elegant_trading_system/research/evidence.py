"""How sure can one be: the formulas that a claim of an edge has to pass (SCIENCE 2.2 and 2.6).

Sharpe ratios are per period, never annualised; `kurtosis` is 3 for a normal distribution.
"""

import math
from itertools import combinations
from statistics import NormalDist
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
NORMAL = NormalDist()
EULER = 0.5772156649
CONFIDENCE = 0.95


def probabilistic_sharpe(sharpe: float, benchmark: float, count: int, skew: float, kurtosis: float) -> float:
    """Probability that the true Sharpe ratio exceeds the benchmark, after `count` periods (Bailey and Lopez de Prado)."""
    return NORMAL.cdf((sharpe - benchmark) * math.sqrt(count - 1) / math.sqrt(_spread(sharpe, skew, kurtosis)))


def _spread(sharpe: float, skew: float, kurtosis: float) -> float:
    return 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe


def expected_maximum(trials: int) -> float:
    """Of that many independent standard normals: how good the best of them looks by luck; a single one not at all."""
    if trials <= 1:
        return 0.0
    return (1.0 - EULER) * NORMAL.inv_cdf(1.0 - 1.0 / trials) + EULER * NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))


def deflated_sharpe(sharpe: float, count: int, skew: float, kurtosis: float, trials: int, variance: float) -> float:
    """The probability above, against the best Sharpe ratio that `trials` tries of that variance give by luck."""
    benchmark = math.sqrt(variance) * expected_maximum(trials)
    return probabilistic_sharpe(sharpe, benchmark, count, skew, kurtosis)


def minimum_track_record(sharpe: float, skew: float = 0.0, kurtosis: float = 3.0) -> float:
    """Periods until a true Sharpe ratio of this size can be told from zero, at 95 %; never, if it is not positive."""
    if sharpe <= 0.0:
        return math.inf
    return 1.0 + _spread(sharpe, skew, kurtosis) * (NORMAL.inv_cdf(CONFIDENCE) / sharpe) ** 2


def overfitting_probability(returns: Array, blocks: int) -> float:
    """PBO by combinatorially symmetric cross-validation: how often the best column of one half is below the median
    of the other. `returns` is (periods, strategies); rows beyond a multiple of `blocks` are left out. A column that
    never moves has a Sharpe ratio of zero, and equals share the mean of their ranks.
    """
    assert blocks % 2 == 0 and len(returns) >= blocks >= 2, "two halves of whole blocks"
    size = len(returns) // blocks
    parts = returns[: size * blocks].reshape(blocks, size, -1)
    losses, halves = 0, list(combinations(range(blocks), blocks // 2))
    for chosen in halves:
        rest = [k for k in range(blocks) if k not in chosen]
        inside, outside = (_sharpes(parts[list(half)].reshape(-1, returns.shape[1])) for half in (chosen, rest))
        best = int(inside.argmax())
        rank = _rank(outside, best) / (returns.shape[1] + 1)
        losses += math.log(rank / (1.0 - rank)) <= 0.0
    return losses / len(halves)


def _rank(values: Array, k: int) -> float:
    """1 = the worst."""
    return float((values < values[k]).sum()) + (float((values == values[k]).sum()) + 1.0) / 2.0


def _sharpes(returns: Array) -> Array:
    mean, spread = returns.mean(axis=0), returns.std(axis=0)
    return np.where(spread > 0.0, mean / np.where(spread > 0.0, spread, 1.0), 0.0)


# --- the arithmetic of a bracket -----------------------------------------------------------------------------------
def chance_win_rate(stop_atr: float, target_atr: float) -> float:
    """How often a martingale reaches the target first."""
    return stop_atr / (stop_atr + target_atr)


def break_even_win_rate(stop_atr: float, target_atr: float, cost_bps: float, atr_bps: float) -> float:
    """How often it must, to pay the costs; above 1 it cannot."""
    return (stop_atr + cost_bps / atr_bps) / (stop_atr + target_atr)
