"""`ets record`: the live feeds of venues into the catalog, without a trader and without a key."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cli_emulator import HISTORY_MINUTES, FaultOption, HistoryOption, Scene, addresses, embedded
from .cli_live import FOREVER_S
from .cli_parse import EdgeOption, HostsOption, JsonOption, SeedOption, load_config, names_of, stopping
from .errors import ExitCode, UserError
from .terminal import print_json, print_table, progress_bar

if TYPE_CHECKING:
    from .data.tape import TapeFacts
    from .shell.link import Link

STATUS_S = 1.0
SIM = "sim"


def record(
    venues: Annotated[
        str,
        typer.Option(
            "--venues", help="sim (on this machine), or binance,coinbase,deribit,kraken (public data; others by ccxt)."
        ),
    ] = SIM,
    instruments: Annotated[str, typer.Option("--instruments", help="BTC,ETH; by ccxt also BTC/EUR.")] = "BTC",
    minutes: Annotated[float, typer.Option("--minutes", help="Stop after so long; 0: when told to.", min=0)] = 0.0,
    catalog: Annotated[Path, typer.Option("--catalog", help="Folder of tapes.")] = Path("ets_data/catalog"),
    recover: Annotated[
        Path | None, typer.Option("--recover", help="Publish this interrupted recording and record nothing.")
    ] = None,
    hosts: HostsOption = None,
    seed: SeedOption = 1,
    edge: EdgeOption = 0.0,
    history: HistoryOption = HISTORY_MINUTES,
    fault: FaultOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write what venues' feeds bring into a catalog; needs no key. What a killed recording left is published first.

    Examples:
      ets record --venues sim --instruments BTC --minutes 10 --catalog recorded && ets backtest --catalog recorded
      ets record --recover recorded/.recording-20260101T120000Z --catalog recorded
    """
    from .data.recording import left_behind

    answer: dict[str, Any] = {"catalog": str(catalog), "recovered": {}, "tapes": []}
    for folder in [recover] if recover else left_behind(catalog):
        answer["recovered"][str(folder)] = [facts.model_dump(mode="json") for facts in _published(folder, catalog)]
    if recover is None:
        folder = catalog / f"{_prefix()}{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        names = names_of(instruments) or ["BTC"]
        sources = _running(hosts, venues, names) if hosts else _sources(venues, names, seed, edge, history, fault)
        tapes, counts = _recorded(folder, catalog, sources, minutes * 60 or FOREVER_S)
        answer |= {"tapes": [facts.model_dump(mode="json") for facts in tapes], "counts": counts}
    _show(answer, catalog, as_json=as_json)


class Sources:
    """Where the feeds come from, opened when the recording begins."""

    def __init__(self, name: str, open_links: Callable[[contextlib.AsyncExitStack], Any]) -> None:
        self.name = name
        self.open_links = open_links


def _sources(venues: str, names: list[str], seed: int, edge: float, history: int, fault: list[str] | None) -> Sources:
    if venues == SIM:
        return _simulated(names, seed, edge, history, fault)
    from .shell.hosts import public_hosts

    return _public(public_hosts(names_of(venues) or [], names))


def _running(hosts: Path, venues: str, names: list[str]) -> Sources:
    """A profile, or the venues of a file."""
    from .shell.hosts import check_roads, hosts_of
    from .shell.profiles import venues_of

    found = venues_of(hosts, [name.partition("/")[0].upper() for name in names])
    found = found if venues == SIM else hosts_of(found, names_of(venues) or [])
    check_roads(found)
    return _public(found)


def _public(venues: dict[str, dict[str, Any]]) -> Sources:
    """Their market data, which needs no key."""
    from .shell.hosts import market_link
    from .shell.live import wall_ns

    async def opened(_stack: contextlib.AsyncExitStack) -> "Sequence[Link]":
        return [market_link(venue, where, wall_ns) for venue, where in venues.items()]

    return Sources(", ".join(venues), opened)


def _simulated(names: list[str], seed: int, edge: float, history: int, fault: list[str] | None) -> Sources:
    from .emulator.embedded import DVOL, OPENERS
    from .emulator.faults import parse
    from .shell.hosts import link_to
    from .shell.live import wall_ns

    faults = parse(fault or [], seed)
    bases = [name.partition("/")[0] for name in names]
    scene = Scene("", bases, seed, edge, history * 60, [])
    place = embedded(scene, [*OPENERS, DVOL], 0.0)

    async def opened(stack: contextlib.AsyncExitStack) -> "Sequence[Link]":
        doors = await stack.enter_async_context(place.serve(wall_ns, faults))
        return [link_to(door.venue, addresses(door), wall_ns) for door in doors]

    return Sources(scene.title([*OPENERS, DVOL]), opened)


def _prefix() -> str:
    from .data.recording import PREFIX

    return PREFIX


def _recorded(
    folder: Path, catalog: Path, sources: Sources, seconds: float
) -> "tuple[list[TapeFacts], dict[str, int]]":
    """Record, then publish; what broke the recording off is told once everything before it is safe."""
    from .data.recording import held

    broken: UserError | None = None
    counts: dict[str, int] = {}
    with held(folder):
        try:
            counts = asyncio.run(_record(folder, sources, seconds))
        except UserError as error:
            broken = error
        tapes = _publish(folder, catalog) if (folder / "recording.json").exists() else []
    if broken is not None:
        kept = f"; {sum(facts.packets for facts in tapes):,} events before that are in {catalog}" if tapes else ""
        raise UserError(broken.message + kept, broken.hint, broken.exit_code)
    return tapes, counts


async def _record(folder: Path, sources: Sources, seconds: float) -> dict[str, int]:
    from .data.recording import begin
    from .shell.recorder import Recording

    async with contextlib.AsyncExitStack() as stack:
        links = await sources.open_links(stack)
        recording = Recording(links, load_config(None, None), folder, say=_say)
        with stopping() as stopped:
            running = asyncio.create_task(
                recording.run(seconds, lambda _run: begin(folder, recording.known.listings, sources.name))
            )
            others = [asyncio.create_task(_show_status(recording)), asyncio.create_task(stopped.wait())]
            await asyncio.wait([running, others[1]], return_when=asyncio.FIRST_COMPLETED)
            recording.stop()
            try:
                await running
            finally:
                for other in others:
                    other.cancel()
                _say(recording.status() if recording.universe else "nothing was heard", is_last=True)
    return recording.counts()


async def _show_status(recording: Any) -> None:
    while True:
        await asyncio.sleep(STATUS_S)
        _say(recording.status())


def _say(text: str, *, is_last: bool = False) -> None:
    """One line that is written over on a terminal; on anything else only the last."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}" + ("\n" if is_last else ""))
        sys.stderr.flush()
    elif is_last:
        sys.stderr.write(text + "\n")


def _published(folder: Path, catalog: Path) -> "list[TapeFacts]":
    from .data.recording import held

    if not folder.is_dir():
        raise UserError(f"no recording at {folder}", "`ls -a` in the catalog shows what was left", ExitCode.USAGE)
    with held(folder):
        return _publish(folder, catalog)


def _publish(folder: Path, catalog: Path) -> "list[TapeFacts]":
    from .data.recording import publish

    with progress_bar() as progress:
        return publish(folder, catalog, progress)


def _show(answer: dict[str, Any], catalog: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    for folder, tapes in answer["recovered"].items():
        print_table(f"Recovered from {folder}", _rows(tapes))
    if answer["tapes"]:
        print_table(f"Recorded into {catalog}", _rows(answer["tapes"]))
    elif not answer["recovered"]:
        sys.stdout.write("nothing was recorded\n")


def _rows(tapes: list[dict[str, Any]]) -> dict[str, object]:
    return {
        f"{tape['listing']['venue']} {tape['listing']['symbol']}{' (bars)' if tape['quality']['bars'] else ''}": (
            f"{tape['packets']:,} packets, {tape['quality']['sequence_gaps']} gaps, "
            f"{tape['quality']['crossed_books']} crossed books"
        )
        for tape in tapes
    }
