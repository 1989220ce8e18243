"""A tiny run folder, written by hand: what a backtest leaves behind, small enough to add up on paper."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from elegant_trading_system.config_sources import load
from elegant_trading_system.core.schema import SCHEMA_VERSION
from elegant_trading_system.sim.trips import round_trips

STATES = ("is_volatile", "is_stressed", "is_iv_known", "is_uneconomic")
BEGIN = datetime(2025, 1, 31, 12, tzinfo=UTC)
NS = pl.Datetime("ns", "UTC")
SECONDS = 200


def stamp(second: float) -> datetime:
    return BEGIN + timedelta(seconds=second)


def ns(second: float) -> int:
    return int(stamp(second).timestamp()) * 1_000_000_000


def listing(symbol: str = "BTC/USDT") -> dict[str, Any]:
    return {
        "venue": "binance", "symbol": symbol, "kind": "spot", "base": symbol.partition("/")[0], "quote": "USDT",
        "settle": "USDT", "tick_size": "0.01", "lot_size": "0.001", "contract_quote": "0", "lots_min": 1,
        "notional_min": "5", "reference": "",
    }  # fmt: skip


def fills(group: str) -> pl.DataFrame:
    """A long that loses 10 + 2 of fees, the buy's fee in coins; a short that gains 20 - 2."""
    name = f"binance {group}/USDT"
    rows = [  # second, intent, exit, side, price, quantity, fee, fee asset
        (50.0, 1, False, "buy", 1000.0, 1.0, 0.001, group),
        (60.0, 1, True, "sell", 991.0, 0.999, 0.999, "USDT"),
        (80.0, 2, False, "sell", 1000.0, 1.0, 1.0, "USDT"),
        (99.0, 2, True, "buy", 980.0, 1.0, 1.0, "USDT"),
    ]
    return pl.DataFrame(
        [
            {
                "ts": stamp(at), "listing": name, "venue": "binance", "group": group, "ts_venue": stamp(at),
                "order_id": i, "intent_id": intent, "is_exit": is_exit, "side": side, "price": price,
                "lots": round(quantity * 1000), "quantity": quantity, "notional": price * quantity, "fee": fee,
                "fee_asset": asset,
            }
            for i, (at, intent, is_exit, side, price, quantity, fee, asset) in enumerate(rows, 1)
        ]
    ).cast({"ts": NS, "ts_venue": NS})  # fmt: skip


def orders(group: str) -> pl.DataFrame:
    """Each order filled whole, half a second after it was decided; the mids stood 1 better than the fills."""
    columns = ("ts", "venue", "group", "order_id", "intent_id", "is_exit", "side", "lots")
    direction = pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0)
    return (
        fills(group)
        .with_columns(
            exit_reason=pl.Series(["", "stop", "", "target"]),
            wave=pl.lit(0),
            mid_price=pl.col("price") - direction,
            touch_price=pl.col("price"),
            shadow_bps=pl.lit(0.25),
            risk_quote=pl.when(pl.col("is_exit")).then(0.0).otherwise(10.0),
            filled_quantity=pl.col("quantity"),
            fill_price=pl.col("price"),
        )
        .with_columns(slippage_bps=direction * (pl.col("fill_price") / pl.col("mid_price") - 1.0) * 1e4)
        .select(
            *columns,
            "wave",
            "exit_reason",
            "mid_price",
            "touch_price",
            "shadow_bps",
            "risk_quote",
            "filled_quantity",
            "fill_price",
            "slippage_bps",
        )
        .with_columns((pl.col("ts") - pl.duration(milliseconds=500)).cast(NS))
    )


def trades(
    fills_frame: pl.DataFrame, orders_frame: pl.DataFrame, group: str = "BTC", price: float = 1000.0
) -> pl.DataFrame:
    """The round trips a backtest would write, the last price as given."""
    marks = pl.DataFrame({"listing": [f"binance {group}/USDT"], "lot": [0.001], "mark_price": [price]})
    return round_trips(fills_frame, orders_frame, marks)


def verdicts(group: str, verdict: str = "STRENGTH_LOW", spike: float = 0.0) -> pl.DataFrame:
    rows = range(SECONDS)
    mids = [1000.0 + spike * (second == 77) for second in rows]
    return pl.DataFrame(
        {
            "ts": [stamp(second) for second in rows], "group": [group] * SECONDS, "side": [1] * SECONDS,
            "verdict": [verdict] * SECONDS, "is_sample": [True] * SECONDS, "log_ratio": [0.1] * SECONDS,
            "velocity": [-1.0] * 100 + [1.1] * 100, "tightness": [-1.0] * 100 + [1.0] * 100, "vwap_gap": [0.0] * SECONDS,
            "strength": [0.0] * 100 + [1.2] * 100, "mid_price": mids, "atr_price": [0.0] * SECONDS,
            "regime": ["NEUTRAL"] * SECONDS, **{name: [False] * SECONDS for name in STATES},
            "bar_s": [60.0] * SECONDS, "adx": [18.0] * SECONDS, "flow": [0.0] * SECONDS,
        }
    ).cast({"regime": pl.Categorical, "ts": NS, "group": pl.Categorical, "verdict": pl.Categorical})  # fmt: skip


def equity() -> pl.DataFrame:
    values = [100_000.0] * 60 + [99_989.01] * 40 + [100_007.01] * 100
    nothing = [0.0] * SECONDS
    return pl.DataFrame(
        {"ts": [stamp(second) for second in range(SECONDS)], "equity": values, "unrealised": nothing, "fees": nothing,
         "gross_exposure": nothing, "net_exposure": nothing, "open_count": [0] * SECONDS}
    ).cast({"ts": NS})  # fmt: skip


def summary(*, is_cold: bool) -> dict[str, Any]:
    pnl = {"realised": 11.009, "unrealised": 0.0, "fees": 3.999, "funding": 0.0, "net": 7.01}
    verdicts_given = {"STRENGTH_LOW": 1990, "APPROVED": 2, "EXIT_STOP": 1, "EXIT_TARGET": 1}
    lots = {"sent": 4000, "filled": 3999, "expired": 1, "working": 0}
    coin = {"decimals": 3, "fill": 1, "fee": -1, "funding": 0, "transfer": 0, "balance": 0, "dust": 0}
    money = {
        "decimals": 4,
        "fill": 100_090,
        "fee": -29_990,
        "funding": 0,
        "transfer": 1_000_000_000,
        "balance": 1_000_070_100,
    }
    return {
        "events": 1000, "wall_s": 1.0, "orders": 0 if is_cold else 4, "fills": 0 if is_cold else 4,
        "round_trips": 0 if is_cold else 2, "lots": dict.fromkeys(lots, 0) if is_cold else lots,
        "fees": 0.0 if is_cold else pnl["fees"], "pnl": dict.fromkeys(pnl, -0.0) if is_cold else pnl,
        "capital": 100_000.0, "equity_end": 100_007.01, "drawdown_max": 0.00012,
        "verdicts": {"WARMUP_VELOCITY": 1999, "BOOK_NOT_LIVE": 1} if is_cold else verdicts_given,
        "venues": {"binance": {"packets": 1000, "lots": lots, "fees": pnl["fees"]}},
        "assets": {"USDT": {**money, "dust": 0}, "BTC": coin},
        "digests": {name: name[0] * 64 for name in ("source", "params", "data", "decisions")},
    }  # fmt: skip


def write(folder: Path, source: str = "binance-capture", group: str = "BTC", *, is_cold: bool = False) -> Path:
    """A run of 200 seconds, either with two round trips or with none, as `ets backtest` would leave it."""
    folder.mkdir(parents=True, exist_ok=True)
    verdict = "WARMUP_VELOCITY" if is_cold else "STRENGTH_LOW"
    tables = {
        "fills": fills(group).clear() if is_cold else fills(group),
        "orders": orders(group).clear() if is_cold else orders(group),
        "trades": trades(fills(group), orders(group), group).clear()
        if is_cold
        else trades(fills(group), orders(group), group),
        "verdicts": verdicts(group, verdict),
        "equity": equity(),
    }
    for name, frame in tables.items():
        frame.write_parquet(folder / f"{name}.parquet")
    (folder / "manifest.json").write_text(json.dumps(manifest(source, group, is_cold=is_cold)), encoding="utf-8")
    return folder


def manifest(source: str, group: str, *, is_cold: bool) -> dict[str, Any]:
    config = load([], [])
    spec = listing(f"{group}/USDT")
    name = f"binance {group}/USDT"
    return {
        "version": "0.1.0", "schema_version": SCHEMA_VERSION, "created": "2025-02-01T00:00:00+00:00",
        "config": config.values(), "origins": {"signal.strength_min": "--set", "risk.base_risk": "default"},
        "listings": [spec], "sources": [source], "start_ns": None, "end_ns": None,
        "tapes": [{"folder": f"catalog/{ns(0)}_{ns(SECONDS)}", "listing": name, "digest": "d" * 64}],
        "first_ns": ns(0), "last_ns": ns(SECONDS),
        "quality": {name: {"depth_packets": 10, "trades": 20, "sequence_gaps": 3, "clock_offset_ns": -1_276_643_660}},
        "summary": summary(is_cold=is_cold),
    }  # fmt: skip
