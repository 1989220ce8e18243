"""Every family of recorded minute bars: what the importer finds is what a naive reader finds."""

from decimal import Decimal
from pathlib import Path
from statistics import median

import pytest

from elegant_trading_system.config_sources import load
from elegant_trading_system.data import universe
from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.importers.bars import PATTERNS, is_meant
from elegant_trading_system.errors import UserError
from tests.shared_data import SHARED_DATA, shared_data

from .bar_files import Row, bars_of, naive, of_paths

REPRESENTATIVES = {
    "binance-spot-1m-2023/BTC_USDT-1m.json.xz": "binance BTC/USDT",
    "binance-usdm-1m-2025/LAYER_USDT_USDT-1m-futures.feather": "binanceusdm LAYER/USDT:USDT",
    "multivenue-1m-202303/kraken_btcusdc.parquet": "kraken BTC/USDC",
    "multivenue-1m-202303/coinbase_usdtusd.parquet": "coinbase USDT/USD",
    "us-equities-1m-201902/AAPL_1min.csv.xz": "us AAPL/USD",
    "us-equities-1m-201902/VIX_1min.csv.xz": "us VIX/USD",
    "lean-sample/Data/equity/usa/minute/spy/20131011_trade.zip": "us SPY/USD",
    "lean-sample/Data/crypto/coinbase/minute/btcusd/20180404_trade.zip": "coinbase BTC/USD",
    "lean-sample/Data/index/usa/minute/spx/20230630_trade.zip": "us SPX/USD",
    "lean-sample/Data/cryptofuture/binance/minute/btcusd/20221213_trade.zip": "binancecoinm BTC/USD:BTC",
}
FAMILIES = (
    "binance-spot-1m-2023", "binance-usdm-1m-2025", "multivenue-1m-202303", "us-equities-1m-201902", "bybit-dirty-1m",
    "lean-sample/Data",
)  # fmt: skip


def every_file() -> list[str]:
    """All minute bars there are."""
    names = [
        path.relative_to(SHARED_DATA).as_posix()
        for family in FAMILIES
        for pattern in PATTERNS
        for path in (SHARED_DATA / family).rglob(pattern)
        if is_meant(path) and ("lean" not in family or "/minute/" in path.as_posix())
    ]
    return sorted(name for name in set(names) if "TESTNET" not in name)


def recorded(name: str) -> Path:
    return shared_data(name.partition("/")[0]) / name.partition("/")[2]


def check(name: str, catalog: Path) -> str:
    """Counts, times and every value; the listing's name."""
    path = recorded(name)
    tape, expected = of_paths([path], catalog), naive(path)
    quality, lot_size = tape.facts.quality, tape.facts.listing.lot_size
    assert quality.lines == quality.bars == len(expected.rows)
    assert (quality.missing_bars, quality.zero_volume_bars) == (expected.missing, expected.zero_volume)
    assert (quality.faulty_bars, quality.outlier_bars, quality.repeats, quality.rounded_prices) == (0, 0, 0, 0)
    found = bars_of(tape)
    assert [bar[:5] for bar in found] == [row[:5] for row in expected.rows]
    off = [abs(bar[5] - row[5]) for bar, row in zip(found, expected.rows, strict=True)]
    assert quality.rounded_sizes == sum(value > 0 for value in off)
    universe.build([tape.facts.listing], load([], []))  # its steps fit a run's 64 bits
    assert max(off) < lot_size * Decimal("0.501")  # sums in the files carry a float's noise
    return tape.facts.listing.name


@pytest.mark.spec("X4")
@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_a_recorded_file_of_each_family_is_taken_whole_and_exactly(name: str, tmp_path: Path) -> None:
    assert check(name, tmp_path / "catalog") == REPRESENTATIVES[name]


@pytest.mark.drill
@pytest.mark.parametrize("name", every_file())
def test_every_recorded_file_is_taken_whole_and_exactly(name: str, tmp_path: Path) -> None:
    check(name, tmp_path / "catalog")


def test_the_outage_of_2023_is_flat_bars_and_then_eighty_missing_ones(tmp_path: Path) -> None:
    tape = of_paths([recorded("binance-spot-1m-2023/BTC_USDT-1m.json.xz")], tmp_path / "catalog")
    assert (tape.facts.quality.missing_bars, tape.facts.quality.zero_volume_bars) == (80, 72)
    assert tape.facts.quality.silence_ns_max == 81 * 60 * 10**9
    first = tape.packets[0]
    assert (first["ts_venue_ns"], first["ts_local_ns"]) == (1_679_004_900 * 10**9, 1_679_004_960 * 10**9)
    prices = ("24899.18", "24943.98", "24896.29", "24934.2", "293.13711")
    assert bars_of(tape)[0][1:] == [Decimal(text) for text in prices]
    assert (str(tape.facts.listing.tick_size), str(tape.facts.listing.lot_size)) == ("0.01", "0.00001")


def test_the_download_gaps_of_a_dirty_file_are_counted(tmp_path: Path) -> None:
    tape = of_paths([recorded("bybit-dirty-1m/LTCUSDT_1m.parquet")], tmp_path / "catalog")
    quality = tape.facts.quality
    assert (quality.bars, quality.missing_bars, quality.zero_volume_bars) == (105_076, 524 * 801, 127)
    assert (str(tape.facts.listing.tick_size), str(tape.facts.listing.lot_size)) == ("0.01", "0.1")


def test_prices_of_a_testnet_ten_times_off_are_left_out_and_its_venue_is_told_apart(tmp_path: Path) -> None:
    path = recorded("bybit-dirty-1m/TESTNET_BTCUSDT_1m.parquet")
    tape, rows = of_paths([path], tmp_path / "catalog"), naive(path).rows
    assert tape.facts.listing.name == "bybittestnet BTC/USDT"
    odd = {at for at, row in enumerate(rows) if row[2] > 300_000 or row[3] < 20_000}
    near = {other for at in odd for other in range(at - 721, at + 722)}
    sound = [row for at, row in enumerate(rows) if at not in near or not is_absurd(rows, at)]
    assert len(rows) - len(sound) == tape.facts.quality.outlier_bars == 150
    assert [bar[:5] for bar in bars_of(tape)] == [row[:5] for row in sound]


def is_absurd(rows: list[Row], at: int) -> bool:
    """Ten times off the median close of the 720 bars before and behind. Only looked at where it can be."""
    around = median(row[4] for row in rows[max(0, at - 720) : at + 721])
    return bool(rows[at][2] > 10 * around or rows[at][3] * 10 < around)


def test_newest_first_bar_ends_in_new_york_become_starts_in_utc(tmp_path: Path) -> None:
    """The first minute of 2019-02-11 is stamped 09:31 in its file, and 09:31 New York is when it was known."""
    tape = of_paths([recorded("us-equities-1m-201902/AAPL_1min.csv.xz")], tmp_path / "catalog")
    first, listing = tape.packets[0], tape.facts.listing
    assert (first["ts_venue_ns"], first["ts_local_ns"]) == (1_549_895_400 * 10**9, 1_549_895_460 * 10**9)
    assert bars_of(tape)[0][1:] == [Decimal(text) for text in ("171.14", "171.2", "170.7", "170.97", "619925")]
    assert (listing.asset_class, listing.calendar, listing.kind) == ("equity", "XNYS", "spot")
    assert tape.facts.quality.missing_bars == 2


def test_two_tellings_of_one_market_are_joined_and_what_they_dispute_is_left_out(tmp_path: Path) -> None:
    """2,071 minutes have another volume in the second file; the other minutes it repeats are counted as such."""
    folder = shared_data("multivenue-1m-202303")
    files = [folder / "kraken_btcusdc.parquet", *folder.glob("cl8550*")]
    quality = of_paths(files, tmp_path / "catalog").facts.quality
    assert (quality.lines, quality.faulty_bars, quality.repeats) == (15_719 + 56_717, 2 * 2_071, 15_719 - 2_071)
    assert quality.bars == quality.lines - quality.faulty_bars - quality.repeats


def test_a_mislabelled_venue_is_called_what_the_person_says(tmp_path: Path) -> None:
    path = recorded("multivenue-1m-202303/binance_btcusdt.parquet")
    tape = of_paths([path], tmp_path / "catalog", listing="binanceus")
    assert (tape.facts.listing.name, tape.facts.quality.zero_volume_bars) == ("binanceus BTC/USDT", 658)


def test_a_folder_gives_its_minute_bars_and_nothing_else(tmp_path: Path) -> None:
    """Beside them lie funding rates, mark prices, bars of a quarter of an hour and of days."""
    folder = shared_data("us-equities-1m-201902")
    tapes = import_paths("bars", [folder], tmp_path / "catalog")
    found = {name: facts.quality.bars for facts in tapes for name in facts.source_files}
    assert found == {path.name: len(naive(path).rows) for path in folder.glob("*_1min.csv.xz")}
    with pytest.raises(UserError, match=r"AAPL_15min.csv.xz: bars of 15min, by its name"):
        import_paths("bars", [recorded("us-equities-1m-201902/AAPL_15min.csv.xz")], tmp_path / "other")


@pytest.mark.drill
def test_all_perpetuals_of_a_folder_are_imported_at_once(tmp_path: Path) -> None:
    tapes = import_paths("bars", [shared_data("binance-usdm-1m-2025")], tmp_path / "catalog")
    assert len(tapes) == len(Catalog(tmp_path / "catalog").tapes()) == 16
    assert {facts.quality.missing_bars for facts in tapes} == {0}


def test_days_of_one_market_are_one_tape(tmp_path: Path) -> None:
    folder = shared_data("lean-sample") / "Data" / "equity" / "usa" / "minute" / "spy"
    tape = of_paths([folder], tmp_path / "catalog")
    days = [naive(path) for path in sorted(folder.glob("*_trade.zip"))]
    assert bars_of(tape) == [row for day in days for row in day.rows]
    assert tape.facts.quality.missing_bars == sum(day.missing for day in days)
