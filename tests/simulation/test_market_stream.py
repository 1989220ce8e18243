"""What the simulated venues send: exact, in order, and the same however it is asked for."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elegant_trading_system.core.kinds import BookState, Kind
from elegant_trading_system.core.schema import NS_PER_S
from elegant_trading_system.data.tape import PARTIAL_PREFIX, Tape, TapeFacts, TapeWriter, tape_path
from elegant_trading_system.errors import UserError
from elegant_trading_system.sim.market_presets import TS_START_NS
from elegant_trading_system.sim.market_stream import Chunk, MarketStream
from elegant_trading_system.sim.market_tape import simulate_market

Array = np.ndarray[Any, Any]
Side = dict[int, int]
SHORT: dict[str, Any] = {"burn_s": 5}


def joined(chunks: list[Chunk]) -> Chunk:
    begins = np.cumsum([0] + [len(chunk.levels) for chunk in chunks])
    packets = [chunk.packets.copy() for chunk in chunks]
    for part, begin in zip(packets, begins, strict=False):
        part["level_begin"] += begin
    rest = [np.concatenate([chunk[k] for chunk in chunks]) for k in (1, 2)]
    return Chunk(np.concatenate(packets), *rest)


def streamed(lengths: list[int], instruments: list[str] | None = None, **options: Any) -> Chunk:
    stream = MarketStream(instruments or ["BTC", "ETH"], 5, 0.3, **(SHORT | options))
    return joined([stream.chunk(length) for length in lengths])


def as_bytes(chunk: Chunk) -> tuple[bytes, bytes, bytes]:
    return chunk.packets.tobytes(), chunk.levels.tobytes(), chunk.truth.tobytes()


def rows_of(chunk: Chunk, packet: Any) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    begin, buys, sells = (int(packet[name]) for name in ("level_begin", "buy_count", "sell_count"))
    rows = chunk.levels[begin : begin + buys + sells].tolist()
    return rows[:buys], rows[buys:]


def apply_depth(book: tuple[Side, Side], rows: tuple[list[tuple[int, int]], list[tuple[int, int]]]) -> None:
    """Strict: what is removed must be there, what is set must differ."""
    for side, side_rows in zip(book, rows, strict=True):
        for ticks, lots in side_rows:
            assert side.get(ticks, 0) != lots
            if lots == 0:
                del side[ticks]
            else:
                side[ticks] = lots


# --- order and identity -----------------------------------------------------------------------------------
@pytest.mark.parametrize("lengths", [[1] * 5 + [15], [7, 13], [19, 1]])
def test_chunk_lengths_cannot_be_told_from_the_stream(lengths: list[int]) -> None:
    assert as_bytes(streamed(lengths)) == as_bytes(streamed([20]))


def test_an_instrument_does_not_depend_on_its_company() -> None:
    alone, together = streamed([60], ["ETH"]), streamed([60], ["BTC", "ETH", "DOGE"])
    is_eth = (together.packets["listing_id"] >= 4) & (together.packets["listing_id"] < 8)
    eth = together.packets[is_eth]
    for name in ("ts_local_ns", "ts_venue_ns", "kind", "buy_count", "sell_count"):
        assert np.array_equal(eth[name], alone.packets[name])
    assert np.array_equal(together.truth[is_eth], alone.truth)
    assert [rows_of(together, p) for p in eth] == [rows_of(alone, p) for p in alone.packets]


def test_seeds_and_instruments_differ() -> None:
    prices = [MarketStream([base], seed, **SHORT).chunk(10).truth[-1] for base in ("BTC", "ETH") for seed in (1, 2)]
    assert len(set(prices)) == 4


def test_packets_come_in_the_order_of_receipt_and_never_before_they_were_sent() -> None:
    packets = streamed([60]).packets
    assert np.all(np.diff(packets["ts_local_ns"]) >= 0)
    latency_ms = (packets["ts_local_ns"] - packets["ts_venue_ns"]) / 1e6
    for listing_id, base_ms in enumerate([2.0, 5.0, 8.0, 2.0] * 2):
        own = latency_ms[packets["listing_id"] == listing_id]
        assert own.min() >= base_ms
        assert np.median(own) < base_ms + 1.0


SCRIPT = """
import hashlib
from elegant_trading_system.sim.market_stream import MarketStream
stream = MarketStream(["BTC"], 3, 0.2, burn_s=2, sample_ms=100)
chunk = stream.chunk(3)
print(*(hashlib.sha256(part.tobytes()).hexdigest() for part in (*chunk, stream.samples["BTC"])))
"""


def test_compiled_and_uncompiled_markets_are_equal_bit_for_bit(root: Path) -> None:
    """Warnings are errors, so no integer wraps either."""
    stream = MarketStream(["BTC"], 3, 0.2, burn_s=2, sample_ms=100)
    chunk = stream.chunk(3)
    digests = [hashlib.sha256(part.tobytes()).hexdigest() for part in (*chunk, stream.samples["BTC"])]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(root)}
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", SCRIPT]
    uncompiled = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    assert digests == uncompiled


# --- books and prints -------------------------------------------------------------------------------------
def test_snapshot_and_diffs_rebuild_uncrossed_books_that_match_the_market() -> None:
    """At every whole 100 ms venue a has just published: its rebuilt book is the market's own, its truth is V."""
    stream = MarketStream(["BTC"], 9, sample_ms=100, **SHORT)
    chunk = stream.chunk(120)
    samples = stream.samples["BTC"]
    books: dict[int, tuple[Side, Side]] = {}
    compared = 0
    for packet, truth in zip(chunk.packets, chunk.truth, strict=True):
        listing_id, kind = int(packet["listing_id"]), int(packet["kind"])
        if kind == Kind.SNAPSHOT:
            assert listing_id not in books
            books[listing_id] = ({}, {})
        if kind in {Kind.SNAPSHOT, Kind.DEPTH}:
            apply_depth(books[listing_id], rows_of(chunk, packet))
            best_bid, best_ask = max(books[listing_id][0]), min(books[listing_id][1])
            assert best_bid < best_ask
            if listing_id == 0:
                sample = samples[(int(packet["ts_venue_ns"]) - TS_START_NS) // 100_000_000]
                assert [best_bid, best_ask] == sample["best_ticks"][0].tolist()
                assert truth == sample["price"]
                compared += 1
    assert compared > 1_000


def test_every_listing_prices_in_its_own_ticks() -> None:
    chunk = MarketStream(["BTC"], 9, **SHORT).chunk(60)
    middle = {}
    for listing_id in range(3):
        packet = chunk.packets[(chunk.packets["listing_id"] == listing_id) & (chunk.packets["kind"] == Kind.SNAPSHOT)][
            0
        ]
        bids, asks = rows_of(chunk, packet)
        middle[listing_id] = (bids[0][0] + asks[0][0]) / 2
        assert all(ticks % (10 if listing_id == 1 else 1) == 0 for ticks, _ in bids + asks)
    assert middle[1] == pytest.approx(10 * middle[0], abs=50)
    assert middle[2] == pytest.approx(middle[0] + 2, abs=5)


def test_prints_are_one_sided_walk_away_from_the_touch_and_are_at_least_a_lot() -> None:
    chunk = MarketStream(["BTC"], 9, **SHORT).chunk(600)
    trades = chunk.packets[chunk.packets["kind"] == Kind.TRADE]
    assert len(trades) > 2_000
    for packet in trades:
        buys, sells = rows_of(chunk, packet)
        assert bool(buys) != bool(sells)
        prices = [ticks for ticks, _ in buys] or [-ticks for ticks, _ in sells]
        assert prices == sorted(set(prices))
        assert min(lots for _, lots in buys + sells) >= 1
    assert trades["buy_count"].max() > 1


def test_the_dark_venue_only_says_that_it_lives() -> None:
    packets = streamed([60]).packets
    dark = packets[packets["listing_id"] % 4 == 3]
    assert set(dark["kind"]) == {Kind.STATUS}
    assert set(dark["code"]) == {BookState.LIVE}
    assert len(dark) == 2 * 60
    assert dark["buy_count"].sum() + dark["sell_count"].sum() == 0


# --- listings and refusals --------------------------------------------------------------------------------
def test_listings_are_three_lit_venues_and_a_dark_one_that_names_its_reference() -> None:
    stream = MarketStream(["BTC", "XRP"], 1)
    names = [(listing.name, listing.kind) for listing in stream.listings[:4]]
    assert names == [
        ("sim-a BTC/USDT", "spot"),
        ("sim-b BTC/USD", "spot"),
        ("sim-c BTC/USDT:USDT", "linear"),
        ("sim-dark BTC/USDT", "dark"),
    ]
    a, b, _, dark = stream.listings[:4]
    assert (a.tick_size, b.tick_size, dark.tick_size) == (a.tick_size, a.tick_size / 10, a.tick_size / 2)
    assert len({listing.lot_size for listing in stream.listings[:3]}) == 3
    assert dark.reference == a.name


@pytest.mark.parametrize(
    "arguments, options",
    [(["BTC", "BTC"], {}), (["GOLD"], {}), ([], {}), (["BTC"], {"edge": 1.0}), (["BTC"], {"batch_ms": 333}), (["BTC"], {"tau": 1})],
)  # fmt: skip
def test_senseless_markets_are_refused(arguments: list[str], options: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        MarketStream(arguments, 1, **options)


def test_chunks_are_whole_seconds() -> None:
    with pytest.raises(ValueError, match="whole seconds"):
        MarketStream(["BTC"], 1).chunk(0.5)


# --- tapes ------------------------------------------------------------------------------------------------
def test_tapes_hold_what_was_streamed(tmp_path: Path) -> None:
    told: list[float] = []
    facts = simulate_market(tmp_path, 1.5, 5, 0.3, ["BTC", "ETH"], lambda _, share: told.append(share), **SHORT)
    chunk = streamed([90])
    assert told == sorted(told)
    assert told[-1] == 1.0
    for listing_id, fact in enumerate(facts):
        tape = Tape(tmp_path / tape_path(fact))
        own = chunk.packets["listing_id"] == listing_id
        assert np.array_equal(tape.packets["ts_local_ns"], chunk.packets["ts_local_ns"][own])
        assert tape.truth is not None and np.array_equal(tape.truth, chunk.truth[own])
        told_rows = [rows_of(chunk, packet) for packet in chunk.packets[own]]
        taped = Chunk(tape.packets, tape.levels, chunk.truth)
        assert [rows_of(taped, packet) for packet in tape.packets] == told_rows
        assert not tape.packets["listing_id"].any()


def test_a_time_is_on_one_tape_only(tmp_path: Path) -> None:
    simulate_market(tmp_path, 0.5, 1, instruments=["BTC"], **SHORT)
    with pytest.raises(UserError, match="already holds sim-a BTC/USDT"):
        simulate_market(tmp_path, 0.1, 2, instruments=["BTC"], **SHORT)
    simulate_market(tmp_path, 0.1, 2, instruments=["BTC"], ts_start_ns=TS_START_NS + 30 * NS_PER_S, **SHORT)


@pytest.mark.parametrize("step", ["append", "finish", "publish"])
def test_a_failure_leaves_no_tape_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    real, calls = getattr(TapeWriter, step), []

    def fails_third(writer: TapeWriter, *arguments: Any) -> Any:
        calls.append(writer)
        if len(calls) == 3:
            raise OSError("disk full")
        return real(writer, *arguments)

    monkeypatch.setattr(TapeWriter, step, fails_third)
    with pytest.raises(OSError, match="disk full"):
        simulate_market(tmp_path, 0.2, 1, instruments=["BTC"], **SHORT)
    left = [path.name for path in tmp_path.rglob("*") if path.is_file() or path.name.startswith(PARTIAL_PREFIX)]
    assert left == []


def test_facts_tell_how_a_tape_was_made(tmp_path: Path) -> None:
    facts: list[TapeFacts] = simulate_market(tmp_path, 0.1, 8, 0.25, ["SOL"], tau_m=300.0, **SHORT)
    assert {fact.source for fact in facts} == {"simulated seed=8 edge=0.25 tau_m=300"}
    assert len({fact.digest for fact in facts[:3]}) == 3
