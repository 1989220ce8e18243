"""Round trips: what one intent bought, sold, paid and risked, and what of it is left.

Money is in quote; every quote we trade counts as the reporting currency. Over a run, exactly:
sum of `net` + sum of `dust_gain` + funding = net of the summary.
"""

import polars as pl

KEY = ["group", "intent_id"]
WHOLE = 6  # decimals of a lot below which what is left is noise of floating point


def round_trips(fills: pl.DataFrame, orders: pl.DataFrame, marks: pl.DataFrame) -> pl.DataFrame:
    """One row per intent that filled, from the tables of `tables.py` and the last prices (`summary.marks`).

    Closed: an exit filled, and no listing holds a whole lot of it any more. What is left of a closed trip is dust and
    counts at the exit price (`dust_gain` is what it did since); of an open one, at the last price. A fee taken in the
    coin bought counts once: the coins are missing from what is left, and priced as that is in `fees`.
    """
    trips = _summed(fills, marks).join(_decided(orders), on="intent_id", how="left")
    return _priced(trips).sort("ts_entry", "intent_id")


# --- what happened ----------------------------------------------------------------------------------------
def _summed(fills: pl.DataFrame, marks: pl.DataFrame) -> pl.DataFrame:
    """Per trip: quantities, cash and fees, and what is left, first per listing because lots and prices are its own."""
    entry, leave = ~pl.col("is_exit"), pl.col("is_exit")
    is_base_fee = pl.col("fee_asset") == pl.col("group")
    signed = _sign() * pl.col("quantity")
    by_listing = (
        fills.with_columns(pl.col("listing").cast(pl.String))
        .group_by(*KEY, "listing")
        .agg(
            ts_entry=pl.col("ts").filter(entry).min(),
            ts_exit=pl.col("ts").filter(leave).max(),
            side=pl.col("side").filter(entry).first(),
            quantity=pl.col("quantity").filter(entry).sum(),
            exit_quantity=pl.col("quantity").filter(leave).sum(),
            entry_quote=pl.col("notional").filter(entry).sum(),
            exit_quote=pl.col("notional").filter(leave).sum(),
            cash=-(_sign() * pl.col("notional")).sum(),
            quote_fee=pl.col("fee").filter(~is_base_fee).sum(),
            base_fee=pl.col("fee").filter(is_base_fee).sum(),
            held=signed.sum(),
        )
        .join(marks, on="listing", how="left")
        .with_columns(left_lots=((pl.col("held") - pl.col("base_fee")) / pl.col("lot")).round(WHOLE))
        .with_columns(left=pl.col("left_lots") * pl.col("lot"))
    )
    names = ("quantity", "exit_quantity", "entry_quote", "exit_quote", "cash", "quote_fee", "base_fee", "left")
    return by_listing.group_by(KEY).agg(
        pl.col("ts_entry").min(),
        pl.col("ts_exit").max(),
        pl.col("side").drop_nulls().first(),
        *(pl.col(name).sum() for name in names),
        is_closed=pl.col("ts_exit").is_not_null().any() & (pl.col("left_lots").abs() < 1.0).all(),
        left_at_mark=(pl.col("left") * pl.col("mark_price")).sum(),
        base_fee_at_mark=(pl.col("base_fee") * pl.col("mark_price")).sum(),
        listings=pl.col("listing").sort().str.join(", "),
    )


def _sign() -> pl.Expr:
    return pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0)


# --- what was decided -------------------------------------------------------------------------------------
def _decided(orders: pl.DataFrame) -> pl.DataFrame:
    """Per trip, what its orders recorded: when, why, at what risk, and the mids their fills are measured from."""
    entry, leave = ~pl.col("is_exit"), pl.col("is_exit")
    return orders.group_by("intent_id").agg(
        ts_decided=pl.col("ts").filter(entry).min(),
        exit_reason=pl.col("exit_reason").filter(leave & (pl.col("exit_reason") != "")).last().fill_null(""),
        risk_quote=pl.col("risk_quote").max(),
        mid_entry=_mean_mid(entry),
        mid_exit=_mean_mid(leave),
        slippage=_slippage(pl.col("filled_quantity") > 0.0),
    )


def _mean_mid(part: pl.Expr) -> pl.Expr:
    """Mid at the decisions, weighted by what they filled; unknown if one of them is."""
    taken = part & (pl.col("filled_quantity") > 0.0)
    mids, weights = pl.col("mid_price").filter(taken), pl.col("filled_quantity").filter(taken)
    return pl.when((mids.null_count() == 0) & (weights.len() > 0)).then((mids * weights).sum() / weights.sum())


def _slippage(taken: pl.Expr) -> pl.Expr:
    """What the fills cost against those mids, in quote; unknown if one of them is."""
    paid = _sign() * (pl.col("fill_price") - pl.col("mid_price")) * pl.col("filled_quantity")
    return pl.when(pl.col("mid_price").filter(taken).null_count() == 0).then(paid.filter(taken).sum())


# --- what it earned ---------------------------------------------------------------------------------------
def _priced(trips: pl.DataFrame) -> pl.DataFrame:
    is_closed, left = pl.col("is_closed"), pl.col("left")
    entry_price, exit_price = (
        pl.col("entry_quote") / pl.col("quantity"),
        pl.when(pl.col("exit_quantity") > 0.0).then(pl.col("exit_quote") / pl.col("exit_quantity")),
    )
    at_exit = pl.when(is_closed).then(left * exit_price).otherwise(pl.col("left_at_mark"))
    fee_at_exit = pl.when(is_closed).then(pl.col("base_fee") * exit_price).otherwise(pl.col("base_fee_at_mark"))
    return (
        trips.with_columns(
            entry_price=entry_price,
            exit_price=exit_price,
            hold_s=(pl.col("ts_exit") - pl.col("ts_entry")).dt.total_nanoseconds() / 1e9,
            fees=pl.col("quote_fee") + fee_at_exit,
            net=pl.col("cash") - pl.col("quote_fee") + at_exit,
            dust_gain=pl.when(is_closed).then(pl.col("left_at_mark") - at_exit).otherwise(0.0),
            open_gain=pl.when(is_closed).then(0.0).otherwise(pl.col("left_at_mark") - left * entry_price),
        )
        .with_columns(
            gross=pl.col("net") + pl.col("fees"),
            net_bps=pl.col("net") / pl.col("entry_quote") * 1e4,
            slippage_bps=pl.col("slippage") / pl.col("entry_quote") * 1e4,
            r_multiple=pl.when(pl.col("risk_quote") > 0.0).then(pl.col("net") / pl.col("risk_quote")),
        )
        .drop("cash", "quote_fee", "base_fee", "left_at_mark", "base_fee_at_mark")
    )
