"""History before a recording: known at once what would take hours to see, and nothing decided on it."""

import csv
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elegant_trading_system.config_sources import load
from elegant_trading_system.core.kinds import Kind
from elegant_trading_system.core.schema import NS_PER_S
from elegant_trading_system.data.catalog import Catalog, merge
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.importers.said import Said
from elegant_trading_system.data.universe import build
from elegant_trading_system.errors import UserError
from elegant_trading_system.sim import backtest, replay
from elegant_trading_system.sim.market_tape import simulate_market
from elegant_trading_system.sim.session import Session
from tests.naive_core import wilder_atr

HOURS = 40
SYMBOL = "sim-a BTC/USDT"


class Warm:
    """A simulated hour behind a history of minute bars that also covers it."""

    def __init__(self, folder: Path) -> None:
        self.catalog = folder / "catalog"
        simulate_market(self.catalog, 3, 1, instruments=["BTC"])
        self.live_ns = min(tape.facts.ts_first_ns for tape in Catalog(self.catalog).tapes())
        self.bars = self._write(folder / "history.csv")
        import_paths("bars", [folder / "history.csv"], self.catalog, said=Said(listing=SYMBOL, stamps="start"))

    def _write(self, path: Path) -> list[tuple[float, float, float, float, float]]:
        """Bars of a random walk, up to ten minutes after the recording begins: open, high, low, close, volume."""
        random, price, rows = np.random.default_rng(4), 100_000.0, []
        first = datetime.fromtimestamp(self.live_ns // NS_PER_S // 60 * 60, UTC) - timedelta(hours=HOURS)
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["timestamp", "open", "high", "low", "close", "volume"])
            for minute in range(HOURS * 60 + 10):
                steps = np.concatenate([[price], price + np.cumsum(random.normal(0, 20, 3))]).round(1)
                row = (steps[0], steps.max(), steps.min(), steps[-1], round(float(random.uniform(1, 9)), 3))
                stamp = (first + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")
                writer.writerow([stamp, *(f"{value:.1f}" for value in row[:4]), row[4]])
                rows.append(row)
                price = float(steps[-1])
        return rows

    def session(self, minutes: float) -> Session:
        merged = merge(Catalog(self.catalog).tapes())
        config = load(environ={})
        session = Session(build(merged.listings, config), [config])
        until = int(np.searchsorted(merged.packets["ts_local_ns"], self.live_ns + round(minutes * 60 * NS_PER_S)))
        session.run(merged.packets, merged.levels, until, is_last=False)
        return session


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Warm:
    return Warm(tmp_path_factory.mktemp("warm"))


def group_of(session: Session) -> Any:
    return session.market[0]["groups"][session.universe.groups.index("BTC")]


@pytest.mark.spec("M5", "M7", "M8", "X1")
def test_after_a_second_everything_is_known_that_history_tells(warm: Warm) -> None:
    group = group_of(warm.session(1.5))
    assert float(group["velocity"]) >= 0.0
    assert group["is_vwap_known"] == 1
    assert (group["bars"]["atr_ticks"] > 0.0).all(), "every bar length up to an hour"
    assert (group["bars"]["adx"] > 0.0).all()


@pytest.mark.spec("M8")
def test_bars_of_every_length_are_those_of_the_history(warm: Warm) -> None:
    """Looked at before the first live minute closes."""
    session = warm.session(0.4)
    known = warm.bars[: HOURS * 60]
    for bar, length in zip(group_of(session)["bars"], (1, 3, 5, 15, 30, 60), strict=True):
        first = (int((warm.live_ns // NS_PER_S - HOURS * 3600) // 60)) % length
        start = (length - first) % length
        whole = [known[k : k + length] for k in range(start, len(known) - length + 1, length)]
        ticks = [
            (max(nearest(b[1]) for b in part), min(nearest(b[2]) for b in part), nearest(part[-1][3])) for part in whole
        ]
        assert int(bar["count"]) == len(ticks), length
        expected = wilder_atr([(float(h), float(lo), float(c)) for h, lo, c in ticks], 14)[len(ticks) - 1]
        assert float(bar["atr_ticks"]) == pytest.approx(expected, rel=1e-12), length


def nearest(price: float) -> int:
    """In ticks of 4, as the simulated listing counts; halves up."""
    return math.floor(round(price, 1) / 4 + 0.5)


@pytest.mark.spec("X1")
def test_history_is_cut_where_the_recording_begins_and_decides_nothing(warm: Warm) -> None:
    merged = merge(Catalog(warm.catalog).tapes())
    bars = merged.packets[merged.packets["kind"] == Kind.BAR]
    assert len(bars) == HOURS * 60
    assert int(bars["ts_local_ns"][-1]) <= warm.live_ns
    session = warm.session(0.01)
    log = session.logs[0]
    assert len(log.joined("commands")) == 0
    assert int(session.market["refused_count"][0]) == 0
    assert all(int(ts) >= warm.live_ns for ts in log.joined("evaluations")["ts_ns"])


@pytest.mark.spec("M5")
def test_a_listing_without_history_is_no_surge_of_volume(warm: Warm) -> None:
    """The other venues' volume counts only once their own windows are full."""
    session = warm.session(1.5)
    world, market = session.universe.record[0], session.market[0]
    by_name = {session.universe.listing_name(i): i for i in range(world["listing_count"])}
    flow = market["flows"][by_name[SYMBOL]]
    expected = float(flow["fast_lots"]) / float(flow["slow_lots"]) * 20
    assert float(group_of(session)["velocity"]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.spec("X1")
def test_a_warm_run_replays_and_says_when_it_traded(warm: Warm, tmp_path: Path) -> None:
    backtest.run(warm.catalog, load(environ={}), tmp_path / "run")
    assert replay.verify(tmp_path / "run")["identical"]
    manifest = replay.read_manifest(tmp_path / "run")
    assert manifest["first_ns"] == warm.live_ns


def test_history_alone_is_nothing_to_trade(warm: Warm, tmp_path: Path) -> None:
    other = tmp_path / "bars"
    import_paths("bars", [warm.catalog.parent / "history.csv"], other, said=Said(listing=SYMBOL, stamps="start"))
    with pytest.raises(UserError, match="history only"):
        backtest.run(other, load(environ={}), tmp_path / "run")
