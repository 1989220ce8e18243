"""THE STRATEGY. Change the trade here; change its numbers in config/default.toml.

Signal strength = (bid volume / ask volume) * volume velocity * spread tightness      (SCIENCE 1.1 - 1.5)
"""

import math
from typing import NamedTuple

from . import order_flow, pressure, volatility
from .jit import bit_count, kernel
from .kinds import BookState, ListingKind, Pressure, Regime, Verdict
from .quotes import group_mid_price, is_fresh, is_two_sided, mid_ticks, spread_ticks, vwap_gap
from .units import ASK, BID
from .windows import apply_spread_time

DARK = ListingKind.DARK.value
BY_DEPTH, BY_OFI = Pressure.DEPTH.value, Pressure.OFI.value
NEUTRAL = Regime.NEUTRAL.value
LIVE = BookState.LIVE.value

CANDIDATE = Verdict.APPROVED.value
BOOK_NOT_LIVE = Verdict.BOOK_NOT_LIVE.value
WARMUP_VELOCITY = Verdict.WARMUP_VELOCITY.value
WARMUP_VWAP = Verdict.WARMUP_VWAP.value
WARMUP_ATR = Verdict.WARMUP_ATR.value
NO_PRESSURE = Verdict.NO_PRESSURE.value
STRENGTH_LOW = Verdict.STRENGTH_LOW.value
VELOCITY_LOW = Verdict.VELOCITY_LOW.value
IMBALANCE_LOW = Verdict.IMBALANCE_LOW.value
VWAP_FAR = Verdict.VWAP_FAR.value
PERSISTENCE_LOW = Verdict.PERSISTENCE_LOW.value
VENUES_DISAGREE = Verdict.VENUES_DISAGREE.value
FLOW_DISAGREES = Verdict.FLOW_DISAGREES.value
FLICKER = Verdict.FLICKER.value


class View(NamedTuple):
    """One group's market as a trader sees it. Ratios have no unit."""

    mid_price: float  # quote; 0 when no book is fresh
    log_ratio: float  # smoothed ln(bid volume / ask volume)
    velocity: float  # negative: not known yet
    tightness: float  # negative: not known yet
    vwap_gap: float  # mid / VWAP - 1
    is_vwap_known: int
    atr_price: float  # of the traded bar; 0: not known yet
    bar_index: int
    regime: int
    is_volatile: int
    is_volatile_known: int  # enough days to say what a usual ATR is
    is_stressed: int
    iv_source: int
    iv_multiple: float


class Signal(NamedTuple):
    """What the market says. A side without APPROVED is what it would have been."""

    side: int
    strength: float
    verdict: int


@kernel
def strength(view):
    """THE FORMULA: how one-sided, how busy and how tight, against usual."""
    return math.exp(abs(view.log_ratio)) * view.velocity * view.tightness


@kernel
def strength_min(view, params):
    """Theta: higher while the market is VOLATILE."""
    return max(params.strength_min, params.volatile_strength_min) if view.is_volatile else params.strength_min


@kernel
def evaluate(view, params):
    """Signal of one group: the side the book leans to, its strength, and why not."""
    if view.mid_price <= 0.0:
        return Signal(0, 0.0, BOOK_NOT_LIVE)
    if view.velocity < 0.0 or view.tightness < 0.0:
        return Signal(0, 0.0, WARMUP_VELOCITY)
    if view.log_ratio == 0.0:
        return Signal(0, 0.0, NO_PRESSURE)
    side = 1 if view.log_ratio > 0.0 else -1
    value = strength(view)
    if view.is_vwap_known == 0:
        return Signal(side, value, WARMUP_VWAP)
    if view.atr_price <= 0.0:
        return Signal(side, value, WARMUP_ATR)
    gap = max(side * view.vwap_gap, 0.0) if params.is_vwap_one_sided else abs(view.vwap_gap)
    if not value > strength_min(view, params):
        return Signal(side, value, STRENGTH_LOW)
    if not view.velocity > params.velocity_min:
        return Signal(side, value, VELOCITY_LOW)
    if not math.exp(abs(view.log_ratio)) >= params.imbalance_min:
        return Signal(side, value, IMBALANCE_LOW)
    if not gap <= params.vwap_gap_max:
        return Signal(side, value, VWAP_FAR)
    return Signal(side, value, CANDIDATE)


# --- false positives: asked only of what has passed so far ---------------------------------------------------
@kernel
def filtered(universe, market, market_params, memory, params, group_id, side, ts_ns):
    """The first filter that refuses a candidate, or APPROVED. `memory` is what the trader knows of the group."""
    seconds = memory.strong_buys if side > 0 else memory.strong_sells
    if bit_count(seconds) < params.persistence_min:
        return PERSISTENCE_LOW
    if params.venues_min > 1:
        fresh, agreeing = order_flow.venue_votes(universe, market, market_params, group_id, side, ts_ns)
        if fresh >= params.venues_min and agreeing < params.venues_min:
            return VENUES_DISAGREE
    if params.is_flow_asked:
        if side * order_flow.flow_imbalance(universe, market, market_params, group_id, ts_ns) <= 0.0:
            return FLOW_DISAGREES
    if params.flicker_max > 0.0:
        if order_flow.flicker(universe, market, market_params, group_id, side, ts_ns) > params.flicker_max:
            return FLICKER
    return CANDIDATE


@kernel
def remember_second(memory, params, signal, threshold):
    """Once a second: was either side above the threshold?"""
    mask = (1 << params.persistence_s) - 1
    is_strong = 1 if signal.strength > threshold else 0
    memory.strong_buys = ((memory.strong_buys << 1) | (is_strong if signal.side > 0 else 0)) & mask
    memory.strong_sells = ((memory.strong_sells << 1) | (is_strong if signal.side < 0 else 0)) & mask


# --- the view ---------------------------------------------------------------------------------------------------
@kernel
def consolidate(universe, market, params, group_id, ts_ns):
    """The view of one group now."""
    group = market.groups[group_id]
    mid = group_mid_price(universe, market, params, group_id, ts_ns)
    tightness = -1.0
    if group.spread_average_bps > 0.0 and group.spread_bps > 0.0:
        ratio = group.spread_average_bps / group.spread_bps
        tightness = min(max(ratio, params.tightness_min), params.tightness_max)
    gap = vwap_gap(universe, market, params, group_id, ts_ns) if group.is_vwap_known == 1 else 9.0
    bar = group.bars[max(group.bar_index, 0)]
    tick_price = universe.listings[universe.groups[group_id].reference_id].tick_price
    return View(
        mid,
        smoothed_log_ratio(group, params, ts_ns),
        group.velocity,
        tightness,
        gap,
        1 if group.is_vwap_known == 1 and gap < 9.0 else 0,
        bar.atr_ticks * tick_price if group.bar_index >= 0 else 0.0,
        group.bar_index,
        bar.regime if group.bar_index >= 0 else NEUTRAL,
        bar.is_volatile,
        1 if bar.day_count >= params.volatile_days_min else 0,
        volatility.is_stressed(universe, market, params, group_id, ts_ns),
        volatility.iv_source(universe, market, params, group_id, ts_ns),
        volatility.iv_multiple(universe, market, params, group_id, ts_ns),
    )


@kernel
def smoothed_log_ratio(group, params, ts_ns):
    """Time-weighted EWMA of ln(B/A): the ratio in force since ts_ratio_ns held until now."""
    if group.ts_ratio_ns == 0:
        return 0.0
    decay = pressure.halved((ts_ns - group.ts_ratio_ns) / params.pressure_halflife_ns)
    return decay * group.log_ratio_ewma + (1.0 - decay) * group.log_ratio


# --- keeping the view's inputs up to date, packet by packet -------------------------------------------------
@kernel
def is_stirred(universe, market, params, listing_id):
    """May this packet have changed a level that counts, its weight or, in a group of several, which book counts?"""
    pressure, group_id = market.pressures[listing_id], universe.listings[listing_id].group_id
    is_touched = (pressure.touched[BID] | pressure.touched[ASK]) != 0
    is_reweighed = pressure.decay_bps != market.groups[group_id].decay_bps
    is_alone = universe.groups[group_id].listing_count == 1 and params.pressure_kind == BY_DEPTH
    return is_touched or is_reweighed or not is_alone


@kernel
def apply_depth(universe, market, books, params, listing_id, is_change):
    """After a packet that touched a book: this listing's pressure, then its group's ratio and spread."""
    listing = universe.listings[listing_id]
    group = market.groups[listing.group_id]
    is_comparable = is_change and market.books[listing_id].state == LIVE
    is_moved = pressure.apply_pressure(universe, market, books, params, listing_id, group, is_comparable)
    if listing.kind >= DARK:
        return
    apply_ratio(universe, market, params, listing.group_id)
    is_alone = universe.groups[listing.group_id].listing_count == 1
    is_settled = is_alone and group.spread_bps > 0.0 and market.books[listing_id].state == LIVE
    if is_moved or not is_settled:
        apply_spread(universe, market, params, listing.group_id)


@kernel
def apply_ratio(universe, market, params, group_id):
    """ln(B/A) of the group over its fresh listings; the old value is first folded into the average."""
    group = market.groups[group_id]
    bid, ask = two_sides(universe, market, params, group_id)
    changed = (1 if bid != group.sides[BID] else 0) | (2 if ask != group.sides[ASK] else 0)
    if changed == 0 and group.ts_ratio_ns > 0:
        return
    group.sides[BID] = bid
    group.sides[ASK] = ask
    s = changed >> 1  # mostly one side has changed, which one is a coin toss: one logarithm and no branch
    group.log_sides[s] = log_of(group.sides[s])
    if changed != 1 << s:
        group.log_sides[BID] = log_of(bid)
    log_ratio = 0.0
    if bid > 0.0 and ask > 0.0:
        limit = params.pressure_log_ratio_max
        log_ratio = min(max(group.log_sides[BID] - group.log_sides[ASK], -limit), limit)
    group.log_ratio_ewma = log_ratio if group.ts_ratio_ns == 0 else smoothed_log_ratio(group, params, market.ts_ns)
    group.log_ratio = log_ratio
    group.ts_ratio_ns = market.ts_ns


@kernel
def log_of(value):
    """ln of what rests on a side; of nothing, what is never looked at."""
    return math.log(value) if value > 0.0 else 0.0


@kernel
def two_sides(universe, market, params, group_id):
    """What is bid and what is asked: resting depth in money, or the window's flow in base units."""
    if params.pressure_kind != BY_DEPTH:
        first = order_flow.BOUGHT if params.pressure_kind == BY_OFI else order_flow.BAND_BOUGHT
        return order_flow.group_flow(universe, market, params, group_id, first, market.ts_ns)
    static = universe.groups[group_id]
    bid, ask = 0.0, 0.0
    for k in range(static.listing_count):
        listing_id = static.listing_ids[k]
        if is_fresh(universe, market, params, listing_id, market.ts_ns):
            bid += market.pressures[listing_id].side_quote[BID]
            ask += market.pressures[listing_id].side_quote[ASK]
    return bid, ask


@kernel
def apply_spread(universe, market, params, group_id):
    """The tightest fresh listing's spread, floored at one tick; its time at the old value is booked first."""
    group, static = market.groups[group_id], universe.groups[group_id]
    tightest = -1.0
    for k in range(static.listing_count):
        listing_id = static.listing_ids[k]
        book = market.books[listing_id]
        if is_two_sided(book) and is_fresh(universe, market, params, listing_id, market.ts_ns):
            spread_bps = max(spread_ticks(book), 1) / mid_ticks(book) * 1e4
            if tightest < 0.0 or spread_bps < tightest:
                tightest = spread_bps
    if tightest != group.spread_bps:
        apply_spread_time(group, market.ts_ns)
        group.spread_bps = tightest
