"""Streaming indicators: Wilder's average true range on bars of any length."""

from .jit import kernel


@kernel
def apply_print(bar, ticks, lots):
    """One trade enters the running bar."""
    if bar.open_ticks == 0:
        bar.open_ticks = ticks
        bar.high_ticks = ticks
        bar.low_ticks = ticks
    bar.high_ticks = max(bar.high_ticks, ticks)
    bar.low_ticks = min(bar.low_ticks, ticks)
    bar.close_ticks = ticks
    bar.lots += lots


@kernel
def apply_bar_close(bar, atr_bars):
    """Close the running bar and move Wilder's ATR (SCIENCE 1.6, seeded as TA-Lib does).

    A bar without trades repeats the last close; before the first trade there is no bar.
    """
    if bar.open_ticks == 0:
        if bar.count == 0:
            return
        bar.high_ticks = bar.low_ticks = bar.close_ticks = bar.previous_close_ticks
    if bar.count > 0:
        apply_true_range(bar, true_range(bar), atr_bars)
    bar.count += 1
    bar.previous_close_ticks = bar.close_ticks
    reset_bar(bar)


@kernel
def reset_bar(bar):
    bar.open_ticks = 0
    bar.high_ticks = 0
    bar.low_ticks = 0
    bar.lots = 0


@kernel
def true_range(bar):
    previous = bar.previous_close_ticks
    return max(bar.high_ticks - bar.low_ticks, abs(bar.high_ticks - previous), abs(bar.low_ticks - previous))


@kernel
def apply_true_range(bar, range_ticks, atr_bars):
    if bar.count < atr_bars:
        bar.true_range_sum += range_ticks
    elif bar.count == atr_bars:
        bar.true_range_sum += range_ticks
        bar.atr_ticks = bar.true_range_sum / atr_bars
    else:
        bar.atr_ticks = ((atr_bars - 1) * bar.atr_ticks + range_ticks) / atr_bars
