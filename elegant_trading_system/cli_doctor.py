"""`ets doctor`: is everything as it must be, before money depends on it?"""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from .cli_emulator import Scene, embedded
from .cli_parse import RUNS, JsonOption, names_of
from .errors import ExitCode, UserError
from .terminal import print_json, print_wide

if TYPE_CHECKING:
    from .shell.doctor import Finding

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "skipped": "dim"}
VENUES = ("sim", "binance")


def doctor(
    venues: Annotated[
        str, typer.Option("--venues", help="sim: a venue on this machine; binance: the real one, by the keys set.")
    ] = "sim",
    instruments: Annotated[str, typer.Option("--instruments", help="BTC,ETH/USDT; a base alone is in USDT.")] = "BTC",
    out: Annotated[Path, typer.Option("--out", help="Where runs are to be kept.")] = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Check clock, keys, permissions, symbols, disk and venues; ends with 1 if anything fails.

    Keys are read from BINANCE_API_KEY, BINANCE_SECRET, COINBASE_API_KEY and COINBASE_SECRET and never shown.

    Examples:
      ets doctor
      ets doctor --venues binance --instruments BTC/USDT,ETH/USDT --json
    """
    from .shell.doctor import keys, machine, passes

    wanted = names_of(venues) or []
    if unknown := sorted(set(wanted) - set(VENUES)):
        raise UserError(f"--venues {','.join(unknown)}: there is {' and '.join(VENUES)}", "", ExitCode.USAGE)
    findings = [*machine(out), *keys(os.environ)]
    symbols = [name.replace("/", "").upper() for name in _pairs(names_of(instruments) or [])]
    for venue in wanted:
        findings += asyncio.run(_simulated(symbols) if venue == "sim" else _binance(symbols))
    if as_json:
        print_json({"passes": passes(findings), "checks": [finding._asdict() for finding in findings]})
    else:
        _show(findings)
    if not passes(findings):
        raise typer.Exit(ExitCode.NO)


def _pairs(names: list[str]) -> list[str]:
    return [name if "/" in name else f"{name}/USDT" for name in names]


async def _simulated(symbols: list[str]) -> "list[Finding]":
    """The same questions to a venue that is opened for them: what fails here fails without any network."""
    from .emulator.faults import Faults
    from .shell.binance_link import Place
    from .shell.doctor_binance import examine
    from .shell.live import wall_ns

    place = embedded(Scene("", ["BTC", "ETH"], 1, 0.0, 0, []), ["binance"], 1000.0)
    async with place.serve(wall_ns, Faults({}, 0)) as (door,):
        host = door.host
        there = Place(f"http://{host}", f"ws://{host}", f"ws://{host}/ws-api/v3", door.api_key, door.secret)
        return [
            finding._replace(name=f"simulated {finding.name}") for finding in await examine(there, symbols, wall_ns)
        ]


async def _binance(symbols: list[str]) -> "list[Finding]":
    from .shell.binance_link import Place
    from .shell.doctor_binance import examine
    from .shell.live import wall_ns

    key, secret = os.environ.get("BINANCE_API_KEY", ""), os.environ.get("BINANCE_SECRET", "")
    api = "wss://ws-api.binance.com:443/ws-api/v3"
    place = Place("https://api.binance.com", "wss://stream.binance.com:9443", api, key, secret)
    return await examine(place, symbols, wall_ns)


def _show(findings: "list[Finding]") -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for finding in findings:
        advice = f"\n[dim]{finding.advice}[/dim]" if finding.advice and finding.result != "ok" else ""
        table.add_row(f"[{STYLES[finding.result]}]{finding.result}[/]", finding.name, finding.found + advice)
    print_wide(table)
