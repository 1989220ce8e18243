"""The stationary bootstrap (Politis and Romano 1994): how far could a figure be off, had the same days come otherwise?

A series is redrawn from itself in blocks of consecutive periods, of geometric length, running on from the end to the
beginning. What stays together within a block (volatility that clusters, losses that come in a row) is kept, so the
intervals are wider than those of independent days. Percentile intervals; the draws follow from one seed.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Measure = Callable[[Array], Array]
"""From the indices of redrawn curves (draws, periods) to figures (figures, draws)."""

BLOCK_PERIODS = 5.0  # mean length of a block
DRAWS = 10_000
SEED = 1
CONFIDENCE = 0.95
CHUNK_INDICES = 20_000  # drawn at once: few enough to stay in the cache, which is twice as fast
KNOWN_MIN = 0.9  # share of the draws a figure must exist in


def stationary_indices(random: np.random.Generator, periods: int, draws: int, block: float = BLOCK_PERIODS) -> Array:
    """Indices (draws, periods) into the series; `block` is the mean length of a block, 1 draws independently."""
    total = draws * periods
    is_start = random.random(total) < 1.0 / block
    is_start[::periods] = True
    at = np.flatnonzero(is_start)
    shifts = random.integers(periods, size=len(at)) - at
    lengths = np.diff(at, append=total)
    indices: Array = (np.arange(total) + np.repeat(shifts, lengths)) % periods
    return indices.reshape(draws, periods)


def redrawn(periods: int, draws: int = DRAWS, block: float = BLOCK_PERIODS, seed: int = SEED) -> Iterator[Array]:
    """The indices of all draws, in chunks that bound the memory."""
    random = np.random.default_rng(seed)
    step = max(1, CHUNK_INDICES // periods)
    for first in range(0, draws, step):
        yield stationary_indices(random, periods, min(step, draws - first), block)


def intervals(
    measure: Measure, periods: int, draws: int = DRAWS, block: float = BLOCK_PERIODS, seed: int = SEED
) -> Array:
    """Low and high 95 % bound of every figure of `measure`, (figures, 2).

    NaN where a figure does not exist in one draw of ten or more: an interval of the rest would be of another question.
    """
    figures = np.concatenate([measure(indices) for indices in redrawn(periods, draws, block, seed)], axis=1)
    return np.array([_bounds(row) for row in figures])


def _bounds(row: Array) -> Array:
    known = row[~np.isnan(row)]
    if len(known) < KNOWN_MIN * len(row):
        return np.full(2, np.nan)
    tail = (1.0 - CONFIDENCE) / 2.0
    return np.quantile(known, [tail, 1.0 - tail])
