"""The portfolio's rules on recorded bars and indices, against plain NumPy: clusters, stress, regimes, breakers."""

import csv
import json
import lzma
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from elegant_trading_system.config import Config
from elegant_trading_system.config_sources import load
from elegant_trading_system.core import correlation
from elegant_trading_system.core.kinds import Kind, Regime, Verdict
from elegant_trading_system.core.schema import LEVEL, NS_PER_S, PACKET
from elegant_trading_system.data.tape import ListingSpec
from elegant_trading_system.data.universe import build
from elegant_trading_system.sim.session import Session

from ..builders import NS_PER_MS, Array, depth, listing, snapshot, tape
from ..shared_data import shared_data

TICKS = 10**6  # prices in millionths
MINUTE_NS = 60 * NS_PER_S
NAMES = ("BTC", "ETH", "ADA", "DOGE", "SOL")


def spot(base: str) -> ListingSpec:
    return listing("alpha", f"{base}/USDT", "spot", "0.000001", "0.01")


def bar_packets(series: dict[int, Array]) -> tuple[Array, Array]:
    """(packets, levels) of minute bars: per listing an array of [start ms, open, high, low, close]."""
    stamped = [
        (int(row[0]) * NS_PER_MS + MINUTE_NS, listing_id, *np.rint(row[1:5] * TICKS).astype(np.int64).tolist())
        for listing_id, rows in series.items()
        for row in rows
    ]
    stamped.sort()
    packets = np.zeros(len(stamped), PACKET)
    table = np.array(stamped, np.int64)
    packets["ts_local_ns"], packets["listing_id"] = table[:, 0], table[:, 1]
    packets["kind"], packets["code"], packets["buy_count"] = Kind.BAR, 1, 4
    packets["level_begin"] = np.arange(len(packets)) * 4
    levels = np.zeros(4 * len(packets), LEVEL)
    levels["price_ticks"] = table[:, 2:6].ravel()
    levels["lots"][3::4] = 1
    return packets, levels


def fed(series: dict[str, Array], config: Config) -> Session:
    session = Session(build([spot(base) for base in series], config), [config])
    session.run(*bar_packets(dict(enumerate(series.values()))), is_last=False)
    return session


@pytest.fixture(scope="module")
def bars_2023() -> dict[str, Array]:
    """[start ms, open, high, low, close, volume] a minute, 2023-04-01 to 05-01."""
    folder, found = shared_data("binance-spot-1m-2023"), {}
    for base in NAMES:
        rows = np.array(json.loads(lzma.decompress((folder / f"{base}_USDT-1m.json.xz").read_bytes())), float)
        found[base] = rows[rows[:, 0] >= datetime(2023, 4, 1, tzinfo=UTC).timestamp() * 1000]
    return found


@pytest.fixture(scope="module")
def bars_2025() -> dict[str, Array]:
    folder, found = shared_data("binance-usdm-1m-2025"), {}
    for base in NAMES:
        if (folder / f"{base}_USDT_USDT-1m-futures.feather").exists():
            frame = pl.read_ipc(folder / f"{base}_USDT_USDT-1m-futures.feather")
            stamps = frame["date"].cast(pl.Datetime("ms", "UTC")).cast(pl.Int64)
            found[base] = np.column_stack([stamps, *(frame[name] for name in ("open", "high", "low", "close"))])
    return found


def naive_correlations(series: dict[str, Array], halflife: int = 288) -> Array:
    """EWMA correlation of five-minute returns of closes, pair by pair over the slots they share."""
    grids = []
    for rows in series.values():
        ends = rows[:, 0].astype(np.int64) // 60_000 + 1
        grids.append(dict(zip(ends[ends % 5 == 0].tolist(), rows[ends % 5 == 0, 4].tolist(), strict=True)))
    last = max(max(grid) for grid in grids)  # an interval is closed by the first bar after it
    return np.array([[naive_correlation(one, other, last, halflife) for other in grids] for one in grids])


def naive_correlation(one: dict[int, float], other: dict[int, float], last: int, halflife: int) -> float:
    slots = sorted(one.keys() & other.keys())
    steps = [(a, b) for a, b in pairwise(slots) if b - a == 5 and b < last]
    x, y = (np.array([grid[b] / grid[a] - 1 for a, b in steps]) for grid in (one, other))
    weights = 0.5 ** (np.arange(len(steps))[::-1] / halflife)
    return float((weights * x * y).sum() / np.sqrt((weights * x * x).sum() * (weights * y * y).sum()))


@pytest.mark.spec("R4", "P2")
@pytest.mark.parametrize("year", [2023, 2025])
def test_correlations_of_a_month_are_those_of_its_five_minute_returns(
    year: int, request: pytest.FixtureRequest
) -> None:
    series = request.getfixturevalue(f"bars_{year}")
    session = fed(series, load(environ={}))
    world, market, count = session.universe.record[0], session.market[0], len(series)
    ours = np.array(
        [
            [correlation.correlation(world, market, session.market_params[0], i, j) for j in range(count)]
            for i in range(count)
        ]
    )
    np.testing.assert_allclose(ours, naive_correlations(series), atol=2e-3)
    if (ours > 0.7).all():  # as in both months: one cluster, so never more than three positions
        assert market["clusters"][:count].tolist() == [0] * count


@pytest.mark.spec("R3")
def test_regimes_of_a_month_are_near_what_the_research_measured(bars_2023: dict[str, Array]) -> None:
    """Shares of TREND, NEUTRAL, RANGE and flips a day of BTC at 5 min: 45/12/43 % and 16.6 (SCIENCE 1.9)."""
    config = load(environ={})
    session = Session(build([spot("BTC")], config), [config])
    packets, levels = bar_packets({0: bars_2023["BTC"]})
    counts, flips = dict.fromkeys(Regime, 0), 0
    for begin in range(0, len(packets), 5):
        session.run(packets, levels, min(begin + 5, len(packets)), is_last=False)
        bar = session.market[0]["groups"][0]["bars"][2]
        if bar["count"] > 28:
            counts[Regime(int(bar["regime"]))] += 1
        flips = int(bar["regime_flips"])
    shares = {regime: n / sum(counts.values()) for regime, n in counts.items()}
    days = len(packets) / 1440
    assert 0.35 < shares[Regime.TREND] < 0.55, shares
    assert 0.07 < shares[Regime.NEUTRAL] < 0.20, shares
    assert 0.30 < shares[Regime.RANGE] < 0.55, shares
    assert 12 < flips / days < 21, flips / days


# --- stress through recorded panics -----------------------------------------------------------------------------
def index_states(spec: ListingSpec, days: list[tuple[str, float]]) -> dict[str, bool]:
    """Stress after each daily close of a volatility index."""
    config = load(environ={})
    world = build([spot("BTC") if spec.asset_class == "crypto" else spot("SPY"), spec], config)
    session = Session(world, [config])
    packets = np.zeros(len(days), PACKET)
    packets["kind"], packets["buy_count"], packets["listing_id"] = Kind.TRADE, 1, 1
    packets["level_begin"] = np.arange(len(days))
    packets["ts_local_ns"] = [
        int(datetime.fromisoformat(f"{day}T21:15+00:00").timestamp()) * NS_PER_S for day, _ in days
    ]
    levels = np.array([(round(value * 100), 1) for _, value in days], dtype=LEVEL)
    found = {}
    for n, (day, _) in enumerate(days, 1):
        session.run(packets, levels, n, is_last=False)
        found[day] = bool(session.market[0]["volatilities"][1]["is_stressed"])
    return found


@pytest.mark.spec("R5")
def test_stress_through_the_vix_of_2020() -> None:
    [path] = sorted(shared_data("vix-daily").glob("*.csv"))
    rows = list(csv.DictReader(path.read_text().splitlines()))
    close = next(name for name in rows[0] if name.lower() == "close")
    date = next(name for name in rows[0] if name.lower() == "date")
    days = [(iso(row[date]), float(row[close])) for row in rows]
    days = [(day, value) for day, value in days if "2019-12-01" <= day <= "2020-12-31"]
    spec = listing("cboe", "VIX/USD", "volatility", "0.01", "1").model_copy(update={"asset_class": "equity"})
    found, calm, is_on = index_states(spec, days), 0, False
    for day, value in days:  # the rule once more, in plain Python
        if value > 30:
            is_on, calm = True, 0
        else:
            calm = calm + 1 if value < 28 else 0
            is_on = is_on and calm < 3
        assert found[day] == is_on, day
    assert not found["2020-02-20"]
    assert found["2020-03-16"]  # 82.69, the highest close there is
    assert sum(found.values()) > 80


def iso(text: str) -> str:
    return text if "-" in text else datetime.strptime(text, "%m/%d/%Y").replace(tzinfo=UTC).date().isoformat()


@pytest.mark.spec("R5")
def test_stress_through_the_dvol_of_november_2022() -> None:
    rows = json.loads((shared_data("deribit-dvol") / "dvol_btc.json").read_text())
    points = rows if isinstance(rows, list) else next(value for value in rows.values() if isinstance(value, list))
    days = sorted(
        (datetime.fromtimestamp(int(point[0]) / 1000, UTC).date().isoformat(), float(point[-1])) for point in points
    )
    spec = listing("deribit", "DVOL-BTC/USD", "volatility", "0.01", "1")
    found = index_states(spec, days)
    november = {day: found[day] for day, _ in days if day.startswith("2022-11")}
    assert sum(november.values()) >= 10, november
    assert found[max(days, key=lambda item: item[1])[0]], "114.7, as FTX fell"
    assert sum(found.values()) < len(found) / 4


# --- breakers through the de-peg week ---------------------------------------------------------------------------
@pytest.mark.spec("R7")
def test_breakers_trip_through_the_week_usdc_lost_its_peg() -> None:
    """An account that holds coins through March 2023: its day's loss and its drawdown trip when NumPy says so."""
    [path] = [
        path for path in sorted(shared_data("multivenue-1m-202303").rglob("*.parquet")) if is_btc_usd(path.as_posix())
    ][:1]
    frame = pl.read_parquet(path)
    stamp = next(name for name in frame.columns if name.lower() in ("timestamp", "time", "date", "open_time"))
    closes = frame.sort(stamp)["close"].to_numpy().astype(float)[::10]
    config = load(
        sets=["account.capital=100000.0", "market.venue_stale_s=3600", "market.listing_stale_s=86400"], environ={}
    )
    events = [snapshot(0, 0, [(ticks(closes[0]) - 1, 10)], [(ticks(closes[0]) + 1, 10)])]
    for n, close in enumerate(closes[1:], 1):
        events.append(snapshot(n * 1000, 0, [(ticks(close) - 1, 10)], [(ticks(close) + 1, 10)]))
    events.append(depth(len(closes) * 1000, 0))
    packets, levels = tape(events)
    world = build([listing("alpha", "BTC/USDT", "spot", "0.01", "0.00001")], config)
    session = Session(world, [config])
    coin = int(world.record[0]["listings"][0]["base_id"])
    atoms = round(4.0 / float(world.record[0]["assets"][coin]["atom"]))
    session.run(packets, levels, 1, is_last=False)
    account = session.traders[0]
    account["balances"][0, coin] += atoms  # coins that were there before, worth about the cash
    account["transfer_atoms"][0, coin] += atoms
    tripped = None
    peak = 0.0
    for n in range(1, len(closes)):
        session.run(packets, levels, n + 1, is_last=False)
        equity = 100_000.0 + 4.0 * float(closes[n - 1])
        peak = max(peak, equity)
        if tripped is None and 1 - equity / peak >= 0.08:
            tripped = n
        if tripped is not None:
            break
    assert tripped is not None, "the week fell far enough"
    assert float(account["equity"]) == pytest.approx(equity, rel=1e-6)
    assert int(account["verdicts"][Verdict.DRAWDOWN_HALT]) == 1
    assert (int(account["is_halted"]), int(account["is_flattening"])) == (1, 1)


def is_btc_usd(path: str) -> bool:
    name = path.lower()
    return "coinbase" in name and "btc" in name and "usd" in name and "usdt" not in name and "usdc" not in name


def ticks(price: float) -> int:
    return round(price * 100)
