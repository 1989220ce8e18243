"""A catalog is a folder of tapes: find them, say what they hold and how good they are."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from ..core.schema import NS_PER_S
from ..errors import UserError
from .merge import Merged, merge
from .tape import ListingSpec, Tape

__all__ = ["Catalog", "Merged", "describe", "merge", "render"]

NS_PER_MS = 1_000_000


class Catalog:
    """The tapes of one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def tapes(self, instruments: list[str] | None = None, venues: list[str] | None = None) -> list[Tape]:
        """Tapes by venue, symbol and time. Instruments are bases (BTC) or symbols (BTC/USDT:USDT), in any case.

        UserError if the catalog is empty, a name is not there, or a venue has none of the instruments.
        """
        tapes = [Tape(path.parent) for path in self.path.glob("*/*/*/tape.json")]
        if not tapes:
            raise UserError(f"no tapes in {self.path}", "`ets simulate` or `ets import` makes some")
        tapes.sort(key=lambda tape: (tape.facts.listing.venue, tape.facts.listing.symbol, tape.facts.ts_first_ns))
        return _matching(_matching(tapes, instruments, _instrument_names), venues, _venue_names)


def _instrument_names(listing: ListingSpec) -> set[str]:
    return {listing.base.upper(), listing.symbol.upper()}


def _venue_names(listing: ListingSpec) -> set[str]:
    return {listing.venue.upper()}


def _matching(tapes: list[Tape], wanted: list[str] | None, names: Callable[[ListingSpec], set[str]]) -> list[Tape]:
    if not wanted:
        return tapes
    asked = {name.strip().upper() for name in wanted}
    known = {name for tape in tapes for name in names(tape.facts.listing)}
    if unknown := sorted(asked - known):
        there = sorted({tape.facts.listing.name for tape in tapes})
        raise UserError(f"no tape of {', '.join(unknown)}", f"there are: {', '.join(there)}")
    return [tape for tape in tapes if asked & names(tape.facts.listing)]


def describe(catalog: Path) -> dict[str, Any]:
    """Everything `ets data` says, as plain JSON values; stamps in UTC ns and ISO, prices as decimal strings."""
    tapes = [_described(tape) for tape in Catalog(catalog).tapes()]
    totals = {name: sum(tape[name] for tape in tapes) for name in ("packets", "rows", "bytes")}
    return {"catalog": str(catalog), "totals": {"tapes": len(tapes), **totals}, "tapes": tapes}


def _described(tape: Tape) -> dict[str, Any]:
    facts = tape.facts.model_dump(mode="json")
    return {
        **facts.pop("listing"),
        "first": _utc(tape.facts.ts_first_ns),
        "last": _utc(tape.facts.ts_last_ns),
        "seconds": (tape.facts.ts_last_ns - tape.facts.ts_first_ns) / NS_PER_S,
        "rows": facts.pop("levels"),
        "bytes": sum(path.stat().st_size for path in tape.folder.iterdir()),
        **facts,
    }


def _utc(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // NS_PER_S, UTC).isoformat()


def render(description: dict[str, Any]) -> Table:
    """The description as a table, a line a tape."""
    totals = description["totals"]
    summary = (
        f"{totals['tapes']} tapes, {totals['packets']:,} packets, {totals['rows']:,} rows, {_mb(totals['bytes'])} MB"
    )
    table = Table(title=f"Catalog {description['catalog']}", caption=summary, box=None, pad_edge=False)
    for name in ("venue", "symbol", "from (UTC)"):
        table.add_column(name, no_wrap=True)
    for name in ("minutes", "packets", "rows", "MB", "gaps", "crossed", "offset ms", "latency ms", "p99", "silence s"):
        table.add_column(name, justify="right")
    for tape in description["tapes"]:
        table.add_row(*_row(tape))
    return table


def _row(tape: dict[str, Any]) -> list[str]:
    quality = tape["quality"]
    return [
        tape["venue"],
        tape["symbol"],
        tape["first"].replace("T", " ").removesuffix("+00:00"),
        f"{tape['seconds'] / 60:.1f}",
        f"{tape['packets']:,}",
        f"{tape['rows']:,}",
        _mb(tape["bytes"]),
        str(quality["sequence_gaps"] + quality["trade_id_gaps"] + quality["missing_bars"]),
        str(quality["crossed_books"]),
        *(f"{quality[name] / NS_PER_MS:,.1f}" for name in ("clock_offset_ns", "latency_ns_median", "latency_ns_p99")),
        f"{quality['silence_ns_max'] / NS_PER_S:.2f}",
    ]


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f}"
