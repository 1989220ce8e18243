"""Round trips out of fills: what one intent bought, sold, earned and paid, and why it ended."""

from typing import Any

import polars as pl

NS = 1_000_000_000
REASONS = ("stop", "target", "time")


def round_trips(fills: pl.DataFrame, orders: pl.DataFrame, verdicts: pl.DataFrame, manifest: dict[str, Any]) -> pl.DataFrame:
    """One row per intent that filled. Money is in quote; all quotes count as the reporting currency.

    A fee taken in the coin bought leaves less to sell: what the exits could not sell for that reason is valued at
    the exit price in `gross`, so that `net = gross - fees` counts each fee once.
    """
    if fills.is_empty():
        return pl.DataFrame()
    trips = _closed_out(_aggregated(fills), manifest)
    trips = trips.join(_decisions(orders), on="intent_id", how="left")
    return _with_reason(_with_mids(trips, verdicts), manifest["config"]).sort("ts_entry", "intent_id")


def _aggregated(fills: pl.DataFrame) -> pl.DataFrame:
    entry, leave = ~pl.col("is_exit"), pl.col("is_exit")
    is_base_fee = pl.col("fee_asset") == pl.col("group")
    fee_quote = pl.when(is_base_fee).then(pl.col("fee") * pl.col("price")).otherwise(pl.col("fee"))
    return fills.group_by("group", "intent_id").agg(
        ts_entry=pl.col("ts").filter(entry).min(),
        ts_exit=pl.col("ts").filter(leave).max(),
        side=pl.col("side").filter(entry).first(),
        quantity=pl.col("quantity").filter(entry).sum(),
        exit_quantity=pl.col("quantity").filter(leave).sum(),
        entry_quote=pl.col("notional").filter(entry).sum(),
        exit_quote=pl.col("notional").filter(leave).sum(),
        base_fee=pl.col("fee").filter(is_base_fee).sum(),
        fees=fee_quote.sum(),
        listings=pl.col("listing").cast(pl.String).unique().sort().str.join(", "),
    )


def _closed_out(trips: pl.DataFrame, manifest: dict[str, Any]) -> pl.DataFrame:
    """Prices, what is left, and profit; closed when no more is left than a lot at every listing could hold."""
    lots = {name: float(sum(_lot(spec, name) for spec in manifest["listings"])) for name in trips["group"].unique()}
    direction = pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0)
    left = pl.col("quantity") - pl.col("exit_quantity")
    return (
        trips.with_columns(
            entry_price=pl.col("entry_quote") / pl.col("quantity"),
            exit_price=pl.col("exit_quote") / pl.col("exit_quantity"),
            direction=direction,
            lot=pl.col("group").replace_strict(lots, return_dtype=pl.Float64),
        )
        .with_columns(
            is_closed=pl.col("ts_exit").is_not_null() & ((left - pl.col("base_fee")).abs() < pl.col("lot")),
            gross=direction * (pl.col("exit_quote") - pl.col("entry_quote") + left * pl.col("exit_price")),
            hold_s=(pl.col("ts_exit") - pl.col("ts_entry")).dt.total_nanoseconds() / NS,
        )
        .with_columns(net=pl.col("gross") - pl.col("fees"))
        .with_columns(net_bps=pl.col("net") / pl.col("entry_quote") * 1e4)
    )


def _lot(spec: dict[str, Any], group: str) -> float:
    is_traded = spec["base"] == group and spec["kind"] in ("spot", "linear", "dark")
    return float(spec["lot_size"]) if is_traded else 0.0


def _decisions(orders: pl.DataFrame) -> pl.DataFrame:
    """When an intent's entry and its exit were first decided."""
    return orders.group_by("intent_id").agg(
        ts_decided=pl.col("ts").filter(~pl.col("is_exit")).min(),
        ts_left=pl.col("ts").filter(pl.col("is_exit")).min(),
    )


def _with_mids(trips: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """The group's mid and ATR at the entry's decision, and its mid at the exit's, between two kept evaluations."""
    if verdicts.is_empty():
        return trips.with_columns(mid_entry=None, atr_price=None, mid_exit=None)
    kept = verdicts.filter(pl.col("mid_price") > 0.0).with_columns(pl.col("group").cast(pl.String)).sort("ts")
    approved = (
        kept.filter(pl.col("verdict").cast(pl.String) == "APPROVED")
        .unique(["group", "ts"], keep="last")
        .select("group", ts_decided="ts", mid_entry="mid_price", atr_price="atr_price")
    )
    trips = trips.join(approved, on=["group", "ts_decided"], how="left").sort("ts_left", nulls_last=True)
    points = kept.select("group", ts_point="ts", mid="mid_price")
    for name, strategy in (("before", "backward"), ("after", "forward")):
        side = points.rename({"ts_point": f"ts_{name}", "mid": f"mid_{name}"})
        trips = _nearest(trips, side, f"ts_{name}", strategy)
    span = (pl.col("ts_after") - pl.col("ts_before")).dt.total_nanoseconds()
    part = (pl.col("ts_left") - pl.col("ts_before")).dt.total_nanoseconds() / pl.max_horizontal(span, pl.lit(1))
    return trips.with_columns(mid_exit=pl.col("mid_before") + part * (pl.col("mid_after") - pl.col("mid_before"))).drop(
        "ts_before", "ts_after", "mid_before", "mid_after"
    )


def _nearest(trips: pl.DataFrame, points: pl.DataFrame, right_on: str, strategy: Any) -> pl.DataFrame:
    """As-of join per group; trips without an exit decision keep nulls."""
    left = trips.filter(pl.col("ts_left").is_not_null())
    joined = left.join_asof(
        points, left_on="ts_left", right_on=right_on, by="group", strategy=strategy, check_sortedness=False
    )
    return pl.concat([joined, trips.filter(pl.col("ts_left").is_null())], how="diagonal")


def _with_reason(trips: pl.DataFrame, config: dict[str, Any]) -> pl.DataFrame:
    """Why a trip ended: recorded if the run says so, else inferred from its length and its sign.

    A stop lies below and a target above the entry (of a long), so the exit's own price tells them apart.
    """
    if "exit_reason" in trips.columns:
        return trips
    hold_s = float(config["risk"]["hold_bars_max"]) * float(config["market"]["bar_s"])
    gain = pl.col("direction") * (pl.col("exit_price") - pl.col("entry_price"))
    held_s = (pl.col("ts_left") - pl.col("ts_entry")).dt.total_nanoseconds() / NS
    reason = pl.when(held_s >= hold_s).then(pl.lit("time")).when(gain > 0.0).then(pl.lit("target")).otherwise(pl.lit("stop"))
    return trips.with_columns(exit_reason=pl.when(pl.col("ts_left").is_null()).then(pl.lit("")).otherwise(reason))


def round_trip_slippage_bps(closed: pl.DataFrame) -> pl.Series:
    """What spread, latency and depth cost each round trip: the mids' move less the fills' move, in bps.

    Both ends are compared with the same mid, so a steady basis between the listing traded and the group's
    reference cancels.
    """
    if closed.is_empty() or closed["mid_entry"].null_count() == len(closed):
        return pl.Series([], dtype=pl.Float64)
    at_mids = pl.col("direction") * (pl.col("mid_exit") / pl.col("mid_entry") - 1.0)
    at_fills = pl.col("direction") * (pl.col("exit_price") / pl.col("entry_price") - 1.0)
    return closed.select(bps=(at_mids - at_fills) * 1e4)["bps"].drop_nulls()
