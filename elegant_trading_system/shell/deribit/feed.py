"""Deribit's volatility indices into prints, without a socket: frames are handed in, what is to be sent is handed back.

An index has no sequence numbers and needs none: a print is the whole of it. Connections may be as many as one likes, the
first copy of a print wins by its stamp.
"""

from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from ...core.kinds import Kind
from ...core.schema import LEVEL, NS_PER_S
from ...data.importers.volatility import TICK, VALUE_MAX, VALUE_MIN
from ..sequencer import Sequencer

Array = np.ndarray[Any, Any]
NS_PER_MS = 1_000_000
DAY_MS = 86_400_000
CHANNEL = "deribit_volatility_index."
HEARTBEAT_S = 10  # the least it accepts
SILENCE_NS = 3 * HEARTBEAT_S * NS_PER_S  # an open connection that says nothing for so long is dead
SUBSCRIBE, HEARTBEAT, TEST = 1, 2, 3  # ids of our requests
FUTURE_NS = 5 * NS_PER_S  # how far ahead of ours the venue's clock may be


class Data(msgspec.Struct, gc=False):
    timestamp: int
    index_name: str
    volatility: float | None = None  # of an index that is dead


class Params(msgspec.Struct, gc=False):
    data: Data | None = None
    type: str = ""


class Frame(msgspec.Struct, gc=False):
    """A notification has a method; an answer the id of its request."""

    id: int | None = None
    method: str = ""
    params: Params | None = None
    result: Any = None
    error: Any = None


def request(request_id: int, method: str, **params: Any) -> str:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}).decode()


class DeribitFeed:
    """Indices such as btc_usd, each a listing of kind volatility."""

    def __init__(self, sequencer: Sequencer, listings: dict[str, int]) -> None:
        self.sequencer = sequencer
        self.listings = listings  # btc_usd -> listing id
        self.counts = Counter[str]()
        self.refused_channels: set[str] = set()  # the venue has left them out of its answer
        self.latest: dict[str, float | None] = {}  # percent a year
        self._last_ms = dict.fromkeys(listings, 0)
        self._ts_heard_ns: dict[int, int] = {}  # by connection
        self._decode = msgspec.json.Decoder(Frame).decode

    def streams(self) -> list[str]:
        return [CHANNEL + name for name in self.listings]

    def hear_up(self, connection: int) -> list[str]:
        """A connection is open: what is to be sent on it."""
        self._ts_heard_ns[connection] = self.sequencer.now_ns()
        subscribe = request(SUBSCRIBE, "public/subscribe", channels=self.streams())
        return [request(HEARTBEAT, "public/set_heartbeat", interval=HEARTBEAT_S), subscribe]

    def hear_down(self, connection: int) -> None:
        self._ts_heard_ns.pop(connection, None)

    def silent(self, now_ns: int) -> list[int]:
        """Connections that are open and dead: to be closed and opened again."""
        return [n for n, ts_ns in self._ts_heard_ns.items() if now_ns - ts_ns > SILENCE_NS]

    def hear(self, connection: int, frame: str | bytes) -> list[str]:
        """One frame; what is to be sent in answer. What cannot be read or believed is counted and changes nothing."""
        self.counts["frames"] += 1
        self._ts_heard_ns[connection] = self.sequencer.now_ns()
        try:
            message = self._decode(frame)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            self.counts["refused"] += 1
            return []
        params = message.params or Params()
        if message.method == "heartbeat":
            return [request(TEST, "public/test")] if params.type == "test_request" else []
        if message.method == "subscription" and params.data is not None:
            self._print(params.data)
        elif message.error is not None:
            self.counts["errors"] += 1
        elif message.id == SUBSCRIBE:
            accepted = message.result if isinstance(message.result, list) else []
            self.refused_channels = {name for name in self.streams() if name not in accepted}
        return []

    def _print(self, data: Data) -> None:
        listing_id = self.listings.get(data.index_name)
        row = row_of(data.volatility)
        ts_ns = data.timestamp * NS_PER_MS
        if listing_id is None or row is None or not 0 < ts_ns <= self.sequencer.now_ns() + FUTURE_NS:
            self.counts["refused"] += 1
        elif data.timestamp <= self._last_ms[data.index_name]:
            self.counts["repeated"] += 1
        else:
            self._last_ms[data.index_name] = data.timestamp
            self.latest[data.index_name] = data.volatility
            self.sequencer.hear(Kind.TRADE, listing_id, row, ts_venue_ns=ts_ns)


def row_of(percent: float | None) -> Array | None:
    """A print of so many percent a year; None if that is no volatility."""
    if percent is None or not VALUE_MIN <= percent <= VALUE_MAX:
        return None
    row = np.zeros(1, LEVEL)
    row[0]["price_ticks"], row[0]["lots"] = round(Decimal(str(percent)) / TICK), 1
    return row


class Page(msgspec.Struct):
    """Rows [ms, open, high, low, close], newest page first; the next one ends at `continuation`."""

    data: list[tuple[int, float, float, float, float | None]]
    continuation: int | None = None


class Answer(msgspec.Struct):
    result: Page


def page_of(body: bytes) -> Page:
    """Daily history as the venue answers it. Raises msgspec.DecodeError."""
    return msgspec.json.decode(body, type=Answer).result


def closes_of(page: Page, now_ns: int) -> list[tuple[int, Array]]:
    """(when it became known, print) of the days that are over, as `data/importers/volatility.py` makes them of a file."""
    found = []
    for ms, *_, close in page.data:
        known_ns, row = (ms + DAY_MS) * NS_PER_MS, row_of(close)
        if row is not None and 0 < known_ns <= now_ns:
            found.append((known_ns, row))
    return found
