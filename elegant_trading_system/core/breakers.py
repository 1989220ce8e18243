"""Circuit breakers and compounding: when to trade less, and when not at all (SCIENCE 1.14)."""

from .jit import kernel, routine
from .kinds import Verdict
from .schema import ACKS, NS_PER_S, REJECTS

DAY_NS = 86_400 * NS_PER_S
APPROVED = Verdict.APPROVED.value
HALTED = Verdict.HALTED.value
DAY_LOSS = Verdict.DAY_LOSS.value
LOSING_STREAK = Verdict.LOSING_STREAK.value
ORDER_RATE = Verdict.ORDER_RATE.value
DRAWDOWN_HALT = Verdict.DRAWDOWN_HALT.value
VENUE_PAUSED = Verdict.VENUE_PAUSED.value
PAUSE_DOUBLINGS = 10
SLIPPAGE_DECAY = 0.95
MINUTE_S = 60


# --- the account ----------------------------------------------------------------------------------------------
@kernel
def compounded(equity, peak, first_capital, share):
    """Sizing capital: profits raise it by `share` of the high-water mark's gain, losses shrink it in full."""
    return min(equity, first_capital + share * (peak - first_capital))


@kernel
def drawdown(trader):
    return 1.0 - trader.equity / trader.equity_peak if trader.equity_peak > 0.0 else 0.0


@kernel
def apply_day(trader, params, ts_ns):
    """At 00:00 UTC: the day's first equity, and the capital that sizing starts from until tomorrow."""
    day = ts_ns // DAY_NS
    if day != trader.day and trader.equity_peak > 0.0:
        trader.day = day
        trader.day_equity = trader.equity
        first_capital = params.capital + trader.deposits
        trader.capital = compounded(trader.equity, trader.equity_peak, first_capital, params.compounding)


@kernel
def apply_account(trader, params):
    """Flatten and halt on a deep drawdown; halt on a runaway order rate. Only a hand re-arms."""
    if not trader.is_flattening and drawdown(trader) >= params.drawdown_halt:  # a halt for another reason holds open
        trader.is_halted = 1
        trader.is_flattening = 1
        trader.verdicts[DRAWDOWN_HALT] += 1
    elif trader.is_halted:
        return
    elif trader.orders_in_second > params.orders_per_s_max or trader.orders_in_minute > params.orders_per_min_max:
        trader.is_halted = 1
        trader.verdicts[ORDER_RATE] += 1


@kernel
def rearm(trader):
    """By hand. The peak and the count of orders start anew, or the halt would be back with the next pass."""
    if trader.is_flattening:
        trader.equity_peak = trader.equity
    trader.orders_in_second = 0
    trader.orders_in_minute = 0
    trader.is_halted = 0
    trader.is_flattening = 0


@kernel
def entry_verdict(trader, params, ts_ns):
    """APPROVED while the account may take new risk."""
    if trader.is_halted:
        return HALTED
    if trader.equity < trader.day_equity * (1.0 - params.day_loss_max):
        return DAY_LOSS
    if ts_ns < trader.ts_streak_ns:
        return LOSING_STREAK
    return APPROVED if has_order_room(trader, params, 1, ts_ns) else ORDER_RATE


@kernel
def has_order_room(trader, params, count, ts_ns):
    """Can `count` more orders be sent in this second and this minute without a halt?"""
    second = ts_ns // NS_PER_S
    in_second = trader.orders_in_second if trader.order_second == second else 0
    in_minute = trader.orders_in_minute if trader.order_second // MINUTE_S == second // MINUTE_S else 0
    return in_second + count <= params.orders_per_s_max and in_minute + count <= params.orders_per_min_max


@kernel
def size_share(trader, params):
    """Half the size while the drawdown is deep but not yet fatal."""
    return params.drawdown_size if drawdown(trader) >= params.drawdown_reduce else 1.0


@kernel
def count_order(trader, ts_ns):
    second = ts_ns // NS_PER_S
    if second // MINUTE_S != trader.order_second // MINUTE_S:
        trader.orders_in_minute = 0
    if second != trader.order_second:
        trader.orders_in_second = 0
    trader.order_second = second
    trader.orders_in_second += 1
    trader.orders_in_minute += 1


@kernel
def apply_stop(trader, params, is_stop, ts_ns):
    """A position was closed: stops in a row within streak_ns pause entries; any other exit breaks the row."""
    if not is_stop:
        trader.stop_count = 0
        return
    kept = trader.ts_stops_ns.shape[0]
    trader.ts_stops_ns[trader.stop_count % kept] = ts_ns
    trader.stop_count += 1
    if trader.stop_count >= params.streak_stops:
        first = trader.ts_stops_ns[(trader.stop_count - params.streak_stops) % kept]
        if ts_ns - first <= params.streak_ns:
            trader.ts_streak_ns = ts_ns + params.streak_pause_ns
            trader.stop_count = 0


# --- a venue ----------------------------------------------------------------------------------------------------
@kernel
def is_paused(trader, venue_id, ts_ns):
    return ts_ns < trader.venues[venue_id].ts_paused_ns


@kernel
def pause(trader, params, venue, ts_ns):
    """Twice as long as the last time, unless that was long ago."""
    is_repeated = venue.pause_ns > 0 and ts_ns - venue.ts_paused_ns < venue.pause_ns
    longest_ns = params.venue_pause_ns << PAUSE_DOUBLINGS
    venue.pause_ns = min(venue.pause_ns * 2, longest_ns) if is_repeated else params.venue_pause_ns
    venue.ts_paused_ns = ts_ns + venue.pause_ns
    venue.reject_count = 0
    venue.ack_count = 0
    venue.bad_fills = 0
    trader.verdicts[VENUE_PAUSED] += 1


@routine
def apply_reject(trader, params, venue_id, ts_ns):
    """More than rejects_max within rejects_ns."""
    venue = trader.venues[venue_id]
    venue.ts_rejects_ns[venue.reject_count % REJECTS] = ts_ns
    venue.reject_count += 1
    if venue.reject_count > params.rejects_max:
        first = venue.ts_rejects_ns[(venue.reject_count - 1 - params.rejects_max) % REJECTS]
        if ts_ns - first <= params.rejects_ns:
            pause(trader, params, venue, ts_ns)


@routine
def apply_ack(trader, params, venue_id, waited_ns, ts_ns):
    """The first answer to an order: of the last ACKS, the slowest but one in a hundred, that is the slowest."""
    venue = trader.venues[venue_id]
    venue.acks_ns[venue.ack_count % ACKS] = waited_ns
    venue.ack_count += 1
    if venue.ack_count >= ACKS:
        slowest = 0
        for k in range(ACKS):
            slowest = max(slowest, venue.acks_ns[k])
        if slowest > params.ack_slow_ns:
            pause(trader, params, venue, ts_ns)


@routine
def apply_slippage(trader, params, venue_id, paid_bps, model_bps, touch_bps, ts_ns):
    """A fill against the mid (`paid`), what the spread alone explains (`model`), and against the touch."""
    venue = trader.venues[venue_id]
    venue.slippage_bps = SLIPPAGE_DECAY * venue.slippage_bps + (1.0 - SLIPPAGE_DECAY) * touch_bps
    venue.bad_fills = venue.bad_fills + 1 if paid_bps > params.slippage_times * model_bps else 0
    if venue.bad_fills >= params.slippage_fills:
        pause(trader, params, venue, ts_ns)
