"""What the core has decided, as gateways read it."""

from typing import Any, NamedTuple

import numpy as np


class Command(NamedTuple):
    """A COMMAND of the schema, field by field, as Python has it: read once instead of at every look."""

    cause_seq: int
    ts_ns: int
    order_id: int
    price_ticks: int
    lots: int
    listing_id: int
    side: int
    kind: int
    is_reduce_only: int
    intent_id: int
    wave: int
    exit_reason: int
    mid_price: float
    touch_price: float
    risk_quote: float
    edge_bps: float
    shadow_bps: float


def commands_of(rows: np.ndarray[Any, Any]) -> list[Command]:
    """Of an array of COMMAND."""
    return list(map(Command._make, rows.tolist()))
