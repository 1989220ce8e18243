"""Tapes of one listing as an event file that hftbacktest 2 reads.

A packet's rows share its stamps; a snapshot begins with a row that clears the book. hftbacktest wants its events in
order of exchange time and of local time at once: a row that is early in one and late in the other is written twice,
once for each side.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..core.kinds import Kind
from ..errors import UserError
from .decimals import Array
from .importers.hftbacktest_events import (
    BATCH_EVENTS,
    BUY,
    CLEAR,
    DEPTH,
    EVENT,
    EXCH,
    LOCAL,
    MARK,
    MARK_KIND,
    SELL,
    SNAPSHOT,
    TRADE,
    write,
)
from .importers.listing_files import sidecar_path
from .tape import ListingSpec, Tape

Progress = Callable[[str, float], None]
EVENT_KINDS = {Kind.DEPTH: DEPTH, Kind.SNAPSHOT: SNAPSHOT, Kind.TRADE: TRADE, Kind.STATUS: MARK}
FLOAT_EXACT = 2**53


def export_tapes(tapes: list[Tape], out: Path, progress: Progress) -> dict[str, Any]:
    """Write OUT and the listing beside it; what was written and what was left out, by name."""
    listing = _one_listing(tapes)
    if out.suffix != ".npz":
        raise UserError(f"{out}: hftbacktest reads .npz files", "give --out a name that ends in .npz")
    if out.exists():
        raise UserError(f"{out}: is there already", "remove it first, or give another name")
    out.parent.mkdir(parents=True, exist_ok=True)
    progress(f"{listing.name}: ordering", 0.1)
    events, left_out = _events(tapes, listing)
    order = _Order(events)
    progress(f"{listing.name}: writing", 0.5)
    partial = out.with_name(f".partial-{out.name}")
    try:
        write(partial, order.chunks(), order.count)
        sidecar_path(out).write_text(listing.model_dump_json(indent=2) + "\n")
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    progress("written", 1.0)
    return {
        "listing": listing.name,
        "events": order.count,
        "written twice": order.count - len(events),
        "packets left out": left_out,
        "listing file": str(sidecar_path(out)),
    }


def _one_listing(tapes: list[Tape]) -> ListingSpec:
    names = sorted({tape.facts.listing.name for tape in tapes})
    if len(names) > 1:
        raise UserError(f"{len(names)} listings, and one file holds one: {', '.join(names)}", "name one of them")
    for before, after in pairwise(tapes):
        if before.facts.listing != after.facts.listing or after.facts.ts_first_ns <= before.facts.ts_last_ns:
            raise UserError(f"{after.folder} does not go on from {before.folder}", "export them one by one")
    return tapes[0].facts.listing


def _events(tapes: list[Tape], listing: ListingSpec) -> tuple[Array, int]:
    """One event a row in the order of the tapes, and one for each packet without rows; packets left out."""
    parts, left_out = [], 0
    for tape in tapes:
        packets = tape.packets
        is_known = np.isin(packets["kind"], list(EVENT_KINDS))
        left_out += int((~is_known).sum())
        parts.append(_of_packets(packets[is_known], tape.levels, listing))
    return np.concatenate(parts), left_out


def _of_packets(packets: Array, levels: Array, listing: ListingSpec) -> Array:
    counts = packets["buy_count"].astype(np.int64) + packets["sell_count"]
    is_snapshot = packets["kind"] == Kind.SNAPSHOT
    has_head = is_snapshot | (counts == 0)
    ends = np.cumsum(counts + has_head)
    begins = ends - counts - has_head
    which = np.repeat(np.arange(len(packets)), counts + has_head)
    row = np.arange(len(which)) - begins[which] - has_head[which]  # -1: the head
    events = np.zeros(len(which), EVENT)
    events["local_ts"], events["exch_ts"] = packets["ts_local_ns"][which], packets["ts_venue_ns"][which]
    events["ival"] = _parts(packets)[which]
    is_level = row >= 0
    kinds = np.select([packets["kind"] == kind for kind in EVENT_KINDS], list(EVENT_KINDS.values()))[which]
    is_buy = row < packets["buy_count"][which]
    events["ev"] = np.where(is_level, kinds | np.where(is_buy, BUY, SELL), np.where(is_snapshot[which], CLEAR, MARK))
    marks = packets["kind"].astype(np.int64) * MARK_KIND + packets["code"]
    events["fval"] = np.where(is_level | is_snapshot[which], 0, marks[which])
    rows = levels[packets["level_begin"][which[is_level]] + row[is_level]]
    events["px"][is_level] = _floats(rows["price_ticks"], listing.tick_size, listing)
    events["qty"][is_level] = _floats(rows["lots"], listing.lot_size, listing)
    return events


def _parts(packets: Array) -> Array:
    """0, or how many packets of the same kind and stamps came directly before: hftbacktest does not look at it."""
    is_same = np.zeros(len(packets), bool)
    is_same[1:] = True
    for name in ("ts_local_ns", "ts_venue_ns", "kind", "code"):
        is_same[1:] &= packets[name][1:] == packets[name][:-1]
    index = np.arange(len(packets))
    return index - np.maximum.accumulate(np.where(is_same, 0, index))


def _floats(steps: Array, step: Any, listing: ListingSpec) -> Array:
    """The float next to each decimal: one correctly rounded division of exact integers."""
    numerator, denominator = step.as_integer_ratio()
    largest = int(np.abs(steps).max(initial=0)) * numerator
    if max(largest, denominator) >= FLOAT_EXACT:
        message = f"{listing.name}: a number too large for the floats of hftbacktest"
        raise UserError(message, "it cannot be exported without loss")
    return (steps * numerator).astype(np.float64) / denominator


class _Order:
    """Events by exchange and by local time at once."""

    def __init__(self, events: Array) -> None:
        self.events = events
        highest = np.maximum.accumulate(events["exch_ts"])
        self.is_late = events["exch_ts"] < highest  # the exchange had it before a row already written
        late = np.flatnonzero(self.is_late)
        late = late[np.argsort(events["exch_ts"][late], kind="stable")]
        before = np.searchsorted(highest, events["exch_ts"][late], "right")
        self.order = np.insert(np.arange(len(events)), before, late + len(events))
        self.count = len(self.order)

    def chunks(self) -> Iterator[Array]:
        for at in range(0, self.count, BATCH_EVENTS):
            order = self.order[at : at + BATCH_EVENTS]
            is_twin, where = order >= len(self.events), order % len(self.events)
            chunk = self.events[where]
            chunk["ev"] |= np.where(is_twin, EXCH, np.where(self.is_late[where], LOCAL, EXCH | LOCAL)).astype(np.uint64)
            yield chunk
