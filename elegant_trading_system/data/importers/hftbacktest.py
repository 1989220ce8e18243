"""hftbacktest 2 event files: `VENUE_BASE-QUOTE[-SETTLE]_*.npz`, or any name with a listing beside it.

What the local side sees becomes the tape; rows for the exchange side alone repeat it in another order. A snapshot is
the whole book: levels farther out, which hftbacktest would keep, go with it.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np

from ...core.kinds import BookState, Kind, Side
from ...errors import UserError
from ..decimals import Array
from .hftbacktest_events import (
    BUY,
    CLEAR,
    DEPTH,
    HINT,
    KIND_MASK,
    LOCAL,
    MARK,
    MARK_KIND,
    ORDER_FIRST,
    ORDER_LAST,
    SELL,
    SNAPSHOT,
    TRADE,
    batches,
)
from .listing_files import PLACES_MAX, Known, known, read_sidecar, unknown_listing
from .rows import blank_rows, first_at
from .vendor import Intake, OpenWriter, Progress, VendorFile, import_files

NAME = re.compile(r"([A-Za-z0-9.]+)_([A-Za-z0-9]+)-([A-Za-z0-9]+)(?:-([A-Za-z0-9]+))?(?:[_.].*)?\.npz")
KINDS = {DEPTH: Kind.DEPTH, TRADE: Kind.TRADE, CLEAR: Kind.SNAPSHOT, SNAPSHOT: Kind.SNAPSHOT}
MARKS = [MARK_KIND * kind for kind in (Kind.DEPTH, Kind.SNAPSHOT, Kind.TRADE)]
MARKS += [MARK_KIND * Kind.STATUS + state for state in BookState]
ULPS = 4  # prices computed as tick * 0.1 are that far from what they mean


def read(paths: list[Path], open_writer: OpenWriter, progress: Progress) -> None:
    """Fill and finish one tape per listing."""
    import_files([EventFile(path) for path in paths], open_writer, progress, has_one_clock=True)


class EventFile(VendorFile):
    """All streams of one listing."""

    hint = HINT

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.known = read_sidecar(path) or _named(path)
        first = next((self._used(events, 1)[0] for events in batches(path)), None)
        if first is None:
            raise UserError(f"{path}: no events", HINT)
        self._ts_first_ns = int(first["local_ts"].min(initial=2**62))

    @property
    def ts_first_ns(self) -> int:
        return self._ts_first_ns

    def places(self) -> tuple[int, int]:
        price = size = 0
        number = 1
        for events in batches(self.path):
            used, numbers = self._used(events, number)
            used, numbers = used[_has_level(used)], numbers[_has_level(used)]
            price = _places(used["px"], price, numbers, self)
            size = _places(used["qty"], size, numbers, self)
            number += len(events)
        return price, size

    def batches(self, intake: Intake) -> Iterator[Array]:
        number, size = 1, max(1, self.path.stat().st_size)
        for events in batches(self.path):
            used, numbers = self._used(events, number)
            number += len(events)
            kinds = used["ev"] & KIND_MASK
            is_known = np.isin(kinds, list(KINDS)) | ((kinds == MARK) & np.isin(used["fval"], MARKS))
            intake.quality.lines += len(used)
            intake.quality.ignored_lines += int((~is_known).sum())
            self.share_read = min(1.0, number * 8 / size)
            yield self._rows(used[is_known], numbers[is_known], intake)

    def _used(self, events: Array, number: int) -> tuple[Array, Array]:
        """The local side's events and their numbers; order by order data is another format's."""
        is_local = (events["ev"] & LOCAL) != 0
        used, numbers = events[is_local], np.flatnonzero(is_local) + number
        kinds = used["ev"] & KIND_MASK
        if at := first_at(numbers, (kinds >= ORDER_FIRST) & (kinds <= ORDER_LAST)):
            raise self.refused(at, "single orders, of which no book is built", "give the file with depth by price")
        return used, numbers

    def _rows(self, events: Array, numbers: Array, intake: Intake) -> Array:
        kinds, has_level = events["ev"] & KIND_MASK, _has_level(events)
        is_mark = kinds == MARK
        sides = _sides(events)
        if at := first_at(numbers, has_level & (sides == 0)):
            raise self.refused(at, "neither buy nor sell, or both")
        code = np.where(is_mark, events["fval"], 0).astype(np.int64)
        rows = blank_rows(len(events), number=numbers, part=events["ival"])
        rows["ts_local_ns"], rows["ts_venue_ns"] = events["local_ts"], events["exch_ts"]
        rows["kind"] = np.where(
            is_mark, code // MARK_KIND, np.select([kinds == one for one in KINDS], list(KINDS.values()))
        )
        rows["code"] = code % MARK_KIND
        rows["side"] = np.where(has_level, sides, 0)
        ticks, off_grid = _steps(np.where(has_level, events["px"], 1), intake.spec.tick_size)
        if at := first_at(numbers, has_level & (off_grid != 0)):
            price = events["px"][numbers == at][0]
            raise self.refused(at, f"price off its tick grid: {price}", f"one tick is {intake.spec.tick_size}")
        lots, cut = _steps(np.where(has_level, events["qty"], 0), intake.spec.lot_size)
        self._check(numbers, has_level, events, kinds)
        rows["ticks"], rows["lots"] = np.where(has_level, ticks, 0), np.where(has_level, lots, 0)
        intake.quality.rounded_sizes += int((has_level & (cut != 0)).sum())
        return rows

    def _check(self, numbers: Array, has_level: Array, events: Array, kinds: Array) -> None:
        for is_bad, reason in (
            (~np.isfinite(events["px"]) | ~np.isfinite(events["qty"]), "price or size is not a number"),
            (events["qty"] < 0, "negative size"),
            (events["px"] <= 0, "price is not positive"),
            ((kinds == TRADE) & (events["qty"] == 0), "trade of size zero"),
        ):
            if at := first_at(numbers, has_level & is_bad):
                raise self.refused(at, reason)


def _has_level(events: Array) -> Array:
    return np.isin(events["ev"] & KIND_MASK, [DEPTH, TRADE, SNAPSHOT])


def _sides(events: Array) -> Array:
    is_buy, is_sell = (events["ev"] & BUY) != 0, (events["ev"] & SELL) != 0
    return np.where(is_buy == is_sell, 0, np.where(is_buy, Side.BUY, Side.SELL))


def _named(path: Path) -> Known:
    found = NAME.fullmatch(path.name)
    if found is None:
        raise unknown_listing(path, "the name does not say which listing it is: VENUE_BASE-QUOTE_*.npz would")
    venue, base, quote, settle = (part or "" for part in found.groups())
    return known(
        venue,
        base.upper(),
        quote.upper(),
        settle.upper(),
        [f"{venue} {base}/{quote}, {_said(base, quote, settle)}: the file's name"],
    )


def _said(base: str, quote: str, settle: str) -> str:
    if not settle:
        return "spot"
    return f"settled in {settle}" + (f", contracts of 1 {quote}" if settle.upper() == base.upper() else "")


def _places(values: Array, places: int, numbers: Array, file: EventFile) -> int:
    """The fewest decimal places, at least those already found, that all values need."""
    values = np.where(np.isfinite(values), values, 0.0)  # refused when it is read for good
    while places <= PLACES_MAX:
        is_off = np.abs(values - np.round(values, places)) > ULPS * np.spacing(np.abs(values))
        if not is_off.any():
            return places
        places += 1
    raise file.refused(
        first_at(numbers, is_off), f"{float(values[is_off][0])} has more than {PLACES_MAX} decimal places"
    )


def _steps(values: Array, step: Decimal) -> tuple[Array, Array]:
    """Whole steps in each value, and where there was more. Exact: the nearest step is the one whose float it is."""
    values = np.where(np.isfinite(values), values, 0.0)
    numerator, denominator = step.as_integer_ratio()
    scaled = values * denominator / numerator
    scaled = np.clip(scaled, -(2.0**62), 2.0**62)
    nearest = np.round(scaled)
    is_off = np.abs(nearest * numerator / denominator - values) > ULPS * np.spacing(np.abs(values))
    return np.where(is_off, np.floor(scaled), nearest).astype(np.int64), is_off
