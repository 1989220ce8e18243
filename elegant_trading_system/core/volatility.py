"""How volatile the world is against usual: implied where an index prints, realised where none does; and stress."""

import math

from .jit import kernel, routine
from .kinds import AssetClass
from .schema import CLOSES, NS_PER_S

DAY_NS = 86_400 * NS_PER_S
HOUR_NS = 3600 * NS_PER_S
EQUITY = AssetClass.EQUITY.value
EQUITY_STALE_TIMES = 3  # an index that prints on business days may be three days old
NO_SOURCE, IMPLIED, REALISED = 0, 1, 2
REALISED_DECAY = 0.5 ** (1.0 / 10.0)  # ten days
DAYS_A_YEAR = 365.0
DAY_RETURNS_MIN = 60  # five-minute returns; a day of which we saw less is no day


# --- a series of values and its daily closes -----------------------------------------------------------------
@routine
def apply_value(series, params, value, ts_ns, is_dvol):
    """A volatility index prints `value`, percent a year. An observation of stress: DVOL's hour, VIX's day."""
    day, hour = ts_ns // DAY_NS, ts_ns // HOUR_NS
    if series.ts_value_ns > 0 and day > series.day:
        apply_close(series, params, series.value)
    is_observation = series.ts_value_ns == 0 or (hour != series.hour if is_dvol else day != series.day)
    series.value = value
    series.ts_value_ns = ts_ns
    series.day = day
    series.hour = hour
    apply_stress(series, params, is_observation, is_dvol)


@routine
def apply_close(series, params, value):
    """A day is over: its close enters the mean and the quantile."""
    series.closes[series.close_count % CLOSES] = value
    series.close_count += 1
    kept = min(series.close_count, CLOSES)
    days = min(kept, params.iv_days)
    total = 0.0
    for k in range(days):
        total += series.closes[(series.close_count - 1 - k) % CLOSES]
    series.value_mean = total / days
    if kept >= params.iv_days:  # of a few days, the highest is no quantile of a year
        series.value_quantile = quantile(series.closes, kept, params.dvol_quantile)


@kernel
def quantile(values, count, share):
    """The smallest of the values that at least `share` of them do not exceed."""
    best = math.inf
    for k in range(count):
        below = 0
        for j in range(count):
            below += 1 if values[j] <= values[k] else 0
        if below >= share * count and values[k] < best:
            best = values[k]
    return best


@kernel
def apply_stress(series, params, is_observation, is_dvol):
    """On above the level; off after stress_calm observations in a row well below it (SCIENCE 1.10)."""
    level = max(params.dvol_enter, series.value_quantile) if is_dvol else params.stress_enter
    calm = level * params.stress_leave / params.stress_enter
    if series.value > level:
        series.is_stressed = 1
        series.calm_count = 0
    elif is_observation:
        series.calm_count = series.calm_count + 1 if series.value < calm else 0
        if series.calm_count >= params.stress_calm:
            series.is_stressed = 0


@kernel
def apply_realised_day(group, params, ts_ns):
    """A group's day is over: its realised volatility is one more close of the fallback."""
    if group.day_returns >= DAY_RETURNS_MIN and group.day_variance > 0.0:
        percent = 100.0 * math.sqrt(group.day_variance * DAYS_A_YEAR)
        series = group.realised
        is_first = series.close_count == 0
        series.value = percent if is_first else REALISED_DECAY * series.value + (1.0 - REALISED_DECAY) * percent
        series.ts_value_ns = ts_ns
        apply_close(series, params, percent)
    group.day_variance = 0.0
    group.day_returns = 0


# --- what a trader asks ----------------------------------------------------------------------------------------
@kernel
def iv_source(universe, market, params, group_id, ts_ns):
    """Where the multiplier comes from: NO_SOURCE, IMPLIED or REALISED."""
    static = universe.groups[group_id]
    if static.volatility_id >= 0:
        series = market.volatilities[static.volatility_id]
        index = universe.groups[universe.listings[static.volatility_id].group_id]
        stale_ns = params.iv_stale_ns * (EQUITY_STALE_TIMES if index.asset_class == EQUITY else 1)
        is_fresh = series.ts_value_ns > 0 and ts_ns - series.ts_value_ns <= stale_ns
        if is_fresh and series.close_count >= params.iv_days_min:
            return IMPLIED
    if market.groups[group_id].realised.close_count >= params.iv_days_min:
        return REALISED
    return NO_SOURCE


@kernel
def iv_multiple(universe, market, params, group_id, ts_ns):
    """Volatility over its 30-day mean, cut (SCIENCE 1.7); 1 without a source."""
    source = iv_source(universe, market, params, group_id, ts_ns)
    if source == IMPLIED:
        series = market.volatilities[universe.groups[group_id].volatility_id]
    else:
        series = market.groups[group_id].realised
    if source == NO_SOURCE or series.value_mean <= 0.0:
        return 1.0
    return min(max(series.value / series.value_mean, params.iv_multiple_min), params.iv_multiple_max)


@kernel
def is_stressed(universe, market, params, group_id, ts_ns):
    """No source is stress: fail safe."""
    volatility_id = universe.groups[group_id].volatility_id
    if volatility_id < 0:
        return 1
    series = market.volatilities[volatility_id]
    is_known = series.ts_value_ns > 0 and ts_ns - series.ts_value_ns <= params.stress_stale_ns
    return series.is_stressed if is_known else 1
