"""The emulated Coinbase over sockets, and what goes wrong on the way."""

import asyncio
import itertools
from collections.abc import Callable

from aiohttp import web

from ..faults import Faults
from ..server import FRAME_BYTES_MAX, Line, turn_away_if
from .streams import Session
from .trouble import Trouble
from .venue import Coinbase


def coinbase_app(venue: Coinbase, faults: Faults) -> web.Application:
    """Coinbase Advanced Trade: any path that is no REST is a WebSocket, public and private alike."""
    app, numbers, trouble = web.Application(client_max_size=FRAME_BYTES_MAX), itertools.count(), Trouble(venue, faults)

    async def rest(request: web.Request) -> web.StreamResponse:
        body, headers = await request.text(), dict(request.headers)
        if request.method == "POST":
            await asyncio.sleep(faults.request_delay_s())
        reply = trouble.http(request.method, request.path, request.query_string, body, headers)
        if reply is not None:
            return web.Response(status=reply.status, headers=reply.headers, body=reply.body)
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=503)

    async def streams(request: web.Request) -> web.WebSocketResponse:
        turn_away_if(faults.is_closed())
        number = next(numbers)
        line = Line(lambda text: trouble.passage(text, number))

        def opened(send: Callable[[str], None]) -> Session:
            return venue.streams.open(send, line.break_off)

        return await line.converse(request, opened, venue.streams.receive, venue.streams.close)

    for path in ("/api/v3/brokerage/{tail:.*}", "/v2/{tail:.*}"):
        app.router.add_route("*", path, rest)
    app.router.add_get("/{tail:.*}", streams)
    return app
