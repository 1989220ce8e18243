"""Databento's books as level changes: from views of the first levels, and from single orders."""

from typing import Any

import numpy as np

from ...core.kinds import Kind, Side
from ..decimals import Array
from .rows import ROW, blank_rows

UNDEF_PRICE = 2**63 - 1
F_SNAPSHOT = 32
F_MAYBE_BAD_BOOK = 4  # the venue's channel lost messages
SIDES = {b"B": Side.BUY, b"A": Side.SELL}


def stamped(records: Array, numbers: Array, kind: Kind) -> Array:
    """A row a record, without a level yet."""
    rows = blank_rows(len(records), number=numbers, kind=kind)
    for name, source in (("ts_local_ns", "ts_recv"), ("ts_venue_ns", "ts_event")):
        rows[name] = records[source].astype(np.int64)
    is_answer = (records["flags"] & F_SNAPSHOT) != 0  # stamped when each order came in, not when it was told
    rows["ts_venue_ns"] = np.where(is_answer, rows["ts_local_ns"], rows["ts_venue_ns"])
    return rows


class Views:
    """Books of a few levels a side, each whole: what changes from one to the next."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.before: Array = np.full((1, 2, depth, 2), UNDEF_PRICE, np.int64)  # price and size by side and level
        self.is_open = False

    def rows(self, records: Array, numbers: Array) -> Array:
        """Levels that left the view with no lots, then levels that are new or of another size."""
        if len(records) == 0:
            return np.zeros(0, ROW)
        now = self._views(records)
        before = np.concatenate([self.before, now])[:-1]
        self.before = now[-1:].copy()
        changes = np.concatenate([_gone(before, now), _new(before, now)], axis=2)
        record, side, slot = np.nonzero(changes[..., 0] != UNDEF_PRICE)
        rows = stamped(records, numbers, Kind.DEPTH)[record]
        rows["ticks"], rows["lots"] = changes[record, side, slot].T
        rows["side"] = np.where(side == 0, Side.BUY, Side.SELL)
        return rows if self.is_open else self._opened(rows, records, numbers)

    def _opened(self, rows: Array, records: Array, numbers: Array) -> Array:
        """The first view is a snapshot, even of an empty book."""
        self.is_open = True
        rows["kind"][rows["number"] == numbers[0]] = Kind.SNAPSHOT
        return np.concatenate([stamped(records[:1], numbers[:1], Kind.SNAPSHOT), rows])

    def _views(self, records: Array) -> Array:
        views = np.zeros((len(records), 2, self.depth, 2), np.int64)
        for level in range(self.depth):
            for side, name in enumerate(("bid", "ask")):
                views[:, side, level, 0] = records[f"{name}_px_{level:02}"]
                views[:, side, level, 1] = records[f"{name}_sz_{level:02}"]
        views[views[..., 0] == UNDEF_PRICE, 1] = UNDEF_PRICE
        return views


def _gone(before: Array, now: Array) -> Array:
    is_there = (before[:, :, :, None, 0] == now[:, :, None, :, 0]).any(axis=3)
    gone = np.where(is_there[..., None], UNDEF_PRICE, before)
    gone[..., 1] = 0
    return gone


def _new(before: Array, now: Array) -> Array:
    is_same = (now[:, :, :, None, :] == before[:, :, None, :, :]).all(axis=4).any(axis=3)
    return np.where(is_same[..., None], UNDEF_PRICE, now)


class Orders:
    """A book kept order by order: what each record makes of its levels."""

    def __init__(self) -> None:
        self.orders: dict[int, tuple[int, int, int]] = {}  # side, price, size
        self.levels: dict[tuple[int, int], int] = {}  # size by side and price
        self.unknown = 0  # cancels of orders nobody saw added
        self.cleared_ns = -1

    def rows(self, records: Array, numbers: Array) -> Array:
        """Rows for the levels that changed; a cleared book is a snapshot, and so are the orders sent along with it."""
        found: list[tuple[int, int, int, int]] = []  # record, side, price, size
        columns = [records[name].tolist() for name in ("action", "side", "order_id", "price", "size")]
        for i, (action, side, order_id, price, size) in enumerate(zip(*columns, strict=True)):
            if action == b"R":
                self.orders.clear()
                self.levels.clear()
                found.append((i, 0, 0, 0))
            else:
                changed = self._changed(action, int(SIDES.get(side, 0)), order_id, price, size)
                found += [(i, *level, self.levels.get(level, 0)) for level in changed]
        return self._as_rows(found, records, numbers)

    def _changed(self, action: bytes, side: int, order_id: int, price: int, size: int) -> list[tuple[int, int]]:
        """Apply one record: the levels it changes. Trades and fills change none: the cancel behind them does."""
        if action == b"A" or (action == b"M" and order_id not in self.orders):
            return [self._add(order_id, side, price, size)] if side else []
        if action == b"M":
            old = self._take(order_id, self.orders[order_id][2])
            return [old, self._add(order_id, side, price, size)]
        if action == b"C" and order_id in self.orders:
            return [self._take(order_id, size)]
        self.unknown += action == b"C"
        return []

    def _add(self, order_id: int, side: int, price: int, size: int) -> tuple[int, int]:
        level = (side, price)
        self.orders[order_id] = (side, price, size)
        self.levels[level] = self.levels.get(level, 0) + size
        return level

    def _take(self, order_id: int, size: int) -> tuple[int, int]:
        """Cancel so much of an order, or what there is of it."""
        side, price, left = self.orders.pop(order_id)
        taken = min(size, left)
        if left > taken:
            self.orders[order_id] = (side, price, left - taken)
        self.levels[side, price] -= taken
        if self.levels[side, price] == 0:
            del self.levels[side, price]
        return side, price

    def _as_rows(self, found: list[tuple[int, int, int, int]], records: Array, numbers: Array) -> Array:
        table: Any = np.array(found, np.int64).reshape(-1, 4)
        which = table[:, 0]
        rows = stamped(records, numbers, Kind.DEPTH)[which]
        rows["side"], rows["ticks"], rows["lots"] = table[:, 1], table[:, 2], table[:, 3]
        is_clear = rows["side"] == 0
        starts = np.maximum.accumulate(np.where(is_clear, np.arange(len(rows)), -1))
        cleared_ns = np.where(starts >= 0, rows["ts_local_ns"][starts], self.cleared_ns)
        self.cleared_ns = int(cleared_ns[-1]) if len(rows) else self.cleared_ns
        is_answer = (records["flags"][which] & F_SNAPSHOT) != 0
        is_whole = is_clear | (is_answer & (rows["ts_local_ns"] == cleared_ns))
        rows["kind"] = np.where(is_whole, Kind.SNAPSHOT, Kind.DEPTH)
        rows["ts_venue_ns"] = np.where(is_clear, rows["ts_local_ns"], rows["ts_venue_ns"])
        return rows
