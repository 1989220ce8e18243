"""What Coinbase says of orders, read: nothing of an answer counts before all of it has been understood."""

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import quote

from ...data.tape import ListingSpec
from .. import orders

Json = dict[str, Any]
CURSOR_MAX = 1000
NUMBER_MAX = 2**62
VENUE_ID = re.compile("[0-9A-Za-z-]{1,64}")
VAGUE = (None, "", "UNKNOWN_FAILURE_REASON", "UNKNOWN_PREVIEW_FAILURE_REASON", "PREVIEW_UNKNOWN_FAILURE_REASON")


class Request(NamedTuple):
    """To be sent at once, with a token of its own."""

    id: str
    method: str
    path: str  # behind the address of the venue's REST, with its query
    body: str = ""


@dataclass
class Sent(orders.Sent):
    trades: set[str] = field(default_factory=set)
    filled: Decimal = Decimal(0)  # by the fills that are listed
    fees: Decimal = Decimal(0)
    listed_lots: int = 0
    fee_atoms: int = 0
    announced: Decimal = Decimal(0)  # filled, as the venue has said without telling the fills
    status: str = ""  # the final one, once it is known
    venue_id: str = ""
    ts_listed_ms: int = 0  # when it was last looked for among all orders
    is_asking: bool = False  # for fills


class Figures(NamedTuple):
    """An order as the venue tells it, read."""

    client_id: str
    venue_id: str
    status: str
    filled: Decimal


class Fill(NamedTuple):
    trade_id: str
    price: Decimal
    size: Decimal
    fee: Decimal


def figures_of(order: Json, filled: str) -> Figures:
    return Figures(str(order["client_order_id"]), venue_id_of(order), str(order["status"]), _amount(order[filled]))


def venue_id_of(order: Json) -> str:
    """The venue's name for an order, which goes into addresses."""
    found = str(order["order_id"])
    if not VENUE_ID.fullmatch(found):
        raise ValueError(found)
    return found


def fill_of(row: Json) -> Fill:
    if row.get("size_in_quote"):
        raise ValueError(row)
    return Fill(str(row["trade_id"]), _amount(row["price"]), _amount(row["size"]), _amount(row["commission"] or "0"))


def _amount(text: Any) -> Decimal:
    found = Decimal(str(text or "0"))
    if not (found.is_finite() and 0 <= found < 10**12):
        raise ValueError(text)
    return found


def is_clear(error: Json) -> bool:
    """Does it say why? A venue that does not know the reason may not know the outcome."""
    names = ("error", "preview_failure_reason", "new_order_failure_reason")
    return any(error.get(name) not in VAGUE for name in names)


def cursor_of(answer: Json) -> str:
    """Where the next page begins; empty where there is none."""
    found = answer["cursor"] or ""
    if not isinstance(found, str) or len(found) > CURSOR_MAX:
        raise ValueError("no cursor")
    return found


def page_behind(cursor: str) -> str:
    return f"&cursor={quote(cursor, safe='')}" if cursor else ""


def client_id(epoch: str, order_id: int) -> str:
    """An order's name at the venue, a UUID that can be read back: never used again."""
    digits = f"{int(epoch, 16):012x}"
    return f"{digits[:8]}-{digits[8:]}-4e75-8000-{order_id:012x}"


def symbol_of(spec: ListingSpec) -> str:
    return f"{spec.base}-{spec.quote}"
