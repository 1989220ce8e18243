"""Transaction costs: what each venue's orders paid, where the price went afterwards, what the other router would cost."""

import polars as pl

from .report_html import DASH, bounds, number, paragraph, section, share_of, table
from .report_run import Run
from .report_stats import Interval, mean_interval

PARTS = ("spread", "sweep", "fees")
HORIZONS_MS = (100, 1000, 10_000, 60_000, 300_000)


def tca(run: Run) -> str:
    orders = run.table("orders")
    if orders.is_empty() or "touch_price" not in orders.columns:
        return section("tca", "Execution", paragraph("No order was sent.", "soft"))
    words = (
        "Arrival is the mid of the order's own listing when it was decided. Spread: from there to the touch. Sweep and "
        "latency: from the touch to the fill. All in bps of the arrival price, means over orders that filled; "
        "positive is a cost."
    )
    parts = [paragraph(words, "soft"), _venues(run), _mark_outs(run), paragraph(router_words(run))]
    return section("tca", "Execution", *parts)


def decomposed(run: Run) -> pl.DataFrame:
    """One row per order that filled: spread, sweep and fees in bps of its arrival mid (SCIENCE 5.5)."""
    side = pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0)
    fees = run.table("fills").group_by("order_id").agg(
        fee=pl.when(pl.col("fee_asset") == pl.col("group")).then(pl.col("fee") * pl.col("price"))
        .otherwise(pl.col("fee")).sum()
    )  # fmt: skip
    return (
        run.table("orders")
        .filter((pl.col("filled_quantity") > 0.0) & (pl.col("mid_price") > 0.0))
        .join(fees, on="order_id", how="left")
        .with_columns(
            venue=pl.col("venue").cast(pl.String),
            spread=side * (pl.col("touch_price") / pl.col("mid_price") - 1.0) * 1e4,
            sweep=side * (pl.col("fill_price") - pl.col("touch_price")) / pl.col("mid_price") * 1e4,
            fees=pl.col("fee") / (pl.col("filled_quantity") * pl.col("mid_price")) * 1e4,
        )
        .with_columns(total=pl.sum_horizontal(*PARTS))
    )


def _venues(run: Run) -> str:
    frame, orders = decomposed(run), run.table("orders")
    rows = []
    for venue in sorted(set(orders["venue"].cast(pl.String).to_list())):
        mine, sent = frame.filter(pl.col("venue") == venue), orders.filter(pl.col("venue").cast(pl.String) == venue)
        found = mean_interval(mine["total"].to_numpy())
        shares = [number(mean_interval(mine[part].to_numpy()).value, 2) if len(mine) else DASH for part in PARTS]
        rows.append(
            (venue, f"{len(sent):,}", share_of(len(mine), len(sent)), *shares, number(found.value, 2), _bounds(found),
             f"{int((sent['wave'] > 0).sum()):,}")
        )  # fmt: skip
    head = ["venue", "orders", "filled at all", *PARTS, "total, bps", "95 %", "sent again"]
    return f"<h3>What orders paid</h3>{table(head, rows)}"


def _bounds(found: Interval) -> str:
    return bounds(found, 2) if found.n > 1 else ""


def _mark_outs(run: Run) -> str:
    marks, orders = run.table("marks"), run.table("orders")
    if marks.is_empty():
        return ""
    named = marks.join(orders.select("order_id", "is_exit"), on="order_id", how="inner")
    rows = []
    for label, part in (("entries", named.filter(~pl.col("is_exit"))), ("exits", named.filter(pl.col("is_exit")))):
        found = [mean_interval(part.filter(pl.col("horizon_ms") == ms)["move_bps"].to_numpy()) for ms in HORIZONS_MS]
        rows.append((label, *(f"{number(one.value, 2)} {_bounds(one)}" if one.n else DASH for one in found)))
    head = ["bps our way after a fill", *(f"{ms / 1000:g} s" for ms in HORIZONS_MS)]
    return f"<h3>Where the price went</h3>{table(head, rows)}"


def router_words(run: Run) -> str:
    """The split that was sent against the other router's, expected when it was decided."""
    sent = run.table("orders").filter(~pl.col("is_exit") & (pl.col("wave") == 0))
    found = mean_interval(sent.group_by("intent_id").agg(pl.col("shadow_bps").first())["shadow_bps"].to_numpy())
    if found.n == 0:
        return "Router: nothing was sent."
    other = "cost_greedy" if run.config["execution"]["router"] == "split" else "split"
    return (
        f"Router: the split that was sent was expected to cost {number(found.value, 3, is_signed=True)} bps more than "
        f"{other}'s, 95 % {bounds(found, 3)}, n {found.n:,}; what was taken in the dark is left out."
    )
