"""All emulated venues at once, on loopback ports, around one simulated market, with a customer who has money."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import NamedTuple
from uuid import uuid4

from aiohttp import web

from ..data.importers.volatility import CURRENCIES
from .binance.futures import BinanceFutures
from .binance.spot import BinanceSpot, Key
from .coinbase.jwt import new_key
from .coinbase.server import coinbase_app
from .coinbase.venue import Coinbase
from .deribit import Deribit
from .faults import Faults
from .market import Market
from .orders import Account, FeeCoin
from .perpetuals import PerpetualAccount, Perpetuals
from .server import Publisher, binance_app, binance_futures_app, deribit_app, keep_moving, serving
from .volatility import VolatilityIndex

COINS = Decimal(10)  # of BNB, for fees


class Door(NamedTuple):
    """Where an emulated venue is, and a throwaway key of a customer who exists nowhere else."""

    venue: str
    host: str  # 127.0.0.1:PORT
    symbols: list[str]
    api_key: str
    secret: str


class Opened(NamedTuple):
    """A venue ready to be served."""

    app: web.Application
    publisher: Publisher
    api_key: str
    secret: str


def _binance(market: Market, capital: Decimal, now_ns: Callable[[], int], faults: Faults) -> Opened:
    account = Account("trader", {"USDT": capital})
    exchange = market.exchanges["binance"]
    exchange.accounts[account.name] = account
    api_key, secret = f"emulated-{secrets.token_hex(8)}", secrets.token_hex(32)
    venue = BinanceSpot(exchange, {api_key: Key(secret, account)}, now_ns)
    venue.klines = market.klines["binance"]
    return Opened(binance_app(venue, faults), venue.streams, api_key, secret)


def _binance_usdm(market: Market, capital: Decimal, now_ns: Callable[[], int], faults: Faults) -> Opened:
    account = PerpetualAccount("trader", {"USDT": capital})
    exchange = market.exchanges["binanceusdm"]
    assert isinstance(exchange, Perpetuals)
    exchange.accounts[account.name] = account
    api_key, secret = f"emulated-{secrets.token_hex(8)}", secrets.token_hex(32)
    venue = BinanceFutures(exchange, {api_key: Key(secret, account)}, now_ns)
    venue.klines = market.klines["binanceusdm"]
    return Opened(binance_futures_app(venue, faults), venue.streams, api_key, secret)


def _coinbase(market: Market, capital: Decimal, now_ns: Callable[[], int], faults: Faults) -> Opened:
    account = Account("trader", {"USD": capital})
    exchange = market.exchanges["coinbase"]
    exchange.accounts[account.name] = account
    api_key = f"organizations/{uuid4()}/apiKeys/{uuid4()}"
    secret, public = new_key()
    venue = Coinbase(exchange, {api_key: Key(public, account)}, now_ns)
    venue.klines = market.klines["coinbase"]
    return Opened(coinbase_app(venue, faults), venue.streams, api_key, secret)


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


INDICES = "deribit"  # volatility indices, no exchange
OPENERS: dict[str, Callable[[Market, Decimal, Callable[[], int], Faults], Opened]] = {
    "binance": _binance,
    "binanceusdm": _binance_usdm,
    "coinbase": _coinbase,
}


class Embedded:
    """A market with a past, and what its venues are opened with."""

    def __init__(self, market: Market, seed: int, capital: Decimal, *, has_indices: bool = True) -> None:
        self.market, self.seed, self.has_indices = market, seed, has_indices
        self.capital = capital  # at each venue
        self.coins: dict[str, Decimal] = {}  # what customers of venues of coins hold besides
        self.is_paid_in_coin = False  # do they pay fees with BNB, where that is possible?

    @contextlib.asynccontextmanager
    async def serve(self, now_ns: Callable[[], int], faults: Faults, port: int = 0) -> AsyncIterator[list[Door]]:
        """From here on the market moves with the clock. The venues take the ports from `port` on; 0: any free ones."""
        self.market.begin(now_ns())
        publishers, doors = dict[str, Publisher](), list[Door]()
        async with contextlib.AsyncExitStack() as stack:
            for n, (venue, exchange) in enumerate(self.market.exchanges.items()):
                opened = OPENERS[venue](self.market, self.capital, faults.venue_ns, faults)
                bound = await stack.enter_async_context(serving(opened.app, port + n if port else 0))
                publishers[venue] = opened.publisher
                self._endow(venue)
                doors.append(Door(venue, f"127.0.0.1:{bound}", list(exchange.instruments), *opened[2:]))
            if self.has_indices:
                deribit = publishers[INDICES] = _deribit(self.market, self.seed, now_ns)
                at = port + len(doors) if port else 0
                bound = await stack.enter_async_context(serving(deribit_app(deribit, faults), at))
                doors.append(Door(INDICES, f"127.0.0.1:{bound}", list(deribit.indices), "", ""))
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


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
