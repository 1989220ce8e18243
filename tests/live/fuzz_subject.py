"""What the fuzz asks of an adapter and of the genuine traffic around it."""

from abc import ABC, abstractmethod
from typing import Any

from elegant_trading_system.core.kinds import Kind
from elegant_trading_system.data.journal import Journal

Frame = bytes | str
NOTIONAL_MAX = 2**61  # ticks * lots: what the core's sums have room for


class Subject(ABC):
    """Something that hears frames, and the genuine traffic around it. `told`, `counted` and `refused` only grow."""

    adapter: Any  # the one that is fuzzed
    reads_json = True

    @abstractmethod
    def genuine(self) -> list[bytes]:
        """Frames that were heard, and frames that are about to be: what is spoilt."""

    @abstractmethod
    def hear(self, frame: Frame) -> None:
        """Must never raise."""

    @abstractmethod
    def told(self) -> int:
        """How much has changed for those behind it."""

    def counted(self) -> int:
        """How many frames were refused, ignored or found known."""
        return sum(self.adapter.counts.values())

    def refused(self) -> int:
        """How many of them were no frames of the venue's at all."""
        return int(self.adapter.counts["refused"])

    def state(self) -> Any:  # noqa: B027 - some have none
        """What a refused frame must leave as it is, besides `told`."""

    def check(self) -> None:  # noqa: B027 - some have none
        """What must hold at every moment."""

    @abstractmethod
    def may_tell(self, message: Any) -> bool:
        """Could this message, read with another reader, be the venue's word?"""

    @abstractmethod
    def settle(self, *, is_dirty: bool) -> None:
        """Genuine traffic goes on; AssertionError unless all is as it should be. Dirty: spoilt frames passed for good."""

    def close(self) -> None:  # noqa: B027 - some have none
        """Let go of files."""


def told_lots(journal: Journal, order_id: int) -> int:
    """By how much an order was filled, as the core has heard it."""
    packets = journal.packets[: journal.position]
    begins = packets["level_begin"][(packets["kind"] == Kind.FILL) & (packets["order_id"] == order_id)]
    return int(journal.rows["lots"][begins].sum())


def check_rows(journal: Journal) -> None:
    """The last event's levels are prices and sizes that a book can hold."""
    packet = journal.packets[journal.position - 1] if journal.position else None
    if packet is not None:
        begin = int(packet["level_begin"])
        rows = journal.rows[begin : begin + int(packet["buy_count"]) + int(packet["sell_count"])]
        for ticks, lots in rows.tolist():
            assert ticks > 0 <= lots and ticks * lots <= NOTIONAL_MAX, (ticks, lots)
