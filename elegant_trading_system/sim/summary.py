"""A run in one JSON object: what happened, what it earned and cost, and the digests that name it."""

from typing import Any

import numpy as np

from ..core.jit import SOURCE_DIGEST
from ..core.schema import CommandKind, Kind
from ..data.universe import Universe
from .session import Session, decisions_digest
from .tables import verdict_counts

Account = np.ndarray[Any, Any]


def summarise(session: Session, wall_s: float, params_digest: str, data_digest: str, k: int = 0) -> dict[str, Any]:
    trader, log = session.traders[k], session.logs[k]
    commands, replies = log.joined("commands"), log.joined("replies")
    prices = asset_prices(session)
    values = {
        name: money(session.universe, trader[f"{name}_atoms"], prices)
        for name in ("fill", "fee", "funding", "transfer")
    }
    net = float(trader["equity"]) - values["transfer"]
    fees, funding, unrealised = 0.0 - values["fee"], values["funding"], float(trader["unrealised"])
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
        "equity_end": float(trader["equity"]),
        "drawdown_max": float(trader["drawdown_max"]),
        "unknown_orders": int(trader["unknown_count"]),
        "refused_reports": int(trader["refused_reports"]),
        "refused_rows": int(session.market["refused_count"][0]),
        "crossed_books": int(session.market["books"]["crossed_count"].sum()),
        "verdicts": verdict_counts(trader),
        "venues": venues(session, k),
        "assets": ledger(session, k),
        "digests": {
            "source": SOURCE_DIGEST,
            "params": params_digest,
            "data": data_digest,
            "decisions": decisions_digest(commands, trader),
        },
    }


def lots(inventory: Any) -> dict[str, int]:
    """sent = filled + expired + working, in each listing's own lots, summed."""
    return {
        "sent": int(inventory["sent_lots"].sum()),
        "filled": int(inventory["filled_lots"].sum()),
        "expired": int(inventory["expired_lots"].sum()),
        "working": int(inventory["working_buy_lots"].sum() + inventory["working_sell_lots"].sum()),
    }


def asset_prices(session: Session) -> list[float]:
    """Reporting currency per unit of each asset: a quote's rate, else its reference listing's last mid."""
    record = session.universe.record[0]
    prices = []
    for asset_id in range(record["asset_count"]):
        price = float(record["assets"][asset_id]["rate"])
        for group_id in range(record["group_count"]):
            group = record["groups"][group_id]
            if price == 0.0 and group["base_id"] == asset_id:
                listing = record["listings"][group["reference_id"]]
                best = session.market[0]["books"][group["reference_id"]]["best_x"]
                price = 0.5 * float(best[0] - best[1]) * float(listing["tick_price"] * listing["quote_rate"])
        prices.append(price)
    return prices


def money(universe: Universe, atoms: Account, prices: list[float]) -> float:
    """A (venue, asset) table of atoms in the reporting currency."""
    record = universe.record[0]
    by_asset = atoms.sum(axis=0)
    return float(sum(int(by_asset[i]) * record["assets"][i]["atom"] * price for i, price in enumerate(prices)))


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
