"""A decider that follows prints: it buys behind a buyer, sells behind a seller, and leaves after a fixed time.

The null test's other strategy. It reacts to one packet at once, so that one packet of look-ahead is worth something
to it; the product's averages would not notice. It runs in the product's engine through `jit.instantiate`.
"""

import numpy as np

from ..core import decider as product
from ..core import execution_engine, portfolio_monitor, positions
from ..core.jit import kernel, routine
from ..core.kinds import Kind, ListingKind, PositionState, Verdict
from ..core.quotes import is_fresh, is_two_sided
from ..core.risk_manager import Intent
from ..core.routing import open_position
from ..core.units import BPS, ticks_inward
from ..core.venue_choice import quote_now

MEMORY = 1
TRADE = Kind.TRADE.value
SPOT, LINEAR = ListingKind.SPOT.value, ListingKind.LINEAR.value
FLAT, OPEN = PositionState.FLAT.value, PositionState.OPEN.value
APPROVED = Verdict.APPROVED.value
CAPITAL_SHARE = 0.01

foresee = product.foresee
observe = product.observe
on_report = product.on_report


@kernel
def on_packet(universe, market, books, trader, memory, market_params, params, packet):
    listing_id = np.int64(packet.listing_id)
    group_id = universe.listings[listing_id].group_id
    product.on_packet(universe, market, books, trader, memory, market_params, params, packet)
    if packet.kind == TRADE and trader.positions[group_id].state == FLAT:
        side = 1 if packet.buy_count > 0 else -1
        follow(universe, market, trader, market_params, params, listing_id, side, packet.ts_local_ns)


@routine
def follow(universe, market, trader, market_params, params, listing_id, side, ts_ns):
    """One IOC behind the print, on its own venue."""
    listing = universe.listings[listing_id]
    is_allowed = (listing.kind == SPOT and side > 0) or listing.kind == LINEAR
    is_quoted = is_two_sided(market.books[listing_id])
    if not is_allowed or not is_quoted or not is_fresh(universe, market, market_params, listing_id, ts_ns):
        return
    quote = quote_now(universe, market, listing_id, side)
    price = quote[1]
    cap = params.cap_bps * BPS
    base = CAPITAL_SHARE * params.capital / price
    lots = int(base / listing.lot_base)
    price_ticks = ticks_inward(listing, side, price * (1.0 + side * cap))
    intent_id = trader.next_intent_id + 1
    if lots < 1:
        return
    if execution_engine.send(trader, listing_id, side, price_ticks, lots, intent_id, 0, 0, quote, ts_ns) == 0:
        return
    trader.next_intent_id = intent_id
    trader.verdicts[APPROVED] += 1
    intent = Intent(APPROVED, side, base, 0.0, cap)
    atoms = lots * listing.base_atoms_per_lot
    open_position(trader, listing.group_id, intent, listing_id, listing.class_id, intent_id, atoms, ts_ns)
    position = trader.positions[listing.group_id]
    position.atr_price = price  # stop and target so far away that only time ends the trade
    position.target_atr = 1.0


@routine
def decide(universe, market, books, trader, memory, market_params, params, history, ts_ns):
    """Mark, watch deadlines, and let time exits happen in quiet markets too."""
    trader.ts_ns = ts_ns
    portfolio_monitor.apply_mark(universe, market, trader)
    execution_engine.check_deadlines(trader, params, ts_ns)
    for group_id in range(universe.group_count):
        if trader.positions[group_id].state == OPEN:
            positions.manage(universe, market, trader, market_params, params, group_id, ts_ns)
