"""Depth sequencing: which diff messages may be applied to a book, by the venue's own rules.

Unchained (Binance spot): ids are the book's own, `first` may be at most one above the book's id.
Chained (Binance futures): ids are shared by all symbols; each diff names its predecessor in `previous`.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Generic, NamedTuple, TypeVar

BUFFER_DIFFS = 10_000  # a REST answer takes seconds, a futures diff comes every 50 ms: twenty times too many

Payload = TypeVar("Payload")


class Outcome(Enum):
    """What to do with a message."""

    APPLY = auto()
    DROP = auto()  # already contained in the book
    BUFFER = auto()  # no book yet: kept until a snapshot comes
    GAP = auto()  # a message was lost: the book is dead; this one was kept for the next snapshot


class Diff(NamedTuple, Generic[Payload]):
    first: int  # U
    last: int  # u
    previous: int  # pu; -1 where the venue has none
    payload: Payload


@dataclass
class DepthSequence(Generic[Payload]):
    """One book's position in the stream of diffs."""

    is_chained: bool
    is_live: bool = False
    last_id: int = -1
    is_fresh: bool = False  # no diff applied since the snapshot
    buffer: deque[Diff[Payload]] = field(default_factory=lambda: deque(maxlen=BUFFER_DIFFS))

    def take(self, diff: Diff[Payload]) -> Outcome:
        """Judge the next diff of the stream and move on."""
        if not self.is_live:
            self.buffer.append(diff)
            return Outcome.BUFFER
        if self._is_old(diff):
            return Outcome.DROP
        if self._is_broken(diff):
            self.is_live = False
            self.buffer.append(diff)
            return Outcome.GAP
        self.last_id, self.is_fresh = diff.last, False
        return Outcome.APPLY

    def take_snapshot(self, last_id: int) -> list[Diff[Payload]] | None:
        """Start from a snapshot: the buffered diffs to take next, or None if it is older than what is known."""
        if self.is_live and last_id <= self.last_id:
            return None
        before = DepthSequence[Payload](self.is_chained, True, last_id, True)
        waiting = [diff for diff in self.buffer if not before._is_old(diff)]
        if waiting and before._is_broken(waiting[0]):  # too old: the venue says fetch again
            return None
        self.is_live, self.last_id, self.is_fresh = True, last_id, True
        self.buffer.clear()
        return waiting

    def _is_old(self, diff: Diff[Payload]) -> bool:
        if self.is_chained:  # later messages are judged by their chain alone
            return self.is_fresh and diff.last < self.last_id
        return diff.last <= self.last_id

    def _is_broken(self, diff: Diff[Payload]) -> bool:
        if not self.is_chained:
            return diff.first > self.last_id + 1
        # The docs want first <= last_id for the first one. Ids between previous and first belong to other symbols.
        return diff.previous > self.last_id if self.is_fresh else diff.previous != self.last_id
