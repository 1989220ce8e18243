"""The simulated venues' books: two rings of integer lots per venue, all arithmetic in x."""

import math

from ..core.jit import kernel
from .market_records import NO_CHANGE_HIGH, NO_CHANGE_LOW, RING, WINDOW

MASK = RING - 1


@kernel
def side_sign(side):
    """+1 for bids (side 0), -1 for asks: internal ticks = sign * x."""
    return 1 - 2 * side


@kernel
def lots_at(ladders, venue, side, x):
    return ladders.lots[venue, side, x & MASK]


@kernel
def apply_change(ladders, venue, side, x, lots):
    """Add lots (or take, if negative) at a level inside the window; `best_x` is the caller's to mend."""
    ladders.lots[venue, side, x & MASK] += lots
    ladders.total_lots[venue, side] += lots
    ladders.changed_low_x[venue, side] = min(ladders.changed_low_x[venue, side], x)
    ladders.changed_high_x[venue, side] = max(ladders.changed_high_x[venue, side], x)


@kernel
def apply_insert(ladders, venue, side, x, lots):
    """Rest lots at x; a better best drops the levels that fall out of the window."""
    best_x = ladders.best_x[venue, side]
    if x > best_x:
        for out_x in range(best_x - WINDOW, min(x - WINDOW, best_x + 1)):
            out_lots = lots_at(ladders, venue, side, out_x)
            if out_lots > 0:
                apply_change(ladders, venue, side, out_x, -out_lots)
        ladders.best_x[venue, side] = x
    apply_change(ladders, venue, side, x, lots)


@kernel
def apply_removal(ladders, reference, venue, side, x, lots, emergency_lots):
    """Take lots from a level; an emptied side gets an emergency quote behind the venue's reference."""
    apply_change(ladders, venue, side, x, -lots)
    if x < ladders.best_x[venue, side] or lots_at(ladders, venue, side, x) > 0:
        return
    if ladders.total_lots[venue, side] == 0:
        behind_x = math.floor(side_sign(side) * reference) - 4
        ladders.best_x[venue, side] = min(behind_x, -ladders.best_x[venue, 1 - side] - 1)
        apply_change(ladders, venue, side, ladders.best_x[venue, side], emergency_lots)
        return
    best_x = x - 1
    while lots_at(ladders, venue, side, best_x) == 0:
        best_x -= 1
    ladders.best_x[venue, side] = best_x


@kernel
def x_after(ladders, venue, side, lots):
    """Level that holds the lot behind `lots` others, counted from the best; lots < total."""
    x = ladders.best_x[venue, side]
    lots -= lots_at(ladders, venue, side, x)
    while lots >= 0:
        x -= 1
        lots -= lots_at(ladders, venue, side, x)
    return x


@kernel
def displacement(ladders, reference, venue):
    """Reference less mid in half-spreads, within [-1, 1]: the latent micro-price."""
    bid, ask = ladders.best_x[venue, 0], -ladders.best_x[venue, 1]
    return max(-1.0, min(1.0, (2.0 * reference - (bid + ask)) / (ask - bid)))


@kernel
def forget_changes(ladders, venue):
    for side in range(2):
        ladders.changed_low_x[venue, side] = NO_CHANGE_LOW
        ladders.changed_high_x[venue, side] = NO_CHANGE_HIGH
