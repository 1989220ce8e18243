"""The road to any other venue: ccxt.pro, an extra (`pip install '.[ccxt]'`), for its feeds and, by REST, for our orders.

Slower than a road of our own by an order of magnitude, and as good as ccxt's knowledge of the venue. Spot only.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from decimal import Decimal
from typing import Any

from ...data.decimals import Grid, parse_levels
from ...data.tape import ListingSpec
from ...errors import ExitCode, UserError
from ..link import BACKOFF_MAX_S, BACKOFF_S, Bar, Link, OpenOrder
from ..orders import NS_PER_MS
from ..sequencer import Sequencer
from .feed import CcxtFeed, exact
from .gateway import CREATE, QUERY, CcxtGateway, Request

HISTORY_MINUTES_MAX = 1000
REQUESTS_MAX = 256  # under way
MINUTE_MS = 60_000
TICK_SIZE = 4  # ccxt's precisionMode: precisions are steps
NAME_PARAMETERS = {"coinbase": "client_order_id"}  # elsewhere ccxt's own clientOrderId


def exchange_of(name: str, api_key: str = "", secret: str = "") -> Any:
    """ccxt.pro's client of a venue. Raises UserError without ccxt, or without such a venue."""
    try:
        import ccxt.pro as ccxt  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        raise UserError(f"{name}: ccxt is not installed", "pip install '.[ccxt]'", ExitCode.USAGE) from None
    if name not in ccxt.exchanges:
        raise UserError(f"ccxt has no live feed of {name!r}", f"it has {', '.join(ccxt.exchanges)}", ExitCode.USAGE)
    return getattr(ccxt, name)({"apiKey": api_key, "secret": secret, "options": {"defaultType": "spot"}})


class OrderNotFound(Exception):
    """Called as ccxt calls it: none of the account's orders bears the name."""


class CcxtLink(Link):
    """Instruments as ccxt writes them (BTC/USDT) on one venue."""

    def __init__(self, exchange: Any, symbols: list[str], now_ns: Callable[[], int]) -> None:
        self.exchange, self.symbols, self.now_ns = exchange, symbols, now_ns
        self.name = str(exchange.id)
        self.specs: dict[int, ListingSpec] = {}
        self.feed: CcxtFeed
        self.gateway: CcxtGateway
        self._asked: set[asyncio.Task[None]] = set()

    def wire(self, sequencer: Sequencer, specs: dict[int, ListingSpec], epoch: str) -> None:
        self.specs = specs
        self.feed = CcxtFeed(sequencer, self.name, specs)
        self.gateway = CcxtGateway(sequencer, specs, epoch, self._send, lambda: self.now_ns() // NS_PER_MS)

    def command(self, command: Any) -> None:
        self.gateway.command(command)

    def restore(self, orders: list[OpenOrder]) -> None:
        self.gateway.restore(orders)

    def unsettled(self) -> int:
        return self.gateway.unsettled()

    def beat(self, now_ns: int) -> None:
        """ccxt watches over its connections itself."""

    def health(self) -> str:
        live = sum(listing.is_live for listing in self.feed.listings.values())
        shown = {name: self.feed.counts[name] for name in ("frames", "gaps", "refused")}
        shown["unclear answers"] = self.gateway.counts["unclear"]
        books = f"by ccxt, {live} of {len(self.specs)} books live"
        return books + "".join(f", {count:,} {name}" for name, count in shown.items() if count)

    # --- before the first decision ----------------------------------------------------------------------------
    async def describe(self) -> list[ListingSpec]:
        try:
            return self._specs(await self._asking(self.exchange.load_markets()))
        except BaseException:
            await self.exchange.close()
            raise

    def _specs(self, markets: dict[str, Any]) -> list[ListingSpec]:
        missing = [symbol for symbol in self.symbols if symbol not in markets]
        if missing:
            raise UserError(f"{self.name} has no {', '.join(missing)}", "ccxt writes BTC/USDT")
        if self.exchange.precisionMode != TICK_SIZE:
            raise UserError(f"{self.name}: ccxt tells digits, not steps", "this venue needs a road of its own")
        return [spec_of(self.name, markets[symbol]) for symbol in self.symbols]

    async def remember(self) -> list[Bar]:
        bars = list[Bar]()
        if not self.exchange.has.get("fetchOHLCV"):
            return bars
        for listing_id, spec in self.specs.items():
            grid = Grid.of(spec.tick_size, spec.lot_size)
            fetched = self.exchange.fetch_ohlcv(spec.symbol, "1m", limit=HISTORY_MINUTES_MAX)
            for ms, *prices, volume in await self._asking(fetched):
                end_ns = (int(ms) + MINUTE_MS) * NS_PER_MS
                if end_ns <= self.now_ns():
                    texts = [f'["{exact(price):f}","0"]' for price in prices[:3]]
                    texts.append(f'["{exact(prices[3]):f}","{exact(volume):f}"]')
                    bars.append(Bar(end_ns, listing_id, parse_levels([f"[{','.join(texts)}]".encode()], grid).rows))
        return bars

    async def balances(self) -> dict[str, Decimal]:
        found = await self._asking(self.exchange.fetch_balance())
        return {asset: exact(amount) for asset, amount in found["free"].items() if amount is not None}

    async def _asking(self, answer: Awaitable[Any]) -> Any:
        """What must succeed before anything begins: whatever ccxt raises is told."""
        try:
            return await answer
        except Exception as error:  # a library of a hundred venues  # noqa: BLE001
            raise UserError(f"{self.name}, by ccxt: {type(error).__name__}: {str(error)[:200]}") from None

    # --- while it runs ----------------------------------------------------------------------------------------
    def order_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return []

    def market_tasks(self) -> list[Coroutine[Any, Any, None]]:
        symbols = list(self.feed.listings)
        return [*map(self._keep_book, symbols), *map(self._keep_trades, symbols), self._keep_open()]

    async def _keep_open(self) -> None:
        """ccxt's connections end with the run."""
        try:
            await asyncio.Event().wait()
        finally:
            await self.exchange.close()

    async def _keep_book(self, symbol: str) -> None:
        async def watch() -> None:
            self.feed.hear_book(symbol, await self.exchange.watch_order_book(symbol))

        await self._keep(watch, lambda: self.feed.hear_lost(symbol))

    async def _keep_trades(self, symbol: str) -> None:
        async def watch() -> None:
            self.feed.hear_trades(symbol, await self.exchange.watch_trades(symbol))

        await self._keep(watch, lambda: None)

    async def _keep(self, watch: Callable[[], Awaitable[None]], lost: Callable[[], None]) -> None:
        """Again and again; a little later each time it fails."""
        wait_s = BACKOFF_S
        while True:
            try:
                await watch()
                wait_s = BACKOFF_S
            except UserError:
                raise  # ours: the journal's disk is full
            except Exception:  # whatever it is, ccxt has lost the stream and begins anew  # noqa: BLE001
                self.feed.counts["errors"] += 1
                lost()
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, BACKOFF_MAX_S)

    # --- orders -----------------------------------------------------------------------------------------------
    def _send(self, request: Request) -> None:
        """Under way at once, beside all others. Too many: an order is refused, a question waits for the next time."""
        if len(self._asked) >= REQUESTS_MAX:
            asyncio.get_running_loop().call_soon(
                self.gateway.hear_error, request.order_id, request.what, ("RateLimitExceeded",)
            )
            return
        task = asyncio.create_task(self._perform(request))
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def _perform(self, request: Request) -> None:
        what, order_id = request.what, request.order_id
        try:
            if what == CREATE:
                answer = await self._create(request)
            elif what == QUERY:
                answer = await self._find(request)
            else:
                answer = await self.exchange.fetch_my_trades(request.symbol, request.since_ms - MINUTE_MS)
        except Exception as error:  # which of them are a clear no is said in the gateway  # noqa: BLE001
            self.gateway.hear_error(order_id, what, [one.__name__ for one in type(error).__mro__])
            return
        if what in (CREATE, QUERY):
            self.gateway.hear_order(order_id, answer)
        else:
            self.gateway.hear_trades(order_id, answer)

    async def _create(self, request: Request) -> Any:
        """Once. ccxt's rounding is of no effect: the numbers lie on the venue's grid, and so do their shortest texts."""
        named = {NAME_PARAMETERS.get(self.name, "clientOrderId"): request.name, "timeInForce": "IOC"}
        amount, price = float(request.amount), float(request.price)
        return await self.exchange.create_order(request.symbol, "limit", request.side, amount, price, named)

    async def _find(self, request: Request) -> Any:
        """By the venue's number; before that is known, by our name among the account's orders since it was sent."""
        if request.venue_id:
            return await self.exchange.fetch_order(request.venue_id, request.symbol)
        orders = await self.exchange.fetch_orders(request.symbol, request.since_ms - MINUTE_MS)
        found = [order for order in orders if order.get("clientOrderId") == request.name]
        if not found:
            raise OrderNotFound(request.name)
        return found[0]


def spec_of(venue: str, market: dict[str, Any]) -> ListingSpec:
    """An instrument from ccxt's market. Raises UserError for what has no steps or is no spot."""
    precision, limits = market["precision"], market["limits"]
    if not market.get("spot") or not precision.get("price") or not precision.get("amount"):
        raise UserError(f"{venue} {market['symbol']}: no spot market with steps of price and amount", "leave it out")
    lot = exact(precision["amount"]).normalize()
    least, cost = limits["amount"].get("min") or 0, (limits.get("cost") or {}).get("min") or 0
    return ListingSpec(
        venue=venue,
        symbol=market["symbol"],
        kind="spot",
        base=market["base"],
        quote=market["quote"],
        settle=market["quote"],
        tick_size=exact(precision["price"]).normalize(),
        lot_size=lot,
        lots_min=max(1, -int(-exact(least) // lot)),
        notional_min=exact(cost),
    )
