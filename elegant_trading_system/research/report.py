"""`ets report`: a run as one page that needs no network, in the order a trader reads."""

import os
import uuid
from pathlib import Path

from plotly.offline import get_plotlyjs

from . import report_books as books
from . import report_rules as rules
from . import report_sections as sections
from . import report_tca as execution
from .report_html import page
from .report_run import Run

NAME = "report.html"
CONTENTS = (
    ("figures", "Key figures"),
    ("equity", "Equity"),
    ("trades", "Trades"),
    ("signal", "Signal"),
    ("regimes", "Regimes"),
    ("why-not", "Why not?"),
    ("gate", "Pays?"),
    ("tca", "Execution"),
    ("portfolio", "Portfolio"),
    ("costs", "Costs"),
    ("ledger", "Ledger"),
    ("quality", "Data"),
    ("reproduce", "Reproduce"),
)


def write_report(run: Path) -> Path:
    """Write RUN/report.html and return its path; raises UserError if the folder holds no run."""
    text = page(f"Run {run.name}", body(Run.read(run)), get_plotlyjs())
    path = run / NAME
    partial = run / f".{NAME}-{uuid.uuid4().hex}"
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)  # noqa: PTH105 - atomic, as documented
    return path


def body(run: Run) -> str:
    """The page without its shell."""
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title in CONTENTS)
    parts = (
        sections.head(run),
        f"<nav>{links}</nav>",
        sections.figures(run),
        sections.equity(run),
        sections.prices(run),
        sections.signals(run),
        rules.regimes(run),
        sections.why_not(run),
        rules.gate(run),
        execution.tca(run),
        rules.portfolio(run),
        books.costs(run),
        books.ledger(run),
        books.quality(run),
        sections.reproduce(run),
    )
    return "\n".join(parts)
