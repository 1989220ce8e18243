"""A run's logs as tables with names, units and human numbers: what goes to Parquet and to the report."""

from typing import Any

import numpy as np
import polars as pl

from ..core.schema import CommandKind, Kind, Verdict
from ..data.universe import Universe
from .session import Log, Session

SIDE_NAMES = {1: "buy", -1: "sell", 0: ""}
NS = pl.Datetime("ns", "UTC")
VERDICT_NAMES = {verdict.value: verdict.name for verdict in Verdict}


def orders(universe: Universe, log: Log) -> pl.DataFrame:
    """One row per order sent: what was wanted, what became of it."""
    commands = log.joined("commands")
    sent = commands[commands["kind"] == CommandKind.SEND]
    replies, rows = log.joined("replies"), log.joined("rows")
    is_fill = replies["kind"] == Kind.FILL
    filled: dict[int, int] = {}
    for order_id, lots in zip(replies["order_id"][is_fill].tolist(), rows["lots"][is_fill].tolist(), strict=True):
        filled[order_id] = filled.get(order_id, 0) + lots
    ended = dict(
        zip(replies["order_id"].tolist(), [Kind(kind).name.lower() for kind in replies["kind"].tolist()], strict=True)
    )
    frame = _named(universe, sent["listing_id"], sent["ts_ns"])
    listings = universe.record[0]["listings"]
    filled_lots = np.array([filled.get(order_id, 0) for order_id in sent["order_id"].tolist()], np.int64)
    status = [
        "filled" if lots == done else ended.get(order_id, "unknown").replace("fill", "partly filled")
        for order_id, lots, done in zip(
            sent["order_id"].tolist(), sent["lots"].tolist(), filled_lots.tolist(), strict=True
        )
    ]
    return frame.with_columns(
        order_id=pl.Series(sent["order_id"]),
        intent_id=pl.Series(sent["intent_id"]),
        wave=pl.Series(sent["wave"]),
        is_exit=pl.Series(sent["is_reduce_only"] == 1),
        side=pl.Series([SIDE_NAMES[side] for side in sent["side"].tolist()], dtype=pl.String),
        limit_price=pl.Series(sent["price_ticks"] * listings["tick_price"][sent["listing_id"]]),
        lots=pl.Series(sent["lots"]),
        filled_lots=pl.Series(filled_lots),
        quantity=pl.Series(sent["lots"] * listings["lot_base"][sent["listing_id"]]),
        status=pl.Series(status, dtype=pl.String),
        cause_seq=pl.Series(sent["cause_seq"]),
    )


def fills(universe: Universe, log: Log) -> pl.DataFrame:
    """One row per fill, with its fee in the fee's own asset."""
    replies, rows = log.joined("replies"), log.joined("rows")
    is_fill = replies["kind"] == Kind.FILL
    replies, rows = replies[is_fill], rows[is_fill]
    listings, assets = universe.record[0]["listings"], universe.record[0]["assets"]
    price = rows["price_ticks"] * listings["tick_price"][replies["listing_id"]]
    quantity = rows["lots"] * listings["lot_base"][replies["listing_id"]]
    commands = log.joined("commands")
    order_rows = dict(zip(commands["order_id"].tolist(), range(len(commands)), strict=True))
    at = np.array([order_rows[order_id] for order_id in replies["order_id"].tolist()], np.int64)
    return _named(universe, replies["listing_id"], replies["ts_local_ns"]).with_columns(
        ts_venue=pl.Series(replies["ts_venue_ns"]).cast(NS),
        order_id=pl.Series(replies["order_id"]),
        intent_id=pl.Series(commands["intent_id"][at]),
        is_exit=pl.Series(commands["is_reduce_only"][at] == 1),
        side=pl.Series(np.where(replies["buy_count"] == 1, "buy", "sell")),
        price=pl.Series(price),
        lots=pl.Series(rows["lots"]),
        quantity=pl.Series(quantity),
        notional=pl.Series(price * quantity),
        fee=pl.Series(-replies["atoms"] * assets["atom"][replies["asset_id"]]),
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
        }
    )


def equity(log: Log) -> pl.DataFrame:
    rows = log.joined("equity")
    names = ("equity", "unrealised", "fees", "gross_exposure", "net_exposure", "open_count")
    columns = {name: pl.Series(np.ascontiguousarray(rows[name])) for name in names}
    return pl.DataFrame({"ts": pl.Series(rows["ts_ns"]).cast(NS), **columns})


def trades(fills_frame: pl.DataFrame) -> pl.DataFrame:
    """Round trips: the fills of one intent, entry against exit, in the quote currency."""
    if fills_frame.is_empty():
        return pl.DataFrame()
    entry, leave = ~pl.col("is_exit"), pl.col("is_exit")
    signed = pl.when(pl.col("side") == "buy").then(-pl.col("notional")).otherwise(pl.col("notional"))
    fee_quote = (
        pl.when(pl.col("fee_asset") == pl.col("group")).then(pl.col("fee") * pl.col("price")).otherwise(pl.col("fee"))
    )
    return (
        fills_frame.group_by("group", "intent_id")
        .agg(
            ts_entry=pl.col("ts").filter(entry).min(),
            ts_exit=pl.col("ts").filter(leave).max(),
            side=pl.col("side").filter(entry).first(),
            quantity=pl.col("quantity").filter(entry).sum(),
            exit_quantity=pl.col("quantity").filter(leave).sum(),
            entry_price=pl.col("notional").filter(entry).sum() / pl.col("quantity").filter(entry).sum(),
            exit_price=pl.col("notional").filter(leave).sum() / pl.col("quantity").filter(leave).sum(),
            gross=signed.sum(),
            fees=fee_quote.sum(),
            listings=pl.col("listing").cast(pl.String).unique().sort().str.join(", "),
        )
        .with_columns(
            is_closed=pl.col("ts_exit").is_not_null(),
            net=pl.col("gross") - pl.col("fees"),
        )
        .sort("ts_entry", "intent_id")
    )


def verdict_counts(trader: Any) -> dict[str, int]:
    counts = {VERDICT_NAMES.get(i, str(i)): int(n) for i, n in enumerate(trader["verdicts"]) if n}
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


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
    return {
        "orders": orders(universe, log),
        "fills": fills_frame,
        "trades": trades(fills_frame),
        "verdicts": evaluations(universe, log),
        "equity": equity(log),
    }
