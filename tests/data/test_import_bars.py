"""Minute bars: what they are called, when they were known, what is counted and what is left out."""

import random
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from elegant_trading_system.core.kinds import Kind
from elegant_trading_system.core.schema import NS_PER_S
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.importers.bars_names import identify, is_meant
from elegant_trading_system.data.importers.said import Said
from elegant_trading_system.data.merge import merge

from .bar_files import NAMES, ROWS, START_S, Row, bar, bars_of, containers, csv_text, imported, of_paths, zipped
from .made_tapes import rows_of

EXPECTED = [[row[0], *(Decimal(str(value)) for value in row[1:])] for row in ROWS]
MINUTE_NS = 60 * NS_PER_S


# --- what a bar is on a tape ------------------------------------------------------------------------------
@pytest.mark.spec("M8")
def test_a_bar_is_one_packet_of_four_rows_known_at_its_end(tmp_path: Path) -> None:
    tape = imported(tmp_path, csv_text([bar(0, 100.0, 1.5), bar(1, 101.5, 0.25)], NAMES))
    listing = tape.facts.listing
    assert (listing.tick_size, listing.lot_size) == (Decimal("0.01"), Decimal("0.01"))
    second = tape.packets[1]
    assert (second["kind"], second["code"], second["listing_id"]) == (Kind.BAR, 1, 0)
    assert (second["ts_venue_ns"], second["ts_local_ns"]) == ((START_S + 60) * NS_PER_S, (START_S + 120) * NS_PER_S)
    assert rows_of(tape.levels, second) == ([(10150, 0), (10200, 0), (10100, 0), (10175, 25)], [])
    assert tape.facts.latency_ns_max == 0


def test_no_bar_is_known_before_its_minute_is_over(tmp_path: Path) -> None:
    tape = imported(tmp_path, csv_text(ROWS, NAMES))
    known = merge([tape], end_ns=(START_S + 120) * NS_PER_S + 1).packets
    assert known["ts_venue_ns"].tolist() == [START_S * NS_PER_S, (START_S + 60) * NS_PER_S]


# --- files ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("suffix", containers(ROWS))
def test_the_same_bars_come_out_of_every_container(suffix: str, tmp_path: Path) -> None:
    tape = imported(tmp_path, containers(ROWS)[suffix], f"kraken_ETHUSD-1m.{suffix}")
    assert bars_of(tape) == EXPECTED
    assert tape.facts.listing.name == "kraken ETH/USD"


def stamped(stamps: list[object]) -> bytes:
    return csv_text([[stamp, *row[1:]] for stamp, row in zip(stamps, ROWS, strict=True)], NAMES)


SECONDS = [START_S + 60 * minute for minute in range(5)]
STAMPS: dict[str, list[object]] = {
    "seconds": [*SECONDS],
    "milliseconds": [second * 10**3 for second in SECONDS],
    "microseconds": [second * 10**6 for second in SECONDS],
    "nanoseconds": [second * 10**9 for second in SECONDS],
    "ISO": [f"2024-01-01T00:0{minute}:00" for minute in range(5)],
    "ISO with a Z": [f"2024-01-01T00:0{minute}:00Z" for minute in range(5)],
    "ISO with fractions": [f"2024-01-01 00:0{minute}:00.000" for minute in range(5)],
    "ISO with an offset": [f"2024-01-01 05:3{minute}:00+05:30" for minute in range(5)],
    "ISO of pandas": [f"2024-01-01 00:0{minute}:00+00:00" for minute in range(5)],
    "ISO without seconds": [f"2024-01-01 00:0{minute}" for minute in range(5)],
}


@pytest.mark.parametrize("unit", STAMPS)
def test_the_same_times_come_out_of_every_way_to_write_them(unit: str, tmp_path: Path) -> None:
    assert bars_of(imported(tmp_path, stamped(STAMPS[unit]))) == EXPECTED


@pytest.mark.parametrize("names", [
    ["timestamp", "open", "high", "low", "close", "volume"], ["Date", "Open", "High", "Low", "Close", "Volume"],
    ["ts", "o", "h", "l", "c", "v"], ["Open time", "Open", "High", "Low", "Close", "Volume"],
])  # fmt: skip
def test_columns_are_found_by_their_usual_names(names: list[str], tmp_path: Path) -> None:
    assert bars_of(imported(tmp_path, csv_text(ROWS, names))) == EXPECTED


def test_columns_are_found_in_any_order_and_others_are_not_used(tmp_path: Path) -> None:
    rows = [[row[5], 7, row[3], row[2], row[4], row[1], row[0]] for row in ROWS]
    data = csv_text(rows, ["volume", "trades", "low", "high", "close", "open", "start"])
    assert bars_of(imported(tmp_path, data)) == EXPECTED


def test_a_file_that_begins_with_its_newest_bar_is_turned_round(tmp_path: Path) -> None:
    assert bars_of(imported(tmp_path, csv_text(ROWS[::-1], NAMES))) == EXPECTED


def test_months_of_other_units_are_one_tape(tmp_path: Path) -> None:
    """Binance's spot files count milliseconds until 2024 and microseconds from 2025."""
    folder = tmp_path / "binance" / "spot" / "BTCUSDT"
    folder.mkdir(parents=True)
    micro = [[row[0] * 1000, *row[1:]] for row in ROWS[2:]]
    (folder / "BTCUSDT-1m-2024-12.zip").write_bytes(zipped("BTCUSDT-1m-2024-12.csv", csv_text(ROWS[:2])))
    (folder / "BTCUSDT-1m-2025-01.zip").write_bytes(zipped("BTCUSDT-1m-2025-01.csv", csv_text(micro)))
    tape = of_paths([folder], tmp_path / "catalog")
    assert bars_of(tape) == EXPECTED
    assert tape.facts.source_files == ["BTCUSDT-1m-2024-12.zip", "BTCUSDT-1m-2025-01.zip"]
    assert str(tape.facts.listing.lot_size) == "0.00001"  # the venue's, so that captures can be joined


# --- start or end -----------------------------------------------------------------------------------------
def new_york(times: list[str]) -> bytes:
    rows: list[Row] = [[f"2024-01-03 {at}:00", *ROWS[0][1:]] for at in times]
    return csv_text(rows, ["datetime", *NAMES[1:]])


@pytest.mark.spec("X4")
@pytest.mark.parametrize("times, first", [
    (["09:31", "09:32", "16:00"], "09:30"), (["16:00", "15:59", "09:31"], "09:30"), (["09:30", "09:31", "15:59"], "09:30"),
])  # fmt: skip
def test_a_session_shows_whether_bars_are_stamped_at_their_end(times: list[str], first: str, tmp_path: Path) -> None:
    tape = imported(tmp_path, new_york(times), "stocks/AAPL_1min.csv")
    start_ns = np.datetime64(f"2024-01-03T{first}:00", "ns").astype(int) + 5 * 3600 * NS_PER_S
    assert tape.packets["ts_venue_ns"][0] == start_ns
    assert tape.packets["ts_local_ns"][0] == start_ns + MINUTE_NS


def test_what_the_person_says_of_stamps_and_zones_wins(tmp_path: Path) -> None:
    data = stamped(STAMPS["ISO"])
    tape = imported(tmp_path, data, stamps="end", timezone="Europe/Berlin")
    assert bars_of(tape)[0][0] == (START_S - 3600 - 60) * 1000


# --- what is wrong ----------------------------------------------------------------------------------------
def with_one(bad: Row) -> bytes:
    """Twenty sound bars, and this one in the middle of them."""
    return csv_text([bad if minute == 10 else bar(minute) for minute in range(21)], NAMES)


@pytest.mark.parametrize("values", [
    [100, 99, 98, 100, 1], [100, 101, 99, 102, 1], [98, 101, 99, 100, 1], [100, 101, 100.5, 100, 1], [100, 101, 99, 100, -1],
    [0, 0, 0, 0, 1], [100, 101, -1, 100, 1], ["", 101, 99, 100, 1], ["nan", 101, 99, 100, 1], [100, "inf", 99, 100, 1],
])  # fmt: skip
def test_a_bar_that_contradicts_itself_is_left_out_and_counted(values: Row, tmp_path: Path) -> None:
    tape = imported(tmp_path, with_one([bar(10)[0], *values]))
    quality = tape.facts.quality
    assert (quality.lines, quality.bars, quality.faulty_bars, quality.missing_bars) == (21, 20, 1, 0)
    assert (START_S + 600) * NS_PER_S not in tape.packets["ts_venue_ns"]


@pytest.mark.parametrize("values, is_left_out", [
    ([100, 1300, 100, 100, 1], True), ([100, 100, 9, 100, 1], True), ([100, 950, 11, 100, 1], False),
])  # fmt: skip
def test_a_price_ten_times_off_its_neighbours_is_left_out(values: Row, is_left_out: bool, tmp_path: Path) -> None:
    quality = imported(tmp_path, with_one([bar(10)[0], *values])).facts.quality
    assert (quality.outlier_bars, quality.bars) == (is_left_out, 21 - is_left_out)


def test_missing_minutes_and_minutes_without_a_trade_are_counted(tmp_path: Path) -> None:
    rows = [bar(0), bar(1, volume=0), bar(5), bar(6, volume=0), bar(9)]
    quality = imported(tmp_path, csv_text(rows, NAMES)).facts.quality
    assert (quality.bars, quality.missing_bars, quality.zero_volume_bars) == (5, 5, 2)
    assert quality.silence_ns_max == 4 * MINUTE_NS


def test_a_closed_market_misses_no_bars(tmp_path: Path) -> None:
    days = [f"2024-01-0{day} {at}:00" for day in (3, 4) for at in ("09:31", "09:33", "16:00")]
    data = csv_text([[at, *ROWS[0][1:]] for at in days], ["datetime", *NAMES[1:]])
    assert imported(tmp_path, data, "stocks/AAPL_1min.csv").facts.quality.missing_bars == 2 * (390 - 3)


def test_a_bar_told_twice_counts_once_and_one_told_in_two_ways_not_at_all(tmp_path: Path) -> None:
    rows = [bar(minute) for minute in range(30)]
    rows.insert(5, bar(4))
    rows.insert(9, bar(7, price=101.0))
    tape = imported(tmp_path, csv_text(rows, NAMES))
    quality = tape.facts.quality
    assert (quality.lines, quality.repeats, quality.faulty_bars, quality.bars) == (32, 1, 2, 29)
    assert (START_S + 7 * 60) * NS_PER_S not in tape.packets["ts_venue_ns"]


# --- steps ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("places", range(9))
def test_any_decimal_comes_back_as_it_was_written(places: int, tmp_path: Path) -> None:
    chance = random.Random(places)
    step, lot = Decimal(1).scaleb(-places), Decimal(1).scaleb(-min(8, 9 - places))
    rows: list[Row] = []
    for minute in range(200):
        low, first, last, high = sorted(step * chance.randrange(10**9, 9 * 10**9) for _ in range(4))
        rows.append([bar(minute)[0], first, high, low, last, lot * chance.randrange(1, 10**8)])
    tape = imported(tmp_path, csv_text(rows, NAMES))
    assert bars_of(tape) == rows
    assert tape.facts.quality.rounded_prices == tape.facts.quality.rounded_sizes == 0


def test_a_floats_noise_is_rounded_and_counted_and_makes_no_finer_step(tmp_path: Path) -> None:
    rows = [bar(minute, 100 + minute / 100) for minute in range(1000)]
    rows[500][1] += 3e-13
    rows[600][5] = 1.5000000000000002
    tape = imported(tmp_path, csv_text(rows, NAMES))
    assert str(tape.facts.listing.tick_size) == "0.01"
    assert (tape.facts.quality.rounded_prices, tape.facts.quality.rounded_sizes) == (1, 1)


def test_a_volume_too_fine_for_a_ledger_is_rounded_and_counted(tmp_path: Path) -> None:
    """Tick times lot keeps nine decimals: one more would overflow 64 bits in a backtest."""
    tape = imported(tmp_path, csv_text([bar(0, 100.00001, 1.12345678), bar(1, 100.00001, 2.5)], NAMES))
    assert (str(tape.facts.listing.tick_size), str(tape.facts.listing.lot_size)) == ("0.00001", "0.0001")
    assert tape.facts.quality.rounded_sizes == 1
    assert bars_of(tape)[0][5] == Decimal("1.1235")


# --- names ------------------------------------------------------------------------------------------------
LISTINGS = {
    "binance-spot/BTC_USDT-1m.json.xz": "binance BTC/USDT spot",
    "binance-spot/ADA_BTC-1m.json.xz": "binance ADA/BTC spot",
    "binance-usdm/BTC_USDT_USDT-1m-futures.feather": "binanceusdm BTC/USDT:USDT linear",
    "binance/futures/um/BTCUSDT/BTCUSDT-1m-2024-01.zip": "binanceusdm BTC/USDT:USDT linear",
    "binance/futures/cm/BTCUSD_PERP/BTCUSD_PERP-1m-2024-01.zip": "binancecoinm BTC/USD:BTC inverse",
    "binance/spot/BTCUSDT/BTCUSDT-1m-2024-01.zip": "binance BTC/USDT spot",
    "bybit/BNBUSDT_1m.parquet": "bybit BNB/USDT spot",
    "bybit-linear/BNBUSDT_1m.parquet": "bybit BNB/USDT:USDT linear",
    "bybit/TESTNET_BTCUSDT_1m.parquet": "bybittestnet BTC/USDT spot",
    "x/coinbase_usdtusd.parquet": "coinbase USDT/USD spot",
    "x/kraken_xbtusd.csv": "kraken BTC/USD spot",
    "x/some_kraken_BTCUSDC_1m_20230301_20230321.csv.xz": "kraken BTC/USDC spot",
    "kraken/data_btc_eur_1m.csv": "kraken BTC/EUR spot",
    "binanceus/ETHUSD.csv": "binanceus ETH/USD spot",
    "us-equities-1m/AAPL_1min.csv.xz": "us AAPL/USD spot",
    "stocks/VIX_1min.csv": "us VIX/USD index",
}


@pytest.mark.parametrize("path", LISTINGS)
def test_names_of_files_and_folders_say_the_listing(path: str, tmp_path: Path) -> None:
    found = identify(tmp_path / path, Said())
    assert f"{found.venue} {found.symbol} {found.kind}" == LISTINGS[path]


@pytest.mark.parametrize("said, listing", [
    ("okx", "okx BTC/USDT spot"), ("Kraken eth/usd", "kraken ETH/USD spot"), ("okx BTC/USDT:USDT", "okx BTC/USDT:USDT linear"),
    ("binance BTC/USDT:USDT", "binanceusdm BTC/USDT:USDT linear"), ("us AAPL/USD", "us AAPL/USD spot"),
    ("okx BTC/USD:BTC", "okx BTC/USD:BTC inverse"),
])  # fmt: skip
def test_what_the_person_says_of_a_listing_wins(said: str, listing: str, tmp_path: Path) -> None:
    found = identify(tmp_path / "bybit" / "BTCUSDT_1m.csv", Said(listing=said))
    assert f"{found.venue} {found.symbol} {found.kind}" == listing


@pytest.mark.parametrize("name, meant", [
    ("BTC_USDT-1m.json", True), ("AAPL_1min.csv", True), ("kraken_btcusd.csv", True), ("AAPL_15min.csv", False),
    ("AAPL_daily.csv", False), ("ADA_USDT_USDT-8h-mark.feather", False), ("ADA-8h-funding_rate.feather", False),
    ("20131011_trade.zip", True), ("20131011_quote.zip", False), ("BTCUSDT-1s-2024-01.zip", False),
])  # fmt: skip
def test_naming_a_folder_means_its_minute_bars(name: str, meant: bool) -> None:
    assert is_meant(Path(name)) == meant


def test_importing_the_same_bars_again_changes_nothing(tmp_path: Path) -> None:
    first = imported(tmp_path, csv_text(ROWS, NAMES))
    again = import_paths("bars", [tmp_path / "kraken_ETHUSD.csv"], tmp_path / "catalog")
    assert [facts.digest for facts in again] == [first.facts.digest]
