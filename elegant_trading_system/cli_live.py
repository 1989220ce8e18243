"""`ets run`: trading in real time."""

import asyncio
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console

from .cli_emulator import DEMO, HISTORY_MINUTES, FaultOption, HistoryOption, InstrumentsOption, Scene
from .cli_parse import (
    RUNS,
    ConfigOption,
    EdgeOption,
    HostsOption,
    JsonOption,
    SeedOption,
    SetOption,
    load_config,
    names_of,
    stopping,
)
from .cli_place import Place, place_of
from .cli_rebalance import say_transfers
from .errors import ExitCode, UserError
from .terminal import open_page, print_json, print_summary, progress_bar

if TYPE_CHECKING:
    from .config import Config
    from .shell.accounts import Choices
    from .shell.live import LiveRun
    from .shell.run_folder import Recovered

STATUS_S, SCREEN_S = 5.0, 0.5
SAID_MAX = 50
FOREVER_S = 1e9
KeysCheckedOption = Annotated[
    str, typer.Option("--key-checked", help="Venues whose keys you have looked at yourself: they cannot withdraw.")
]
VenuesOption = Annotated[
    str,
    typer.Option("--venues", help="sim: simulated venues on this machine. Names: their real data, simulated orders."),
]
HoldingsOption = Annotated[
    str,
    typer.Option(
        "--holdings",
        help="What the account holds already of what is traded. adopt: positions of the run; ignore: set aside; refuse.",
    ),
]
OpenOrdersOption = Annotated[
    str, typer.Option("--open-orders", help="Orders that are open there already: cancel, ignore or refuse.")
]


def compile_first(config: "Config", *, is_replay_too: bool = False) -> None:
    """The first run compiles the engine: said while it happens, before a venue is open and waits for us."""
    from .shell.sequencer import compile_engine

    with progress_bar() as progress:
        progress("loading the engine (the first time it is compiled, which takes a while)", 0.0)
        compile_engine(config, is_replay_too=is_replay_too)


def compile_now() -> None:
    """Compile the engine and the simulated market now, instead of at the first run. Once per installation and change."""
    compile_first(load_config(None, None), is_replay_too=True)
    from .emulator.market import SimulatedMarket

    with progress_bar() as progress:
        progress("compiling the simulated market", 0.0)
        SimulatedMarket(["BTC"], 1).live_through(1)


def run(
    venues: VenuesOption = "sim",
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
    hosts: HostsOption = None,
    is_live: Annotated[
        bool, typer.Option("--live", help="Send orders, instead of simulating them. To this machine only, so far.")
    ] = False,
    keys_checked: KeysCheckedOption = "",
    is_flat_at_end: Annotated[
        bool, typer.Option("--flatten", help="Close what is held when the run ends; otherwise it is kept.")
    ] = False,
    resume: Annotated[Path | None, typer.Option("--resume", help="Go on with a run that ended or was killed.")] = None,
    is_rearmed: Annotated[bool, typer.Option("--rearm", help="Resuming: enter again after a halt.")] = False,
    holdings: HoldingsOption = "refuse",
    open_orders: OpenOrdersOption = "refuse",
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the run; by default named by the time.")] = None,
    is_polling: Annotated[
        bool, typer.Option("--busy-poll", help="Never sleep: orders leave in half the time, at the price of a core.")
    ] = False,
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
    scene = DEMO if is_demo else Scene("", names_of(instruments) or ["BTC"], seed, edge, history * 60, [])
    recovered = recovered_from(resume)
    resolved = recovered.config if recovered else load_config([*scene.configs, *(config or [])], sets)
    checked = names_of(keys_checked)
    place = place_of(venues, hosts, scene, fault, resolved, is_live=is_live, keys_checked=checked or [])
    folder = resume or new_folder(out)
    choices = choices_of(holdings, open_orders)
    plan = Plan(place, resolved, folder, minutes * 60, recovered, is_flat_at_end, is_rearmed, is_polling, choices)
    summary = trade_to_the_end(plan, is_silent=as_json)
    page = write_page(folder)
    if as_json:
        print_json({"run": str(folder), "report": str(page), **summary})
        return
    print_summary({name: value for name, value in summary.items() if name != "transfers"}, folder)
    say_transfers(summary)
    sys.stdout.write(f"\nReport: {page}\nThe same decisions again: ets replay {folder} --verify\n")
    if is_browsed:
        open_page(page)


def choices_of(holdings: str, open_orders: str) -> "Choices":
    from .shell.accounts import Choice, Choices

    allowed = {"--holdings": ("adopt", "ignore", "refuse"), "--open-orders": ("cancel", "ignore", "refuse")}
    for (option, words), word in zip(allowed.items(), (holdings, open_orders), strict=True):
        if word not in words:
            raise UserError(f"{option} {word}: it is one of {', '.join(words)}", "", ExitCode.USAGE)
    return Choices(Choice(holdings), Choice(open_orders))


def recovered_from(resume: Path | None) -> "Recovered | None":
    if resume is None:
        return None
    from .shell.run_folder import recover

    return recover(resume)


def new_folder(out: Path | None) -> Path:
    from .sim.backtest import check_out

    folder = out or RUNS / datetime.now(UTC).strftime("live-%Y%m%dT%H%M%SZ")
    check_out(folder)
    return folder


class Plan(NamedTuple):
    """What is to be traded, where it is kept, and for how long."""

    place: Place
    config: "Config"
    folder: Path
    seconds: float  # 0: until stopped
    recovered: "Recovered | None"
    is_flat_at_end: bool
    is_rearmed: bool
    is_polling: bool
    choices: "Choices"


def trade_to_the_end(plan: Plan, *, is_silent: bool) -> dict[str, Any]:
    """Trade, then make tables and summary from the journal."""
    from .shell.accounts import NotBegunError
    from .shell.run_folder import finish

    watcher = Watcher(plan.place.title, is_silent=is_silent)
    compile_first(plan.config, is_replay_too=True)  # snapshots follow by replay
    began = time.perf_counter()
    try:
        asyncio.run(trade(plan, watcher))
    except NotBegunError:  # a folder that holds nothing would only be in the way of the next try
        shutil.rmtree(plan.folder, ignore_errors=True)
        raise
    return finish(plan.folder, time.perf_counter() - began)


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


async def trade(plan: Plan, watcher: "Watcher") -> None:
    """Open the venues, trade on them until the time is over or somebody says stop, close the journal."""
    from .shell import run_folder
    from .shell.hosts import link_to, only_one, paper_links
    from .shell.live import LiveRun, wall_ns

    async with plan.place.opened() as venues:
        watcher.say(
            f"{plan.place.title}: {', '.join(symbol for where in venues.values() for symbol in where['symbols'])}"
        )
        links = (
            paper_links(venues, plan.config, wall_ns)
            if plan.place.is_paper
            else [link_to(name, where, wall_ns) for name, where in venues.items()]
        )
        live = LiveRun(
            links,
            plan.config,
            plan.folder,
            say=watcher.say,
            recovered=plan.recovered,
            is_flat_at_end=plan.is_flat_at_end,
            is_rearmed=plan.is_rearmed,
            is_polling=plan.is_polling,
            catalog=plan.place.catalog,
            choices=plan.choices,
        )

        def begin(live: LiveRun) -> None:
            if not plan.recovered:
                run_folder.begin(plan.folder, plan.config, live.known, plan.place.title)

        with only_one({} if plan.place.is_paper else venues), stopping() as stopped:
            trading = asyncio.create_task(live.run(plan.seconds or FOREVER_S, begin))
            others = [asyncio.create_task(watcher.watch(live)), asyncio.create_task(stopped.wait())]
            await asyncio.wait([trading, others[1]], return_when=asyncio.FIRST_COMPLETED)
            if not trading.done():
                watcher.say("stopping")
                live.stop()
            await trading
            for other in others:
                other.cancel()
