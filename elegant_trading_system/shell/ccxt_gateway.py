"""Orders by ccxt to any venue it knows, and what its answers mean, without ccxt: requests go out, answers come back.

An order is made once and never again: when the answer leaves open whether it exists, the core asks. Which of ccxt's errors
are a clear no is said here, and everything else is unclear.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from ..core.kinds import CommandKind, Kind, RejectReason
from ..core.schema import LEVEL
from ..data.tape import ListingSpec
from .ccxt_feed import exact
from .link import FillKey, OpenOrder
from .sequencer import NO_ROWS, Sequencer

Json = Mapping[str, Any]
NS_PER_MS = 1_000_000
ORDERS_MAX = 10_000
ABSENCE_MS = 20_000  # only then "no such order" is believed
FINAL = ("closed", "canceled", "expired", "rejected")
CREATE, QUERY, TRADES = "create", "query", "trades"
#: A clear no. Their common base alone says only that the venue answered; a name used before says that an order exists.
CLEAR = {"ExchangeError", "RateLimitExceeded", "InvalidNonce"}
UNCLEAR = {"DuplicateOrderId", "OrderNotFound", "ExchangeClosedByUser", "ChecksumError"}
VAGUE = "ExchangeError"


class Request(NamedTuple):
    """Something to ask the venue."""

    what: str  # CREATE, QUERY, TRADES
    order_id: int
    symbol: str
    name: str  # the order's, given by us
    venue_id: str  # the venue's; empty until it was heard
    since_ms: int
    side: str = ""
    amount: Decimal = Decimal(0)
    price: Decimal = Decimal(0)


@dataclass
class Sent:
    """An order as far as the venue has spoken of it."""

    order_id: int
    listing_id: int
    side: int
    lots: int
    ts_ms: int
    name: str
    heard: Counter[FillKey] = field(default_factory=Counter)  # fills of before a crash, whose ids are forgotten
    trades: set[str] = field(default_factory=set)
    filled_lots: int = 0
    venue_id: str = ""
    status: str = ""  # last heard
    executed: Decimal = Decimal(0)  # last heard
    is_acknowledged: bool = False
    is_done: bool = False


class CcxtGateway:
    """One account's orders on a venue's instruments."""

    def __init__(
        self,
        sequencer: Sequencer,
        specs: dict[int, ListingSpec],
        epoch: str,
        send: Callable[[Request], None],
        now_ms: Callable[[], int],
    ) -> None:
        self.sequencer, self.specs, self.epoch = sequencer, specs, epoch
        self.orders: dict[int, Sent] = {}
        self.counts = Counter[str]()
        self._restored: list[Sent] = []
        self._send, self._now_ms = send, now_ms

    # --- asking -----------------------------------------------------------------------------------------------
    def command(self, command: Any) -> None:
        """What the core has decided leaves for the venue."""
        listing_id, order_id = int(command["listing_id"]), int(command["order_id"])
        if int(command["kind"]) == CommandKind.QUERY:
            self._ask(QUERY, self.orders[order_id])
            return
        spec, lots, side = self.specs[listing_id], int(command["lots"]), int(command["side"])
        oldest = next(iter(self.orders.values()), None)
        if len(self.orders) >= ORDERS_MAX and oldest is not None and oldest.is_done:
            del self.orders[oldest.order_id]
        name = f"ets-{self.epoch}-{order_id}"
        sent = self.orders[order_id] = Sent(order_id, listing_id, side, lots, self._now_ms(), name)
        request = Request(CREATE, order_id, spec.symbol, name, "", sent.ts_ms, "buy" if side > 0 else "sell")
        price = int(command["price_ticks"]) * spec.tick_size
        self._send(request._replace(amount=lots * spec.lot_size, price=price))

    def _ask(self, what: str, sent: Sent) -> None:
        symbol = self.specs[sent.listing_id].symbol
        self._send(Request(what, sent.order_id, symbol, sent.name, sent.venue_id, sent.ts_ms))

    def restore(self, orders: list[OpenOrder]) -> None:
        """Orders of before a crash are known again, each under the name it was sent by."""
        for order_id, listing_id, side, lots, filled_lots, ts_sent_ns, epoch, fills in orders:
            name = f"ets-{epoch}-{order_id}"
            sent = Sent(order_id, listing_id, side, lots, ts_sent_ns // NS_PER_MS, name, fills, filled_lots=filled_lots)
            self.orders[order_id] = sent
            self._restored.append(sent)

    def unsettled(self) -> int:
        """Restored orders without the venue's last word; it is asked again about each."""
        self._restored = [sent for sent in self._restored if not sent.is_done]
        for sent in self._restored:
            self._ask(QUERY, sent)
        return len(self._restored)

    # --- hearing ----------------------------------------------------------------------------------------------
    def hear_order(self, order_id: int, order: Json) -> None:
        """What the venue says of an order, in ccxt's words: the answer to CREATE and QUERY."""
        sent = self.orders.get(order_id)
        if sent is None:
            return
        try:
            sent.venue_id = str(order["id"] or sent.venue_id)
            sent.status = str(order.get("status") or "")
            sent.executed = exact(order.get("filled") or 0)
            self._fill_all(sent, order.get("trades") or [])
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError):
            self.counts["refused"] += 1
            return
        self._settle(sent)

    def hear_trades(self, order_id: int, trades: Sequence[Json]) -> None:
        """The account's fills, those of other orders among them: the answer to TRADES."""
        sent = self.orders.get(order_id)
        if sent is None:
            return
        try:
            self._fill_all(sent, [trade for trade in trades if str(trade.get("order")) == sent.venue_id])
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError):
            self.counts["refused"] += 1
            return
        self._settle(sent, is_asked=True)

    def hear_error(self, order_id: int, what: str, names: Sequence[str]) -> None:
        """An answer that is none. `names` are the error's type and its bases', the most special first."""
        sent = self.orders.get(order_id)
        if sent is None:
            return
        is_refused = what == CREATE and is_clear(names)
        is_absent = what == QUERY and "OrderNotFound" in names and self._now_ms() - sent.ts_ms > ABSENCE_MS
        if (is_refused or is_absent) and not sent.is_done and not sent.filled_lots:
            self._end(sent, Kind.REJECTED, RejectReason.BALANCE if "InsufficientFunds" in names else RejectReason.VENUE)
        else:
            self.counts["unclear"] += 1

    def _fill_all(self, sent: Sent, trades: Iterable[Json]) -> None:
        for trade in trades:
            name = str(trade.get("id") or f"{trade['timestamp']} {trade['price']} {trade['amount']}")
            if name in sent.trades or sent.is_done:
                self.counts["repeated_fills"] += 1
                continue
            spec = self.specs[sent.listing_id]
            ticks, lots = int(exact(trade["price"]) / spec.tick_size), int(exact(trade["amount"]) / spec.lot_size)
            atoms, asset_id = self._fee(trade, spec)
            sent.trades.add(name)
            if sent.heard[ticks, lots, atoms, asset_id] > 0:
                sent.heard[ticks, lots, atoms, asset_id] -= 1
                self.counts["repeated_fills"] += 1
                continue
            sent.filled_lots += lots
            row = np.array([(ticks, lots)], LEVEL)
            self._hear_fill(sent, row, int(trade.get("timestamp") or 0) * NS_PER_MS, atoms, asset_id)

    def _hear_fill(self, sent: Sent, row: Any, ts_ns: int, atoms: int, asset_id: int) -> None:
        sent.is_acknowledged = True
        buys, sells = (row, NO_ROWS) if sent.side > 0 else (NO_ROWS, row)
        self.sequencer.hear(
            Kind.FILL,
            sent.listing_id,
            buys,
            sells,
            ts_venue_ns=ts_ns,
            order_id=sent.order_id,
            atoms=atoms,
            asset_id=asset_id,
        )
        sent.is_done = sent.filled_lots == sent.lots

    def _fee(self, trade: Json, spec: ListingSpec) -> tuple[int, int]:
        """Atoms, negative, and of what. A fee in an asset that nobody here keeps a ledger of is counted, not guessed."""
        universe, fee = self.sequencer.universe, trade.get("fee") or {}
        asset = fee.get("currency")
        if asset not in universe.assets:
            self.counts["foreign_fees"] += 1
            return 0, universe.assets.index(spec.settle)
        return -int(exact(fee.get("cost") or 0) * 10 ** universe.decimals[asset]), universe.assets.index(asset)

    def _settle(self, sent: Sent, *, is_asked: bool = False) -> None:
        """What the order has come to; fills we have not heard of are asked for first."""
        if sent.is_done:
            return
        if sent.executed > sent.filled_lots * self.specs[sent.listing_id].lot_size:
            self.counts["missed_fills"] += 1
            if not is_asked:
                self._ask(TRADES, sent)
        elif sent.status in FINAL:
            is_rejected = sent.status == "rejected" and not sent.filled_lots
            self._end(sent, Kind.REJECTED if is_rejected else Kind.EXPIRED, RejectReason.NONE)
        elif not sent.is_acknowledged:
            sent.is_acknowledged = True
            self.sequencer.hear(Kind.ACCEPTED, sent.listing_id, order_id=sent.order_id)

    def _end(self, sent: Sent, kind: Kind, reason: RejectReason) -> None:
        sent.is_done = True
        self.sequencer.hear(kind, sent.listing_id, order_id=sent.order_id, code=reason)


def is_clear(names: Sequence[str]) -> bool:
    """Does this error, by the names of its type and bases, say for certain that no order was made?"""
    return bool(CLEAR & set(names)) and not UNCLEAR & set(names) and names[0] != VAGUE
