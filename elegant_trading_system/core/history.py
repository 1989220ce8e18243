"""What a run remembers beside its state: evaluations, equity and mark-outs, in arrays the caller owns and empties."""

from typing import Any, NamedTuple

from .jit import kernel, routine
from .portfolio_monitor import asset_price, exposure
from .quotes import mid_price
from .schema import MARK_HORIZONS

EVALUATIONS, EQUITIES, MARK_OUTS = 0, 1, 4  # index into History.counts
MARK_NS = (100_000_000, 1_000_000_000, 10_000_000_000, 60_000_000_000, 300_000_000_000)


class History(NamedTuple):
    """Append-only logs. An array of length 0 switches a log off; a full one is an error the caller prevents."""

    evaluations: Any  # EVALUATION[n]
    equity: Any  # EQUITY[m]
    marks: Any  # MARK[m]
    counts: Any  # int64[5]


@kernel
def append_evaluation(history, group, group_id, view, signal, verdict, is_sample, bar_s, flow, ts_ns):
    n = history.counts[EVALUATIONS]
    if len(history.evaluations) == 0:
        return
    row = history.evaluations[n]
    row.ts_ns = ts_ns
    row.group_id = group_id
    row.side = signal.side
    row.verdict = verdict
    row.is_sample = 1 if is_sample else 0
    row.log_ratio = view.log_ratio
    row.velocity = view.velocity
    row.tightness = view.tightness
    row.vwap_gap = view.vwap_gap
    row.strength = signal.strength
    row.mid_price = view.mid_price
    row.atr_price = view.atr_price
    row.regime = view.regime
    row.state = view.is_volatile + 2 * view.is_stressed + (4 if view.iv_source > 0 else 0) + 8 * group.is_uneconomic
    bar = group.bars[max(view.bar_index, 0)]
    row.bar_s = bar_s
    row.adx = bar.adx
    row.flow = flow
    history.counts[EVALUATIONS] = n + 1


@kernel
def append_equity(universe, market, trader, params, history, ts_ns):
    if ts_ns - trader.ts_equity_sample_ns < params.equity_sample_ns:
        return
    trader.ts_equity_sample_ns = ts_ns
    n = history.counts[EQUITIES]
    if len(history.equity) == 0:
        return
    row = history.equity[n]
    row.ts_ns = ts_ns
    row.equity = trader.equity
    row.unrealised = trader.unrealised
    row.gross_exposure = 0.0
    row.net_exposure = 0.0
    for listing_id in range(universe.listing_count):
        notional = exposure(universe, market, trader, listing_id)
        row.gross_exposure += abs(notional)
        row.net_exposure += notional
    row.fees = fees_paid(universe, market, trader)
    row.open_count = trader.open_count
    history.counts[EQUITIES] = n + 1


@kernel
def fees_paid(universe, market, trader):
    """All fees so far at current prices, reporting currency, as a cost (positive)."""
    total = 0.0
    for venue_id in range(universe.venue_count):
        for asset_id in range(universe.asset_count):
            if trader.fee_atoms[venue_id, asset_id] != 0:
                price = asset_price(universe, market, asset_id)
                total -= trader.fee_atoms[venue_id, asset_id] * universe.assets[asset_id].atom * price
    return total


# --- mark-outs ------------------------------------------------------------------------------------------------
@kernel
def remember_fill(trader, listing_id, order_id, side, price, ts_ns):
    """A fill waits for its mark-outs; the oldest makes room."""
    if trader.mark_count == len(trader.marks):
        drop_mark(trader, 0)
    mark = trader.marks[trader.mark_count]
    mark.order_id = order_id
    mark.listing_id = listing_id
    mark.side = side
    mark.ts_ns = ts_ns
    mark.next_horizon = 0
    mark.price = price
    trader.mark_count += 1


@kernel
def drop_mark(trader, k):
    for j in range(k, trader.mark_count - 1):
        trader.marks[j] = trader.marks[j + 1]
    trader.mark_count -= 1


@routine
def append_marks(universe, market, trader, history, ts_ns):
    """Where the mid stands 0.1, 1, 10, 60 and 300 s after each fill, at the first pass after each (SCIENCE 5.4)."""
    k = 0
    while k < trader.mark_count:
        mark = trader.marks[k]
        is_due = ts_ns - mark.ts_ns >= MARK_NS[mark.next_horizon]
        if is_due:
            append_mark(universe, market, mark, history, ts_ns)
            mark.next_horizon += 1
        if mark.next_horizon == MARK_HORIZONS:
            drop_mark(trader, k)
        elif not is_due:
            k += 1


@kernel
def append_mark(universe, market, mark, history, ts_ns):
    n = history.counts[MARK_OUTS]
    mid = mid_price(universe, market, universe.listings[mark.listing_id].reference_id)
    if n >= len(history.marks) or mid <= 0.0:
        return
    row = history.marks[n]
    row.ts_ns = ts_ns
    row.order_id = mark.order_id
    row.horizon_ms = MARK_NS[mark.next_horizon] // 1_000_000
    row.mid_price = mid
    row.move_bps = mark.side * (mid / mark.price - 1.0) * 1e4
    history.counts[MARK_OUTS] = n + 1
