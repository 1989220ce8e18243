"""Coinbase's bytes: market channels twice, the user channel, REST for orders, history and the account."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple

import aiohttp
import msgspec
from yarl import URL

from ...data.decimals import Grid, parse_levels
from ...data.tape import ListingSpec
from ...errors import UserError
from ..budget import Budget, Use
from ..command import Command
from ..line import Line
from ..link import BannedError, Bar, Link, OpenOrder, afford
from ..sequencer import Sequencer
from .auth import Signer
from .clock import VenueClock
from .feed import CoinbaseFeed, Listing
from .gateway import BAN_MS, LIMITS, CoinbaseGateway
from .orders import Request, symbol_of

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
CONNECTIONS = 2  # one leads, the other stands by
CANDLES_MAX = 350  # of one request
HISTORY_MINUTES = 1000
MINUTE_S = 60
REQUEST_S = 5.0
CLOCK_LOOK_S = 0.25
ORDERS_MAX, CANCELS_MAX = 1000, 100  # of one request
REQUESTS_MAX = 256  # under way at once; what is more is not sent
DECIMALS_MAX = 9  # of a tick times a lot: finer money does not fit 64 bits


class Place(NamedTuple):
    """Where the venue is and who we are there."""

    rest: str  # http://127.0.0.1:PORT/api/v3/brokerage
    streams: str  # ws://127.0.0.1:PORT/ws
    user: str  # ws://127.0.0.1:PORT/user
    api_key: str
    secret: str


class CoinbaseLink(Link):
    """Products such as BTC-USD on Coinbase Advanced Trade."""

    name = "coinbase"

    def __init__(self, place: Place, symbols: list[str], now_ns: Callable[[], int]) -> None:
        self.place, self.symbols, self.now_ns = place, symbols, now_ns
        self.specs: dict[int, ListingSpec] = {}
        self.clock = VenueClock()
        self.feed: CoinbaseFeed
        self.gateway: CoinbaseGateway
        self._rest = URL(place.rest)
        self._lines: dict[int, Line] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self.budget = Budget(LIMITS, lambda: self.now_ns() // NS_PER_MS)  # of everything that uses the key

    def wire(self, sequencer: Sequencer, specs: dict[int, ListingSpec], epoch: str) -> None:
        self.specs = specs
        listings = [Listing(n, symbol_of(spec), Grid.of(spec.tick_size, spec.lot_size)) for n, spec in specs.items()]
        self.feed = CoinbaseFeed(sequencer, listings, self._say)
        self.gateway = CoinbaseGateway(
            sequencer,
            specs,
            self.place.api_key,
            self.place.secret,
            epoch,
            self._ask,
            lambda: self.now_ns() // NS_PER_MS,
            self.budget,
        )
        self.gateway.clock = self.clock

    def command(self, command: Command) -> None:
        self.gateway.command(command)

    def _venue_ns(self) -> int:
        """The venue's clock, by which it judges tokens."""
        return self.now_ns() + self.clock.offset_ms * NS_PER_MS

    async def _read_clock(self) -> None:
        asked_ms = self.now_ns() // NS_PER_MS
        venue_ms = int((await self._public("time"))["epochMillis"])
        self.clock.hear(asked_ms, self.now_ns() // NS_PER_MS, venue_ms)

    async def _keep_clock(self) -> None:
        while True:
            if self.gateway.banned_s == 0 and self.clock.is_due(self.now_ns() // NS_PER_MS):
                with contextlib.suppress(UserError, ValueError, LookupError, TypeError):
                    await self._read_clock()
            await asyncio.sleep(CLOCK_LOOK_S)

    def beat(self, now_ns: int) -> None:
        self.feed.check_holes(now_ns)
        self.gateway.check_unsent()
        for number, line in list(self._lines.items()):
            if self.gateway.is_silent() if number == CONNECTIONS else self.feed.is_silent(number):
                line.close()

    def health(self) -> str:
        feed, gateway = self.feed.counts, self.gateway.counts
        up = f"{len(self.feed.connections)} of {CONNECTIONS} lines up, orders {'up' if self.gateway.is_subscribed else 'down'}"
        shown = {
            "frames": feed["frames"],
            "taken over": feed["taken_over"],
            "gaps": feed["gaps"],
            "snapshots": feed["snapshots"],
            "refused": feed["refused"] + gateway["refused"],
            "unclear answers": gateway["unclear"],
            "orders not sent to keep the limits": self.budget.counts["entry"],
        }
        return up + "".join(f", {count:,} {name}" for name, count in shown.items() if count)

    # --- before the first decision ----------------------------------------------------------------------------
    async def describe(self) -> list[ListingSpec]:
        await self._read_clock()
        products = (await self._public("market/products"))["products"]
        known = {product["product_id"]: product for product in products}
        missing = [symbol for symbol in self.symbols if symbol not in known]
        if missing:
            raise UserError(f"{self.name} has no {', '.join(missing)}", f"it has {', '.join(sorted(known)[:20])}")
        return [spec_of(self.name, known[symbol]) for symbol in self.symbols]

    async def remember(self) -> list[Bar]:
        now_s, bars = self.now_ns() // NS_PER_S, list[Bar]()
        for listing_id, spec in self.specs.items():
            grid = Grid.of(spec.tick_size, spec.lot_size)
            for begin_s in range(now_s - HISTORY_MINUTES * MINUTE_S, now_s, CANDLES_MAX * MINUTE_S):
                span = {"start": begin_s, "end": begin_s + CANDLES_MAX * MINUTE_S - 1, "granularity": "ONE_MINUTE"}
                answer = await self._public(f"market/products/{symbol_of(spec)}/candles", **span)
                bars += [_bar_of(candle, listing_id, grid) for candle in answer["candles"]]
        return [bar for bar in bars if bar.ts_end_ns <= now_s * NS_PER_S]  # the running minute is not known yet

    async def balances(self) -> dict[str, Decimal]:
        free, cursor = dict[str, Decimal](), ""
        while True:
            page = await self._private("/accounts", limit=250, cursor=cursor)
            for row in page["accounts"]:
                amount = Decimal(row["available_balance"]["value"])
                free[row["currency"]] = free.get(row["currency"], Decimal(0)) + amount
            cursor = page["cursor"]
            if not (page["has_next"] and cursor):
                return free

    async def _open_orders(self) -> list[Any]:
        found = list[Any]()
        for symbol in self.symbols:
            asked = {"order_status": "OPEN", "product_ids": symbol, "limit": ORDERS_MAX}
            found += (await self._private("/orders/historical/batch", **asked))["orders"]
        return found

    async def resting_orders(self) -> list[str]:
        return [f"{order['product_id']} {order['side']} ({order['order_id']})" for order in await self._open_orders()]

    async def cancel_resting(self) -> None:
        ids = [order["order_id"] for order in await self._open_orders()]
        for begin in range(0, len(ids), CANCELS_MAX):
            await afford(self.budget, Use.NEEDED, PRIVATE=1)
            path, body = "/orders/batch_cancel", msgspec.json.encode({"order_ids": ids[begin : begin + CANCELS_MAX]})
            try:
                async with self.http.post(
                    self.place.rest + path, data=body, headers=self._signed("POST", path)
                ) as reply:
                    if reply.status != 200:
                        raise UserError(f"{self.name} refused to cancel: {(await reply.text())[:200]}")
            except (aiohttp.ClientError, TimeoutError) as error:
                raise UserError(f"{self.name}: {path}: {error or 'no answer'}") from None

    async def _public(self, path: str, **params: Any) -> Any:
        await afford(self.budget, Use.BACKGROUND, PUBLIC=1)
        return await self._asked(f"{self.place.rest}/{path}", None, **params)

    async def _private(self, path: str, **params: Any) -> Any:
        await afford(self.budget, Use.BACKGROUND, PRIVATE=1)
        return await self._asked(self.place.rest + path, self._signed("GET", path), **params)

    async def _asked(self, url: str, headers: dict[str, str] | None, **params: Any) -> Any:
        try:
            return msgspec.json.decode(await self.get(url, headers, **params))
        except BannedError:
            self.budget.hold_back(BAN_MS)
            raise

    @cached_property
    def _signer(self) -> Signer:
        """Made when it is needed: market data needs no key."""
        return Signer(self.place.api_key, self.place.secret)

    def _signed(self, method: str, path: str) -> dict[str, str]:
        token = self._signer.rest(method, self._rest.authority, self._rest.path + path, self._venue_ns() / NS_PER_S)
        return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    # --- while it runs ----------------------------------------------------------------------------------------
    def order_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return [self._keep_clock(), self._keep_user()]

    def market_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return [*map(self._keep_feed, range(CONNECTIONS))]

    def restore(self, orders: list[OpenOrder]) -> None:
        self.gateway.restore(orders)

    def unsettled(self) -> int:
        return self.gateway.unsettled()

    async def _keep_feed(self, number: int) -> None:
        """One market connection, opened again whenever it ends."""
        await self._keep(
            number,
            self.place.streams,
            lambda: self.feed.hear_up(number),
            lambda frame: self.feed.hear(number, frame),
            lambda: self.feed.hear_down(number),
        )

    async def _keep_user(self) -> None:
        def opened() -> None:
            self.gateway.hear_up()
            for frame in self.gateway.subscriptions():
                self._say(CONNECTIONS, frame)

        await self._keep(CONNECTIONS, self.place.user, opened, self.gateway.hear, self.gateway.hear_down)

    async def _keep(
        self, number: int, url: str, opened: Callable[[], None], hear: Callable[[Any], None], ended: Callable[[], None]
    ) -> None:
        """A connection on which something is said as well."""

        def begin(line: Line) -> None:
            self._lines[number] = line
            opened()

        def end() -> None:
            self._lines.pop(number, None)
            ended()

        await self.keep_connected(url, begin, hear, end)

    def _say(self, number: int, frame: str) -> None:
        """On a line that is down it is lost: whoever opens it again says all anew."""
        if number in self._lines:
            self._lines[number].send(frame)

    # --- orders -----------------------------------------------------------------------------------------------
    def _ask(self, request: Request) -> None:
        """Signed when it is sent: an order's token is short-lived, and so late orders are refused."""
        if len(self._asking) < REQUESTS_MAX:
            self._start(self._answer(request, self._signed(request.method, request.path)))
        else:
            asyncio.get_running_loop().call_soon(self.gateway.hear_failure, request.id)

    def _start(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(what)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _answer(self, request: Request, headers: dict[str, str]) -> None:
        url, timeout = URL(self.place.rest + request.path, encoded=True), aiohttp.ClientTimeout(total=REQUEST_S)
        try:
            async with self.http.request(
                request.method, url, data=request.body or None, headers=headers, timeout=timeout
            ) as reply:
                body = await reply.read()
        except (aiohttp.ClientError, OSError, TimeoutError):
            self.gateway.hear_failure(request.id)
        else:
            self.gateway.hear_answer(request.id, reply.status, body)


def _bar_of(candle: dict[str, str], listing_id: int, grid: Grid) -> Bar:
    rows = [[candle[name], "0"] for name in ("open", "high", "low")] + [[candle["close"], candle["volume"]]]
    levels = parse_levels([msgspec.json.encode(rows)], grid).rows
    return Bar((int(candle["start"]) + MINUTE_S) * NS_PER_S, listing_id, levels)


def spec_of(venue: str, product: dict[str, Any]) -> ListingSpec:
    """An instrument from its product; a lot is a few base increments where one would be too fine for exact money."""
    tick, increment = (Decimal(product[name]).normalize() for name in ("price_increment", "base_increment"))
    exponent = tick.as_tuple().exponent
    assert isinstance(exponent, int), tick
    lot = max(increment, Decimal(1).scaleb(-exponent - DECIMALS_MAX))
    base, quote = product["base_currency_id"], product["quote_currency_id"]
    return ListingSpec(
        venue=venue,
        symbol=f"{base}/{quote}",
        kind="spot",
        base=base,
        quote=quote,
        settle=quote,
        tick_size=tick,
        lot_size=lot.normalize(),
        lots_min=max(1, -int(-Decimal(product["base_min_size"]) // lot)),
        notional_min=Decimal(product["quote_min_size"]),
    )
