"""Frames of Coinbase's market channels, as they are read; what is said to subscribe."""

from datetime import datetime

import msgspec

NS_PER_S = 1_000_000_000
TS_MAX_NS = 1 << 62


class Level(msgspec.Struct, gc=False):
    side: str
    price_level: str
    new_quantity: str
    event_time: str = ""


class Print(msgspec.Struct, gc=False):
    product_id: str
    trade_id: str
    price: str
    size: str
    time: str
    side: str


class Event(msgspec.Struct, gc=False):
    type: str = ""
    product_id: str = ""
    updates: list[Level] = []
    trades: list[Print] = []


class Frame(msgspec.Struct, gc=False):
    """A numbered message of any channel; a complaint of the venue has a type and no number."""

    channel: str = ""
    type: str = ""
    sequence_num: int = -1
    timestamp: str = ""
    events: list[Event] = []


def request(kind: str, channel: str, products: list[str]) -> str:
    named = {"product_ids": products} if products else {}
    return msgspec.json.encode({"type": kind, "channel": channel} | named).decode()


def ns_of(stamp: str) -> int:
    """RFC 3339 in UTC, to the nanosecond."""
    whole, _, fraction = stamp.removesuffix("Z").partition(".")
    if not stamp.endswith("Z") or (fraction and not (fraction.isascii() and fraction.isdigit())):
        raise ValueError(stamp)
    ts_ns = int(datetime.fromisoformat(f"{whole}+00:00").timestamp()) * NS_PER_S + int(fraction[:9].ljust(9, "0"))
    if not 0 <= ts_ns < TS_MAX_NS:
        raise ValueError(stamp)
    return ts_ns
