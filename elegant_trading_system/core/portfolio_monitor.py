"""Portfolio monitor: fills, fees and funding -> balances, inventory, profit and loss.

Integers only where it must reconcile: per venue and asset, balance = fills + fees + funding + transfers, exactly.
"""

import numpy as np

from .jit import kernel
from .kinds import Kind, ListingKind, PositionState
from .quotes import mark_price
from .units import mul_div

LINEAR = ListingKind.LINEAR.value
FLAT = PositionState.FLAT.value
FEE, FUNDING, TRANSFER = Kind.FEE.value, Kind.FUNDING.value, Kind.TRANSFER.value


@kernel
def apply_cash(universe, market, trader, packet):
    """A fee, funding or transfer outside any fill. Deposits and withdrawals are neither profit nor drawdown."""
    venue_id = universe.listings[packet.listing_id].venue_id
    trader.balances[venue_id, packet.asset_id] += packet.atoms
    if packet.kind == FEE:
        trader.fee_atoms[venue_id, packet.asset_id] += packet.atoms
    elif packet.kind == FUNDING:
        trader.funding_atoms[venue_id, packet.asset_id] += packet.atoms
    else:
        apply_transfer(universe, market, trader, venue_id, np.int64(packet.asset_id), packet.atoms)


@kernel
def apply_foreign_fee(universe, market, trader, packet):
    """A fill's fee was paid with what no ledger is kept of: its worth was brought along."""
    venue_id, asset_id = universe.listings[packet.listing_id].venue_id, np.int64(packet.asset_id)
    trader.balances[venue_id, asset_id] -= packet.atoms
    apply_transfer(universe, market, trader, venue_id, asset_id, -packet.atoms)


@kernel
def apply_transfer(universe, market, trader, venue_id, asset_id, atoms):
    trader.transfer_atoms[venue_id, asset_id] += atoms
    if trader.equity_peak > 0.0:
        value = atoms * universe.assets[asset_id].atom * asset_price(universe, market, asset_id)
        trader.equity_peak += value
        trader.day_equity += value
        trader.capital += value
        trader.deposits += value


@kernel
def apply_fill(universe, trader, listing_id, side, ticks, lots, fee_atoms, fee_asset_id):
    """One fill and its fee, together: balances, inventory and realised profit move or nothing does."""
    listing = universe.listings[listing_id]
    inventory = trader.inventory[listing_id]
    base_atoms = side * lots * listing.base_atoms_per_lot
    if listing.kind == LINEAR:
        settled = apply_contracts(inventory, side, lots, ticks, listing.base_atoms_per_lot)
        book_fill(trader, listing.venue_id, listing.settle_id, settled * listing.quote_atoms_per_tick_lot)
    else:
        book_fill(trader, listing.venue_id, listing.base_id, base_atoms)
        book_fill(trader, listing.venue_id, listing.quote_id, -side * ticks * lots * listing.quote_atoms_per_tick_lot)
        inventory.held_atoms += base_atoms
        if fee_asset_id == listing.base_id:
            inventory.held_atoms += fee_atoms
    trader.balances[listing.venue_id, fee_asset_id] += fee_atoms
    trader.fee_atoms[listing.venue_id, fee_asset_id] += fee_atoms


@kernel
def apply_adopted(universe, trader, listing_id, side, lots, cost_atoms):
    """Coins as if what they are worth had been paid in and spent on them; contracts at what they cost."""
    listing = universe.listings[listing_id]
    inventory = trader.inventory[listing_id]
    base_atoms = side * lots * listing.base_atoms_per_lot
    inventory.held_atoms += base_atoms
    if listing.kind == LINEAR:
        inventory.open_cost += side * (cost_atoms // listing.quote_atoms_per_tick_lot)
        return
    book_fill(trader, listing.venue_id, listing.base_id, base_atoms)
    trader.transfer_atoms[listing.venue_id, listing.quote_id] += cost_atoms
    trader.fill_atoms[listing.venue_id, listing.quote_id] -= cost_atoms


@kernel
def book_fill(trader, venue_id, asset_id, atoms):
    trader.balances[venue_id, asset_id] += atoms
    trader.fill_atoms[venue_id, asset_id] += atoms


@kernel
def apply_contracts(inventory, side, lots, ticks, atoms_per_lot):
    """Move a linear position; returns what it settles in ticks * lots.

    Opening settles nothing. Closing releases the open cost pro rata, the remainder of the division staying with
    what is left open, so that a flat position has settled exactly what was paid and received.
    """
    held_lots = inventory.held_atoms // atoms_per_lot
    settled = 0
    closing_lots = min(lots, abs(held_lots)) if held_lots * side < 0 else 0
    if closing_lots > 0:
        released = mul_div(inventory.open_cost, closing_lots, abs(held_lots))
        settled = -side * closing_lots * ticks - released
        inventory.open_cost -= released
    inventory.open_cost += side * (lots - closing_lots) * ticks
    inventory.held_atoms += side * lots * atoms_per_lot
    return settled


@kernel
def apply_dust(universe, trader, listing_id):
    """What is left of a spot inventory below one lot becomes named dust; the balance itself stays."""
    listing = universe.listings[listing_id]
    inventory = trader.inventory[listing_id]
    trader.dust_atoms[listing.venue_id, listing.base_id] += inventory.held_atoms
    inventory.held_atoms = 0


@kernel
def unrealised(universe, market, trader, listing_id):
    """Open profit of a linear position at the mid, reporting currency."""
    listing = universe.listings[listing_id]
    inventory = trader.inventory[listing_id]
    if listing.kind != LINEAR or inventory.held_atoms == 0:
        return 0.0
    held_lots = inventory.held_atoms // listing.base_atoms_per_lot
    value = held_lots * listing.lot_base * mark_price(universe, market, listing_id)
    cost = inventory.open_cost * listing.tick_price * listing.lot_base
    return (value - cost) * listing.quote_rate


@kernel
def equity(universe, market, trader):
    """Balances at mid plus open profit, reporting currency. An asset never priced counts as nothing."""
    total = 0.0
    for venue_id in range(universe.venue_count):
        for asset_id in range(universe.asset_count):
            atoms = trader.balances[venue_id, asset_id]
            if atoms != 0:
                asset = universe.assets[asset_id]
                total += atoms * asset.atom * asset_price(universe, market, asset_id)
    for listing_id in range(universe.listing_count):
        total += unrealised(universe, market, trader, listing_id)
    return total


@kernel
def asset_price(universe, market, asset_id):
    """Reporting currency per unit: a quote asset's fixed rate, else the reference listing's last mid."""
    rate = universe.assets[asset_id].rate
    if rate > 0.0:
        return rate
    for group_id in range(universe.group_count):
        if universe.groups[group_id].base_id == asset_id:
            reference_id = universe.groups[group_id].reference_id
            return mark_price(universe, market, reference_id) * universe.listings[reference_id].quote_rate
    return 0.0


@kernel
def is_priced(universe, market, trader):
    """Every asset held has a price."""
    for venue_id in range(universe.venue_count):
        for asset_id in range(universe.asset_count):
            if trader.balances[venue_id, asset_id] != 0 and asset_price(universe, market, asset_id) <= 0.0:
                return False
    return True


@kernel
def spot_gain(universe, market, trader, group_id):
    """Open profit of a spot position: what is held at mid, less what it cost; reporting currency."""
    position = trader.positions[group_id]
    if position.state == FLAT or position.exit_atoms >= position.entry_atoms:
        return 0.0
    listing = universe.listings[position.primary_id]
    if listing.kind == LINEAR:
        return 0.0
    atom = universe.assets[listing.base_id].atom
    open_base = (position.entry_atoms - position.exit_atoms) * atom
    entry_price = position.entry_quote / (position.entry_atoms * atom)
    return (
        position.side
        * open_base
        * (mark_price(universe, market, position.primary_id) - entry_price)
        * listing.quote_rate
    )


@kernel
def apply_mark(universe, market, trader):
    """Mark everything at mid; move the peak and the deepest drawdown. Nothing is marked before it has a price."""
    if trader.equity_peak <= 0.0 and not is_priced(universe, market, trader):
        return
    trader.equity = equity(universe, market, trader)
    trader.equity_peak = max(trader.equity_peak, trader.equity)
    trader.unrealised = 0.0
    for listing_id in range(universe.listing_count):
        trader.unrealised += unrealised(universe, market, trader, listing_id)
    for group_id in range(universe.group_count):
        trader.unrealised += spot_gain(universe, market, trader, group_id)
    if trader.equity_peak > 0.0:
        drawdown = 1.0 - trader.equity / trader.equity_peak
        trader.drawdown_max = max(trader.drawdown_max, drawdown)


@kernel
def exposure(universe, market, trader, listing_id):
    """Signed notional held through a listing at mid, reporting currency."""
    held_atoms = trader.inventory[listing_id].held_atoms
    if held_atoms == 0:
        return 0.0
    listing = universe.listings[listing_id]
    reference_id = listing.reference_id
    base = held_atoms * universe.assets[listing.base_id].atom
    return base * mark_price(universe, market, reference_id) * listing.quote_rate


@kernel
def committed(universe, market, trader, listing_id):
    """Signed notional held through a listing and still being entered, reporting currency."""
    listing = universe.listings[listing_id]
    notional = exposure(universe, market, trader, listing_id)
    position = trader.positions[listing.group_id]
    if position.state != FLAT:
        inventory = trader.inventory[listing_id]
        lots = inventory.working_buy_lots if position.side > 0 else -inventory.working_sell_lots
        notional += lots * listing.lot_base * mark_price(universe, market, listing.reference_id) * listing.quote_rate
    return notional
