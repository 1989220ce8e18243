"""Every record that crosses a boundary: one line per field, unit in the name.

Capacities are constants and counts are data, so that changing instruments or venues compiles nothing.
All integers in state are int64; the narrow ones in PACKET are ids and counts only.
"""

from typing import Any

import numpy as np

from .kinds import VERDICTS

SCHEMA_VERSION = 1

# --- capacities -------------------------------------------------------------------------------------------
LISTINGS = 32
LISTING_MASK = LISTINGS - 1
GROUPS = 16
GROUP_LISTINGS = 8
VENUES = 8
ASSETS = 32
ORDERS = 64
OUTBOX = 32
IN_FLIGHT = 64
REPLIES = 256
CONSUMED = 128

LADDER = 16384  # dense price slots per side of a book; a power of two
WORD = 32  # slots per occupancy word
FAR = 8192  # far levels per side kept outside the ladder; a power of two

SECONDS = 2048  # 1 s buckets kept; fast + slow window must fit
VWAP_BUCKETS = 256
FLOW_SECONDS = 64  # 1 s buckets of order flow kept; a power of two
BARS = 6  # bar lengths kept side by side
ATR_DAYS = 32  # daily means of the ATR kept
CLOSES = 366  # daily closes of a volatility index kept
STRENGTH_BUCKETS = 4  # of the cost gate's memory
MARKS = 64  # fills whose mark-outs are pending
MARK_HORIZONS = 5
ACKS = 20  # acknowledgements a venue's latency is judged on
REJECTS = 8  # rejections remembered per venue

NS_PER_S = 1_000_000_000
NEVER_NS = 2**62
NO_X = -(2**62)  # "no level": worse than any price, see units.x_from_ticks


def record(fields: list[tuple[Any, ...]]) -> np.dtype[Any]:
    """Aligned dtype whose scalars allow `packet.kind`, compiled or not.

    Hidden padding is refused: its bytes are undefined, so digests would not repeat.
    Names such as `size` or `flags` are refused: uncompiled, NumPy answers to them first.
    """
    plain = np.dtype(fields, align=True)
    assert plain.names is not None
    shadowed = [name for name in plain.names if hasattr(np.record, name)]
    assert not shadowed, shadowed
    assert plain.itemsize == sum(plain[name].itemsize for name in plain.names), plain
    return np.dtype((np.record, plain))


# --- events -----------------------------------------------------------------------------------------------
PACKET = record(
    [
        ("seq", "i8"),  # position among all events this trader saw, gap-free from 0; 0 on tape
        ("ts_local_ns", "i8"),  # UTC ns when we received it: the system's time
        ("ts_venue_ns", "i8"),  # UTC ns when the venue says it happened, offset-corrected
        ("level_begin", "i8"),  # index of the first row in the level array
        ("order_id", "i8"),  # our order id; 0 for market data
        ("atoms", "i8"),  # amount of asset_id, signed: positive means we receive
        ("buy_count", "i4"),  # rows of the buy side, first: bids, buyer-initiated prints, our buys
        ("sell_count", "i4"),  # rows of the sell side, behind them
        ("listing_id", "i2"),
        ("kind", "i2"),  # Kind
        ("code", "i2"),  # BookState, RejectReason or OperatorCommand, by kind
        ("asset_id", "i2"),
    ]
)
assert PACKET.itemsize == 64

LEVEL = record([("price_ticks", "i8"), ("lots", "i8")])

COMMAND = record(
    [
        ("cause_seq", "i8"),  # seq of the last event before it: the journal row behind the decision
        ("ts_ns", "i8"),  # when decided: the event's or the boundary's own stamp
        ("order_id", "i8"),
        ("price_ticks", "i8"),  # worst price we accept
        ("lots", "i8"),
        ("listing_id", "i8"),
        ("side", "i8"),
        ("kind", "i8"),  # CommandKind
        ("is_reduce_only", "i8"),
        ("intent_id", "i8"),  # which position it belongs to: the entry's intent
        ("wave", "i8"),  # 0 first split, 1.. re-routes or exit attempts
        ("exit_reason", "i8"),  # ExitReason; NONE for entries
        ("mid_price", "f8"),  # middle of the listing's touch when decided: what slippage is measured from
        ("touch_price", "f8"),  # what a taker would have met first when decided
        ("risk_quote", "f8"),  # entries: what the part of the intent that was sent can lose: stop, costs, gap
        ("edge_bps", "f8"),  # entries: lower bound of the expected net move by the cost gate
        ("shadow_bps", "f8"),  # entries: expected all-in cost of the split sent, less the other router's
    ]
)

# --- what does not change during a run --------------------------------------------------------------------
LISTING = record(
    [
        ("group_id", "i8"),
        ("venue_id", "i8"),
        ("kind", "i8"),  # ListingKind
        ("base_id", "i8"),
        ("quote_id", "i8"),
        ("settle_id", "i8"),
        ("class_id", "i8"),  # (kind, quote) within the group: an intent never leaves its class
        ("reference_id", "i8"),  # the listing whose mid a DARK listing trades at; else itself
        ("base_atoms_per_lot", "i8"),
        ("quote_atoms_per_tick_lot", "i8"),
        ("lots_min", "i8"),
        ("notional_min_atoms", "i8"),
        ("taker_fee_ppm", "i8"),
        ("is_fee_in_base", "i8"),  # spot buys pay their fee in the coin bought
        ("can_short", "i8"),
        ("can_trade", "i8"),
        ("is_anchored", "i8"),  # VWAP from the session's open instead of a rolling window
        ("tick_price", "f8"),  # quote per tick
        ("lot_base", "f8"),  # base per lot
        ("lot_quote", "f8"),  # INVERSE: quote value of one lot; else 0
        ("quote_rate", "f8"),  # reporting currency per quote
    ]
)

GROUP = record(
    [
        ("listing_count", "i8"),
        ("listing_ids", "i8", (GROUP_LISTINGS,)),
        ("reference_id", "i8"),  # bars and ATR come from this listing's prints
        ("base_id", "i8"),
        ("asset_class", "i8"),  # correlation before there is data: 1 within a class
        ("volatility_id", "i8"),  # VOLATILITY listing that sizes and stresses this group; -1 = none
        ("is_traded", "i8"),
    ]
)

ASSET = record([("atom", "f8"), ("rate", "f8")])  # units per atom; reporting currency per unit (quotes only)

UNIVERSE = record(
    [
        ("listing_count", "i8"),
        ("group_count", "i8"),
        ("venue_count", "i8"),
        ("asset_count", "i8"),
        ("listings", LISTING, (LISTINGS,)),
        ("groups", GROUP, (GROUPS,)),
        ("assets", ASSET, (ASSETS,)),
    ]
)

# --- parameters: what the configuration becomes -----------------------------------------------------------
MARKET_PARAMS = record(
    [
        ("pass_ns", "i8"),  # portfolio pass interval; 0 = every packet
        ("pressure_halflife_ns", "f8"),
        ("pressure_band_bps", "f8"),
        ("pressure_levels", "i8"),
        ("pressure_log_ratio_max", "f8"),
        ("is_price_weighted", "i8"),  # 1: each level counts at its own price (the literal formula), 0: at the mid
        ("decay_bps_min", "f8"),  # H = max(decay_bps_min, decay_spreads * average spread)
        ("decay_spreads", "f8"),
        ("fast_s", "i8"),
        ("slow_s", "i8"),
        ("tightness_min", "f8"),
        ("tightness_max", "f8"),
        ("vwap_bucket_s", "i8"),
        ("vwap_buckets", "i8"),
        ("vwap_anchored_s", "i8"),  # least age of a session's VWAP
        ("pressure_kind", "i8"),  # Pressure
        ("flow_s", "i8"),  # order-flow window
        ("bar_count", "i8"),
        ("bar_s", "i8", (BARS,)),  # lengths, the first divides the others
        ("atr_bars", "i8"),
        ("bar_cost_share_max", "f8"),  # the shortest bar whose ATR costs at most this share is traded
        ("trend_enter", "f8"),  # ADX
        ("trend_leave", "f8"),
        ("range_enter", "f8"),
        ("range_leave", "f8"),
        ("volatile_enter", "f8"),  # ATR over its mean
        ("volatile_leave", "f8"),
        ("volatile_days", "i8"),
        ("volatile_days_min", "i8"),
        ("iv_days", "i8"),
        ("iv_days_min", "i8"),
        ("iv_stale_ns", "i8"),
        ("iv_multiple_min", "f8"),
        ("iv_multiple_max", "f8"),
        ("stress_enter", "f8"),  # VIX points
        ("stress_leave", "f8"),
        ("stress_calm", "i8"),  # observations below stress_leave in a row
        ("stress_stale_ns", "i8"),
        ("dvol_enter", "f8"),  # crypto: the larger of this
        ("dvol_quantile", "f8"),  # and of this quantile of the last year
        ("correlation_ns", "i8"),
        ("correlation_decay", "f8"),
        ("correlation_min", "i8"),  # observations before the measured value replaces the prior
        ("correlation_other", "f8"),  # prior across asset classes
        ("cluster_rho", "f8"),
        ("venue_stale_ns", "i8"),
        ("listing_stale_ns", "i8"),
    ]
)

REGIME = record(
    [
        ("size_share", "f8"),
        ("stop_atr", "f8"),
        ("target_atr_min", "f8"),
        ("target_atr_max", "f8"),
        ("hold_bars", "i8"),
    ]
)

PARAMS = record(
    [
        ("strength_min", "f8"),
        ("velocity_min", "f8"),
        ("imbalance_min", "f8"),
        ("vwap_gap_max", "f8"),
        ("is_vwap_one_sided", "i8"),  # 1: only chasing is forbidden, buying above it and selling below it
        ("persistence_s", "i8"),
        ("persistence_min", "i8"),  # 0 switches the filter off
        ("venues_min", "i8"),
        ("is_flow_asked", "i8"),
        ("flicker_max", "f8"),  # 0 = off
        ("cool_down_ns", "i8"),
        ("regimes", REGIME, (3,)),  # by Regime
        ("volatile_strength_min", "f8"),
        ("volatile_size", "f8"),
        ("volatile_warmup_size", "f8"),
        ("is_volatile_reducing", "i8"),
        ("stress_size", "f8"),
        ("iv_warmup_size", "f8"),
        ("base_risk", "f8"),  # share of capital
        ("target_strength_max", "f8"),  # strength at which the target reaches its maximum
        ("hold_max_ns", "i8"),
        ("positions_max", "i8"),
        ("cluster_max", "i8"),
        ("heat_max", "f8"),  # share of capital
        ("gap_atr", "f8"),  # ATR that an exit may slip beyond its stop
        ("liquidation_stops", "f8"),
        ("maintenance_margin", "f8"),  # share of a contract's value
        ("symbol_leverage_max", "f8"),
        ("gross_leverage_max", "f8"),
        ("net_leverage_max", "f8"),
        ("venue_leverage_max", "f8"),
        ("volume_share_max", "f8"),  # of the last hour
        ("depth_share_max", "f8"),  # of what is displayed inside the price cap
        ("compounding", "f8"),  # share of profits that raises the sizing capital
        ("is_gate_enforced", "i8"),
        ("gate_prior_trades", "f8"),
        ("day_loss_max", "f8"),  # share of the day's first equity
        ("drawdown_reduce", "f8"),
        ("drawdown_halt", "f8"),
        ("drawdown_size", "f8"),
        ("streak_stops", "i8"),
        ("streak_ns", "i8"),
        ("streak_pause_ns", "i8"),
        ("rejects_max", "i8"),
        ("rejects_ns", "i8"),
        ("ack_slow_ns", "i8"),
        ("slippage_times", "f8"),
        ("slippage_fills", "i8"),
        ("venue_pause_ns", "i8"),
        ("data_loss_ns", "i8"),
        ("orders_per_s_max", "i8"),
        ("orders_per_min_max", "i8"),
        ("flatten_before_ns", "i8"),  # of a session's close
        ("entry_before_ns", "i8"),
        ("router", "i8"),  # Router
        ("secondary_share_bps", "i8"),
        ("dark_share_bps", "i8"),
        ("primary_sticky_ns", "i8"),
        ("cap_atr", "f8"),
        ("cap_bps", "f8"),
        ("waves_max", "i8"),  # re-routes of an entry's remainder
        ("reroute_deadline_ns", "i8"),
        ("fill_share_min", "f8"),  # an entry filled less than this is kept only above the minimum notional
        ("is_spot_exit_blind", "i8"),
        ("is_linear_exit_blind", "i8"),
        ("ack_timeout_ns", "i8"),
        ("query_interval_ns", "i8"),
        ("sample_ns", "i8"),  # how often the history keeps an evaluation that crossed nothing
        ("equity_sample_ns", "i8"),
        ("capital", "f8"),  # reporting currency
    ]
)

SIM_PARAMS = record(
    [
        ("seed", "i8"),
        ("entry_ns", "i8"),  # order to venue
        ("response_ns", "i8"),  # reply to us
        ("jitter_ns", "i8"),  # extra latency each way: lognormal, median this, cut at 20 times it
        ("lookahead_ns", "i8"),  # largest feed latency on the tape: how far ahead the venue's book may be
        ("dark_fill_ppm", "i8"),
        ("lost_reply_ppm", "i8"),  # replies that never arrive unless queried
        ("reject_ppm", "i8"),
    ]
)

# --- market state -----------------------------------------------------------------------------------------
BOOK = record(
    [
        ("state", "i8"),  # BookState
        ("best_x", "i8", (2,)),  # x = ticks for bids, -ticks for asks: larger is better; NO_X when empty
        ("low_x", "i8", (2,)),  # first x of the ladder's window
        ("far_count", "i8", (2,)),
        ("truncated_x", "i8", (2,)),  # best level ever dropped: beyond it the book is unreliable; NO_X = never
        ("overflow_count", "i8"),
        ("crossed_count", "i8"),
        ("ts_packet_ns", "i8"),  # local time of the last packet of this listing
        ("ts_depth_ns", "i8"),
        ("session", "i8"),  # SessionState
        ("ts_fresh_ns", "i8"),  # last whole second at which it could be acted on
        ("ts_session_ns", "i8"),  # when it began
        ("ts_session_end_ns", "i8"),  # OPEN: when it will end
        ("last_mid_x2_ticks", "i8"),  # bid + ask when last LIVE at a whole second; what a blind exit is priced from
        ("liquidity", "f8"),  # depth near the touch over the cost of taking it, averaged over an hour
    ]
)

FLOW = record(
    [
        ("second_lots", "i8"),  # volume of the running second
        ("fast_lots", "i8"),  # last fast_s closed seconds
        ("slow_lots", "i8"),  # the slow_s seconds before them
        ("vwap_lots", "i8"),  # all closed buckets and the running one
        ("vwap_ticks_lots", "i8"),
        ("bucket_lots", "i8"),
        ("bucket_ticks_lots", "i8"),
        ("last_ticks", "i8"),
        ("trade_count", "i8"),
        ("history_s", "i8"),  # end of the last history bar; 0 = none
        ("warm_s", "i8"),  # second from which its volume counts beside listings that have a history
        ("lots_by_second", "i8", (SECONDS,)),
        ("vwap_lots_by_bucket", "i8", (VWAP_BUCKETS,)),
        ("vwap_ticks_lots_by_bucket", "i8", (VWAP_BUCKETS,)),
    ]
)

PRESSURE = record(
    [
        ("side_quote", "f8", (2,)),  # distance-decayed depth of one listing, by side
        ("edge_x", "i8", (2,)),  # the last level that counts
        ("reach_x", "i8", (2,)),  # no level below it counts, as long as the mid stays
        ("touched", "i8", (2,)),  # what became of the levels that count: RESIZED, RESHAPED or nothing
        ("resized_x", "i8"),
        ("resized_lots", "i8"),
        ("mid_ticks", "f8"),  # what the depth was last weighed at
        ("bid_x", "i8"),
        ("decay_bps", "f8"),
        ("halvings_per_tick", "f8"),  # of distance from that mid
        ("best_weight", "f8"),
        ("band_x", "i8", (2,)),  # the lowest x inside the band
        ("weight_by_ticks", "f8", (WORD,)),  # 0.5 ** (ticks * halvings_per_tick)
        ("band_lots", "f8", (2,)),  # displayed down to it, undecayed
        ("lots_ns", "f8", (2,)),  # integral of band_lots over the running second
        ("ts_band_ns", "i8", (2,)),
    ]
)

CHANGES = record(  # what became of one listing's book; buying: bids added, asks removed
    [
        ("touch_x", "i8", (2,)),
        ("touch_lots", "i8", (2,)),
        ("removed_lots", "i8", (2,)),  # running second, within the band, by side of the book
        ("traded_lots", "i8", (2,)),  # running second, by side of the book that was hit
        ("second_lots", "i8", (4,)),  # running second: bought and sold at the touch (OFI), bought and sold in the band
        ("window_lots", "i8", (4,)),  # last flow_s closed seconds
        ("flicker", "f8", (2,)),  # last closed second: cancelled over displayed lots
        ("lots_by_second", "i8", (FLOW_SECONDS, 4)),
    ]
)

BAR = record(  # bars of one length and what is known from them; prices in ticks of the reference listing
    [
        ("open_ticks", "i8"),
        ("high_ticks", "i8"),
        ("low_ticks", "i8"),
        ("close_ticks", "i8"),
        ("lots", "i8"),
        ("part_count", "i8"),  # shortest bars inside the running one
        ("slot", "i8"),  # running bar: stamp // length
        ("count", "i8"),  # closed bars
        ("previous_high_ticks", "i8"),
        ("previous_low_ticks", "i8"),
        ("previous_close_ticks", "i8"),
        ("true_range_sum", "f8"),
        ("atr_ticks", "f8"),  # Wilder; 0 until atr_bars true ranges are known
        ("range_smooth", "f8"),  # Wilder's sums for the directional indicators
        ("plus_smooth", "f8"),
        ("minus_smooth", "f8"),
        ("dx", "f8"),
        ("dx_sum", "f8"),
        ("adx", "f8"),  # negative: not known
        ("regime", "i8"),  # Regime
        ("regime_flips", "i8"),
        ("is_volatile", "i8"),
        ("volatile_episodes", "i8"),
        ("regime_bars", "i8", (3,)),  # closed bars by Regime, since the ADX is known
        ("volatile_bars", "i8"),
        ("judged_bars", "i8"),  # of which it is known whether they were VOLATILE
        ("atr_bps_sum", "f8"),  # over the bars of regime_bars
        ("day", "i8"),  # UTC day of the running sum
        ("day_count", "i8"),  # whole days summed before it
        ("atr_sum_by_day", "f8", (ATR_DAYS,)),
        ("bars_by_day", "i8", (ATR_DAYS,)),
    ]
)

SERIES = record(  # daily closes of a volatility, percent a year
    [
        ("value", "f8"),  # last
        ("ts_value_ns", "i8"),  # 0 = never
        ("day", "i8"),
        ("hour", "i8"),
        ("close_count", "i8"),
        ("value_mean", "f8"),  # of the last iv_days closes
        ("value_quantile", "f8"),  # dvol_quantile of the closes kept
        ("is_stressed", "i8"),
        ("calm_count", "i8"),
        ("closes", "f8", (CLOSES,)),
    ]
)

GROUP_STATE = record(
    [
        ("bars", BAR, (BARS,)),
        ("bar_index", "i8"),  # the bar that is traded
        ("is_uneconomic", "i8"),  # no bar can pay its costs
        ("round_trip_bps", "f8"),  # costs of a taker's round trip when the bar was chosen
        ("price", "f8"),  # last mid or close
        ("slot_price", "f8"),  # at the last correlation boundary; 0 = not known
        ("day_variance", "f8"),  # sum of squared returns since midnight
        ("day_returns", "i8"),
        ("realised", SERIES),
        ("sides", "f8", (2,)),  # B and A, when they last changed
        ("log_sides", "f8", (2,)),
        ("log_ratio", "f8"),  # ln(B/A) in force since ts_ratio_ns
        ("log_ratio_ewma", "f8"),
        ("ts_ratio_ns", "i8"),  # 0 = never
        ("spread_bps", "f8"),  # tightest LIVE listing's spread
        ("ts_spread_ns", "i8"),
        ("second_spread", "i8"),  # integral of spread over the running second: 1e-4 bps times us
        ("second_spread_us", "i8"),
        ("slow_spread", "i8"),
        ("slow_spread_us", "i8"),
        ("velocity", "f8"),  # as of the last whole second; negative = not known
        ("spread_average_bps", "f8"),  # negative = not known
        ("decay_bps", "f8"),
        ("is_vwap_known", "i8"),
        ("seconds_seen", "i8"),
        ("spread_by_second", "i8", (SECONDS,)),
        ("spread_us_by_second", "i8", (SECONDS,)),
    ]
)

VENUE_STATE = record([("ts_packet_ns", "i8"), ("packet_count", "i8")])

MARKET = record(
    [
        ("ts_ns", "i8"),
        ("next_boundary_ns", "i8"),  # 0 before the first packet
        ("refused_count", "i8"),  # rows with a negative size or outside the provable range
        ("books", BOOK, (LISTINGS,)),
        ("flows", FLOW, (LISTINGS,)),
        ("pressures", PRESSURE, (LISTINGS,)),
        ("changes", CHANGES, (LISTINGS,)),
        ("groups", GROUP_STATE, (GROUPS,)),
        ("venues", VENUE_STATE, (VENUES,)),
        ("volatilities", SERIES, (LISTINGS,)),
        ("correlation_slot", "i8"),
        ("covariances", "f8", (GROUPS, GROUPS)),
        ("variances", "f8", (GROUPS, GROUPS)),  # of the first, over the intervals it shares with the second
        ("pair_counts", "i8", (GROUPS, GROUPS)),
        ("clusters", "i8", (GROUPS,)),  # lowest group id of the cluster
    ]
)

BOOKS = record(
    [
        ("lots", "i8", (LISTINGS, 2, LADDER)),
        ("words", "i8", (LISTINGS, 2, LADDER // WORD)),  # bit set = slot occupied
        ("far", LEVEL, (LISTINGS, 2, FAR)),  # open addressing by x; lots 0 = empty slot; price_ticks holds x
    ]
)

# --- trader state -----------------------------------------------------------------------------------------
ORDER = record(
    [
        ("order_id", "i8"),
        ("state", "i8"),  # OrderState
        ("listing_id", "i8"),
        ("side", "i8"),
        ("price_ticks", "i8"),
        ("lots", "i8"),
        ("filled_lots", "i8"),
        ("ts_sent_ns", "i8"),
        ("ts_query_ns", "i8"),
        ("intent_id", "i8"),
        ("is_exit", "i8"),
        ("wave", "i8"),
        ("mid_price", "f8"),  # when decided
        ("touch_price", "f8"),
    ]
)

INVENTORY = record(
    [
        ("held_atoms", "i8"),  # base atoms bought through this listing and not yet sold; negative = short
        ("open_cost", "i8"),  # LINEAR: signed sum of ticks * lots of the open contracts
        ("keep_lots", "i8"),  # what the running exit leaves: 0, or half while VOLATILE
        ("working_buy_lots", "i8"),
        ("working_sell_lots", "i8"),
        ("sent_lots", "i8"),
        ("filled_lots", "i8"),
        ("expired_lots", "i8"),
    ]
)

POSITION = record(
    [
        ("state", "i8"),  # PositionState
        ("side", "i8"),
        ("class_id", "i8"),
        ("primary_id", "i8"),
        ("intent_id", "i8"),
        ("bar_index", "i8"),  # what follows is frozen at entry
        ("regime", "i8"),
        ("bucket", "i8"),  # of strength, for the cost gate
        ("volatile_episode", "i8"),  # the last one this position was reduced for
        ("target_atoms", "i8"),  # base atoms the intent wants
        ("entry_atoms", "i8"),  # base atoms bought or sold so far by the entry
        ("entry_quote", "f8"),  # their cost in quote
        ("exit_atoms", "i8"),
        ("exit_quote", "f8"),
        ("working_count", "i8"),
        ("wave", "i8"),
        ("ts_intent_ns", "i8"),
        ("ts_entry_ns", "i8"),
        ("atr_price", "f8"),  # frozen at entry
        ("strength", "f8"),
        ("target_atr", "f8"),
        ("stop_price", "f8"),
        ("target_price", "f8"),
        ("ts_exit_due_ns", "i8"),
        ("ts_attempt_ns", "i8"),  # when the last exit was sent
        ("exit_reason", "i8"),
        ("risk_quote", "f8"),  # how much can we lose: stop distance, costs and gap on what was sent
        ("price_cap", "f8"),  # price protection as a share of price
        ("edge_bps", "f8"),
        ("shadow_bps", "f8"),
    ]
)

GROUP_TRADER = record(  # what a trader remembers of a group
    [
        ("strong_buys", "i8"),  # one bit a second, the youngest lowest: the buy side was above the threshold
        ("strong_sells", "i8"),
        ("ts_cool_ns", "i8"),  # no entry before
        ("primary_ids", "i8", (2,)),
        ("ts_primary_ns", "i8", (2,)),
        ("move_count", "i8", (3, STRENGTH_BUCKETS)),  # gross moves of closed trades by Regime and strength
        ("move_mean_bps", "f8", (3, STRENGTH_BUCKETS)),
        ("move_m2", "f8", (3, STRENGTH_BUCKETS)),
        ("conviction", "f8"),  # of this pass; -inf: nothing to enter
    ]
)

VENUE_TRADER = record(  # how a venue treats a trader
    [
        ("ts_paused_ns", "i8"),  # no entry before
        ("pause_ns", "i8"),  # the last pause; doubles
        ("reject_count", "i8"),
        ("ack_count", "i8"),
        ("bad_fills", "i8"),  # in a row, slippage beyond the model
        ("slippage_bps", "f8"),  # average of fills against the touch
        ("ts_rejects_ns", "i8", (REJECTS,)),
        ("acks_ns", "i8", (ACKS,)),
    ]
)

PENDING_MARK = record(
    [("order_id", "i8"), ("listing_id", "i8"), ("side", "i8"), ("ts_ns", "i8"), ("next_horizon", "i8"), ("price", "f8")]
)

OUTBOX_RECORD = record([("count", "i8"), ("commands", COMMAND, (OUTBOX,))])

TRADER = record(
    [
        ("seq", "i8"),  # events seen
        ("ts_ns", "i8"),
        ("next_order_id", "i8"),
        ("next_intent_id", "i8"),
        ("is_halted", "i8"),  # until re-armed by hand
        ("is_flattening", "i8"),
        ("is_paused", "i8"),  # nothing is decided: from STOP or RESTART to RECONCILED
        ("ts_streak_ns", "i8"),  # pause of entries after stops in a row
        ("stop_count", "i8"),
        ("ts_stops_ns", "i8", (8,)),
        ("second", "i8"),  # of the last portfolio pass
        ("day", "i8"),
        ("day_equity", "f8"),  # at the day's start, net of transfers since
        ("capital", "f8"),  # what sizing starts from
        ("deposits", "f8"),  # less withdrawals, since the first mark: no profit, so compounded in full
        ("order_second", "i8"),
        ("orders_in_second", "i8"),
        ("orders_in_minute", "i8"),
        ("mark_count", "i8"),
        ("unknown_count", "i8"),  # orders ever UNKNOWN
        ("refused_reports", "i8"),  # replies that matched no order or would have overfilled one
        ("open_count", "i8"),  # groups not FLAT
        ("order_count", "i8"),  # orders not FREE
        ("ts_equity_sample_ns", "i8"),
        ("ts_sample_ns", "i8"),
        ("equity", "f8"),
        ("equity_peak", "f8"),
        ("drawdown_max", "f8"),  # share of the peak
        ("unrealised", "f8"),
        ("round_trips", "i8"),
        ("digest", "i8", (2,)),  # rolling digest of every command and verdict
        ("balances", "i8", (VENUES, ASSETS)),
        ("fill_atoms", "i8", (VENUES, ASSETS)),  # balance = fills + fees + funding + transfers, exactly
        ("fee_atoms", "i8", (VENUES, ASSETS)),
        ("funding_atoms", "i8", (VENUES, ASSETS)),
        ("transfer_atoms", "i8", (VENUES, ASSETS)),
        ("dust_atoms", "i8", (VENUES, ASSETS)),
        ("verdicts", "i8", (VERDICTS,)),
        ("inventory", INVENTORY, (LISTINGS,)),
        ("positions", POSITION, (GROUPS,)),
        ("groups", GROUP_TRADER, (GROUPS,)),
        ("venues", VENUE_TRADER, (VENUES,)),
        ("marks", PENDING_MARK, (MARKS,)),
        ("orders", ORDER, (ORDERS,)),
        ("outbox", OUTBOX_RECORD),
    ]
)

# --- simulated venue --------------------------------------------------------------------------------------
FLIGHT = record([("is_used", "i8"), ("ts_arrival_ns", "i8"), ("mid_x2_ticks", "i8"), ("command", COMMAND)])
REPLY = record([("is_used", "i8"), ("order_no", "i8"), ("packet", PACKET), ("row", LEVEL)])
CONSUMED_LEVEL = record([("listing_id", "i8"), ("side", "i8"), ("x", "i8"), ("lots", "i8"), ("ts_taken_ns", "i8")])

VENUE_SIM = record(
    [
        ("next_ns", "i8"),  # earliest arrival or reply; NEVER_NS when idle
        ("reply_no", "i8"),
        ("lost_count", "i8"),
        ("in_flight", FLIGHT, (IN_FLIGHT,)),
        ("replies", REPLY, (REPLIES,)),
        ("consumed_count", "i8"),
        ("consumed", CONSUMED_LEVEL, (CONSUMED,)),
    ]
)

# --- logs -------------------------------------------------------------------------------------------------
EVALUATION = record(
    [
        ("ts_ns", "i8"),
        ("group_id", "i4"),
        ("side", "i4"),
        ("verdict", "i4"),
        ("is_sample", "i4"),
        ("regime", "i4"),
        ("state", "i4"),  # 1 VOLATILE, 2 stress, 4 volatility index known, 8 uneconomic
        ("log_ratio", "f8"),
        ("velocity", "f8"),
        ("tightness", "f8"),
        ("vwap_gap", "f8"),
        ("strength", "f8"),
        ("mid_price", "f8"),
        ("atr_price", "f8"),
        ("bar_s", "f8"),
        ("adx", "f8"),
        ("flow", "f8"),
    ]
)

MARK = record(
    [
        ("ts_ns", "i8"),
        ("order_id", "i8"),
        ("horizon_ms", "i8"),
        ("mid_price", "f8"),
        ("move_bps", "f8"),  # our way since the fill
    ]
)

EQUITY = record(
    [
        ("ts_ns", "i8"),
        ("equity", "f8"),
        ("unrealised", "f8"),
        ("fees", "f8"),
        ("gross_exposure", "f8"),
        ("net_exposure", "f8"),
        ("open_count", "i8"),
    ]
)
