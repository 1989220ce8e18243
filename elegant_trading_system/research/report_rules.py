"""The sections about the rules: which regime ruled, what the cost gate says, what was held together."""

from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from ..data.universe import DOLLARS
from .report_charts import BLUE, GREEN, GREY, ORANGE, RED, _dressed, _line, _ms, html_of
from .report_html import DASH, number, paragraph, percent, section, share_of, table
from .report_run import Run

BAND_COLUMNS = 400
BAND = {"NEUTRAL": 0, "TREND": 1, "RANGE": 2, "VOLATILE": 3}
BAND_COLOURS = [GREY, GREEN, BLUE, RED]
RETURN_INTERVAL = "5m"
RETURNS_MIN = 12
POINTS = 3000


# --- regimes ------------------------------------------------------------------------------------------------
def regimes(run: Run) -> str:
    frame = run.table("verdicts")
    if frame.is_empty() or "regime" not in frame.columns:
        return section("regimes", "Regimes", paragraph("The run kept no regimes.", "soft"))
    words = (
        "TREND and RANGE by the ADX of the bar that is traded, VOLATILE by its range against its usual one. "
        "Each changes size, stop, target and holding time by the table in the configuration."
    )
    rows = [_regime_row(group, run.evaluations(group)) for group in run.groups if not run.evaluations(group).is_empty()]
    head = ["group", "TREND", "NEUTRAL", "RANGE", "VOLATILE", "stress", "volatility known", "bar", "ADX, median"]
    return section(
        "regimes", "Regimes", paragraph(words, "soft"), html_of(band(run), "chart-regimes"), table(head, rows)
    )


def _regime_row(group: str, frame: pl.DataFrame) -> tuple[str, ...]:
    known = frame.filter(pl.col("is_sample") & (pl.col("atr_price") > 0.0))  # strong signals are kept more often
    if known.is_empty():
        return (group, *[DASH] * 8)
    names = known["regime"].cast(pl.String)
    shares = [share_of(int((names == name).sum()), len(known)) for name in ("TREND", "NEUTRAL", "RANGE")]
    states = [share_of(int(known[name].sum()), len(known)) for name in ("is_volatile", "is_stressed", "is_iv_known")]
    bars = "; ".join(f"{bar:g} s" for bar in sorted(set(known["bar_s"].to_list())))
    return (group, *shares, *states, bars, number(_median(known, "adx"), 1))


def _median(frame: pl.DataFrame, name: str) -> float:
    return float(frame[name].median())  # type: ignore[arg-type]


def band(run: Run) -> go.Figure:
    """One row a group, coloured by what ruled; empty while no bar was known."""
    groups = [group for group in run.groups if not run.evaluations(group).is_empty()]
    first, last = run.span_ns
    edges = np.linspace(first, max(last, first + 1), BAND_COLUMNS + 1)
    codes = np.full((len(groups), BAND_COLUMNS), np.nan)
    for row, group in enumerate(groups):
        frame = run.evaluations(group).filter(pl.col("atr_price") > 0.0)
        at = np.clip(np.searchsorted(edges, frame["ts"].cast(pl.Int64).to_numpy(), "right") - 1, 0, BAND_COLUMNS - 1)
        ruling = frame["regime"].cast(pl.String).replace_strict(BAND, return_dtype=pl.Int64).to_numpy()
        codes[row, at] = np.where(frame["is_volatile"].to_numpy(), BAND["VOLATILE"], ruling)
    scale = [[edge, BAND_COLOURS[k]] for k in range(4) for edge in (k / 4, (k + 1) / 4)]
    figure = go.Figure(
        go.Heatmap(
            x=edges[:-1] / 1e6, y=groups, z=codes, zmin=-0.5, zmax=3.5, colorscale=scale, hoverinfo="skip",
            colorbar={"tickvals": [0, 1, 2, 3], "ticktext": list(BAND), "thickness": 12},
        )
    )  # fmt: skip
    figure.update_xaxes(type="date")
    return _dressed(figure, 130 + 34 * max(len(groups), 1))


# --- costs against ranges --------------------------------------------------------------------------------------
def gate(run: Run) -> str:
    """The arithmetic behind UNECONOMIC and COST_GATE, group by group."""
    limit = float(run.config["bars"]["cost_share_max"])
    rows = [row for group in run.groups if (row := _gate_row(run, group, limit)) is not None]
    if not rows:
        return section("gate", "Can it pay its costs?", paragraph("No range was known yet.", "soft"))
    words = (
        f"A round trip may cost at most {limit:g} of the range (ATR) of the bar that is traded: then a target of 1.5 ATR "
        "and a stop of 0.75 still pay 1.5 to 1 after costs. Fees only; the spread comes on top. "
        f"The gate is set to {run.config['gate']['mode']!r}."
    )
    given = run.summary["verdicts"]
    counted = [f"{name}: {given[name]:,} entries" for name in ("UNECONOMIC", "COST_GATE") if name in given]
    note = f"Sent although the gate would have refused them: {'; '.join(counted)}." if counted else ""
    head = ["group", "round trip, bps", "bar, s", "ATR, bps", "cost / ATR", "", "ATR needed, bps"]
    is_logged = run.config["gate"]["mode"] == "log"
    return section(
        "gate", "Can it pay its costs?", paragraph(words, "soft"), table(head, rows, text=(0, 5)),
        paragraph(note) if note and is_logged else "",
    )  # fmt: skip


def _gate_row(run: Run, group: str, limit: float) -> tuple[Any, ...] | None:
    known = run.evaluations(group)
    if known.is_empty() or "bar_s" not in known.columns:
        return None
    known = known.filter(pl.col("is_sample") & (pl.col("atr_price") > 0.0) & (pl.col("mid_price") > 0.0))
    fees = [fee for listing in run.manifest["listings"] if (fee := _fee_bps(run, listing, group)) is not None]
    if known.is_empty() or not fees:
        return None
    cost, atr = 2.0 * min(fees), float(known.select((pl.col("atr_price") / pl.col("mid_price") * 1e4).median()).item())
    verdict = ("pays", "good") if cost <= limit * atr else ("UNECONOMIC", "bad")
    return (
        group, number(cost, 1), f"{_median(known, 'bar_s'):g}", number(atr, 1), number(cost / atr, 2), verdict,
        number(cost / limit, 0),
    )  # fmt: skip


def _fee_bps(run: Run, listing: dict[str, Any], group: str) -> float | None:
    """Taker fee of a listing of the group that may be entered; None for others."""
    if listing["base"] != group or listing["kind"] not in ("spot", "linear") or listing["quote"] not in DOLLARS:
        return None
    venues = run.config["venues"]
    return float(venues.get(listing["venue"], venues["default"])[f"{listing['kind']}_taker_bps"])


# --- exposure and correlation ------------------------------------------------------------------------------------
def portfolio(run: Run) -> str:
    parts = []
    if not run.equity.is_empty():
        parts.append(html_of(exposure(run), "chart-exposure"))
    names, matrix = correlations(run)
    if len(names) > 1:
        limit = float(run.config["correlation"]["cluster_rho"])
        words = ", ".join(" + ".join(cluster) for cluster in clusters(names, matrix, limit)) or "none"
        parts.append(f"<h3>Correlation of five-minute returns</h3>{html_of(heatmap(names, matrix), 'chart-rho')}")
        parts.append(paragraph(f"Move together, above {limit:g}: {words}.", "soft"))
    elif len(run.groups) > 1:
        parts.append(paragraph("Correlation: too few five-minute returns to say.", "soft"))
    return section("portfolio", "Exposure and correlation", *parts)


def exposure(run: Run) -> go.Figure:
    frame, figure = run.equity, go.Figure()
    for name, colour in (("gross_exposure", ORANGE), ("net_exposure", BLUE)):
        line = {"width": 1.4, "color": colour}
        figure.add_trace(_line(frame, frame[name].to_numpy(), POINTS, name=name.partition("_")[0], line=line))
    figure.update_xaxes(type="date")
    figure.update_yaxes(title_text=escape(run.currency), tickformat=",.0f")
    return _dressed(figure, 260)


def correlations(run: Run) -> tuple[list[str], Any]:
    """Names of the groups with enough returns, and their correlation matrix."""
    returns: pl.DataFrame | None = None
    for group in run.groups:
        frame = run.evaluations(group)
        if frame.is_empty():
            continue
        closes = (
            frame.filter(pl.col("mid_price") > 0.0)
            .group_by_dynamic("ts", every=RETURN_INTERVAL)
            .agg(pl.col("mid_price").last().alias(group))
            .with_columns(pl.col(group).pct_change())
            .drop_nulls()
        )
        returns = closes if returns is None else returns.join(closes, on="ts", how="inner")
    if returns is None or len(returns) < RETURNS_MIN:
        return [], np.zeros((0, 0))
    names = [name for name in returns.columns if name != "ts" and float(returns[name].std() or 0.0) > 0.0]  # type: ignore[arg-type]
    return names, np.corrcoef(returns.select(names).to_numpy().T) if len(names) > 1 else np.ones((1, 1))


def clusters(names: list[str], matrix: Any, limit: float) -> list[list[str]]:
    """Connected components of the graph correlation > limit, those of one left out."""
    left, found = list(range(len(names))), []
    while left:
        reached, new = set(), {left[0]}
        while new:
            reached |= new
            new = {j for i in new for j in left if matrix[i, j] > limit} - reached
        found.append(sorted(reached))
        left = [i for i in left if i not in reached]
    return [[names[i] for i in cluster] for cluster in found if len(cluster) > 1]


def heatmap(names: list[str], matrix: Any) -> go.Figure:
    figure = go.Figure(
        go.Heatmap(
            x=names, y=names, z=matrix, zmin=-1, zmax=1, colorscale=[[0, BLUE], [0.5, "#f2f2f2"], [1, RED]],
            text=[[percent(float(v), 0) for v in row] for row in matrix], texttemplate="%{text}", hoverinfo="skip",
            textfont={"color": "#1c2430"}, showscale=False,
        )
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed")
    return _dressed(figure, 80 + 36 * len(names))


# --- brackets ---------------------------------------------------------------------------------------------------
def brackets(run: Run, trades: pl.DataFrame, group: str) -> pl.DataFrame:
    """Stop and target of each trade, from what was known when it was approved (as risk_manager.apply_bracket)."""
    approved = run.evaluations(group)
    if trades.is_empty() or approved.is_empty() or "regime" not in approved.columns:
        return trades.clear()
    frame = approved.filter(pl.col("verdict").cast(pl.String) == "APPROVED").select(
        "ts", "atr_price", "strength", "is_volatile", regime=pl.col("regime").cast(pl.String)
    )
    joined = trades.join(frame, left_on="ts_decided", right_on="ts", how="inner")
    distances = [_distances(run, row) for row in joined.iter_rows(named=True)]
    side = pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0)
    return joined.with_columns(
        stop_price=pl.col("entry_price") - side * pl.Series([d[0] for d in distances], dtype=pl.Float64),
        target_price=pl.col("entry_price") + side * pl.Series([d[1] for d in distances], dtype=pl.Float64),
    )


def _distances(run: Run, row: dict[str, Any]) -> tuple[float, float]:
    """(stop, target) in quote (SCIENCE 1.8)."""
    table_row = run.config["regimes"][row["regime"].lower()]
    low = float(run.config["signal"]["strength_min"])
    if row["is_volatile"]:
        low = max(low, float(run.config["regimes"]["volatile"]["strength_min"]))
    high = float(run.config["risk"]["target_strength_max"])
    share = min(max(float(np.log(row["strength"] / low) / np.log(high / low)), 0.0), 1.0)
    nearest, farthest = table_row["target_atr_min"], table_row["target_atr_max"]
    return row["atr_price"] * table_row["stop_atr"], row["atr_price"] * (nearest + (farthest - nearest) * share)


def bracket_traces(frame: pl.DataFrame) -> list[go.Scatter]:
    """A thin line at the stop and one at the target, for as long as the position was open."""
    left = frame.filter(pl.col("ts_exit").is_not_null())
    nothing = np.full(len(left), np.nan)
    x = np.column_stack([_ms(left["ts_entry"]), _ms(left["ts_exit"]), nothing]).ravel()
    traces = []
    for name, colour in (("stop_price", RED), ("target_price", GREEN)):
        level = left[name].to_numpy()
        line = {"width": 1.0, "color": colour, "dash": "dot"}
        y = np.column_stack([level, level, nothing]).ravel()
        traces.append(go.Scatter(x=x, y=y, mode="lines", name=name.partition("_")[0], line=line, hoverinfo="skip"))
    return traces
