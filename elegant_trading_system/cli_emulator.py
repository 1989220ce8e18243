"""`ets emulator`, and the markets that simulated venues open with."""

import asyncio
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from .cli_parse import EdgeOption, SeedOption, names_of, stopping
from .errors import ExitCode, UserError
from .terminal import progress_bar

if TYPE_CHECKING:
    from .emulator.embedded import Door, Embedded

HISTORY_MINUTES = 300
CAPITAL = 100_000.0
PATHS = {  # of each emulated venue: name -> scheme, path
    "binance": {"rest": ("http", "/api/v3"), "streams": ("ws", ""), "ws_api": ("ws", "/ws-api/v3")},
    "binanceusdm": {"rest": ("http", "/fapi/v1"), "streams": ("ws", ""), "ws_api": ("ws", "/ws-fapi/v1")},
    "coinbase": {"rest": ("http", "/api/v3/brokerage"), "streams": ("ws", "/ws"), "user": ("ws", "/user")},
    "cboe": {"rest": ("http", "/api/global")},
    "deribit": {"rest": ("http", "/api/v2"), "ws": ("ws", "/ws/api/v2")},
}
STANDS_FOR = {  # what a client of the real venue asks: scheme, path here
    "binance": {
        "https://api.binance.com": ("http", ""),
        "wss://stream.binance.com:9443": ("ws", ""),
        "wss://ws-api.binance.com:443": ("ws", ""),
    },
    "binanceusdm": {
        "https://fapi.binance.com": ("http", ""),
        "wss://fstream.binance.com": ("ws", ""),
        "wss://ws-fapi.binance.com": ("ws", ""),
    },
    "coinbase": {"https://api.coinbase.com": ("http", ""), "wss://advanced-trade-ws.coinbase.com": ("ws", "/ws")},
}
InstrumentsOption = Annotated[str, typer.Option("--instruments", help="Base assets to simulate: BTC,ETH.")]
FaultOption = Annotated[
    list[str] | None,
    typer.Option("--fault", help="NAME:SHARE of what goes wrong; a wrong name prints them all. May be repeated."),
]
HistoryOption = Annotated[int, typer.Option("--history", help="Minutes of past that the venue can tell.", min=0)]


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


# Half a minute before a quarter of an hour of bursts; nobody would find a better moment by waiting.
DEMO = Scene("demo", ["BTC", "ETH", "SOL"], 3, 0.2, 45 * 60, [Path("demo"), Path("live-demo")])


def embedded(scene: Scene, venues: list[str], capital: float, customers: int = 1) -> "Embedded":
    """Simulated venues whose past has happened, not yet open; every customer has `capital` of dollars at each."""
    from .emulator.embedded import INDICES, Embedded
    from .emulator.market import SimulatedMarket

    exchanges = [venue for venue in venues if venue not in INDICES]
    indices = [venue for venue in venues if venue in INDICES]
    market = SimulatedMarket(scene.instruments, scene.seed, scene.edge, exchanges)
    with progress_bar() as progress:
        market.live_through(scene.history_s, progress)
    return Embedded(market, scene.seed, Decimal(str(capital)), indices=indices, customers=customers)


def recorded(
    catalog: Path, instruments: list[str] | None, seed: int, skip_s: int, capital: float, customers: int = 1
) -> "Embedded":
    """Venues that tell again what a catalog has recorded of them, from `skip_s` behind its beginning on."""
    from .emulator.embedded import Embedded
    from .emulator.tape_market import RecordedMarket

    market = RecordedMarket(catalog, instruments)
    with progress_bar() as progress:
        market.live_through(skip_s, progress)
    return Embedded(market, seed, Decimal(str(capital)), customers=customers)


def emulator(
    port: Annotated[int, typer.Option("--port", help="0: any free one.", min=0, max=65535)] = 0,
    seed: SeedOption = 1,
    edge: EdgeOption = 0.0,
    instruments: InstrumentsOption = "",
    tape: Annotated[
        Path | None, typer.Option("--tape", help="Catalog whose recordings are played, instead of a simulated market.")
    ] = None,
    history: Annotated[
        int | None,
        typer.Option("--history", help="Minutes of past that the venues can tell: 300; of a tape what it has.", min=0),
    ] = None,
    capital: Annotated[
        float, typer.Option("--capital", help="Dollars that every customer has at each venue.", min=0)
    ] = CAPITAL,
    accounts: Annotated[
        int, typer.Option("--accounts", help="Customers, each with a key and balances of its own.", min=1, max=100)
    ] = 1,
    holding: Annotated[
        list[str] | None, typer.Option("--holding", help="BTC=0.5: coins every customer has besides. May be repeated.")
    ] = None,
    is_paid_in_coin: Annotated[bool, typer.Option("--bnb-fees", help="Customers pay Binance's fees with BNB.")] = False,
    fault: FaultOption = None,
) -> None:
    """Serve simulated venues on this machine until stopped; one JSON line says where and with which keys.

    Examples:
      ets emulator --port 9000 --seed 7
      ets emulator --instruments SOL --edge 0.2
      ets emulator --accounts 3 --holding BTC=0.5 --bnb-fees
      ets emulator --fault drop:0.01 --fault lost-report:0.1
      ets emulator --tape ets_data/catalog --instruments BTC
    """
    from .emulator.embedded import INDICES, OPENERS
    from .emulator.faults import parse
    from .shell.live import wall_ns

    faults = parse(fault or [], seed)
    bases = names_of(instruments)
    if tape:
        place = recorded(tape, bases, seed, (history or 0) * 60, capital, accounts)
    else:
        past_s = (HISTORY_MINUTES if history is None else history) * 60
        scene = Scene("", bases or ["BTC", "ETH"], seed, edge, past_s, [])
        place = embedded(scene, [*OPENERS, *INDICES], capital, accounts)

    place.coins, place.is_paid_in_coin = coins_of(holding or []), is_paid_in_coin

    async def serve() -> None:
        async with place.serve(wall_ns, faults, port) as doors:
            venues = {door.venue: {**addresses(door), "accounts": accounts_of(door)} for door in doors}
            origin = {"tape": str(tape)} if tape else {"edge": edge}
            print_line({"simulated": True, "seed": seed, **origin, "venues": venues})
            with stopping() as stopped:
                await stopped.wait()

    asyncio.run(serve())


def coins_of(texts: list[str]) -> dict[str, Decimal]:
    """["BTC=0.5"]; UserError for anything else."""
    found: dict[str, Decimal] = {}
    for text in texts:
        asset, _, amount = text.partition("=")
        try:
            found[asset.upper()] = Decimal(amount)
        except ArithmeticError:
            raise UserError(f"--holding {text}: it is written BTC=0.5", "", ExitCode.USAGE) from None
    return found


def addresses(door: "Door") -> dict[str, Any]:
    """Where a venue that holds no money is, with its throwaway key."""
    paths, stands_for = (
        {name: f"{scheme}://{door.host}{path}" for name, (scheme, path) in known.get(door.venue, {}).items()}
        for known in (PATHS, STANDS_FOR)
    )
    key = {"api_key": door.api_key, "api_secret": door.secret}
    return {"symbols": door.symbols, **paths, **key, "stands_for": stands_for}


def accounts_of(door: "Door") -> list[dict[str, Any]]:
    """Who may trade there, the first one being whose key stands beside the addresses."""
    return [
        {"name": one.name, "api_key": one.api_key, "api_secret": one.secret}
        | {"balances": {asset: str(amount) for asset, amount in one.balances.items()}}
        for one in door.customers
    ]


def print_line(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
