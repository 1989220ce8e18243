"""Measured against target, and what a trade would have to earn to pay for itself."""

import math
from typing import Any

import numpy as np
import polars as pl

from .report_html import DASH, bounds, number, paragraph, percent, table
from .report_run import NS, Run
from .report_stats import (
    UNKNOWN,
    Array,
    Interval,
    mean_interval,
    profit_factor,
    ratio_interval,
    sharpe_interval,
    slope_interval,
    wilson_interval,
    win_loss,
)
from .report_verdict import DAY_S, is_short

SHORT = "too short to say"
YEAR_DAYS = 365.0
BETA_STEP_S = 60


def net_values(run: Run) -> Array:
    """Net result of every closed round trip, in quote."""
    return run.closed["net"].to_numpy() if not run.closed.is_empty() else np.zeros(0)


def win_rate(run: Run) -> Interval:
    values = net_values(run)
    return wilson_interval(int((values > 0).sum()), len(values))


# --- measured and target ------------------------------------------------------------------------------------
def targets(run: Run) -> str:
    """The founding targets beside what was measured, with 95 % intervals; nothing is annualised below 30 days."""
    values, rate = net_values(run), win_rate(run)
    rows: list[tuple[Any, ...]] = [
        ("Return per year", "15 to 25 %", *_annual(run)),
        (
            "Drawdown, largest",
            "8 to 10 %",
            percent(float(run.summary["drawdown_max"]), 2),
            SHORT if is_short(run) else "",
        ),
        ("Sharpe ratio", "1.5 to 2.0", *_sharpe(run)),
        ("Win rate", "55 to 60 %", percent(rate.value), bounds(rate, 1, 100.0)),
        ("Average win / loss", "1.5", *_ratio(ratio_interval(values, win_loss))),
        ("Profit factor", DASH, *_ratio(ratio_interval(values, profit_factor))),
    ]
    return table(["", "target", "measured", "95 % interval"], rows)


def _ratio(found: Interval) -> tuple[str, str]:
    return number(found.value), bounds(found) if found.n else "too few trades"


def _annual(run: Run) -> tuple[str, str]:
    if is_short(run):
        return DASH, SHORT
    growth = 1.0 + run.pnl["net"] / float(run.summary["capital"])
    days = run.span_s / DAY_S
    yearly = growth ** (YEAR_DAYS / days) - 1.0 if growth > 0 else -1.0
    daily = mean_interval(daily_returns(run))
    return percent(yearly), bounds(daily, 1, 100.0 * YEAR_DAYS)


def _sharpe(run: Run) -> tuple[str, str]:
    if is_short(run):
        return DASH, SHORT
    return _ratio(sharpe_interval(daily_returns(run), YEAR_DAYS))


def daily_returns(run: Run) -> Array:
    """Returns between the last equity points of whole UTC days."""
    frame = run.table("equity")
    if frame.is_empty():
        return np.zeros(0)
    last = frame.group_by(pl.col("ts").dt.truncate("1d")).agg(pl.col("equity").last()).sort("ts")["equity"].to_numpy()
    returns: Array = np.diff(last) / last[:-1]
    return returns


# --- risk approved and what was lost -------------------------------------------------------------------------
def risk(run: Run) -> str:
    """What each entry was allowed to lose, beside what was lost; R is net over the risk approved."""
    known = run.closed if run.closed.is_empty() else run.closed.filter(pl.col("r_multiple").is_not_null())
    if known.is_empty():
        return ""
    approved, r, net = (known[name].to_numpy() for name in ("risk_quote", "r_multiple", "net"))
    mean, over, capital = mean_interval(r), int((r < -1.0).sum()), float(run.summary["capital"])
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
def sides(run: Run) -> str:
    """Long against short: no direction is assumed to pay."""
    rows = []
    for side, name in (("buy", "long"), ("sell", "short")):
        mine = run.closed if run.closed.is_empty() else run.closed.filter(pl.col("side") == side)
        if mine.is_empty():
            continue
        values, bps = mine["net"].to_numpy(), mean_interval(mine["net_bps"].to_numpy())
        rate = wilson_interval(int((values > 0).sum()), len(values))
        held = float(np.median(mine["hold_s"].to_numpy()))
        rows.append(
            (name, f"{len(mine):,}", number(float(values.sum())), percent(rate.value), bounds(rate, 1, 100.0),
             number(bps.value, 1), bounds(bps, 1), f"{held:,.1f} s")
        )  # fmt: skip
    head = ["", "trades", "net", "win rate, %", "95 % interval", "net bps a trade", "95 % interval", "median held"]
    return table(head, rows) if rows else ""


def beta(run: Run, group: str) -> Interval:
    """Slope of our one-minute returns on the group's: how much of the result is the market's direction."""
    frame, ours = run.evaluations(group), run.table("equity")
    if frame.is_empty() or ours.is_empty():
        return UNKNOWN
    every = pl.col("ts").cast(pl.Int64) // (BETA_STEP_S * NS)
    mids = frame.filter(pl.col("mid_price") > 0.0).group_by(minute=every).agg(pl.col("mid_price").last())
    joined = ours.group_by(minute=every).agg(pl.col("equity").last()).join(mids, on="minute").sort("minute")
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
