"""Bars of several lengths side by side, from prints or from history, and the choice of the one that can pay its costs.

The shortest length is built from prints; every longer one from the shorter's closed bars, so that live bars and
history bars take the same road.
"""

from .indicators import apply_indicators
from .jit import kernel, routine
from .kinds import ListingKind
from .regime import apply_regime
from .schema import ATR_DAYS, NS_PER_S

SPOT, LINEAR = ListingKind.SPOT.value, ListingKind.LINEAR.value
DAY_S = 86_400


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


@routine
def close_shortest(universe, market, params, group_id, end_s):
    """The running shortest bar ends at end_s; without trades it repeats the last close, before the first there is none."""
    bar = market.groups[group_id].bars[0]
    if bar.open_ticks == 0:
        if bar.count == 0:
            return
        bar.open_ticks = bar.high_ticks = bar.low_ticks = bar.close_ticks = bar.previous_close_ticks
    apply_closed(universe, market, params, group_id, end_s)


@routine
def apply_closed(universe, market, params, group_id, end_s):
    """The shortest bar holds a whole bar that ended at end_s: hand it to the longer ones, close what ends with it."""
    group = market.groups[group_id]
    shortest = group.bars[0]
    for b in range(1, params.bar_count):
        add_part(group.bars[b], shortest, params, b, end_s)
    for b in range(params.bar_count):
        if end_s % params.bar_s[b] == 0:
            close_bar(group.bars[b], params, b, end_s)
    choose_bar(universe, market, params, group_id)


@kernel
def add_part(bar, part, params, b, end_s):
    """A part of another slot than the running bar's closes that bar first: its own end was missing."""
    slot = (end_s - 1) // params.bar_s[b]
    if slot != bar.slot and bar.part_count > 0:
        close_bar(bar, params, b, (bar.slot + 1) * params.bar_s[b])
    bar.slot = slot
    bar.part_count += 1
    if bar.open_ticks == 0:
        bar.open_ticks = part.open_ticks
        bar.high_ticks = part.high_ticks
        bar.low_ticks = part.low_ticks
    bar.high_ticks = max(bar.high_ticks, part.high_ticks)
    bar.low_ticks = min(bar.low_ticks, part.low_ticks)
    bar.close_ticks = part.close_ticks
    bar.lots += part.lots


@kernel
def close_bar(bar, params, b, end_s):
    """Indicators and regime move with the closed bar. A first bar that began before we listened is no bar."""
    is_whole = b == 0 or bar.count > 0 or bar.part_count == params.bar_s[b] // params.bar_s[0]
    if is_whole and bar.open_ticks > 0:
        apply_indicators(bar, params.atr_bars)
        bar.count += 1
        bar.previous_high_ticks = bar.high_ticks
        bar.previous_low_ticks = bar.low_ticks
        bar.previous_close_ticks = bar.close_ticks
        apply_day(bar, (end_s - 1) // DAY_S)
        apply_regime(bar, params, atr_mean_ticks(bar, params))
    reset_bar(bar)


@kernel
def reset_bar(bar):
    bar.open_ticks = 0
    bar.high_ticks = 0
    bar.low_ticks = 0
    bar.lots = 0
    bar.part_count = 0


# --- the usual range ----------------------------------------------------------------------------------------
@kernel
def apply_day(bar, day):
    """Sum the ATR by UTC day."""
    if bar.atr_ticks <= 0.0:
        return
    if bar.day != day:
        bar.day_count += 1 if bar.day > 0 else 0
        for empty in range(
            max(bar.day + 1, day - ATR_DAYS + 1), day + 1
        ):  # days without bars hold none of last month's
            bar.atr_sum_by_day[empty % ATR_DAYS] = 0.0
            bar.bars_by_day[empty % ATR_DAYS] = 0
        bar.day = day
    bar.atr_sum_by_day[day % ATR_DAYS] += bar.atr_ticks
    bar.bars_by_day[day % ATR_DAYS] += 1


@kernel
def atr_mean_ticks(bar, params):
    """Mean ATR of today and the volatile_days days before; 0 when fewer than volatile_days_min whole days are known."""
    if bar.day_count < params.volatile_days_min:
        return 0.0
    total, count = 0.0, 0
    for k in range(params.volatile_days + 1):
        total += bar.atr_sum_by_day[(bar.day - k) % ATR_DAYS]
        count += bar.bars_by_day[(bar.day - k) % ATR_DAYS]
    return total / count if count > 0 else 0.0


# --- which bar pays -----------------------------------------------------------------------------------------
@kernel
def round_trip_bps(universe, market, group_id):
    """Taker fees both ways at the cheapest listing that may be traded, and the usual spread."""
    group = universe.groups[group_id]
    fee_ppm = -1
    for k in range(group.listing_count):
        listing = universe.listings[group.listing_ids[k]]
        is_lit = listing.kind == SPOT or listing.kind == LINEAR
        if listing.can_trade and is_lit and (fee_ppm < 0 or listing.taker_fee_ppm < fee_ppm):
            fee_ppm = listing.taker_fee_ppm
    state = market.groups[group_id]
    spread_bps = state.spread_average_bps if state.spread_average_bps > 0.0 else max(state.spread_bps, 0.0)
    return max(fee_ppm, 0) * 0.02 + spread_bps


@kernel
def choose_bar(universe, market, params, group_id):
    """The shortest bar whose ATR the round trip costs at most bar_cost_share_max of (SCIENCE 2.3).

    While the bars known are all too short, -1: a longer one may pay. When the longest is known and does not pay
    either, it is used and the group is marked uneconomic.
    """
    group = market.groups[group_id]
    cost_bps = round_trip_bps(universe, market, group_id)
    group.round_trip_bps = cost_bps
    group.bar_index = -1
    group.is_uneconomic = 0
    for b in range(params.bar_count):
        bar = group.bars[b]
        if bar.atr_ticks <= 0.0:
            return
        atr_bps = bar.atr_ticks / bar.previous_close_ticks * 1e4
        if cost_bps <= params.bar_cost_share_max * atr_bps:
            group.bar_index = b
            return
    group.bar_index = params.bar_count - 1
    group.is_uneconomic = 1


@kernel
def bar_ns(params, bar_index):
    return params.bar_s[bar_index] * NS_PER_S
