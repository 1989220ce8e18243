"""A run's logs as tables with names, units and human numbers: what goes to Parquet and to the report."""

from typing import Any

import numpy as np
import polars as pl

from ..core.kinds import CommandKind, ExitReason, Kind, Regime, Verdict
from ..data.universe import Universe
from .prices import marks
from .session import Log, Session
from .trips import round_trips

SIDE_NAMES = {1: "buy", -1: "sell", 0: ""}
NS = pl.Datetime("ns", "UTC")
VERDICT_NAMES = {verdict.value: verdict.name for verdict in Verdict}
REGIMES = {regime.value: regime.name for regime in Regime}
STATES = {"is_volatile": 1, "is_stressed": 2, "is_iv_known": 4, "is_uneconomic": 8}  # bits of EVALUATION.state
EXIT_REASONS = {reason.value: reason.name.lower() if reason else "" for reason in ExitReason}


def orders(universe: Universe, log: Log, fills_frame: pl.DataFrame) -> pl.DataFrame:
    """One row per order sent: what was wanted and why, what became of it and what it cost against the mid."""
    commands = log.joined("commands")
    sent = commands[commands["kind"] == CommandKind.SEND]
    listings = universe.record[0]["listings"][sent["listing_id"]]
    side, mid = pl.Series(sent["side"]), pl.Series(np.ascontiguousarray(sent["mid_price"]))
    return (
        _named(universe, sent["listing_id"], sent["ts_ns"])
        .with_columns(
            order_id=pl.Series(sent["order_id"]),
            intent_id=pl.Series(sent["intent_id"]),
            wave=pl.Series(sent["wave"]),
            is_exit=pl.Series(sent["is_reduce_only"] == 1),
            exit_reason=pl.Series([EXIT_REASONS[reason] for reason in sent["exit_reason"].tolist()], dtype=pl.String),
            side=pl.Series([SIDE_NAMES[side] for side in sent["side"].tolist()], dtype=pl.String),
            limit_price=pl.Series(sent["price_ticks"] * listings["tick_price"]),
            lots=pl.Series(sent["lots"]),
            quantity=pl.Series(sent["lots"] * listings["lot_base"]),
            mid_price=pl.select(pl.when(mid > 0.0).then(mid)).to_series(),
            **{
                name: pl.Series(np.ascontiguousarray(sent[name]))
                for name in ("touch_price", "risk_quote", "edge_bps", "shadow_bps")
            },
            cause_seq=pl.Series(sent["cause_seq"]),
        )
        .join(_filled(fills_frame), on="order_id", how="left")
        .with_columns(pl.col("filled_lots", "filled_quantity").fill_null(0))
        .with_columns(
            status=_status(log),
            slippage_bps=side * (pl.col("fill_price") / pl.col("mid_price") - 1.0) * 1e4,
        )
    )


def _filled(fills_frame: pl.DataFrame) -> pl.DataFrame:
    return fills_frame.group_by("order_id").agg(
        filled_lots=pl.col("lots").sum(),
        filled_quantity=pl.col("quantity").sum(),
        fill_price=pl.col("notional").sum() / pl.col("quantity").sum(),
    )


def _status(log: Log) -> pl.Expr:
    """Filled, or what the venue said last."""
    replies = log.joined("replies")
    replies = replies[replies["kind"] <= Kind.REJECTED]
    last = dict(zip(replies["order_id"].tolist(), replies["kind"].tolist(), strict=True))
    words = {order_id: Kind(kind).name.lower().replace("fill", "partly filled") for order_id, kind in last.items()}
    told = pl.col("order_id").replace_strict(words, default="unknown", return_dtype=pl.String)
    return pl.when(pl.col("filled_lots") == pl.col("lots")).then(pl.lit("filled")).otherwise(told)


def fills(universe: Universe, log: Log) -> pl.DataFrame:
    """One row per fill, with its fee in the fee's own asset."""
    replies, rows = log.joined("replies"), log.joined("rows")
    is_fill = np.isin(replies["kind"], (Kind.FILL, Kind.ADOPTED))
    replies, rows = replies[is_fill], rows[is_fill]
    is_adopted = replies["kind"] == Kind.ADOPTED  # an entry without an order: what was held before the run
    listings, assets = universe.record[0]["listings"], universe.record[0]["assets"]
    price = rows["price_ticks"] * listings["tick_price"][replies["listing_id"]]
    quantity = rows["lots"] * listings["lot_base"][replies["listing_id"]]
    commands = log.joined("commands")
    order_rows = dict(zip(commands["order_id"].tolist(), range(len(commands)), strict=True))
    at = np.array([order_rows.get(order_id, 0) for order_id in np.where(is_adopted, 0, replies["order_id"])], np.int64)
    intents, exits = (
        np.where(is_adopted, own, commands[name][at] if len(commands) else own)
        for name, own in (("intent_id", replies["order_id"]), ("is_reduce_only", 0 * replies["order_id"]))
    )
    cost = replies["atoms"] * assets["atom"][listings["quote_id"][replies["listing_id"]]]
    price = np.where(is_adopted, cost / np.where(is_adopted, quantity, 1.0), price)
    return _named(universe, replies["listing_id"], replies["ts_local_ns"]).with_columns(
        ts_venue=pl.Series(replies["ts_venue_ns"]).cast(NS),
        order_id=pl.Series(np.where(is_adopted, 0, replies["order_id"])),
        intent_id=pl.Series(intents),
        is_exit=pl.Series(exits == 1),
        side=pl.Series(np.where(replies["buy_count"] == 1, "buy", "sell")),
        price=pl.Series(price),
        lots=pl.Series(rows["lots"]),
        quantity=pl.Series(quantity),
        notional=pl.Series(price * quantity),
        fee=pl.Series(np.where(is_adopted, 0.0, -replies["atoms"] * assets["atom"][replies["asset_id"]])),
        fee_asset=pl.Series([universe.assets[asset_id] for asset_id in replies["asset_id"].tolist()], dtype=pl.String),
    )


def evaluations(universe: Universe, log: Log) -> pl.DataFrame:
    """The signal history: every evaluation that crossed the threshold, and one a second."""
    rows = log.joined("evaluations")
    return pl.DataFrame(
        {
            "ts": pl.Series(rows["ts_ns"]).cast(NS),
            "group": pl.Series([universe.groups[g] for g in rows["group_id"].tolist()], dtype=pl.Categorical),
            "side": pl.Series(rows["side"]),
            "verdict": pl.Series([VERDICT_NAMES[v] for v in rows["verdict"].tolist()], dtype=pl.Categorical),
            "is_sample": pl.Series(rows["is_sample"] == 1),
            **{
                name: pl.Series(np.ascontiguousarray(rows[name]))
                for name in ("log_ratio", "velocity", "tightness", "vwap_gap", "strength", "mid_price", "atr_price")
            },
            "regime": pl.Series([REGIMES[regime] for regime in rows["regime"].tolist()], dtype=pl.Categorical),
            **{name: pl.Series(rows["state"] & bit > 0) for name, bit in STATES.items()},
            **{name: pl.Series(np.ascontiguousarray(rows[name])) for name in ("bar_s", "adx", "flow")},
        }
    )


def equity(log: Log) -> pl.DataFrame:
    rows = log.joined("equity")
    names = ("equity", "unrealised", "fees", "gross_exposure", "net_exposure", "open_count")
    columns = {name: pl.Series(np.ascontiguousarray(rows[name])) for name in names}
    return pl.DataFrame({"ts": pl.Series(rows["ts_ns"]).cast(NS), **columns})


def mark_outs(log: Log) -> pl.DataFrame:
    """Where the mid stood after each fill, our way: one row per fill and horizon."""
    rows = log.joined("marks")
    columns = {name: pl.Series(np.ascontiguousarray(rows[name])) for name in ("order_id", "horizon_ms", "move_bps")}
    return pl.DataFrame({"ts": pl.Series(rows["ts_ns"]).cast(NS), **columns})


def _named(universe: Universe, listing_ids: Any, ts_ns: Any) -> pl.DataFrame:
    ids = listing_ids.tolist()
    specs = universe.listings
    return pl.DataFrame(
        {
            "ts": pl.Series(ts_ns).cast(NS),
            "listing": pl.Series([specs[i].name for i in ids], dtype=pl.Categorical),
            "venue": pl.Series([specs[i].venue for i in ids], dtype=pl.Categorical),
            "group": pl.Series([specs[i].base for i in ids], dtype=pl.String),
        }
    )


def all_tables(session: Session, k: int = 0) -> dict[str, pl.DataFrame]:
    universe, log = session.universe, session.logs[k]
    fills_frame = fills(universe, log)
    orders_frame = orders(universe, log, fills_frame)
    return {
        "orders": orders_frame,
        "fills": fills_frame,
        "trades": round_trips(fills_frame, orders_frame, marks(session)),
        "verdicts": evaluations(universe, log),
        "equity": equity(log),
        "marks": mark_outs(log),
    }
