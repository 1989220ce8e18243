"""Tapes into one run: packets of all listings in the order they were received."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..core.schema import LEVEL, PACKET, Kind
from ..errors import UserError
from .decimals import Array
from .tape import ListingSpec, Tape

BLOCK_PACKETS = 1 << 18


class Merged(NamedTuple):
    """What a run reads. `listing_id` of a packet is an index into listings."""

    packets: Array  # PACKET, ts_local_ns non-decreasing; at equal times in the order of listings
    levels: Array  # LEVEL; the rows of a packet lie together, those of a listing in its own order
    listings: list[ListingSpec]
    truth: Array | None  # f8 per packet; NaN where a listing has none


class Part(NamedTuple):
    """A stretch of one tape, not copied; its packets' level_begin counts from level_first before its levels."""

    packets: Array
    levels: Array
    level_first: int
    truth: Array | None


def merge(tapes: list[Tape], start_ns: int | None = None, end_ns: int | None = None) -> Merged:
    """All packets with start_ns <= ts_local_ns < end_ns.

    A listing whose tape began before the start opens with a SNAPSHOT of its book as it then was. Tapes of one
    listing are joined. A single tape taken whole is not copied.
    """
    by_listing = _by_listing(tapes)
    listings = [of_listing[0].facts.listing for of_listing in by_listing]
    if len(tapes) == 1 and start_ns is None and end_ns is None:
        return Merged(tapes[0].packets, tapes[0].levels, listings, tapes[0].truth)
    parts = [
        (listing_id, part)
        for listing_id, of_listing in enumerate(by_listing)
        for tape in of_listing
        for part in _cut(tape, start_ns, end_ns)
    ]
    packets, levels, truth = _interleaved([part for _, part in parts], [listing_id for listing_id, _ in parts])
    return Merged(packets, levels, listings, truth)


def _by_listing(tapes: list[Tape]) -> list[list[Tape]]:
    """Tapes by listing in order of first mention, each listing's in time order."""
    found: dict[str, list[Tape]] = {}
    for tape in tapes:
        found.setdefault(tape.facts.listing.name, []).append(tape)
    for of_listing in found.values():
        of_listing.sort(key=lambda tape: tape.facts.ts_first_ns)
        for before, after in pairwise(of_listing):
            _refuse_unlike(before, after)
    return list(found.values())


def _refuse_unlike(before: Tape, after: Tape) -> None:
    if after.facts.ts_first_ns <= before.facts.ts_last_ns:
        raise UserError(f"{after.folder} overlaps {before.folder}", "remove one of them")
    if after.facts.listing != before.facts.listing:
        message = f"{after.folder} counts in other ticks or lots than {before.folder}"
        raise UserError(message, "import both recordings together, or run them apart")


def _cut(tape: Tape, start_ns: int | None, end_ns: int | None) -> list[Part]:
    """The stretch, behind a snapshot that opens it if one is needed; nothing if it is empty."""
    all_packets, all_levels, truth = tape.packets, tape.levels, tape.truth
    ts = all_packets["ts_local_ns"]
    begin = 0 if start_ns is None else int(np.searchsorted(ts, start_ns))
    end = len(ts) if end_ns is None else int(np.searchsorted(ts, end_ns))
    if begin >= end:
        return []
    packets = all_packets[begin:end]
    first = int(packets["level_begin"].min())
    last = int((packets["level_begin"] + packets["buy_count"] + packets["sell_count"]).max())
    stretch = Part(packets, all_levels[first:last], first, None if truth is None else truth[begin:end])
    return [*_opening(tape, begin, start_ns), stretch]


def _opening(tape: Tape, begin: int, start_ns: int | None) -> list[Part]:
    """The book after the first `begin` packets as a SNAPSHOT stamped start_ns; nothing if it was not LIVE."""
    rows = None if start_ns is None else book_after(tape, begin)
    if rows is None:
        return []
    packets, truth = np.zeros(1, PACKET), tape.truth
    packets["kind"], packets["ts_local_ns"] = Kind.SNAPSHOT, start_ns
    packets["ts_venue_ns"] = tape.packets["ts_venue_ns"][begin - 1]
    packets["buy_count"], packets["sell_count"] = len(rows[0]), len(rows[1])
    return [Part(packets, np.concatenate(rows), 0, None if truth is None else truth[begin - 1 : begin])]


def book_after(tape: Tape, count: int) -> tuple[Array, Array] | None:
    """Bids and asks, best first, after the tape's first `count` packets; None if the book was not LIVE then."""
    packets = tape.packets[:count]
    turns = np.flatnonzero((packets["kind"] == Kind.SNAPSHOT) | (packets["kind"] == Kind.STATUS))
    if len(turns) == 0 or packets["kind"][turns[-1]] == Kind.STATUS:
        return None
    bids, asks = np.zeros(0, LEVEL), np.zeros(0, LEVEL)
    for at in range(int(turns[-1]), count, BLOCK_PACKETS):
        block = packets[at : min(at + BLOCK_PACKETS, count)]
        block = block[(block["kind"] == Kind.SNAPSHOT) | (block["kind"] == Kind.DEPTH)]
        middle = block["level_begin"] + block["buy_count"]
        bids = _latest(bids, _taken(tape.levels, _ranges(block["level_begin"], block["buy_count"])))
        asks = _latest(asks, _taken(tape.levels, _ranges(middle, block["sell_count"])))
    return bids[::-1], asks


def _latest(levels: Array, changes: Array) -> Array:
    """Levels after changes, by rising price."""
    newest_first = _joined([levels, changes], LEVEL)[::-1]
    _, where = np.unique(newest_first["price_ticks"], return_index=True)
    return newest_first[where[newest_first["lots"][where] > 0]]


def _ranges(begins: Array, counts: Array) -> Array:
    """begin, begin + 1, ... for count steps, one range behind the other."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(begins - ends + counts, counts)


def _interleaved(parts: list[Part], listing_ids: list[int]) -> tuple[Array, Array, Array | None]:
    """Packets in time order (equal times keep the order of parts), levels part behind part, truth."""
    counts = [len(part.packets) for part in parts]
    level_counts = np.array([len(part.levels) for part in parts], "i8")
    shifts = np.cumsum(level_counts) - level_counts - [part.level_first for part in parts]
    packets = _joined([part.packets for part in parts], PACKET)
    packets["listing_id"] = np.repeat(np.array(listing_ids, "i2"), counts)
    packets["level_begin"] += np.repeat(shifts, counts)
    order = np.argsort(packets["ts_local_ns"], kind="stable")
    truth = None
    if any(part.truth is not None for part in parts):
        known = [np.full(len(part.packets), np.nan) if part.truth is None else part.truth for part in parts]
        truth = np.concatenate(known)[order]
    return _taken(packets, order), _joined([part.levels for part in parts], LEVEL), truth


# Records are moved as bytes: moved field by field, as NumPy would, they take six to eighteen times as long.
def _joined(arrays: list[Array], dtype: np.dtype[Any]) -> Array:
    whole = np.dtype(("V", dtype.itemsize))
    return np.concatenate([np.zeros(0, whole), *(array.view(whole) for array in arrays)]).view(dtype)


def _taken(records: Array, order: Array) -> Array:
    return np.take(records.view(("V", records.dtype.itemsize)), order).view(records.dtype)
