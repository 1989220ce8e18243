"""The recorded Binance capture: ten files, three venues, two coins, ten minutes around a midnight."""

from collections import Counter
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from elegant_trading_system.core.kinds import BookState, Kind
from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.tape import Tape
from tests import naive
from tests.shared_data import shared_data

LISTINGS = {
    "binance BTC/USDT": "spot_btcusdt",
    "binance ETH/USDT": "spot_ethusdt",
    "binanceusdm BTC/USDT:USDT": "usdm_btcusdt",
    "binanceusdm ETH/USDT:USDT": "usdm_ethusdt",
    "binancecoinm BTC/USD:BTC": "cm_btcusd_perp",
    "binancecoinm ETH/USD:ETH": "cm_ethusd_perp",
}
LINES = {  # per file, as the recording's own table says
    "spot_btcusdt": 41_249 + 58_325,
    "spot_ethusdt": 33_618 + 46_126,
    "usdm_btcusdt": 93_954,
    "usdm_ethusdt": 74_655,
    "cm_btcusd_perp": 48_270 + 50_116,
    "cm_ethusd_perp": 40_454 + 37_860,
}
DEPTH_MESSAGES = {
    "spot_btcusdt": 3_451 + 3_044,
    "spot_ethusdt": 3_434 + 3_036,
    "usdm_btcusdt": 6_551,
    "usdm_ethusdt": 6_586,
    "cm_btcusd_perp": 26_847 + 17_948,
    "cm_ethusd_perp": 22_909 + 16_246,
}
TRADES = {
    "spot_btcusdt": 9_757 + 10_147,
    "spot_ethusdt": 6_106 + 8_409,
    "usdm_btcusdt": 21_313,
    "usdm_ethusdt": 14_076,
    "cm_btcusd_perp": 2_286 + 2_949,
    "cm_ethusd_perp": 1_732 + 1_863,
}
every_listing = pytest.mark.parametrize("name", LISTINGS)


@pytest.fixture(scope="module")
def recording() -> Path:
    return shared_data("hftbacktest-20240808")


@pytest.fixture(scope="module")
def tapes(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tape]:
    catalog = tmp_path_factory.mktemp("recorded")
    import_paths("binance-capture", [recording], catalog)
    return {tape.facts.listing.name: tape for tape in Catalog(catalog).tapes()}


def files_of(recording: Path, name: str) -> list[Path]:
    return sorted(recording.glob(f"{LISTINGS[name]}_*.gz"))


def test_six_listings_are_told_apart_by_content(tapes: dict[str, Tape]) -> None:
    assert set(tapes) == set(LISTINGS)
    assert {name: tape.facts.listing.kind for name, tape in tapes.items()} == {
        name: {"binance": "spot", "binanceusdm": "linear", "binancecoinm": "inverse"}[name.split()[0]]
        for name in LISTINGS
    }


def test_instruments_have_the_steps_the_venues_publish(tapes: dict[str, Tape]) -> None:
    steps = {
        name: tuple(
            str(value)
            for value in (
                tape.facts.listing.tick_size,
                tape.facts.listing.lot_size,
                tape.facts.listing.contract_quote,
                tape.facts.listing.notional_min,
                tape.facts.listing.settle,
            )
        )
        for name, tape in tapes.items()
    }
    assert steps == {
        "binance BTC/USDT": ("0.01", "0.00001", "0", "5", "USDT"),
        "binance ETH/USDT": ("0.01", "0.0001", "0", "5", "USDT"),
        "binanceusdm BTC/USDT:USDT": ("0.1", "0.001", "0", "100", "USDT"),
        "binanceusdm ETH/USDT:USDT": ("0.01", "0.001", "0", "20", "USDT"),
        "binancecoinm BTC/USD:BTC": ("0.1", "1", "100", "0", "BTC"),
        "binancecoinm ETH/USD:ETH": ("0.01", "1", "10", "0", "ETH"),
    }


@every_listing
def test_every_line_is_accounted_for(tapes: dict[str, Tape], name: str) -> None:
    quality, key = tapes[name].facts.quality, LISTINGS[name]
    assert quality.lines == LINES[key]
    assert quality.trades == TRADES[key]
    assert quality.depth_packets + quality.dropped_before_snapshot + quality.repeats == DEPTH_MESSAGES[key]
    assert quality.lines == DEPTH_MESSAGES[key] + quality.trades + quality.snapshots + quality.ignored_lines


@every_listing
def test_packets_are_what_the_quality_report_counts(tapes: dict[str, Tape], name: str) -> None:
    quality = tapes[name].facts.quality
    counts = Counter(tapes[name].packets["kind"].tolist())
    assert counts == {Kind.STATUS: 1, Kind.SNAPSHOT: 1, Kind.DEPTH: quality.depth_packets, Kind.TRADE: quality.trades}
    assert tapes[name].packets["code"][0] == BookState.RESYNC


@every_listing
def test_nothing_is_missing_and_no_book_ever_crossed(tapes: dict[str, Tape], name: str) -> None:
    quality = tapes[name].facts.quality
    assert (quality.sequence_gaps, quality.trade_id_gaps, quality.crossed_books) == (0, 0, 0)
    assert quality.snapshots == 1


@every_listing
def test_files_of_a_listing_are_joined_across_midnight(tapes: dict[str, Tape], recording: Path, name: str) -> None:
    facts = tapes[name].facts
    minutes = (facts.ts_last_ns - facts.ts_first_ns) / 60e9
    assert minutes == pytest.approx(5.7 if "usdm" in name else 10.8, abs=0.06)
    assert facts.source_files == [path.name for path in files_of(recording, name)]


def test_leftovers_finer_than_a_lot_are_cut_and_counted(tapes: dict[str, Tape]) -> None:
    """Orders older than the venue's last change of the lot: ten rows of 2.5 million, all far from the touch."""
    rounded = {name: tape.facts.quality.rounded_sizes for name, tape in tapes.items()}
    assert rounded == {name: {"binance BTC/USDT": 7, "binance ETH/USDT": 3}.get(name, 0) for name in LISTINGS}


@every_listing
def test_the_recorders_clock_is_found_1270_ms_behind(tapes: dict[str, Tape], name: str) -> None:
    facts = tapes[name].facts
    assert facts.quality.clock_offset_ns == pytest.approx(-1_270e6, abs=10e6)
    latencies = tapes[name].packets["ts_local_ns"] - tapes[name].packets["ts_venue_ns"]
    assert facts.quality.latency_ns_median == int(np.median(latencies))
    assert 1e6 < facts.quality.latency_ns_median < 20e6
    assert facts.latency_ns_max == latencies.max() < 250e6
    assert facts.quality.negative_latencies_after_correction == (latencies < 0).sum() < 0.001 * len(latencies)


def test_listings_of_a_venue_share_its_clock(tapes: dict[str, Tape]) -> None:
    offsets = {(tape.facts.listing.venue, tape.facts.quality.clock_offset_ns) for tape in tapes.values()}
    assert len(offsets) == 3


@every_listing
def test_trades_and_raw_stamps_are_recovered_exactly(tapes: dict[str, Tape], recording: Path, name: str) -> None:
    tape = tapes[name]
    offset_ns = tape.facts.quality.clock_offset_ns
    tick_size, lot_size = tape.facts.listing.tick_size, tape.facts.listing.lot_size
    trades = tape.packets[tape.packets["kind"] == Kind.TRADE]
    rows = tape.levels[trades["level_begin"]]
    told = zip(
        trades["ts_local_ns"].tolist(),
        (trades["ts_venue_ns"] - offset_ns).tolist(),
        (trades["buy_count"] - trades["sell_count"]).tolist(),
        rows["price_ticks"].tolist(),
        rows["lots"].tolist(),
        strict=True,
    )
    expected = (
        (p.ts_local_ns, p.stamp_ms * 1_000_000, p.side, p.price / tick_size, p.size / lot_size)
        for p in naive.capture_prints(files_of(recording, name))
    )
    assert all(a == b for a, b in zip(told, expected, strict=True))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.drill) if "ETH" in name else name for name in LISTINGS]
)
def test_the_tape_rebuilds_the_book_a_naive_reader_builds(tapes: dict[str, Tape], recording: Path, name: str) -> None:
    tape, paths = tapes[name], files_of(recording, name)
    listing, offset_ns = tape.facts.listing, tape.facts.quality.clock_offset_ns
    stride = max(1, tape.facts.quality.depth_packets // (1_300 * len(paths)))
    compared: Counter[str] = Counter()
    books = naive.capture_books(paths, listing.tick_size, listing.lot_size)
    for i, (book, (packet, bids, asks)) in enumerate(
        zip(books, naive.tape_books(tape.packets, tape.levels), strict=True)
    ):
        assert packet["ts_local_ns"] == book.ts_local_ns
        assert not book.stamp_ms or packet["ts_venue_ns"] - offset_ns == book.stamp_ms * 1_000_000
        if i % stride == 0:
            assert bids == book.bids, f"{book.path}:{book.line}"
            assert asks == book.asks, f"{book.path}:{book.line}"
            assert max(bids) < min(asks)
            compared[book.path.name] += 1
    assert min(compared[path.name] for path in paths) >= 1_000


def test_prices_are_exact_decimals(tapes: dict[str, Tape], recording: Path) -> None:
    """The snapshot's best bid, as a person reads it in the file."""
    tape = tapes["binance BTC/USDT"]
    snapshot = tape.packets[tape.packets["kind"] == Kind.SNAPSHOT][0]
    row = tape.levels[snapshot["level_begin"]]
    listing = tape.facts.listing
    assert int(row["price_ticks"]) * listing.tick_size == Decimal("61837.63")
    assert int(row["lots"]) * listing.lot_size == Decimal("3.78826")
