"""Finding tapes by name, and saying what they hold."""

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from elegant_trading_system.core.kinds import Kind
from elegant_trading_system.core.schema import PACKET
from elegant_trading_system.data.catalog import Catalog, describe, render
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.tape import Tape, TapeWriter
from elegant_trading_system.errors import ExitCode, UserError

from .capture_files import GOOD, write
from .made_tapes import Made, listing, records, tape

ONE = [Made(10**18, Kind.TRADE, [(1, 1)])]


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    for venue, base in (("binance", "ETH"), ("binance", "BTC"), ("coinbase", "BTC")):
        tape(tmp_path, listing(venue, base), ONE)
    tape(tmp_path, listing("binance", "BTC"), [Made(10**18 + 1, Kind.TRADE, [(1, 1)])])
    return tmp_path


def names(tapes: list[Tape]) -> list[str]:
    return [found.facts.listing.name for found in tapes]


def test_tapes_come_by_venue_symbol_and_time(catalog: Path) -> None:
    tapes = Catalog(catalog).tapes()
    assert names(tapes) == ["binance BTC/USDT", "binance BTC/USDT", "binance ETH/USDT", "coinbase BTC/USDT"]
    assert [found.facts.ts_first_ns - 10**18 for found in tapes] == [0, 1, 0, 0]


@pytest.mark.parametrize(
    "instruments, venues, found",
    [
        (["btc"], None, ["binance BTC/USDT", "binance BTC/USDT", "coinbase BTC/USDT"]),
        (["eth/usdt"], None, ["binance ETH/USDT"]),
        (["BTC", "ETH"], ["Coinbase"], ["coinbase BTC/USDT"]),
        (["BTC"], ["coinbase"], ["coinbase BTC/USDT"]),
        ([], [], ["binance BTC/USDT", "binance BTC/USDT", "binance ETH/USDT", "coinbase BTC/USDT"]),
    ],
)
def test_instruments_are_named_by_base_or_symbol_in_any_case(
    instruments: list[str], venues: list[str] | None, found: list[str], catalog: Path
) -> None:
    assert names(Catalog(catalog).tapes(instruments, venues)) == found


@pytest.mark.parametrize(
    "instruments, venues, missing", [(["DOGE", "BTC"], None, "DOGE"), (None, ["kraken"], "KRAKEN")]
)
def test_an_unknown_name_is_answered_with_what_is_there(
    instruments: list[str] | None, venues: list[str] | None, missing: str, catalog: Path
) -> None:
    with pytest.raises(UserError, match=f"no tape of {missing}") as refused:
        Catalog(catalog).tapes(instruments, venues)
    assert refused.value.hint == "there are: binance BTC/USDT, binance ETH/USDT, coinbase BTC/USDT"


def test_a_venue_without_any_of_the_instruments_is_refused(catalog: Path) -> None:
    with pytest.raises(UserError, match="no tape of COINBASE") as refused:
        Catalog(catalog).tapes(["ETH"], ["coinbase"])
    assert refused.value.hint == "there are: binance ETH/USDT"


def test_an_empty_or_missing_catalog_says_how_to_fill_one(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match=f"no tapes in {path}") as refused:
            Catalog(path).tapes()
        assert "ets import" in refused.value.hint
        assert refused.value.exit_code == ExitCode.DATA


def test_a_damaged_tape_is_named(catalog: Path) -> None:
    one = Catalog(catalog).tapes(["ETH"])[0]
    with (one.folder / "packets.bin").open("ab") as file:
        file.write(b"x")
    with pytest.raises(UserError, match=r"packets.bin: 65 bytes, tape.json says 1 records of 64"):
        _ = one.packets
    with pytest.raises(UserError, match=r"packets.bin: 65 bytes"):
        describe(catalog)  # found when the catalog is looked at, not hours later
    (one.folder / "tape.json").write_text("{")
    with pytest.raises(UserError, match=r"tape.json: Invalid JSON") as refused:
        Catalog(catalog).tapes()
    assert "pydantic" not in refused.value.message


def test_a_tape_of_another_schema_is_refused(catalog: Path) -> None:
    page = Catalog(catalog).tapes(["ETH"])[0].folder / "tape.json"
    page.write_text(page.read_text().replace('"schema_version": ', '"schema_version": 99'))
    with pytest.raises(UserError, match="has schema 99"):
        Catalog(catalog).tapes()


def test_the_description_is_plain_json_and_says_how_good_the_data_is(tmp_path: Path) -> None:
    import_paths("binance-capture", [write(tmp_path / "a.gz", *GOOD)], tmp_path / "catalog")
    description = describe(tmp_path / "catalog")
    assert json.loads(json.dumps(description)) == description
    (one,) = description["tapes"]
    assert (one["venue"], one["symbol"], one["tick_size"], one["lot_size"]) == (
        "binance",
        "BTC/USDT",
        "0.01",
        "0.00001",
    )
    assert (one["first"], one["seconds"]) == ("2023-11-14T22:13:20+00:00", 0.2)
    assert (one["packets"], one["rows"]) == (6, 7)
    assert one["quality"]["clock_offset_ns"] == 4_000_000
    assert one["quality"]["silence_ns_max"] == 90_000_000
    assert description["totals"] == {"tapes": 1, "packets": 6, "rows": 7, "bytes": one["bytes"]}


def test_the_table_has_a_line_a_tape(catalog: Path) -> None:
    console = Console(width=160, record=True)
    console.print(render(describe(catalog)))
    text = console.export_text()
    assert [line.split()[:2] for line in text.splitlines() if "/USDT" in line] == [
        name.split() for name in names(Catalog(catalog).tapes())
    ]
    assert "4 tapes, 4 packets, 4 rows" in text


def test_time_going_backwards_is_not_written(tmp_path: Path) -> None:
    packets, levels = records([Made(20, Kind.TRADE, [(1, 1)]), Made(10, Kind.TRADE, [(1, 1)])])
    with TapeWriter(tmp_path, listing(), "made") as writer, pytest.raises(ValueError, match="goes backwards"):
        writer.append(packets, levels)
    assert list(tmp_path.iterdir()) == []


def test_chunks_make_the_same_tape_as_one_piece(tmp_path: Path) -> None:
    made = [Made(10 + i, Kind.TRADE, [(i, 1)], [(i, 2)]) for i in range(1, 20)]
    whole = tape(tmp_path / "whole", listing(), made)
    with TapeWriter(tmp_path / "chunks", listing(), "made") as writer:
        for piece in (made[:5], [], made[5:6], made[6:]):
            writer.append(*records(piece))
        writer.finish()
        chunks = Tape(writer.publish())
    assert chunks.facts == whole.facts
    assert np.array_equal(chunks.packets.view(("V", PACKET.itemsize)), whole.packets.view(("V", PACKET.itemsize)))
