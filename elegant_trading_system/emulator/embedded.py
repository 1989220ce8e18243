"""All emulated venues at once, on loopback ports, around one simulated market, with customers who have money."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from typing import NamedTuple
from uuid import uuid4

from aiohttp import web

from ..data.importers.volatility import CURRENCIES
from .binance.futures import BinanceFutures
from .binance.spot import BinanceSpot, Key
from .cboe import Cboe
from .coinbase.jwt import new_key
from .coinbase.server import coinbase_app
from .coinbase.venue import Coinbase
from .deribit import Deribit
from .exchange import Exchange
from .faults import Faults
from .market import Market
from .orders import Account, FeeCoin
from .perpetuals import PerpetualAccount, Perpetuals
from .server import Publisher, binance_app, binance_futures_app, cboe_app, deribit_app, keep_moving, serving
from .volatility import VolatilityIndex

COINS = Decimal(10)  # of BNB, for fees


class Customer(NamedTuple):
    """An account with money at a venue, and a throwaway key of it that exists nowhere else."""

    name: str
    api_key: str
    secret: str
    balances: dict[str, Decimal]


class Door(NamedTuple):
    """Where an emulated venue is, and who has an account there."""

    venue: str
    host: str  # 127.0.0.1:PORT
    symbols: list[str]
    customers: list[Customer]  # none where nothing is traded

    @property
    def api_key(self) -> str:
        """The first customer's."""
        return self.customers[0].api_key if self.customers else ""

    @property
    def secret(self) -> str:
        return self.customers[0].secret if self.customers else ""


class Opened(NamedTuple):
    """A venue ready to be served."""

    app: web.Application
    publisher: Publisher
    customers: list[Customer]


class Wealth(NamedTuple):
    """How many customers a venue has, and how much of its dollars each of them."""

    customers: int
    capital: Decimal


def _admit(
    exchange: Exchange, wealth: Wealth, asset: str, kind: type[Account], new: Callable[[], tuple[str, str, str]]
) -> tuple[list[Customer], dict[str, Key]]:
    """Accounts with money, and keys for them: what the customer has, and what the venue keeps."""
    customers, keys, balances = list[Customer](), dict[str, Key](), {asset: wealth.capital}
    for n in range(wealth.customers):
        account = kind(f"trader-{n + 1}" if n else "trader", balances)
        api_key, secret, kept = new()
        exchange.accounts[account.name], keys[api_key] = account, Key(kept, account)
        customers.append(Customer(account.name, api_key, secret, balances))
    return customers, keys


def _binance_key() -> tuple[str, str, str]:
    secret = secrets.token_hex(32)
    return f"emulated-{secrets.token_hex(8)}", secret, secret


def _coinbase_key() -> tuple[str, str, str]:
    return f"organizations/{uuid4()}/apiKeys/{uuid4()}", *new_key()


def _binance(market: Market, wealth: Wealth, now_ns: Callable[[], int], faults: Faults) -> Opened:
    exchange = market.exchanges["binance"]
    customers, keys = _admit(exchange, wealth, "USDT", Account, _binance_key)
    venue = BinanceSpot(exchange, keys, now_ns)
    venue.klines = market.klines["binance"]
    return Opened(binance_app(venue, faults), venue.streams, customers)


def _binance_usdm(market: Market, wealth: Wealth, now_ns: Callable[[], int], faults: Faults) -> Opened:
    exchange = market.exchanges["binanceusdm"]
    assert isinstance(exchange, Perpetuals)
    customers, keys = _admit(exchange, wealth, "USDT", PerpetualAccount, _binance_key)
    venue = BinanceFutures(exchange, keys, now_ns)
    venue.klines = market.klines["binanceusdm"]
    return Opened(binance_futures_app(venue, faults), venue.streams, customers)


def _coinbase(market: Market, wealth: Wealth, now_ns: Callable[[], int], faults: Faults) -> Opened:
    exchange = market.exchanges["coinbase"]
    customers, keys = _admit(exchange, wealth, "USD", Account, _coinbase_key)
    venue = Coinbase(exchange, keys, now_ns)
    venue.klines = market.klines["coinbase"]
    return Opened(coinbase_app(venue, faults), venue.streams, customers)


def _deribit(market: Market, seed: int, now_ns: Callable[[], int]) -> Deribit:
    """The indices of BTC and ETH where they are simulated; else BTC's, of whatever is."""
    klines = next(iter(market.klines.values()))
    by_base = {
        instrument.base: klines[symbol]
        for exchange in market.exchanges.values()
        for symbol, instrument in exchange.instruments.items()
        if symbol in klines
    }
    first, usual = next(iter(by_base.values())), market.usual_volatility
    bases = [base for base in CURRENCIES if base in by_base] or [CURRENCIES[0]]
    indices = {f"{base}_usd".lower(): VolatilityIndex(by_base.get(base, first), usual, seed) for base in bases}
    return Deribit(indices, now_ns)


DVOL, VIX = "deribit", "cboe"  # volatility indices, no exchanges
INDICES = (DVOL, VIX)
OPENERS: dict[str, Callable[[Market, Wealth, Callable[[], int], Faults], Opened]] = {
    "binance": _binance,
    "binanceusdm": _binance_usdm,
    "coinbase": _coinbase,
}


class Embedded:
    """A market with a past, and what its venues are opened with."""

    def __init__(
        self, market: Market, seed: int, capital: Decimal, *, indices: Sequence[str] = (DVOL,), customers: int = 1
    ) -> None:
        """`capital` is every customer's at each venue."""
        self.market, self.seed, self.indices = market, seed, indices
        self.wealth = Wealth(customers, capital)
        self.coins: dict[str, Decimal] = {}  # what customers of venues of coins hold besides
        self.is_paid_in_coin = False  # do they pay fees with BNB, where that is possible?

    @contextlib.asynccontextmanager
    async def serve(self, now_ns: Callable[[], int], faults: Faults, port: int = 0) -> AsyncIterator[list[Door]]:
        """From here on the market moves with the clock. The venues take the ports from `port` on; 0: any free ones."""
        self.market.begin(now_ns())
        publishers, doors = dict[str, Publisher](), list[Door]()
        async with contextlib.AsyncExitStack() as stack:
            for n, (venue, exchange) in enumerate(self.market.exchanges.items()):
                opened = OPENERS[venue](self.market, self.wealth, faults.venue_ns, faults)
                bound = await stack.enter_async_context(serving(opened.app, port + n if port else 0))
                publishers[venue] = opened.publisher
                self._endow(venue)
                doors.append(Door(venue, f"127.0.0.1:{bound}", list(exchange.instruments), opened.customers))
            for name in self.indices:
                index, app, symbols = self._index(name, now_ns, faults)
                publishers[name] = index
                bound = await stack.enter_async_context(serving(app, port + len(doors) if port else 0))
                doors.append(Door(name, f"127.0.0.1:{bound}", symbols, []))
            moving = asyncio.create_task(keep_moving(self.market, publishers, now_ns, faults))
            stack.push_async_callback(_stop, moving)
            yield doors

    def _endow(self, venue: str) -> None:
        for account in self.market.exchanges[venue].accounts.values():
            if not isinstance(account, PerpetualAccount):
                for asset, amount in self.coins.items():
                    account.balance(asset).free += amount
            if self.is_paid_in_coin and venue.startswith("binance"):
                account.fee_coin = FeeCoin()
                account.balance(account.fee_coin.asset).free += COINS

    def _index(
        self, name: str, now_ns: Callable[[], int], faults: Faults
    ) -> tuple[Publisher, web.Application, list[str]]:
        if name == VIX:
            cboe = Cboe(self.seed, now_ns)
            return cboe, cboe_app(cboe, faults), ["VIX"]
        deribit = _deribit(self.market, self.seed, now_ns)
        return deribit, deribit_app(deribit, faults), list(deribit.indices)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
