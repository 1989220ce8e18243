"""The sections an accountant and an engineer read: costs, ledger, data quality."""

from typing import Any

import polars as pl

from .report_html import DASH, bounds, decimal, duration, number, paragraph, section, share_of, table
from .report_run import NS, Run
from .report_stats import mean_interval
from .report_targets import break_even
from .report_trades import round_trip_slippage_bps

MS = 1_000_000
OFFSET_MS_MAX = 100  # a clock further off than this is pointed at
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
    """Spread, latency and depth together, as far as the kept mids allow."""
    values = round_trip_slippage_bps(run.closed)
    if values.is_empty():
        return paragraph("Spread and slippage: not derivable, no mid was kept beside the decisions.", "soft")
    found = mean_interval(values.to_numpy())
    text = (
        f"Spread, latency and depth cost {number(found.value, 1)} bps a round trip, 95 % {bounds(found, 1)}, n {found.n:,}: "
        "what the mid moved between the two decisions, less what the fills did. The mid at an exit lies between two kept "
        "evaluations, so a single trade's value is rough; the mean is not."
    )
    return paragraph(text)


def _venues(run: Run) -> str:
    rows = []
    for name, venue in run.summary["venues"].items():
        lots = venue["lots"]
        is_balanced = lots["sent"] == lots["filled"] + lots["expired"] + lots["working"]
        rows.append(
            (name, f"{venue['packets']:,}", *(f"{lots[key]:,}" for key in ("sent", "filled", "expired", "working")),
             share_of(lots["filled"], lots["sent"]), _tick(is_balanced), number(float(venue["fees"])))
        )  # fmt: skip
    head = ["venue", "packets", "lots sent", "filled", "expired", "working", "filled share", "adds up", f"fees, {run.currency}"]
    return f"<h3>By venue</h3>{table(head, rows)}"


def _fees(run: Run) -> str:
    fills = run.table("fills")
    if fills.is_empty():
        return ""
    by = fills.group_by(pl.col("venue").cast(pl.String), "fee_asset").agg(
        fee=pl.col("fee").sum(), notional=pl.col("notional").sum(), fills=pl.len()
    )
    rows = [
        (row["venue"], row["fee_asset"], f"{row['fills']:,}", number(row["notional"]), f"{row['fee']:,.8f}".rstrip("0").rstrip("."))
        for row in by.sort("venue", "fee_asset").iter_rows(named=True)
    ]
    return f"<h3>Fees in their own asset</h3>{table(['venue', 'paid in', 'fills', 'notional', 'fee'], rows, text=(0, 1))}"


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
    words = "Fills + fees + funding + transfers = balance, in whole atoms: nothing is rounded on this page or before it."
    named = f"Dust (left over, smaller than a lot, part of the balance): {', '.join(dust)}." if dust else "No dust."
    head = ["asset", "fills", "fees", "funding", "transfers", "balance", "exact"]
    return section("ledger", "Ledger", paragraph(words, "soft"), table(head, rows), paragraph(named))


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
        "Counted at import, never mended in silence. Early by: how long before the others the recording ends. Clock: what "
        "was added to the venue's stamps. p50 and p99: latency from the corrected stamp to our receipt. Silence: the longest."
    )
    if run.is_simulated:
        words += " A simulated market has no import, so these are zero."
    return section("quality", "Data quality", paragraph(words, "soft"), table(head, rows, text=()), _early(run, spans, end))


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
        *(_look(f"{entry.get(key, 0):,}", entry.get(key, 0) > 0) for key in ("sequence_gaps", "trade_id_gaps", "crossed_books")),
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
    return paragraph(text + (f" {blocked:,} exits were held up by a book that was not live." if blocked else ""), "note")
