"""Implementation shortfall of one order, taken apart (SCIENCE 5.5)."""

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
    """Where the money went between the decision and the last fill."""
    quantity = sum(fill.quantity for fill in fills)
    average = average_price(fills)
    unit = side * 1e4 / decision_mid
    return Shortfall(
        delay=unit * (send_mid - decision_mid),
        spread=unit * (touch - send_mid),
        sweep=unit * (average - touch),
        fees=sum(fill.fee_bps * fill.quantity for fill in fills) / quantity,
        opportunity=unit * (close - decision_mid) * unfilled / quantity,
    )


def average_price(fills: Sequence[Fill]) -> float:
    return sum(fill.quantity * fill.price for fill in fills) / sum(fill.quantity for fill in fills)


def all_in_price(side: int, fills: Sequence[Fill]) -> float:
    """Average price with the fees in it."""
    cost = sum(fill.quantity * fill.price * (1.0 + side * fill.fee_bps * 1e-4) for fill in fills)
    return cost / sum(fill.quantity for fill in fills)
