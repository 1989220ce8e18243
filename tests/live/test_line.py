"""A line hears whole messages at once, and ends for a reason that somebody learns."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import WSMsgType as Kind
from aiohttp import web

from elegant_trading_system.emulator.server import serving
from elegant_trading_system.shell import line as lines
from elegant_trading_system.shell.line import Line

Talk = Callable[[web.WebSocketResponse], Awaitable[None]]


@asynccontextmanager
async def venue(talk: Talk) -> AsyncIterator[str]:
    """A venue that says what it is told to, and hangs up."""

    async def answer(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await talk(socket)
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_get("/", answer)
    async with serving(app) as port:
        yield f"ws://127.0.0.1:{port}/"


def hear_all(talk: Talk) -> list[bytes]:
    heard = list[bytes]()

    async def listen() -> None:
        async with venue(talk) as url:
            await Line(lambda _line: None, heard.append).run(url)

    asyncio.run(asyncio.wait_for(listen(), 10))
    return heard


def test_text_and_bytes_are_heard_in_their_order_until_the_venue_hangs_up() -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_str("one")
        await socket.send_bytes(b"two")
        await socket.ping()
        await socket.send_str("three\u00e9" * 100_000)

    assert hear_all(talk) == [b"one", b"two", ("three\u00e9" * 100_000).encode()]


def test_a_message_in_several_frames_is_heard_once_and_whole() -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        ping = 0x89  # may come in between
        for head, part in (0x01, b"one "), (ping, b""), (0x00, b"and "), (0x80, b"a half"), (0x81, b"two"):
            assert socket._req is not None
            assert socket._req.transport is not None
            socket._req.transport.write(bytes([head, len(part)]) + part)

    assert hear_all(talk) == [b"one and a half", b"two"]


def test_a_message_longer_than_any_ends_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "FRAME_BYTES_MAX", 1000)

    async def at_once(socket: web.WebSocketResponse) -> None:
        await socket.send_str("short")
        await socket.send_str("x" * 1001)
        await socket.send_str("behind")

    async def in_parts(socket: web.WebSocketResponse) -> None:
        await socket.send_str("short")
        assert socket._req is not None
        assert socket._req.transport is not None
        for head in (0x01, 0x00, 0x80):
            socket._req.transport.write(bytes([head, 126, 2, 0]) + b"x" * 512)
        socket._req.transport.write(bytes([0x81, 6]) + b"behind")

    assert hear_all(at_once) == hear_all(in_parts) == [b"short"]


def test_what_goes_wrong_in_us_is_raised_and_not_taken_for_a_broken_line() -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_str("one")
        await socket.send_str("two")
        await socket.receive()

    heard = list[bytes]()

    def hear(message: bytes) -> None:
        heard.append(message)
        raise OSError("no room on the disk")

    async def listen() -> None:
        async with venue(talk) as url:
            await Line(lambda _line: None, hear).run(url)

    with pytest.raises(OSError, match="no room"):
        asyncio.run(asyncio.wait_for(listen(), 10))
    assert heard == [b"one"]


def test_what_is_sent_when_a_line_opens_arrives_and_what_is_sent_behind_its_end_is_lost() -> None:
    heard = list[str]()

    async def talk(socket: web.WebSocketResponse) -> None:
        message = await socket.receive()
        assert message.type is Kind.TEXT
        heard.append(message.data)

    async def listen() -> None:
        async with venue(talk) as url:
            line = Line(lambda line: line.send("hello"), lambda _message: None)
            line.send("too early")
            await line.run(url)
            line.send("too late")

    asyncio.run(asyncio.wait_for(listen(), 10))
    assert heard == ["hello"]


def test_a_line_that_is_closed_or_whose_listener_is_stopped_leaves_nothing_open() -> None:
    ended = list[bool]()

    async def talk(socket: web.WebSocketResponse) -> None:
        ended.append((await socket.receive()).type in (Kind.CLOSE, Kind.CLOSED, Kind.CLOSING, Kind.ERROR))

    async def listen() -> None:
        async with venue(talk) as url:
            line = Line(lambda line: line.close(), lambda _message: None)
            await line.run(url)
            task = asyncio.create_task(Line(lambda _line: None, lambda _message: None).run(url))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0.2)

    asyncio.run(asyncio.wait_for(listen(), 10))
    assert ended == [True, True]


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1/", "ws://nowhere.invalid/"])
def test_nobody_there_ends_the_line_at_once(url: str) -> None:
    line = Line(lambda _line: None, lambda _message: None)
    asyncio.run(asyncio.wait_for(line.run(url), 15))
    assert line.heard == 0
