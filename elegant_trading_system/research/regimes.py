"""How a market's bars divide into regimes, how often they change, and what a trade costs against their range."""

from itertools import groupby
from pathlib import Path
from typing import Any

from ..config import Config
from ..core.kinds import Regime
from ..data.catalog import Catalog, merge
from ..data.sessions import with_sessions
from ..data.tape import Tape
from ..data.universe import build
from ..sim.backtest import Progress, lookahead_ns
from ..sim.session import Session

SECONDS_A_DAY = 86_400


def regimes_of(
    catalog: Path, config: Config, instruments: list[str] | None, venues: list[str] | None, progress: Progress
) -> dict[str, list[dict[str, Any]]]:
    """Per listing one row for every bar length of `bars.lengths_s` that closed a bar with a known ADX.

    Shares are of those bars; flips are changes of TREND, NEUTRAL, RANGE; `volatile` is the share of the bars whose
    usual range was known; `cost_share` is a round trip's fees and usual spread over the mean ATR, None where the
    quote has no rate in the reporting currency.
    """
    tapes = Catalog(catalog).tapes(instruments, venues)
    by_listing = [list(found) for _, found in groupby(tapes, key=lambda tape: tape.facts.listing.name)]
    answer = {}
    for k, of_listing in enumerate(by_listing):
        name = of_listing[0].facts.listing.name
        progress(f"reading {name}", k / len(by_listing))
        if rows := _rows(of_listing, config):
            answer[name] = rows
    progress("done", 1.0)
    return answer


def _rows(tapes: list[Tape], config: Config) -> list[dict[str, Any]]:
    merged = with_sessions(merge(tapes))
    session = Session(build(merged.listings, config), [config], lookahead_ns(tapes))
    session.run(merged.packets, merged.levels, is_last=False)
    group = session.market[0]["groups"][0]
    cost_bps = float(group["round_trip_bps"]) if session.universe.record[0]["listings"][0]["can_trade"] else None
    rows = zip(config.bars.lengths_s, group["bars"], strict=False)
    return [_row(bar_s, bar, cost_bps) for bar_s, bar in rows if bar["regime_bars"].sum() > 0]


def _row(bar_s: int, bar: Any, cost_bps: float | None) -> dict[str, Any]:
    bars = int(bar["regime_bars"].sum())
    atr_bps = float(bar["atr_bps_sum"]) / bars
    judged = int(bar["judged_bars"])
    return {
        "bar_s": bar_s,
        "bars": bars,
        **{regime.name.lower(): int(bar["regime_bars"][regime]) / bars for regime in Regime},
        "flips_a_day": int(bar["regime_flips"]) / (bars * bar_s / SECONDS_A_DAY),
        "volatile": int(bar["volatile_bars"]) / judged if judged else None,
        "atr_bps": atr_bps,
        "cost_share": None if cost_bps is None else cost_bps / atr_bps,
    }
