"""What commands make of the words they are given."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import ExitCode, UserError

if TYPE_CHECKING:
    from .config import Config

RUNS = Path("ets_data") / "runs"

ConfigOption = Annotated[
    list[Path] | None,
    typer.Option("--config", help="TOML file over the defaults, or the name of one in config/. May be repeated."),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="section.key=value, over everything else. May be repeated.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
HostsOption = Annotated[
    Path | None,
    typer.Option(
        "--hosts", help="Venues that run already: what `ets emulator` prints, or binance-testnet and its like."
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Everything random follows from it.", min=0)]
EdgeOption = Annotated[
    float,
    typer.Option(
        "--edge",
        help="Correlation of the best possible forecast with the next minute; 0 = a fair market.",
        min=0.0,
        max=1.0,
    ),
]


def load_config(files: list[Path] | None, sets: list[str] | None) -> "Config":
    from .config_sources import load

    return load(files or [], sets or [])


def names_of(text: str) -> list[str] | None:
    """Comma-separated names; None for none, which means all."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    return names or None


def time_ns(text: str) -> int | None:
    """ISO 8601 to UTC nanoseconds; UTC unless the text says otherwise; nothing is no limit."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UserError(
            f"{text!r} is not a time", "write it as 2025-01-31T12:00 (UTC)", exit_code=ExitCode.USAGE
        ) from error
    seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return round(seconds * 1_000_000) * 1_000


def run_folder(run: Path) -> Path:
    """A run's folder, or its name among the runs kept."""
    for folder in (run, RUNS / run):
        if folder.is_dir():
            return folder
    raise UserError(f"no run at {run}", f"`ets backtest` makes one; they are kept in {RUNS}")


@contextlib.contextmanager
def stopping() -> Iterator[asyncio.Event]:
    """An event that Ctrl-C or a polite kill sets."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows has no handlers: there Ctrl-C breaks off
        for sign in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sign, stopped.set)
    yield stopped
