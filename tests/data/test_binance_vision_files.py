"""Daily zips of data.binance.vision: all files here are written by the tests in that layout, none is a recording."""

import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from elegant_trading_system.data.importers import text_files

from .vendor_files import START_MS, START_NS, Seen, books, imported, lines, prints, refusal, story

DAY = "2023-11-14"
FUTURES = "id,price,qty,quote_qty,time,is_buyer_maker"
AGGREGATED = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
TICKER = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"
SPOT_TRADES = [
    f"7,100.50000000,0.10000000,10.05,{START_MS},False,True",
    f"8,100.51000000,0.00001000,10.05,{START_MS},True,True",
    f"8,100.51000000,0.00001000,10.05,{START_MS},True,True",
    f"11,100.49000000,2.00000000,200.98,{START_MS + 5},True,True",
]
TRADES = [FUTURES, f"7,100.5,0.1,10.05,{START_MS},false", f"8,100.4,0.2,20.08,{START_MS + 5},true"]
BOOK = [
    TICKER,
    f"50,100.4,1.5,100.5,2,{START_MS},{START_MS + 1}",
    f"52,100.4,1.25,100.6,2,{START_MS + 2},{START_MS + 3}",
    f"55,100.5,1,100.6,2,{START_MS + 2},{START_MS + 3}",
]


def test_spot_trades_without_a_heading_are_prints_by_aggressor(tmp_path: Path) -> None:
    found = imported("binance-vision", tmp_path, lines(tmp_path / f"BTCUSDT-trades-{DAY}.zip", *SPOT_TRADES))
    assert found.facts.listing.name == "binance BTC/USDT"
    assert prints(found) == [
        (START_NS, 1, 10050, 10_000),
        (START_NS, -1, 10051, 1),
        (START_NS + 5_000_000, -1, 10049, 200_000),
    ]
    quality = found.facts.quality
    assert (quality.trades, quality.repeats, quality.trade_id_gaps, quality.lines) == (3, 1, 1, 4)


def test_that_stamps_are_the_venues_alone_is_said(tmp_path: Path) -> None:
    facts = imported("binance-vision", tmp_path, lines(tmp_path / f"BTCUSDT-trades-{DAY}.zip", *SPOT_TRADES)).facts
    assert facts.assumed[0] == "received when they happened: the files have the venue's stamp only"
    assert (facts.quality.clock_offset_ns, facts.latency_ns_max) == (0, 0)


def test_microseconds_are_known_by_their_size(tmp_path: Path) -> None:
    rows = [row.replace(str(START_MS), f"{START_MS}001") for row in SPOT_TRADES[:2]]
    found = imported("binance-vision", tmp_path, lines(tmp_path / f"BTCUSDT-trades-{DAY}.zip", *rows))
    assert found.packets["ts_local_ns"][0] == START_NS + 1_000


def test_markets_are_told_apart_by_columns_and_names(tmp_path: Path) -> None:
    linear = lines(tmp_path / f"ETHUSDT-trades-{DAY}.zip", *TRADES)
    inverse = lines(tmp_path / f"BTCUSD_PERP-aggTrades-{DAY}.zip", AGGREGATED, f"1,100.5,3,1,2,{START_MS},true")
    assert imported("binance-vision", tmp_path / "1", linear).facts.listing.name == "binanceusdm ETH/USDT:USDT"
    found = imported("binance-vision", tmp_path / "2", inverse)
    assert found.facts.listing.name == "binancecoinm BTC/USD:BTC"
    assert prints(found) == [(START_NS, -1, 1005, 3)]


def test_a_touch_is_a_book_of_one_level_a_side_between_the_trades(tmp_path: Path) -> None:
    book = lines(tmp_path / f"BTCUSDT-bookTicker-{DAY}.zip", *BOOK)
    found = imported("binance-vision", tmp_path, book, lines(tmp_path / f"BTCUSDT-trades-{DAY}.zip", *TRADES))
    assert story(found) == ["RESYNC", "TRADE", "SNAPSHOT", "DEPTH", "DEPTH", "TRADE"]
    assert books(found) == [
        Seen(START_NS, {1004: 1500}, {1005: 2000}),
        Seen(START_NS + 2_000_000, {1004: 1250}, {1006: 2000}),
        Seen(START_NS + 2_000_000, {1005: 1000}, {1006: 2000}),
    ]


@pytest.mark.spec("M1")
def test_the_tape_rebuilds_every_touch_of_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random, bid, rows = np.random.default_rng(5), 1_000, []
    for i in range(3_000):
        bid = max(500, bid + int(random.integers(-2, 3)))
        ask = bid + int(random.integers(1, 3))
        sizes = [f"{random.integers(1, 9) / 1000}" for _ in range(2)]
        stamp = START_MS + i // 3
        rows.append(f"{10 * i},{bid / 10},{sizes[0]},{ask / 10},{sizes[1]},{stamp},{stamp}")
    monkeypatch.setattr(text_files, "BLOCK_BYTES", 7_000)
    found = imported("binance-vision", tmp_path, lines(tmp_path / f"BTCUSDT-bookTicker-{DAY}.zip", TICKER, *rows))
    naive = [
        ({int(Decimal(b) * 10): int(Decimal(bq) * 1000)}, {int(Decimal(a) * 10): int(Decimal(aq) * 1000)})
        for _, b, bq, a, aq, _, _ in (row.split(",") for row in rows)
    ]
    assert [one[1:] for one in books(found)] == naive
    assert found.facts.quality.crossed_books == 0


def test_an_unknown_coin_has_the_finest_steps_of_all_its_files(tmp_path: Path) -> None:
    book = lines(tmp_path / f"WIFUSDT-bookTicker-{DAY}.zip", TICKER, f"1,0.5012,10,0.5013,20,{START_MS},{START_MS}")
    trades = lines(tmp_path / f"WIFUSDT-trades-{DAY}.zip", FUTURES, f"1,0.50,1.5,0.75,{START_MS},true")
    spec = imported("binance-vision", tmp_path, book, trades).facts.listing
    assert (spec.name, str(spec.tick_size), str(spec.lot_size)) == ("binanceusdm WIF/USDT:USDT", "0.0001", "0.1")


def test_the_same_trades_in_sums_and_singly_are_refused(tmp_path: Path) -> None:
    singly = lines(tmp_path / f"BTCUSDT-trades-{DAY}.zip", *TRADES)
    in_sums = lines(tmp_path / f"BTCUSDT-aggTrades-{DAY}.zip", AGGREGATED, f"1,100.5,3,1,2,{START_MS},true")
    assert "in sums or singly" in refusal("binance-vision", [singly, in_sums], tmp_path / "catalog")


BAD_LINES = {
    "a missing field": (f"9,1,1,1,{START_MS + 9}", ":4: not 6 fields"),
    "NaN": (f"9,nan,1,1,{START_MS + 9},true", ":4: not a decimal number"),
    "a negative size": (f"9,1,-1,1,{START_MS + 9},true", ":4: negative number"),
    "a trade of nothing": (f"9,1,0.000,1,{START_MS + 9},true", ":4: trade of size zero"),
    "a price off its tick": (f"9,1.05,1,1,{START_MS + 9},true", ":4: price off its tick grid"),
    "an id that is none": (f"x,1,1,1,{START_MS + 9},true", ":4: id is not a whole number"),
    "a time that is none": ("9,1,1,1,,true", ":4: time is not a whole number"),
    "a negative time": ("9,1,1,1,-5,true", ":4: 0 ns is not a time"),
    "a time beyond int64": (f"9,1,1,1,{9 * 10**18},true", ":4: "),
    "time backwards": (f"9,1,1,1,{START_MS + 4},true", ":4: time goes backwards by 1000000 ns"),
    "nobody's side": (f"9,1,1,1,{START_MS + 9},1", ":4: is_buyer_maker is '1', not true or false"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_refused_by_its_number(name: str, tmp_path: Path) -> None:
    row, reason = BAD_LINES[name]
    path = lines(tmp_path / f"BTCUSDT-trades-{DAY}.zip", *TRADES, row)
    assert f"{path}{reason}" in refusal("binance-vision", [path], tmp_path / "catalog")


def test_rubbish_is_refused_by_file(tmp_path: Path) -> None:
    path = tmp_path / f"BTCUSDT-trades-{DAY}.zip"
    good = lines(path, *TRADES).read_bytes()
    two = tmp_path / "two.zip"
    with zipfile.ZipFile(two, "w") as archive:
        archive.writestr("a.csv", "1")
        archive.writestr("b.csv", "1")
    for content, reason in (
        (b"", ":1: truncated or damaged"),
        (b"rubbish", ":1: truncated or damaged"),
        (good[:60], ":1: truncated or damaged"),
        (good.replace(good[70:74], b"\xff\xff\xff\xff", 1), "truncated or damaged"),
        (two.read_bytes(), "2 CSV files in it, not one"),
        (lines(tmp_path / "empty.zip").read_bytes(), "empty file"),
        (lines(tmp_path / "heading.zip", FUTURES).read_bytes(), "no rows"),
        (lines(tmp_path / "columns.zip", "a,b", "1,2").read_bytes(), ":2: not 6 fields"),
    ):
        path.write_bytes(content)
        assert reason in refusal("binance-vision", [path], tmp_path / "catalog")


def test_other_names_and_symbols_are_refused(tmp_path: Path) -> None:
    path = lines(tmp_path / "trades.zip", *TRADES)
    assert "not a name of data.binance.vision" in refusal("binance-vision", [path], tmp_path / "catalog")
    path = lines(tmp_path / f"BTCUSDT_240927-trades-{DAY}.zip", *TRADES)
    assert "what BTCUSDT_240927 of binanceusdm is, is not known" in refusal(
        "binance-vision", [path], tmp_path / "catalog"
    )
