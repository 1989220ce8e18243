"""Emulated venues on loopback ports: bytes in, bytes out; what they mean is said in the venues' own folders."""

import asyncio
import contextlib
import functools
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Protocol

from aiohttp import WSMsgType, web

from ..errors import UserError
from .binance.futures import BinanceFutures
from .binance.spot import BinanceSpot, Reply
from .binance.streams import ApiSession, MarketSession, Streams
from .binance.venue import BinanceVenue
from .cboe import Cboe
from .deribit import Deribit
from .faults import Faults, Passage
from .market import Market
from .orders import Event

LOOPBACK = "127.0.0.1"
STEP_S = 0.01  # how often the market is looked at
STEPS_PER_FLUSH = 10  # depth goes out every tenth of a second
QUEUE_MAX = 10_000  # frames a slow client may owe us before it is let go
FRAME_BYTES_MAX = 1 << 20


class Publisher(Protocol):
    """A venue's open connections, as far as the market's movement concerns them."""

    def publish(self, events: Iterable[Event]) -> None: ...

    def flush_depth(self) -> None: ...


async def keep_moving(
    market: Market, publishers: Mapping[str, Publisher], now_ns: Callable[[], int], faults: Faults
) -> None:
    """What happens at the market reaches the venues' connections; depth every tenth of a second."""
    for step in itertools.count(1):
        if faults.is_still():
            await asyncio.sleep(STEP_S)
            continue
        for venue, events in market.advance(now_ns()).items():
            publishers[venue].publish(events)
        if step % STEPS_PER_FLUSH == 0:
            for publisher in publishers.values():
                publisher.flush_depth()
        await asyncio.sleep(STEP_S)


@contextlib.asynccontextmanager
async def serving(app: web.Application, port: int = 0) -> AsyncIterator[int]:
    """One venue on a loopback port until the block ends; 0 lets the system choose. Gives the port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, port)
    try:
        try:
            await site.start()
        except OSError as error:
            raise UserError(f"port {port}: {error.strerror}", "choose another, or 0 for any free one") from None
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _binance_app(venue: BinanceVenue, faults: Faults, api_path: str, rest_paths: Iterable[str]) -> web.Application:
    """REST and WebSocket API of either."""
    app = web.Application(client_max_size=FRAME_BYTES_MAX)

    async def rest(request: web.Request) -> web.Response:
        return await answer(functools.partial(faults.rest, venue.http), request)

    async def api(request: web.Request) -> web.WebSocketResponse:
        turn_away_if(faults.is_closed())

        def heard(session: ApiSession, text: str) -> None:
            take_request(venue, faults, line, session, text)

        line = Line(faults.answer)
        return await line.converse(request, venue.streams.open_api, heard, venue.streams.close)

    app.router.add_get(api_path, api)
    for path in rest_paths:
        app.router.add_route("*", f"{path}/{{tail:.*}}", rest)
    return app


def take_request(venue: BinanceVenue, faults: Faults, line: "Line", session: ApiSession, text: str) -> None:
    """A request of the WebSocket API reaches the venue, or something comes between."""

    def arrive() -> None:
        venue.streams.publish(faults.rivals(venue.exchange, text))
        venue.api(session, text)

    if faults.is_closed():
        line.break_off()
    elif refusal := faults.refusal(text):
        session.send(refusal)
    else:
        line.later(faults.request_delay_s(), arrive)


def turn_away_if(is_closed: bool) -> None:
    """No connection for anybody while the venue is closed."""
    if is_closed:
        raise web.HTTPServiceUnavailable(text="System is under maintenance.")


def _add_streams(app: web.Application, paths: Iterable[str], streams: Streams, faults: Faults, what: str) -> None:
    """Connections on which the venue speaks without being asked: of the market, or of orders."""
    numbers = itertools.count()

    async def converse(request: web.Request) -> web.WebSocketResponse:
        turn_away_if(faults.is_closed())
        number = next(numbers)

        def passage_of(text: str) -> tuple[Passage, str]:
            return faults.answer(text) if what == "orders" else (faults.market(number), faults.market_frame(text))

        def opened(send: Callable[[str], None]) -> MarketSession:
            query = request.query
            return streams.open_market(send, request.path, query.get("streams", ""), query.get("listenKey", ""))

        line = Line(passage_of)
        return await line.converse(request, opened, lambda session, text: session.receive(text), streams.close)

    for path in paths:
        app.router.add_get(path, converse)
        app.router.add_get(f"{path}/{{tail:.*}}", converse)


def binance_app(venue: BinanceSpot, faults: Faults) -> web.Application:
    """Binance Spot: market streams, WebSocket API and REST."""
    app = _binance_app(venue, faults, "/ws-api/v3", ("/api/v3", "/sapi/v1"))
    _add_streams(app, ("/ws", "/stream"), venue.streams, faults, "market")
    return app


def binance_futures_app(venue: BinanceFutures, faults: Faults) -> web.Application:
    """Binance USD-M: three groups of streams, of which the private one tells of orders."""
    app = _binance_app(venue, faults, "/ws-fapi/v1", ("/fapi",))
    groups = [f"{group}/{kind}" for group in ("", "/public", "/market") for kind in ("ws", "stream")]
    _add_streams(app, groups, venue.streams, faults, "market")
    _add_streams(app, ("/private/ws", "/private/stream"), venue.streams, faults, "orders")
    return app


def deribit_app(venue: Deribit, faults: Faults) -> web.Application:
    """Deribit's volatility indices: JSON-RPC over WebSocket and GET."""
    app = web.Application(client_max_size=FRAME_BYTES_MAX)

    async def rest(request: web.Request) -> web.Response:
        return await answer(venue.http, request)

    async def socket(request: web.Request) -> web.WebSocketResponse:
        line = Line(lambda text: (faults.market(), text))
        return await line.converse(request, lambda send: venue.open(send, line.break_off), venue.receive, venue.close)

    app.router.add_get("/ws/api/v2", socket)
    app.router.add_get("/api/v2/{tail:.*}", rest)
    return app


def cboe_app(venue: Cboe, faults: Faults) -> web.Application:
    """CBOE's public files."""
    app = web.Application(client_max_size=FRAME_BYTES_MAX)

    async def rest(request: web.Request) -> web.Response:
        return await answer(functools.partial(faults.rest, venue.http), request)

    app.router.add_get("/api/global/{tail:.*}", rest)
    return app


async def answer(http: Callable[[str, str, str, str, dict[str, str]], Reply], request: web.Request) -> web.Response:
    """A request put to a venue."""
    reply = http(request.method, request.path, request.query_string, await request.text(), dict(request.headers))
    return web.Response(status=reply.status, headers=reply.headers, body=reply.body)


class Line:
    """One connection: frames in are heard as they come, frames out wait in a queue of limited length."""

    def __init__(self, passage_of: Callable[[str], tuple[Passage, str]]) -> None:
        self.passage_of = passage_of
        self.queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_MAX)
        self.socket = web.WebSocketResponse(max_msg_size=FRAME_BYTES_MAX, heartbeat=20.0, compress=False)
        self.is_open = True
        self._closing: asyncio.Task[bool] | None = None

    def send(self, text: str) -> None:
        passage, text = self.passage_of(text)
        if passage.is_broken:
            self.break_off()
        for delay_s in passage.delays_s:
            self.later(delay_s, lambda: self._put(text))

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        if delay_s == 0.0:
            action()
        else:
            asyncio.get_running_loop().call_later(delay_s, lambda: action() if self.is_open else None)

    def _put(self, text: str) -> None:
        try:
            self.queue.put_nowait(text)
        except asyncio.QueueFull:  # too slow: let go, as a real venue would
            self.break_off()

    def break_off(self) -> None:
        self._closing = self._closing or asyncio.create_task(self.socket.close())

    async def _drain(self) -> None:
        while True:
            await self.socket.send_str(await self.queue.get())

    async def converse(
        self,
        request: web.Request,
        opened: Callable[[Callable[[str], None]], Any],
        heard: Callable[[Any, str], None],
        closed: Callable[[Any], None],
    ) -> web.WebSocketResponse:
        """Until either side ends it."""
        await self.socket.prepare(request)
        sending = asyncio.create_task(self._drain())
        session = opened(self.send)
        try:
            async for message in self.socket:
                if message.type is WSMsgType.TEXT:
                    heard(session, message.data)
        finally:
            self.is_open = False
            closed(session)
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await sending
        return self.socket
