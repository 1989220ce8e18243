"""The report's charts. Colours are mid-tones on a transparent ground, to be read in light and in dark."""

from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.io import to_html
from plotly.subplots import make_subplots

from .report_html import number
from .report_run import Run
from .report_stats import Array, thin
from .report_words import explanation, is_exit

EQUITY_POINTS = 5000
PRICE_POINTS = 10_000  # shared by the groups, no more than 5,000 each
SIGNAL_POINTS = 5000  # of each component, shared by the groups
TRADES_SHOWN = 1000  # shared as well
INK, GRID = "#7b8694", "rgba(128,138,152,0.22)"
BLUE, GREEN, RED, ORANGE, GREY = "#3b7dd8", "#1f9d63", "#d64541", "#e08a1e", "#8d98a7"
CONFIG = {"displayModeBar": False, "responsive": True, "displaylogo": False}
GROUPS_SHOWN = 6


# --- shell ------------------------------------------------------------------------------------------------
def html_of(figure: go.Figure, name: str) -> str:
    """A chart as HTML; `name` must be our own, it becomes an element's id."""
    text: str = to_html(figure, include_plotlyjs=False, full_html=False, div_id=name, config=CONFIG)
    return text


def _dressed(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(
        height=height, margin={"l": 58, "r": 14, "t": 26, "b": 34}, paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)", font={"color": INK, "size": 12}, hovermode="closest", template="none",
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "font": {"size": 12}},
    )  # fmt: skip
    figure.update_xaxes(gridcolor=GRID, zeroline=False, linecolor=GRID)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, linecolor=GRID, automargin=True)
    return figure


def points_each(run: Run, points: int) -> int:
    """Of a budget shared by the groups that are drawn, what one may use."""
    return points // max(min(len(run.groups), GROUPS_SHOWN), 2)


def _ms(stamps: pl.Series) -> Array:
    """UTC ms as floats: what a date axis takes, a third of the size of the written date."""
    values: Array = stamps.cast(pl.Int64).to_numpy() / 1e6
    return values


def _line(frame: pl.DataFrame, values: Array, points: int, **style: Any) -> go.Scattergl:
    """A thinned line over the frame's `ts`."""
    kept = thin(values, points)
    return go.Scatter(
        x=_ms(frame["ts"])[kept], y=values[kept].astype(np.float32 if style.pop("is_coarse", False) else np.float64),
        mode="lines", **style,
    )  # fmt: skip


# --- equity -----------------------------------------------------------------------------------------------
def equity(run: Run) -> go.Figure:
    """Equity above, distance below the highest equity so far under it."""
    frame = run.equity
    values = frame["equity"].to_numpy()
    peak = np.maximum(np.maximum.accumulate(values), float(run.summary["capital"]))
    drawdown = (values / peak - 1.0) * 100.0
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.68, 0.32], vertical_spacing=0.06)
    style = {"width": 1.8, "color": BLUE}
    figure.add_trace(_line(frame, values, EQUITY_POINTS, name="equity", line=style, showlegend=False), 1, 1)
    fill = {"fill": "tozeroy", "fillcolor": "rgba(214,69,65,0.18)", "line": {"width": 1.2, "color": RED}}
    figure.add_trace(_line(frame, drawdown, EQUITY_POINTS, name="drawdown", showlegend=False, **fill), 2, 1)
    figure.add_hline(y=float(run.summary["capital"]), line={"color": GREY, "dash": "dot", "width": 1}, row=1, col=1)
    figure.update_yaxes(title_text=escape(run.currency), tickformat=",.0f", row=1, col=1)
    figure.update_yaxes(title_text="drawdown, %", row=2, col=1)
    _room(figure, values, drawdown)
    figure.update_xaxes(type="date", showticklabels=False, row=1, col=1)
    figure.update_xaxes(type="date", row=2, col=1)
    return _dressed(figure, 420)


def _room(figure: go.Figure, values: Array, drawdown: Array) -> None:
    """A flat curve gets an axis of its own size; Plotly's would count in fractions of nothing."""
    capital = float(values[0])
    if float(np.ptp(values)) < 1e-6 * abs(capital):
        figure.update_yaxes(range=[capital * 0.999, capital * 1.001], row=1, col=1)
    if float(drawdown.min()) > -1e-4:
        figure.update_yaxes(range=[-1.0, 0.0], row=2, col=1)


# --- trades on price --------------------------------------------------------------------------------------
def price(run: Run, group: str) -> go.Figure:
    """Mid price with entries, exits and the lines between them."""
    figure = go.Figure()
    frame = run.evaluations(group)
    if not frame.is_empty():
        mids = frame["mid_price"].to_numpy()
        known = np.where(mids > 0.0, mids, np.nan)
        line = {"width": 1.1, "color": GREY}
        figure.add_trace(_line(frame, known, points_each(run, PRICE_POINTS), name="mid", line=line, hoverinfo="skip"))
    trades = shown_trades(run, group)
    if not trades.is_empty():
        for name, keep, colour in (("gain", trades["net"] > 0, GREEN), ("loss", trades["net"] <= 0, RED)):
            figure.add_trace(_joins(trades.filter(keep), f"net {name}", colour))
        for side, symbol, colour in (("buy", "triangle-up", BLUE), ("sell", "triangle-down", ORANGE)):
            figure.add_trace(_entries(run, trades.filter(pl.col("side") == side), side, symbol, colour))
        figure.add_trace(_exits(run, trades))
    figure.update_xaxes(type="date")
    figure.update_yaxes(tickformat=",~r")
    return _dressed(figure, 380)


def shown_trades(run: Run, group: str) -> pl.DataFrame:
    """The group's trades; of many, those that won or lost most."""
    trades = run.trades
    if trades.is_empty():
        return trades
    mine = trades.filter(pl.col("group") == group)
    largest = mine.sort(pl.col("net").fill_nan(0.0).fill_null(0.0).abs(), descending=True).head(
        points_each(run, TRADES_SHOWN)
    )
    return largest.sort("ts_entry")


def _joins(trades: pl.DataFrame, name: str, colour: str) -> go.Scatter:
    nothing = np.full(len(trades), np.nan)
    x = np.column_stack([_ms(trades["ts_entry"]), _ms(trades["ts_exit"]), nothing]).ravel()
    y = np.column_stack([trades["entry_price"].to_numpy(), trades["exit_price"].to_numpy(), nothing]).ravel()
    return go.Scatter(x=x, y=y, mode="lines", name=name, line={"width": 1.6, "color": colour}, hoverinfo="skip")


def _entries(run: Run, trades: pl.DataFrame, side: str, symbol: str, colour: str) -> go.Scatter:
    marker = {"symbol": symbol, "size": 9, "color": colour, "line": {"width": 0.6, "color": "white"}}
    text = [
        f"{row['side']} {row['quantity']:,.8g} at {row['entry_price']:,.8g}<br>{escape(row['listings'])}"
        f"<br>{run.orders_of(row['intent_id'], is_exit=False)}"
        for row in trades.iter_rows(named=True)
    ]
    return go.Scatter(
        x=_ms(trades["ts_entry"]), y=trades["entry_price"].to_numpy(), mode="markers", name=f"entry: {side}",
        marker=marker, text=text, hovertemplate="%{text}<br>%{x}<extra>entry</extra>",
    )  # fmt: skip


def _exits(run: Run, trades: pl.DataFrame) -> go.Scatter:
    left = trades.filter(pl.col("ts_exit").is_not_null())
    colours = [GREEN if net > 0 else RED for net in left["net"].to_list()]
    text = [
        f"{escape(str(row['exit_reason']))} at {row['exit_price']:,.8g}, after {row['hold_s']:,.1f} s<br>"
        f"net {number(row['net'], is_signed=True)} ({number(row['net_bps'], 1, is_signed=True)} bps{_in_r(row['r_multiple'])})"
        f"<br>{run.orders_of(row['intent_id'], is_exit=True)}"
        for row in left.iter_rows(named=True)
    ]
    return go.Scatter(
        x=_ms(left["ts_exit"]), y=left["exit_price"].to_numpy(), mode="markers", name="exit",
        marker={"symbol": "circle-open", "size": 8, "color": colours, "line": {"width": 1.6}}, text=text,
        hovertemplate="%{text}<br>%{x}<extra>exit</extra>",
    )  # fmt: skip


def _in_r(multiple: float | None) -> str:
    return "" if multiple is None else f", {number(multiple, is_signed=True)} R"


# --- signal -----------------------------------------------------------------------------------------------
def signal(run: Run, group: str) -> go.Figure:
    """The formula's parts over time, each with its threshold."""
    frame, limits = run.evaluations(group), run.config["signal"]
    lean = float(np.log(limits["imbalance_min"]))
    market = run.config["market"]
    rows: list[tuple[str, str, list[float]]] = [
        ("log_ratio", "ln(bid/ask)", [-lean, lean]),
        ("velocity", "velocity", [float(limits["velocity_min"])]),
        ("tightness", "tightness", [float(market["tightness_min"]), float(market["tightness_max"])]),
        ("strength", "strength", [float(limits["strength_min"])]),
    ]
    figure = make_subplots(rows=4, cols=1, shared_xaxes=True, vertical_spacing=0.035)
    is_known = frame["mid_price"].to_numpy() > 0.0
    for at, (column, title, levels) in enumerate(rows, 1):
        values = frame[column].to_numpy().astype(np.float64)
        values = np.where(is_known & _is_given(frame, column), values, np.nan)
        line = {"width": 1.1, "color": BLUE}
        trace = _line(
            frame, values, points_each(run, SIGNAL_POINTS), name=title, line=line, showlegend=False, is_coarse=True
        )
        figure.add_trace(trace, at, 1)
        for level in levels:
            figure.add_hline(y=level, line={"color": ORANGE, "dash": "dash", "width": 1}, row=at, col=1)
        figure.update_yaxes(title_text=title, row=at, col=1)
        figure.update_xaxes(type="date", showticklabels=at == len(rows), row=at, col=1)
    _limit_spikes(figure, frame, float(limits["strength_min"]))
    return _dressed(figure, 560)


def _is_given(frame: pl.DataFrame, column: str) -> Array:
    """Where a component was known; negative velocity and tightness are not, and strength waits for both and the ATR."""
    needed = {"log_ratio": [], "strength": ["velocity", "tightness"]}.get(column, [column])
    given = np.ones(len(frame), bool)
    for name in needed:
        given &= frame[name].to_numpy() >= 0.0
    if column == "strength":
        given &= frame["atr_price"].to_numpy() > 0.0
    return given


def _limit_spikes(figure: go.Figure, frame: pl.DataFrame, strength_min: float) -> None:
    """The strength axis ends at its 99.5 % quantile, so that one spike does not flatten everything."""
    high = frame["strength"].quantile(0.995) or 0.0
    figure.update_yaxes(range=[0.0, max(float(high), 1.2 * strength_min) * 1.05], row=4, col=1)


# --- verdicts ---------------------------------------------------------------------------------------------
def verdicts(run: Run) -> go.Figure:
    """How often each verdict was given, the commonest on top; exits in another colour."""
    counts = sorted(run.summary["verdicts"].items(), key=lambda item: item[1])
    names = [escape(name) for name, _ in counts]
    figure = go.Figure(
        go.Bar(
            x=[count for _, count in counts], y=names, orientation="h",
            marker={"color": [_bar_colour(name) for name, _ in counts]},
            text=[f"{count:,}" for _, count in counts], textposition="outside", cliponaxis=False,
            customdata=[explanation(name) for name, _ in counts], hovertemplate="%{customdata}<extra></extra>",
        )
    )  # fmt: skip
    most = max((count for _, count in counts), default=1)
    figure.update_xaxes(range=[0, most * 1.14], showticklabels=False)
    _dressed(figure, 60 + 25 * max(len(counts), 2))
    figure.update_layout(margin={"t": 6, "b": 6, "l": 10}, bargap=0.28)
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(showgrid=False)
    return figure


def _bar_colour(name: str) -> str:
    if name == "APPROVED":
        return GREEN
    return ORANGE if is_exit(name) else BLUE
