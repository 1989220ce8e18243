"""The only conversions between integers and prices, and the integer arithmetic that cannot overflow."""

import math

import numpy as np

from .jit import kernel
from .kinds import ListingKind

BPS = 1e-4
INVERSE = ListingKind.INVERSE.value
BID, ASK = 0, 1  # side index of a book
PRICE_TICKS_MAX = np.uint64(2**40)
LOTS_MAX = np.uint64(2**50)


@kernel
def side_index(side):
    """Side.BUY -> 0, Side.SELL -> 1."""
    return (1 - side) // 2


@kernel
def is_sane_row(ticks, lots):
    """May a book hold this? Unsigned: what is negative is large."""
    return (np.uint64(ticks - 1) < PRICE_TICKS_MAX) & (np.uint64(lots) < LOTS_MAX)


@kernel
def x_from_ticks(s, ticks):
    """Book coordinate in which larger is better on both sides: bids keep their sign, asks are mirrored."""
    return ticks if s == BID else -ticks


@kernel
def mul_div(a, b, c):
    """a * b / c rounded toward zero, for 0 < c and (|a| mod c) * |b| < 2**63: the product itself may overflow."""
    sign = 1
    if a < 0:
        sign, a = -sign, -a
    if b < 0:
        sign, b = -sign, -b
    return sign * (a // c * b + a % c * b // c)


@kernel
def fee_from_ppm(amount_atoms, fee_ppm):
    """Fee in atoms, rounded up: a venue never rounds in our favour."""
    return amount_atoms // 1_000_000 * fee_ppm + (amount_atoms % 1_000_000 * fee_ppm + 999_999) // 1_000_000


@kernel
def base_from_lots(listing, lots, price):
    """Lots in base units; an inverse contract's base value depends on its price."""
    if listing.kind == INVERSE:
        return lots * listing.lot_quote / price if price > 0.0 else 0.0
    return lots * listing.lot_base


@kernel
def ticks_inward(listing, side, price):
    """The worst tick at or inside `price`: down for a buy limit, up for a sell limit."""
    exact = price / listing.tick_price
    nearest = math.floor(exact + 0.5)
    if abs(exact - nearest) < 1e-13 * abs(exact):  # a price that is a tick must stay that tick
        return int(nearest)
    return int(math.floor(exact)) if side > 0 else int(math.ceil(exact))
