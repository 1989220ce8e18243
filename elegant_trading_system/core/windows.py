"""Rolling windows in whole seconds: volume, its velocity, the VWAP's buckets, the spread's time average."""

import math

from .jit import kernel
from .schema import NS_PER_S, SECONDS
from .units import base_from_lots

SECOND_MASK = SECONDS - 1
HOUR_S = 3600
UBPS = 1e6  # spread integrals are kept in 1e-6 bps times microseconds, so that window sums are exact


@kernel
def spread_volume(flow, params, end_s, length_s, lots, ticks_lots):
    """A history bar's volume, even over its seconds; the seconds since the last one were silent."""
    clear_seconds(flow, params, max(flow.history_s, end_s - SECONDS), end_s)
    for k in range(length_s):
        share = lots * (k + 1) // length_s - lots * k // length_s
        flow.lots_by_second[(end_s - length_s + k) & SECOND_MASK] = share
    bucket = (end_s - 1) // params.vwap_bucket_s
    slot = bucket % params.vwap_buckets
    flow.vwap_lots += lots
    flow.vwap_ticks_lots += ticks_lots
    flow.vwap_lots_by_bucket[slot] += lots
    flow.vwap_ticks_lots_by_bucket[slot] += ticks_lots
    flow.history_s = end_s


@kernel
def clear_seconds(flow, params, begin_s, end_s):
    """Forget what the rings hold of the seconds [begin_s, end_s): it is from a turn before."""
    for second in range(begin_s, end_s):
        flow.lots_by_second[second & SECOND_MASK] = 0
    bucket = (begin_s - 1) // params.vwap_bucket_s
    last = (end_s - 1) // params.vwap_bucket_s
    while bucket < last:
        bucket += 1
        slot = bucket % params.vwap_buckets
        flow.vwap_lots -= flow.vwap_lots_by_bucket[slot]
        flow.vwap_ticks_lots -= flow.vwap_ticks_lots_by_bucket[slot]
        flow.vwap_lots_by_bucket[slot] = 0
        flow.vwap_ticks_lots_by_bucket[slot] = 0


@kernel
def close_flow_second(flow, params, second):
    """Fast window: the last fast_s closed seconds; slow window: the slow_s before them (SCIENCE 1.2)."""
    leaving_fast = flow.lots_by_second[(second - params.fast_s) & SECOND_MASK]
    leaving_slow = flow.lots_by_second[(second - params.fast_s - params.slow_s) & SECOND_MASK]
    flow.lots_by_second[second & SECOND_MASK] = flow.second_lots
    flow.fast_lots += flow.second_lots - leaving_fast
    flow.slow_lots += leaving_fast - leaving_slow
    flow.second_lots = 0


@kernel
def close_vwap_bucket(flow, params, bucket, is_anchored):
    """The oldest bucket leaves the window, unless the VWAP is anchored at the session's open."""
    slot = bucket % params.vwap_buckets
    flow.vwap_lots += flow.bucket_lots
    flow.vwap_ticks_lots += flow.bucket_ticks_lots
    if not is_anchored:
        flow.vwap_lots -= flow.vwap_lots_by_bucket[slot]
        flow.vwap_ticks_lots -= flow.vwap_ticks_lots_by_bucket[slot]
    flow.vwap_lots_by_bucket[slot] = flow.bucket_lots
    flow.vwap_ticks_lots_by_bucket[slot] = flow.bucket_ticks_lots
    flow.bucket_lots = 0
    flow.bucket_ticks_lots = 0


@kernel
def is_warm(group, params):
    return 1 if group.seconds_seen >= params.fast_s + params.slow_s else 0


@kernel
def velocity(universe, market, params, group_id):
    """Volume of the fast window over the mean fast window inside the slow one, all venues; -1 when unknown."""
    group = universe.groups[group_id]
    if is_warm(market.groups[group_id], params) == 0:
        return -1.0
    fast, slow = 0.0, 0.0
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        listing, flow = universe.listings[listing_id], market.flows[listing_id]
        if flow.warm_s > 0 and market.ts_ns < flow.warm_s * NS_PER_S:
            continue
        price = flow.last_ticks * listing.tick_price
        fast += base_from_lots(listing, flow.fast_lots, price)
        slow += base_from_lots(listing, flow.slow_lots, price)
    return fast * params.slow_s / (slow * params.fast_s) if slow > 0.0 else -1.0


@kernel
def apply_spread_time(group, ts_ns):
    """The spread in force since ts_spread_ns held until now."""
    if group.ts_spread_ns > 0 and group.spread_bps > 0.0:
        held_us = (ts_ns - group.ts_spread_ns) // 1000
        group.second_spread += int(math.floor(group.spread_bps * UBPS + 0.5)) * held_us
        group.second_spread_us += held_us
    group.ts_spread_ns = ts_ns


@kernel
def close_spread_second(group, params, second):
    entering, leaving = (second - params.fast_s) & SECOND_MASK, (second - params.fast_s - params.slow_s) & SECOND_MASK
    group.slow_spread += group.spread_by_second[entering] - group.spread_by_second[leaving]
    group.slow_spread_us += group.spread_us_by_second[entering] - group.spread_us_by_second[leaving]
    group.spread_by_second[second & SECOND_MASK] = group.second_spread
    group.spread_us_by_second[second & SECOND_MASK] = group.second_spread_us
    group.second_spread = 0
    group.second_spread_us = 0


@kernel
def hour_base(universe, market, params, group_id):
    """Volume of the last hour over all listings of a group, base units; of the VWAP's window where that is shorter."""
    group = universe.groups[group_id]
    total = 0.0
    for k in range(group.listing_count):
        listing_id = group.listing_ids[k]
        listing, flow = universe.listings[listing_id], market.flows[listing_id]
        buckets = min(HOUR_S // params.vwap_bucket_s, params.vwap_buckets - 1)
        running = market.ts_ns // NS_PER_S // params.vwap_bucket_s
        lots = flow.bucket_lots
        for j in range(1, buckets + 1):
            lots += flow.vwap_lots_by_bucket[(running - j) % params.vwap_buckets]
        total += base_from_lots(listing, lots, flow.last_ticks * listing.tick_price)
    return total
