"""Two connections, one stream: the first copy of each message wins, what one lost the other brings.

Messages are numbered [first, last]. One that leaves a hole waits for the twin; the hole is a loss only when every
connection that is up has gone past it, or when it has lasted too long.
"""

from enum import Enum, auto
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from ..core.jit import kernel
from ..core.schema import record

CONNECTIONS = 4  # to one venue, at most
GONE = -2  # in place of the last id of a connection that is not there
PENDING_MAX = 5000  # a busy tenth of a second has had a thousand prints
JUMP = (
    10_000_000  # numbers further apart than this do not belong to one count: one of them is nonsense, or it began anew
)
OLD_MAX = 20  # snapshots too old in a row: then rather what we hold against them is nonsense
Payload = TypeVar("Payload")
STREAM = record(
    [
        ("last_id", "i8"),  # applied; -1 until a snapshot says where the stream is
        ("reached", "i8"),  # the last id ever applied: no snapshot may be older
        ("repeated", "i8"),
        ("pending_count", "i8"),  # messages that wait for one before them
        ("heard", "i8", (CONNECTIONS,)),  # the last id each has brought, -1 before the first, or GONE
    ]
)


class Verdict(Enum):
    """What a message did to the stream."""

    MOVED = auto()  # it, and perhaps what waited for it, is to be applied
    REPEATED = auto()  # the other copy was first
    WAITING = auto()  # something before it is missing
    LOST = auto()  # nobody can bring what is missing: a snapshot is needed


MOVED, REPEATED, WAITING = (one.value for one in (Verdict.MOVED, Verdict.REPEATED, Verdict.WAITING))


@kernel
def take_next(stream: Any, connection: int, first: int, last: int) -> int:
    """`Arbiter.take` of a message that is known or is the very next, whose payload lies ready; WAITING: it is neither."""
    last_id = stream.last_id
    is_near = -JUMP <= last - last_id <= JUMP and last - first <= JUMP
    if stream.pending_count > 0 or last_id < 0 or first > last_id + 1 or not is_near:
        return WAITING  # nothing is noted: `take` will
    stream.heard[connection] = max(stream.heard[connection], last)
    if last <= last_id:
        stream.repeated += 1
        return REPEATED
    stream.last_id = stream.reached = last
    return MOVED


class Message(NamedTuple, Generic[Payload]):
    first: int
    last: int
    payload: Payload


class Arbiter(Generic[Payload]):
    """The place of one instrument's stream: what compiled code needs of it in a STREAM record, the rest here."""

    def __init__(self, state: Any = None, last_id: int = -1) -> None:
        self.state = np.zeros(1, STREAM)[0] if state is None else state
        self.state.heard[:] = GONE
        self.state.reached = -1
        self.state.last_id, self.state.repeated, self.state.pending_count = last_id, 0, 0
        self.pending: dict[int, Message[Payload]] = {}
        self.repaired = 0  # holes of one connection that the other filled
        self.lost = 0
        self.old = 0  # snapshots refused in a row

    @property
    def last_id(self) -> int:
        return int(self.state.last_id)

    @property
    def repeated(self) -> int:
        return int(self.state.repeated)

    @property
    def heard(self) -> list[int]:
        """The last id each connection that is up has brought."""
        return [last for last in self.state.heard.tolist() if last != GONE]

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
        self.state.pending_count = len(self.pending)
        if self.last_id < 0:
            return Verdict.WAITING, []
        moved = self._drain()
        if moved:
            self.repaired += had_hole and not self.pending
            return Verdict.MOVED, moved
        return (Verdict.LOST if self.is_lost() else Verdict.WAITING), []

    def is_known(self, connection: int, last: int) -> bool:
        """Note what a connection has brought: is it contained in the stream already?"""
        if self.is_jump(last):
            return False
        self.state.heard[connection] = max(int(self.state.heard[connection]), last)
        is_known = self.last_id >= max(last, 0)
        self.state.repeated += is_known
        return is_known

    def is_jump(self, last: int) -> bool:
        """Does this number belong to another count than ours?"""
        return self.last_id >= 0 and abs(last - self.last_id) > JUMP

    def join(self, connection: int) -> None:
        """A connection is up: a hole may be filled by it until it has gone past."""
        self.state.heard[connection] = -1

    def forget(self, connection: int) -> bool:
        """A connection went down: it brings nothing more. Returns whether something is lost by that."""
        self.state.heard[connection] = GONE
        return self.last_id >= 0 and self.is_lost()

    def is_lost(self) -> bool:
        """Is there a hole that no connection will fill?"""
        if not self.pending:
            return False
        hole = self.last_id + 1
        return all(last >= hole for last in self.heard) or len(self.pending) >= PENDING_MAX

    def begin(self, last_id: int) -> None:
        """The count goes on behind this number, whatever came before."""
        self.pending.clear()
        self._move(last_id)

    def drop(self) -> None:
        """The stream's place is lost: wait for a snapshot, keeping what comes behind the hole."""
        self.state.last_id = -1
        self.lost += 1

    def restart(self, last_id: int) -> list[Payload] | None:
        """A snapshot holds everything up to last_id: what to apply on top, or None when it is too old."""
        kept = {n: one for n, one in self.pending.items() if last_id < one.last <= last_id + JUMP}
        if 0 < int(self.state.reached) - last_id <= JUMP or (kept and min(kept) > last_id + 1):
            self.old += 1
            if self.old % OLD_MAX == 0:
                self.begin(-1)
            return None
        self.pending, self.old = kept, 0
        self._move(last_id)
        return self._drain()

    def _drain(self) -> list[Payload]:
        moved: list[Payload] = []
        while self.pending:
            first = self.last_id + 1 if self.last_id + 1 in self.pending else min(self.pending)
            if first > self.last_id + 1:
                break
            message = self.pending.pop(first)
            if message.last > self.last_id:
                moved.append(message.payload)
                self._move(message.last)
        self.state.pending_count = len(self.pending)
        return moved

    def _move(self, last_id: int) -> None:
        self.state.last_id = self.state.reached = last_id
        self.state.pending_count = len(self.pending)
