"""The sections an accountant and an engineer read: costs, ledger, data quality."""

from typing import Any

import polars as pl

from ..sim.rebalancing import in_words
from .report_html import DASH, bounds, decimal, duration, number, paragraph, plural, section, share_of, table
from .report_run import NS, Run
from .report_stats import UNKNOWN, Interval, mean_interval
from .report_targets import break_even

MS = 1_000_000
OFFSET_MS_MAX = 100  # a clock further off than this is pointed at
CENT = 0.005
EARLY_S = 30  # a tape that ends this much before the others is pointed at
PARTS = ("fill", "fee", "funding", "transfer")


# --- costs --------------------------------------------------------------------------------------------------
def costs(run: Run) -> str:
    if not run.summary["orders"]:
        return section("costs", "Costs and orders", paragraph("No order was sent: nothing was paid."), _venues(run))
    words = break_even(run)
    parts = [paragraph(words) if words else "", slippage(run), _venues(run), _fees(run)]
    return section("costs", "Costs and orders", *parts)


def slippage(run: Run) -> str:
    """Spread, latency and depth together, against the mids the orders were decided on."""
    known = run.closed["slippage_bps"].drop_nulls() if not run.closed.is_empty() else pl.Series([], dtype=pl.Float64)
    if known.is_empty():
        return paragraph("Spread and slippage: not known, the orders recorded no mid.", "soft")
    found = mean_interval(known.to_numpy())
    text = (
        f"Spread, latency and depth cost {number(found.value, 1)} bps a round trip, 95 % {bounds(found, 1)}, n {found.n:,}: "
        "what the fills paid against the mid of their own listing when each order was decided."
    )
    return paragraph(text)


def _venues(run: Run) -> str:
    rows = []
    for name, venue in run.summary["venues"].items():
        lots = venue["lots"]
        is_balanced = lots["sent"] == lots["filled"] + lots["expired"] + lots["working"]
        cost = _venue_slippage(run, name)
        rows.append(
            (name, f"{venue['packets']:,}", *(f"{lots[key]:,}" for key in ("sent", "filled", "expired", "working")),
             share_of(lots["filled"], lots["sent"]), _tick(is_balanced), number(float(venue["fees"])),
             number(cost.value, 2), bounds(cost, 2) if cost.n else "")
        )  # fmt: skip
    head = ["venue", "packets", "lots sent", "filled", "expired", "working", "filled share", "adds up", f"fees, {run.currency}",
            "slippage an order, bps", "95 %"]  # fmt: skip
    return f"<h3>By venue</h3>{table(head, rows)}"


def _venue_slippage(run: Run, venue: str) -> Interval:
    """Mean over the orders that filled, in bps of price; positive is a cost."""
    orders = run.table("orders")
    if orders.is_empty():
        return UNKNOWN
    mine = orders.filter(pl.col("venue").cast(pl.String) == venue)
    return mean_interval(mine["slippage_bps"].drop_nulls().to_numpy())


def _fees(run: Run) -> str:
    fills = run.table("fills")
    if fills.is_empty():
        return ""
    by = fills.group_by(pl.col("venue").cast(pl.String), "fee_asset").agg(
        fee=pl.col("fee").sum(), notional=pl.col("notional").sum(), fills=pl.len()
    )
    rows = [
        (
            row["venue"],
            row["fee_asset"],
            f"{row['fills']:,}",
            number(row["notional"]),
            f"{row['fee']:,.8f}".rstrip("0").rstrip("."),
        )
        for row in by.sort("venue", "fee_asset").iter_rows(named=True)
    ]
    return (
        f"<h3>Fees in their own asset</h3>{table(['venue', 'paid in', 'fills', 'notional', 'fee'], rows, text=(0, 1))}"
    )


# --- ledger -------------------------------------------------------------------------------------------------
def ledger(run: Run) -> str:
    """Integers from the run, added here again: the balance must come out to the last atom."""
    rows, dust = [], []
    for asset, entry in run.summary["assets"].items():
        places = int(entry["decimals"])
        is_exact = sum(int(entry[name]) for name in PARTS) == int(entry["balance"])
        amounts = [decimal(int(entry[name]), places) for name in (*PARTS, "balance")]
        rows.append((asset, *amounts, _tick(is_exact)))
        if entry["dust"]:
            dust.append(f"{decimal(int(entry['dust']), places)} {asset}")
    words = (
        "Fills + fees + funding + transfers = balance, in whole atoms: nothing is rounded on this page or before it."
    )
    named = f"Dust (left over, smaller than a lot, part of the balance): {', '.join(dust)}." if dust else "No dust."
    head = ["asset", "fills", "fees", "funding", "transfers", "balance", "exact"]
    return section(
        "ledger",
        "Ledger",
        paragraph(words, "soft"),
        table(head, rows),
        paragraph(named),
        _from_trades(run),
        _transfers(run),
    )


def _transfers(run: Run) -> str:
    """What a live run proposes to move between its accounts, so that the router finds money where it wants it."""
    if "transfers" not in run.summary:
        return ""
    rows = [
        (name, row["free"], row["in_positions"], row["wanted"], row["refused_intents"])
        for name, row in run.summary["accounts"].items()
    ]
    words = in_words(run.summary["transfers"]) or ["none: money is where it is wanted"]
    head = ["account", "free", "in positions", "largest positions", "intents without balance"]
    told = paragraph(f"Transfers proposed; nothing moves by itself. {'. '.join(words)}.")
    return table(head, rows) + told


def _from_trades(run: Run) -> str:
    """The round trips, added up, must give the net that the ledger gives."""
    trades = run.trades
    if trades.is_empty():
        return ""
    still = trades.filter(~pl.col("is_closed"))
    amounts = [
        (f"{plural(len(run.closed), 'closed round trip')}, net", float(run.closed["net"].sum())),
        (f"{plural(len(still), 'open position')}, net at the last prices", float(still["net"].sum())),
        ("dust, what its price did since the exits", float(trades["dust_gain"].sum())),
        ("funding", run.pnl["funding"]),
    ]
    total = sum(amount for _, amount in amounts)
    is_exact = abs(total - run.pnl["net"]) < CENT
    rows: list[tuple[object, ...]] = [(text, number(amount), "") for text, amount in amounts]
    rows.append(("net of the run", number(run.pnl["net"]), _tick(is_exact)))
    return f"<h3>From trades to net</h3>{table(['', run.currency, 'to the cent'], rows)}"


def _tick(is_true: bool) -> tuple[str, str]:
    return ("\u2713", "good") if is_true else ("\u2717 differs", "bad")


# --- data quality ---------------------------------------------------------------------------------------------
def quality(run: Run) -> str:
    """What the importer counted per listing; orange is worth a look."""
    spans = run.tape_spans()
    end = max((last for _, last in spans.values()), default=0)
    rows = [_quality_row(run, name, entry, spans.get(name), end) for name, entry in run.manifest["quality"].items()]
    head = ["listing", "recorded", "early by", "depth", "trades", "gaps", "id gaps", "crossed",
            "clock, ms", "p50, ms", "p99, ms", "silence, ms"]  # fmt: skip
    words = (
        "Counted when the tape was made, never mended in silence. Early by: how long before the others the recording ends. Clock: what "
        "was added to the venue's stamps. p50 and p99: latency from the corrected stamp to our receipt. Silence: the longest."
    )
    return section(
        "quality", "Data quality", paragraph(words, "soft"), table(head, rows, text=()), _early(run, spans, end)
    )


def _quality_row(
    run: Run, name: str, entry: dict[str, Any], span: tuple[int, int] | None, end: int
) -> tuple[object, ...]:
    stale_ms = float(run.config["market"]["venue_stale_s"]) * 1000
    early_s = (end - span[1]) / NS if span else 0.0
    offset, median, p99, silence = (
        entry.get(key, 0) / MS for key in ("clock_offset_ns", "latency_ns_median", "latency_ns_p99", "silence_ns_max")
    )
    return (
        name,
        duration((span[1] - span[0]) / NS) if span else DASH,
        _look(f"{early_s:,.0f} s", early_s > EARLY_S) if span else DASH,
        f"{entry.get('depth_packets', 0):,}",
        f"{entry.get('trades', 0):,}",
        *(
            _look(f"{entry.get(key, 0):,}", entry.get(key, 0) > 0)
            for key in ("sequence_gaps", "trade_id_gaps", "crossed_books")
        ),
        _look(number(offset, 0), abs(offset) > OFFSET_MS_MAX),
        number(median, 1),
        number(p99, 1),
        _look(number(silence, 0), silence > stale_ms),
    )


def _look(text: str, is_odd: bool) -> tuple[str, str]:
    return text, "warn" if is_odd else ""


def _early(run: Run, spans: dict[str, tuple[int, int]], end: int) -> str:
    ended = [name for name, (_, last) in spans.items() if (end - last) / NS > EARLY_S]
    if not ended:
        return ""
    text = f"The recording of {', '.join(ended)} ends before the others: from there on nothing can be entered or closed on it."
    blocked = run.summary["verdicts"].get("EXIT_BOOK_NOT_LIVE", 0)
    return paragraph(
        text + (f" {blocked:,} exits were held up by a book that was not live." if blocked else ""), "note"
    )
