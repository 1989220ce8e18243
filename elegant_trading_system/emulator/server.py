"""The emulated venues on a loopback port: bytes in, bytes out; what they mean is said in `binance.py`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import WSMsgType, web

from ..errors import UserError
from .binance import BinanceSpot
from .binance_streams import ApiSession, MarketSession
from .faults import Faults, Passage
from .market import SimulatedMarket

LOOPBACK = "127.0.0.1"
STEP_S = 0.01  # how often the market is looked at
STEPS_PER_FLUSH = 10  # depth goes out every tenth of a second
QUEUE_MAX = 10_000  # frames a slow client may owe us before it is let go
FRAME_BYTES_MAX = 1 << 20


class VenueServer:
    """Serves one venue until it is closed; `port` 0 lets the system choose."""

    def __init__(
        self, venue: BinanceSpot, market: SimulatedMarket, now_ns: Callable[[], int], faults: Faults | None = None
    ) -> None:
        self.venue = venue
        self.market = market
        self.now_ns = now_ns
        self.faults = faults or Faults({}, 0)
        self.steps = 0

    @contextlib.asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[int]:
        app = web.Application(client_max_size=FRAME_BYTES_MAX)
        app.router.add_get("/ws-api/v3", self._api)
        for path in ("/ws", "/ws/{tail:.*}", "/stream", "/stream/{tail:.*}"):
            app.router.add_get(path, self._streams)
        for path in ("/api/v3/{tail:.*}", "/sapi/v1/{tail:.*}"):
            app.router.add_route("*", path, self._rest)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        site = web.TCPSite(runner, LOOPBACK, port)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise UserError(f"port {port}: {error.strerror}", "choose another, or 0 for any free one") from None
        bound = int(runner.addresses[0][1])
        moving = asyncio.create_task(self._move())
        try:
            yield bound
        finally:
            moving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await moving
            await runner.cleanup()

    async def _move(self) -> None:
        while True:
            self.step()
            await asyncio.sleep(STEP_S)

    def step(self) -> None:
        """What has happened at the market since the last step; depth every tenth of a second."""
        self.venue.streams.publish(self.market.advance(self.now_ns()))
        self.steps += 1
        if self.steps % STEPS_PER_FLUSH == 0:
            self.venue.streams.flush_depth()

    async def _rest(self, request: web.Request) -> web.Response:
        reply = self.venue.http(
            request.method, request.path, request.query_string, await request.text(), dict(request.headers)
        )
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)

    async def _streams(self, request: web.Request) -> web.WebSocketResponse:
        def opened(send: Callable[[str], None]) -> MarketSession:
            return self.venue.streams.open_market(send, request.path, request.query.get("streams", ""))

        line = _Line(lambda text: (self.faults.market(), text))
        return await line.converse(
            request, opened, lambda session, text: session.receive(text), self.venue.streams.close
        )

    async def _api(self, request: web.Request) -> web.WebSocketResponse:
        def heard(session: ApiSession, text: str) -> None:
            refusal = self.faults.refusal(text)
            if refusal:
                session.send(refusal)
            else:
                line.later(self.faults.request_delay_s(), lambda: self.venue.api(session, text))

        line = _Line(self.faults.answer)
        return await line.converse(request, self.venue.streams.open_api, heard, self.venue.streams.close)


class _Line:
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
