"""What every gateway does with the orders it has sent, whatever the venue: names, ends, fills that count once."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from ..core.kinds import FeeSource, Kind, RejectReason
from ..core.schema import LEVEL
from ..data.tape import ListingSpec
from .command import Command
from .link import FillKey, OpenOrder
from .sequencer import NO_ROWS, Sequencer

NS_PER_MS = 1_000_000
ORDERS_MAX = 10_000  # remembered, so that a late copy of a report is known for one
ABSENCE_MS = (
    20_000  # what a request lives at the venue, the engine's own ten seconds, and some: only then is absence believed
)


@dataclass
class Sent:
    """An order as far as the venue has spoken of it."""

    order_id: int
    listing_id: int
    side: int
    lots: int
    ts_ms: int
    name: str  # the venue's word for it
    heard: dict[FillKey, int] = field(default_factory=dict)  # fills of before a crash, whose trade ids are forgotten
    filled_lots: int = 0
    is_acknowledged: bool = False
    is_done: bool = False


Order = TypeVar("Order", bound=Sent)


class OrdersSent(ABC, Generic[Order]):
    """One account's orders on a venue's instruments."""

    order_type: ClassVar[type[Any]]

    def __init__(
        self, sequencer: Sequencer, specs: dict[int, ListingSpec], epoch: str, now_ms: Callable[[], int]
    ) -> None:
        self.sequencer, self.specs, self.epoch = sequencer, specs, epoch
        self.orders: dict[int, Order] = {}
        self.counts = Counter[str]()
        self._restored: list[Order] = []  # of before a crash
        self._unsent: list[tuple[Order, RejectReason]] = []  # decided while they could not leave: they never have
        self._now_ms = now_ms

    # --- what each venue does in its own way ------------------------------------------------------------------
    @staticmethod
    @abstractmethod
    def client_id(epoch: str, order_id: int) -> str:
        """An order's name at the venue, made of the session's epoch and our own number: never used again."""

    @abstractmethod
    def _query(self, sent: Order) -> None:
        """Ask what became of it."""

    @property
    def is_ready(self) -> bool:
        """Would an answer be heard?"""
        return True

    # --- sending ----------------------------------------------------------------------------------------------
    def _note(self, command: Command) -> Order:
        """An order is known before it leaves; the oldest that has ended makes room."""
        if len(self.orders) >= ORDERS_MAX and (oldest := next(iter(self.orders.values()))).is_done:
            del self.orders[oldest.order_id]
        order_id, name = command.order_id, self.client_id(self.epoch, command.order_id)
        sent: Order = self.order_type(order_id, command.listing_id, command.side, command.lots, self._now_ms(), name)
        self.orders[order_id] = sent
        return sent

    def _keep_back(self, sent: Order, reason: RejectReason = RejectReason.VENUE) -> None:
        """Sent later, it would meet another market."""
        self.counts["unsent"] += 1
        self._unsent.append((sent, reason))

    def _refuse_unsent(self) -> None:
        """Orders that never left are refused by us. Not at once: they were decided inside a step of the core."""
        while self._unsent:
            self._end(self._unsent[0][0], Kind.REJECTED, self._unsent.pop(0)[1])

    # --- after a crash ----------------------------------------------------------------------------------------
    def restore(self, orders: list[OpenOrder]) -> None:
        """Orders of before a crash are known again, each under the name it was sent by."""
        for order_id, listing_id, side, lots, filled_lots, ts_sent_ns, epoch, fills in orders:
            name, ts_ms = self.client_id(epoch, order_id), ts_sent_ns // NS_PER_MS
            sent = self.order_type(order_id, listing_id, side, lots, ts_ms, name, fills, filled_lots)
            self.orders[order_id] = sent
            self._restored.append(sent)

    def unsettled(self) -> int:
        """Restored orders without the venue's last word; it is asked again about each."""
        self._restored = [sent for sent in self._restored if not sent.is_done]
        if self.is_ready:
            for sent in self._restored:
                self._query(sent)
        return len(self._restored)

    # --- what the core is told --------------------------------------------------------------------------------
    def _hear_fill(
        self, sent: Order, ticks: int, lots: int, atoms: int, asset_id: int, ts_ns: int = 0, worth: int = 0
    ) -> bool:
        """One execution that was not heard of in this session; False if it was in the one before. `atoms`: of the fee.

        `worth`: atoms of what we settle in, where the fee was paid with what the run does not keep a ledger of.
        """
        key = ticks, lots, atoms, asset_id
        if sent.heard.get(key, 0) > 0:
            sent.heard[key] -= 1
            self.counts["repeated_fills"] += 1
            return False
        row = np.array([(ticks, lots)], LEVEL)
        sent.filled_lots += lots
        sent.is_acknowledged = True
        buys, sells = (row, NO_ROWS) if sent.side > 0 else (NO_ROWS, row)
        self.sequencer.hear(
            Kind.FILL,
            sent.listing_id,
            buys,
            sells,
            ts_venue_ns=ts_ns,
            order_id=sent.order_id,
            atoms=atoms - worth,
            asset_id=asset_id,
            code=FeeSource.ELSEWHERE if worth else FeeSource.BALANCE,
        )
        self.counts["foreign_fees"] += worth > 0
        sent.is_done = sent.filled_lots == sent.lots
        return True

    def _accept(self, sent: Order, ts_ns: int = 0) -> None:
        if not sent.is_acknowledged:
            sent.is_acknowledged = True
            self.sequencer.hear(Kind.ACCEPTED, sent.listing_id, ts_venue_ns=ts_ns, order_id=sent.order_id)

    def _end(self, sent: Order, kind: Kind, reason: RejectReason, ts_ns: int = 0) -> None:
        sent.is_done = True
        self.sequencer.hear(kind, sent.listing_id, ts_venue_ns=ts_ns, order_id=sent.order_id, code=reason)
