"""Vendor files through the engine's own books: they are those a naive reader of the tape builds."""

from pathlib import Path

import pytest

from elegant_trading_system.config_sources import load
from elegant_trading_system.data.tape import Tape
from elegant_trading_system.data.universe import build
from elegant_trading_system.sim.session import new_market
from tests import naive
from tests.data.test_binance_vision_files import BOOK, DAY
from tests.data.test_hftbacktest_files import NAME, random_market
from tests.data.test_tardis_files import GOOD, TAPE
from tests.data.vendor_files import events, imported, lines, npz

from .test_recorded import feed, whole_book


def made(format_name: str, folder: Path) -> Tape:
    paths = {
        "hftbacktest": lambda: [npz(folder / NAME, events(*random_market(400, seed=8)))],
        "tardis": lambda: [lines(folder / "book.csv.gz", *GOOD), lines(folder / "trades.csv", *TAPE)],
        "binance-vision": lambda: [lines(folder / f"BTCUSDT-bookTicker-{DAY}.zip", *BOOK)],
    }
    return imported(format_name, folder, *paths[format_name]())


@pytest.mark.spec("M1")
@pytest.mark.parametrize("format_name", ["hftbacktest", "tardis", "binance-vision"])
def test_the_engines_books_are_those_a_naive_reader_of_the_tape_builds(format_name: str, tmp_path: Path) -> None:
    tape = made(format_name, tmp_path)
    worlds = (build([tape.facts.listing], load([], [])).record, *new_market(), load(environ={}).market_params())
    packets, levels, fed = tape.packets, tape.levels, 0
    for packet, bids, asks in naive.tape_books(packets, levels):
        until = fed + int((packets[fed:] == packet).argmax()) + 1
        feed(worlds, packets[fed:until], levels)
        fed = until
        assert whole_book(worlds[1], worlds[2], 0) == bids
        assert whole_book(worlds[1], worlds[2], 1) == asks
    assert fed > 3
