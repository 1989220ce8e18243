"""Databento files: all written by the tests with Databento's own library, none is a recording."""

import datetime as dt
import importlib
import importlib.util
import io
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from elegant_trading_system.data.importers import databento as importer
from elegant_trading_system.data.importers import import_paths

from .made_tapes import listing
from .vendor_files import START_NS, Seen, Side, books, imported, last_by_time, prints, refusal, story

dbn: Any = importlib.import_module("databento_dbn") if importlib.util.find_spec("databento_dbn") else None

needs_library = pytest.mark.skipif(dbn is None, reason="databento-dbn is not installed: the extra `databento`")
PRICE = 10**9
APPLE = 38


def metadata(schema: str, dataset: str = "XNAS.ITCH", symbols: dict[int, str] | None = None) -> bytes:
    named = symbols or {APPLE: "AAPL"}
    days = {"start_date": dt.date(2023, 11, 14), "end_date": dt.date(2023, 11, 15)}
    mappings = [
        SimpleNamespace(raw_symbol=symbol, intervals=[SimpleNamespace(symbol=str(number), **days)])
        for number, symbol in named.items()
    ]
    made = dbn.Metadata(
        dataset=dataset, start=START_NS, stype_in=dbn.SType.RAW_SYMBOL, stype_out=dbn.SType.INSTRUMENT_ID,
        schema=dbn.Schema.from_str(schema), symbols=list(named.values()), mappings=mappings,
    )  # fmt: skip
    return bytes(made)


def written(path: Path, schema: str, *records: Any, **more: Any) -> Path:
    data = metadata(schema, **more) + b"".join(bytes(record)[: record.record_size()] for record in records)
    path.write_bytes(packed(data) if path.suffix == ".zst" else data)
    return path


def packed(data: bytes) -> bytes:
    file = io.BytesIO()
    coder = dbn.Transcoder(file, dbn.Encoding.DBN, dbn.Compression.ZSTD)
    coder.write(data)
    coder.flush()
    del coder
    return file.getvalue()


Levels = list[tuple[float, int]]


def action(letter: str) -> Any:
    return next(one for one in dbn.Action.variants() if str(one) == letter or one.value == letter)


def side(letter: str) -> Any:
    return next(one for one in dbn.Side.variants() if str(one) == letter or one.value == letter)


def header(at_us: float, act: str, where: str, price: float, size: int) -> dict[str, Any]:
    """Received at_us after the start, 100 us after it happened."""
    at_ns = START_NS + int(at_us * 1_000)
    return {
        "publisher_id": 2, "instrument_id": APPLE, "ts_event": at_ns - 100_000, "ts_recv": at_ns,
        "price": round(price * PRICE), "size": size, "action": action(act), "side": side(where),
    }  # fmt: skip


def view(
    at_us: float,
    bids: Levels,
    asks: Levels,
    act: str = "A",
    where: str = "B",
    price: float = 1,
    size: int = 1,
    **more: Any,
) -> Any:
    """An mbp-10 record with this book after it."""
    pairs = []
    for level in range(10):
        bid, ask = (rows[level] if level < len(rows) else None for rows in (bids, asks))
        pair = {"bid_px": round(bid[0] * PRICE), "bid_sz": bid[1]} if bid else {}
        pair |= {"ask_px": round(ask[0] * PRICE), "ask_sz": ask[1]} if ask else {}
        pairs.append(dbn.BidAskPair(**pair))
    return dbn.MBP10Msg(**header(at_us, act, where, price, size) | more, depth=0, levels=pairs)


def order(at_us: float, act: str, where: str, order_id: int, price: float, size: int, **more: Any) -> Any:
    fields = header(at_us, act, where, price, size) | {"order_id": order_id, "channel_id": 0, "flags": 128}
    return dbn.MBOMsg(**fields | more)


def trade(at_us: float, where: str, price: float, size: int, **more: Any) -> Any:
    return dbn.TradeMsg(**header(at_us, "T", where, price, size) | more, depth=0)


def good() -> list[Any]:
    return [
        view(0, [(100.0, 5), (99.99, 3)], [(100.01, 2)]),
        view(10, [(100.0, 5), (99.99, 3)], [(100.01, 2)], "T", "B", 100.01, 1),
        view(10, [(100.0, 5), (99.99, 3)], [(100.01, 1), (100.05, 9)]),
        view(20, [(99.99, 4), (99.98, 1)], [(100.01, 1), (100.05, 9)]),
        view(30, [], [(100.05, 9)], "R"),
    ]


@needs_library
@pytest.mark.parametrize("name", ["a.dbn", "a.dbn.zst"])
def test_views_of_ten_levels_become_what_changed(name: str, tmp_path: Path) -> None:
    found = imported("databento", tmp_path, written(tmp_path / name, "mbp-10", *good()))
    assert story(found) == ["RESYNC", "SNAPSHOT", "TRADE", "DEPTH", "DEPTH", "DEPTH"]
    assert [one[1:] for one in books(found)] == [
        ({10000: 5, 9999: 3}, {10001: 2}),
        ({10000: 5, 9999: 3}, {10001: 1, 10005: 9}),
        ({9999: 4, 9998: 1}, {10001: 1, 10005: 9}),
        ({}, {10005: 9}),
    ]
    assert prints(found) == [(START_NS + 10_000, 1, 10001, 1)]


@needs_library
def test_a_share_of_a_known_exchange_is_described_and_said_to_be_assumed(tmp_path: Path) -> None:
    facts = imported("databento", tmp_path, written(tmp_path / "a.dbn", "mbp-10", *good())).facts
    spec = facts.listing
    assert (spec.name, spec.asset_class, spec.calendar) == ("xnas AAPL/USD", "equity", "XNAS")
    assert (spec.tick_size, spec.lot_size) == (Decimal("0.01"), Decimal(1))
    assert "AAPL of XNAS.ITCH is a share quoted in USD" in facts.assumed[0]
    assert facts.quality.clock_offset_ns == 0  # both stamps are of clocks kept together
    assert facts.quality.latency_ns_median == 100_000


@needs_library
def test_anything_else_needs_a_listing_beside_it(tmp_path: Path) -> None:
    path = written(tmp_path / "es.dbn", "mbp-10", *good(), dataset="GLBX.MDP3", symbols={APPLE: "ESZ3"})
    assert "what ESZ3 of GLBX.MDP3 is, is not known" in refusal("databento", [path], tmp_path / "catalog")
    spec = listing("cme", "ES", tick_size=Decimal("0.005")).model_copy(update={"lot_size": Decimal(1)})
    (tmp_path / "es.listing.json").write_text(spec.model_dump_json())
    found = imported("databento", tmp_path, path)
    assert found.facts.listing == spec
    assert books(found)[0].bids == {20000: 5, 19998: 3}


@needs_library
def test_instruments_of_a_file_become_a_tape_each(tmp_path: Path) -> None:
    records = [trade(0, "B", 10.5, 1), trade(1, "A", 20.25, 2, instrument_id=7), trade(2, "N", 10.5, 3)]
    path = written(tmp_path / "a.dbn", "trades", *records, symbols={APPLE: "AAPL", 7: "MSFT"})
    facts = import_paths("databento", [path], tmp_path / "catalog")
    assert [(one.listing.name, one.quality.trades, one.quality.ignored_lines) for one in facts] == [
        ("xnas AAPL/USD", 1, 1),
        ("xnas MSFT/USD", 1, 0),
    ]


@needs_library
def test_a_book_that_may_be_wrong_is_counted_and_answers_are_not_late(tmp_path: Path) -> None:
    records = [
        view(0, [(1.0, 1)], [], flags=32, ts_event=START_NS - 10**15),  # told again days after it happened
        *[view(i, [(1.0, 1 + i)], [], flags=flags) for i, flags in enumerate((0, 4, 4 | 128, 128, 4), 1)],
    ]
    facts = imported("databento", tmp_path, written(tmp_path / "a.dbn", "mbp-10", *records)).facts
    assert (facts.quality.sequence_gaps, facts.latency_ns_max) == (2, 100_000)


@needs_library
def test_trades_that_the_book_file_has_too_are_refused(tmp_path: Path) -> None:
    paths = [written(tmp_path / "b.dbn", "mbp-10", *good()), written(tmp_path / "t.dbn", "trades", trade(0, "B", 1, 1))]
    assert f"{paths[1]}: its trades are in {paths[0]} too" in refusal("databento", paths, tmp_path / "catalog")


@needs_library
def test_the_touch_alone_is_a_book_too(tmp_path: Path) -> None:
    pairs = [dbn.BidAskPair(10 * PRICE, 11 * PRICE, 5, 6, 1, 1), dbn.BidAskPair(10 * PRICE, 12 * PRICE, 4, 6, 1, 1)]
    records = [dbn.MBP1Msg(**header(i, "A", "B", 10, 1), depth=0, levels=pair) for i, pair in enumerate(pairs)]
    found = imported("databento", tmp_path, written(tmp_path / "a.dbn.zst", "mbp-1", *records))
    assert [one[1:] for one in books(found)] == [({10: 5}, {11: 6}), ({10: 4}, {12: 6})]


@needs_library
def test_single_orders_add_up_to_levels(tmp_path: Path) -> None:
    records = [
        order(0, "R", "N", 0, 0, 0),
        order(0, "A", "B", 1, 100.0, 5, flags=32),
        order(0, "A", "A", 2, 100.5, 7, flags=32 | 128),
        order(10, "A", "B", 3, 100.0, 2),
        order(20, "T", "A", 0, 100.0, 1),
        order(20, "F", "B", 1, 100.0, 1),
        order(20, "C", "B", 1, 100.0, 1),
        order(30, "M", "B", 3, 99.5, 4),
        order(40, "C", "A", 2, 100.5, 7),
        order(50, "C", "A", 99, 100.5, 7),  # nobody saw it come
    ]
    found = imported("databento", tmp_path, written(tmp_path / "a.dbn", "mbo", *records))
    assert story(found) == ["RESYNC", "SNAPSHOT", "DEPTH", "TRADE", "DEPTH", "DEPTH", "DEPTH"]
    tick = found.facts.listing.tick_size
    assert tick == Decimal("0.1")
    assert [one[1:] for one in books(found)] == [
        ({1000: 5}, {1005: 7}),
        ({1000: 7}, {1005: 7}),
        ({1000: 6}, {1005: 7}),
        ({1000: 4, 995: 4}, {1005: 7}),
        ({1000: 4, 995: 4}, {}),
    ]
    assert prints(found) == [(START_NS + 20_000, -1, 1000, 1)]
    assert found.facts.quality.ignored_lines == 1


def random_orders(count: int, seed: int) -> Iterator[Any]:
    random, alive = np.random.default_rng(seed), dict[int, tuple[str, float, int]]()
    yield order(0, "R", "N", 0, 0, 0)
    at = 0
    for order_id in range(1, count):
        at += int(random.random() < 0.5)
        where = "B" if random.random() < 0.5 else "A"
        price = float(random.integers(9_900, 10_000) + (100 if where == "A" else 0)) / 100
        yield order(at, "A", where, order_id, price, 1 + order_id % 7)
        alive[order_id] = (where, price, 1 + order_id % 7)
        if random.random() < 0.7:
            chosen = int(random.choice(list(alive)))
            where, price, size = alive.pop(chosen)
            if random.random() < 0.4 and size > 1:
                yield order(at, "C", where, chosen, price, 1)
                alive[chosen] = (where, price, size - 1)
            elif random.random() < 0.4:
                yield order(at, "M", where, chosen, price - 0.01, size + 2)
                alive[chosen] = (where, price - 0.01, size + 2)
            else:
                yield order(at, "C", where, chosen, price, size)


def levels_of(orders: dict[int, list[Any]], where: str) -> Side:
    levels: Side = {}
    for of_side, price, size in orders.values():
        if of_side == where:
            levels[round(price / (PRICE // 100))] = levels.get(round(price / (PRICE // 100)), 0) + size
    return levels


@needs_library
@pytest.mark.spec("M1")
def test_the_tape_rebuilds_the_books_that_add_up_from_all_living_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, living, expected = list(random_orders(1_500, seed=6)), dict[int, list[Any]](), []
    for record in records:
        letter, size = str(record.action), int(record.size)
        if letter in ("A", "M"):
            living[record.order_id] = [str(record.side), record.price, size]
        elif letter == "C":
            living[record.order_id][2] -= size
            if living[record.order_id][2] == 0:
                del living[record.order_id]
        expected.append(Seen(record.ts_recv, levels_of(living, "B"), levels_of(living, "A")))
    monkeypatch.setattr(importer, "BATCH_RECORDS", 100)
    found = imported("databento", tmp_path, written(tmp_path / "a.dbn.zst", "mbo", *records))
    assert len(last_by_time(expected)) > 500
    assert last_by_time(books(found)) == last_by_time(expected)


@needs_library
@pytest.mark.spec("M1")
def test_the_tape_rebuilds_every_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random, records, expected = np.random.default_rng(7), [], []
    for i in range(1_200):
        bids = {int(10_000 - p): int(random.integers(1, 4)) for p in sorted(random.choice(14, 10, replace=False))}
        asks = {int(10_001 + p): int(random.integers(1, 4)) for p in sorted(random.choice(14, i % 11, replace=False))}
        records.append(view(i, [(p / 100, q) for p, q in bids.items()], [(p / 100, q) for p, q in asks.items()]))
        expected.append(Seen(records[-1].ts_recv, bids, asks))
    monkeypatch.setattr(importer, "BATCH_RECORDS", 100)
    assert books(imported("databento", tmp_path, written(tmp_path / "a.dbn", "mbp-10", *records))) == expected


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "databento_dbn", None)
    importer.dbn_library.cache_clear()
    path = tmp_path / "a.dbn"
    path.write_bytes(b"DBN")
    assert "databento-dbn, which is not installed" in refusal("databento", [path], tmp_path / "catalog")
    importer.dbn_library.cache_clear()


@needs_library
def test_a_bad_record_is_refused_by_its_number(tmp_path: Path) -> None:
    for record, reason in (
        (view(29, [], []), ":6: time goes backwards by 1000 ns"),
        (view(40, [(-5.0, 1)], []), ":6: price is not positive"),
        (view(40, [(0.0, 1)], []), ":6: price is not positive"),
        (view(40, [], [], "T", "B", 0.0, 5), ":6: price is not positive"),
        (view(40, [], [], "T", "B", 5.0, 0), ":6: trade of size zero"),
        (view(40, [(9e9, 2**32 - 1)], []), ":6: number too large"),
        (view(40, [(1.0, 1)], [], ts_recv=5), ":6: 5 ns is not a time"),
        (view(40, [(1.0, 1)], [], ts_event=2**64 - 1), ":6: -1 ns is not a time"),
        (view(40, [(1.0, 1)], [], ts_event=START_NS - 10**14), ":6: venue time is more than a day from"),
    ):
        path = written(tmp_path / "a.dbn", "mbp-10", *good(), record)
        assert f"{path}{reason}" in refusal("databento", [path], tmp_path / "catalog")


@needs_library
def test_rubbish_is_refused_by_file(tmp_path: Path) -> None:
    plain = written(tmp_path / "good.dbn", "mbp-10", *good()).read_bytes()
    small = packed(plain)
    for content, reason in (
        (b"", "empty file"),
        (b"rubbish" * 50, ": damaged or not DBN"),
        (plain[:50], "truncated"),
        (plain[:-100], "truncated"),
        (small[: len(small) // 2], "truncated"),
        (small[:-1], "truncated"),
        (small[:8], "truncated"),
        (small[:40] + b"\xff" * 20 + small[60:], "damaged or not DBN"),
        (metadata("mbp-10"), "no records"),
        (metadata("ohlcv-1m"), "schema ohlcv-1m"),
        (metadata("mbo") + bytes(order(0, "A", "B", 1, 5.0, 1)), "no snapshot in it"),
    ):
        path = tmp_path / "bad.dbn"
        path.write_bytes(content)
        message = refusal("databento", [path], tmp_path / "catalog")
        assert reason in message, (reason, message)
