"""Vendor rows on their way to packets: rows of one kind that share their stamps become one packet."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...core.kinds import Kind, Side
from ...core.schema import LEVEL, NEVER_NS, NS_PER_S, PACKET
from ...errors import UserError
from ..decimals import LIMIT, Array

ROW = np.dtype(
    [
        ("number", "i8"),  # line or record in the file, from 1
        ("ts_local_ns", "i8"),
        ("ts_venue_ns", "i8"),
        ("part", "i8"),  # tells packets apart that share kind and stamps
        ("ticks", "i8"),
        ("lots", "i8"),
        ("kind", "i2"),
        ("code", "i2"),
        ("side", "i2"),  # Side; 0: a packet without rows
    ]
)
SHARED = ("ts_local_ns", "ts_venue_ns", "kind", "code", "part")  # by all rows of a packet
PACKET_ROWS_MAX = 1 << 22
CLOCK_ERROR_NS_MAX = 86_400 * NS_PER_S  # a venue stamp further from ours is no stamp
STAMP_MIN_NS, STAMP_MAX_NS = 10**18, NEVER_NS  # before September 2001 it is no stamp

Refuse = Callable[..., UserError]  # (number, reason, hint where there is a better one)


def blank_rows(count: int, **columns: Any) -> Array:
    """Rows with some columns filled."""
    rows = np.zeros(count, ROW)
    for name, values in columns.items():
        rows[name] = values
    return rows


def first_at(numbers: Array, is_bad: Array) -> int:
    """The number of the first bad row; 0 if there is none."""
    return int(numbers[np.argmax(is_bad)]) if is_bad.any() else 0


def check_levels(rows: Array, refused: Refuse) -> None:
    """Refuse prices and sizes that no tape holds."""
    has_level = rows["side"] != 0
    ticks, lots = rows["ticks"], rows["lots"]
    too_large = lots > (LIMIT - 1) // np.maximum(ticks, 1)
    for is_bad, reason in (
        (has_level & (ticks <= 0), "price is not positive"),
        (has_level & (lots < 0), "negative size"),
        (has_level & too_large, "number too large: ticks, lots and their product must stay below 2^62"),
    ):
        if number := first_at(rows["number"], is_bad):
            raise refused(number, reason)


def check_stamps(rows: Array, previous_ns: int, refused: Refuse) -> None:
    """Refuse stamps that are not ns since 1970, and time that goes backwards."""
    for name in ("ts_local_ns", "ts_venue_ns"):
        is_bad = (rows[name] < STAMP_MIN_NS) | (rows[name] >= STAMP_MAX_NS)
        if number := first_at(rows["number"], is_bad):
            raise refused(number, f"{int(rows[name][np.argmax(is_bad)])} ns is not a time since September 2001")
    is_far = np.abs(rows["ts_local_ns"] - rows["ts_venue_ns"]) > CLOCK_ERROR_NS_MAX
    if number := first_at(rows["number"], is_far):
        raise refused(number, "venue time is more than a day from the receive time")
    back_ns = -np.diff(rows["ts_local_ns"], prepend=previous_ns)
    if number := first_at(rows["number"], back_ns > 0):
        raise refused(number, f"time goes backwards by {int(back_ns[np.argmax(back_ns > 0)])} ns")


def is_first(rows: Array) -> Array:
    """Which rows begin a packet."""
    first = np.ones(len(rows), bool)
    first[1:] = False
    for name in SHARED:
        first[1:] |= rows[name][1:] != rows[name][:-1]
    return first


def whole_packets(batches: Iterator[Array], refused: Refuse) -> Iterator[Array]:
    """The same rows, cut between packets."""
    open_rows = np.zeros(0, ROW)
    for batch in batches:
        rows = np.concatenate([open_rows, batch])
        if len(rows) == 0:
            continue
        last = int(np.flatnonzero(is_first(rows))[-1])  # the next batch may go on with it
        if len(rows) - last > PACKET_ROWS_MAX:
            raise refused(int(rows["number"][last]), f"more than {PACKET_ROWS_MAX:,} rows with the same stamps")
        if last:
            yield rows[:last]
        open_rows = rows[last:]
    if len(open_rows):
        yield open_rows


def merged_rows(streams: list[Iterator[Array]]) -> Iterator[Array]:
    """Rows of several streams, each sorted by time, in one; at equal times in the order of the streams."""
    waiting = [(head, stream) for stream in streams if (head := _next(stream)) is not None]
    while len(waiting) > 1:
        until_ns = min(int(head["ts_local_ns"][-1]) for head, _ in waiting)
        taken, left = [], []
        for head, stream in waiting:
            before, after = _split(head, stream, until_ns)
            taken.append(before)
            rest = after if len(after) else _next(stream)
            left += [] if rest is None else [(rest, stream)]
        rows = np.concatenate(taken)
        yield rows[np.argsort(rows["ts_local_ns"], kind="stable")]
        waiting = left
    for head, stream in waiting:
        yield head
        yield from stream


def _next(stream: Iterator[Array]) -> Array | None:
    return next((rows for rows in stream if len(rows)), None)


def _split(head: Array, stream: Iterator[Array], until_ns: int) -> tuple[Array, Array]:
    """What comes until then, and the rest of what had to be read to know."""
    while int(head["ts_local_ns"][-1]) == until_ns and (more := _next(stream)) is not None:
        head = np.concatenate([head, more])
    count = int(np.searchsorted(head["ts_local_ns"], until_ns, "right"))
    return head[:count], head[count:]


def packets_of(rows: Array) -> tuple[Array, Array]:
    """Packets and levels of whole packets' rows; within a packet buys come first, each side in its order."""
    first = is_first(rows)
    group, packets = np.cumsum(first) - 1, np.zeros(int(first.sum()), PACKET)
    for name in ("kind", "code", "ts_local_ns", "ts_venue_ns"):
        packets[name] = rows[name][first]
    for name, side in (("buy_count", Side.BUY), ("sell_count", Side.SELL)):
        packets[name] = np.bincount(group[rows["side"] == side], minlength=len(packets))
    counts = packets["buy_count"].astype(np.int64) + packets["sell_count"]
    packets["level_begin"] = np.cumsum(counts) - counts
    order = np.lexsort((-rows["side"], group))
    order = order[rows["side"][order] != 0]
    levels = np.zeros(len(order), LEVEL)
    levels["price_ticks"], levels["lots"] = rows["ticks"][order], rows["lots"][order]
    return packets, levels


def without_early_depth(rows: Array, has_snapshot: bool) -> tuple[Array, int]:
    """Without the depth before the first snapshot, which changes a book nobody knows; how many packets that were."""
    if has_snapshot:
        return rows, 0
    snapshots = np.flatnonzero(rows["kind"] == Kind.SNAPSHOT)
    begin = int(snapshots[0]) if len(snapshots) else len(rows)
    is_early = (rows["kind"] == Kind.DEPTH) & (np.arange(len(rows)) < begin)
    return rows[~is_early], int((is_early & is_first(rows)).sum())
