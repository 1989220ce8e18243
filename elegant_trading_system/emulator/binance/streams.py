"""What Binance tells without being asked: market streams and user events, to every connection that listens."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ..exchange import Exchange
from ..orders import Account, Depth, Event, Instrument, Report, Trade
from . import wire
from .wire import Json

NS_PER_MS = 1_000_000
STREAMS_MAX = 1024  # of one connection
Send = Callable[[str], None]


def encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


@dataclass(eq=False)
class MarketSession:
    """One connection to the market streams."""

    send: Send
    is_combined: bool
    streams: set[str] = field(default_factory=set)

    def publish(self, stream: str, payload: str) -> None:
        if stream in self.streams:
            self.send(f'{{"stream":"{stream}","data":{payload}}}' if self.is_combined else payload)

    def receive(self, text: str) -> None:
        """SUBSCRIBE, UNSUBSCRIBE and their kin."""
        try:
            request = msgspec.json.decode(text)
            method, params, request_id = request["method"], list(request.get("params") or []), request.get("id")
            named = set(params) if method in ("SUBSCRIBE", "UNSUBSCRIBE") else set[str]()
        except (msgspec.DecodeError, UnicodeError, RecursionError, KeyError, TypeError, AttributeError):
            self.send(encode({"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}))
            return
        if not all(isinstance(name, str) for name in named) or len(self.streams | named) > STREAMS_MAX:
            self.send(encode({"code": 2, "msg": "Invalid request: invalid stream", "id": request_id}))
            return
        answer: Json = {"result": None, "id": request_id}
        if method == "SUBSCRIBE":
            self.streams |= named
        elif method == "UNSUBSCRIBE":
            self.streams -= named
        elif method == "LIST_SUBSCRIPTIONS":
            answer["result"] = sorted(self.streams)
        elif method == "SET_PROPERTY" and len(params) == 2 and params[0] == "combined":
            self.is_combined = bool(params[1])
        elif method == "GET_PROPERTY":
            answer["result"] = self.is_combined
        else:
            answer = {"code": 2, "msg": f"Invalid request: unknown variant `{method}`", "id": request_id}
        self.send(encode(answer))


@dataclass(eq=False)
class ApiSession:
    """One connection to the WebSocket API."""

    send: Send
    account: Account | None = None  # logged on
    subscriptions: dict[int, Account] = field(default_factory=dict)


class Streams:
    """The open connections of a venue."""

    def __init__(self, exchange: Exchange, now_ns: Callable[[], int]) -> None:
        self.exchange = exchange
        self.now_ns = now_ns
        self.market_sessions: set[MarketSession] = set()
        self.api_sessions: set[ApiSession] = set()
        self._pending: dict[str, Depth] = {}
        self._execution_ids = itertools.count(1)

    @property
    def now_ms(self) -> int:
        return self.now_ns() // NS_PER_MS

    # --- telling ----------------------------------------------------------------------------------------------
    def publish(self, events: Iterable[Event]) -> None:
        """Trades and reports at once; depth waits for the next tenth of a second (`flush_depth`)."""
        for event in events:
            if isinstance(event, Trade):
                self._print(event)
            elif isinstance(event, Depth):
                self._broadcast_touch(event.instrument)
                self._pend(event)
            else:
                self._tell(event)

    def flush_depth(self) -> None:
        for depth in self._pending.values():
            self._flush(depth)
        self._pending.clear()

    def _print(self, trade: Trade) -> None:
        self._broadcast(trade.instrument, "trade", wire.trade_event(trade, self.now_ms))

    def _flush(self, depth: Depth) -> None:
        payload = wire.depth_update(depth, self.now_ms)
        self._broadcast(depth.instrument, "depth@100ms", payload)
        self._broadcast(depth.instrument, "depth", payload)

    def _pend(self, depth: Depth) -> None:
        """Changes of one tenth of a second become one message: a level's last word counts."""
        symbol = depth.instrument.symbol
        before = self._pending.get(symbol)
        if before is not None:
            bids, asks = dict(before.bids) | dict(depth.bids), dict(before.asks) | dict(depth.asks)
            depth = Depth(depth.instrument, before.first_id, depth.last_id, list(bids.items()), list(asks.items()))
        self._pending[symbol] = depth

    def _broadcast_touch(self, instrument: Instrument) -> None:
        if self._listening(f"{instrument.symbol.lower()}@bookTicker"):
            self._broadcast(instrument, "bookTicker", self._touch(instrument))

    def _touch(self, instrument: Instrument) -> Json:
        return wire.book_ticker(instrument, self.exchange.books[instrument.symbol])

    def _listening(self, stream: str) -> list[MarketSession]:
        return [session for session in self.market_sessions if stream in session.streams]

    def _broadcast(self, instrument: Instrument, kind: str, payload: Json) -> None:
        stream = f"{instrument.symbol.lower()}@{kind}"
        listening = self._listening(stream)
        if listening:
            text = encode(payload)
            for session in listening:
                session.publish(stream, text)

    def _tell(self, report: Report) -> None:
        account = report.order.account
        events = [wire.execution_report(report, next(self._execution_ids), self.now_ms)]
        if report.step != "NEW":
            events.append(wire.account_position(report, self.now_ms))
        for session in self.api_sessions:
            for number, subscriber in session.subscriptions.items():
                if subscriber is account:
                    for event in events:
                        session.send(encode({"subscriptionId": number, "event": event}))

    # --- market streams ---------------------------------------------------------------------------------------
    def open_market(
        self,
        send: Send,
        path: str,
        streams: str = "",
        listen_key: str = "",  # noqa: ARG002 - Spot has none any more
    ) -> MarketSession:
        """/ws/a/b and /ws are raw; /stream?streams=a/b is combined; /stream/ws/N, as ccxt has it, likewise."""
        is_combined = path.startswith("/stream")
        named = streams if is_combined else path.removeprefix("/ws").strip("/")
        wanted = {name for name in named.split("/") if "@" in name}
        session = MarketSession(send, is_combined and not path.startswith("/stream/ws"), wanted)
        self.market_sessions.add(session)
        return session

    def open_api(self, send: Send) -> ApiSession:
        session = ApiSession(send)
        self.api_sessions.add(session)
        return session

    def close(self, session: MarketSession | ApiSession) -> None:
        if isinstance(session, MarketSession):
            self.market_sessions.discard(session)
        else:
            self.api_sessions.discard(session)
