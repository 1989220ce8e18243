"""Implementation shortfall of one order, taken apart (SCIENCE 5.5)."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Fill(NamedTuple):
    quantity: float
    price: float
    fee_bps: float


class Shortfall(NamedTuple):
    """Parts in bps of the decision's mid times the quantity filled; positive is a cost."""

    delay: float  # mid when decided to mid when sent
    spread: float  # from there to the touch
    sweep: float  # from the touch to the average fill
    fees: float
    opportunity: float  # what was not filled, at the closing price

    @property
    def total(self) -> float:
        return sum(self)


def shortfall(
    side: int, decision_mid: float, send_mid: float, touch: float, fills: Sequence[Fill], unfilled: float, close: float
) -> Shortfall:
    """Where the money went between the decision and the last fill.

    An order that filled nothing has no price of its own: all but its delay is unknown, since every part is per filled
    quantity.
    """
    quantity = sum(fill.quantity for fill in fills)
    average = average_price(fills)
    unit = side * 1e4 / decision_mid
    if quantity == 0.0:
        return Shortfall(unit * (send_mid - decision_mid), math.nan, math.nan, math.nan, math.nan)
    return Shortfall(
        delay=unit * (send_mid - decision_mid),
        spread=unit * (touch - send_mid),
        sweep=unit * (average - touch),
        fees=_mean([fill.fee_bps for fill in fills], fills),
        opportunity=unit * (close - decision_mid) * unfilled / quantity,
    )


def average_price(fills: Sequence[Fill]) -> float:
    """Weighted by quantity; NaN without a fill."""
    return _mean([fill.price for fill in fills], fills)


def all_in_price(side: int, fills: Sequence[Fill]) -> float:
    """Average price with the fees in it; NaN without a fill."""
    return _mean([fill.price * (1.0 + side * fill.fee_bps * 1e-4) for fill in fills], fills)


def _mean(values: Sequence[float], fills: Sequence[Fill]) -> float:
    quantity = sum(fill.quantity for fill in fills)
    weighted = sum(value * fill.quantity for value, fill in zip(values, fills, strict=True))
    return weighted / quantity if quantity else math.nan
