"""The page's bricks: everything that came from outside is escaped here and nowhere else."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from .report_stats import Interval

MINUS = "\u2212"
DASH = "\u2013"

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6878; --line: #e2e6ec; --back: #fff; --card: #f7f8fa;
  --good: #117a4b; --bad: #b3261e; --warn: #8a5a00; --warn-back: #fff6e0; --accent: #2456b8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa5b5; --line: #2e3642; --back: #14181e;
  --card: #1c222b; --good: #4cc38a; --bad: #ff7b72; --warn: #f0c060; --warn-back: #33290f; --accent: #7aa7ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1160px; padding: 28px 24px 80px; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 26px; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: 19px; margin: 44px 0 6px; padding-top: 14px; border-top: 1px solid var(--line); }
h3 { font-size: 15px; margin: 22px 0 4px; }
p { margin: 6px 0 10px; max-width: 86ch; }
a { color: var(--accent); text-decoration: none; }
nav { margin: 12px 0 0; font-size: 14px; display: flex; flex-wrap: wrap; gap: 4px 16px; }
.soft { color: var(--soft); } .good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.verdict { font-size: 18px; line-height: 1.45; margin: 18px 0 8px; padding: 14px 18px; background: var(--card);
  border-left: 4px solid var(--accent); border-radius: 4px; max-width: none; }
.badge { display: inline-block; padding: 1px 9px; border-radius: 10px; font-size: 13px; font-weight: 600;
  background: var(--card); border: 1px solid var(--line); }
.badge.simulated { background: var(--warn-back); color: var(--warn); border-color: currentColor; }
.note { background: var(--warn-back); padding: 8px 14px; border-radius: 4px; max-width: none; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(168px, 1fr)); gap: 10px; margin: 14px 0 18px; }
.tile { background: var(--card); border-radius: 6px; padding: 10px 14px; }
.tile .label { color: var(--soft); font-size: 13px; } .tile .more { color: var(--soft); font-size: 12.5px; }
.tile .value { font-size: 21px; font-weight: 600; font-variant-numeric: tabular-nums; white-space: nowrap; }
.scroll { overflow-x: auto; margin: 8px 0 14px; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 500; vertical-align: bottom; }
th:first-child, td:first-child, th.text, td.text { text-align: left; }
td, th { white-space: nowrap; } td.words { white-space: normal; min-width: 17em; text-align: left; }
code, pre { font: 13px/1.5 ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; }
pre { background: var(--card); padding: 12px 14px; border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; margin: 10px 0; font-size: 14px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
details { margin: 8px 0; } summary { cursor: pointer; font-weight: 600; padding: 4px 0; }
@media (max-width: 640px) { body { padding: 16px 14px 60px; } h1 { font-size: 22px; } .verdict { font-size: 16px; }
  .tiles { grid-template-columns: repeat(2, 1fr); gap: 8px; } .tile .value { font-size: 17px; } dl { display: block; }
  .tile { padding: 8px 10px; } dd { margin-bottom: 6px; } }
@media print { details, .tile, .js-plotly-plot { break-inside: avoid; } nav { display: none; } }
"""

# A chart inside a closed <details> has no width until it is opened; on touch screens a drag must scroll the page.
SCRIPT = """
document.querySelectorAll('details').forEach(d => d.addEventListener('toggle',
  () => window.dispatchEvent(new Event('resize'))));
if (window.matchMedia('(pointer: coarse)').matches) document.querySelectorAll('.js-plotly-plot').forEach(
  g => Plotly.relayout(g, {dragmode: false}));
"""


# --- numbers ----------------------------------------------------------------------------------------------
def number(value: float, places: int = 2, *, is_signed: bool = False) -> str:
    """1431.862 -> 1,431.86; a true minus sign; a dash for what is not known."""
    if math.isnan(value) or math.isinf(value):
        return DASH
    text = f"{abs(value):,.{places}f}"
    is_zero = not text.strip("0.,")
    sign = "" if is_zero else MINUS if value < 0 else "+" if is_signed else ""
    return sign + text


def percent(share: float, places: int = 1, *, is_signed: bool = False) -> str:
    text = number(share * 100.0, places, is_signed=is_signed)
    return text if text == DASH else f"{text} %"


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def share_of(count: int, total: int) -> str:
    """A share that never rounds something to nothing, nor almost all to all."""
    if total == 0:
        return DASH
    text = percent(count / total)
    if 0 < count < total:
        return {"0.0 %": "< 0.1 %", "100.0 %": "> 99.9 %"}.get(text, text)
    return text


def bounds(interval: Interval, places: int = 2, scale: float = 1.0) -> str:
    """[low, high] of an interval, or why there is none."""
    if math.isnan(interval.low):
        return "no interval: too few"
    return f"[{number(interval.low * scale, places)}, {number(interval.high * scale, places)}]"


def decimal(atoms: int, places: int) -> str:
    """An exact integer of atoms as a decimal, nothing rounded."""
    digits = f"{abs(atoms):0{places + 1}d}"
    whole, part = (digits[:-places], digits[-places:]) if places else (digits, "")
    return (MINUS if atoms < 0 else "") + f"{int(whole):,}" + (f".{part}" if part else "")


def duration(seconds: float) -> str:
    """Seconds in the unit a person would say."""
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "minutes"), (172_800, 3600, "hours")):
        if seconds < limit:
            return f"{seconds / unit:,.1f} {name}"
    return f"{seconds / 86_400:,.1f} days"


def moment(ns: int) -> str:
    """UTC to the second."""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


# --- elements ---------------------------------------------------------------------------------------------
def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def badge(text: str, kind: str = "") -> str:
    return f'<span class="badge {kind}">{escape(text)}</span>'


def tile(label: str, value: str, more: str = "", kind: str = "") -> str:
    return (
        f'<div class="tile"><div class="label">{escape(label)}</div><div class="value {kind}">{escape(value)}</div>'
        f'<div class="more">{escape(more)}</div></div>'
    )


def tiles(parts: Iterable[str]) -> str:
    return f'<div class="tiles">{"".join(parts)}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[object]], text: Sequence[int] = (0,), words: int = -1) -> str:
    """Columns in `text` are aligned left, column `words` wraps as well; a cell `(value, kind)` carries a class."""
    kinds = ["words text" if i == words else "text" if i in text else "" for i in range(len(head))]
    cells = "".join(f"<th{_class(kind)}>{escape(name)}</th>" for name, kind in zip(head, kinds, strict=True))
    body = "".join(f"<tr>{''.join(map(_cell, row, kinds))}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(cell: object, column: str) -> str:
    value, kind = cell if isinstance(cell, tuple) else (cell, "")
    return f"<td{_class(f'{column} {kind}'.strip())}>{escape(str(value))}</td>"


def _class(names: str) -> str:
    return f' class="{escape(names)}"' if names else ""


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Name and value pairs."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>' for name, value in rows)}</dl>"


def folded(title: str, body: str, is_open: bool = False) -> str:
    """`body` is HTML; `title` is text."""
    return f"<details{' open' if is_open else ''}><summary>{escape(title)}</summary>{body}</details>"


def section(name: str, title: str, *parts: str) -> str:
    return f'<section id="{escape(name)}"><h2>{escape(title)}</h2>{"".join(parts)}</section>'


def page(title: str, body: str, plotly_js: str) -> str:
    """The whole file: style, Plotly and data inside, nothing fetched."""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style><script>{plotly_js}</script></head>\n<body>{body}<script>{SCRIPT}</script></body></html>\n"
    )
