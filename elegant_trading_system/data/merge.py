"""Tapes into one run: packets of all listings in the order they were received."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..core.jit import loader
from ..core.kinds import Kind
from ..core.schema import LEVEL, NEVER_NS, PACKET
from ..errors import UserError
from .decimals import Array
from .tape import ListingSpec, Tape
from .warmup import Warmup, is_history, warmup_of

Source = Tape | Warmup

BLOCK_PACKETS = 1 << 18


class Merged(NamedTuple):
    """What a run reads. `listing_id` of a packet is an index into listings."""

    packets: Array  # PACKET, ts_local_ns non-decreasing; at equal times in the order of listings
    levels: Array  # LEVEL; the rows of a packet lie together, those of a listing in its own order
    listings: list[ListingSpec]
    truth: Array | None  # f8 per packet; NaN where a listing has none


class Part(NamedTuple):
    """A stretch of one tape, not copied; its packets' level_begin counts from level_first before its levels."""

    listing_id: int
    packets: Array
    levels: Array
    level_first: int
    truth: Array | None


def merge(tapes: list[Tape], start_ns: int | None = None, end_ns: int | None = None) -> Merged:
    """All packets with start_ns <= ts_local_ns < end_ns.

    A listing whose tape began before the start opens with a SNAPSHOT of its book as it then was. Tapes of one
    listing are joined. A single tape taken whole is not copied. History (bars, volatility indices) is kept from its
    own beginning until the last packet recorded; bars of a recorded listing end where its recording begins.
    """
    if start_ns is not None and end_ns is not None and end_ns <= start_ns:
        raise UserError(f"the run ends at {end_ns} ns, not after its start at {start_ns} ns", "give a later end")
    by_listing = _by_listing(_warmed(tapes))
    listings = [of_listing[0].facts.listing for of_listing in by_listing]
    if len(tapes) == 1 and start_ns is None and end_ns is None:
        return Merged(tapes[0].packets, tapes[0].levels, listings, tapes[0].truth)
    numbered = [(listing_id, tape) for listing_id, of_listing in enumerate(by_listing) for tape in of_listing]
    recorded = [each for each in numbered if not is_history(each[1])]
    openings = [] if start_ns is None else [part for each in recorded for part in _opening(*each, start_ns)]
    known_until_ns = min(
        NEVER_NS if end_ns is None else end_ns,
        max((tape.facts.ts_last_ns + 1 for _, tape in recorded), default=NEVER_NS),
    )
    stretches = [
        _stretch(listing_id, tape, None, known_until_ns)
        if is_history(tape)
        else _stretch(listing_id, tape, start_ns, end_ns)
        for listing_id, tape in numbered
    ]
    packets, levels, truth = _interleaved(openings, stretches)
    return Merged(packets, levels, listings, truth)


def _warmed(tapes: list[Tape]) -> list[Source]:
    """The tapes, with bars of a listing that is recorded too cut where its recording begins, in its own ticks."""
    recorded: dict[str, Tape] = {}
    for tape in sorted(tapes, key=lambda tape: tape.facts.ts_first_ns):
        if not is_history(tape):
            recorded.setdefault(tape.facts.listing.name, tape)
    sources: list[Source] = []
    for tape in tapes:
        live = recorded.get(tape.facts.listing.name)
        if live is None or not is_history(tape):
            sources.append(tape)
        elif (warmup := warmup_of(tape, live.facts.listing, live.facts.ts_first_ns)) is not None:
            sources.append(warmup)
    return sources


def _by_listing(tapes: list[Source]) -> list[list[Source]]:
    """Tapes by listing in order of first mention, each listing's in time order."""
    found: dict[str, list[Source]] = {}
    for tape in tapes:
        found.setdefault(tape.facts.listing.name, []).append(tape)
    for of_listing in found.values():
        of_listing.sort(key=lambda tape: tape.facts.ts_first_ns)
        for before, after in pairwise(of_listing):
            _refuse_unlike(before, after)
    return list(found.values())


def _refuse_unlike(before: Source, after: Source) -> None:
    if after.facts.ts_first_ns <= before.facts.ts_last_ns:
        raise UserError(f"{after.folder} overlaps {before.folder}", "remove one of them")
    if not after.facts.listing.is_like(before.facts.listing):
        message = f"{after.folder} counts in other ticks or lots than {before.folder}"
        raise UserError(message, "import both recordings together, or run them apart")


def _index(tape: Source, ts_ns: int) -> int:
    """How many packets of the tape came before ts_ns."""
    return int(np.searchsorted(tape.packets["ts_local_ns"], ts_ns))


def _stretch(listing_id: int, tape: Source, start_ns: int | None, end_ns: int | None) -> Part:
    packets, levels, truth = tape.packets, tape.levels, tape.truth
    begin = 0 if start_ns is None else _index(tape, start_ns)
    end = len(packets) if end_ns is None else _index(tape, end_ns)
    if begin == 0 and end == len(packets):
        return Part(listing_id, packets, levels, 0, truth)
    packets = packets[begin:end]
    first = int(packets["level_begin"].min(initial=len(levels)))
    last = int((packets["level_begin"] + packets["buy_count"] + packets["sell_count"]).max(initial=first))
    return Part(listing_id, packets, levels[first:last], first, None if truth is None else truth[begin:end])


def _opening(listing_id: int, tape: Source, start_ns: int) -> list[Part]:
    """The tape's book as a SNAPSHOT stamped start_ns; nothing if it was not LIVE then."""
    count = _index(tape, start_ns)
    rows = book_after(tape, count) if count < tape.facts.packets else None
    if rows is None:
        return []
    packets, truth = np.zeros(1, PACKET), tape.truth
    packets["kind"], packets["ts_local_ns"] = Kind.SNAPSHOT, start_ns
    packets["ts_venue_ns"] = tape.packets["ts_venue_ns"][count - 1]
    packets["buy_count"], packets["sell_count"] = len(rows[0]), len(rows[1])
    return [
        Part(listing_id, packets, _joined(list(rows), LEVEL), 0, None if truth is None else truth[count - 1 : count])
    ]


def book_after(tape: Source, count: int) -> tuple[Array, Array] | None:
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


def _interleaved(openings: list[Part], stretches: list[Part]) -> tuple[Array, Array, Array | None]:
    """Packets in time order behind the openings, levels part behind part, truth."""
    parts = [*openings, *stretches]
    counts = [len(part.packets) for part in parts]
    packets = np.zeros(sum(counts), PACKET)
    truth = None if all(part.truth is None for part in parts) else np.full(len(packets), np.nan)
    begin = level_begin = 0
    positions = _positions(openings, stretches)
    for part, count in zip(parts, counts, strict=True):
        where = positions[begin : begin + count]
        _place(packets, part.packets, where, part.listing_id, level_begin - part.level_first)
        if truth is not None and part.truth is not None:
            truth[where] = part.truth
        begin, level_begin = begin + count, level_begin + len(part.levels)
    return packets, _joined([part.levels for part in parts], LEVEL), truth


def _positions(openings: list[Part], stretches: list[Part]) -> Array:
    """Where each packet of the parts goes. Stretches come by listing and time: each listing's are one sorted run."""
    counts = np.zeros(1 + max(part.listing_id for part in stretches), np.int64)
    for part in stretches:
        counts[part.listing_id] += len(part.packets)
    ts = np.concatenate([part.packets["ts_local_ns"] for part in stretches])
    merged: Array = _merge_runs(ts, np.cumsum(counts) - counts, np.cumsum(counts))
    return np.concatenate([np.arange(len(openings)), merged + len(openings)])


@loader
def _merge_runs(ts: Array, begins: Array, ends: Array) -> Array:
    """Ranks of ts, which is sorted from begins[i] to ends[i]; equal times rank in the order of runs."""
    ranks = np.empty(len(ts), np.int64)
    heads = begins.copy()
    head_ts = np.full(len(heads), NEVER_NS, np.int64)
    for run in range(len(heads)):
        if heads[run] < ends[run]:
            head_ts[run] = ts[heads[run]]
    for rank in range(len(ts)):
        first = 0
        for run in range(1, len(heads)):
            if head_ts[run] < head_ts[first]:
                first = run
        ranks[heads[first]] = rank
        heads[first] += 1
        head_ts[first] = ts[heads[first]] if heads[first] < ends[first] else NEVER_NS
    return ranks


@loader
def _place(packets: Array, part: Array, where: Array, listing_id: int, level_shift: int) -> None:
    """Copy a part's packets to where they go, counting listings and levels as the whole does."""
    for i in range(len(part)):
        packets[where[i]] = part[i]
        packets[where[i]].listing_id = listing_id
        packets[where[i]].level_begin += level_shift


# Records are moved as bytes: moved field by field, as NumPy would, they take six to eighteen times as long.
def _joined(arrays: list[Array], dtype: np.dtype[Any]) -> Array:
    whole = np.dtype(("V", dtype.itemsize))
    return np.concatenate([np.zeros(0, whole), *(array.view(whole) for array in arrays)]).view(dtype)


def _taken(records: Array, order: Array) -> Array:
    return np.take(records.view(("V", records.dtype.itemsize)), order).view(records.dtype)
