"""hftbacktest's event files, in and out. Those read here were written by the tests, but for the recorded ones."""

import json
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elegant_trading_system import cli
from elegant_trading_system.core.kinds import BookState, Kind
from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.export_hftbacktest import export_tapes
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.tape import Tape
from elegant_trading_system.errors import UserError
from tests import naive
from tests.shared_data import shared_data

from .made_tapes import Made, listing, tape
from .vendor_files import (
    BOTH,
    BUY,
    EXCH,
    LOCAL,
    SELL,
    START_NS,
    Seen,
    Side,
    books,
    events,
    imported,
    last_by_time,
    npz,
    prints,
    refusal,
    story,
)

NAME = "binance_BTC-USDT_20231114.npz"
DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
GOOD = [
    (BOTH | SNAPSHOT | BUY, 0, 5, 100.0, 1.5),
    (BOTH | SNAPSHOT | SELL, 0, 5, 100.5, 0.25),
    (BOTH | DEPTH | SELL, 10, 16, 100.5, 0.0),
    (BOTH | DEPTH | BUY, 10, 16, 100.25, 0.125),
    (BOTH | DEPTH | SELL, 10, 16, 101.0, 3.0),
    (BOTH | TRADE | BUY, 20, 26, 101.0, 0.5),
    (BOTH | CLEAR | BUY, 30, 36, 90.0, 0.0),
    (BOTH | SNAPSHOT | BUY, 30, 36, 99.0, 1.0),
    (BOTH | CLEAR | SELL, 30, 36, 110.0, 0.0),
    (BOTH | SNAPSHOT | SELL, 30, 36, 99.5, 2.0),
]


def made(tmp_path: Path, *rows: Any, name: str = NAME) -> Path:
    return npz(tmp_path / name, events(*rows))


def same_files(one: Tape, other: Tape) -> bool:
    names = ("packets.bin", "levels.bin")
    return all((one.folder / name).read_bytes() == (other.folder / name).read_bytes() for name in names)


def silent(_text: str, _share: float) -> None:
    """Nobody wants to know."""


def test_rows_of_one_kind_and_moment_are_one_packet(tmp_path: Path) -> None:
    found = imported("hftbacktest", tmp_path, made(tmp_path, *GOOD))
    assert story(found) == ["RESYNC", "SNAPSHOT", "DEPTH", "TRADE", "SNAPSHOT"]
    assert found.packets["ts_local_ns"].tolist() == [START_NS + ms * 10**6 for ms in (5, 5, 16, 26, 36)]
    assert books(found)[1] == Seen(START_NS + 16 * 10**6, {10000: 1500, 10025: 125}, {10100: 3000})
    assert books(found)[2] == Seen(START_NS + 36 * 10**6, {9900: 1000}, {9950: 2000})
    assert prints(found) == [(START_NS + 26 * 10**6, 1, 10100, 500)]


def test_what_the_file_does_not_say_is_said_to_be_assumed(tmp_path: Path) -> None:
    facts = imported("hftbacktest", tmp_path, made(tmp_path, *GOOD)).facts
    assert (facts.listing.name, facts.listing.kind) == ("binance BTC/USDT", "spot")
    assert (str(facts.listing.tick_size), str(facts.listing.lot_size)) == ("0.01", "0.001")
    assert facts.assumed == [
        "binance BTC/USDT, spot: the file's name",
        "tick 0.01 and lot 0.001: the finest decimal steps in the data",
    ]


@pytest.mark.parametrize(
    "name, symbol, kind",
    [
        ("okx_BTC-USDT-USDT_1.npz", "BTC/USDT:USDT", "linear"),
        ("okx_BTC-USD-BTC.npz", "BTC/USD:BTC", "inverse"),
        ("okx_eth-eur.npz", "ETH/EUR", "spot"),
    ],
)
def test_the_name_says_what_kind_of_listing_it_is(name: str, symbol: str, kind: str, tmp_path: Path) -> None:
    spec = imported("hftbacktest", tmp_path, made(tmp_path, *GOOD, name=name)).facts.listing
    assert (spec.symbol, spec.kind) == (symbol, kind)


def test_a_listing_beside_the_file_is_believed(tmp_path: Path) -> None:
    spec = listing("somewhere", "XYZ")
    (tmp_path / "any name.listing.json").write_text(spec.model_dump_json())
    found = imported("hftbacktest", tmp_path, made(tmp_path, *GOOD, name="any name.npz"))
    assert (found.facts.listing, found.facts.assumed) == (spec, [])


def test_only_the_local_side_becomes_the_tape(tmp_path: Path) -> None:
    """The exchange had the second one first."""
    split = [
        *GOOD[:2],
        (EXCH | DEPTH | BUY, 9, 17, 99.0, 1.0),
        (BOTH | DEPTH | BUY, 10, 16, 99.5, 1.0),
        (LOCAL | DEPTH | BUY, 9, 17, 99.0, 1.0),
    ]
    found = imported("hftbacktest", tmp_path, made(tmp_path, *split))
    assert books(found)[-1].bids == {1000: 150, 995: 100, 990: 100}
    assert found.packets["ts_venue_ns"].tolist()[-2:] == [START_NS + 10 * 10**6, START_NS + 9 * 10**6]


def test_stamps_are_kept_unless_messages_arrive_before_they_were_sent(tmp_path: Path) -> None:
    found = imported("hftbacktest", tmp_path, made(tmp_path, *GOOD))
    assert found.facts.quality.clock_offset_ns == 0
    early = events(*GOOD)
    early["exch_ts"] += 10**9
    found = imported("hftbacktest", tmp_path / "early", npz(tmp_path / NAME, early))
    assert found.facts.quality.clock_offset_ns == -(10**9) + 5 * 10**6  # the fastest took 6 ms: now 1 ms


def test_depth_before_the_first_snapshot_is_dropped_and_counted(tmp_path: Path) -> None:
    first = (BOTH | DEPTH | BUY, -10, -5, 42.0, 1.0)
    found = imported("hftbacktest", tmp_path, made(tmp_path, first, *GOOD))
    assert found.facts.quality.dropped_before_snapshot == 1
    assert 4200 not in books(found)[0].bids
    assert refusal("hftbacktest", [made(tmp_path, first)], tmp_path / "x").endswith("so there is no book to build")


def test_a_snapshot_file_and_the_day_after_it_are_one_tape(tmp_path: Path) -> None:
    files = [
        made(tmp_path, *GOOD[2:6], name="binance_BTC-USDT_2.npz"),
        made(tmp_path, *GOOD[:2], name="binance_BTC-USDT_1.npz"),
    ]
    whole = imported("hftbacktest", tmp_path / "whole", made(tmp_path, *GOOD[:6]))
    assert same_files(imported("hftbacktest", tmp_path / "parts", *files), whole)


def test_prices_computed_as_tick_times_step_are_the_ticks_they_mean(tmp_path: Path) -> None:
    ticks = np.arange(600_000, 601_000)
    rows = [(BOTH | SNAPSHOT | BUY, 0, 5, float(tick) * 0.1, float(tick - 599_000) * 0.001) for tick in ticks]
    assert any(row[3] != round(row[3], 1) for row in rows)
    found = imported("hftbacktest", tmp_path, made(tmp_path, *rows))
    assert found.levels["price_ticks"].tolist() == ticks.tolist()
    assert found.levels["lots"].tolist() == (ticks - 599_000).tolist()
    assert str(found.facts.listing.tick_size) == "0.1"


def naive_books(array: Any, tick: float, lot: float) -> list[Seen]:
    """The books of an event file, event by event, as its documentation has them."""
    bids: Side = {}
    asks: Side = {}
    seen, is_snapshot = [], False
    for event in array.tolist():
        kind, ts_ns = event[0] & 0xFF, event[2]
        if kind in (CLEAR, SNAPSHOT) and not is_snapshot:
            bids.clear()
            asks.clear()
        is_snapshot = kind in (CLEAR, SNAPSHOT)
        if kind in (DEPTH, SNAPSHOT):
            side = bids if event[0] & BUY else asks
            side[round(event[3] / tick)] = round(event[4] / lot)
            if event[4] == 0:
                del side[round(event[3] / tick)]
        if kind in (CLEAR, DEPTH, SNAPSHOT):
            seen.append(Seen(ts_ns, dict(bids), dict(asks)))
    return last_by_time(seen)


def random_market(count: int, seed: int) -> Iterator[Any]:
    """Events without meaning but in order: every kind, both sides, bursts of the same stamp."""
    random = np.random.default_rng(seed)
    at_ms, held = 0.0, set[tuple[int, float]]()
    yield (BOTH | SNAPSHOT | BUY, -5, 0, 100.0, 1.0)
    for _ in range(count):
        at_ms += float(random.integers(0, 3))
        kind = int(random.choice([DEPTH, DEPTH, DEPTH, TRADE, SNAPSHOT], p=[0.3, 0.3, 0.2, 0.19, 0.01]))
        side = BUY if random.random() < 0.5 else SELL
        price = round(float(random.integers(9_900, 10_000) + (100 if side == SELL else 0)) / 100, 2)
        size = round(float(random.integers(1, 500)) / 1000, 3)
        if kind == DEPTH and (side, price) in held and random.random() < 0.5:
            held.remove((side, price))
            size = 0.0
        elif kind == DEPTH:
            held.add((side, price))
        elif kind == SNAPSHOT:
            held = {(side, price)}
            at_ms += 1
            yield (BOTH | CLEAR, at_ms - 5, at_ms, 0.0, 0.0)
        yield (BOTH | kind | side, at_ms - 5, at_ms, price, size)
        at_ms += kind == SNAPSHOT


@pytest.mark.spec("M1")
def test_the_tape_rebuilds_the_books_a_naive_reader_of_the_events_builds(tmp_path: Path) -> None:
    array = events(*random_market(3_000, seed=1))
    found = imported("hftbacktest", tmp_path, npz(tmp_path / NAME, array))
    expected = naive_books(array, 0.01, 0.001)
    assert len(expected) > 1_000
    assert last_by_time(books(found)) == expected
    assert sum(lots for _, _, _, lots in prints(found)) == round(
        array["qty"][(array["ev"] & 0xFF) == TRADE].sum() * 1000
    )


@pytest.mark.spec("M1")
def test_in_and_out_and_in_again_is_the_same_to_the_byte(tmp_path: Path) -> None:
    first = imported("hftbacktest", tmp_path / "1", npz(tmp_path / NAME, events(*random_market(2_000, seed=2))))
    export_tapes([first], tmp_path / "out.npz", silent)
    second = imported("hftbacktest", tmp_path / "2", tmp_path / "out.npz")
    assert same_files(first, second)
    assert second.facts.listing == first.facts.listing
    export_tapes([second], tmp_path / "again.npz", silent)
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "out.npz").read_bytes()


def test_packets_without_rows_and_twins_survive_the_way_out_and_in(tmp_path: Path) -> None:
    """Two of the same kind and stamps, an empty depth message, a gap, an empty book."""
    at = START_NS
    packets = [
        Made(at, Kind.STATUS, code=BookState.RESYNC),
        Made(at, Kind.SNAPSHOT, [(100, 5)], [(101, 6)]),
        Made(at + 1, Kind.TRADE, [(101, 1)]),
        Made(at + 1, Kind.TRADE, [(101, 2)]),
        Made(at + 2, Kind.DEPTH),
        Made(at + 3, Kind.STATUS, code=BookState.GAP),
        Made(at + 4, Kind.SNAPSHOT),
        Made(at + 5, Kind.DEPTH, [(99, 3)], [(101, 0)]),
    ]
    first = tape(tmp_path / "1", listing(), packets)
    figures = export_tapes([first], tmp_path / "out.npz", silent)
    assert (figures["packets left out"], figures["written twice"]) == (0, 0)
    second = imported("hftbacktest", tmp_path / "2", tmp_path / "out.npz")
    assert same_files(first, second)
    assert second.facts.quality.sequence_gaps == 1


def test_events_are_in_order_for_both_sides(tmp_path: Path) -> None:
    """What hftbacktest demands: rows that are out of order for one side are there twice."""
    at = START_NS
    packets = [Made(at + i, Kind.DEPTH if i else Kind.SNAPSHOT, [(100 + i, 5)]) for i in range(50)]
    first = tape(tmp_path / "1", listing(), packets)
    raw = np.fromfile(first.folder / "packets.bin", first.packets.dtype)
    raw["ts_venue_ns"] = at - np.random.default_rng(3).integers(0, 40, 50)
    raw.tofile(first.folder / "packets.bin")
    figures = export_tapes([first], tmp_path / "out.npz", silent)
    assert figures["written twice"] > 20
    array = np.load(tmp_path / "out.npz")["data"]
    for flag, stamp in ((EXCH, "exch_ts"), (LOCAL, "local_ts")):
        side = array[(array["ev"] & flag) != 0]
        assert len(side) == 51  # 50 levels and the row that clears
        assert (np.diff(side[stamp]) >= 0).all()
    second = imported("hftbacktest", tmp_path / "2", tmp_path / "out.npz")
    assert second.packets["ts_venue_ns"][1:].tolist() == raw["ts_venue_ns"].tolist()


def test_the_command_exports_one_listing_and_says_what_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for base in ("BTC", "ETH"):
        tape(tmp_path / "catalog", listing(base=base), [Made(START_NS, Kind.SNAPSHOT, [(100, 5)], [(101, 6)])])
    command = ["export", "--catalog", str(tmp_path / "catalog"), "--out", str(tmp_path / "x.npz"), "--json"]
    with pytest.raises(SystemExit):
        cli.main(command)
    assert "2 listings, and one file holds one" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        cli.main([*command, "--instruments", "eth"])
    assert left.value.code in (None, 0)
    figures = json.loads(capsys.readouterr().out)
    assert (figures["listing"], figures["events"]) == ("binance ETH/USDT", 3)
    with pytest.raises(SystemExit):
        cli.main([*command, "--instruments", "eth"])
    assert "is there already" in capsys.readouterr().err


def test_an_export_that_fails_leaves_nothing(tmp_path: Path) -> None:
    huge = tape(tmp_path / "1", listing(), [Made(START_NS, Kind.SNAPSHOT, [(2**54, 1)])])
    with pytest.raises(UserError, match="too large for the floats"):
        export_tapes([huge], tmp_path / "out" / "x.npz", silent)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    path = shared_data("hftbacktest-20240808") / "usdm_btcusdt_20240808.gz"
    catalog = tmp_path_factory.mktemp("recorded")
    import_paths("binance-capture", [path], catalog)
    return Catalog(catalog).tapes()[0]


@pytest.mark.spec("M1", "M9")
def test_the_recorded_futures_survive_the_way_out_and_in(recorded: Tape, tmp_path: Path) -> None:
    export_tapes([recorded], tmp_path / "out.npz", silent)
    again = imported("hftbacktest", tmp_path, tmp_path / "out.npz")
    assert same_files(again, recorded)
    assert (again.facts.packets, again.facts.quality.clock_offset_ns) == (27_862, 0)


def test_events_of_other_kinds_are_counted_and_left_out(tmp_path: Path) -> None:
    """Best prices, funding rates as the converters write them, and marks that are none of ours."""
    array = events(*GOOD, *[(BOTH | kind | BUY, 40, 46, -1.0, float("nan")) for kind in (5, 100, 104, 110, 110)])
    array["fval"][-2:] = [float("nan"), 4 * 256 + 9]
    found = imported("hftbacktest", tmp_path, npz(tmp_path / NAME, array))
    assert (found.facts.quality.lines, found.facts.quality.ignored_lines) == (15, 5)
    assert story(found) == ["RESYNC", "SNAPSHOT", "DEPTH", "TRADE", "SNAPSHOT"]


BAD_EVENTS: dict[str, tuple[list[Any], str]] = {
    "NaN": ([(BOTH | DEPTH | BUY, 40, 46, float("nan"), 1.0)], ":11: price or size is not a number"),
    "an infinite size": ([(BOTH | DEPTH | BUY, 40, 46, 1.0, float("inf"))], ":11: price or size is not a number"),
    "a negative size": ([(BOTH | DEPTH | BUY, 40, 46, 100.0, -1.0)], ":11: negative size"),
    "a price of zero": ([(BOTH | DEPTH | BUY, 40, 46, 0.0, 1.0)], ":11: price is not positive"),
    "an empty trade": ([(BOTH | TRADE | BUY, 40, 46, 100.0, 0.0)], ":11: trade of size zero"),
    "no side": ([(BOTH | DEPTH, 40, 46, 100.0, 1.0)], ":11: neither buy nor sell, or both"),
    "time backwards": ([(BOTH | DEPTH | BUY, 20, 35, 100.0, 1.0)], ":11: time goes backwards by 1000000 ns"),
    "no time at all": ([(BOTH | DEPTH | BUY, -START_NS / 1e6, 46, 100.0, 1.0)], ":11: "),
    "a time of long ago": ([(BOTH | DEPTH | BUY, -1e9, 46, 100.0, 1.0)], ":11: venue time is more than a day from"),
    "single orders": ([(BOTH | 10 | BUY, 40, 46, 100.0, 1.0)], ":11: single orders"),
    "too fine": ([(BOTH | DEPTH | BUY, 40, 46, 100.0 / 3, 1.0)], ":11: 33.33333333333333"),
    "too large": ([(BOTH | DEPTH | BUY, 40, 46, 1e15, 1e9)], ":11: number too large"),
}


@pytest.mark.parametrize("name", BAD_EVENTS)
def test_a_bad_event_is_refused_by_its_number(name: str, tmp_path: Path) -> None:
    rows, reason = BAD_EVENTS[name]
    path = made(tmp_path, *GOOD, *rows)
    assert f"{path}{reason}" in refusal("hftbacktest", [path], tmp_path / "catalog")


def test_rubbish_is_refused_by_file(tmp_path: Path) -> None:
    good = made(tmp_path, *GOOD).read_bytes()
    array = events(*GOOD)
    old = np.zeros((3, 6))
    for content, reason in (
        (b"", "truncated or damaged"),
        (b"rubbish" * 100, "truncated or damaged"),
        (good[: len(good) // 2], "truncated or damaged"),
        (good.replace(good[100:104], struct.pack("<I", 0xDEADBEEF), 1), "truncated or damaged"),
        (npz(tmp_path / "old.npz", old).read_bytes(), "columns of hftbacktest 1"),
        (npz(tmp_path / "other.npz", array[["ev", "px"]].copy()).read_bytes(), "array of"),
        (npz(tmp_path / "none.npz", array[:0]).read_bytes(), "no events"),
    ):
        path = tmp_path / "bad" / NAME
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        assert reason in refusal("hftbacktest", [path], tmp_path / "catalog")


def test_a_name_that_says_nothing_and_a_bad_listing_beside_are_refused(tmp_path: Path) -> None:
    path = made(tmp_path, *GOOD, name="data.npz")
    assert "VENUE_BASE-QUOTE_*.npz" in refusal("hftbacktest", [path], tmp_path / "catalog")
    (tmp_path / "data.listing.json").write_text('{"venue": "x"}')
    assert "data.listing.json: not a listing: symbol" in refusal("hftbacktest", [path], tmp_path / "catalog")
    (tmp_path / "data.listing.json").write_text(listing(tick_size="0.02").model_dump_json())
    assert ":4: price off its tick grid: 100.25" in refusal("hftbacktest", [path], tmp_path / "catalog")


def test_a_venue_that_leads_out_of_the_catalog_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path, *GOOD, name=".._BTC-USDT.npz")
    assert "'..' is no name of a venue" in refusal("hftbacktest", [path], tmp_path / "catalog")
    path = made(tmp_path, *GOOD, name="a.npz")
    (tmp_path / "a.listing.json").write_text(listing("../..").model_dump_json())
    assert "'../..' is no name of a venue" in refusal("hftbacktest", [path], tmp_path / "catalog")


def elapsed(hbt: Any, moments: Any, found: Any) -> Any:
    """hftbacktest's best prices and their sizes at each moment."""
    hbt.elapse(0)
    for i in range(len(moments)):
        hbt.elapse(moments[i] - hbt.current_timestamp)
        depth = hbt.depth(0)
        bid, ask = depth.best_bid_tick, depth.best_ask_tick
        found[i, 0], found[i, 2] = bid, round(depth.bid_qty_at_tick(bid) / depth.lot_size)
        found[i, 1], found[i, 3] = ask, round(depth.ask_qty_at_tick(ask) / depth.lot_size)
    return found


def in_hftbacktest(tape: Tape, path: Path, moments: list[int]) -> list[list[int]]:
    """Replay of an exported file by the real library."""
    hftbacktest = pytest.importorskip(
        "hftbacktest", reason="hftbacktest is not installed: bench/requirements-peers.txt"
    )
    from numba import njit

    spec = tape.facts.listing
    asset = hftbacktest.BacktestAsset().data([str(path)]).linear_asset(1.0).constant_order_latency(0, 0)
    asset = asset.power_prob_queue_model(2.0).no_partial_fill_exchange().trading_value_fee_model(0, 0)
    asset = asset.tick_size(float(spec.tick_size)).lot_size(float(spec.lot_size))
    hbt = hftbacktest.HashMapMarketDepthBacktest([asset])
    found = njit(elapsed)(hbt, np.array(moments), np.zeros((len(moments), 4), np.int64))
    hbt.close()
    return [[int(value) for value in row] for row in found]


def touches(tape: Tape, stride: int) -> tuple[list[int], list[list[int]]]:
    """Moments at which no more packets wait, and our best prices and sizes then."""
    seen = naive.tape_books(tape.packets, tape.levels)
    every = [
        (int(packet["ts_local_ns"]), [max(bids), min(asks), bids[max(bids)], asks[min(asks)]])
        for packet, bids, asks in seen
        if bids and asks
    ]
    settled = [one for one, after in pairwise(every) if one[0] < after[0]][::stride]
    return [ts_ns for ts_ns, _ in settled], [touch for _, touch in settled]


@pytest.mark.drill
@pytest.mark.spec("M1")
@pytest.mark.filterwarnings("ignore")
def test_hftbacktest_itself_sees_our_books_in_the_exported_recording(recorded: Tape, tmp_path: Path) -> None:
    validation = pytest.importorskip("hftbacktest.data.validation", reason="hftbacktest is not installed")
    export_tapes([recorded], tmp_path / "out.npz", silent)
    validation.validate_event_order(np.load(tmp_path / "out.npz")["data"])
    moments, expected = touches(recorded, 3)
    assert len(moments) >= 1_000
    assert in_hftbacktest(recorded, tmp_path / "out.npz", moments) == expected


@pytest.mark.drill
@pytest.mark.filterwarnings("ignore")
def test_hftbacktest_forgets_the_old_book_at_an_exported_snapshot(tmp_path: Path) -> None:
    packets = [
        Made(START_NS, Kind.SNAPSHOT, [(100, 5), (98, 1)], [(103, 6)]),
        Made(START_NS + 10, Kind.SNAPSHOT, [(97, 4)], [(105, 3)]),
        Made(START_NS + 20, Kind.DEPTH, [(96, 4)]),
        Made(START_NS + 30, Kind.DEPTH, [(95, 4)]),
    ]
    first = tape(tmp_path / "1", listing(), packets)
    export_tapes([first], tmp_path / "out.npz", silent)
    moments, expected = touches(first, 1)
    assert expected[1] == [97, 105, 4, 3]
    assert in_hftbacktest(first, tmp_path / "out.npz", moments) == expected


@pytest.mark.drill
@pytest.mark.filterwarnings("ignore")
def test_what_hftbacktests_own_converter_makes_of_the_recording_is_what_we_make_of_it(
    recorded: Tape, tmp_path: Path
) -> None:
    """Every trade and every depth row after the snapshot; it moves the receive times where we move the venue's."""
    reason = "hftbacktest is not installed: bench/requirements-peers.txt"
    converter = pytest.importorskip("hftbacktest.data.utils.binancefutures", reason=reason)
    source = shared_data("hftbacktest-20240808") / "usdm_btcusdt_20240808.gz"
    path = tmp_path / "binanceusdm_BTC-USDT-USDT.npz"
    converter.convert(str(source), str(path), buffer_size=1_000_000)
    theirs = imported("hftbacktest", tmp_path, path)
    assert theirs.facts.listing.tick_size == recorded.facts.listing.tick_size
    assert theirs.facts.quality.depth_packets > 6_500
    for kind in (Kind.TRADE, Kind.DEPTH, Kind.SNAPSHOT):
        count = int((theirs.packets["kind"] == kind).sum())
        one, other = (_last(tape, kind, count) for tape in (theirs, recorded))
        assert one[1] == other[1]
        assert len({a - b for a, b in zip(one[0], other[0], strict=True)}) == 1


def _last(tape: Tape, kind: Kind, count: int) -> tuple[list[int], list[Any]]:
    """Receive times and rows of the last packets of a kind."""
    packets = tape.packets[tape.packets["kind"] == kind][-count:]
    ends = packets["level_begin"] + packets["buy_count"] + packets["sell_count"]
    pairs = zip(packets["level_begin"].tolist(), packets["buy_count"].tolist(), ends.tolist(), strict=True)
    return packets["ts_local_ns"].tolist(), [(buys, tape.levels[begin:end].tolist()) for begin, buys, end in pairs]
