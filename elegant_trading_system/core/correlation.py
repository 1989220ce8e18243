"""Which assets move together: EWMA covariances of synchronised returns, and clusters of the graph rho > threshold."""

import math

from .jit import kernel, routine
from .kinds import PositionState
from .schema import NS_PER_S
from .volatility import apply_realised_day

FLAT, ENTERING = PositionState.FLAT.value, PositionState.ENTERING.value
DAY_NS = 86_400 * NS_PER_S


@routine
def roll_correlations(universe, market, params, ts_ns):
    """Close the return interval that ended by ts_ns. After a longer silence there is no return, only a new start."""
    slot = ts_ns // params.correlation_ns
    if slot == market.correlation_slot:
        return
    is_next = slot == market.correlation_slot + 1
    if is_next:
        apply_returns(universe, market, params)
        apply_clusters(universe, market, params)
    for group_id in range(universe.group_count):
        group = market.groups[group_id]
        group.slot_price = group.price
        group.price = 0.0  # an interval in which nothing is heard of it is no return of zero
        if slot * params.correlation_ns // DAY_NS != market.correlation_slot * params.correlation_ns // DAY_NS:
            apply_realised_day(group, params, slot * params.correlation_ns)
    market.correlation_slot = slot


@kernel
def apply_returns(universe, market, params):
    """Zero-mean products of the interval's returns move each pair that has both (SCIENCE 1.11)."""
    for i in range(universe.group_count):
        x = interval_return(market.groups[i])
        if not has_return(market.groups[i]):
            continue
        market.groups[i].day_variance += x * x
        market.groups[i].day_returns += 1
        for j in range(i):
            if has_return(market.groups[j]):
                apply_pair(market, params, i, j, x, interval_return(market.groups[j]))


@kernel
def has_return(group):
    return group.slot_price > 0.0 and group.price > 0.0


@kernel
def interval_return(group):
    return group.price / group.slot_price - 1.0 if has_return(group) else 0.0


@kernel
def apply_pair(market, params, i, j, x, y):
    """c <- decay * c + (1 - decay) * product, started by the first; all three over the intervals both were heard of."""
    decay = 0.0 if market.pair_counts[i, j] == 0 else params.correlation_decay
    market.covariances[i, j] = decay * market.covariances[i, j] + (1.0 - decay) * x * y
    market.covariances[j, i] = market.covariances[i, j]
    market.variances[i, j] = decay * market.variances[i, j] + (1.0 - decay) * x * x
    market.variances[j, i] = decay * market.variances[j, i] + (1.0 - decay) * y * y
    market.pair_counts[i, j] += 1
    market.pair_counts[j, i] = market.pair_counts[i, j]


@kernel
def correlation(universe, market, params, i, j):
    """Measured once there are enough observations; before, 1 within an asset class and the prior across."""
    if i == j:
        return 1.0
    variance = market.variances[i, j] * market.variances[j, i]
    if market.pair_counts[i, j] >= params.correlation_min and variance > 0.0:
        return market.covariances[i, j] / math.sqrt(variance)
    is_same = universe.groups[i].asset_class == universe.groups[j].asset_class
    return 1.0 if is_same else params.correlation_other


@routine
def apply_clusters(universe, market, params):
    """Connected components over every group, held or not: each carries the lowest id of its cluster."""
    count = universe.group_count
    for i in range(count):
        market.clusters[i] = i
    is_moving = True
    while is_moving:
        is_moving = False
        for i in range(count):
            for j in range(i):
                if is_joined(universe, market, params, i, j) and market.clusters[i] != market.clusters[j]:
                    lowest = min(market.clusters[i], market.clusters[j])
                    market.clusters[i] = lowest
                    market.clusters[j] = lowest
                    is_moving = True


@kernel
def is_joined(universe, market, params, i, j):
    is_traded = universe.groups[i].is_traded and universe.groups[j].is_traded
    return is_traded and correlation(universe, market, params, i, j) > params.cluster_rho


@kernel
def cluster_positions(universe, market, trader, group_id):
    """Open positions in the cluster of a group."""
    count = 0
    for i in range(universe.group_count):
        is_open = trader.positions[i].state != FLAT
        count += 1 if is_open and market.clusters[i] == market.clusters[group_id] else 0
    return count


@kernel
def heat(universe, market, trader, params, group_id, risk_quote):
    """sqrt(r' R r) of the open risks and a new one, reporting currency (SCIENCE 1.11)."""
    total = 0.0
    for i in range(universe.group_count):
        for j in range(universe.group_count):
            a = open_risk(universe, trader, i) + (risk_quote if i == group_id else 0.0)
            b = open_risk(universe, trader, j) + (risk_quote if j == group_id else 0.0)
            if a > 0.0 and b > 0.0:
                total += a * b * correlation(universe, market, params, i, j)
    return math.sqrt(max(total, 0.0))


@kernel
def open_risk(universe, trader, group_id):
    """The intent's risk while it is entered, then the share of it that is held or that a silent venue may still fill."""
    position = trader.positions[group_id]
    if position.state == FLAT:
        return 0.0
    if position.state == ENTERING or position.target_atoms <= 0:
        return position.risk_quote
    atoms = position.entry_atoms - position.exit_atoms + entering_atoms(universe, trader, group_id)
    return position.risk_quote * max(atoms, 0) / position.target_atoms


@kernel
def entering_atoms(universe, trader, group_id):
    """Base atoms of the entry that no venue has settled yet: what works on the position's own side."""
    group, atoms = universe.groups[group_id], 0
    for k in range(group.listing_count):
        inventory = trader.inventory[group.listing_ids[k]]
        is_long = trader.positions[group_id].side > 0
        lots = inventory.working_buy_lots if is_long else inventory.working_sell_lots
        atoms += lots * universe.listings[group.listing_ids[k]].base_atoms_per_lot
    return atoms
