"""The road to any other venue: ccxt.pro, an extra (`pip install '.[ccxt]'`), for its feeds and, by REST, for our orders.

Slower than a road of our own by an order of magnitude, and as good as ccxt's knowledge of the venue. Spot, or linear
perpetuals: nobody tells us of fills and funding, so both are asked for.
"""

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from decimal import Decimal
from typing import Any

import aiohttp

from ...core.kinds import Kind, OperatorCommand
from ...data.decimals import Grid, parse_levels
from ...data.tape import ListingSpec
from ...errors import UserError
from ..binance.futures_setup import LiquidationWatch
from ..command import Command
from ..link import BACKOFF_MAX_S, BACKOFF_S, Bar, Link, OpenOrder
from ..orders import NS_PER_MS
from ..sequencer import Sequencer
from .client import Redirected, check_orders
from .feed import CcxtFeed, exact
from .gateway import CREATE, FUNDING, QUERY, CcxtGateway, Request
from .markets import Instrument, chosen, instrument_of
from .perpetuals import check_able, contracts_of, make_ready, risks_of

HISTORY_MINUTES_MAX = 1000
REQUESTS_MAX = 256  # under way
MINUTE_MS = 60_000
POSITIONS_CHECK_S = 10.0
CHECKS_PER_FUNDING = 3
NOTICES_MAX = 100
NAME_PARAMETERS = {"coinbase": "client_order_id"}  # elsewhere ccxt's own clientOrderId


class OrderNotFound(Exception):
    """Called as ccxt calls it: none of the account's orders bears the name."""


class CcxtLink(Link):
    """Instruments of one venue, as ccxt writes them (BTC/USDT, BTC/USDT:USDT) or by their base (BTC)."""

    def __init__(
        self, exchange: Any, wishes: list[str], now_ns: Callable[[], int], stands_for: Mapping[str, str] | None = None
    ) -> None:
        """`stands_for`: the venue's addresses, and those that are asked instead; no other is."""
        self.exchange, self.wishes, self.now_ns, self.stands_for = exchange, wishes, now_ns, stands_for
        self.name = str(exchange.id)
        self.instruments: list[Instrument] = []
        self.specs: dict[int, ListingSpec] = {}
        self.feed: CcxtFeed
        self.gateway: CcxtGateway
        self._asked: set[asyncio.Task[None]] = set()
        self._watch = LiquidationWatch()
        self._notices = deque[str](maxlen=NOTICES_MAX)
        self._odd = dict[int, Decimal]()  # positions that differed from ours when last looked at

    def open(self, http: aiohttp.ClientSession) -> None:
        super().open(http)
        self.exchange.session = http if self.stands_for is None else Redirected(http, self.stands_for)
        self.exchange.own_session = False

    async def close(self) -> None:
        for task in self._asked:
            task.cancel()
        await self.exchange.close()

    def wire(self, sequencer: Sequencer, specs: dict[int, ListingSpec], epoch: str) -> None:
        self.specs = specs
        lots = {n: one.lot for one in self.instruments for n, spec in specs.items() if spec.symbol == one.spec.symbol}
        self.feed = CcxtFeed(sequencer, self.name, specs, lots)
        self.gateway = CcxtGateway(sequencer, specs, epoch, self._send, lambda: self.now_ns() // NS_PER_MS, lots)

    def command(self, command: Command) -> None:
        self.gateway.command(command)

    def restore(self, orders: list[OpenOrder]) -> None:
        self.gateway.restore(orders)

    def unsettled(self) -> int:
        return self.gateway.unsettled()

    def beat(self, now_ns: int) -> None:
        """ccxt watches over its connections itself; it does not tell us of orders."""
        self.gateway.beat(now_ns // NS_PER_MS)

    def health(self) -> str:
        live = sum(listing.is_live for listing in self.feed.listings.values())
        shown = {name: self.feed.counts[name] for name in ("frames", "gaps", "refused")}
        shown["unclear answers"] = self.gateway.counts["unclear"]
        books = f"by ccxt, {live} of {len(self.specs)} books live"
        return books + "".join(f", {count:,} {name}" for name, count in shown.items() if count)

    # --- before the first decision ----------------------------------------------------------------------------
    async def describe(self) -> list[ListingSpec]:
        markets = await self._asking(self.exchange.load_markets())
        symbols = list(dict.fromkeys(chosen(self.name, markets, wish) for wish in self.wishes))
        self.instruments = [instrument_of(self.name, markets[symbol]) for symbol in symbols]
        kinds = {one.spec.kind for one in self.instruments}
        self.exchange.options["defaultType"] = "swap" if kinds == {"linear"} else "spot"
        return [one.spec for one in self.instruments]

    @property
    def perpetuals(self) -> list[str]:
        return [one.spec.symbol for one in self.instruments if one.spec.kind == "linear"]

    async def remember(self) -> list[Bar]:
        bars = list[Bar]()
        if not self.exchange.has.get("fetchOHLCV"):
            return bars
        for listing_id, spec in self.specs.items():
            if self._contract(spec) != 1:
                self._notices.append(
                    f"{spec.symbol}: no history, whose volumes are coins at some venues, contracts at others"
                )
                continue
            grid = Grid.of(spec.tick_size, spec.lot_size)
            fetched = self.exchange.fetch_ohlcv(spec.symbol, "1m", limit=HISTORY_MINUTES_MAX)
            for ms, *prices, volume in await self._asking(fetched):
                end_ns = (int(ms) + MINUTE_MS) * NS_PER_MS
                if end_ns <= self.now_ns():
                    texts = [f'["{exact(price):f}","0"]' for price in prices[:3]]
                    texts.append(f'["{exact(prices[3]):f}","{exact(volume):f}"]')
                    bars.append(Bar(end_ns, listing_id, parse_levels([f"[{','.join(texts)}]".encode()], grid).rows))
        return bars

    def _contract(self, spec: ListingSpec) -> Decimal:
        """Coins of what the venue counts amounts in."""
        return next(spec.lot_size / one.lot for one in self.instruments if one.spec.symbol == spec.symbol)

    def check_able(self) -> None:
        """Can ccxt do there what orders need? Raises UserError."""
        check_orders(self.exchange)
        if 0 < len(self.perpetuals) < len(self.instruments):
            raise UserError(f"{self.name}: coins and perpetuals in one run, which hold their money apart", "choose one")
        if self.perpetuals:
            check_able(self.exchange)

    async def balances(self) -> dict[str, Decimal]:
        """Coins that are free; of perpetuals the wallet, without what open positions would bring. Makes the account ready."""
        self.check_able()
        if not self.perpetuals:
            found = await self._asking(self.exchange.fetch_balance())
            free = {asset: exact(amount) for asset, amount in found["free"].items() if amount is not None}
            missing = sorted({one.spec.settle for one in self.instruments} - free.keys())
            self._notices.extend(f"the account holds no {asset}" for asset in missing)
            return free
        await make_ready(self.exchange, self.perpetuals)
        found = await self._asking(self.exchange.fetch_balance())
        wallet = {asset: exact(amount) for asset, amount in found["total"].items() if amount}
        for position in await self._positions():
            asset = self.exchange.markets[position["symbol"]]["settle"]
            wallet[asset] = wallet.get(asset, Decimal(0)) - Decimal(str(position.get("unrealizedPnl") or 0))
        return wallet

    async def positions(self) -> dict[int, Decimal]:
        """In coins."""
        held = contracts_of(await self._positions())
        linear = {n: spec for n, spec in self.specs.items() if spec.kind == "linear"}
        return {n: held.get(spec.symbol, Decimal(0)) * self._contract(spec) for n, spec in linear.items()}

    async def entry_prices(self) -> dict[int, Decimal]:
        paid = {one["symbol"]: exact(one.get("entryPrice") or 0) for one in await self._positions()}
        return {listing_id: paid.get(spec.symbol, Decimal(0)) for listing_id, spec in self.specs.items()}

    async def resting_orders(self) -> list[str]:
        words = ("symbol", "side", "amount", "price", "id")
        return ["{} {} {} at {} ({})".format(*map(order.get, words)) for order in await self._open_orders()]

    async def cancel_resting(self) -> None:
        for order in await self._open_orders():
            await self._asking(self.exchange.cancel_order(order["id"], order["symbol"]))

    async def _open_orders(self) -> list[dict[str, Any]]:
        if not self.exchange.has.get("fetchOpenOrders"):
            self._notices.append("ccxt has no fetchOpenOrders there: orders that are open already are not seen")
            return []
        symbols = [spec.symbol for spec in self.specs.values()]
        return [order for symbol in symbols for order in await self._asking(self.exchange.fetch_open_orders(symbol))]

    async def _positions(self) -> list[dict[str, Any]]:
        if not self.perpetuals:
            return []
        found: list[dict[str, Any]] = await self._asking(self.exchange.fetch_positions(self.perpetuals))
        return [position for position in found if position.get("contracts")]

    async def _asking(self, answer: Awaitable[Any]) -> Any:
        """What must succeed before anything begins: whatever ccxt raises is told."""
        try:
            return await answer
        except Exception as error:  # a library of a hundred venues  # noqa: BLE001
            raise UserError(f"{self.name}, by ccxt: {type(error).__name__}: {str(error)[:200]}") from None

    # --- while it runs ----------------------------------------------------------------------------------------
    def order_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return [self._keep_positions()] if self.perpetuals else []

    def market_tasks(self) -> list[Coroutine[Any, Any, None]]:
        symbols = list(self.feed.listings)
        return [*map(self._keep_book, symbols), *map(self._keep_trades, symbols)]

    def notices(self) -> list[str]:
        found = list(self._notices)
        self._notices.clear()
        return found

    async def _keep_positions(self) -> None:
        """What funding has cost, how far liquidation is, and whether what we hold is what the venue says."""
        for n in itertools.count(1):
            await asyncio.sleep(POSITIONS_CHECK_S)
            if n % CHECKS_PER_FUNDING == 0:
                for symbol in self.perpetuals:
                    self.gateway.ask_funding(symbol)
            with contextlib.suppress(UserError):  # asked again
                await self._check_positions()

    async def _check_positions(self) -> None:
        """A position that differs twice, while no order is open, was changed by somebody else: nothing is entered any more."""
        sent, was_quiet = len(self.gateway.orders), self.gateway.is_quiet
        found = await self._positions()
        self._notices.extend(self._watch.hear(risks_of(found)))
        if not was_quiet or sent != len(self.gateway.orders):
            return
        held, trader = contracts_of(found), self.feed.sequencer.trader
        odd = {}
        for listing_id, spec in self.specs.items():
            decimals = self.feed.sequencer.universe.decimals[spec.base]
            ours = Decimal(int(trader["inventory"][listing_id]["held_atoms"])).scaleb(-decimals)
            theirs = held.get(spec.symbol, Decimal(0)) * self._contract(spec)
            if ours != theirs:
                odd[listing_id] = theirs - ours
        if odd and odd == self._odd and not self.gateway.counts["forced"]:
            self.gateway.counts["forced"] += 1
            names = ", ".join(f"{self.specs[n].symbol} by {by:+f}" for n, by in odd.items())
            self._notices.append(f"HALTED, nothing is entered: the venue holds something else than we: {names}")
            self.feed.sequencer.hear(Kind.OPERATOR, 0, code=OperatorCommand.HALT)
        self._odd = odd

    async def _keep_book(self, symbol: str) -> None:
        async def watch() -> None:
            self.feed.hear_book(symbol, await self.exchange.watch_order_book(symbol))

        await self._keep(watch, lambda: self.feed.hear_lost(symbol))

    async def _keep_trades(self, symbol: str) -> None:
        heard = [self.feed.pass_over, self.feed.hear_trades]  # the first time, and ever after

        async def watch() -> None:
            trades = await self.exchange.watch_trades(symbol)
            heard[0](symbol, trades)
            heard[:-1] = []

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
            elif what == FUNDING:
                answer = await self.exchange.fetch_funding_history(request.symbol, request.since_ms)
            else:
                answer = await self.exchange.fetch_my_trades(request.symbol, request.since_ms - MINUTE_MS)
        except Exception as error:  # which of them are a clear no is said in the gateway  # noqa: BLE001
            self.gateway.hear_error(order_id, what, [one.__name__ for one in type(error).__mro__])
            return
        if what in (CREATE, QUERY):
            self.gateway.hear_order(order_id, answer)
        elif what == FUNDING:
            self.gateway.hear_funding(request.symbol, answer)
        else:
            self.gateway.hear_trades(order_id, answer)

    async def _create(self, request: Request) -> Any:
        """Once. ccxt's rounding is of no effect: the numbers lie on the venue's grid, and so do their shortest texts."""
        named: dict[str, Any] = {NAME_PARAMETERS.get(self.name, "clientOrderId"): request.name, "timeInForce": "IOC"}
        named |= {"reduceOnly": True} if request.is_reduce_only else {}
        amount, price = float(request.amount), float(request.price)
        return await self.exchange.create_order(request.symbol, "limit", request.side, amount, price, named)

    async def _find(self, request: Request) -> Any:
        """By the venue's number; before that is known, by our name among the account's orders since it was sent."""
        if request.venue_id:
            return await self.exchange.fetch_order(request.venue_id, request.symbol)
        orders = await self._orders_since(request.symbol, request.since_ms - MINUTE_MS)
        found = [order for order in orders if order.get("clientOrderId") == request.name]
        if not found:
            raise OrderNotFound(request.name)
        return found[0]

    async def _orders_since(self, symbol: str, since_ms: int) -> list[Any]:
        """All the account's orders; where a venue lists them in several places, from each of them."""
        has, exchange = self.exchange.has, self.exchange
        if has.get("fetchOrders"):
            return list(await exchange.fetch_orders(symbol, since_ms))
        if has.get("fetchCanceledAndClosedOrders"):
            lists = [exchange.fetch_canceled_and_closed_orders]
        else:
            lists = [exchange.fetch_closed_orders]
            lists += [exchange.fetch_canceled_orders] if has.get("fetchCanceledOrders") else []
        lists += [exchange.fetch_open_orders] if has.get("fetchOpenOrders") else []
        return [order for ask in lists for order in await ask(symbol, since_ms)]
