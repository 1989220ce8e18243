"""The emulated Coinbase over sockets, and what goes wrong on the way."""

import asyncio
import itertools
from collections.abc import Callable

from aiohttp import web

from ..faults import LATE_S, Faults, Passage
from ..server import FRAME_BYTES_MAX, Line, answer
from .streams import Session
from .venue import Coinbase

USER = '"channel":"user"'


def coinbase_app(venue: Coinbase, faults: Faults) -> web.Application:
    """Coinbase Advanced Trade: any path that is no REST is a WebSocket, public and private alike."""
    app, numbers = web.Application(client_max_size=FRAME_BYTES_MAX), itertools.count()

    async def rest(request: web.Request) -> web.StreamResponse:
        is_order = request.method == "POST" and request.path.endswith("/orders")
        if not is_order:
            return await answer(venue.http, request)
        if faults.happens("reject"):
            body = {"errors": [{"id": "rate_limit_exceeded", "message": "Too many requests"}]}
            return web.json_response(body, status=429)
        await asyncio.sleep(faults.request_delay_s())
        found = await answer(venue.http, request)
        if faults.happens("lost-answer") and request.transport is not None:
            request.transport.abort()
        if faults.happens("unclear-answer"):
            return web.Response(status=503, text="upstream connect error")
        return found

    async def streams(request: web.Request) -> web.WebSocketResponse:
        number = next(numbers)
        line = Line(lambda text: (passage_of(faults, text, number), text))

        def opened(send: Callable[[str], None]) -> Session:
            return venue.streams.open(send, line.break_off)

        return await line.converse(request, opened, venue.streams.receive, venue.streams.close)

    for path in ("/api/v3/brokerage/{tail:.*}", "/v2/{tail:.*}"):
        app.router.add_route("*", path, rest)
    app.router.add_get("/{tail:.*}", streams)
    return app


def passage_of(faults: Faults, frame: str, line: object = "") -> Passage:
    """What becomes of a frame on one of the connections: those about orders have faults of their own."""
    if USER not in frame:
        return faults.market(line)
    if faults.happens("disconnect"):
        return Passage((), is_broken=True)
    if faults.happens("lost-report"):
        return Passage(())
    late_s = LATE_S if faults.happens("late-report") else 0.0
    return Passage((late_s, late_s) if faults.happens("duplicate-report") else (late_s,))
