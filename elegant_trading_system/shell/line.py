"""A WebSocket to a venue: a message is heard the moment it is read, a text has left when `send` returns."""

import asyncio
import logging
from collections.abc import Callable

from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

FRAME_BYTES_MAX = 1 << 25  # a whole book of a busy instrument comes in one frame
CONTENT = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION
CONNECT_S, PING_S, PONG_S = 10.0, 20.0, 10.0

logging.getLogger("picows").addHandler(logging.NullHandler())  # a line that ends is said by its link, once


class Line(WSListener):
    """One connection, from its opening to its end. What `opened` and `hear` raise ends it and is raised by `run`."""

    def __init__(self, opened: Callable[["Line"], None], hear: Callable[[bytes], None]) -> None:
        super().__init__()
        self._opened, self._hear = opened, hear
        self._transport: WSTransport | None = None
        self._parts = bytearray()  # of a message that comes in several frames
        self._error: Exception | None = None
        self._is_over = False
        self.heard = 0  # messages

    async def run(self, url: str) -> None:
        """Until the connection ends, or cannot be made."""
        try:
            async with asyncio.timeout(CONNECT_S):
                transport, _ = await ws_connect(
                    lambda: self,
                    url,
                    enable_auto_ping=True,
                    auto_ping_idle_timeout=PING_S,
                    auto_ping_reply_timeout=PONG_S,
                    max_frame_size=FRAME_BYTES_MAX,
                )
            await transport.wait_disconnected()
        except (OSError, WSError):  # a TimeoutError is one
            pass
        finally:
            self.close()
        if self._error is not None:
            raise self._error

    def send(self, text: str) -> None:
        """On a line that is going down it is lost, as on the way."""
        if self._transport is not None:
            self._transport.send(WSMsgType.TEXT, text.encode())

    def close(self) -> None:
        """What was read already is not heard any more."""
        self._is_over = True
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    # --- what picows calls --------------------------------------------------------------------------------------
    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        try:
            self._opened(self)
        except Exception as error:  # noqa: BLE001 - it is raised where somebody waits
            self._fail(error)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind is WSMsgType.CLOSE:
            transport.disconnect()
        elif kind in CONTENT and not self._is_over:
            self._take(frame.get_payload_as_bytes(), is_last=frame.fin)

    def _take(self, message: bytes, *, is_last: bool) -> None:
        """A frame, which is mostly a message."""
        if self._parts or not is_last:
            self._parts += message
            if len(self._parts) > FRAME_BYTES_MAX:
                self.close()
                return
            if not is_last:
                return
            message = bytes(self._parts)
            self._parts.clear()
        self.heard += 1
        try:
            self._hear(message)
        except Exception as error:  # noqa: BLE001
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        self.close()
