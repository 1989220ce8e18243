"""Binance Spot's bytes: market streams twice, REST for snapshots, history and the account, the WebSocket API for orders."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlencode

import aiohttp
import msgspec

from ...data.decimals import Grid, parse_levels
from ...data.tape import ListingSpec
from ...errors import UserError
from ..budget import Budget, Use, limits_of
from ..command import Command
from ..line import Line
from ..link import BannedError, Bar, Link, OpenOrder, afford
from ..sequencer import Sequencer
from .feed import BinanceFeed, Listing
from .gateway import BinanceGateway
from .orders import BinanceOrders, Json, signature_of, symbol_of

NS_PER_MS = 1_000_000
CONNECTIONS = 2  # what one loses the other brings
HISTORY_MINUTES_MAX = 1000  # of one request
SNAPSHOT_LIMIT = 1000
NOTHING_OPEN = b"-2011"
COIN, COIN_EVERY_S, COIN_PRICE_MAX = "BNB", 60.0, 10**9  # with which fees may be paid
NOTICES_MAX = 100
SNAPSHOT_PAUSE_S = 0.5  # between attempts: snapshots are dear


class Place(NamedTuple):
    """Where a venue is and who we are there."""

    rest: str  # http://127.0.0.1:PORT
    streams: str  # ws://127.0.0.1:PORT
    api: str  # ws://127.0.0.1:PORT/ws-api/v3
    api_key: str
    secret: str


class BinanceLink(Link):
    """Instruments such as BTCUSDT on Binance Spot."""

    name = "binance"
    prefix = "/api/v3"  # of REST
    signed_root = "/api/v3"
    public = ""  # of market streams
    open_path = cancel_path = "openOrders"
    coin_path, coin_price = "ticker/bookTicker", "bidPrice"
    orders: ClassVar[type[BinanceOrders]] = BinanceGateway
    weights: ClassVar[Mapping[str, int]] = MappingProxyType(  # of REST; 1 where nothing stands
        {"exchangeInfo": 20, "klines": 2, "depth": 50, "account": 20, "account/commission": 20, "openOrders": 6}
        | {"ticker/bookTicker": 2}
    )

    def __init__(self, place: Place, symbols: list[str], now_ns: Callable[[], int]) -> None:
        self.place, self.symbols, self.now_ns = place, symbols, now_ns
        self.specs: dict[int, ListingSpec] = {}
        self.feed: BinanceFeed
        self.gateway: BinanceOrders
        self.is_paid_in_coin = False
        self._notices = deque[str](maxlen=NOTICES_MAX)
        self._wanted: asyncio.Queue[str] = asyncio.Queue()
        self._line: Line | None = None  # of orders
        self.budget = Budget(self.orders.limits, self.now_ms)  # of everything that uses the key

    def wire(self, sequencer: Sequencer, specs: dict[int, ListingSpec], epoch: str) -> None:
        self.specs = specs
        listings = [Listing(n, symbol_of(spec), Grid.of(spec.tick_size, spec.lot_size)) for n, spec in specs.items()]
        self.make(sequencer, listings, epoch)

    def make(self, sequencer: Sequencer, listings: list[Listing], epoch: str) -> None:
        """Feed and gateway."""
        self.feed = BinanceFeed(sequencer, listings, self._wanted.put_nowait)
        key, send = (self.place.api_key, self.place.secret), self.send
        self.gateway = BinanceGateway(sequencer, self.specs, *key, epoch, send, self.now_ms, self.budget)

    def now_ms(self) -> int:
        return self.now_ns() // NS_PER_MS

    def command(self, command: Command) -> None:
        self.gateway.command(command)

    def beat(self, now_ns: int) -> None:
        self.feed.check_holes(now_ns)
        self.gateway.check_unsent()

    def health(self) -> str:
        feed, gateway = self.feed.counts, self.gateway.counts
        lines = f"{len(self.feed.connections)} of {CONNECTIONS} lines up, orders {'up' if self.gateway.is_subscribed else 'down'}"
        shown = {
            "frames": self.feed.frames,
            "repaired": sum(listing.depth.repaired for listing in self.feed.listings.values()),
            "gaps": feed["gaps"],
            "snapshots": feed["snapshots"],
            "refused": feed["refused"] + gateway["refused"],
            "unclear answers": gateway["unclear"],
            "orders not sent to keep the limits": self.budget.counts["entry"],
        }
        return lines + "".join(f", {count:,} {name}" for name, count in shown.items() if count)

    # --- before the first decision ----------------------------------------------------------------------------
    async def describe(self) -> list[ListingSpec]:
        info = await self._json("exchangeInfo")
        self.budget.learn(limits_of(info.get("rateLimits", [])))
        known = {entry["symbol"]: entry for entry in info["symbols"]}
        missing = [symbol for symbol in self.symbols if symbol not in known]
        if missing:
            raise UserError(f"{self.name} has no {', '.join(missing)}", f"it has {', '.join(sorted(known)[:20])}")
        return [spec_of(self.name, known[symbol]) for symbol in self.symbols]

    async def remember(self) -> list[Bar]:
        bars = []
        for listing_id, spec in self.specs.items():
            rows = await self._json("klines", symbol=symbol_of(spec), interval="1m", limit=HISTORY_MINUTES_MAX)
            grid = Grid.of(spec.tick_size, spec.lot_size)
            for row in rows:
                end_ns = (int(row[6]) + 1) * NS_PER_MS
                if end_ns <= self.now_ns():  # the running minute is not known yet
                    text = ",".join(f'["{price}","0"]' for price in row[1:4]) + f',["{row[4]}","{row[5]}"]'
                    bars.append(Bar(end_ns, listing_id, parse_levels([f"[{text}]".encode()], grid).rows))
        return bars

    async def settle_in(self) -> None:
        """What is signed is stamped with the venue's time, whatever ours says."""
        self.gateway.offset_ms = int((await self._json("time"))["serverTime"]) - self.now_ms()
        self.is_paid_in_coin = await self.pays_in_coin()
        if self.is_paid_in_coin:
            await self._read_coin()
            self._notices.append(
                f"fees are paid with {COIN}, which is set aside: they are counted at its last price "
                f"({self.gateway.coin_prices.get(COIN, 'unknown: as much as they usually are')})"
            )

    async def pays_in_coin(self) -> bool:
        """Is "pay fees with BNB" switched on?"""
        answer = await self._signed("account/commission", symbol=self.symbols[0])
        return bool(answer["discount"]["enabledForAccount"])

    async def _read_coin(self) -> None:
        """What the coin is worth; where nobody says, fees are estimated."""
        settle = next(iter(self.specs.values())).settle
        with contextlib.suppress(UserError, ValueError, ArithmeticError, LookupError, TypeError):
            found = await self._json(self.coin_path, symbol=COIN + settle)
            price = Decimal(found[self.coin_price])
            if price.is_finite() and 0 < price < COIN_PRICE_MAX:
                self.gateway.coin_prices[COIN] = price

    async def _keep_coin(self) -> None:
        """Asked again and again once it matters."""
        while True:
            await asyncio.sleep(COIN_EVERY_S)
            if self.is_paid_in_coin or self.gateway.counts["foreign_fees"]:
                await self._read_coin()

    def notices(self) -> list[str]:
        found = list(self._notices)
        self._notices.clear()
        return found

    async def balances(self) -> dict[str, Decimal]:
        account = await self._signed("account")
        return {row["asset"]: Decimal(row["free"]) for row in account["balances"]}

    async def _json(self, path: str, **params: Any) -> Any:
        await self._afford(path)
        return msgspec.json.decode(await self.get(f"{self.place.rest}{self.prefix}/{path}", **params))

    async def _afford(self, path: str, use: Use = Use.BACKGROUND) -> None:
        await afford(self.budget, use, REQUEST_WEIGHT=self.weights.get(path, 1), RAW_REQUESTS=1)

    def hear_headers(self, headers: Mapping[str, str]) -> None:
        used = headers.get("X-MBX-USED-WEIGHT-1M", "")
        if used.isdecimal():
            self.budget.hear_used("REQUEST_WEIGHT", 60_000, int(used))
        wait_s = headers.get("Retry-After", "")
        if wait_s.isdecimal():
            self.budget.hold_back(int(wait_s) * 1000)

    async def resting_orders(self) -> list[str]:
        rows = [
            row for spec in self.specs.values() for row in await self._signed(self.open_path, symbol=symbol_of(spec))
        ]
        return [
            f"{row['symbol']} {row['side']} {Decimal(row['origQty']).normalize():f} at {row['price']}" for row in rows
        ]

    async def cancel_resting(self) -> None:
        for spec in self.specs.values():
            status, body = await self._request("DELETE", self.cancel_path, {"symbol": symbol_of(spec)})
            if status != 200 and NOTHING_OPEN not in body:
                raise UserError(f"{self.name} refused to cancel: {body[:200].decode(errors='replace')}")

    async def _signed(self, path: str, **params: Any) -> Any:
        """What a GET answers; UserError when the venue refuses."""
        await self._afford(path)
        url = f"{self.place.rest}{self.signed_root}/{path}?{self.sign(params)}"
        return msgspec.json.decode(await self.get(url, {"X-MBX-APIKEY": self.place.api_key}))

    async def _request(self, method: str, path: str, params: Json) -> tuple[int, bytes]:
        """A signed request; (status, body)."""
        await self._afford(path, Use.NEEDED)
        url = f"{self.place.rest}{self.signed_root}/{path}?{self.sign(params)}"
        try:
            async with self.http.request(method, url, headers={"X-MBX-APIKEY": self.place.api_key}) as reply:
                self.hear_headers(reply.headers)
                return reply.status, await reply.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UserError(f"{self.name}: {path} at {self.place.rest}: {error or 'no answer'}") from None

    def sign(self, params: dict[str, Any]) -> str:
        """A query that is ours and of now."""
        query = urlencode(params | {"timestamp": self.now_ms() + self.gateway.offset_ms})
        return f"{query}&signature={signature_of(self.place.secret, query)}"

    # --- while it runs ----------------------------------------------------------------------------------------
    def order_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return [self._keep_gateway(), self._keep_coin()]

    def market_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return [*map(self._keep_feed, range(CONNECTIONS)), self._keep_books()]

    def restore(self, orders: list[OpenOrder]) -> None:
        self.gateway.restore(orders)

    def unsettled(self) -> int:
        return self.gateway.unsettled()

    async def _keep_feed(self, connection: int) -> None:
        """One market connection, opened again whenever it ends."""
        await self.keep_connected(
            f"{self.place.streams}{self.public}/stream?streams={self.feed.streams()}",
            lambda _line: self.feed.hear_up(connection),
            lambda frame: self.feed.hear(connection, frame),
            lambda: self.feed.hear_down(connection),
        )

    async def _keep_gateway(self) -> None:
        """The order connection."""

        def opened(line: Line) -> None:
            self._line = line
            self.gateway.hear_up()

        def ended() -> None:
            self._line = None
            self.gateway.hear_down()

        await self.keep_connected(self.place.api, opened, self.gateway.hear, ended)

    def send(self, text: str) -> None:
        """A request leaves at once; one that cannot is lost, as on the way, and asked about."""
        if self._line is not None:
            self._line.send(text)

    async def _keep_books(self) -> None:
        """Snapshots for books that need one, one at a time."""
        while True:
            symbol = await self._wanted.get()
            while True:
                try:
                    await self._afford("depth")
                    url = f"{self.place.rest}{self.prefix}/depth"
                    if self.feed.hear_snapshot(symbol, await self.get(url, symbol=symbol, limit=SNAPSHOT_LIMIT)):
                        break
                except BannedError as ban:  # one limit for all we ask of the venue
                    self.gateway.hold_back(round(ban.wait_s * 1000))
                except UserError:
                    pass
                await asyncio.sleep(SNAPSHOT_PAUSE_S)


def spec_of(venue: str, entry: dict[str, Any]) -> ListingSpec:
    """An instrument from exchangeInfo; steps come from its filters, never from its precisions."""
    filters = {one["filterType"]: one for one in entry["filters"]}
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    is_perpetual, settle = entry.get("contractType") == "PERPETUAL", entry.get("marginAsset", entry["quoteAsset"])
    symbol = f"{entry['baseAsset']}/{entry['quoteAsset']}"
    lot = Decimal(filters["LOT_SIZE"]["stepSize"]).normalize()
    return ListingSpec(
        venue=venue,
        symbol=f"{symbol}:{settle}" if is_perpetual else symbol,
        kind="linear" if is_perpetual else "spot",
        base=entry["baseAsset"],
        quote=entry["quoteAsset"],
        settle=settle,
        tick_size=Decimal(filters["PRICE_FILTER"]["tickSize"]).normalize(),
        lot_size=lot,
        lots_min=max(1, int(Decimal(filters["LOT_SIZE"]["minQty"]) / lot)),
        notional_min=Decimal(notional.get("minNotional") or notional.get("notional") or "0"),
    )
