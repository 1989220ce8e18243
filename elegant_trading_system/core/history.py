"""What a run remembers beside its state: evaluations and equity, in arrays the caller owns and empties."""

from typing import Any, NamedTuple

from .jit import kernel
from .portfolio_monitor import asset_price, exposure

EVALUATIONS, EQUITIES = 0, 1  # index into History.counts


class History(NamedTuple):
    """Append-only logs. An array of length 0 switches a log off; a full one is an error the caller prevents."""

    evaluations: Any  # EVALUATION[n]
    equity: Any  # EQUITY[m]
    counts: Any  # int64[2]


@kernel
def append_evaluation(history, group_id, view, signal, verdict, is_sample, ts_ns):
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
