"""`ets doctor`: is everything as it must be, before money depends on it?"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from .cli_emulator import Scene, addresses, embedded
from .cli_parse import RUNS, JsonOption, names_of
from .errors import ExitCode, UserError
from .terminal import print_json, print_wide

if TYPE_CHECKING:
    from .shell.doctor import Finding

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "skipped": "dim"}
VENUES = ("sim", "binance", "binanceusdm", "coinbase")
WALLET = "https://api.binance.com"  # what a key may do is known here
ORDER_HOSTS = {"binance": {"rest": f"{WALLET}/api/v3"}}  # the one for market data knows no account


def doctor(
    venues: Annotated[
        str,
        typer.Option(
            "--venues",
            help="sim: venues on this machine; binance, coinbase, kraken...: the real ones, by the keys set.",
        ),
    ] = "sim",
    instruments: Annotated[str, typer.Option("--instruments", help="Base assets: BTC,ETH.")] = "BTC",
    hosts: Annotated[
        Path | None,
        typer.Option("--hosts", help="Instead: what `ets emulator` prints, or binance-testnet and its like."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Where runs are to be kept.")] = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Check clock, keys, permissions, symbols, disk and venues; ends with 1 if anything fails.

    Keys are read from BINANCE_API_KEY, BINANCE_SECRET, COINBASE_API_KEY, COINBASE_SECRET, KRAKEN_API_KEY... and never
    shown. Venues without a road of their own are asked by ccxt.

    Examples:
      ets doctor
      ets doctor --venues binance --instruments BTC,ETH --json
      ets doctor --hosts binance-testnet
    """
    from .shell.doctor import keys, machine, passes
    from .shell.hosts import check_roads, is_traded

    wanted = names_of(venues) or []
    check_roads([name for name in wanted if name != "sim"])
    if untraded := [name for name in wanted if name != "sim" and not is_traded(name)]:
        raise UserError(f"--venues {','.join(untraded)}: nothing is traded there", "", ExitCode.USAGE)
    findings = [*machine(out), *keys(os.environ)]
    bases = [name.upper() for name in names_of(instruments) or []]
    if hosts:
        findings += asyncio.run(_named(hosts, [name.partition("/")[0] for name in bases]))
    for venue in wanted if hosts is None else []:
        findings += asyncio.run(_simulated(bases) if venue == "sim" else _real(venue, bases))
    if as_json:
        print_json({"passes": passes(findings), "checks": [finding._asdict() for finding in findings]})
    else:
        _show(findings)
    if not passes(findings):
        raise typer.Exit(ExitCode.NO)


async def _simulated(bases: list[str]) -> "list[Finding]":
    """The same questions to venues that are opened for them: what fails here fails without any network."""
    from .emulator.faults import Faults
    from .shell.hosts import public_hosts
    from .shell.live import wall_ns

    found: list[Finding] = []
    place = embedded(Scene("", ["BTC", "ETH"], 1, 0.0, 0, []), [venue for venue in VENUES if venue != "sim"], 1000.0)
    async with place.serve(wall_ns, Faults({}, 0)) as doors:
        for door in doors:
            where = addresses(door)
            wallet = f"http://{door.host}" if door.venue == "binance" else ""
            found += await examined(
                door.venue,
                where,
                (door.api_key, door.secret),
                public_hosts([door.venue], bases)[door.venue]["symbols"],
                wallet,
            )
    return [finding._replace(name=f"simulated {finding.name}") for finding in found]


async def _named(hosts: Path, bases: list[str]) -> "list[Finding]":
    """A profile, or venues of a file. A key is asked about where one is set; testnets cannot say what it may do."""
    from .shell.hosts import KEYS
    from .shell.profiles import venues_of

    found: list[Finding] = []
    for venue, where in venues_of(hosts, bases).items():
        if venue in VENUES:
            names = KEYS[venue]
            key = where.get("api_key") or os.environ.get(names[0], "")
            secret = where.get("api_secret") or os.environ.get(names[1], "")
            found += await examined(venue, where, (key, secret), where["symbols"], "")
    return found


async def _real(venue: str, bases: list[str]) -> "list[Finding]":
    from .shell.hosts import key_names, public_hosts

    key, secret = (os.environ.get(name, "") for name in key_names(venue))
    where = public_hosts([venue], bases)[venue] | ORDER_HOSTS.get(venue, {})
    return await examined(venue, where, (key, secret), where["symbols"], WALLET)


def check_hosts(venues: dict[str, dict[str, Any]], checked: Sequence[str] = ()) -> None:
    """Raises UserError with everything that fails at the venues where orders are to go.

    `checked` are those whose keys a person has looked at, where nobody can tell what they may do.
    """
    from .shell.ccxt.doctor import UNTOLD
    from .shell.hosts import exchange_name, is_traded, key_of

    failed: list[Finding] = []
    for venue, where in venues.items():
        if is_traded(venue):
            wallet = where["rest"].partition("/api/")[0] if venue == "binance" else ""
            findings = asyncio.run(examined(venue, where, key_of(venue, where), where["symbols"], wallet))
            failed += [finding for finding in findings if finding.result == "fail"]
            if exchange_name(venue) not in map(exchange_name, checked):
                failed += [finding for finding in findings if finding.found.startswith(UNTOLD)]
    if failed:
        told = "; ".join(f"{finding.name}: {finding.found}" for finding in failed)
        raise UserError(f"the doctor says no: {told}", "; ".join(finding.advice for finding in failed))


async def examined(
    venue: str, where: dict[str, Any], key: tuple[str, str], symbols: list[str], wallet: str
) -> "list[Finding]":
    from .shell.binance import doctor as doctor_binance
    from .shell.binance import link as binance_link
    from .shell.coinbase import doctor as doctor_coinbase
    from .shell.coinbase import link as coinbase_link
    from .shell.hosts import is_by_ccxt
    from .shell.live import wall_ns

    if is_by_ccxt(venue):
        return await _examined_by_ccxt(venue, where, key, symbols)
    if venue == "coinbase":
        there = coinbase_link.Place(where["rest"], where["streams"], where["user"], *key)
        return await doctor_coinbase.examine(there, symbols, wall_ns)
    api = doctor_binance.SPOT if venue == "binance" else doctor_binance.USDM
    place = binance_link.Place(where["rest"].removesuffix(api.prefix), where["streams"], where["ws_api"], *key)
    return await doctor_binance.examine(api, place, symbols, wall_ns, wallet)


async def _examined_by_ccxt(
    venue: str, where: dict[str, Any], key: tuple[str, str], symbols: list[str]
) -> "list[Finding]":
    import aiohttp

    from .shell.ccxt import doctor as doctor_ccxt
    from .shell.hosts import ccxt_link
    from .shell.live import wall_ns

    async with aiohttp.ClientSession() as http:
        link = ccxt_link(venue, where | {"symbols": symbols}, *key, wall_ns)
        link.open(http)
        return await doctor_ccxt.examine(link, wall_ns)


def _show(findings: "list[Finding]") -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for finding in findings:
        advice = f"\n[dim]{finding.advice}[/dim]" if finding.advice and finding.result != "ok" else ""
        table.add_row(f"[{STYLES[finding.result]}]{finding.result}[/]", finding.name, finding.found + advice)
    print_wide(table)
