"""Risk manager: how much can we lose, hence how much may we trade, or why not.

The order of checks is fixed (SCIENCE 1.13); each refusal is a named verdict. What a regime changes is one table in
the configuration (`regimes`).
"""

import math
from typing import NamedTuple

from . import breakers, correlation, cost_gate, portfolio_monitor
from .bars import bar_ns
from .jit import kernel, routine
from .kinds import ListingKind, OrderState, PositionState, Regime, Verdict
from .quotes import is_market_open, mid_price
from .units import BPS
from .volatility import NO_SOURCE
from .windows import hour_base

LINEAR = ListingKind.LINEAR.value
FLAT = PositionState.FLAT.value
UNKNOWN = OrderState.UNKNOWN.value
TREND = Regime.TREND.value
APPROVED = Verdict.APPROVED.value
POSITION_OPEN = Verdict.POSITION_OPEN.value
ORDER_WORKING = Verdict.ORDER_WORKING.value
UNKNOWN_ORDER = Verdict.UNKNOWN_ORDER.value
COOL_DOWN = Verdict.COOL_DOWN.value
DATA_LOSS = Verdict.DATA_LOSS.value
SESSION_CLOSED = Verdict.SESSION_CLOSED.value
SESSION_ENDING = Verdict.SESSION_ENDING.value
MAX_POSITIONS = Verdict.MAX_POSITIONS.value
CLUSTER_LIMIT = Verdict.CLUSTER_LIMIT.value
HEAT_LIMIT = Verdict.HEAT_LIMIT.value
LEVERAGE_LIMIT = Verdict.LEVERAGE_LIMIT.value
LIQUIDATION_NEAR = Verdict.LIQUIDATION_NEAR.value
VOLUME_LIMIT = Verdict.VOLUME_LIMIT.value
SIZE_ZERO = Verdict.SIZE_ZERO.value
EQUITY_SPENT = Verdict.EQUITY_SPENT.value


class Intent(NamedTuple):
    """An approved or refused trade in one group, before it is split over venues."""

    verdict: int
    side: int
    base: float  # quantity in base units
    risk_quote: float  # loss if the stop is hit, costs and what it may slip included
    cap: float  # price protection as a share of price


# --- before the signal is looked at ----------------------------------------------------------------------------
@kernel
def gate(universe, market, trader, params, group_id, ts_ns):
    """Reasons not to look at this group's signal at all; APPROVED when there is none."""
    position = trader.positions[group_id]
    if position.state != FLAT:
        if position.working_count == 0:
            return POSITION_OPEN
        return UNKNOWN_ORDER if has_unknown_order(trader, position.intent_id) else ORDER_WORKING
    verdict = breakers.entry_verdict(trader, params, ts_ns)
    if verdict != APPROVED:
        return verdict
    book = market.books[universe.groups[group_id].reference_id]
    if not is_market_open(book):
        return SESSION_CLOSED
    if book.ts_session_end_ns > 0 and ts_ns >= book.ts_session_end_ns - params.entry_before_ns:
        return SESSION_ENDING
    if book.ts_fresh_ns > 0 and ts_ns - book.ts_fresh_ns > params.data_loss_ns:
        return DATA_LOSS
    return COOL_DOWN if ts_ns < trader.groups[group_id].ts_cool_ns else APPROVED


@kernel
def has_unknown_order(trader, intent_id):
    for k in range(trader.orders.shape[0]):
        order = trader.orders[k]
        if order.state == UNKNOWN and order.intent_id == intent_id:
            return True
    return False


@kernel
def is_crowded(universe, market, trader, params, group_id):
    """Too many positions that move together, or too many in all; APPROVED when neither."""
    if correlation.cluster_positions(universe, market, trader, group_id) >= params.cluster_max:
        return CLUSTER_LIMIT
    return MAX_POSITIONS if trader.open_count >= params.positions_max else APPROVED


# --- how much ----------------------------------------------------------------------------------------------------
@kernel
def round_trip_cost(listing, price, half_spread):
    """Taker fees both ways and the spread, in quote per base unit."""
    return 2.0 * price * listing.taker_fee_ppm * 1e-6 + 2.0 * half_spread


@kernel
def size_multiplier(view, params):
    """Regime, VOLATILE, stress and what is not known yet: they multiply (SCIENCE 1.9)."""
    share = params.regimes[view.regime].size_share
    share *= params.volatile_size if view.is_volatile else 1.0
    share *= 1.0 if view.is_volatile_known else params.volatile_warmup_size
    share *= params.stress_size if view.is_stressed else 1.0
    share *= params.iv_warmup_size if view.iv_source == NO_SOURCE else 1.0
    return share


@kernel
def base_from_risk(view, params, money, rate, cost):
    """Quantity from risk (SCIENCE 1.7): base risk / (ATR * volatility multiplier), times the regime's share.

    Returns (base units, loss per base unit). Invariant: quantity * (stop distance + round-trip cost) never exceeds
    the base risk.
    """
    risk = params.base_risk * money
    base = risk / (view.atr_price * rate * view.iv_multiple) * size_multiplier(view, params)
    loss_per_base = (params.regimes[view.regime].stop_atr * view.atr_price + cost) * rate
    return min(base, risk / loss_per_base), loss_per_base


@kernel
def price_cap(view, params):
    return min(params.cap_atr * view.atr_price / view.mid_price, params.cap_bps * BPS)


@routine
def size(universe, market, trader, market_params, params, view, signal, group_id, listing, half_spread):
    """The intent after every cap that does not depend on the venue; what binds to nothing names itself."""
    money = min(trader.capital, trader.equity)
    cap = price_cap(view, params)
    rate, side = listing.quote_rate, signal.side
    if money <= 0.0:
        return Intent(EQUITY_SPENT, side, 0.0, 0.0, cap)
    cost = round_trip_cost(listing, view.mid_price, half_spread)
    if listing.kind == LINEAR and is_liquidation_near(view, params):
        return Intent(LIQUIDATION_NEAR, side, 0.0, 0.0, cap)
    base, loss_per_base = base_from_risk(view, params, money, rate, cost)
    base *= breakers.size_share(trader, params)
    gap = params.gap_atr * view.atr_price * rate
    heat = correlation.heat(universe, market, trader, market_params, group_id, base * (loss_per_base + gap))
    if heat > params.heat_max * money:
        return Intent(HEAT_LIMIT, side, 0.0, 0.0, cap)
    price = max(view.mid_price, mid_price(universe, market, listing.reference_id))  # the asset's, or where it is bought
    room = leverage_room(universe, market, trader, params, money, side) / (price * rate)
    lot = listing.lot_base
    if room <= 0.0 or room < lot <= base:  # what leaves less than a lot of what would have been more names itself
        return Intent(LEVERAGE_LIMIT, side, 0.0, 0.0, cap)
    base = min(base, room)
    volume = params.volume_share_max * hour_base(universe, market, market_params, group_id)
    if volume <= 0.0 or volume < lot <= base:
        return Intent(VOLUME_LIMIT, side, 0.0, 0.0, cap)
    base = min(base, volume)
    return Intent(APPROVED if base > 0.0 else SIZE_ZERO, side, base, base * (loss_per_base + gap), cap)


@kernel
def is_liquidation_near(view, params):
    """Would a perpetual be liquidated fewer than liquidation_stops stop distances away?

    A venue's balance pays for its contracts in full (`affordable_lots`), so a short at p is liquidated where the loss
    and the maintenance margin m use up p: at 2p / (1 + m), a share (1 - m) / (1 + m) away; a long is farther.
    """
    margin = params.maintenance_margin
    stop_share = params.regimes[view.regime].stop_atr * view.atr_price / view.mid_price
    return params.liquidation_stops * stop_share > (1.0 - margin) / (1.0 + margin)


@kernel
def leverage_room(universe, market, trader, params, money, side):
    """Notional that symbol, gross and net leverage leave, reporting currency."""
    gross, net = 0.0, 0.0
    for listing_id in range(universe.listing_count):
        notional = portfolio_monitor.committed(universe, market, trader, listing_id)
        gross += abs(notional)
        net += notional
    room = min(params.symbol_leverage_max, params.gross_leverage_max - gross / money)
    return min(room, params.net_leverage_max - side * net / money) * money


@kernel
def cost_bps(view, listing, half_spread, base, hour_volume, bar_seconds):
    """What a round trip of this size costs: fees, spread and our own impact."""
    fixed = round_trip_cost(listing, view.mid_price, half_spread) / view.mid_price * 1e4
    atr_bps = view.atr_price / view.mid_price * 1e4
    return fixed + cost_gate.impact_bps(base, hour_volume, atr_bps, bar_seconds)


# --- the bracket ---------------------------------------------------------------------------------------------------
@kernel
def target_atr(strength, threshold, regime, params):
    """How far the target lies, in ATR: from target_atr_min at the threshold to its maximum (SCIENCE 1.8)."""
    row = params.regimes[regime]
    high = params.target_strength_max
    share = math.log(strength / threshold) / math.log(high / threshold) if strength > threshold else 0.0
    return row.target_atr_min + (row.target_atr_max - row.target_atr_min) * min(max(share, 0.0), 1.0)


@kernel
def apply_bracket(position, entry_price, market_params, params, ts_ns):
    """Stop, target and time limit by the regime at the intent, frozen (SCIENCE 1.8)."""
    row = params.regimes[position.regime]
    position.stop_price = entry_price - position.side * row.stop_atr * position.atr_price
    position.target_price = entry_price + position.side * position.target_atr * position.atr_price
    position.ts_entry_ns = ts_ns
    hold_ns = row.hold_bars * bar_ns(market_params, position.bar_index)
    position.ts_exit_due_ns = ts_ns + min(hold_ns, params.hold_max_ns)
