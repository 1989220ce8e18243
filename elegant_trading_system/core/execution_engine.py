"""Execution engine: orders and their lives. A command is data in the outbox; what became of it arrives as events.

Silence is not news: an order past its deadline is UNKNOWN, keeps its exposure reserved and blocks its group until
the venue's own report settles it.
"""

import numpy as np

from . import breakers, portfolio_monitor
from .jit import kernel, routine
from .kinds import CommandKind, Kind, ListingKind, OrderState
from .schema import OUTBOX
from .units import fee_from_ppm

FREE, SENT, ACCEPTED, UNKNOWN = (
    OrderState.FREE.value,
    OrderState.SENT.value,
    OrderState.ACCEPTED.value,
    OrderState.UNKNOWN.value,
)
FILL, EXPIRED, REJECTED = Kind.FILL.value, Kind.EXPIRED.value, Kind.REJECTED.value
SEND, QUERY = CommandKind.SEND.value, CommandKind.QUERY.value
LINEAR = ListingKind.LINEAR.value
PRIME = 2**31 - 1
SLIPPAGE_FLOOR_BPS = 0.5  # a midpoint order's model is no spread at all


# --- the decision digest ------------------------------------------------------------------------------------
@kernel
def apply_digest(trader, value):
    """Two modular lanes instead of wrapping multiplication, so that uncompiled Python gives the same digest."""
    word = value % PRIME
    trader.digest[0] = (trader.digest[0] * 48271 + word + 1) % PRIME
    trader.digest[1] = (trader.digest[1] * 69621 + word + 7) % PRIME


# --- sending ------------------------------------------------------------------------------------------------
@kernel
def free_slot(trader):
    for k in range(trader.orders.shape[0]):
        if trader.orders[k].state == FREE:
            return k
    return -1


@routine
def send(trader, listing_id, side, price_ticks, lots, intent_id, is_exit, wave, quote, ts_ns):
    """Reserve an order slot and put a SEND command in the outbox; returns the order id, 0 when there is no room.

    `quote` is (mid, touch) of the listing at the decision: what fills are measured from.
    """
    slot = free_slot(trader)
    if slot < 0 or trader.outbox.count >= OUTBOX or trader.is_paused:
        return 0
    order_id = trader.next_order_id + 1
    trader.next_order_id = order_id
    order = trader.orders[slot]
    order.order_id = order_id
    order.state = SENT
    trader.order_count += 1
    order.listing_id = listing_id
    order.side = side
    order.price_ticks = price_ticks
    order.lots = lots
    order.filled_lots = 0
    order.ts_sent_ns = ts_ns
    order.ts_query_ns = ts_ns
    order.intent_id = intent_id
    order.is_exit = is_exit
    order.wave = wave
    order.mid_price, order.touch_price = quote
    breakers.count_order(trader, ts_ns)
    reserve(trader, order, lots)
    trader.inventory[listing_id].sent_lots += lots
    put_command(trader, order, SEND, ts_ns)
    return order_id


@kernel
def reserve(trader, order, lots):
    """Working lots of an order's listing and side change by `lots`."""
    inventory = trader.inventory[order.listing_id]
    if order.side > 0:
        inventory.working_buy_lots += lots
    else:
        inventory.working_sell_lots += lots


@kernel
def put_command(trader, order, kind, ts_ns):
    outbox = trader.outbox
    assert outbox.count < OUTBOX
    command = outbox.commands[outbox.count]
    outbox.count += 1
    command.cause_seq = trader.seq - 1
    command.ts_ns = ts_ns
    command.order_id = order.order_id
    command.price_ticks = order.price_ticks
    command.lots = order.lots - order.filled_lots
    command.listing_id = order.listing_id
    command.side = order.side
    command.kind = kind
    command.is_reduce_only = order.is_exit
    command.intent_id = order.intent_id
    command.wave = order.wave
    command.exit_reason = 0
    command.mid_price = order.mid_price
    command.touch_price = order.touch_price
    command.risk_quote = 0.0
    command.edge_bps = 0.0
    command.shadow_bps = 0.0
    apply_digest(trader, command.cause_seq)
    apply_digest(trader, ts_ns)
    apply_digest(trader, command.listing_id * 4 + kind)
    apply_digest(trader, command.price_ticks)
    apply_digest(trader, command.side * command.lots)


@kernel
def annotate(trader, position, exit_reason):
    """Say of a position's commands in the outbox what they were decided on: for the analyst, not for the venue."""
    for k in range(trader.outbox.count):
        command = trader.outbox.commands[k]
        if command.intent_id == position.intent_id and command.kind == SEND:
            command.exit_reason = exit_reason
            if exit_reason == 0:
                command.risk_quote = position.risk_quote
                command.edge_bps = position.edge_bps
                command.shadow_bps = position.shadow_bps


# --- hearing ------------------------------------------------------------------------------------------------
@kernel
def find_order(trader, order_id):
    """Slot of a live order, -1 when there is none of that id."""
    for k in range(trader.orders.shape[0]):
        if trader.orders[k].state != FREE and trader.orders[k].order_id == order_id:
            return k
    return -1


@routine
def apply_report(universe, trader, params, packet, levels):
    """One report on one of our orders; returns the slot of the order it concerned, -1 when refused.

    A report that matches no live order, or would fill more than was sent, changes nothing but a counter.
    """
    slot = find_order(trader, packet.order_id)
    if slot < 0 or trader.orders[slot].listing_id != packet.listing_id:
        trader.refused_reports += 1
        return -1
    order = trader.orders[slot]
    venue_id, ts_ns = universe.listings[order.listing_id].venue_id, packet.ts_local_ns
    is_first, sent_ns = order.state == SENT, order.ts_sent_ns
    is_late = order.state == UNKNOWN and order.filled_lots == 0  # what came too late is an answer, too: a slow one
    if packet.kind == FILL and not apply_order_fill(universe, trader, params, order, packet, levels):
        return -1
    if is_first or is_late:
        breakers.apply_ack(trader, params, venue_id, ts_ns - sent_ns, ts_ns)
    if is_first:
        order.state = FREE if order.state == FREE else ACCEPTED
    if packet.kind == REJECTED:
        breakers.apply_reject(trader, params, venue_id, ts_ns)
    if packet.kind == EXPIRED or packet.kind == REJECTED:
        close_order(trader, order)
    return slot


@kernel
def apply_order_fill(universe, trader, params, order, packet, levels):
    row = levels[packet.level_begin]
    ticks, lots = row.price_ticks, row.lots
    is_ours = packet.buy_count + packet.sell_count == 1 and (packet.buy_count == 1) == (order.side > 0)
    if not is_ours or lots <= 0 or order.filled_lots + lots > order.lots:
        trader.refused_reports += 1
        return False
    asset_id = np.int64(packet.asset_id)
    portfolio_monitor.apply_fill(universe, trader, order.listing_id, order.side, ticks, lots, packet.atoms, asset_id)
    apply_position_fill(universe, trader, order, ticks, lots)
    measure_slippage(universe, trader, params, order, ticks, packet.ts_local_ns)
    order.filled_lots += lots
    trader.inventory[order.listing_id].filled_lots += lots
    reserve(trader, order, -lots)
    if order.filled_lots == order.lots:
        close_order(trader, order)
    return True


@kernel
def measure_slippage(universe, trader, params, order, ticks, ts_ns):
    """A fill beyond what the spread explains speaks against its venue."""
    listing = universe.listings[order.listing_id]
    if order.mid_price > 0.0:
        paid_bps = order.side * (ticks * listing.tick_price / order.mid_price - 1.0) * 1e4
        model_bps = abs(order.touch_price / order.mid_price - 1.0) * 1e4
        breakers.apply_slippage(
            trader, params, listing.venue_id, paid_bps, max(model_bps, SLIPPAGE_FLOOR_BPS), paid_bps - model_bps, ts_ns
        )


@kernel
def apply_position_fill(universe, trader, order, ticks, lots):
    listing = universe.listings[order.listing_id]
    position = trader.positions[listing.group_id]
    atoms = lots * listing.base_atoms_per_lot
    quote = ticks * listing.tick_price * lots * listing.lot_base
    if order.is_exit:
        position.exit_atoms += atoms
        position.exit_quote += quote
    else:
        position.entry_atoms += atoms
        position.entry_quote += quote


@kernel
def close_order(trader, order):
    """The venue is done with it: release what was reserved, count what expired, free the slot."""
    leaves_lots = order.lots - order.filled_lots
    reserve(trader, order, -leaves_lots)
    trader.inventory[order.listing_id].expired_lots += leaves_lots
    order.state = FREE
    trader.order_count -= 1


@kernel
def working_count(trader, intent_id):
    """Orders of a position that the venue has not finished with."""
    count = 0
    for k in range(trader.orders.shape[0]):
        if trader.orders[k].state != FREE and trader.orders[k].intent_id == intent_id:
            count += 1
    return count


@kernel
def working_exits(trader, intent_id):
    """Exits of a position that the venue has not finished with."""
    count = 0
    for k in range(trader.orders.shape[0]):
        order = trader.orders[k]
        if order.state != FREE and order.intent_id == intent_id and order.is_exit:
            count += 1
    return count


@kernel
def is_only_unknown(trader, intent_id):
    """Has the venue fallen silent about every order of a position it has not finished with?"""
    for k in range(trader.orders.shape[0]):
        order = trader.orders[k]
        if order.state != FREE and order.state != UNKNOWN and order.intent_id == intent_id:
            return False
    return True


# --- silence ------------------------------------------------------------------------------------------------
@kernel
def check_deadlines(trader, params, ts_ns):
    """Orders unheard of past the deadline become UNKNOWN and are asked about; nothing is ever guessed."""
    if trader.order_count == 0:
        return
    for k in range(trader.orders.shape[0]):
        order = trader.orders[k]
        if order.state == FREE:
            continue
        if order.state != UNKNOWN and ts_ns - order.ts_sent_ns > params.ack_timeout_ns:
            order.state = UNKNOWN
            order.ts_query_ns = ts_ns - params.query_interval_ns
            trader.unknown_count += 1
        is_due = ts_ns - order.ts_query_ns >= params.query_interval_ns
        if order.state == UNKNOWN and is_due and trader.outbox.count < OUTBOX:
            order.ts_query_ns = ts_ns
            put_command(trader, order, QUERY, ts_ns)


@kernel
def lose_orders(trader, ts_ns):
    """The trader was gone: what became of its orders is for the venue to say."""
    for k in range(trader.orders.shape[0]):
        order = trader.orders[k]
        if order.state != FREE and order.state != UNKNOWN:
            order.state = UNKNOWN
            trader.unknown_count += 1
        order.ts_query_ns = ts_ns


# --- what a venue can settle ----------------------------------------------------------------------------------
@kernel
def affordable_lots(universe, trader, listing_id, side, price_ticks, lots):
    """The part of `lots` that this venue's free balance can settle, fee included."""
    listing = universe.listings[listing_id]
    if listing.kind != LINEAR and side < 0:
        inventory = trader.inventory[listing_id]
        free_lots = inventory.held_atoms // listing.base_atoms_per_lot - inventory.working_sell_lots
        return min(lots, max(free_lots, 0))
    per_lot = price_ticks * listing.quote_atoms_per_tick_lot
    per_lot += fee_from_ppm(per_lot, listing.taker_fee_ppm)
    free_atoms = trader.balances[listing.venue_id, listing.settle_id] - reserved_atoms(
        universe, trader, listing.venue_id, listing.settle_id
    )
    return min(lots, max(free_atoms, 0) // per_lot)


@kernel
def reserved_atoms(universe, trader, venue_id, asset_id):
    """Quote already promised at a venue: working buys at their limit, open contracts at what they cost."""
    total = 0
    for listing_id in range(universe.listing_count):
        listing = universe.listings[listing_id]
        if listing.venue_id == venue_id and listing.kind == LINEAR and listing.settle_id == asset_id:
            total += abs(trader.inventory[listing_id].open_cost) * listing.quote_atoms_per_tick_lot
    for k in range(trader.orders.shape[0]):
        order = trader.orders[k]
        if order.state == FREE or order.is_exit:
            continue
        listing = universe.listings[order.listing_id]
        if listing.venue_id == venue_id and listing.settle_id == asset_id:
            leaves_lots = order.lots - order.filled_lots
            cost = order.price_ticks * leaves_lots * listing.quote_atoms_per_tick_lot
            total += cost + fee_from_ppm(cost, listing.taker_fee_ppm)
    return total
