"""Deribit's public side on this machine, as far as volatility indices go: JSON-RPC over WebSocket and GET, no socket.

Facts about the protocol: PROTOCOLS 3.1.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import numpy as np

from .binance.venue import Reply
from .orders import Event
from .volatility import VolatilityIndex

Json = dict[str, Any]
NS_PER_MS = 1_000_000
CHANNEL = "deribit_volatility_index."
PRINT_NS = 1_000_000_000
HEARTBEAT_S_MIN = 10
ROWS_MAX = 1000
CHANNELS_MAX = 500
SPACINGS_MS = {"1": 1000, "60": 60_000, "3600": 3_600_000, "43200": 43_200_000, "1D": 86_400_000}
NOT_FOUND, INVALID_PARAMS, PARSE_ERROR = -32601, -32602, -32700


class RpcError(Exception):
    def __init__(self, code: int, message: str, data: Json | None = None) -> None:
        super().__init__(message)
        self.answer = {"code": code, "message": message} | ({"data": data} if data else {})


def invalid(param: str, reason: str) -> RpcError:
    return RpcError(INVALID_PARAMS, "Invalid params", {"reason": reason, "param": param})


@dataclass(eq=False)
class Session:
    """One connection."""

    send: Callable[[str], None]
    end: Callable[[], None]
    channels: set[str] = field(default_factory=set)
    heartbeat_ns: int = 0  # 0: none was asked for
    ts_asked_ns: int = 0  # of the last test_request or, before it, of the wish for heartbeats
    is_asked: bool = False


class Deribit:
    """The indices and the connections that hear of them."""

    def __init__(self, indices: dict[str, VolatilityIndex], now_ns: Callable[[], int]) -> None:
        self.indices = indices  # btc_usd -> the index
        self.now_ns = now_ns
        self.sessions: set[Session] = set()
        self._ts_printed_ns = 0

    # --- telling ----------------------------------------------------------------------------------------------
    def publish(self, events: Iterable[Event]) -> None:
        """Nothing that happens at a market is an event here."""

    def flush_depth(self) -> None:
        """Called ten times a second: prints when a second is over, heartbeats when they are due."""
        now_ns = self.now_ns()
        if now_ns - self._ts_printed_ns >= PRINT_NS:
            self._ts_printed_ns = now_ns
            self._print()
        for session in list(self.sessions):
            if session.heartbeat_ns and now_ns - session.ts_asked_ns >= session.heartbeat_ns:
                self._beat(session, now_ns)

    def _print(self) -> None:
        ms = self.now_ns() // NS_PER_MS
        for name, index in self.indices.items():
            listening = [session for session in self.sessions if CHANNEL + name in session.channels]
            if listening:
                data = {"timestamp": ms, "volatility": index.value(ms), "index_name": name}
                notice = {"method": "subscription", "params": {"channel": CHANNEL + name, "data": data}}
                for session in listening:
                    _send(session, notice)

    def _beat(self, session: Session, now_ns: int) -> None:
        """Who leaves a test_request without an answer is let go."""
        if session.is_asked:
            session.end()
            return
        session.ts_asked_ns, session.is_asked = now_ns, True
        _send(session, {"method": "heartbeat", "params": {"type": "heartbeat"}})
        _send(session, {"method": "heartbeat", "params": {"type": "test_request"}})

    # --- answering --------------------------------------------------------------------------------------------
    def open(self, send: Callable[[str], None], end: Callable[[], None]) -> Session:
        session = Session(send, end)
        self.sessions.add(session)
        return session

    def close(self, session: Session) -> None:
        self.sessions.discard(session)

    def receive(self, session: Session, text: str) -> None:
        request_id: Any = None
        try:
            request = msgspec.json.decode(text)
            request_id, method, params = request.get("id"), request["method"], request.get("params") or {}
            answer = self._stamped(request_id, {"result": self._called(session, method, params)})
        except (msgspec.DecodeError, UnicodeError, KeyError, TypeError, AttributeError, RecursionError):
            answer = self._stamped(request_id, {"error": RpcError(PARSE_ERROR, "Parse error").answer})
        except RpcError as error:
            answer = self._stamped(request_id, {"error": error.answer})
        _send(session, answer)

    def http(self, method: str, path: str, query: str, body: str, headers: dict[str, str]) -> Reply:  # noqa: ARG002 - as every venue
        """GET /api/v2/public/METHOD?..."""
        try:
            result = self._result(path.removeprefix("/api/v2/"), dict(parse_qsl(query)))
            status, answer = 200, self._stamped(None, {"result": result})
        except RpcError as error:
            status, answer = 400, self._stamped(None, {"error": error.answer})
        answer.pop("id")
        return Reply(status, {"Content-Type": "application/json"}, msgspec.json.encode(answer))

    def _stamped(self, request_id: Any, answer: Json) -> Json:
        us = self.now_ns() // 1000
        return {"jsonrpc": "2.0", "id": request_id, **answer, "usIn": us, "usOut": us, "usDiff": 0, "testnet": True}

    def _called(self, session: Session, method: str, params: Json) -> Any:
        if method in ("public/subscribe", "public/unsubscribe"):
            return self._subscribe(session, method, params)
        if method == "public/set_heartbeat":
            interval = params.get("interval")
            if not isinstance(interval, int) or interval < HEARTBEAT_S_MIN:
                raise invalid("interval", f"value must be >= {HEARTBEAT_S_MIN}")
            session.heartbeat_ns, session.ts_asked_ns = interval * 1_000_000_000, self.now_ns()
            return "ok"
        if method == "public/disable_heartbeat":
            session.heartbeat_ns, session.is_asked = 0, False
            return "ok"
        if method == "public/test":
            session.is_asked = False
        return self._result(method, params)

    def _subscribe(self, session: Session, method: str, params: Json) -> list[str]:
        """The channels that were accepted; what does not exist is left out in silence."""
        channels = params.get("channels")
        if not isinstance(channels, list) or len(channels) > CHANNELS_MAX:
            raise invalid("channels", "must be a list")
        known = [one for one in channels if isinstance(one, str) and one.removeprefix(CHANNEL) in self.indices]
        if method == "public/subscribe":
            session.channels.update(known)
        else:
            session.channels.difference_update(known)
        return known

    def _result(self, method: str, params: Json) -> Any:
        if method == "public/test":
            return {"version": "1.2.26"}
        if method == "public/get_time":
            return self.now_ns() // NS_PER_MS
        if method == "public/get_volatility_index_data":
            return self._history(params)
        raise RpcError(NOT_FOUND, "Method not found")

    def _history(self, params: Json) -> Json:
        """The newest rows that were asked for, and where the page before them ends."""
        index = self.indices.get(f"{params.get('currency')}_usd".lower())
        if index is None:
            raise invalid("currency", "unknown")
        spacing_ms = SPACINGS_MS.get(str(params.get("resolution")))
        if spacing_ms is None:
            raise invalid("resolution", "unknown")
        first_ms, last_ms = (_integer(params, name) for name in ("start_timestamp", "end_timestamp"))
        now_ms = self.now_ns() // NS_PER_MS
        first, last = max(0, -(-first_ms // spacing_ms)), min(last_ms, now_ms) // spacing_ms
        begin = max(first, last - ROWS_MAX + 1)
        if begin > last:  # however far away it begins
            return {"data": [], "continuation": None}
        rows = index.rows(np.arange(begin, last + 1, dtype=np.int64) * spacing_ms, spacing_ms, now_ms)
        return {"data": rows, "continuation": (begin - 1) * spacing_ms if begin > first else None}


def _integer(params: Json, name: str) -> int:
    try:
        return int(params[name])
    except (KeyError, TypeError, ValueError):
        raise invalid(name, "must be an integer") from None


def _send(session: Session, message: Json) -> None:
    session.send(msgspec.json.encode({"jsonrpc": "2.0"} | message).decode())
