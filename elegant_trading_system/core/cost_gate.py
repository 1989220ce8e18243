"""The cost gate: does what such signals have moved so far pay for the trade (SCIENCE 2.6)?"""

import math

from .jit import kernel
from .schema import STRENGTH_BUCKETS

Z80 = 0.8416  # one-sided 80 %
CELL_MIN = 30  # trades before a cell's own scatter counts
BUCKET_EDGES = (1.25, 2.0, 4.0)  # strength over the threshold
IMPACT = 0.7  # square-root law: IMPACT * sigma of an hour * sqrt(quantity / volume of an hour)
ATR_PER_SIGMA = 1.3  # ATR over the standard deviation of a bar


@kernel
def strength_bucket(strength, threshold):
    bucket = 0
    for edge in BUCKET_EDGES:
        bucket += 1 if strength > edge * threshold else 0
    return bucket


@kernel
def apply_move(memory, regime, bucket, move_bps):
    """A trade closed: its gross move enters the running mean and scatter of its cell (Welford)."""
    memory.move_count[regime, bucket] += 1
    delta = move_bps - memory.move_mean_bps[regime, bucket]
    memory.move_mean_bps[regime, bucket] += delta / memory.move_count[regime, bucket]
    memory.move_m2[regime, bucket] += delta * (move_bps - memory.move_mean_bps[regime, bucket])


@kernel
def scatter(memory):
    """(trades, standard deviation in bps) over all cells of the group."""
    count, total = 0, 0.0
    for regime in range(3):
        for bucket in range(STRENGTH_BUCKETS):
            count += memory.move_count[regime, bucket]
            total += memory.move_count[regime, bucket] * memory.move_mean_bps[regime, bucket]
    squares = 0.0
    for regime in range(3):
        for bucket in range(STRENGTH_BUCKETS):
            off = memory.move_mean_bps[regime, bucket] - total / max(count, 1)
            squares += memory.move_m2[regime, bucket] + memory.move_count[regime, bucket] * off * off
    return count, math.sqrt(squares / (count - 1)) if count > 1 else 0.0


@kernel
def expected_bps(memory, regime, bucket, prior_trades):
    """The cell's mean move, shrunk to zero as if prior_trades trades had earned nothing."""
    n = memory.move_count[regime, bucket]
    return n / (n + prior_trades) * memory.move_mean_bps[regime, bucket]


@kernel
def edge_bps(memory, regime, bucket, cost_bps, prior_trades):
    """Lower 80 % bound of the expected net move."""
    n = memory.move_count[regime, bucket]
    if n >= CELL_MIN:
        deviation = math.sqrt(memory.move_m2[regime, bucket] / (n - 1))
    else:
        _, deviation = scatter(memory)
    expected = expected_bps(memory, regime, bucket, prior_trades)
    return expected - cost_bps - Z80 * deviation / math.sqrt(n + prior_trades)


@kernel
def impact_bps(base, hour_base, atr_bps, bar_s):
    """Both legs of our own impact; 0 while no volume is known."""
    if hour_base <= 0.0 or bar_s <= 0:
        return 0.0
    sigma_hour_bps = atr_bps / ATR_PER_SIGMA * math.sqrt(3600.0 / bar_s)
    return 2.0 * IMPACT * sigma_hour_bps * math.sqrt(base / hour_base)
