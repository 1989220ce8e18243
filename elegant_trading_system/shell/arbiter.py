"""Two connections, one stream: the first copy of each message wins, what one lost the other brings.

Messages are numbered [first, last]. One that leaves a hole waits for the twin; the hole is a loss only when every
connection that is up has gone past it, or when it has lasted too long.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Generic, NamedTuple, TypeVar

PENDING_MAX = 1000
JUMP = (
    10_000_000  # numbers further apart than this do not belong to one count: one of them is nonsense, or it began anew
)
OLD_MAX = 20  # snapshots too old in a row: then rather what we hold against them is nonsense
Payload = TypeVar("Payload")


class Verdict(Enum):
    """What a message did to the stream."""

    MOVED = auto()  # it, and perhaps what waited for it, is to be applied
    REPEATED = auto()  # the other copy was first
    WAITING = auto()  # something before it is missing
    LOST = auto()  # nobody can bring what is missing: a snapshot is needed


MOVED, REPEATED, WAITING = Verdict.MOVED, Verdict.REPEATED, Verdict.WAITING


class Message(NamedTuple, Generic[Payload]):
    first: int
    last: int
    payload: Payload


@dataclass
class Arbiter(Generic[Payload]):
    """The place of one instrument's stream; -1 until a snapshot says where it is."""

    last_id: int = -1
    pending: dict[int, Message[Payload]] = field(default_factory=dict)
    heard: dict[int, int] = field(default_factory=dict)  # connection -> the last id it has brought
    repeated: int = 0
    repaired: int = 0  # holes of one connection that the other filled
    lost: int = 0
    reached: int = -1  # the last id ever applied: no snapshot may be older
    old: int = 0  # snapshots refused in a row

    def take(self, connection: int, message: Message[Payload]) -> tuple[Verdict, list[Payload]]:
        """Judge a message; returns what is to be applied now, in order."""
        if self.is_known(connection, message.last):
            return Verdict.REPEATED, []
        if self.is_jump(message.last) or message.last - message.first > JUMP:
            return Verdict.LOST, []
        had_hole = bool(self.pending) and self.last_id >= 0
        if len(self.pending) >= PENDING_MAX:  # where no snapshot comes, what is newest is worth most
            del self.pending[next(iter(self.pending))]
        self.pending.setdefault(message.first, message)
        if self.last_id < 0:
            return Verdict.WAITING, []
        moved = self._drain()
        if moved:
            self.repaired += had_hole and not self.pending
            return Verdict.MOVED, moved
        return (Verdict.LOST if self.is_lost() else Verdict.WAITING), []

    def take_next(self, connection: int, first: int, last: int) -> Verdict:
        """`take` of a message that is known or is the very next, whose payload lies ready; WAITING: it is neither."""
        if self.pending or self.last_id < 0 or first > self.last_id + 1:
            return WAITING  # nothing is noted: `take` will
        if self.is_jump(last) or last - first > JUMP:
            return WAITING
        if last <= self.last_id:
            self.is_known(connection, last)
            return REPEATED
        if last > self.heard.get(connection, -1):
            self.heard[connection] = last
        self.last_id = self.reached = last
        return MOVED

    def is_known(self, connection: int, last: int) -> bool:
        """Note what a connection has brought: is it contained in the stream already?"""
        if self.is_jump(last):
            return False
        self.heard[connection] = max(self.heard.get(connection, -1), last)
        is_known = self.last_id >= max(last, 0)
        self.repeated += is_known
        return is_known

    def is_jump(self, last: int) -> bool:
        """Does this number belong to another count than ours?"""
        return self.last_id >= 0 and abs(last - self.last_id) > JUMP

    def join(self, connection: int) -> None:
        """A connection is up: a hole may be filled by it until it has gone past."""
        self.heard[connection] = -1

    def forget(self, connection: int) -> bool:
        """A connection went down: it brings nothing more. Returns whether something is lost by that."""
        self.heard.pop(connection, None)
        return self.last_id >= 0 and self.is_lost()

    def is_lost(self) -> bool:
        """Is there a hole that no connection will fill?"""
        if not self.pending:
            return False
        hole = self.last_id + 1
        return all(last >= hole for last in self.heard.values()) or len(self.pending) >= PENDING_MAX

    def begin(self, last_id: int) -> None:
        """The count goes on behind this number, whatever came before."""
        self.last_id = self.reached = last_id
        self.pending.clear()

    def drop(self) -> None:
        """The stream's place is lost: wait for a snapshot, keeping what comes behind the hole."""
        self.last_id = -1
        self.lost += 1

    def restart(self, last_id: int) -> list[Payload] | None:
        """A snapshot holds everything up to last_id: what to apply on top, or None when it is too old."""
        kept = {n: one for n, one in self.pending.items() if last_id < one.last <= last_id + JUMP}
        if 0 < self.reached - last_id <= JUMP or (kept and min(kept) > last_id + 1):
            self.old += 1
            if self.old % OLD_MAX == 0:
                self.begin(-1)
            return None
        self.pending, self.last_id, self.reached, self.old = kept, last_id, last_id, 0
        return self._drain()

    def _drain(self) -> list[Payload]:
        moved: list[Payload] = []
        while self.pending:
            first = min(self.pending)
            if first > self.last_id + 1:
                break
            message = self.pending.pop(first)
            if message.last > self.last_id:
                moved.append(message.payload)
                self.last_id = self.reached = message.last
        return moved
