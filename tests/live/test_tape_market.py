"""Recordings played again by the emulated venues."""

from pathlib import Path

import pytest

from elegant_trading_system.core.kinds import Kind
from elegant_trading_system.core.schema import NS_PER_S
from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.tape import TapeWriter
from elegant_trading_system.emulator.tape_market import RecordedMarket
from elegant_trading_system.errors import UserError
from tests.shared_data import shared_data

from .. import builders
from .desk import START_NS

SPEC = builders.listing("binance", "BTC/USDT", "spot", "0.1", "0.001")


def record(folder: Path) -> Path:
    """Half a minute: a book, its changes, a print a second."""
    events = [builders.snapshot(0, 0, [(100, 5), (99, 7)], [(101, 4)])]
    for second in range(1, 30):
        events.append(builders.depth(second * 1000.0, 0, [(100, second)], [(101, 30 - second)]))
        events.append(builders.trade(second * 1000.0 + 1, 0, [(101, second)]))
    packets, levels = builders.tape(events, START_NS)
    writer = TapeWriter(folder, SPEC, "test")
    writer.append(packets, levels)
    writer.finish()
    writer.publish()
    return folder


@pytest.mark.spec("X1", "M1")
def test_a_tape_moves_the_venue_as_it_was_recorded_its_time_shifted_to_now(tmp_path: Path) -> None:
    market = RecordedMarket(record(tmp_path), None)
    market.live_through(10)
    (book,) = market.exchanges["binance"].books.values()
    assert book.sides == ({100: 9, 99: 7}, {101: 21}), "what lay before the tenth second has happened"
    now_ns = START_NS + 5_000_000 * NS_PER_S
    market.begin(now_ns)
    assert market.advance(now_ns - 1) == {}
    seen = market.advance(now_ns + 5 * NS_PER_S + NS_PER_S // 2)
    assert book.sides == ({100: 15, 99: 7}, {101: 15})
    assert len(seen["binance"]) == 12, "six changes and six prints"
    market.advance(now_ns + 1000 * NS_PER_S)
    assert book.sides == ({100: 29, 99: 7}, {101: 1})
    assert market.advance(now_ns + 2000 * NS_PER_S) == {}, "the tape has ended"
    (klines,) = market.klines["binance"].values()
    assert sum(float(row[5]) for row in klines) == sum(range(1, 30)) * float(SPEC.lot_size)


def test_a_catalog_without_a_venue_that_can_be_emulated_is_refused(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path, builders.listing("kraken", "BTC/USD", "spot", "0.1", "0.001"), "test")
    writer.append(*builders.tape([builders.snapshot(0, 0, [(100, 5)], [(101, 4)])]))
    writer.finish()
    writer.publish()
    with pytest.raises(UserError, match="no tape of a venue that can be emulated"):
        RecordedMarket(tmp_path, None)


@pytest.mark.spec("M1")
def test_a_recording_of_binance_ends_in_the_book_that_its_tape_ends_in(tmp_path: Path) -> None:
    import_paths("binance-capture", [shared_data("hftbacktest-20240808") / "spot_btcusdt_20240808.gz"], tmp_path)
    market = RecordedMarket(tmp_path, ["BTC/USDT"])
    market.begin(0)
    market.advance(2**62)
    (tape,) = Catalog(tmp_path).tapes(["BTC/USDT"], ["binance"])
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for packet in tape.packets:
        if packet["kind"] not in (Kind.DEPTH, Kind.SNAPSHOT):
            continue
        if packet["kind"] == Kind.SNAPSHOT:
            sides = ({}, {})
        begin, buys = int(packet["level_begin"]), int(packet["buy_count"])
        for s, (first, last) in enumerate(((0, buys), (buys, buys + int(packet["sell_count"])))):
            for ticks, lots in tape.levels[begin + first : begin + last].tolist():
                if lots:
                    sides[s][ticks] = lots
                else:
                    sides[s].pop(ticks, None)
    assert market.exchanges["binance"].books["BTCUSDT"].sides == sides
    assert min(len(side) for side in sides) > 100
