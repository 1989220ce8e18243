"""Frames recorded on the real venue, through the live feed: the same books and prints as the importers make of them."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elegant_trading_system.core.kinds import Kind
from elegant_trading_system.core.schema import TRADER
from elegant_trading_system.data import journal
from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.decimals import Grid
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.journal import Journal
from elegant_trading_system.data.tape import Tape
from elegant_trading_system.data.universe import build
from elegant_trading_system.shell.binance.feed import BinanceFeed, Listing
from elegant_trading_system.shell.binance.futures_feed import BinanceFuturesFeed
from elegant_trading_system.shell.sequencer import Sequencer
from tests.shared_data import shared_data

from ..builders import loose
from .desk import Clock

MARKET = (Kind.DEPTH, Kind.SNAPSHOT, Kind.TRADE)


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with gzip.open(path) as file:
        for line in file:
            stamp, _, text = line.partition(b" ")
            yield int(stamp), text.rstrip()


def told(packets: Any, levels: Any) -> list[tuple[int, Any, Any]]:
    """(kind, buys, sells) of every market event."""
    found = []
    for packet in packets[np.isin(packets["kind"], MARKET)]:
        begin, buys = int(packet["level_begin"]), int(packet["buy_count"])
        rows = levels[begin : begin + buys + int(packet["sell_count"])].tolist()
        found.append((int(packet["kind"]), sorted(rows[:buys]), sorted(rows[buys:])))
    return found


@pytest.mark.spec("M1", "M2")
@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_recorded_frames_on_two_connections_give_the_importer_s_events(symbol: str, tmp_path: Path) -> None:
    """The second connection loses every seventh frame and is half a second behind; the first loses every eleventh."""
    path = shared_data("hftbacktest-20240808") / f"spot_{symbol.lower()}_20240808.gz"
    import_paths("binance-capture", [path], tmp_path / "catalog")
    [tape] = Catalog(tmp_path / "catalog").tapes()
    clock = Clock()
    feed, kept = feed_of(tape, clock, tmp_path)
    replay(feed, symbol, path, clock)
    kept.close()
    assert (feed.counts["refused"], feed.counts["gaps"], feed.counts["lost_trades"]) == (0, 0, 0)
    assert feed.counts["ignored"] > 10_000, "bookTicker"
    ours = [event for part in journal.read(kept.folder) for event in told(*part)]
    theirs = told(tape.packets, tape.levels)
    for kinds in (
        (Kind.DEPTH, Kind.SNAPSHOT),
        (Kind.TRADE,),
    ):  # each stream in its order; repairs may come behind the other's
        assert [event for event in ours if event[0] in kinds] == [event for event in theirs if event[0] in kinds]
    assert len(ours) > 9_000


@pytest.mark.spec("M1", "M2")
@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_recorded_perpetual_frames_on_two_connections_give_the_importer_s_events(symbol: str, tmp_path: Path) -> None:
    """As above, by the chain of pu; 50 ms behind: this hour has a thousand prints in a tenth of a second, and no more may wait."""
    path = shared_data("hftbacktest-20240808") / f"usdm_{symbol.lower()}_20240808.gz"
    import_paths("binance-capture", [path], tmp_path / "catalog")
    [tape] = Catalog(tmp_path / "catalog").tapes()
    clock = Clock()
    feed, kept = feed_of(tape, clock, tmp_path, BinanceFuturesFeed)
    replay(feed, symbol, path, clock, late_ms=50)
    kept.close()
    assert (feed.counts["refused"], feed.counts["gaps"], feed.counts["lost_trades"]) == (0, 0, 0)
    assert feed.counts["ignored"] > 10_000, "bookTicker"
    ours = [event for part in journal.read(kept.folder) for event in told(*part)]
    theirs = told(tape.packets, tape.levels)
    depth = [[event for event in events if event[0] != Kind.TRADE] for events in (ours, theirs)]
    if len(depth[0]) < len(depth[1]):  # a message that ends where the snapshot does: theirs applies it once more
        assert depth[1][0][0] == Kind.SNAPSHOT
        del depth[1][1]
    assert depth[0] == depth[1]
    assert [event for event in ours if event[0] == Kind.TRADE] == [event for event in theirs if event[0] == Kind.TRADE]
    assert len(ours) > 9_000


def replay(feed: BinanceFeed, symbol: str, path: Path, clock: Clock, late_ms: int = 500) -> None:
    """Connection 0 loses every eleventh frame; connection 1 every seventh, and is behind."""
    late: list[tuple[int, bytes]] = []
    for n, (ts_ns, text) in enumerate(lines(path)):
        clock.ns = ts_ns
        while late and late[0][0] < ts_ns - late_ms * 1_000_000:
            feed.hear(1, late.pop(0)[1])
        if text.startswith(b'{"lastUpdateId"'):
            assert feed.hear_snapshot(symbol, text)
            continue
        if n % 11:
            feed.hear(0, text)
        if n % 7 or n % 11 == 0:
            late.append((ts_ns, text))
    for _, text in late:
        feed.hear(1, text)


def feed_of(
    tape: Tape, clock: Clock, folder: Path, kind: type[BinanceFeed] = BinanceFeed
) -> tuple[BinanceFeed, Journal]:
    spec = tape.facts.listing
    kept = Journal(folder / "journal")
    sequencer = Sequencer(build([spec], loose()), loose(), kept, clock, lambda _command: None)
    assert sequencer.traders.dtype == TRADER
    listing = Listing(0, spec.base + spec.quote, Grid.of(spec.tick_size, spec.lot_size))
    feed = kind(sequencer, [listing], lambda _symbol: None)
    feed.hear_up(0)
    feed.hear_up(1)
    return feed, kept
