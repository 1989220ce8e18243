"""The figures of a run as one JSON object: what `ets report --json` prints, null where a figure is not known.

Shares are fractions, money is in the account's currency; every interval is of 95 %.
"""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from .by_day import DAY_S
from .report_run import NS, Run
from .report_stats import Interval
from .report_targets import by_side, market_beta
from .report_verdict import edge, headline
from .track_record import TARGETS, TrackRecord, against_target, track_record


def read_figures(folder: Path) -> dict[str, Any]:
    """Raises UserError for a folder that is no run."""
    return figures(Run.read(folder))


def figures(run: Run) -> dict[str, Any]:
    """The report's key figures, equal to what its page shows."""
    record = track_record(run)
    return {
        "headline": headline(run),
        "simulated": run.is_simulated,
        "days": run.span_s / DAY_S,
        "too_short_to_annualise": record.is_short,
        "trades_redrawn_with_their_days": record.is_by_day,
        "performance": {name: _measured(name, found) for name, found in record.figures.items()},
        "edge_bps": interval(edge(run)),
        "largest_drawdown": _drawdown(run, record),
        "sides": {
            name: {
                "trades": side.trades,
                "net": side.net,
                "win_rate": interval(side.win_rate),
                "net_bps": interval(side.net_bps),
                "hold_s_median": side.hold_s,
            }
            for name, side in by_side(run).items()
        },
        "market_beta": {group: interval(found) for group, found in market_beta(run).items()},
    }


def interval(found: Interval) -> dict[str, Any]:
    return {"value": _known(found.value), "low95": _known(found.low), "high95": _known(found.high), "n": found.n}


def _measured(name: str, found: Interval) -> dict[str, Any]:
    target = {"target": TARGETS.get(name), "against_target": against_target(name, found) or None}
    return {**interval(found), **target}


def _drawdown(run: Run, record: TrackRecord) -> dict[str, Any] | None:
    worst = record.worst
    if math.isnan(worst.depth) or worst.depth == 0.0:
        return None
    stamps = run.equity["ts"].cast(pl.Int64)
    return {
        "peak": _moment(stamps[worst.peak]),
        "trough": _moment(stamps[worst.trough]),
        "recovery": _moment(stamps[worst.recovery]) if worst.recovery >= 0 else None,
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _moment(ns: int) -> str:
    return datetime.fromtimestamp(ns / NS, UTC).isoformat()
