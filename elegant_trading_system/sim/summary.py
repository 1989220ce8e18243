"""A run in one JSON object: what happened, what it earned and cost, and the digests that name it."""

from typing import Any

import numpy as np
import polars as pl

from ..core.jit import SOURCE_DIGEST
from ..core.kinds import CommandKind, Kind, ListingKind
from ..data.universe import Universe
from .prices import asset_prices, mid
from .session import Session, decisions_digest
from .tables import VERDICT_NAMES

Account = np.ndarray[Any, Any]


def summarise(
    session: Session, trades: pl.DataFrame, wall_s: float, params_digest: str, data_digest: str, k: int = 0
) -> dict[str, Any]:
    """`trades` are the run's round trips: what is open is what they have not closed."""
    trader, log = session.traders[k], session.logs[k]
    commands, replies = log.joined("commands"), log.joined("replies")
    prices = asset_prices(session)
    values = {
        name: money(session.universe, trader[f"{name}_atoms"], prices)
        for name in ("fill", "fee", "funding", "transfer")
    }
    equity = money(session.universe, trader["balances"], prices) + open_contracts(session, k)
    net = equity - values["transfer"]
    fees, funding, unrealised = 0.0 - values["fee"], values["funding"], float(trades["open_gain"].sum())
    return {
        "events": int(trader["seq"]),
        "wall_s": round(wall_s, 4),
        "orders": int((commands["kind"] == CommandKind.SEND).sum()),
        "fills": int((replies["kind"] == Kind.FILL).sum()),
        "round_trips": int(trader["round_trips"]),
        "lots": lots(trader["inventory"]),
        "fees": fees,
        "pnl": {
            "realised": net - unrealised + fees - funding,
            "unrealised": unrealised,
            "fees": fees,
            "funding": funding,
            "net": net,
        },
        "capital": values["transfer"],
        "equity_end": equity,
        "drawdown_max": float(trader["drawdown_max"]),
        "unknown_orders": int(trader["unknown_count"]),
        "refused_reports": int(trader["refused_reports"]),
        "refused_rows": int(session.market["refused_count"][0]),
        "crossed_books": int(session.market["books"]["crossed_count"].sum()),
        "verdicts": verdict_counts(trader),
        "ranges": ranges(session),
        "venues": venues(session, k),
        "assets": ledger(session, k),
        "digests": {
            "source": SOURCE_DIGEST,
            "params": params_digest,
            "data": data_digest,
            "decisions": decisions_digest(commands, trader),
        },
    }


def ranges(session: Session) -> dict[str, Any]:
    """Per traded group, in bps at the end: what a round trip costs, and the ATR of every bar length known."""
    record, lengths = session.universe.record[0], session.market_params[0]["bar_s"]
    answer: dict[str, Any] = {}
    for group_id, name in enumerate(session.universe.groups):
        if record["groups"][group_id]["is_traded"]:
            group = session.market[0]["groups"][group_id]
            known = [
                (int(length), bar) for length, bar in zip(lengths, group["bars"], strict=True) if bar["atr_ticks"] > 0
            ]
            atr_bps = {
                str(length): float(bar["atr_ticks"] / bar["previous_close_ticks"] * 1e4) for length, bar in known
            }
            answer[name] = {"round_trip_bps": float(group["round_trip_bps"]), "atr_bps": atr_bps}
    return answer


def verdict_counts(trader: Any) -> dict[str, int]:
    counts = {VERDICT_NAMES.get(i, str(i)): int(n) for i, n in enumerate(trader["verdicts"]) if n}
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def lots(inventory: Any) -> dict[str, int]:
    """sent = filled + expired + working, in each listing's own lots, summed."""
    return {
        "sent": int(inventory["sent_lots"].sum()),
        "filled": int(inventory["filled_lots"].sum()),
        "expired": int(inventory["expired_lots"].sum()),
        "working": int(inventory["working_buy_lots"].sum() + inventory["working_sell_lots"].sum()),
    }


def money(universe: Universe, atoms: Account, prices: list[float]) -> float:
    """A (venue, asset) table of atoms in the reporting currency."""
    record = universe.record[0]
    by_asset = atoms.sum(axis=0)
    return float(sum(int(by_asset[i]) * record["assets"][i]["atom"] * price for i, price in enumerate(prices)))


def open_contracts(session: Session, k: int) -> float:
    """Open profit of linear positions at the last mid, reporting currency; it is in no balance yet."""
    record, total = session.universe.record[0], 0.0
    for listing_id, listing in enumerate(record["listings"][: record["listing_count"]]):
        held = session.traders[k]["inventory"][listing_id]
        if listing["kind"] == ListingKind.LINEAR and held["held_atoms"] != 0:
            contracts = int(held["held_atoms"]) // int(listing["base_atoms_per_lot"])
            cost = int(held["open_cost"]) * float(listing["tick_price"])
            gain = (contracts * mid(session, listing_id) - cost) * float(listing["lot_base"])
            total += gain * float(listing["quote_rate"])
    return total


def venues(session: Session, k: int) -> dict[str, Any]:
    trader, universe = session.traders[k], session.universe
    prices = asset_prices(session)
    answer: dict[str, Any] = {}
    for venue_id, name in enumerate(universe.venues):
        ids = [i for i, spec in enumerate(universe.listings) if spec.venue == name]
        only = np.zeros_like(trader["fee_atoms"])
        only[venue_id] = trader["fee_atoms"][venue_id]
        answer[name] = {
            "packets": int(session.market[0]["venues"][venue_id]["packet_count"]),
            "lots": lots(trader["inventory"][ids]),
            "fees": 0.0 - money(universe, only, prices),
        }
    return answer


def ledger(session: Session, k: int) -> dict[str, Any]:
    """Per asset, in atoms as integers: balance = fills + fees + funding + transfers, exactly."""
    trader = session.traders[k]
    names = ("fill", "fee", "funding", "transfer")
    return {
        asset: {
            "decimals": session.universe.decimals[asset],
            **{name: int(trader[f"{name}_atoms"][:, i].sum()) for name in names},
            "balance": int(trader["balances"][:, i].sum()),
            "dust": int(trader["dust_atoms"][:, i].sum()),
        }
        for i, asset in enumerate(session.universe.assets)
    }
