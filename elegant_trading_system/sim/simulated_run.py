"""Backtests on a market made while they run: no tape, so that weeks of it need no disk."""

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Config
from ..core.schema import LEVEL, PACKET
from ..data.universe import build
from . import backtest
from .market_stream import Chunk, MarketStream
from .market_tape import DEFAULT_INSTRUMENTS
from .session import Session
from .summary import summarise
from .tables import all_tables

CHUNK_S = 600
LOOKAHEAD_NS = 1_000_000_000
Progress = Callable[[str, float], None]


def run(
    minutes: float,
    seed: int,
    edge: float,
    config: Config,
    out: Path,
    instruments: list[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Trade a simulated market as it is made; write the run folder; return the summary."""
    backtest.check_out(out)
    began = time.perf_counter()
    stream = MarketStream(instruments or DEFAULT_INSTRUMENTS, seed, edge)
    session = Session(build(stream.listings, config), [config], LOOKAHEAD_NS)
    spans = [
        (int(part.packets["ts_local_ns"][0]), int(part.packets["ts_local_ns"][-1]))
        for part in stretches(session, stream, minutes * 60.0, progress)
    ]
    facts = backtest.Facts(
        tapes=[],
        market={"minutes": minutes, "seed": seed, "edge": edge, "instruments": stream.instruments},
        sources=[f"simulated seed={seed} edge={edge:g} tau_m={stream.preset.tau_m:g}"],
        start_ns=None,
        end_ns=None,
        first_ns=spans[0][0],
        last_ns=spans[-1][1],
        quality={},
    )
    data_digest = hashlib.sha256(repr((facts.sources, facts.market)).encode()).hexdigest()
    tables = all_tables(session)
    wall_s = time.perf_counter() - began
    summary = summarise(session, tables["trades"], wall_s, config.digest(), data_digest)
    backtest.write(out, session, tables, summary, config, facts)
    return summary


def stretches(
    session: Session,
    stream: MarketStream,
    seconds: float,
    progress: Progress | None = None,
    change: Callable[[Chunk], Chunk] | None = None,
) -> Iterator[Chunk]:
    """Run the session over the stream; the last second of each chunk waits for the next, as the venue looks ahead."""
    held = Chunk(np.zeros(0, PACKET), np.zeros(0, LEVEL), np.zeros(0))
    count = chunk_count(seconds)
    for n in range(count):
        chunk = stream.chunk(CHUNK_S)
        part = joined(held, change(chunk) if change else chunk)
        is_last = n == count - 1
        stamps = part.packets["ts_local_ns"]
        end = len(stamps) if is_last else int(np.searchsorted(stamps, stamps[-1] - LOOKAHEAD_NS))
        session.cursor = 0
        session.run(part.packets, part.levels, end, is_last=is_last)
        held = Chunk(part.packets[end:], part.levels, part.truth[end:])
        if progress is not None:
            progress("trading a simulated market", (n + 1) / count)
        yield part


def chunk_count(seconds: float) -> int:
    return max(math.ceil(seconds / CHUNK_S), 1)


def joined(held: Chunk, chunk: Chunk) -> Chunk:
    """Two chunks as one, keeping only the rows that the first one's packets still need."""
    if len(held.packets) == 0:
        return chunk
    first = int(held.packets["level_begin"].min())
    before, after = held.packets.copy(), chunk.packets.copy()
    before["level_begin"] -= first
    after["level_begin"] += len(held.levels) - first
    return Chunk(
        np.concatenate([before, after]),
        np.concatenate([held.levels[first:], chunk.levels]),
        np.concatenate([held.truth, chunk.truth]),
    )
