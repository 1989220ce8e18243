"""THE STRATEGY. Change the trade here; change its numbers in config/default.toml.

Signal strength = (bid volume / ask volume) * volume velocity * spread tightness      (SCIENCE 1.1 - 1.5)
"""

import math
from typing import NamedTuple

from . import books as book_ops
from .jit import kernel
from .kinds import ListingKind, Verdict
from .market_data import apply_spread_time, group_mid_price, is_fresh, is_two_sided, mid_ticks, spread_ticks, vwap_gap
from .schema import NO_X
from .units import ASK, BID

INVERSE, DARK, INDEX = ListingKind.INVERSE.value, ListingKind.DARK.value, ListingKind.INDEX.value
LN2 = math.log(2.0)

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


class View(NamedTuple):
    """One group's market as a trader sees it. Ratios have no unit."""

    mid_price: float  # quote; 0 when no book is fresh
    log_ratio: float  # smoothed ln(bid depth / ask depth)
    velocity: float  # negative: not known yet
    tightness: float  # negative: not known yet
    vwap_gap: float  # mid / VWAP - 1
    is_vwap_known: int
    atr_price: float  # 0: not known yet


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
def evaluate(view, params):
    """Signal of one group: the side the book leans to, its strength, and why not."""
    if view.mid_price <= 0.0:
        return Signal(0, 0.0, BOOK_NOT_LIVE)
    if view.velocity < 0.0 or view.tightness < 0.0:
        return Signal(0, 0.0, WARMUP_VELOCITY)
    if view.is_vwap_known == 0:
        return Signal(0, 0.0, WARMUP_VWAP)
    if view.atr_price <= 0.0:
        return Signal(0, 0.0, WARMUP_ATR)
    if view.log_ratio == 0.0:
        return Signal(0, 0.0, NO_PRESSURE)
    side = 1 if view.log_ratio > 0.0 else -1
    value = strength(view)
    is_strong = value > params.strength_min
    is_active = view.velocity > params.velocity_min
    is_lopsided = math.exp(abs(view.log_ratio)) >= params.imbalance_min
    is_fair = abs(view.vwap_gap) <= params.vwap_gap_max
    if not is_strong:
        return Signal(side, value, STRENGTH_LOW)
    if not is_active:
        return Signal(side, value, VELOCITY_LOW)
    if not is_lopsided:
        return Signal(side, value, IMBALANCE_LOW)
    if not is_fair:
        return Signal(side, value, VWAP_FAR)
    return Signal(side, value, CANDIDATE)


@kernel
def consolidate(universe, market, params, group_id, ts_ns):
    """The view of one group now. The VWAP gap is walked for only where the cheap gates pass it on."""
    group = market.groups[group_id]
    mid = group_mid_price(universe, market, params, group_id, ts_ns)
    tightness = -1.0
    if group.spread_average_bps > 0.0 and group.spread_bps > 0.0:
        ratio = group.spread_average_bps / group.spread_bps
        tightness = min(max(ratio, params.tightness_min), params.tightness_max)
    gap = vwap_gap(universe, market, params, group_id, ts_ns) if group.is_vwap_known == 1 else 9.0
    is_vwap_known = 1 if group.is_vwap_known == 1 and gap < 9.0 else 0
    atr_price = group.bar.atr_ticks * universe.listings[universe.groups[group_id].reference_id].tick_price
    return View(mid, smoothed_log_ratio(group, params, ts_ns), group.velocity, tightness, gap, is_vwap_known, atr_price)


@kernel
def smoothed_log_ratio(group, params, ts_ns):
    """Time-weighted EWMA of ln(B/A): the ratio in force since ts_ratio_ns held until now."""
    if group.ts_ratio_ns == 0:
        return 0.0
    decay = math.exp(-LN2 * (ts_ns - group.ts_ratio_ns) / params.pressure_halflife_ns)
    return decay * group.log_ratio_ewma + (1.0 - decay) * group.log_ratio


# --- keeping the view's inputs up to date, packet by packet -------------------------------------------------
@kernel
def apply_depth(universe, market, books, params, listing_id):
    """After a depth packet: this listing's pressure, then its group's ratio and spread."""
    listing = universe.listings[listing_id]
    if listing.kind == DARK or listing.kind == INDEX:
        return
    group = market.groups[listing.group_id]
    apply_pressure(universe, market, books, params, listing_id, group)
    apply_ratio(universe, market, params, listing.group_id)
    apply_spread(universe, market, params, listing.group_id)


@kernel
def apply_pressure(universe, market, books, params, listing_id, group):
    book, listing = market.books[listing_id], universe.listings[listing_id]
    pressure = market.pressures[listing_id]
    pressure.bid_quote = 0.0
    pressure.ask_quote = 0.0
    if is_two_sided(book):
        unit = listing.lot_quote if listing.kind == INVERSE else listing.lot_base * listing.tick_price
        unit *= listing.quote_rate
        is_inverse = 1 if listing.kind == INVERSE else 0
        decay_bps = group.decay_bps if group.decay_bps > 0.0 else params.decay_bps_min
        pressure.bid_quote = unit * decayed_depth(books, book, listing_id, BID, params, decay_bps, is_inverse)
        pressure.ask_quote = unit * decayed_depth(books, book, listing_id, ASK, params, decay_bps, is_inverse)


@kernel
def decayed_depth(books, book, listing_id, s, params, decay_bps, is_inverse):
    """Sum over levels of 0.5 ** (distance / H) * price * lots, in ticks * lots (inverse: lots).

    The price is the mid for every level unless `is_price_weighted`: then exchanging the sides about the mid
    gives exactly the opposite ratio; with each level's own price the ask side weighs a hair more.
    """
    mid = mid_ticks(book)
    centre = mid if s == BID else -mid
    low_x = book.low_x[s]
    x = book.best_x[s]
    total = 0.0
    for _ in range(params.pressure_levels):
        if x == NO_X:
            break
        distance_bps = (centre - x) / mid * 1e4
        if distance_bps > params.pressure_band_bps:
            break
        price = 1.0 if is_inverse == 1 else (float(abs(x)) if params.is_price_weighted == 1 else mid)
        lots = book_ops.lots_at(books, listing_id, s, x)
        total += math.exp(-LN2 * abs(distance_bps) / decay_bps) * price * lots
        x = book_ops.level_at_or_below(books, listing_id, s, x - 1, low_x)
    return total


@kernel
def apply_ratio(universe, market, params, group_id):
    """ln(B/A) of the group over its fresh listings; the old value is first folded into the average."""
    group, static = market.groups[group_id], universe.groups[group_id]
    bid, ask = 0.0, 0.0
    for k in range(static.listing_count):
        listing_id = static.listing_ids[k]
        if is_fresh(universe, market, params, listing_id, market.ts_ns):
            bid += market.pressures[listing_id].bid_quote
            ask += market.pressures[listing_id].ask_quote
    limit = math.log(params.pressure_ratio_max)
    log_ratio = 0.0
    if bid > 0.0 and ask > 0.0:
        log_ratio = min(max(math.log(bid) - math.log(ask), -limit), limit)
    if group.ts_ratio_ns == 0:
        group.log_ratio_ewma = log_ratio
    else:
        group.log_ratio_ewma = smoothed_log_ratio(group, params, market.ts_ns)
    group.log_ratio = log_ratio
    group.ts_ratio_ns = market.ts_ns


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
