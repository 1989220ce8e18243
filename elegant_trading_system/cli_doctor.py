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
VENUES = ("sim", "binance", "binanceusdm")


def doctor(
    venues: Annotated[
        str,
        typer.Option(
            "--venues", help="sim: venues on this machine; binance, binanceusdm: the real ones, by the keys set."
        ),
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
        findings += asyncio.run(_simulated(symbols) if venue == "sim" else _binance(venue, symbols))
    if as_json:
        print_json({"passes": passes(findings), "checks": [finding._asdict() for finding in findings]})
    else:
        _show(findings)
    if not passes(findings):
        raise typer.Exit(ExitCode.NO)


def _pairs(names: list[str]) -> list[str]:
    return [name if "/" in name else f"{name}/USDT" for name in names]


async def _simulated(symbols: list[str]) -> "list[Finding]":
    """The same questions to venues that are opened for them: what fails here fails without any network."""
    from .emulator.faults import Faults
    from .shell.binance_link import Place
    from .shell.doctor_binance import SPOT, USDM, examine
    from .shell.live import wall_ns

    found: list[Finding] = []
    place = embedded(Scene("", ["BTC", "ETH"], 1, 0.0, 0, []), [SPOT.name, USDM.name], 1000.0)
    async with place.serve(wall_ns, Faults({}, 0)) as doors:
        for api, door, path in zip((SPOT, USDM), doors, ("ws-api/v3", "ws-fapi/v1"), strict=True):
            root, sockets = f"http://{door.host}", f"ws://{door.host}"
            there = Place(root, sockets, f"{sockets}/{path}", door.api_key, door.secret)
            found += await examine(api, there, symbols, wall_ns, root if api is SPOT else "")
    return [finding._replace(name=f"simulated {finding.name}") for finding in found]


async def _binance(api_name: str, symbols: list[str]) -> "list[Finding]":
    from .shell.binance_link import Place
    from .shell.doctor_binance import SPOT, USDM, examine
    from .shell.live import wall_ns

    key, secret = os.environ.get("BINANCE_API_KEY", ""), os.environ.get("BINANCE_SECRET", "")
    wallet = "https://api.binance.com"
    spot = Place(wallet, "wss://stream.binance.com:9443", "wss://ws-api.binance.com:443/ws-api/v3", key, secret)
    usdm = Place(
        "https://fapi.binance.com", "wss://fstream.binance.com", "wss://ws-fapi.binance.com/ws-fapi/v1", key, secret
    )
    api, place = (SPOT, spot) if api_name == SPOT.name else (USDM, usdm)
    return await examine(api, place, symbols, wall_ns, wallet)


def _show(findings: "list[Finding]") -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for finding in findings:
        advice = f"\n[dim]{finding.advice}[/dim]" if finding.advice and finding.result != "ok" else ""
        table.add_row(f"[{STYLES[finding.result]}]{finding.result}[/]", finding.name, finding.found + advice)
    print_wide(table)
