"""Any venue's books and prints as ccxt.pro keeps them, into events: whole books are handed in, what changed goes on.

ccxt follows sequence numbers where a venue has them and says when it has lost one; then the book is a GAP until it hands
over another. It answers in floats: their shortest text is the number the venue wrote, so nothing is lost by that.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

import numpy as np

from ...core.kinds import BookState, Kind
from ...core.schema import LEVEL
from ...data.tape import ListingSpec
from ..sequencer import NO_ROWS, Sequencer

Array = np.ndarray[Any, Any]
Side = dict[float, float]  # price -> amount
NS_PER_MS = 1_000_000
LEVELS = 200  # a side, from the touch: what lies behind it is forgotten, and told again when it comes near
IDS_KEPT = 2000  # of prints, so that none counts twice
MAKER_SIDES = ("coinbase",)  # ccxt hands through what these say, which is the resting order's side
NUMBER_MAX = 10**15
NO_LOTS: Mapping[int, Decimal] = MappingProxyType({})
NOTIONAL_MAX = 2**61  # ticks * lots: more no book can hold
STAMP_MAX_MS = 2**43
WORD_MAX = 100  # characters of a name that a venue gives


class CcxtListing:
    """One instrument: what was last told of its book, and which prints were."""

    def __init__(self, listing_id: int, spec: ListingSpec, lot: Decimal) -> None:
        self.listing_id, self.spec, self.lot = listing_id, spec, lot
        self.sides: tuple[Side, Side] = ({}, {})
        self.is_live = False
        self.ids = deque[str](maxlen=IDS_KEPT)
        self.known = set[str]()


class CcxtFeed:
    """Listings by ccxt's symbol."""

    def __init__(
        self, sequencer: Sequencer, venue: str, specs: dict[int, ListingSpec], lots: Mapping[int, Decimal] = NO_LOTS
    ) -> None:
        """`lots`: the amount of one lot, where the venue counts in contracts instead of coins."""
        self.sequencer = sequencer
        self.listings = {spec.symbol: CcxtListing(n, spec, lots.get(n, spec.lot_size)) for n, spec in specs.items()}
        self.counts = Counter[str]()
        self._is_maker_side = venue in MAKER_SIDES

    # --- books ------------------------------------------------------------------------------------------------
    def hear_book(self, symbol: str, book: Mapping[str, Any]) -> None:
        """A book as it is now. One that is crossed, empty or no book is refused: the one before is lost with it."""
        listing = self.listings[symbol]
        self.counts["frames"] += 1
        try:
            sides = _side(book["bids"]), _side(book["asks"])
            if not sides[0] or not sides[1] or max(sides[0]) >= min(sides[1]):
                raise ValueError("crossed or empty")  # noqa: TRY301 - judged where everything else is
            changes = [_rows(_changes(old, new), listing) for old, new in zip(listing.sides, sides, strict=True)]
            ts_ns = ns_of(book.get("timestamp"))
        except (KeyError, TypeError, ValueError, IndexError, ArithmeticError, AttributeError):
            self.counts["refused"] += 1
            self.hear_lost(symbol)
            return
        listing.sides = sides
        kind = Kind.DEPTH if listing.is_live else Kind.SNAPSHOT
        listing.is_live = True
        self.sequencer.hear(kind, listing.listing_id, *changes, ts_venue_ns=ts_ns)

    def hear_lost(self, symbol: str) -> None:
        """The book cannot be relied upon until there is another."""
        listing = self.listings[symbol]
        listing.sides = {}, {}
        if listing.is_live:
            listing.is_live = False
            self.counts["gaps"] += 1
            self.sequencer.hear(Kind.STATUS, listing.listing_id, code=BookState.GAP)

    # --- prints -----------------------------------------------------------------------------------------------
    def hear_trades(self, symbol: str, trades: Any) -> None:
        """Prints, oldest first, some of which may have been told before."""
        listing = self.listings[symbol]
        if not isinstance(trades, list):
            self.counts["refused"] += 1
            return
        for trade in trades:
            try:
                name = word_of(trade["id"])
                is_buy = {"buy": True, "sell": False}[trade["side"]] != self._is_maker_side
                rows = _rows({float(trade["price"]): float(trade["amount"])}, listing)
                ts_ns = ns_of(trade.get("timestamp"))
            except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError):
                self.counts["refused"] += 1
                continue
            if name in listing.known or rows[0]["lots"] == 0:
                self.counts["repeated" if name in listing.known else "refused"] += 1
                continue
            self._remember(listing, name)
            buys, sells = (rows, NO_ROWS) if is_buy else (NO_ROWS, rows)
            self.sequencer.hear(Kind.TRADE, listing.listing_id, buys, sells, ts_venue_ns=ts_ns)

    def pass_over(self, symbol: str, trades: Sequence[Mapping[str, Any]]) -> None:
        """Prints of before we came, which many venues begin with: known, and no news."""
        for trade in trades:
            if trade.get("id") is not None:
                self._remember(self.listings[symbol], str(trade["id"]))

    @staticmethod
    def _remember(listing: CcxtListing, name: str) -> None:
        if len(listing.ids) == IDS_KEPT:
            listing.known.discard(listing.ids[0])
        listing.ids.append(name)
        listing.known.add(name)


def _side(levels: Sequence[Sequence[float]]) -> Side:
    """The levels next to the touch; some venues give a third number, which is not ours."""
    return {float(level[0]): float(level[1]) for level in levels[:LEVELS] if level[1]}


def _changes(old: Side, new: Side) -> Side:
    """Amounts by price as they are now, 0 where there is none any more."""
    changed = {price: amount for price, amount in new.items() if old.get(price) != amount}
    return changed | dict.fromkeys(old.keys() - new.keys(), 0.0)


def _rows(amounts: Side, listing: CcxtListing) -> Array:
    """As ticks and whole lots. Raises ValueError for what is on no grid."""
    rows, spec = np.zeros(len(amounts), LEVEL), listing.spec
    for row, (price, amount) in zip(rows, amounts.items(), strict=True):
        ticks = exact(price) / spec.tick_size
        if ticks != int(ticks) or ticks <= 0:
            raise ValueError(f"{price} is on no tick of {spec.tick_size}")
        row["price_ticks"], row["lots"] = int(ticks), lots_of(amount, int(ticks), listing.lot)
    return rows


def lots_of(amount: object, ticks: int, lot: Decimal) -> int:
    """Whole lots of so much. Raises ValueError for more than there can be."""
    lots = int(exact(amount) / lot)
    if ticks * lots > NOTIONAL_MAX:
        raise ValueError(f"{amount} at {ticks} ticks is too much")
    return lots


def ns_of(timestamp: Any) -> int:
    """A venue's milliseconds; 0 where it says none. Raises ValueError for no time of ours."""
    ms = int(timestamp or 0)
    if not 0 <= ms < STAMP_MAX_MS:
        raise ValueError(f"no time: {timestamp}")
    return ms * NS_PER_MS


def word_of(name: Any) -> str:
    """What a venue calls something. Raises ValueError for what is no name."""
    found = str(name)
    if not isinstance(name, str | int) or not 0 < len(found) <= WORD_MAX:
        raise ValueError(f"no name: {found[:WORD_MAX]}")
    return found


def exact(number: object) -> Decimal:
    """What a venue wrote, out of what ccxt made of it. Raises ValueError for what is no sane number."""
    try:
        value = Decimal(str(number))
    except InvalidOperation:
        raise ValueError(f"no number: {number!r}") from None
    if not value.is_finite() or not 0 <= value < NUMBER_MAX:
        raise ValueError(f"no sane number: {number!r}")
    return value
