"""Risk manager: how much can we lose, hence how much may we trade, or why not.

The order of checks is fixed (SCIENCE 1.13); each refusal is a named verdict.
"""

import math
from typing import NamedTuple

from .jit import kernel
from .kinds import OrderState, PositionState, Verdict
from .units import BPS

FLAT = PositionState.FLAT.value
UNKNOWN = OrderState.UNKNOWN.value
APPROVED = Verdict.APPROVED.value
HALTED = Verdict.HALTED.value
POSITION_OPEN = Verdict.POSITION_OPEN.value
ORDER_WORKING = Verdict.ORDER_WORKING.value
UNKNOWN_ORDER = Verdict.UNKNOWN_ORDER.value
MAX_POSITIONS = Verdict.MAX_POSITIONS.value
SIZE_ZERO = Verdict.SIZE_ZERO.value
EQUITY_SPENT = Verdict.EQUITY_SPENT.value


class Intent(NamedTuple):
    """An approved or refused trade in one group, before it is split over venues."""

    verdict: int
    side: int
    base: float  # quantity in base units
    risk_quote: float  # loss if the stop is hit, costs included
    cap: float  # price protection as a share of price


@kernel
def gate(trader, group_id):
    """Reasons not to look at this group's signal at all; APPROVED when there is none."""
    if trader.is_halted:
        return HALTED
    position = trader.positions[group_id]
    if position.state == FLAT:
        return APPROVED
    if position.working_count == 0:
        return POSITION_OPEN
    return UNKNOWN_ORDER if has_unknown_order(trader, position.intent_id) else ORDER_WORKING


@kernel
def has_unknown_order(trader, intent_id):
    for k in range(trader.orders.shape[0]):
        order = trader.orders[k]
        if order.state == UNKNOWN and order.intent_id == intent_id:
            return True
    return False


@kernel
def capital(trader, params):
    """Sizing capital: losses shrink it at once, profits do not raise it yet."""
    return min(trader.equity, params.capital)


@kernel
def round_trip_cost(listing, price, half_spread):
    """Taker fees both ways and the spread, in quote per base unit."""
    return 2.0 * price * listing.taker_fee_ppm * 1e-6 + 2.0 * half_spread


@kernel
def size(view, signal, trader, listing, half_spread, params):
    """Quantity from risk (SCIENCE 1.7): base risk / (ATR * volatility multiplier), then the caps.

    Invariant: quantity * (stop distance + round-trip cost) never exceeds the base risk.
    """
    money = capital(trader, params)
    rate = listing.quote_rate
    if money <= 0.0:
        return Intent(EQUITY_SPENT, signal.side, 0.0, 0.0, 0.0)
    risk = params.base_risk * money
    base = risk / (view.atr_price * rate * params.volatility_multiplier) * params.warmup_size
    loss_per_base = (params.stop_atr * view.atr_price + round_trip_cost(listing, view.mid_price, half_spread)) * rate
    base = min(base, risk / loss_per_base)
    base = min(base, params.symbol_leverage_max * money / (view.mid_price * rate))
    cap = min(params.cap_atr * view.atr_price / view.mid_price, params.cap_bps * BPS)
    verdict = APPROVED if base > 0.0 else SIZE_ZERO
    return Intent(verdict, signal.side, base, base * loss_per_base, cap)


@kernel
def target_atr(strength, params):
    """How far the target lies, in ATR: from target_atr_min at the threshold to its maximum (SCIENCE 1.8)."""
    low, high = params.strength_min, params.target_strength_max
    share = math.log(strength / low) / math.log(high / low) if strength > low else 0.0
    share = min(max(share, 0.0), 1.0)
    return params.target_atr_min + (params.target_atr_max - params.target_atr_min) * share


@kernel
def apply_bracket(position, entry_price, params, bar_ns, ts_ns):
    """Stop, target and time limit, frozen at entry (SCIENCE 1.8)."""
    position.stop_price = entry_price - position.side * params.stop_atr * position.atr_price
    distance = target_atr(position.strength, params) * position.atr_price
    position.target_price = entry_price + position.side * distance
    position.ts_entry_ns = ts_ns
    position.ts_exit_due_ns = ts_ns + params.hold_bars_max * bar_ns


@kernel
def is_crowded(trader, params):
    return trader.open_count >= params.positions_max
