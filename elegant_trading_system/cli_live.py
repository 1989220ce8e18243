"""`ets emulator` and `ets run`: venues on this machine, and trading on them."""

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cli_parse import RUNS, ConfigOption, EdgeOption, JsonOption, SeedOption, SetOption, load_config, names_of
from .errors import ExitCode, UserError
from .terminal import print_json, print_summary, progress_bar

if TYPE_CHECKING:
    from .config import Config
    from .emulator.embedded import Door, Embedded
    from .emulator.faults import Faults
    from .shell.link import Link
    from .shell.live import LiveRun

HISTORY_MINUTES = 300
CAPITAL = 100_000.0
STATUS_S = 5.0
PATHS = {  # of each emulated venue: name -> scheme, path
    "binance": {"rest": ("http", "/api/v3"), "streams": ("ws", ""), "ws_api": ("ws", "/ws-api/v3")},
    "deribit": {"rest": ("http", "/api/v2"), "ws": ("ws", "/ws/api/v2")},
}
FOREVER_S = 1e9
InstrumentsOption = Annotated[str, typer.Option("--instruments", help="Base assets to simulate: BTC,ETH.")]
FaultOption = Annotated[
    list[str] | None,
    typer.Option("--fault", help="NAME:SHARE of what goes wrong; a wrong name prints them all. May be repeated."),
]
HistoryOption = Annotated[int, typer.Option("--history", help="Minutes of past that the venue can tell.", min=0)]


def embedded(
    instruments: str, seed: int, edge: float, history_minutes: int, venues: list[str], capital: float
) -> "Embedded":
    """Simulated venues whose past has happened, not yet open."""
    from .emulator.embedded import Embedded

    made = Embedded(names_of(instruments) or ["BTC"], seed, edge, venues, Decimal(str(capital)))
    with progress_bar() as progress:
        made.live_through(history_minutes, progress)
    return made


def emulator(
    port: Annotated[int, typer.Option("--port", help="0: any free one.", min=0, max=65535)] = 0,
    seed: SeedOption = 1,
    edge: EdgeOption = 0.0,
    instruments: InstrumentsOption = "BTC,ETH",
    history: HistoryOption = HISTORY_MINUTES,
    capital: Annotated[float, typer.Option("--capital", help="USDT the customer has.", min=0)] = CAPITAL,
    fault: FaultOption = None,
) -> None:
    """Serve simulated venues on this machine until stopped; one JSON line says where and with which keys.

    Examples:
      ets emulator --port 9000 --seed 7
      ets emulator --instruments SOL --edge 0.2
      ets emulator --fault drop:0.01 --fault lost-report:0.1
    """
    from .emulator.embedded import INDICES, OPENERS
    from .emulator.faults import parse
    from .shell.live import wall_ns

    faults = parse(fault or [], seed)
    place = embedded(instruments, seed, edge, history, [*OPENERS, INDICES], capital)

    async def serve() -> None:
        async with place.serve(wall_ns, faults, port) as doors:
            venues = {door.venue: addresses(door) for door in doors}
            print_line({"simulated": True, "seed": seed, "edge": edge, "venues": venues})
            with stopping() as stopped:
                await stopped.wait()

    asyncio.run(serve())


def addresses(door: "Door") -> dict[str, Any]:
    """Where a venue that holds no money is, with its throwaway key."""
    paths = {name: f"{scheme}://{door.host}{path}" for name, (scheme, path) in PATHS[door.venue].items()}
    return {"symbols": door.symbols, **paths, "api_key": door.api_key, "api_secret": door.secret}


def link_to(door: "Door", now_ns: Callable[[], int]) -> "Link":
    """The trader's end of the line to an embedded venue."""
    from .shell.binance_link import BinanceLink, Place
    from .shell.deribit_link import DeribitLink, DeribitPlace

    host = door.host
    if door.venue == "deribit":
        place_of_index = DeribitPlace(f"http://{host}/api/v2", f"ws://{host}/ws/api/v2")
        return DeribitLink(place_of_index, [name.partition("_")[0].upper() for name in door.symbols], now_ns)
    place = Place(f"http://{host}", f"ws://{host}", f"ws://{host}/ws-api/v3", door.api_key, door.secret)
    return BinanceLink(place, door.symbols, now_ns)


def print_line(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def stopping() -> Iterator[asyncio.Event]:
    """An event that Ctrl-C or a polite kill sets."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows has no handlers: there Ctrl-C breaks off
        for sign in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sign, stopped.set)
    yield stopped


def run(
    venues: Annotated[str, typer.Option("--venues", help="sim: a simulated venue on this machine.")] = "sim",
    minutes: Annotated[float, typer.Option("--minutes", help="Stop after so long; 0: when told to.", min=0)] = 0.0,
    seed: SeedOption = 1,
    edge: EdgeOption = 0.0,
    instruments: InstrumentsOption = "BTC",
    history: HistoryOption = HISTORY_MINUTES,
    fault: FaultOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the run; by default named by the time.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Trade in real time, through sockets, on a SIMULATED venue; every decision is kept and can be replayed.

    Examples:
      ets run --minutes 10 --config short-windows
      ets run --edge 0.2 --instruments BTC,ETH
    """
    if venues != "sim":
        raise UserError(f"--venues {venues}: only sim is there yet", "real venues come later", ExitCode.USAGE)
    resolved = load_config(config, sets)
    folder = out or RUNS / datetime.now(UTC).strftime("live-%Y%m%dT%H%M%SZ")
    from .emulator.faults import parse
    from .shell import run_folder
    from .sim.backtest import check_out

    check_out(folder)

    def say(text: str) -> None:
        if not as_json:
            sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n")
            sys.stdout.flush()

    from .emulator.embedded import INDICES, OPENERS

    names = list(OPENERS)
    source = f"SIMULATED {', '.join(names)} seed={seed} edge={edge:g}"
    began = time.perf_counter()
    faults = parse(fault or [], seed)
    place = embedded(instruments, seed, edge, history, [*names, INDICES], resolved.account.capital / len(names))
    asyncio.run(trade(place, faults, resolved, folder, source, minutes * 60, say))
    summary = run_folder.finish(folder, time.perf_counter() - began)
    if as_json:
        print_json({"run": str(folder), **summary})
    else:
        print_summary(summary, folder)


async def show(live: "LiveRun", say: Callable[[str], None]) -> None:
    """A line every few seconds: what was heard, what was decided."""
    while True:
        await asyncio.sleep(STATUS_S)
        say(live.status())


async def trade(
    place: "Embedded",
    faults: "Faults",
    config: "Config",
    folder: Path,
    source: str,
    seconds: float,
    say: Callable[[str], None],
) -> None:
    """Open the venues, trade on them until the time is over or somebody says stop, close the journal."""
    from .shell import run_folder
    from .shell.live import LiveRun, wall_ns

    async with place.serve(wall_ns, faults) as doors:
        say(f"{source}: {', '.join(symbol for door in doors for symbol in door.symbols)}")
        live = LiveRun([link_to(door, wall_ns) for door in doors], config, folder, say=say)

        def begin(live: LiveRun) -> None:
            run_folder.begin(folder, config, live.known, source)

        with stopping() as stopped:
            trading = asyncio.create_task(live.run(seconds or FOREVER_S, begin))
            others = [asyncio.create_task(show(live, say)), asyncio.create_task(stopped.wait())]
            await asyncio.wait([trading, others[1]], return_when=asyncio.FIRST_COMPLETED)
            if not trading.done():
                say("stopping")
                live.stop()
            await trading
            for other in others:
                other.cancel()
