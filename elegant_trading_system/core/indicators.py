"""Streaming indicators, exactly Wilder's as TA-Lib seeds them: average true range and directional index."""

from .jit import kernel


@kernel
def apply_indicators(bar, n):
    """A bar closes: move ATR(n) and ADX(n) (SCIENCE 1.6). `bar.count` counts the bars closed before it."""
    if bar.count > 0:
        range_ticks = true_range(bar)
        apply_true_range(bar, range_ticks, n)
        apply_directions(bar, float(range_ticks), n)


@kernel
def true_range(bar):
    previous = bar.previous_close_ticks
    return max(bar.high_ticks - bar.low_ticks, abs(bar.high_ticks - previous), abs(bar.low_ticks - previous))


@kernel
def apply_true_range(bar, range_ticks, n):
    if bar.count < n:
        bar.true_range_sum += range_ticks
    elif bar.count == n:
        bar.true_range_sum += range_ticks
        bar.atr_ticks = bar.true_range_sum / n
    else:
        bar.atr_ticks = ((n - 1) * bar.atr_ticks + range_ticks) / n


@kernel
def apply_directions(bar, range_ticks, n):
    """Directional movement in ticks, so that a tie (both 0) is exact. The first ADX is known at bar 2n - 1."""
    up = bar.high_ticks - bar.previous_high_ticks
    down = bar.previous_low_ticks - bar.low_ticks
    plus = float(up) if up > down and up > 0 else 0.0
    minus = float(down) if down > up and down > 0 else 0.0
    if bar.count < n:
        bar.range_smooth += range_ticks
        bar.plus_smooth += plus
        bar.minus_smooth += minus
        return
    bar.range_smooth += range_ticks - bar.range_smooth / n
    bar.plus_smooth += plus - bar.plus_smooth / n
    bar.minus_smooth += minus - bar.minus_smooth / n
    apply_dx(bar, n)


@kernel
def apply_dx(bar, n):
    plus = 100.0 * bar.plus_smooth / bar.range_smooth if bar.range_smooth > 0.0 else 0.0
    minus = 100.0 * bar.minus_smooth / bar.range_smooth if bar.range_smooth > 0.0 else 0.0
    is_moving = plus + minus > 0.0
    dx = 100.0 * abs(plus - minus) / (plus + minus) if is_moving else 0.0
    bar.dx = dx
    if bar.count < 2 * n - 1:
        bar.dx_sum += dx
    elif bar.count == 2 * n - 1:
        bar.dx_sum += dx
        bar.adx = bar.dx_sum / n
    elif is_moving:
        bar.adx = ((n - 1) * bar.adx + dx) / n


@kernel
def is_adx_known(bar, n):
    return bar.count > 2 * n - 1
