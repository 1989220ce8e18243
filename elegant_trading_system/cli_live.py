"""`ets emulator` and `ets run`: venues on this machine, and trading on them."""

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console

from .cli_parse import RUNS, ConfigOption, EdgeOption, JsonOption, SeedOption, SetOption, load_config, names_of
from .errors import ExitCode, UserError
from .terminal import open_page, print_json, print_summary, progress_bar

if TYPE_CHECKING:
    from .config import Config
    from .emulator.embedded import Door, Embedded
    from .shell.live import LiveRun
    from .shell.run_folder import Recovered

HISTORY_MINUTES = 300
CAPITAL = 100_000.0
STATUS_S, SCREEN_S = 5.0, 0.5
SAID_MAX = 50
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


def compile_first(config: "Config") -> None:
    """The first run compiles the engine: said while it happens, before a venue is open and waits for us."""
    from .shell.sequencer import compile_engine

    with progress_bar() as progress:
        progress("loading the engine (the first time it is compiled, which takes a while)", 0.0)
        compile_engine(config)


class Scene(NamedTuple):
    """A simulated market, and the moment at which its venues open."""

    name: str
    instruments: list[str]
    seed: int
    edge: float
    history_s: int
    configs: list[Path]

    def title(self, venues: list[str]) -> str:
        """What it is, so that nobody takes it for real."""
        kind = f"{self.name} scenario, " if self.name else ""
        return f"SIMULATED {', '.join(venues)}: {kind}seed {self.seed}, planted edge {self.edge:g}"


DEMO = Scene("demo", ["BTC", "ETH", "SOL"], 1, 0.2, HISTORY_MINUTES * 60, [Path("demo"), Path("live-demo")])


def embedded(scene: Scene, venues: list[str], capital: float) -> "Embedded":
    """Simulated venues whose past has happened, not yet open; `capital` of dollars at each."""
    from .emulator.embedded import Embedded

    made = Embedded(scene.instruments, scene.seed, scene.edge, venues, Decimal(str(capital)))
    with progress_bar() as progress:
        made.live_through(scene.history_s, progress)
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
    scene = Scene("", names_of(instruments) or ["BTC"], seed, edge, history * 60, [])
    place = embedded(scene, [*OPENERS, INDICES], capital)

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
    venues: Annotated[str, typer.Option("--venues", help="sim: simulated venues on this machine.")] = "sim",
    minutes: Annotated[float, typer.Option("--minutes", help="Stop after so long; 0: when told to.", min=0)] = 0.0,
    is_demo: Annotated[
        bool, typer.Option("--demo", help="A chosen moment of a chosen market, where much happens.")
    ] = False,
    seed: SeedOption = 1,
    edge: EdgeOption = 0.0,
    instruments: InstrumentsOption = "BTC,ETH",
    history: HistoryOption = HISTORY_MINUTES,
    fault: FaultOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
    hosts: Annotated[
        Path | None, typer.Option("--hosts", help="Trade on venues that run already: what `ets emulator` prints.")
    ] = None,
    is_live: Annotated[bool, typer.Option("--live", help="Send orders. To this machine only, so far.")] = False,
    resume: Annotated[Path | None, typer.Option("--resume", help="Go on with a run that ended or was killed.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the run; by default named by the time.")] = None,
    is_browsed: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Show the report when the run has ended.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Trade in real time, through sockets, on SIMULATED venues; every decision is kept and can be replayed.

    Examples:
      ets run --demo
      ets run --minutes 10 --config short-windows
      ets run --edge 0.2 --instruments BTC,ETH,SOL
      ets emulator > hosts.json &   ets run --hosts hosts.json --live --out RUN;   ets run --hosts hosts.json --live --resume RUN
    """
    from .shell import run_folder
    from .sim.backtest import check_out

    scene = DEMO if is_demo else Scene("", names_of(instruments) or ["BTC"], seed, edge, history * 60, [])
    recovered = run_folder.recover(resume) if resume else None
    resolved = recovered.config if recovered else load_config([*scene.configs, *(config or [])], sets)
    folder = resume or out or RUNS / datetime.now(UTC).strftime("live-%Y%m%dT%H%M%SZ")
    if not recovered:
        check_out(folder)
    place = found_venues(hosts, is_live=is_live) if hosts else simulated_venues(scene, fault, resolved, venues)
    watcher = Watcher(place.title, is_silent=as_json)
    compile_first(resolved)
    began = time.perf_counter()
    asyncio.run(trade(place, resolved, folder, minutes * 60, watcher, recovered))
    summary = run_folder.finish(folder, time.perf_counter() - began)
    page = write_page(folder)
    if as_json:
        print_json({"run": str(folder), "report": str(page), **summary})
    else:
        print_summary(summary, folder)
        sys.stdout.write(f"\nReport: {page}\nThe same decisions again: ets replay {folder} --verify\n")
        if is_browsed:
            open_page(page)


Venues = dict[str, dict[str, Any]]


class Place(NamedTuple):
    """Where a run trades: what to call it, and how to open it."""

    title: str
    opened: Callable[[], contextlib.AbstractAsyncContextManager[Venues]]


def found_venues(hosts: Path, *, is_live: bool) -> Place:
    """Venues that are there already."""
    from .shell.hosts import check_loopback, read_hosts

    venues = read_hosts(hosts)
    if not is_live:
        raise UserError(
            "--hosts without --live: simulated fills on a real market are not there yet", "", ExitCode.USAGE
        )
    check_loopback(venues)
    return Place(f"{', '.join(venues)} of {hosts}", lambda: contextlib.nullcontext(venues))


def simulated_venues(scene: Scene, fault: list[str] | None, config: "Config", venues: str) -> Place:
    """Venues of our own, which end with us."""
    if venues != "sim":
        raise UserError(f"--venues {venues}: only sim is there yet", "real venues come later", ExitCode.USAGE)
    from .emulator.embedded import INDICES, OPENERS
    from .emulator.faults import parse
    from .shell.live import wall_ns

    faults, names = parse(fault or [], scene.seed), list(OPENERS)

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Venues]:
        made = embedded(scene, [*names, INDICES], config.account.capital / len(names))
        async with made.serve(wall_ns, faults) as doors:
            yield {door.venue: addresses(door) for door in doors}

    return Place(scene.title(names), opened)


def write_page(folder: Path) -> Path:
    from .research.report import write_report

    with progress_bar() as progress:
        progress("writing the report", 0.0)
        return write_report(folder)


class Watcher:
    """Tells people how it goes: a screen on a terminal, else a line now and then; nothing when asked for JSON."""

    def __init__(self, title: str, *, is_silent: bool) -> None:
        self.title, self.is_silent = title, is_silent
        self.said: list[str] = []
        self.console = Console()

    def say(self, text: str) -> None:
        line = f"{datetime.now(UTC):%H:%M:%S} {text}"
        self.said = [*self.said[-SAID_MAX:], line]
        if not (self.is_silent or self.console.is_terminal):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    async def watch(self, live: "LiveRun") -> None:
        """Until cancelled."""
        if self.is_silent:
            return
        if not self.console.is_terminal:
            while True:
                await asyncio.sleep(STATUS_S)
                self.say(live.status())
        from rich.live import Live

        from .live_screen import screen

        with Live(console=self.console, auto_refresh=False, transient=True) as shown:
            while True:
                shown.update(screen(live, self.title, self.said), refresh=True)
                await asyncio.sleep(SCREEN_S)


async def trade(
    place: Place,
    config: "Config",
    folder: Path,
    seconds: float,
    watcher: "Watcher",
    recovered: "Recovered | None" = None,
) -> None:
    """Open the venues, trade on them until the time is over or somebody says stop, close the journal."""
    from .shell import run_folder
    from .shell.hosts import link_to, only_one
    from .shell.live import LiveRun, wall_ns

    async with place.opened() as venues:
        watcher.say(f"{place.title}: {', '.join(symbol for where in venues.values() for symbol in where['symbols'])}")
        links = [link_to(name, where, wall_ns) for name, where in venues.items()]
        live = LiveRun(links, config, folder, say=watcher.say, recovered=recovered)

        def begin(live: LiveRun) -> None:
            if not recovered:
                run_folder.begin(folder, config, live.known, place.title)

        with only_one(venues), stopping() as stopped:
            trading = asyncio.create_task(live.run(seconds or FOREVER_S, begin))
            others = [asyncio.create_task(watcher.watch(live)), asyncio.create_task(stopped.wait())]
            await asyncio.wait([trading, others[1]], return_when=asyncio.FIRST_COMPLETED)
            if not trading.done():
                watcher.say("stopping")
                live.stop()
            await trading
            for other in others:
                other.cancel()
