"""`ets why`: from the packet to the fill, or to the verdict that stopped it. Everything is a look-up in the run."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from ..core.kinds import Kind
from ..errors import ExitCode, UserError
from ..sim.replay import events_of, read_manifest
from .report_run import Run
from .report_words import explanation

ROWS_SHOWN = 10
FILTERS = {
    "PERSISTENCE_LOW": "persistence", "VENUES_DISAGREE": "venues", "FLOW_DISAGREES": "flow", "FLICKER": "flicker",
}  # fmt: skip
AFTER_FILTERS = {
    "APPROVED", "ORDER_RATE", "CLUSTER_LIMIT", "MAX_POSITIONS", "NO_VENUE", "SHORT_UNAVAILABLE", "EQUITY_SPENT",
    "SIZE_ZERO", "BELOW_MIN_NOTIONAL", "HEAT_LIMIT", "LEVERAGE_LIMIT", "LIQUIDATION_NEAR", "VENUE_LEVERAGE_LIMIT", "VOLUME_LIMIT",
    "DEPTH_LIMIT", "INSUFFICIENT_BALANCE", "COST_GATE", "UNECONOMIC",
}  # fmt: skip
NO_GAP = 9.0  # what the engine keeps while there is no VWAP; it keeps -1 while it knows no velocity or tightness
Answer = dict[str, Any]


# --- an order -----------------------------------------------------------------------------------------------------
def why_order(folder: Path, order_id: int) -> Answer:
    """Packet, signal, intent, its orders and fills, and how it ended; UserError for an order that was never sent."""
    run = Run.read(folder)
    orders = run.table("orders")
    if orders.is_empty() or order_id not in orders["order_id"]:
        known = f"orders 1 to {max(orders['order_id'].to_list())}" if len(orders) else "it sent none"
        raise UserError(f"{folder} has no order {order_id}", known, ExitCode.USAGE)
    [order] = orders.filter(pl.col("order_id") == order_id).to_dicts()
    entry = orders.filter((pl.col("intent_id") == order["intent_id"]) & ~pl.col("is_exit")).to_dicts()
    signal = _evaluation(run, order["group"], entry[0]["ts"]) if entry else None
    fills = run.table("fills").filter(_same(order))
    return {
        "packet": packet_of(folder, int(order["cause_seq"])),
        "signal": signal and _explained(run, signal),
        "intent": _intent(run, entry[0], signal) if entry and signal else None,
        "order": _plain(order),
        "orders_of_the_intent": [_plain(row) for row in orders.filter(_same(order)).to_dicts()],
        "fills": [_plain(row) for row in fills.filter(pl.col("order_id") == order_id).to_dicts()],
        "fills_of_the_intent": [_plain(row) for row in fills.to_dicts()],
        "round_trip": [_plain(row) for row in _trips(run).filter(_same(order)).to_dicts()],
    }


def _same(order: Answer) -> pl.Expr:
    of_the_intent: pl.Expr = pl.col("intent_id") == order["intent_id"]
    return of_the_intent


def _trips(run: Run) -> pl.DataFrame:
    return run.trades if not run.trades.is_empty() else pl.DataFrame({"intent_id": pl.Series([], dtype=pl.Int64)})


def packet_of(folder: Path, seq: int) -> Answer:
    """The event behind a decision: a market packet from its tape, or a report from the journal."""
    manifest = read_manifest(folder)
    universe, parts = events_of(folder, manifest)
    first = 0
    for packets, levels in parts:
        if seq < first + len(packets):
            packet = packets[seq - first]
            begin, buys = int(packet["level_begin"]), int(packet["buy_count"])
            rows = levels[begin : begin + buys + int(packet["sell_count"])].tolist()
            listing = universe.listings[int(packet["listing_id"])]
            return {
                "seq": seq,
                "ts": _moment(int(packet["ts_local_ns"])),
                "ts_venue": _moment(int(packet["ts_venue_ns"])),
                "listing": universe.listing_name(int(packet["listing_id"])),
                "kind": Kind(int(packet["kind"])).name,
                "tick_size": str(listing.tick_size),
                "lot_size": str(listing.lot_size),
                "buy_rows": rows[:buys][:ROWS_SHOWN],
                "sell_rows": rows[buys:][:ROWS_SHOWN],
            }
        first += len(packets)
    raise UserError(f"{folder} has no event {seq}", f"it has {first:,}", ExitCode.USAGE)


# --- a moment -----------------------------------------------------------------------------------------------------
def why_at(folder: Path, ts_ns: int, group: str = "") -> Answer:
    """What every group's last evaluation until then said; UserError outside the run or for an unknown group."""
    run = Run.read(folder)
    if group and group not in run.groups:
        raise UserError(f"{folder} has no group {group}", f"there are: {', '.join(run.groups)}", ExitCode.USAGE)
    first, last = run.span_ns
    if not first <= ts_ns <= last:
        raise UserError(f"{_moment(ts_ns)} is outside the run", f"{_moment(first)} to {_moment(last)}", ExitCode.USAGE)
    answer: Answer = {}
    for name in [group] if group else run.groups:
        row = _evaluation(run, name, datetime.fromtimestamp(ts_ns / 1e9, UTC))
        if row is not None:
            answer[name] = _explained(run, row)
    if not answer:
        raise UserError(f"nothing was evaluated before {_moment(ts_ns)}", "ask for a later moment", ExitCode.USAGE)
    return answer


def _evaluation(run: Run, group: str, ts: datetime) -> Answer | None:
    """The last kept evaluation at or before a moment."""
    frame = run.evaluations(group)
    if frame.is_empty():
        return None
    rows = frame.filter(pl.col("ts") <= pl.lit(ts).cast(frame["ts"].dtype)).tail(1).to_dicts()
    return rows[0] if rows else None


def _explained(run: Run, row: Answer) -> Answer:
    """An evaluation with its gates, in the order they are asked; the first that fails is the verdict."""
    signal, verdict = run.config["signal"], str(row["verdict"])
    threshold = float(signal["strength_min"])
    if row["is_volatile"]:
        threshold = max(threshold, float(run.config["regimes"]["volatile"]["strength_min"]))
    ratio = math.exp(abs(float(row["log_ratio"])))
    gates = [
        ("strength", float(row["strength"]), ">", threshold, row["strength"] > threshold),
        ("velocity", row["velocity"], ">", signal["velocity_min"], row["velocity"] > signal["velocity_min"]),
        ("imbalance", ratio, ">=", signal["imbalance_min"], ratio >= signal["imbalance_min"]),
        ("vwap_gap", row["vwap_gap"], "within", signal["vwap_gap_max"], abs(row["vwap_gap"]) <= signal["vwap_gap_max"]),
    ]
    known = {
        "velocity": row["velocity"] >= 0.0,
        "tightness": row["tightness"] >= 0.0,
        "vwap_gap": row["vwap_gap"] < NO_GAP,
    }
    unknown = {name: None for name, is_known in known.items() if not is_known}
    gates = [(name, unknown.get(name, value), *rest) for name, value, *rest in gates]
    return {
        **_plain(row),
        **unknown,
        "gates": [dict(zip(("name", "value", "must_be", "limit", "passes"), gate, strict=True)) for gate in gates],
        "filters": filters_of(run, verdict),
        "meaning": explanation(verdict),
    }


def filters_of(run: Run, verdict: str) -> list[Answer]:
    """Each filter that is on, in the order they are asked; `passes` is None where an earlier refusal came first."""
    config = run.config["filters"]
    wants = {
        "PERSISTENCE_LOW": config["persistence_min"]
        and f"strong in {config['persistence_min']} of the last {config['persistence_s']} seconds",
        "VENUES_DISAGREE": config["venues_min"] > 1
        and f"{config['venues_min']} venues lean the same way, where as many are fresh",
        "FLOW_DISAGREES": config["flow_agreement"] and "order flow runs the same way",
        "FLICKER": config["flicker_max"] and f"at most {config['flicker_max']:g} times the displayed depth cancelled",
    }
    order = list(wants)
    is_asked = verdict in wants or verdict in AFTER_FILTERS
    at = order.index(verdict) if verdict in wants else len(order)
    return [
        {"name": FILTERS[name], "wants": want, "passes": (k < at if k <= at else None) if is_asked else None}
        for k, (name, want) in enumerate(wants.items())
        if want
    ]


def _intent(run: Run, entry: Answer, signal: Answer) -> Answer:
    """How the size came about: capital, risk, range and multipliers (SCIENCE 1.7)."""
    risk, regimes = run.config["risk"], run.config["regimes"]
    row = regimes[str(signal["regime"]).lower()]
    return {
        "capital": run.config["account"]["capital"],
        "base_risk": risk["base_risk"],
        "atr_price": signal["atr_price"],
        "regime": signal["regime"],
        "regime_size": row["size"],
        "volatile_size": regimes["volatile"]["size"] if signal["is_volatile"] else 1.0,
        "stress_size": run.config["stress"]["size"] if signal["is_stressed"] else 1.0,
        "volatility_warmup_size": 1.0 if signal["is_iv_known"] else run.config["volatility"]["warmup_size"],
        "stop_atr": row["stop_atr"],
        "risk_quote": entry["risk_quote"],
        "edge_bps": entry["edge_bps"],
        "shadow_bps": entry["shadow_bps"],
    }


# --- plain values -------------------------------------------------------------------------------------------------
def _plain(row: Answer) -> Answer:
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in row.items()}


def _moment(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns / 1e9, UTC).isoformat(timespec="microseconds")
