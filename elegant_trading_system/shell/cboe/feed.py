"""CBOE's delayed quote of the VIX into prints, without a socket: bodies are handed in as they were fetched.

The quote is a quarter of an hour late by the source's own rule and says nothing outside New York's hours. Each print
carries the time the index had that value as the venue's stamp, and ours is when we heard of it: nobody can take it for
live. The form is not documented; what does not look as it always has is refused.
"""

from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import msgspec

from ...core.kinds import Kind
from ...core.schema import NS_PER_S
from ...data.importers.volatility import NEW_YORK, vix_values
from ..deribit.feed import Array, row_of
from ..sequencer import Sequencer

FUTURE_NS = 60 * NS_PER_S  # how far ahead of ours its clock may be
OLD_NS = 3600 * NS_PER_S  # a quote older than that is the end of a session that is over: history tells of it
HISTORY_NS = 550 * 86_400 * NS_PER_S  # a year's quantile of business days, and some
BODY_MAX = 1 << 22


class Quote(msgspec.Struct):
    symbol: str
    security_type: str
    current_price: float
    last_trade_time: str  # New York's, without saying so


class Body(msgspec.Struct):
    symbol: str
    data: Quote


class CboeFeed:
    """The one index we take from there."""

    def __init__(self, sequencer: Sequencer, listing_id: int) -> None:
        self.sequencer, self.listing_id = sequencer, listing_id
        self.counts = Counter[str]()
        self.latest: tuple[float, int] | None = None  # percent a year, when it had that value
        self._decode = msgspec.json.Decoder(Body).decode

    def hear_quote(self, body: bytes) -> None:
        """What cannot be read or believed is counted and changes nothing; what is known already is no print."""
        self.counts["quotes"] += 1
        try:
            quote, ts_ns = self._read(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, OverflowError):
            self.counts["refused"] += 1
            return
        now_ns, row = self.sequencer.now_ns(), row_of(quote.current_price)
        if row is None or ts_ns > now_ns + FUTURE_NS:
            self.counts["refused"] += 1
        elif self.latest is not None and ts_ns <= self.latest[1]:
            self.counts["repeated"] += 1
        elif ts_ns < now_ns - OLD_NS:
            self.counts["old"] += 1
        else:
            self.latest = quote.current_price, ts_ns
            self.sequencer.hear(Kind.TRADE, self.listing_id, row, ts_venue_ns=ts_ns)

    def _read(self, body: bytes) -> tuple[Quote, int]:
        if len(body) > BODY_MAX:
            raise ValueError(len(body))
        found = self._decode(body)
        quote = found.data
        if (found.symbol, quote.symbol, quote.security_type) != ("_VIX", "^VIX", "index"):
            raise ValueError(quote.symbol)
        moment = datetime.fromisoformat(quote.last_trade_time)
        if moment.tzinfo is not None:
            raise ValueError(quote.last_trade_time)
        return quote, round(moment.replace(tzinfo=NEW_YORK).timestamp()) * NS_PER_S


def closes_of(text: str, now_ns: int) -> list[tuple[int, Array]]:
    """(when it became known, print) of the days that are over, oldest first. Raises UserError when it is no history."""
    found = {}
    for value in vix_values(Path("VIX_History.csv"), text):
        row = row_of(float(value.percent or Decimal(0)))
        if row is not None and now_ns - HISTORY_NS < value.ts_known_ns <= now_ns:
            found[value.ts_known_ns] = row
    return sorted(found.items(), key=lambda close: close[0])
