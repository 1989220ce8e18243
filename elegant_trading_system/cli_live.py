"""`ets emulator` and `ets run`: venues on this machine, and trading on them."""

import asyncio
import contextlib
import json
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
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
    from .emulator.faults import Faults
    from .shell.live import LiveRun, Venue

HISTORY_MINUTES = 300
CAPITAL = 100_000.0
STATUS_S = 5.0
FOREVER_S = 1e9
InstrumentsOption = Annotated[str, typer.Option("--instruments", help="Base assets to simulate: BTC,ETH.")]
FaultOption = Annotated[
    list[str] | None,
    typer.Option("--fault", help="NAME:SHARE of what goes wrong; a wrong name prints them all. May be repeated."),
]
HistoryOption = Annotated[int, typer.Option("--history", help="Minutes of past that the venue can tell.", min=0)]


@contextlib.asynccontextmanager
async def embedded(
    instruments: str,
    seed: int,
    edge: float,
    history_minutes: int,
    *,
    port: int = 0,
    capital: float = CAPITAL,
    faults: "Faults | None" = None,
) -> AsyncIterator[tuple["Venue", list[str]]]:
    """A Binance Spot on a loopback port and a customer with money; (where it is, its symbols)."""
    from .emulator.binance import BinanceSpot, Key
    from .emulator.exchange import Account
    from .emulator.market import SimulatedMarket
    from .emulator.server import VenueServer
    from .shell.live import Venue, wall_ns

    market = SimulatedMarket(names_of(instruments) or ["BTC"], seed, edge)
    with progress_bar() as progress:
        market.live_through(history_minutes, progress)
    api_key, secret = f"emulated-{secrets.token_hex(8)}", secrets.token_hex(32)
    account = Account("trader", {"USDT": Decimal(str(capital))})
    market.exchange.accounts[account.name] = account
    market.begin(wall_ns())
    venue = BinanceSpot(market.exchange, {api_key: Key(secret, account)}, wall_ns)
    venue.klines = market.klines
    async with VenueServer(venue, market, wall_ns, faults).serve(port) as bound:
        host = f"127.0.0.1:{bound}"
        yield (
            Venue("binance", f"http://{host}", f"ws://{host}", f"ws://{host}/ws-api/v3", api_key, secret),
            list(market.exchange.instruments),
        )


def emulator(
    port: Annotated[int, typer.Option("--port", help="0: any free one.", min=0, max=65535)] = 0,
    seed: SeedOption = 1,
    edge: EdgeOption = 0.0,
    instruments: InstrumentsOption = "BTC,ETH",
    history: HistoryOption = HISTORY_MINUTES,
    capital: Annotated[float, typer.Option("--capital", help="USDT the customer has.", min=0)] = CAPITAL,
    fault: FaultOption = None,
) -> None:
    """Serve a simulated Binance Spot on this machine until stopped; one JSON line says where and with which key.

    Examples:
      ets emulator --port 9000 --seed 7
      ets emulator --instruments SOL --edge 0.2
      ets emulator --fault drop:0.01 --fault lost-report:0.1
    """
    from .emulator.faults import parse

    faults = parse(fault or [], seed)

    async def serve() -> None:
        place = embedded(instruments, seed, edge, history, port=port, capital=capital, faults=faults)
        async with place as (venue, symbols):
            print_line({"venue": venue.name, "simulated": True, "edge": edge, "symbols": symbols} | where(venue))
            with stopping() as stopped:
                await stopped.wait()

    asyncio.run(serve())


def where(venue: "Venue") -> dict[str, str]:
    """A throwaway key of a venue that holds no money."""
    return {
        "rest": f"{venue.rest}/api/v3",
        "streams": venue.streams,
        "ws_api": venue.api,
        "api_key": venue.api_key,
        "api_secret": venue.secret,
    }


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

    source = f"SIMULATED binance seed={seed} edge={edge:g}"

    began = time.perf_counter()
    faults = parse(fault or [], seed)
    place = embedded(instruments, seed, edge, history, capital=resolved.account.capital, faults=faults)
    asyncio.run(trade(place, resolved, folder, source, minutes * 60, say))
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
    place: contextlib.AbstractAsyncContextManager[tuple["Venue", list[str]]],
    config: "Config",
    folder: Path,
    source: str,
    seconds: float,
    say: Callable[[str], None],
) -> None:
    """Open the venue, trade on it until the time is over or somebody says stop, close the journal."""
    from .shell import run_folder
    from .shell.live import LiveRun

    async with place as (venue, symbols):
        say(f"{source}: {', '.join(symbols)}")
        live = LiveRun(venue, config, folder, symbols, say=say)

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
