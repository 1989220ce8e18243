"""Binance USD-M market streams into events: as on Spot, but a message follows the one whose last number it names (pu).

Numbers are shared by all instruments of the venue, so those between pu and U belong to others: nothing is missing.
Book and prints come on /public, twice; mark prices and funding on /market, once: they decide nothing and are noted.
"""

from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import msgspec

from .feed import BinanceFeed, Data, Number

MARKET = "MARKET"  # prints of the insurance fund and of forced closing carry prices nobody could have had


class FuturesData(Data, gc=False):
    """A depth diff, a print or a mark price."""

    pu: Number = -1
    X: str = MARKET
    r: str = ""


class FuturesFrame(msgspec.Struct, gc=False):
    data: FuturesData | None = None


FRAMES = msgspec.json.Decoder(FuturesFrame)


class Mark(NamedTuple):
    """What positions are valued at, and the rate longs pay shorts next time."""

    price: Decimal
    funding_rate: Decimal
    next_funding_ms: int


class BinanceFuturesFeed(BinanceFeed):
    """All perpetuals of the venue."""

    decoder = FRAMES
    is_chained = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.marks: dict[str, Mark] = {}

    def mark_streams(self) -> str:
        return "/".join(f"{symbol.lower()}@markPrice@1s" for symbol in self.listings)

    def hear_marks(self, frame: str | bytes) -> None:
        """A frame of the /market connection, which brings no books: it is none of those that are arbitrated."""
        try:
            data = self._decode(frame).data
            if data is not None and data.e == "markPriceUpdate" and data.s in self.listings:
                self._note(data)
            elif data is not None:
                self.counts["refused"] += 1
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            self.counts["refused"] += 1

    @staticmethod
    def _first_id(data: Any) -> int:
        return int(data.pu) + 1 if 0 <= data.pu < data.U else -1

    @staticmethod
    def _is_print(data: Any) -> bool:
        return bool(data.X == MARKET)

    def _note(self, data: Any) -> None:
        if data.e != "markPriceUpdate":
            super()._note(data)
            return
        try:
            price, rate = Decimal(data.p), Decimal(data.r or "0")
        except InvalidOperation:
            price = rate = Decimal("NaN")
        if price.is_finite() and rate.is_finite() and price > 0:
            self.marks[data.s] = Mark(price, rate, data.T)
        else:
            self.counts["refused"] += 1
