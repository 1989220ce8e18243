"""What things are worth at the end of a run: the last prices, as the engine itself marks."""

import polars as pl

from ..core.kinds import ListingKind
from ..core.schema import NO_X
from .session import Session


def mid(session: Session, listing_id: int) -> float:
    """Middle of the touch in quote; while a side is empty the last one, 0 when there was none."""
    book = session.market[0]["books"][listing_id]
    best = book["best_x"]
    twice = float(book["last_mid_x2_ticks"]) if NO_X in best.tolist() else float(best[0] - best[1])
    return 0.5 * twice * float(session.universe.record[0]["listings"][listing_id]["tick_price"])


def asset_prices(session: Session) -> list[float]:
    """Reporting currency per unit of each asset: a quote's rate, else its reference listing's last mid."""
    record = session.universe.record[0]
    prices = [float(asset["rate"]) for asset in record["assets"][: record["asset_count"]]]
    for group in record["groups"][: record["group_count"]]:
        if prices[group["base_id"]] == 0.0:
            reference = record["listings"][group["reference_id"]]
            prices[group["base_id"]] = mid(session, int(group["reference_id"])) * float(reference["quote_rate"])
    return prices


def marks(session: Session) -> pl.DataFrame:
    """Per listing: base units of a lot, and the price a unit still held counts at; contracts at their own mid."""
    record, specs = session.universe.record[0], session.universe.listings
    prices = asset_prices(session)
    rows = record["listings"][: len(specs)]
    return pl.DataFrame(
        {
            "listing": [spec.name for spec in specs],
            "lot": [float(row["lot_base"]) for row in rows],
            "mark_price": [
                mid(session, i) if row["kind"] == ListingKind.LINEAR else prices[row["base_id"]]
                for i, row in enumerate(rows)
            ],
        },
        schema={"listing": pl.String, "lot": pl.Float64, "mark_price": pl.Float64},
    )
