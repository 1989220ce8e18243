"""Tapes of the simulated market: one per listing, all of them or none."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ..core.kinds import Kind
from ..core.schema import NS_PER_S
from ..data.tape import ListingSpec, TapeFacts, TapeWriter, publish_all, tape_path
from ..data.verify import measure
from ..errors import ExitCode, UserError
from .market_stream import Chunk, MarketStream

DEFAULT_INSTRUMENTS = ["BTC", "ETH"]
CHUNK_S = 60


def simulate_market(
    catalog: Path,
    minutes: float,
    seed: int,
    edge: float = 0.0,
    instruments: list[str] | None = None,
    progress: Callable[[str, float], None] | None = None,
    **options: Any,
) -> list[TapeFacts]:
    """Write `minutes` of every listing of the instruments (BTC and ETH if not said) into a catalog.

    `options` are fields of MarketPreset; `progress` gets a line and the share done. Raises UserError, leaving nothing
    behind, if the catalog already holds tapes of that time.
    """
    seconds = round(minutes * 60)
    if seconds < 1:
        raise UserError(f"cannot simulate {minutes} minutes", "a second is the least", ExitCode.USAGE)
    stream = MarketStream(instruments or DEFAULT_INSTRUMENTS, seed, edge, **options)
    for listing in stream.listings:
        _refuse_overlap(catalog, listing, stream.preset.ts_start_ns, stream.preset.ts_start_ns + seconds * NS_PER_S)
    source = f"simulated seed={seed} edge={edge:g} tau_m={stream.preset.tau_m:g}"
    with ExitStack() as stack:
        writers = [stack.enter_context(TapeWriter(catalog, listing, source)) for listing in stream.listings]
        for done in range(0, seconds, CHUNK_S):
            _append_split(writers, stream.chunk(min(CHUNK_S, seconds - done)))
            if progress is not None:
                progress(f"simulating {', '.join(stream.instruments)}", min(1.0, (done + CHUNK_S) / seconds))
        for writer in writers:
            _describe(writer)
            writer.finish()
        publish_all(writers)
    return [writer.facts for writer in writers]


def _append_split(writers: list[TapeWriter], chunk: Chunk) -> None:
    """Give every listing its packets and its rows."""
    packets, levels, truth = chunk
    row_owner = np.repeat(packets["listing_id"], packets["buy_count"] + packets["sell_count"])
    for listing_id, writer in enumerate(writers):
        is_own = packets["listing_id"] == listing_id
        own = packets[is_own]
        rows = own["buy_count"] + own["sell_count"]
        own["level_begin"] = np.cumsum(rows) - rows
        own["listing_id"] = 0
        writer.append(own, levels[row_owner == listing_id], truth[is_own])


def _describe(writer: TapeWriter) -> None:
    """Count what an importer would."""
    packets, levels = writer.written()
    quality, kinds = writer.facts.quality, packets["kind"]
    quality.depth_packets, quality.trades, quality.snapshots = (
        int((kinds == kind).sum()) for kind in (Kind.DEPTH, Kind.TRADE, Kind.SNAPSHOT)
    )
    if len(packets):
        measure(quality, packets, levels)


def _refuse_overlap(catalog: Path, listing: ListingSpec, first_ns: int, last_ns: int) -> None:
    """A time must be on one tape only, or a backtest would see it twice."""
    home = catalog / tape_path(TapeFacts(listing=listing, source="")).parent
    for folder in sorted(home.glob("*_*")):
        there_first_ns, there_last_ns = (int(part) for part in folder.name.split("_"))
        if there_first_ns < last_ns and first_ns < there_last_ns:
            raise UserError(
                f"{catalog} already holds {listing.name} for that time: {folder.name}",
                "simulate into another folder, or remove that tape",
                ExitCode.DATA,
            )
