"""The sections of a report, in the order a trader reads them."""

from html import escape
from pathlib import Path

import numpy as np
from plotly.graph_objects import Figure

from ..sim.replay import is_live
from . import report_charts as charts
from .by_day import is_short
from .report_charts import GROUPS_SHOWN
from .report_html import (
    DASH,
    badge,
    bounds,
    duration,
    facts,
    folded,
    moment,
    number,
    paragraph,
    percent,
    plural,
    section,
    share_of,
    table,
    tile,
    tiles,
)
from .report_rules import bracket_traces, brackets
from .report_run import Run, listing_name
from .report_stats import Interval
from .report_targets import market_beta, risk, sides, targets
from .report_verdict import costs, edge, entry_counts, headline, need_words, needs_s
from .report_words import WARMUPS, explanation, is_exit
from .track_record import TrackRecord, net_values, track_record

DIGEST_SHOWN = 12


# --- head -------------------------------------------------------------------------------------------------
def head(run: Run) -> str:
    """What was run, on what, and the sentence to take away."""
    first, last = run.span_ns
    digests = run.summary["digests"]
    names = [listing_name(listing) for listing in run.manifest["listings"]]
    rows = [
        ("Listings", ", ".join(names)),
        ("Span", f"{moment(first)} to {moment(last)} UTC, {duration(run.span_s)}"),
        ("Source", ", ".join(run.manifest["sources"])),
        ("Capital", f"{number(float(run.summary['capital']))} {run.currency}"),
        ("Digests", ", ".join(f"{name} {digests[key][:DIGEST_SHOWN]}" for name, key in
                              (("code", "source"), ("parameters", "params"), ("data", "data"))))
    ]  # fmt: skip
    what, on_what = run.kind
    mark = badge(on_what, "simulated" if "SIMULATED" in on_what else "")
    return (
        f"<header><h1>{what}: {escape(', '.join(run.groups))}</h1>{mark}"
        f'<p class="verdict">{escape(headline(run))}</p>{_warning(run)}{_cold_table(run)}{facts(rows)}</header>'
    )


def _cold_table(run: Run) -> str:
    """Where nothing traded, the arithmetic of why comes first."""
    return "" if run.summary["fills"] else warmup(run)


def _warning(run: Run) -> str:
    if not run.is_simulated:
        return ""
    text = "Prices, volumes and fills come from a simulator: they exercise the machine and say nothing about any real market."
    return paragraph(f"{text} {' '.join(planted(edge) for edge in run.planted_edges)}", "note")


def planted(edge: float) -> str:
    """What the market was made with, and what follows for the result."""
    if edge == 0.0:
        return "This market was made with edge 0: nothing can be foreseen in it. A profit is luck, the loss to expect is the costs."
    return (
        f"This market was made with edge {edge:g}: the best possible forecast correlates so much with the next minute."
    )


# --- key figures --------------------------------------------------------------------------------------------
def figures(run: Run) -> str:
    record = track_record(run)
    parts = [tiles(_money_tiles(run) + _trade_tiles(run, record))]
    if is_short(run):
        parts.append(
            paragraph(f"{duration(run.span_s)} is too short to annualise anything: that takes 30 days.", "soft")
        )
    parts.append(f"<h3>Measured vs target</h3>{targets(run, record)}")
    parts.append(paragraph("The targets are what the system is meant to reach, never a promise.", "soft"))
    lost = risk(run)
    if lost:
        parts.append(f"<h3>How much can we lose?</h3>{lost}")
    split = sides(run)
    if split:
        parts.append(f"<h3>Long and short</h3>{split}{_beta_words(run)}")
    return section("figures", "Key figures", *parts)


def _money_tiles(run: Run) -> list[str]:
    pnl, capital = run.pnl, float(run.summary["capital"])
    share = f"{percent(pnl['net'] / capital, 2, is_signed=True)} of capital" if capital else ""
    return [
        tile("Net", number(pnl["net"]), share, _mood(pnl["net"])),
        tile("Gross, before fees", number(run.gross), f"{number(pnl['unrealised'])} of it open", _mood(run.gross)),
        tile("Fees", number(pnl["fees"]), "paid"),
        tile("Funding", number(pnl["funding"]), "paid if negative"),
        _cost_tile(run),
        tile("Drawdown, largest", percent(float(run.summary["drawdown_max"]), 2), "of the highest equity"),
    ]


def _cost_tile(run: Run) -> str:
    """Share of the gross that costs take; as a multiple from twice on."""
    if run.gross <= 0.0:
        return tile("Costs / gross", DASH, "the gross is not positive" if run.summary["fills"] else "nothing traded")
    times = costs(run) / run.gross
    return tile("Costs / gross", f"{times:,.0f}x" if times >= 2 else percent(times, 0), "fees and funding")


def _trade_tiles(run: Run, record: TrackRecord) -> list[str]:
    values, rate, mean = net_values(run.closed), record.figures["win_rate"], edge(run)
    wins, losses = values[values > 0], values[values < 0]
    won, lost = (number(float(part.mean())) if len(part) else DASH for part in (wins, losses))
    held = run.closed["hold_s"].to_numpy() if len(values) else values
    return [
        tile("Round trips", f"{int(run.summary['round_trips']):,}", f"{int(run.summary['orders']):,} orders"),
        tile("Win rate", percent(rate.value), f"95 %: {_interval(rate, 1, 100.0)}"),
        tile(f"Mean bps net, n {mean.n:,}", number(mean.value, 1), f"95 %: {_interval(mean, 1)}", _mood(mean.value)),
        tile("Average win", won, plural(len(wins), "trade")),
        tile("Average loss", lost, plural(len(losses), "trade")),
        tile("Held, median", f"{float(np.median(held)):,.1f} s" if len(held) else DASH, "first entry to last exit"),
    ]


def _interval(found: Interval, places: int, scale: float = 1.0) -> str:
    return bounds(found, places, scale) if found.n else "no trades"


def _mood(value: float) -> str:
    return "good" if value > 0 else "bad" if value < 0 else ""


def _beta_words(run: Run) -> str:
    known = {group: found for group, found in market_beta(run).items() if found.n}
    if not known:
        return paragraph("Market beta: too few minutes to say.", "soft")
    each = (
        f"{group} {number(found.value, 3)}, 95 % {bounds(found, 3)}, n {found.n:,}" for group, found in known.items()
    )
    return paragraph(f"Market beta of the account, one-minute returns: {'; '.join(each)}.")


# --- charts -------------------------------------------------------------------------------------------------
def equity(run: Run) -> str:
    if run.equity.is_empty():
        return section("equity", "Equity and drawdown", paragraph("The run kept no equity curve.", "soft"))
    words = "Dotted: the capital at the start. Drawdown is the distance below the highest equity so far."
    return section(
        "equity", "Equity and drawdown", paragraph(words, "soft"), charts.html_of(charts.equity(run), "chart-equity")
    )


def prices(run: Run) -> str:
    """One chart per group; the first two open."""
    words = (
        "Mid of the group's reference listing, as the signal saw it. A fill on another listing of the group may stand "
        "off the line by the basis between the two. A line joins entry and exit: green earned after fees, red did not. "
        "Dotted: the stop and the target, frozen at entry. An exit names its reason, what it earned, and that in R: multiples of the risk approved."
    )
    parts = [paragraph(words, "soft")]
    for at, group in enumerate(run.groups[:GROUPS_SHOWN]):
        shown, of = len(charts.shown_trades(run, group)), _trade_count(run, group)
        more = f": the {shown:,} that won or lost most of {of:,} trades" if shown < of else f": {plural(of, 'trade')}"
        parts.append(folded(f"{group}{more}", charts.html_of(_price(run, group), f"chart-price-{at}"), at < 2))
    return section("trades", "Trades on price", *parts, _left_out(run))


def _price(run: Run, group: str) -> Figure:
    figure = charts.price(run, group)
    frame = brackets(run, charts.shown_trades(run, group), group)
    if not frame.is_empty():
        figure.add_traces(bracket_traces(frame))
    return figure


def _trade_count(run: Run, group: str) -> int:
    return 0 if run.trades.is_empty() else int((run.trades["group"] == group).sum())


def _left_out(run: Run) -> str:
    rest = run.groups[GROUPS_SHOWN:]
    return paragraph(f"Not drawn: {', '.join(rest)}.", "soft") if rest else ""


def signals(run: Run) -> str:
    limits, market = run.config["signal"], run.config["market"]
    words = (
        f"{run.manifest.get('formula', 'Strength')}. Dashed: the thresholds; an entry needs strength above "
        f"{limits['strength_min']:g}, velocity above {limits['velocity_min']:g} and a pressure of at least "
        f"{limits['imbalance_min']:g} to one. Tightness is cut at {market['tightness_min']:g} and "
        f"{market['tightness_max']:g}. Where a line is missing the value was not known yet."
    )
    parts = [paragraph(words, "soft")]
    for at, group in enumerate(run.groups[:GROUPS_SHOWN]):
        if run.evaluations(group).is_empty():
            parts.append(paragraph(f"{group}: no evaluation was kept.", "soft"))
            continue
        parts.append(folded(group, charts.html_of(charts.signal(run, group), f"chart-signal-{at}"), at < 2))
    return section("signal", "The signal and its parts", *parts, _left_out(run))


# --- why not? -------------------------------------------------------------------------------------------------
def why_not(run: Run) -> str:
    counts = run.summary["verdicts"]
    if not counts:
        return section("why-not", "Why not?", paragraph("No evaluation was made."))
    entries, total = entry_counts(run), sum(entry_counts(run).values())
    parts = [
        paragraph(
            "Every evaluation of every group ends in one verdict. Blue: no entry. Green: entered. Orange: about exits, "
            "counted apart.", "soft",
        ),
        charts.html_of(charts.verdicts(run), "chart-verdicts"),
        table(
            ["verdict", "count", "of evaluations", "meaning"],
            [(name, f"{n:,}", share_of(n, total) if name in entries else "exit", explanation(name))
             for name, n in sorted(counts.items(), key=lambda item: (is_exit(item[0]), -item[1]))],
            words=3,
        ),
    ]  # fmt: skip
    return section("why-not", "Why not?", *parts, warmup(run) if run.summary["fills"] else "")


def warmup(run: Run) -> str:
    """Needed against available seconds, per group; only where a warm-up was the verdict of some evaluation."""
    given = [name.name for name in WARMUPS if name.name in run.summary["verdicts"]]
    if not given:
        return ""
    shown = given if run.summary["fills"] else [name.name for name in WARMUPS]
    needs, words = needs_s(run), need_words(run)
    rows = []
    for group in run.groups:
        seen = run.seen_s(group)
        for name in shown:
            short = needs[name] - seen
            state = (
                (f"{number(short, 0)} s short", "bad")
                if short > 0
                else (f"warm after {number(needs[name], 0)} s", "good")
            )
            rows.append((group, name, f"{number(needs[name], 0)} s", words[name], f"{number(seen, 0)} s", state))
    head = ["group", "verdict", "needs", "made of", "recording has", ""]
    return f"<h3>Warm-up, in seconds</h3>{table(head, rows, text=(0, 1), words=3)}"


# --- reproduce --------------------------------------------------------------------------------------------------
def reproduce(run: Run) -> str:
    origins = {key: origin for key, origin in run.manifest["origins"].items() if origin != "default"}
    digests = run.summary["digests"]
    rows = [(key, _value(run, key), Path(origin).name) for key, origin in sorted(origins.items())]
    changed = (
        table(["key", "value", "set by"], rows, text=(0, 1, 2))
        if rows
        else paragraph("None: every number is the default.")
    )
    return section(
        "reproduce", "How to reproduce it",
        f"<pre>{escape(command(run, origins))}\nets replay {escape(run.folder.name)} --verify</pre>",
        facts([(name, str(digests[name])) for name in digests]
              + [("version", str(run.manifest["version"])), ("created", str(run.manifest["created"]))]),
        f"<h3>Numbers that differ from the default</h3>{changed}",
        folded("Tapes", table(["listing", "digest"], [(tape["listing"], tape["digest"]) for tape in run.manifest["tapes"]],
                              text=(0, 1))),
    )  # fmt: skip


def _value(run: Run, key: str) -> str:
    value: object = run.config
    for part in key.split("."):
        value = value.get(part, "") if isinstance(value, dict) else ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _market_options(run: Run) -> list[str]:
    """Where the market came from: a catalog of tapes, or a seed."""
    made = run.manifest.get("market")
    if made is None:
        return [f"--catalog {Path(run.manifest['tapes'][0]['folder']).parent.parent.parent}"]
    return [f"--simulated {made['minutes']:g}", f"--seed {made['seed']}", f"--edge {made['edge']:g}",
            f"--instruments {','.join(made['instruments'])}"]  # fmt: skip


def command(run: Run, origins: dict[str, str]) -> str:
    """The command line that gives this run again, one option per line."""
    if is_live(run.manifest):
        return "# a live run happens once: its journal holds every event that it was decided on"
    files = list(dict.fromkeys(Path(origin).stem for origin in origins.values() if origin.endswith(".toml")))
    singles = [key for key, origin in sorted(origins.items()) if not origin.endswith(".toml")]
    first, last = (run.manifest[name] for name in ("start_ns", "end_ns"))
    parts = ["ets backtest", *_market_options(run)]
    parts += [f"--config {name}" for name in files] + [f"--set {key}={_value(run, key)}" for key in singles]
    parts += [f"--start {moment(first).replace(' ', 'T')}"] if first else []
    parts += [f"--end {moment(last).replace(' ', 'T')}"] if last else []
    return " \\\n  ".join(parts)
