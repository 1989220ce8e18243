"""Measured against target, and what a trade would have to earn to pay for itself."""

import math
from typing import NamedTuple

import numpy as np
import polars as pl

from .by_day import mean_of_trades, share_won
from .evidence import minimum_track_record, probabilistic_sharpe
from .report_html import DASH, bounds, duration, moment, number, paragraph, percent, table
from .report_run import NS, Run
from .report_stats import UNKNOWN, Array, Interval, slope_interval
from .track_record import CANNOT_SAY, OF_TRADES, TrackRecord, against_target, moments

SHORT = "too short to say"
BETA_STEP_S = 60
SHARE, RATIO = 100.0, 1.0
ROWS: dict[str, tuple[str, str, float]] = {  # name on the page, target as it was written, scale
    "return": ("Return per year", "15 to 25 %", SHARE),
    "drawdown": ("Drawdown, largest", "8 to 10 %", SHARE),
    "volatility": ("Volatility per year", DASH, SHARE),
    "sharpe": ("Sharpe ratio", "1.5 to 2.0", RATIO),
    "sortino": ("Sortino ratio", DASH, RATIO),
    "calmar": ("Calmar ratio", DASH, RATIO),
    "win_rate": ("Win rate", "55 to 60 %", SHARE),
    "win_loss": ("Average win / loss", "1.5", RATIO),
    "profit_factor": ("Profit factor", DASH, RATIO),
}
BETTER = {"drawdown": "below"}  # everything else is better above its target


# --- measured and target ------------------------------------------------------------------------------------
def targets(run: Run, record: TrackRecord) -> str:
    """The founding targets beside what was measured, with 95 % intervals; nothing is annualised below 30 days."""
    rows = [_row(name, found, record.is_short) for name, found in record.figures.items()]
    head = ["", "target", "measured", "95 % interval", "against the target"]
    return f"{table(head, rows, text=(0, 4))}{_paragraph(drawdown_words(run, record))}{_sure(record)}"


def _paragraph(words: str) -> str:
    return paragraph(words) if words else ""


def _row(name: str, found: Interval, is_early: bool) -> tuple[object, ...]:
    label, target, scale = ROWS[name]
    places = 2 if name == "drawdown" or scale == RATIO else 1
    value = percent(found.value, places) if scale == SHARE else number(found.value, places)
    said = against_target(name, found)
    return label, target, value, _bounds(name, found, places, scale, is_early), (said, _kind(name, said))


def _bounds(name: str, found: Interval, places: int, scale: float, is_early: bool) -> str:
    if not math.isnan(found.low):
        return bounds(found, places, scale)
    if name in OF_TRADES:
        return "too few trades"
    return SHORT if is_early else "not defined"


def _kind(name: str, said: str) -> str:
    if said in ("", CANNOT_SAY):
        return "soft"
    return "good" if said in ("inside", BETTER.get(name, "above")) else "bad"


def drawdown_words(run: Run, record: TrackRecord) -> str:
    """Where the largest drawdown lay, as far as the samples of equity show it."""
    worst = record.worst
    if math.isnan(worst.depth) or worst.depth == 0.0:
        return ""
    stamps = run.equity["ts"].cast(pl.Int64)
    text = f"The largest drawdown began {moment(stamps[worst.peak])} and was deepest {moment(stamps[worst.trough])} UTC"
    if worst.recovery < 0:
        return f"{text}; it was not made good."
    return f"{text}; it was made good after {duration((stamps[worst.recovery] - stamps[worst.trough]) / NS)}."


def _sure(record: TrackRecord) -> str:
    """How the intervals were made, and what they leave out."""
    alone = (
        "Win rate: Wilson's interval. Ratios: the trades drawn again 10,000 times. Both take trades for independent."
    )
    days = (
        "Intervals: the days of the run drawn again 10,000 times in blocks of 5 on average (stationary bootstrap), each "
        "with its inside. They say how far chance reaches in a market like this one, not in another."
    )
    trades = f"{days} Trades come with their days." if record.is_by_day else f"{days} {alone}"
    if record.is_short:
        return paragraph(alone, "soft")
    return f"{_paragraph(sharpe_words(record.days.returns))}{paragraph(trades, 'soft')}"


def sharpe_words(returns: Array) -> str:
    """Whether the Sharpe ratio is told from zero, as if this were the only variant ever tried (SCIENCE 2.6)."""
    once, skew, kurtosis = moments(returns)
    if math.isnan(skew):
        return ""
    chance = probabilistic_sharpe(once, 0.0, len(returns), skew, kurtosis)
    text = f"Confidence that the true Sharpe ratio is above zero, were this the only variant tried: {percent(chance)}"
    needed = minimum_track_record(once, skew, kurtosis)
    if math.isinf(needed):
        return f"{text}."
    return f"{text}; telling this one from zero at 95 % takes {needed:,.0f} days, and there are {len(returns):,}."


# --- risk approved and what was lost -------------------------------------------------------------------------
def risk(run: Run) -> str:
    """What each entry was allowed to lose, beside what was lost; R is net over the risk approved."""
    known = run.closed if run.closed.is_empty() else run.closed.filter(pl.col("r_multiple").is_not_null())
    if known.is_empty():
        return ""
    approved, r, net = (known[name].to_numpy() for name in ("risk_quote", "r_multiple", "net"))
    mean = mean_of_trades(run, known["ts_exit"].cast(pl.Int64).to_numpy(), r)
    over, capital = int((r < -1.0).sum()), float(run.summary["capital"])
    largest = f"{percent(float(approved.max()) / capital, 3)} of capital" if capital else ""
    rows = [
        ("Risk approved a trade, mean", number(float(approved.mean())), ""),
        ("Risk approved, largest", number(float(approved.max())), largest),
        ("Lost at worst", number(min(float(net.min()), 0.0)), f"{number(min(float(r.min()), 0.0))} R"),
        ("Net a trade, mean", number(float(net.mean())), f"{number(mean.value)} R, 95 % {bounds(mean)}"),
        ("Lost more than approved", f"{over:,} of {len(r):,}", percent(over / len(r))),
    ]
    words = (
        "Approved is what was sent loses if its stop is hit, costs included; R is net over that. What was sent and not "
        "filled does not lower it, and a price may run past its stop before the exit is filled."
    )
    return f"{table(['', run.currency, ''], rows)}{paragraph(words, 'soft')}"


# --- long, short and the market -------------------------------------------------------------------------------
class Side(NamedTuple):
    """What the closed round trips of one direction did; money in the account's currency."""

    trades: int
    net: float
    win_rate: Interval
    net_bps: Interval
    hold_s: float  # median


def by_side(run: Run) -> dict[str, Side]:
    """Long and short, where there were trades."""
    found = {}
    for side, name in (("buy", "long"), ("sell", "short")):
        mine = run.closed if run.closed.is_empty() else run.closed.filter(pl.col("side") == side)
        if mine.is_empty():
            continue
        closed_ns, net, bps = (
            mine["ts_exit"].cast(pl.Int64).to_numpy(),
            mine["net"].to_numpy(),
            mine["net_bps"].to_numpy(),
        )
        found[name] = Side(
            len(net),
            float(net.sum()),
            share_won(run, closed_ns, net),
            mean_of_trades(run, closed_ns, bps),
            float(np.median(mine["hold_s"].to_numpy())),
        )
    return found


def sides(run: Run) -> str:
    """Long against short: no direction is assumed to pay."""
    rows = [
        (name, f"{side.trades:,}", number(side.net), percent(side.win_rate.value), bounds(side.win_rate, 1, 100.0),
         number(side.net_bps.value, 1), bounds(side.net_bps, 1), f"{side.hold_s:,.1f} s")
        for name, side in by_side(run).items()
    ]  # fmt: skip
    head = ["", "trades", "net", "win rate, %", "95 % interval", "net bps a trade", "95 % interval", "median held"]
    return table(head, rows) if rows else ""


def market_beta(run: Run) -> dict[str, Interval]:
    """Beta to the market of every group."""
    return {group: beta(run, group) for group in run.groups}


def beta(run: Run, group: str) -> Interval:
    """Slope of our one-minute returns on the group's: how much of the result is the market's direction."""
    frame, ours = run.evaluations(group), run.equity
    if frame.is_empty() or ours.is_empty():
        return UNKNOWN
    every = pl.col("ts").cast(pl.Int64) // (BETA_STEP_S * NS)
    mids = frame.filter(pl.col("mid_price") > 0.0).group_by(minute=every).agg(pl.col("mid_price").last())
    joined = ours.group_by(minute=every).agg(pl.col("equity").last()).join(mids, on="minute").sort("minute")
    joined = joined.filter(pl.col("equity") > 0.0)
    equity, mid = joined["equity"].to_numpy(), joined["mid_price"].to_numpy()
    return slope_interval(np.diff(mid) / mid[:-1], np.diff(equity) / equity[:-1])


# --- can a winner pay its costs? ------------------------------------------------------------------------------
def break_even(run: Run) -> str:
    """The nearest target in bps against the costs of a round trip, and the bar at which they would meet."""
    closed, verdicts = run.closed, run.table("verdicts")
    if closed.is_empty() or verdicts.is_empty():
        return ""
    approved = verdicts.filter((pl.col("verdict").cast(pl.String) == "APPROVED") & (pl.col("mid_price") > 0.0))
    if approved.is_empty():
        return ""
    risk = run.config["regimes"]["neutral"]
    lengths = approved["bar_s"] if "bar_s" in approved.columns else pl.Series([run.config["bars"]["lengths_s"][0]])
    bar_s = float(lengths.median())  # type: ignore[arg-type]
    atr_bps = float(approved.select((pl.col("atr_price") / pl.col("mid_price") * 1e4).mean()).item())
    fee_bps = float(closed.select((pl.col("fees") / pl.col("entry_quote") * 1e4).mean()).item())
    target_bps = float(risk["target_atr_min"]) * atr_bps
    if math.isnan(target_bps) or target_bps <= 0.0:
        return ""
    text = (
        f"A round trip costs {number(fee_bps, 1)} bps in fees; the nearest target, {risk['target_atr_min']:g} ATR of "
        f"{bar_s:g} s bars, is {number(target_bps, 1)} bps away"
    )
    if target_bps > fee_bps:
        return f"{text}: a winner keeps {number(target_bps - fee_bps, 1)} bps."
    needed_s = bar_s * (fee_bps / target_bps) ** 2
    return (
        f"{text}: even a winner loses. If ranges grow with the square root of time, bars of about "
        f"{number(needed_s, 0)} s would bring the target to the costs, and longer ones beyond."
    )
