"""The peers' simple rule as a decider of our engine, for side-by-side measurements only.

Evaluated at every market packet: the imbalance of the top five levels, the volume of the last minute against the last
twenty, the spread against its minute's mean, the distance from the twenty-minute VWAP. One IOC in, one IOC out at a
stop or a target. Everything it knows about the market lives in `memory`; orders, reservations, fills, positions
and profit are the engine's.
"""
# ruff: noqa: ARG001 - deciders share one signature

import numpy as np

from elegant_trading_system.core import execution_engine, portfolio_monitor
from elegant_trading_system.core.history import append_equity
from elegant_trading_system.core.jit import kernel, routine
from elegant_trading_system.core.kinds import Kind, PositionState, Verdict
from elegant_trading_system.core.schema import LADDER, LISTING_MASK, NS_PER_S
from elegant_trading_system.core.units import ASK, BID

# --- the rule's numbers ---------------------------------------------------------------------------------------
IMBALANCE_MIN = 0.55
VELOCITY_MIN = 1.10
SPREAD_MAX = 1.25  # times its mean over the fast window
VWAP_BPS_MAX = 60.0
STOP_TICKS = 15
TARGET_TICKS = 25
SLIP_TICKS = 20
ORDER_LOTS = 50
LEVELS = 5
FAST_S, SLOW_S, WARMUP_S = 60, 1200, 300

# --- memory: sums of closed seconds, the running second, and a ring of seconds ----------------------------------
RING = 2048  # a power of two above SLOW_S
SECOND, NEXT_NS, FIRST_SECOND = 0, 1, 2
LOTS, TICKS_LOTS, SPREAD, COUNT = 3, 4, 5, 6
FAST_LOTS, SLOW_LOTS, SLOW_TICKS_LOTS, FAST_SPREAD, FAST_COUNT = 7, 8, 9, 10, 11
DEPTH_OF = 12  # two sums of the top five, by side
RINGS = 16
COLUMNS = 4
MEMORY = RINGS + COLUMNS * RING

SLOT_MASK = LADDER - 1
NEAR = 8  # slots looked at without a branch before falling back to occupancy words
FAR_SLOTS = 200
NO_QUOTE = (0.0, 0.0)  # the rule keeps no mid to measure slippage from

DEPTH, SNAPSHOT, TRADE = Kind.DEPTH.value, Kind.SNAPSHOT.value, Kind.TRADE.value
FLAT, ENTERING, OPEN, EXITING = (
    PositionState.FLAT.value,
    PositionState.ENTERING.value,
    PositionState.OPEN.value,
    PositionState.EXITING.value,
)
APPROVED = Verdict.APPROVED.value
ORDER_WORKING = Verdict.ORDER_WORKING.value
POSITION_OPEN = Verdict.POSITION_OPEN.value
WARMUP_VELOCITY = Verdict.WARMUP_VELOCITY.value
IMBALANCE_LOW = Verdict.IMBALANCE_LOW.value
VELOCITY_LOW = Verdict.VELOCITY_LOW.value
STRENGTH_LOW = Verdict.STRENGTH_LOW.value
VWAP_FAR = Verdict.VWAP_FAR.value
EXIT_STOP, EXIT_TARGET = Verdict.EXIT_STOP.value, Verdict.EXIT_TARGET.value


# --- the rule: the same code runs inside the engines it is compared with ------------------------------------------
@kernel
def begin_packet(memory, ts_ns):
    if ts_ns >= memory[NEXT_NS]:
        roll(memory, ts_ns)


@kernel
def apply_print(memory, ticks, lots):
    memory[LOTS] += lots
    memory[TICKS_LOTS] += lots * ticks


@kernel
def apply_spread(memory, spread_ticks):
    memory[SPREAD] += spread_ticks
    memory[COUNT] += 1


@routine
def roll(memory, ts_ns):
    """Close every second before the one that ts_ns lies in."""
    second = ts_ns // NS_PER_S
    if memory[NEXT_NS] == 0:
        memory[SECOND] = memory[FIRST_SECOND] = second
    while memory[SECOND] < second:
        now = memory[SECOND]
        leaving_fast = RINGS + COLUMNS * ((now - FAST_S) % RING)
        leaving_slow = RINGS + COLUMNS * ((now - SLOW_S) % RING)
        entering = RINGS + COLUMNS * (now % RING)
        memory[FAST_LOTS] += memory[LOTS] - memory[leaving_fast]
        memory[SLOW_LOTS] += memory[LOTS] - memory[leaving_slow]
        memory[SLOW_TICKS_LOTS] += memory[TICKS_LOTS] - memory[leaving_slow + 1]
        memory[FAST_SPREAD] += memory[SPREAD] - memory[leaving_fast + 2]
        memory[FAST_COUNT] += memory[COUNT] - memory[leaving_fast + 3]
        for k in range(COLUMNS):
            memory[entering + k] = memory[LOTS + k]
            memory[LOTS + k] = 0
        memory[SECOND] = now + 1
    memory[NEXT_NS] = (second + 1) * NS_PER_S


@kernel
def entry_side(memory, bid, ask, bid_ticks, ask_ticks):
    """Side to enter and why, or why not; bid and ask are what rests on the top five levels, in any unit."""
    if abs(bid - ask) <= IMBALANCE_MIN * (bid + ask):
        return 0, IMBALANCE_LOW
    slow_lots = memory[SLOW_LOTS] + memory[LOTS]
    if memory[SECOND] - memory[FIRST_SECOND] < WARMUP_S or slow_lots == 0:
        return 0, WARMUP_VELOCITY
    if (memory[FAST_LOTS] + memory[LOTS]) * 20.0 / slow_lots <= VELOCITY_MIN:
        return 0, VELOCITY_LOW
    mean_count, mean_sum = memory[FAST_COUNT] + memory[COUNT], memory[FAST_SPREAD] + memory[SPREAD]
    if (ask_ticks - bid_ticks) * mean_count > SPREAD_MAX * mean_sum:
        return 0, STRENGTH_LOW
    vwap_ticks = (memory[SLOW_TICKS_LOTS] + memory[TICKS_LOTS]) / slow_lots
    vwap_bps = (0.5 * (ask_ticks + bid_ticks) - vwap_ticks) / vwap_ticks * 1e4
    side = 1 if bid > ask else -1
    if side * vwap_bps <= 0.0 or side * vwap_bps >= VWAP_BPS_MAX:
        return 0, VWAP_FAR
    return side, APPROVED


@kernel
def exit_side(side, stop_ticks, target_ticks, bid_ticks, ask_ticks):
    """What counts is the touch we would trade against."""
    touch_ticks = bid_ticks if side > 0 else ask_ticks
    if side * (touch_ticks - stop_ticks) <= 0:
        return -side, EXIT_STOP
    if side * (touch_ticks - target_ticks) >= 0:
        return -side, EXIT_TARGET
    return 0, POSITION_OPEN


# --- every packet -----------------------------------------------------------------------------------------------
@kernel
def foresee(universe, market, books, memory, market_params, packet, levels):
    """The rule knows no order flow."""


@kernel
def observe(universe, market, books, memory, market_params, packet, levels):
    """Roll the seconds, add prints, sum the top of the book, sample the spread."""
    listing_id = np.int64(packet.listing_id) & LISTING_MASK
    book = market.books[listing_id]
    if packet.kind == SNAPSHOT:
        apply_top(book, books, memory, listing_id, packet)
        return
    begin_packet(memory, packet.ts_local_ns)
    if packet.kind == TRADE:
        for k in range(packet.level_begin, packet.level_begin + packet.buy_count + packet.sell_count):
            apply_print(memory, levels[k].price_ticks, levels[k].lots)
    else:
        apply_top(book, books, memory, listing_id, packet)
    apply_spread(memory, -book.best_x[ASK] - book.best_x[BID])


@kernel
def apply_top(book, books, memory, listing_id, packet):
    """The side, or sides, that the packet speaks of."""
    s = BID if packet.buy_count > 0 else ASK
    memory[DEPTH_OF + s] = top_lots(books, listing_id, s, book.best_x[s])
    if packet.buy_count > 0 and packet.sell_count > 0:
        memory[DEPTH_OF + ASK] = top_lots(books, listing_id, ASK, book.best_x[ASK])


@kernel
def top_lots(books, listing_id, s, x):
    """Lots of the best five levels: eight slots without a branch, more where the book is sparse."""
    total, count = 0, 0
    for k in range(NEAR):
        lots = books.lots[listing_id, s, (x - k) & SLOT_MASK]
        total += lots if count < LEVELS else 0
        count += 1 if lots > 0 else 0
    k = NEAR
    while count < LEVELS and k < FAR_SLOTS:
        lots = books.lots[listing_id, s, (x - k) & SLOT_MASK]
        total += lots
        count += 1 if lots > 0 else 0
        k += 1
    return total


@kernel
def on_packet(universe, market, books, trader, memory, market_params, params, packet):
    """Enter when flat, leave at the stop or the target; every evaluation ends in a counted verdict."""
    if packet.kind == SNAPSHOT:
        return
    listing_id = np.int64(packet.listing_id) & LISTING_MASK
    position = trader.positions[universe.listings[listing_id].group_id]
    book = market.books[listing_id]
    bid_ticks, ask_ticks = book.best_x[BID], -book.best_x[ASK]
    side, verdict = 0, ORDER_WORKING
    if position.state == FLAT:
        side, verdict = entry_side(memory, memory[DEPTH_OF + BID], memory[DEPTH_OF + ASK], bid_ticks, ask_ticks)
    elif position.state == OPEN:
        side, verdict = exit_side(position.side, position.stop_price, position.target_price, bid_ticks, ask_ticks)
    trader.verdicts[verdict] += 1
    if side != 0:
        order(universe, market, trader, listing_id, side, verdict, packet.ts_local_ns)


@routine
def order(universe, market, trader, listing_id, side, verdict, ts_ns):
    """One IOC: an entry at the touch, an exit through it."""
    book = market.books[listing_id]
    position = trader.positions[universe.listings[listing_id].group_id]
    is_exit = 1 if position.state == OPEN else 0
    if is_exit == 0:
        trader.next_intent_id += 1
        trader.open_count += 1
        position.intent_id = trader.next_intent_id
        position.side = side
        position.primary_id = listing_id
        position.ts_intent_ns = ts_ns
        position.entry_atoms = 0
        position.entry_quote = 0.0
        position.exit_atoms = 0
        position.exit_quote = 0.0
    touch_ticks = -book.best_x[ASK] if side > 0 else book.best_x[BID]
    price_ticks = touch_ticks + side * SLIP_TICKS * is_exit
    intent_id = position.intent_id
    execution_engine.send(trader, listing_id, side, price_ticks, ORDER_LOTS, intent_id, is_exit, 0, NO_QUOTE, ts_ns)
    execution_engine.apply_digest(trader, verdict)
    position.state = EXITING if is_exit == 1 else ENTERING
    position.working_count = 1


# --- after every report -------------------------------------------------------------------------------------------
@routine
def on_report(universe, market, books, trader, memory, market_params, params, listing_id, packet, levels):
    """What the venue says moves the position; the next packet decides about it."""
    listing = universe.listings[listing_id]
    inventory, position = trader.inventory[listing_id], trader.positions[listing.group_id]
    position.working_count = execution_engine.working_count(trader, position.intent_id)
    if position.working_count > 0:
        return
    if inventory.held_atoms == 0:
        trader.round_trips += 1 if position.state == EXITING else 0
        trader.open_count -= 1
        position.state = FLAT
        return
    if position.state == ENTERING:
        entry_ticks = inventory.open_cost // (inventory.held_atoms // listing.base_atoms_per_lot)
        position.stop_price = entry_ticks - position.side * STOP_TICKS
        position.target_price = entry_ticks + position.side * TARGET_TICKS
        position.ts_entry_ns = packet.ts_local_ns
    position.state = OPEN


# --- every boundary -------------------------------------------------------------------------------------------------
@kernel
def decide(universe, market, books, trader, memory, market_params, params, history, ts_ns):
    """The portfolio pass without its decisions: mark, watch deadlines, keep the equity curve."""
    trader.ts_ns = ts_ns
    portfolio_monitor.apply_mark(universe, market, trader)
    execution_engine.check_deadlines(trader, params, ts_ns)
    append_equity(universe, market, trader, params, history, ts_ns)
