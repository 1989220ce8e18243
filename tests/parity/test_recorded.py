"""The recorded capture through the whole machine: our books are the venue's, and every coin is accounted for."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elegant_trading_system.config import Config
from elegant_trading_system.config_sources import load
from elegant_trading_system.core import market_data
from elegant_trading_system.core.jit import entry
from elegant_trading_system.core.kinds import Kind
from elegant_trading_system.core.schema import LADDER, LEVEL
from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.universe import build
from elegant_trading_system.sim import backtest, replay
from elegant_trading_system.sim.session import new_market
from tests import naive
from tests.data.test_import_recorded import LISTINGS, files_of
from tests.shared_data import shared_data

CHECKS_PER_FILE = 1_300
SHORT_WINDOWS = Path("short-windows")


@entry
def feed(worlds, packets, levels):  # type: ignore[no-untyped-def]
    """The market part of the engine, alone."""
    for i in range(len(packets)):
        market_data.apply_packet(worlds[0][0], worlds[1][0], worlds[2][0], worlds[3][0], packets[i], levels)


@pytest.fixture(scope="module")
def recording() -> Path:
    return shared_data("hftbacktest-20240808")


@pytest.fixture(scope="module")
def catalog(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalog")
    import_paths("binance-capture", [recording], folder)
    return folder


@pytest.fixture(scope="module")
def runs(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same recording twice: with the strategy's own windows, and with windows of seconds."""
    folder = tmp_path_factory.mktemp("runs")
    for name, config in {"cold": load([], []), "short": load([SHORT_WINDOWS], [])}.items():
        backtest.run(catalog, config, folder / name)
    return {name: folder / name for name in ("cold", "short")}


def summary_of(run: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((run / "manifest.json").read_text())["summary"]
    return summary


def whole_book(market: Any, books: Any, s: int) -> dict[int, int]:
    """One side of listing 0 as {ticks: lots}: ladder and far table together."""
    low_x = int(market["books"]["low_x"][0, 0, s])
    slots = np.flatnonzero(books["lots"][0, 0, s])
    xs = low_x + (slots - low_x) % LADDER
    far = books["far"][0, 0, s]
    far = far[far["lots"] > 0]
    sign = 1 if s == 0 else -1
    levels = dict(zip((sign * xs).tolist(), books["lots"][0, 0, s, slots].tolist(), strict=True))
    return levels | dict(zip((sign * far["price_ticks"]).tolist(), far["lots"].tolist(), strict=True))


@pytest.mark.spec("M1")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name.startswith("binanceusdm BTC") else pytest.mark.drill) for name in LISTINGS],
)
def test_our_books_are_those_a_naive_reader_builds_from_the_raw_file(catalog: Path, recording: Path, name: str) -> None:
    tape = next(tape for tape in Catalog(catalog).tapes() if tape.facts.listing.name == name)
    listing, paths = tape.facts.listing, files_of(recording, name)
    universe = build([listing], load([], []))
    worlds = (universe.record, *new_market(), load([], []).market_params())
    packets, levels = tape.packets, tape.levels
    of_books = np.flatnonzero((packets["kind"] == Kind.DEPTH) | (packets["kind"] == Kind.SNAPSHOT))
    stride = max(1, len(of_books) // (CHECKS_PER_FILE * len(paths)))
    compared: Counter[str] = Counter()
    fed = 0
    for i, book in enumerate(naive.capture_books(paths, listing.tick_size, listing.lot_size)):
        if i % stride:
            continue
        until = int(of_books[i]) + 1
        feed(worlds, packets[fed:until], levels)
        fed = until
        assert whole_book(worlds[1], worlds[2], 0) == book.bids, f"{book.path}:{book.line}"
        assert whole_book(worlds[1], worlds[2], 1) == book.asks, f"{book.path}:{book.line}"
        best = worlds[1]["books"]["best_x"][0, 0]
        assert (best[0], -best[1]) == (max(book.bids), min(book.asks))
        compared[book.path.name] += 1
    assert min(compared[path.name] for path in paths) >= 1_000
    assert worlds[1]["books"]["crossed_count"][0, 0] == 0
    assert worlds[1]["books"]["overflow_count"][0, 0] == 0


@pytest.mark.spec("M5", "R9")
def test_a_cold_start_trades_nothing_and_says_why(runs: dict[str, Path]) -> None:
    summary = summary_of(runs["cold"])
    assert summary["orders"] == 0
    assert summary["pnl"]["net"] == 0.0
    assert set(summary["verdicts"]) == {"WARMUP_VELOCITY", "BOOK_NOT_LIVE"}
    assert summary["verdicts"]["WARMUP_VELOCITY"] > 1_000


@pytest.mark.spec("E2", "P1")
def test_with_windows_of_seconds_orders_flow_and_every_lot_is_accounted_for(runs: dict[str, Path]) -> None:
    summary = summary_of(runs["short"])
    assert summary["orders"] > 50
    assert summary["round_trips"] > 10
    lots = summary["lots"]
    assert lots["sent"] == lots["filled"] + lots["expired"] + lots["working"]
    for venue in summary["venues"].values():
        assert venue["lots"]["sent"] == sum(venue["lots"][name] for name in ("filled", "expired", "working"))
    assert summary["venues"]["binancecoinm"]["lots"]["sent"] == 0  # confirms, never trades
    assert summary["venues"]["binanceusdm"]["lots"]["sent"] > 0


@pytest.mark.spec("P1")
def test_every_asset_reconciles_to_the_atom(runs: dict[str, Path]) -> None:
    for run in runs.values():
        for asset, row in summary_of(run)["assets"].items():
            assert row["fill"] + row["fee"] + row["funding"] + row["transfer"] == row["balance"], asset


@pytest.mark.spec("P1")
def test_the_fills_table_adds_up_to_the_ledger(runs: dict[str, Path]) -> None:
    """Spot coins: what the Parquet table says was bought and sold, less the fees taken in coin, is the balance."""
    fills = backtest.read_tables(runs["short"])["fills"]
    summary = summary_of(runs["short"])
    for asset in ("BTC", "ETH"):
        spot = fills.filter(listing=f"binance {asset}/USDT").to_dicts()
        bought = sum(row["quantity"] * (1 if row["side"] == "buy" else -1) for row in spot)
        fees = sum(row["fee"] for row in spot if row["fee_asset"] == asset)
        row = summary["assets"][asset]
        assert (bought - fees) == pytest.approx(row["balance"] / 10 ** row["decimals"], abs=1e-9)


@pytest.mark.spec("P1")
def test_the_round_trips_add_up_to_the_net_of_the_run(runs: dict[str, Path]) -> None:
    trades, summary = backtest.read_tables(runs["short"])["trades"], summary_of(runs["short"])
    total = sum(row["net"] + row["dust_gain"] for row in trades.to_dicts())
    assert total == pytest.approx(summary["pnl"]["net"], abs=0.005)
    assert int(trades["is_closed"].sum()) == summary["round_trips"]


@pytest.mark.spec("X1")
def test_the_journal_replays_to_the_same_decisions(runs: dict[str, Path]) -> None:
    for run in runs.values():
        result = replay.verify(run)
        assert result["identical"], result["first_difference"]


@pytest.mark.spec("X1")
def test_two_runs_on_the_same_input_print_the_same_digests(
    runs: dict[str, Path], catalog: Path, tmp_path: Path
) -> None:
    config: Config = load([SHORT_WINDOWS], [])
    again = backtest.run(catalog, config, tmp_path / "again")
    assert again["digests"] == summary_of(runs["short"])["digests"]


@pytest.mark.spec("X1")
def test_a_replay_names_the_first_command_that_differs(runs: dict[str, Path], tmp_path: Path) -> None:
    """A journal in which one fill was tampered with no longer replays."""
    broken = tmp_path / "broken"
    shutil.copytree(runs["short"], broken)
    rows = np.fromfile(broken / "journal" / "rows.bin", LEVEL)
    entry_fill = int(np.flatnonzero(rows["lots"] > 1)[0])
    rows["lots"][entry_fill] -= 1
    rows.tofile(broken / "journal" / "rows.bin")
    result = replay.verify(broken)
    assert not result["identical"]
    assert "command" in result["first_difference"]
