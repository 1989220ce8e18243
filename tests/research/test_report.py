"""The report is read by somebody about to decide something: what it says must be what the run says."""

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from elegant_trading_system.core.kinds import Verdict
from elegant_trading_system.errors import UserError
from elegant_trading_system.research import report, report_charts
from elegant_trading_system.research.report_html import decimal, number, share_of
from elegant_trading_system.research.report_run import Run
from elegant_trading_system.research.report_stats import mean_interval, t95, thin, wilson_interval
from elegant_trading_system.research.report_verdict import headline
from elegant_trading_system.research.report_words import EXPLANATIONS, explanation

from . import run_folder

SIMULATED = "simulated seed=1 edge=0 tau_m=90"


@pytest.fixture
def traded(tmp_path: Path) -> Path:
    return run_folder.write(tmp_path / "traded")


@pytest.fixture
def cold(tmp_path: Path) -> Path:
    return run_folder.write(tmp_path / "cold", is_cold=True)


def body(folder: Path) -> str:
    return report.body(Run.read(folder))


def words(html: str) -> str:
    """What a person reads, without scripts and tags."""
    return re.sub(r"<[^>]+>", " ", re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL))


# --- the file -------------------------------------------------------------------------------------------------
def test_the_report_is_one_file_that_fetches_nothing(traded: Path) -> None:
    path = report.write_report(traded)
    text = path.read_text(encoding="utf-8")
    assert path == traded / "report.html"
    assert path.stat().st_size < 6_000_000
    assert not re.findall(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)\s*=\s*[\"']?(?:https?:)?//[^>]*>", text)
    assert "Plotly.newPlot" in text
    assert not list(traded.glob(".report*"))


def test_a_report_can_be_written_again_and_is_the_same(traded: Path) -> None:
    first = report.write_report(traded).read_bytes()
    assert report.write_report(traded).read_bytes() == first


def test_a_folder_that_is_no_run_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run folder"):
        report.write_report(tmp_path)


def test_a_hostile_name_stays_text(tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    text = body(run_folder.write(tmp_path / "run", source=hostile, group=hostile))
    assert "<img" not in text
    assert "&lt;img src=x" in text


# --- honesty --------------------------------------------------------------------------------------------------
@pytest.mark.spec("X5")
def test_a_simulated_market_is_called_one(tmp_path: Path, traded: Path) -> None:
    simulated = words(body(run_folder.write(tmp_path / "simulated", source=SIMULATED)))
    assert "SIMULATED market" in simulated
    assert "say nothing about any real market" in simulated
    assert "made with edge 0: nothing can be foreseen in it" in simulated
    assert "SIMULATED" not in words(body(traded))
    planted = words(body(run_folder.write(tmp_path / "planted", source="simulated seed=1 edge=0.25 tau_m=90")))
    assert "made with edge 0.25: the best possible forecast" in planted


@pytest.mark.spec("X5")
@pytest.mark.parametrize(
    "kind, source, title, mark",
    [
        (
            "live",
            "SIMULATED binance, coinbase: demo scenario, seed 3, planted edge 0.2",
            "Live run",
            "SIMULATED market",
        ),
        ("live", "PAPER binance", "Live run", "market data in real time, SIMULATED orders"),
        ("live", "LIVE binance", "Live run", "LIVE orders"),
        (None, "recorded from binance", "Backtest", "recorded market data"),
        (None, "recorded from SIMULATED binance: seed 1, planted edge 0.2", "Backtest", "SIMULATED market"),
    ],
)
def test_what_a_run_was_and_on_what_is_said_first(
    tmp_path: Path, kind: str | None, source: str, title: str, mark: str
) -> None:
    folder = run_folder.write(tmp_path / "run", source=source)
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"kind": kind}))
    page = body(folder)
    assert f"<h1>{title}: " in page
    assert f">{mark}</span>" in page
    assert ("made with edge 0.2" in words(page)) == ("edge 0.2" in source)


@pytest.mark.spec("X5")
def test_a_run_without_trades_says_why_with_the_arithmetic(cold: Path) -> None:
    text = words(body(cold))
    assert headline(Run.read(cold)) == (
        "Nothing traded: WARMUP_VELOCITY was the verdict of > 99.9 % of evaluations: the volume velocity needs "
        "21.0 minutes of data, the recording has 3.3 minutes."
    )
    assert "1,260 s" in text  # 60 + 1,200
    assert "1,061 s short" in text  # of which 199 were seen
    assert "900 s" in text  # 15 bars of 300


@pytest.mark.spec("M8", "X5")
def test_a_range_that_is_known_and_does_not_pay_is_not_called_too_little_data(cold: Path) -> None:
    run = Run.read(cold)
    run.summary["verdicts"] = {"WARMUP_ATR": 10}
    run.summary["ranges"] = {"BTC": {"round_trip_bps": 29.6, "atr_bps": {"60": 7.5, "180": 10.8, "300": 13.5}}}
    assert headline(run) == (
        "Nothing traded: WARMUP_ATR was the verdict of 100.0 % of evaluations: a round trip costs 29.6 bps, which may "
        "be at most 15 % of a bar's average range. The longest known, of 300 s bars, is 13.5 bps; that of 900 s bars "
        "needs 3.8 hours of data or history, the recording has 3.3 minutes."
    )


@pytest.mark.spec("P3", "X5")
def test_minutes_are_not_made_into_years(traded: Path) -> None:
    text = words(body(traded))
    assert "too short to say" in text
    assert re.search(r"Return per year\s+15 to 25 %\s+–\s+too short to say", text)
    assert re.search(r"Sharpe ratio\s+1.5 to 2.0\s+–\s+too short to say", text)


@pytest.mark.spec("R9")
def test_every_verdict_is_explained_in_a_sentence() -> None:
    assert set(EXPLANATIONS) == set(Verdict)
    assert not [verdict.name for verdict, text in EXPLANATIONS.items() if not text.endswith(".")]
    assert len(set(EXPLANATIONS.values())) == len(Verdict)


@pytest.mark.spec("R9")
def test_every_verdict_given_is_on_the_page_with_its_count_and_meaning(traded: Path) -> None:
    text = words(body(traded))
    for name, count in Run.read(traded).summary["verdicts"].items():
        assert re.search(rf"{name}\s+{count:,}\s", text)
        assert explanation(name) in text


# --- numbers --------------------------------------------------------------------------------------------------
@pytest.mark.spec("P1", "P3")
def test_the_money_on_the_page_is_the_summarys_to_the_cent(traded: Path) -> None:
    text = words(body(traded))
    for label, amount in (("Net", "7.01"), ("Gross, before fees", "11.01"), ("Fees", "4.00"), ("Funding", "0.00")):
        assert re.search(rf"{label}\s+{amount}\s", text)
    assert headline(Run.read(traded)).startswith(
        "2 round trips, net 7.01 USD (0.01 %), after fees of 4.00: costs take 36 % of the gross."
    )


@pytest.mark.spec("P3")
def test_a_loss_before_fees_is_told_with_and_without_slippage(traded: Path) -> None:
    """What the long lost, 9 before fees, it lost 1.999 of to the spread."""
    only = run_folder.trades(run_folder.fills("BTC").head(2), run_folder.orders("BTC").head(2))
    only.write_parquet(traded / "trades.parquet")
    path = traded / "manifest.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace('"realised": 11.009', '"realised": -9.0'), encoding="utf-8"
    )
    assert "gross is −9.00 before any fee, and −7.00 before 2.00 of spread and slippage." in headline(Run.read(traded))
    only.with_columns(slippage=pl.lit(None, pl.Float64)).write_parquet(traded / "trades.parquet")
    assert "gross is −9.00 before any fee, so the trades lose even for free." in headline(Run.read(traded))


@pytest.mark.spec("P1", "P3")
def test_a_fee_taken_in_coins_is_paid_once(traded: Path) -> None:
    """Bought 1 at 1,000 for 0.001 coins, sold 0.999 at 991 for 0.999: 990.009 - 1,000 - 0.999 is left."""
    trades = Run.read(traded).closed.sort("intent_id")
    assert trades["net"].to_list() == pytest.approx([990.009 - 1000 - 0.999, 20.0 - 2.0])
    assert trades["fees"].to_list() == pytest.approx([0.999 + 0.991, 2.0])
    assert trades["gross"].to_list() == pytest.approx([-9.0, 20.0])


@pytest.mark.spec("P1")
def test_the_round_trips_add_up_to_the_net_of_the_run(traded: Path) -> None:
    run = Run.read(traded)
    assert run.trades.select(pl.col("net").sum() + pl.col("dust_gain").sum()).item() == pytest.approx(
        run.pnl["net"], abs=1e-9
    )
    pattern = r"2 closed round trips, net\s+7\.01\s.*net of the run\s+{}\s+{}"
    assert re.search(pattern.format(r"7\.01", "✓"), words(body(traded)), re.DOTALL)
    path = traded / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"net": 7.01', '"net": 7.02'), encoding="utf-8")
    assert re.search(pattern.format(r"7\.02", "✗ differs"), words(body(traded)), re.DOTALL)


@pytest.mark.spec("R9")
def test_what_could_be_lost_stands_beside_what_was(traded: Path) -> None:
    text = words(body(traded))
    assert re.search(r"Risk approved, largest\s+10\.00\s+0\.010 % of capital", text)
    assert re.search(r"Lost at worst\s+−10\.99\s+−1\.10 R", text)
    assert re.search(r"Lost more than approved\s+1 of 2\s+50\.0 %", text)


@pytest.mark.spec("E2", "P1")
def test_slippage_is_told_for_the_trades_and_for_each_venue(traded: Path) -> None:
    text = words(body(traded))
    assert re.search(r"Spread, latency and depth cost 20\.0 bps a round trip", text)  # 1 + 0.999 and 1 + 1, of 1,000
    assert re.search(r"binance\s+1,000\s+4,000\s+3,999\s+1\s+0\s+&gt; 99\.9 %\s+✓\s+4\.00\s+10\.0\d\s", text)


def test_the_report_infers_nothing(traded: Path) -> None:
    assert "inferred" not in words(body(traded))


def test_a_position_never_left_is_no_round_trip(traded: Path) -> None:
    still = run_folder.trades(run_folder.fills("BTC").filter(pl.col("order_id") < 4), run_folder.orders("BTC"))
    still.write_parquet(traded / "trades.parquet")
    run = Run.read(traded)
    assert run.trades["is_closed"].to_list() == [True, False]
    assert "1 more still open at the end" in headline(run)


@pytest.mark.spec("P1")
def test_the_ledger_shows_whole_atoms_and_whether_they_add_up(traded: Path) -> None:
    text = words(body(traded))
    assert re.search(r"USDT\s+10\.0090\s+−2\.9990\s+0\.0000\s+100,000\.0000\s+100,007\.0100\s+✓", text)
    path = traded / "manifest.json"
    changed = path.read_text(encoding="utf-8").replace("1000070100", "1000070101").replace('"dust": 0', '"dust": 7', 2)
    path.write_text(changed, encoding="utf-8")
    assert re.search(r"100,007\.0101\s+✗ differs", words(body(traded)))
    assert "0.007 BTC" in words(body(traded))


def test_amounts_are_exact_and_readable() -> None:
    assert decimal(-9_007_199_254_740_993, 8) == "−90,071,992.54740993"
    assert decimal(5, 3) == "0.005"
    assert decimal(7, 0) == "7"
    assert number(-1431.862604543494) == "−1,431.86"
    assert number(-0.0) == number(-0.001) == "0.00"
    assert number(float("nan")) == "–"
    assert (share_of(13_007, 13_012), share_of(5, 13_012), share_of(0, 5)) == ("> 99.9 %", "< 0.1 %", "0.0 %")


# --- statistics -----------------------------------------------------------------------------------------------
@pytest.mark.spec("P3")
def test_the_intervals_are_the_text_books() -> None:
    assert wilson_interval(1, 39) == pytest.approx((1 / 39, 0.004544, 0.131755, 39), abs=1e-4)
    assert [t95(v) for v in (1, 5, 10, 30, 1000)] == pytest.approx([12.706, 2.571, 2.228, 2.042, 1.962], abs=4e-3)
    found = mean_interval(np.array([1.0, 2.0, 3.0]))
    assert found[:3] == pytest.approx((2.0, 2.0 - 4.303 / 3**0.5, 2.0 + 4.303 / 3**0.5))


def test_thinning_keeps_the_extremes_and_the_ends() -> None:
    values = np.sin(np.arange(1_000_003) / 1000.0)
    values[123_456], values[777_777] = 50.0, -50.0
    kept = thin(values, 5000)
    assert len(kept) <= 5000
    assert {0, 123_456, 777_777, len(values) - 1} <= set(kept.tolist())
    assert np.all(np.diff(kept) > 0)


def test_thinning_keeps_a_gap_a_gap() -> None:
    values = np.ones(10_000)
    values[4_000:6_000] = np.nan
    kept = values[thin(values, 100)]
    assert np.isnan(kept).any()
    assert np.isnan(kept).mean() == pytest.approx(0.2, abs=0.05)


# --- charts and empty tables ----------------------------------------------------------------------------------
def test_a_trade_on_the_chart_carries_the_numbers_to_ask_why_about(traded: Path) -> None:
    run = Run.read(traded)
    orders = run.table("orders")
    said = {trace.name: "".join(trace.text or ()) for trace in report_charts.price(run, "BTC").data}
    for order in orders.filter(pl.col("group") == "BTC").iter_rows(named=True):
        trace = "exit" if order["is_exit"] else f"entry: {order['side']}"
        assert f"order {order['order_id']}" in said[trace]


def test_a_spike_of_a_second_is_still_in_the_price_chart(traded: Path) -> None:
    long = pl.concat([run_folder.verdicts("BTC", spike=9.0)] + [run_folder.verdicts("BTC")] * 99)
    shifted = long.with_columns(
        ts=(pl.lit(run_folder.BEGIN) + pl.duration(seconds=pl.int_range(pl.len()))).cast(run_folder.NS)
    )
    shifted.write_parquet(traded / "verdicts.parquet")
    line = report_charts.price(Run.read(traded), "BTC").data[0]
    assert len(line.y) <= 5000
    assert np.nanmax(line.y) == 1009.0


def test_the_thresholds_are_drawn_beside_the_signal(traded: Path) -> None:
    drawn = [shape.y0 for shape in report_charts.signal(Run.read(traded), "BTC").layout.shapes]
    assert drawn == pytest.approx([-np.log(1.25), np.log(1.25), 1.5, 0.2, 5.0, 2.5])


@pytest.mark.parametrize("name", ["fills", "orders", "trades", "verdicts", "equity"])
@pytest.mark.parametrize("has_columns", [True, False])
def test_empty_tables_are_no_obstacle(cold: Path, name: str, has_columns: bool) -> None:
    path = cold / f"{name}.parquet"
    (pl.read_parquet(path).clear() if has_columns else pl.DataFrame()).write_parquet(path)
    assert "Nothing traded" in words(body(cold))


@pytest.mark.parametrize("name", ["verdicts", "equity"])
def test_trades_are_told_without_a_history_too(traded: Path, name: str) -> None:
    pl.DataFrame().write_parquet(traded / f"{name}.parquet")
    assert "2 round trips, net 7.01 USD" in words(body(traded))


def test_the_command_names_what_is_not_the_default(traded: Path) -> None:
    assert "--set signal.strength_min=2.5" in body(traded)
