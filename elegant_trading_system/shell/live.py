"""A live run: connections around the sequencer, from the first request to the closed journal.

What it talks to stands behind `Venue`: addresses and a key. It cannot tell an emulated venue from a real one.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec

from ..config import Config
from ..core.kinds import BookState, Kind, Verdict
from ..data.decimals import Grid, parse_levels
from ..data.journal import Journal
from ..data.tape import ListingSpec
from ..data.universe import Universe, build
from ..errors import UserError
from .binance_feed import BinanceFeed, Listing
from .binance_gateway import BinanceGateway, signature_of, symbol_of
from .sequencer import Sequencer

NS_PER_MS = 1_000_000
CONNECTIONS = 2  # per venue: what one loses the other brings
HISTORY_MINUTES_MAX = 1000  # of one request
SNAPSHOT_LIMIT = 1000
SNAPSHOT_PAUSE_S = 0.5  # between attempts: snapshots are dear
BACKOFF_S, BACKOFF_MAX_S = 0.1, 10.0
REQUEST_S = 10.0
TICK_S = 0.02
SEND_QUEUE = 256
SETTLE_S = 1.0  # at the end: reports still on their way


class Venue(NamedTuple):
    """Where a venue is and who we are there."""

    name: str
    rest: str  # http://127.0.0.1:PORT
    streams: str  # ws://127.0.0.1:PORT
    api: str  # ws://127.0.0.1:PORT/ws-api/v3
    api_key: str
    secret: str


def wall_ns() -> int:
    return time.time_ns()


class LiveRun:
    """One venue's instruments, traded until told to stop."""

    def __init__(
        self,
        venue: Venue,
        config: Config,
        folder: Path,
        symbols: list[str],
        *,
        now_ns: Callable[[], int] = wall_ns,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.venue, self.config, self.folder, self.symbols = venue, config, folder, symbols
        self.now_ns, self.say = now_ns, say
        self.universe: Universe | None = None
        self.sequencer: Sequencer
        self.feed: BinanceFeed
        self.gateway: BinanceGateway
        self.journal: Journal
        self._http: aiohttp.ClientSession
        self._stopped = asyncio.Event()
        self._wanted: asyncio.Queue[str] = asyncio.Queue()
        self._outgoing: asyncio.Queue[str] = asyncio.Queue(SEND_QUEUE)

    @property
    def known(self) -> Universe:
        assert self.universe is not None, "asked before the venue has named its instruments"
        return self.universe

    def listing_of(self, symbol: str) -> Listing:
        return self.feed.listings[symbol]

    def stop(self) -> None:
        """End as if the time were over."""
        self._stopped.set()

    def status(self) -> str:
        """What was heard and what was decided, in a line."""
        if self.universe is None:
            return "connecting"
        trader, market = self.sequencer.trader, self.sequencer.market[0]
        books = market["books"]["state"][: len(self.universe.listings)]
        verdict = Verdict(int(trader["verdicts"].argmax())).name
        return (
            f"{self.journal.count:,} events, books {', '.join(BookState(int(state)).name for state in books)}, "
            f"mostly {verdict}, {int(trader['next_order_id'])} orders, {int(trader['round_trips'])} round trips, "
            f"equity {float(trader['equity']):,.2f}"
        )

    async def run(self, seconds: float, started: Callable[["LiveRun"], None] = lambda _run: None) -> None:
        """Trade for so long; the journal is closed whatever happens."""
        timeout = aiohttp.ClientTimeout(total=REQUEST_S)
        async with aiohttp.ClientSession(timeout=timeout) as self._http:
            specs = await self._specs()
            self.universe = build(specs, self.config)
            self.journal = Journal(self.folder / "journal")
            self._wire(specs)
            try:
                started(self)
                await self._remember(specs)
                await self._fund(specs)
                await self._trade(seconds)
            finally:
                self.journal.close()

    def _wire(self, specs: list[ListingSpec]) -> None:
        assert self.universe is not None
        self.sequencer = Sequencer(self.universe, self.config, self.journal, self.now_ns, self._command)
        listings = [Listing(n, symbol_of(spec), Grid.of(spec.tick_size, spec.lot_size)) for n, spec in enumerate(specs)]
        self.feed = BinanceFeed(self.sequencer, listings, self._wanted.put_nowait)
        self.gateway = BinanceGateway(
            self.sequencer,
            dict(enumerate(specs)),
            self.venue.api_key,
            self.venue.secret,
            format(self.now_ns() // NS_PER_MS, "x"),
            self._outgoing.put_nowait,
            lambda: self.now_ns() // NS_PER_MS,
        )

    def _command(self, command: Any) -> None:
        self.gateway.command(command)

    # --- before the first decision ------------------------------------------------------------------------------
    async def _get(self, path: str, **params: Any) -> bytes:
        try:
            async with self._http.get(f"{self.venue.rest}/api/v3/{path}", params=params) as reply:
                body = await reply.read()
                if reply.status != 200:
                    raise UserError(f"{self.venue.name} refused {path}: {body[:200].decode(errors='replace')}")
                return body
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UserError(f"{self.venue.name}: {path} at {self.venue.rest}: {error or 'no answer'}") from None

    async def _specs(self) -> list[ListingSpec]:
        """The instruments as the venue describes them."""
        info = await self._json("exchangeInfo")
        known = {entry["symbol"]: entry for entry in info["symbols"]}
        missing = [symbol for symbol in self.symbols if symbol not in known]
        if missing:
            raise UserError(f"{self.venue.name} has no {', '.join(missing)}", f"it has {', '.join(sorted(known)[:20])}")
        return [spec_of(self.venue.name, known[symbol]) for symbol in self.symbols]

    async def _json(self, path: str, **params: Any) -> Any:
        return msgspec.json.decode(await self._get(path, **params))

    async def _remember(self, specs: list[ListingSpec]) -> None:
        """Minute bars from before the first packet: windows, VWAP and ranges are warm."""
        bars = []
        for listing_id, spec in enumerate(specs):
            rows = await self._json("klines", symbol=symbol_of(spec), interval="1m", limit=HISTORY_MINUTES_MAX)
            grid = Grid.of(spec.tick_size, spec.lot_size)
            for row in rows:
                end_ns = (int(row[6]) + 1) * NS_PER_MS
                if end_ns <= self.now_ns():  # the running minute is not known yet
                    text = ",".join(f'["{price}","0"]' for price in row[1:4]) + f',["{row[4]}","{row[5]}"]'
                    bars.append((end_ns, listing_id, parse_levels([f"[{text}]".encode()], grid).rows))
        for end_ns, listing_id, levels in sorted(bars, key=lambda bar: bar[:2]):
            self.sequencer.hear(Kind.BAR, listing_id, levels, ts_local_ns=end_ns, code=1)
        self.say(f"{len(bars):,} minute bars of history from {self.venue.name}")

    async def _fund(self, specs: list[ListingSpec]) -> None:
        """What the account holds of the assets we settle in arrives as transfers."""
        assert self.universe is not None
        query = f"timestamp={self.now_ns() // NS_PER_MS}"
        url = f"{self.venue.rest}/api/v3/account?{query}&signature={signature_of(self.venue.secret, query)}"
        async with self._http.get(url, headers={"X-MBX-APIKEY": self.venue.api_key}) as reply:
            account = await reply.json()
        if reply.status != 200:
            raise UserError(
                f"{self.venue.name} refused the account: {account.get('msg')}", "check the key and the clock"
            )
        free = {row["asset"]: Decimal(row["free"]) for row in account["balances"]}
        for asset in {spec.settle for spec in specs}:
            listing_id = next(n for n, spec in enumerate(specs) if spec.settle == asset)
            atoms = int(free.get(asset, Decimal(0)) * 10 ** self.universe.decimals[asset])
            asset_id = self.universe.assets.index(asset)
            self.sequencer.hear(Kind.TRANSFER, listing_id, atoms=atoms, asset_id=asset_id)

    # --- while it runs --------------------------------------------------------------------------------------------
    async def _trade(self, seconds: float) -> None:
        tasks = [asyncio.create_task(self._keep_feed(n)) for n in range(CONNECTIONS)]
        tasks += [asyncio.create_task(task()) for task in (self._keep_gateway, self._keep_books, self._keep_time)]
        stopping = asyncio.create_task(self._stopped.wait())
        try:
            done, _ = await asyncio.wait([*tasks, stopping], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # none of them ends by itself: what failed is told
            await asyncio.sleep(SETTLE_S)
        finally:
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)

    async def _keep_feed(self, connection: int) -> None:
        """One market connection, opened again whenever it ends."""
        url = f"{self.venue.streams}/stream?streams={self.feed.streams()}"

        def opened(_socket: aiohttp.ClientWebSocketResponse) -> None:
            self.feed.hear_up(connection)

        def ended() -> None:
            self.feed.hear_down(connection)

        await self._keep(url, opened, lambda frame: self.feed.hear(connection, frame), ended)

    async def _keep_gateway(self) -> None:
        """The order connection: what is waiting goes out in order."""
        sending: list[asyncio.Task[None]] = []

        def opened(socket: aiohttp.ClientWebSocketResponse) -> None:
            while not self._outgoing.empty():  # for the connection before
                self._outgoing.get_nowait()
            sending.append(asyncio.create_task(self._send_all(socket)))
            self.gateway.hear_up()

        def ended() -> None:
            self.gateway.hear_down()
            for task in sending:
                task.cancel()
            sending.clear()

        await self._keep(self.venue.api, opened, self.gateway.hear, ended)

    async def _send_all(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await socket.send_str(await self._outgoing.get())

    async def _keep(
        self,
        url: str,
        opened: Callable[[aiohttp.ClientWebSocketResponse], None],
        hear: Callable[[Any], None],
        ended: Callable[[], None],
    ) -> None:
        """Connect, hear frames until the connection ends, wait a little longer each time in vain, connect again."""
        wait_s = BACKOFF_S
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with self._http.ws_connect(url, heartbeat=20.0, max_msg_size=1 << 24) as socket:
                    opened(socket)
                    async for message in socket:
                        wait_s = BACKOFF_S
                        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                            hear(message.data)
            ended()
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, BACKOFF_MAX_S)

    async def _keep_books(self) -> None:
        """Snapshots for books that need one, one at a time."""
        while True:
            symbol = await self._wanted.get()
            while True:
                with contextlib.suppress(UserError):
                    body = await self._get("depth", symbol=symbol, limit=SNAPSHOT_LIMIT)
                    if self.feed.hear_snapshot(symbol, body):
                        break
                await asyncio.sleep(SNAPSHOT_PAUSE_S)

    async def _keep_time(self) -> None:
        """In silence time passes all the same; blocks of the journal are sealed here, off the hot path."""
        while True:
            await asyncio.sleep(TICK_S)
            self.sequencer.tick()
            self.feed.check_holes(self.now_ns())
            self.gateway.check_unsent()
            self.journal.seal()


def spec_of(venue: str, entry: dict[str, Any]) -> ListingSpec:
    """An instrument from exchangeInfo; steps come from its filters, never from its precisions."""
    filters = {one["filterType"]: one for one in entry["filters"]}
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {"minNotional": "0"}
    lot = Decimal(filters["LOT_SIZE"]["stepSize"]).normalize()
    return ListingSpec(
        venue=venue,
        symbol=f"{entry['baseAsset']}/{entry['quoteAsset']}",
        kind="spot",
        base=entry["baseAsset"],
        quote=entry["quoteAsset"],
        settle=entry["quoteAsset"],
        tick_size=Decimal(filters["PRICE_FILTER"]["tickSize"]).normalize(),
        lot_size=lot,
        lots_min=max(1, int(Decimal(filters["LOT_SIZE"]["minQty"]) / lot)),
        notional_min=Decimal(notional["minNotional"]),
    )
