"""Regimes: the trend axis with its hysteresis, and VOLATILE over it. What follows from them is the table in the
configuration (`regimes`).
"""

from .indicators import is_adx_known
from .jit import kernel
from .kinds import Regime

NEUTRAL, TREND, RANGE = Regime.NEUTRAL.value, Regime.TREND.value, Regime.RANGE.value


@kernel
def next_regime(regime, adx, params):
    """First leave, then enter: one bar may go from TREND to RANGE (SCIENCE 1.9)."""
    if regime == TREND and adx < params.trend_leave:
        regime = NEUTRAL
    if regime == RANGE and adx > params.range_leave:
        regime = NEUTRAL
    if adx > params.trend_enter:
        return TREND
    return RANGE if adx < params.range_enter else regime


@kernel
def next_volatile(is_volatile, atr, atr_mean, params):
    """1 while the ATR is far above its mean; 0 while the mean is not known."""
    if atr_mean <= 0.0:
        return 0
    if is_volatile:
        return 1 if atr >= params.volatile_leave * atr_mean else 0
    return 1 if atr > params.volatile_enter * atr_mean else 0


@kernel
def apply_regime(bar, params, atr_mean):
    """A bar has closed."""
    if is_adx_known(bar, params.atr_bars):
        regime = next_regime(bar.regime, bar.adx, params)
        bar.regime_flips += 1 if regime != bar.regime else 0
        bar.regime = regime
        bar.regime_bars[regime] += 1
        bar.atr_bps_sum += bar.atr_ticks / bar.previous_close_ticks * 1e4
    bar.judged_bars += 1 if atr_mean > 0.0 else 0
    is_volatile = next_volatile(bar.is_volatile, bar.atr_ticks, atr_mean, params)
    bar.volatile_episodes += 1 if is_volatile and not bar.is_volatile else 0
    bar.is_volatile = is_volatile
    bar.volatile_bars += is_volatile
