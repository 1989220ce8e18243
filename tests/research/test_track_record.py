"""Performance beside its targets: from days and trades to intervals and words, none of them a promise."""

import json
import math
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from elegant_trading_system import cli
from elegant_trading_system.research import report_sections as sections
from elegant_trading_system.research.bootstrap import Array, stationary_indices
from elegant_trading_system.research.figures import figures
from elegant_trading_system.research.performance import annual_return, drawdown, sharpe
from elegant_trading_system.research.report_run import Run
from elegant_trading_system.research.report_stats import (
    UNKNOWN,
    Interval,
    mean_interval,
    slope_interval,
    wilson_interval,
)
from elegant_trading_system.research.report_targets import by_side, sharpe_words
from elegant_trading_system.research.report_verdict import edge
from elegant_trading_system.research.track_record import Days, against_target, daily, depths, track_record

from . import run_folder
from .test_report import body, words

DAYS, HOURS = 60, 24


def curve(*, drift: float, seed: int = 1) -> Array:
    """Equity of sixty days, by the hour, the first at midnight."""
    moves = np.random.default_rng(seed).normal(drift, 0.002, DAYS * HOURS)
    return 100_000.0 * np.cumprod(np.append(1.0, 1.0 + moves))[:-1]


def equity_table(levels: Array, hours: float = 1.0) -> pl.DataFrame:
    midnight = run_folder.BEGIN - timedelta(hours=12)
    stamps = [midnight + timedelta(hours=hours * k) for k in range(len(levels))]
    return pl.DataFrame({"ts": stamps, "equity": levels}).cast({"ts": run_folder.NS})


def closed_trades(days: list[int], net: list[float]) -> pl.DataFrame:
    """Round trips closed at noon of the days given, counted from the first."""
    rows = len(net)
    return pl.DataFrame(
        {
            "ts_exit": [run_folder.BEGIN + timedelta(days=day) for day in days], "net": net, "is_closed": [True] * rows,
            "side": ["buy", "sell"] * (rows // 2) + ["buy"] * (rows % 2), "net_bps": [value / 10.0 for value in net],
            "hold_s": [60.0] * rows, "group": ["BTC"] * rows, "r_multiple": pl.Series([None] * rows, dtype=pl.Float64),
            "slippage": [0.0] * rows, "slippage_bps": [0.0] * rows,
        }
    ).cast({"ts_exit": run_folder.NS})  # fmt: skip


def traded(count: int = 300, seed: int = 2) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return closed_trades(sorted(random.integers(DAYS, size=count).tolist()), random.normal(2.0, 10.0, count).tolist())


def run_of(levels: Array, trades: pl.DataFrame, hours: float = 1.0, **summary: Any) -> Run:
    """A run of that equity and those trades, as long as the equity is."""
    manifest = run_folder.manifest("binance-capture", "BTC", is_cold=False)
    manifest["last_ns"] = manifest["first_ns"] + int(len(levels) * hours * 3600e9)
    table = equity_table(levels, hours)
    manifest["summary"] |= {"drawdown_max": drawdown(levels).depth, **summary}
    return Run(Path(), manifest, {"equity": table, "trades": trades})


@pytest.fixture(scope="module")
def long() -> Run:
    return run_of(curve(drift=0.0002), traded())


# --- days -----------------------------------------------------------------------------------------------------
@pytest.mark.spec("P3")
def test_every_calendar_day_counts_the_first_one_too_and_one_without_samples_brings_nothing() -> None:
    levels = np.array([100.0, 110.0, 99.0, 120.0])
    stamps = [run_folder.BEGIN + timedelta(hours=hours) for hours in (0, 1, 2, 60)]  # three on Friday, one on Monday
    equity = pl.DataFrame({"ts": stamps, "equity": levels}).cast({"ts": run_folder.NS})
    days = daily(equity, closed_trades([0, 0, 3, 9], [5.0, -3.0, 0.0, 4.0]))
    assert days.returns == pytest.approx([-0.01, 0.0, 0.0, 120 / 99 - 1])
    assert days.low == pytest.approx([0.99, 1.0, 1.0, 1.0])
    assert days.high == pytest.approx([1.1, 1.0, 1.0, 120 / 99])
    assert days.fall == pytest.approx([0.1, 0.0, 0.0, 0.0])
    assert days.trades.tolist() == [[2, 0, 0, 2], [1, 0, 0, 1], [1, 0, 0, 0], [5, 0, 0, 4], [3, 0, 0, 0]]


@pytest.mark.spec("P3")
def test_an_account_that_has_lost_everything_stays_there() -> None:
    days = daily(equity_table(np.array([100.0, 50.0, 0.0, 0.0]), hours=24.0), pl.DataFrame())
    assert days.returns == pytest.approx([0.0, -0.5, -1.0, 0.0])
    assert depths(days, np.arange(4)[None]) == pytest.approx([1.0])


def spelled_out(days_of_levels: list[Array], order: Array) -> Array:
    """Every sample of redrawn days, one after the other."""
    path, at = [1.0], 1.0
    for day in order:
        path += (at * days_of_levels[day]).tolist()
        at = path[-1]
    return np.array(path)


@pytest.mark.spec("P3")
def test_the_drawdown_of_redrawn_days_is_that_of_all_their_samples() -> None:
    levels = curve(drift=0.0)
    ends = np.append(levels[0], levels[HOURS - 1 :: HOURS])
    inside = [levels[k * HOURS : (k + 1) * HOURS] / ends[k] for k in range(DAYS)]
    at = stationary_indices(np.random.default_rng(4), DAYS, 40)
    days = daily(equity_table(levels), pl.DataFrame())
    assert depths(days, at) == pytest.approx([drawdown(spelled_out(inside, order)).depth for order in at], rel=1e-12)
    assert depths(days, np.arange(DAYS)[None])[0] == pytest.approx(drawdown(levels).depth, rel=1e-12)


@pytest.mark.spec("P3")
def test_samples_from_before_there_were_prices_are_no_loss(long: Run) -> None:
    blind = equity_table(np.append(np.zeros(5), long.table("equity")["equity"].to_numpy()))
    run = Run(long.folder, long.manifest, {"equity": blind, "trades": long.trades})
    assert run.equity["equity"].to_list() == long.equity["equity"].to_list()
    assert track_record(run).worst == track_record(long).worst


# --- figures --------------------------------------------------------------------------------------------------
@pytest.mark.spec("P3")
def test_the_figures_of_a_run_are_those_of_its_equity_and_its_trades(long: Run) -> None:
    found = track_record(long).figures
    levels, net = long.table("equity")["equity"].to_numpy(), long.closed["net"].to_numpy()
    closes = np.append(levels[0], levels[HOURS - 1 :: HOURS])
    returns, wins, losses = np.diff(closes) / closes[:-1], net[net > 0], net[net < 0]
    per_year = 365.0 * DAYS * HOURS / (DAYS * HOURS - 1)  # the last sample is an hour before midnight
    assert found["return"].value == pytest.approx((levels[-1] / levels[0]) ** (per_year / DAYS) - 1)
    assert found["return"].value == pytest.approx(float(annual_return(returns, per_year)))
    assert found["sharpe"].value == pytest.approx(float(sharpe(returns, per_year)))
    assert found["drawdown"].value == drawdown(levels).depth
    assert found["calmar"].value == pytest.approx(found["return"].value / drawdown(levels).depth)
    assert found["win_rate"].value == pytest.approx(len(wins) / len(net))
    assert found["win_loss"].value == pytest.approx(wins.mean() / -losses.mean())
    assert found["profit_factor"].value == pytest.approx(wins.sum() / -losses.sum())
    assert all(each.low < each.value < each.high for each in found.values())
    assert {each.n for each in found.values()} == {DAYS}


@pytest.mark.spec("P3", "X5")
def test_intervals_of_a_long_run_come_from_whole_days_so_days_that_win_together_widen_them() -> None:
    together = closed_trades([k // 10 for k in range(600)], [5.0 if k // 10 % 2 else -5.0 for k in range(600)])
    mixed = closed_trades([k // 10 for k in range(600)], [5.0 if k % 2 else -5.0 for k in range(600)])
    widths = []
    for trades in (together, mixed):
        found = track_record(run_of(curve(drift=0.0), trades)).figures["win_rate"]
        assert found.value == 0.5
        widths.append(found.high - found.low)
    assert widths[1] == pytest.approx(0.0, abs=1e-12)
    assert widths[0] > 0.08


@pytest.mark.spec("P3", "X5")
def test_trades_of_a_handful_of_days_are_not_spoken_for_by_these_days() -> None:
    days, net = [k % 5 for k in range(200)], [5.0 if k % 3 else -5.0 for k in range(200)]
    run = run_of(curve(drift=0.0), closed_trades(days, net))
    record = track_record(run)
    assert not record.is_by_day and not record.is_short
    assert record.figures["win_rate"] == wilson_interval(133, 200)
    assert record.figures["return"].n == DAYS
    assert "Both take trades for independent" in words(sections.figures(run))


@pytest.mark.spec("P3", "X5", "X7")
def test_a_mean_over_trades_is_as_sure_as_there_are_days() -> None:
    """Ten trades a day, all alike: they are sixty observations, not six hundred, and so for each side."""
    of_day = np.random.default_rng(10).normal(0.0, 10.0, DAYS)
    run = run_of(curve(drift=0.0), closed_trades([k // 10 for k in range(600)], np.repeat(of_day, 10).tolist()))
    values = run.closed["net_bps"].to_numpy()
    assert track_record(run).is_by_day
    for found, alone in ((edge(run), values), (by_side(run)["long"].net_bps, values[::2])):
        plain = mean_interval(alone)
        assert (found.value, found.n) == (plain.value, plain.n)
        assert (found.high - found.low) / (plain.high - plain.low) == pytest.approx(
            math.sqrt(len(alone) / DAYS), rel=0.25
        )


@pytest.mark.spec("P3", "X5")
def test_below_thirty_days_only_what_trades_say_is_said() -> None:
    record = track_record(run_of(curve(drift=0.0)[: 29 * HOURS], traded()))
    assert record.is_short
    yearly = ("return", "volatility", "sharpe", "sortino", "calmar")
    assert [record.figures[name] for name in yearly] == [UNKNOWN] * 5
    assert math.isnan(record.figures["drawdown"].low) and record.figures["drawdown"].value > 0.0
    for name in ("win_rate", "win_loss", "profit_factor"):
        found = record.figures[name]
        assert found.low < found.value < found.high
        assert found.n == 300


@pytest.mark.spec("P3", "X5")
def test_four_losses_are_too_few_for_a_ratio_but_not_for_wilson() -> None:
    for levels in (curve(drift=0.0), curve(drift=0.0)[:48]):
        found = track_record(run_of(levels, closed_trades([1] * 24, [1.0] * 20 + [-2.0] * 4))).figures
        assert found["win_loss"].value == pytest.approx(0.5) and math.isnan(found["win_loss"].low)
        assert found["win_rate"][:3] == pytest.approx((20 / 24, 0.641469, 0.933213), abs=1e-5)


@pytest.mark.spec("P3")
def test_ten_thousand_trades_in_a_short_run_have_intervals_as_narrow_as_they_should_be() -> None:
    """Wins of 1 and losses of 1 at even odds: the log of the profit factor has an error of 2 / sqrt(n)."""
    net = np.where(np.random.default_rng(8).random(10_000) < 0.5, 1.0, -1.0).tolist()
    found = track_record(run_of(curve(drift=0.0)[:48], closed_trades([0] * 10_000, net))).figures["profit_factor"]
    assert math.log(found.high / found.low) == pytest.approx(2 * 1.96 * 2 / math.sqrt(10_000), rel=0.1)


@pytest.mark.spec("P3")
def test_a_long_run_without_trades_or_without_equity_is_no_obstacle() -> None:
    idle = track_record(run_of(np.full(DAYS * HOURS, 100_000.0), pl.DataFrame(), drawdown_max=0.0)).figures
    assert (idle["return"].value, idle["volatility"].value) == (0.0, 0.0)
    assert np.isnan([idle[name].value for name in ("sharpe", "sortino", "calmar", "win_rate")]).all()
    run = run_of(curve(drift=0.0), traded())
    bare = Run(run.folder, run.manifest, {"trades": run.trades})
    found = track_record(bare).figures
    assert found["return"] == UNKNOWN and found["win_rate"].n == 300


# --- words ----------------------------------------------------------------------------------------------------
@pytest.mark.spec("P3", "X5")
@pytest.mark.parametrize(
    "name, found, said",
    [
        ("return", (0.2, 0.16, 0.24), "inside"),
        ("return", (0.2, 0.10, 0.24), "cannot say"),
        ("return", (0.2, -0.5, 0.9), "cannot say"),
        ("return", (0.1, 0.05, 0.149), "below"),
        ("sharpe", (3.0, 2.01, 4.0), "above"),
        ("win_loss", (1.5, 1.46, 1.54), "inside"),
        ("win_loss", (1.5, 1.2, 1.8), "cannot say"),
        ("win_rate", (0.4, math.nan, math.nan), "cannot say"),
        ("drawdown", (0.02, math.nan, math.nan), "cannot say"),
        ("drawdown", (0.11, math.nan, math.nan), "above"),
        ("sortino", (3.0, 2.0, 4.0), ""),
    ],
)
def test_only_an_interval_that_lies_clear_of_the_target_or_in_it_says_something(
    name: str, found: tuple[float, float, float], said: str
) -> None:
    value, low, high = found
    assert against_target(name, Interval(value, low, high, 50)) == said


@pytest.mark.spec("P3", "X5")
def test_the_page_shows_target_measured_interval_and_verdict(long: Run) -> None:
    text, found = words(sections.figures(long)), track_record(long).figures
    share = r"{:.1f} %\s+\[{:.1f}, {:.1f}\]"
    rate = share.format(*(100 * value for value in found["win_rate"][:3]))
    assert re.search(rf"Win rate\s+55 to 60 %\s+{rate}\s+cannot say", text)
    sortino = found["sortino"]
    assert re.search(rf"Sortino ratio\s+–\s+{sortino.value:.2f}\s+\[.*{sortino.high:.2f}\]", text)
    assert "never a promise" in text
    assert re.search(r"The largest drawdown began 2025-0\d-\d\d \d\d:00:00 and was deepest", text)
    assert "drawn again 10,000 times in blocks of 5" in text


@pytest.mark.spec("P3", "X5")
def test_a_hopeless_run_is_called_below_its_targets_and_never_told_from_zero() -> None:
    run = run_of(curve(drift=-0.001), closed_trades(list(range(60)) * 2, ([-5.0] * 9 + [1.0]) * 12))
    text = words(sections.figures(run))
    for label in ("Return per year", "Sharpe ratio", "Win rate", "Average win / loss"):
        assert re.search(rf"{label}\s.*?\]\s+below\s", text)
    assert re.search(r"Drawdown, largest\s+8 to 10 %\s+\d\d\.\d\d %\s+\[[\d., ]+\]\s+above", text)
    assert re.search(r"above zero, were this the only variant tried: 0\.0 %\.", text)


@pytest.mark.spec("P3", "X5")
def test_a_sharpe_ratio_is_never_bare() -> None:
    """Two a year, on a curve of skew 0 and kurtosis 1: 1 + (1.645 / 0.1047)² days, without the term of the kurtosis."""
    daily_ratio = 2.0 / math.sqrt(365)
    returns = 0.01 * (daily_ratio + np.tile([-1.0, 1.0], 200) * math.sqrt(399 / 400))
    text = sharpe_words(returns)
    assert "takes 248 days, and there are 400" in text
    assert re.search(r"tried: 98\.\d %", text)
    assert sharpe_words(np.zeros(40)) == ""


# --- the same as numbers ----------------------------------------------------------------------------------------
@pytest.mark.spec("P3")
def test_the_json_says_what_the_page_says(long: Run) -> None:
    found, record = json.loads(json.dumps(figures(long), allow_nan=False)), track_record(long)
    for name, each in record.figures.items():
        row = found["performance"][name]
        assert [row["value"], row["low95"], row["high95"], row["n"]] == list(each)
        assert row["against_target"] == (against_target(name, each) or None)
    assert found["performance"]["sharpe"]["target"] == [1.5, 2.0]
    assert found["sides"]["long"]["trades"] + found["sides"]["short"]["trades"] == 300
    assert not found["too_short_to_annualise"]


@pytest.mark.spec("P3")
def test_report_prints_one_json_object_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_folder.write(tmp_path / "run")
    with pytest.raises(SystemExit):
        cli.main(["report", str(folder), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["report"] == str(folder / "report.html")
    assert found["performance"]["return"]["value"] is None
    assert found["performance"]["win_rate"]["value"] == 0.5
    assert found["largest_drawdown"]["recovery"] == "2025-01-31T12:01:40+00:00"


# --- no direction is assumed --------------------------------------------------------------------------------------
def noisy_market(count: int = 2000) -> tuple[Array, Array]:
    """Market and account: the account is in the market when that moves, and its noise grows with the market's."""
    random = np.random.default_rng(9)
    market = random.standard_t(4, size=count) * 1e-4
    return market, 0.2 * market + np.abs(market) * random.normal(size=count)


@pytest.mark.spec("X7")
def test_market_beta_and_its_interval_equal_the_librarys() -> None:
    library = pytest.importorskip("statsmodels.api", reason="statsmodels is the oracle")
    market, account = noisy_market()
    lags = {"maxlags": 7, "use_correction": True}  # 4 (2000 / 100)^(2/9) = 7.8
    fit = library.OLS(account, library.add_constant(market)).fit(cov_type="HAC", cov_kwds=lags, use_t=True)
    expected = (fit.params[1], *fit.conf_int()[1], 2000)
    assert slope_interval(market, account) == pytest.approx(expected, rel=1e-6)


@pytest.mark.spec("X7")
def test_a_strategy_that_is_in_the_market_when_it_moves_has_a_wider_interval_than_the_textbooks() -> None:
    market, account = noisy_market()
    found = slope_interval(market, account)
    rest = account - account.mean() - found.value * (market - market.mean())
    textbook = 1.96 * rest.std() / market.std() / math.sqrt(len(market))
    assert found.low < 0.2 < found.high
    assert (found.high - found.low) / 2 > 1.5 * textbook


@pytest.mark.spec("X7")
def test_each_group_has_its_own_beta_on_the_page(tmp_path: Path) -> None:
    folder = run_folder.write(tmp_path / "run")
    _stretch(folder, "equity", lambda frame: frame)
    _stretch(folder, "verdicts", lambda frame: frame.with_columns(mid_price=1000.0 + _wiggle(len(frame))))
    text = words(body(folder))
    assert re.search(r"Market beta of the account, one-minute returns: BTC −?0\.\d{3}, 95 % \[.*\], n 199\.", text)


def _wiggle(count: int) -> pl.Series:
    return pl.Series(np.random.default_rng(6).normal(size=count).cumsum())


def _stretch(folder: Path, name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """A row a minute instead of a row a second."""
    path = folder / f"{name}.parquet"
    frame = pl.read_parquet(path)
    stamps = pl.Series([run_folder.BEGIN + timedelta(minutes=k) for k in range(len(frame))]).cast(run_folder.NS)
    change(frame.with_columns(ts=stamps)).write_parquet(path)


def test_days_are_nothing_without_equity() -> None:
    assert [len(part) for part in daily(pl.DataFrame(), pl.DataFrame())] == [0, 0, 0, 0, 5]
    assert Days._fields == ("returns", "low", "high", "fall", "trades")
