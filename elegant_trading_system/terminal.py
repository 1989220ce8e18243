"""How the command line speaks: results on stdout, progress and errors on stderr."""

import json
import os
import sys
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from .errors import UserError

WIDE = 200  # columns

ProgressReport = Callable[[str, float], None]
"""Called with what is being done and how much of it is, 0 to 1."""


def print_json(answer: object) -> None:
    """One JSON object, and nothing else, on stdout."""
    sys.stdout.write(json.dumps(answer, indent=2, default=str) + "\n")


def print_wide(renderable: RenderableType) -> None:
    """Print as wide as it needs to be: a terminal may fold a line, but digits are never left out."""
    console = Console()
    needed = console.measure(renderable, options=console.options.update(max_width=WIDE)).maximum
    console.width = max(console.width, needed)
    console.print(renderable)


def print_table(title: str, rows: Mapping[str, object]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, _shown(value))
    print_wide(table)


def _shown(value: object) -> str:
    match value:
        case float():
            return f"{value:,.2f}" if abs(value) >= 1 or value == 0 else f"{value:,.4f}"
        case bool() | None:
            return str(value)
        case int():
            return f"{value:,}"
        case dict():
            return "   ".join(f"{name} {_shown(part)}" for name, part in value.items())
        case list():
            return "\n".join(_shown(part) for part in value)
    return str(value)


def print_grid(title: str, rows: Mapping[str, Mapping[str, object]]) -> None:
    """One line per name; a part that is itself a mapping gives several columns."""
    lines = {name: _columns(row) for name, row in rows.items()}
    headings = list(dict.fromkeys(heading for line in lines.values() for heading in line))
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, line in lines.items():
        table.add_row(name, *(_shown(line.get(heading, "")) for heading in headings))
    print_wide(table)


def print_frame(frame: Any) -> None:
    """A data frame: every row and column of it."""
    table = Table(box=None, pad_edge=False)
    for name, kind in frame.schema.items():
        table.add_column(name, justify="right" if kind.is_numeric() else "left", no_wrap=True)
    for row in frame.rows():
        table.add_row(*("" if value is None else _shown(value) for value in row))
    print_wide(table)


def _columns(row: Mapping[str, object]) -> dict[str, object]:
    columns: dict[str, object] = {}
    for name, value in row.items():
        columns |= (
            {f"{name} {part}": inner for part, inner in value.items()} if isinstance(value, dict) else {name: value}
        )
    return columns


def print_summary(summary: Mapping[str, Any], run: Path) -> None:
    """A backtest's JSON summary for people."""
    sections = {name: value for name, value in summary.items() if isinstance(value, dict) and value}
    print_table(f"Run {run}", {name: value for name, value in summary.items() if not isinstance(value, dict)})
    for name, rows in sections.items():
        Console().print()
        is_grid = all(isinstance(row, dict) for row in rows.values())
        (print_grid if is_grid else print_table)(name.capitalize(), rows)


def print_error(error: UserError) -> None:
    console = Console(stderr=True, soft_wrap=True)
    console.print("error:", style="bold red", end=" ")
    console.print(error.message, markup=False, highlight=False)
    if error.hint:
        console.print(error.hint, markup=False, highlight=False)


@contextmanager
def progress_bar() -> Iterator[ProgressReport]:
    """A bar on a terminal; on anything else one line whenever the work changes."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _line_per_step()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=1.0)
        yield lambda text, share: progress.update(task, description=text, completed=share)


def _line_per_step() -> ProgressReport:
    last = ""

    def report(text: str, _share: float) -> None:
        nonlocal last
        if text != last:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
        last = text

    return report


def open_page(page: Path) -> bool:
    """Show a page in the browser if somebody is there to look at it."""
    has_display = sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    return has_display and sys.stdout.isatty() and webbrowser.open(page.resolve().as_uri())
