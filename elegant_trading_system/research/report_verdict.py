"""The sentence at the top of a report, computed from the numbers: what happened, what it cost, what it shows."""

import math
from pathlib import Path

import polars as pl

from .by_day import is_short, mean_of_trades
from .report_html import duration, number, percent, share_of
from .report_run import Run
from .report_stats import UNKNOWN, Interval
from .report_words import WARMUPS, explanation, is_exit

JUDGED_TRADES = 100


def read_headline(folder: Path) -> str:
    """Raises UserError for a folder that is no run."""
    return headline(Run.read(folder))


def headline(run: Run) -> str:
    """What a trader should take away."""
    return traded(run) if run.summary["fills"] else cold(run)


# --- a run that traded ------------------------------------------------------------------------------------
def traded(run: Run) -> str:
    net, capital, trips = run.pnl["net"], float(run.summary["capital"]), int(run.summary["round_trips"])
    share = f" ({percent(net / capital, 2)})" if capital else ""
    still = int(run.trades["is_closed"].not_().sum()) if not run.trades.is_empty() else 0
    opened = f" ({still:,} more still open at the end)" if still else ""
    return (
        f"{trips:,} round trip{'' if trips == 1 else 's'}{opened}, net {number(net)} {run.currency}{share}, "
        f"after fees of {number(run.pnl['fees'])}: {cost_words(run)}. {edge_words(run)}"
    )


def costs(run: Run) -> float:
    """Fees and funding paid, as a positive cost."""
    return run.pnl["fees"] - run.pnl["funding"]


def cost_words(run: Run) -> str:
    gross = run.gross
    if gross <= 0.0:
        return f"gross is {number(gross)} before any fee{_without_slippage(run)}"
    times = costs(run) / gross
    return f"costs are {times:,.0f}x the gross" if times >= 2 else f"costs take {percent(times, 0)} of the gross"


def _without_slippage(run: Run) -> str:
    """What the same trades would have made at the mids they were decided on."""
    slippage = run.trades["slippage"] if not run.trades.is_empty() else None
    if slippage is None or slippage.null_count():
        return ", so the trades lose even for free"
    paid = float(slippage.sum())
    return f", and {number(run.gross + paid)} before {number(paid)} of spread and slippage"


def edge(run: Run) -> Interval:
    """Mean net bps per closed round trip."""
    if run.closed.is_empty():
        return UNKNOWN
    return mean_of_trades(run, run.closed["ts_exit"].cast(pl.Int64).to_numpy(), run.closed["net_bps"].to_numpy())


def edge_words(run: Run) -> str:
    """What the trades show, in as many words as they can bear."""
    found = edge(run)
    if math.isnan(found.low):
        return "Too few trades to show anything."
    per_trade = f"{number(found.value, 1, is_signed=True)} bps per trade after costs"
    if found.high < 0.0:
        return f"No edge is shown: {per_trade}, a loss beyond chance."
    if found.low <= 0.0:
        return f"No edge is shown: {per_trade} cannot be told from zero."
    if run.is_simulated:
        return f"{per_trade}, in a simulated market: it says nothing about a real one."
    if is_short(run) or found.n < JUDGED_TRADES:
        return f"{per_trade}, but {found.n:,} trades in {duration(run.span_s)} are too little to call it an edge."
    return f"{per_trade}, more than chance explains in this past; it promises nothing."


# --- a run that did not ------------------------------------------------------------------------------------
def entry_counts(run: Run) -> dict[str, int]:
    """Evaluations that looked for an entry, by verdict."""
    return {name: count for name, count in run.summary["verdicts"].items() if not is_exit(name)}


def cold(run: Run) -> str:
    counts = entry_counts(run)
    if not counts:
        return "Nothing traded: no evaluation was made at all."
    name = max(counts, key=lambda verdict: counts[verdict])
    share = share_of(counts[name], sum(counts.values()))
    began = f"Nothing traded: {name} was the verdict of {share} of evaluations"
    if name not in [warmup.name for warmup in WARMUPS]:
        return f"{began}. {explanation(name)}"
    if name == "WARMUP_ATR" and (arithmetic := unpaid_words(run)):
        return f"{began}: {arithmetic}"
    need = needs_s(run)[name]
    seen = max((run.seen_s(group) for group in run.groups), default=0.0)
    what = {"WARMUP_ATR": "the average true range", "WARMUP_VWAP": "the VWAP"}.get(name, "the volume velocity")
    return f"{began}: {what} needs {duration(need)} of data, the recording has {duration(seen)}."


def unpaid_words(run: Run) -> str:
    """Why ranges that are known are not traded: they do not pay, and longer bars are not known yet."""
    for found in run.summary.get("ranges", {}).values():
        known = {int(length): float(bps) for length, bps in found["atr_bps"].items()}
        longer = [length for length in run.config["bars"]["lengths_s"] if length not in known]
        if known and longer:
            bar_s, share = max(known), float(run.config["bars"]["cost_share_max"])
            wanted = (run.config["bars"]["atr_bars"] + 1) * min(longer)
            return (
                f"a round trip costs {number(found['round_trip_bps'], 1)} bps, which may be at most {percent(share, 0)} "
                f"of a bar's average range. The longest known, of {bar_s:,} s bars, is {number(known[bar_s], 1)} bps; "
                f"that of {min(longer):,} s bars needs {duration(wanted)} of data or history, the recording has "
                f"{duration(max(run.seen_s(group) for group in run.groups))}."
            )
    return ""


def needs_s(run: Run) -> dict[str, float]:
    """Seconds of data each warm-up takes; the bars begin at a whole multiple of their length, up to one later."""
    market = run.config["market"]
    windows = float(market["velocity_fast_s"] + market["velocity_slow_s"])
    bars = float((run.config["bars"]["atr_bars"] + 1) * run.config["bars"]["lengths_s"][0])
    return {"WARMUP_VELOCITY": windows, "WARMUP_VWAP": windows, "WARMUP_ATR": bars}


def need_words(run: Run) -> dict[str, str]:
    market = run.config["market"]
    fast, slow = market["velocity_fast_s"], market["velocity_slow_s"]
    bars, bar = run.config["bars"]["atr_bars"], run.config["bars"]["lengths_s"][0]
    return {
        "WARMUP_VELOCITY": f"trailing {fast:,} s + {slow:,} s before them",
        "WARMUP_VWAP": f"the same {fast + slow:,} s",
        "WARMUP_ATR": f"({bars} + 1) bars of {bar:,} s, or of a longer bar if this one cannot pay its costs",
    }
