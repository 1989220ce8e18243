"""What is fuzzed of Binance USD-M: its feed, marks included, and its gateway with its three ways in."""

from pathlib import Path
from typing import Any

from ..builders import loose
from .desk import Clock
from .futures_desk import FuturesOutside, FuturesVenue
from .fuzz_binance import FRAMES, FeedSubject, GatewaySubject
from .fuzz_subject import Frame

DOCUMENTED = [  # what seldom happens
    b"""{"e":"ACCOUNT_UPDATE","E":1760000000100,"T":1760000000099,"a":{"m":"FUNDING_FEE","P":[],
    "B":[{"a":"USDT","wb":"99999.5","cw":"0","bc":"-0.5"}]}}""",
    b"""{"e":"listenKeyExpired","E":1760000000100,"listenKey":"abc"}""",
    b"""{"e":"ORDER_TRADE_UPDATE","E":1760000000100,"T":1760000000099,"o":{"s":"BTCUSDT","c":"autoclose-1","S":"SELL",
    "o":"LIMIT","f":"IOC","q":"0.01","p":"60000","x":"CALCULATED","X":"FILLED","i":77,"l":"0.01","z":"0.01","L":"60000",
    "n":"0.1","N":"USDT","T":1760000000099,"t":9}}""",
    b"""[{"symbol":"BTCUSDT","incomeType":"FUNDING_FEE","income":"-0.375","asset":"USDT","time":1760000000000}]""",
]


class FuturesFeedSubject(FeedSubject):
    """The same with perpetuals, whose messages name the one before; and with their marks."""

    market_path = "/public/stream"
    outside: FuturesOutside

    def make(self, folder: Path) -> None:
        venue = FuturesVenue(Clock())
        self.venue, self.outside = venue, FuturesOutside(venue, loose(), folder)
        self.marks: list[bytes] = []
        streams = self.outside.feed.mark_streams()
        venue.streams.open_market(lambda frame: self.marks.append(frame.encode()), "/market/stream", streams)

    def genuine(self) -> list[bytes]:
        return [*super().genuine(), *self.marks[-3:]]

    def hear(self, frame: Frame) -> None:
        if (b"markPrice" in frame) if isinstance(frame, bytes) else ("markPrice" in frame):
            self.outside.feed.hear_marks(frame)
        else:
            super().hear(frame)

    def state(self) -> Any:
        return super().state(), dict(self.outside.feed.marks)

    def may_tell(self, message: Any) -> bool:
        data = message.get("data") if isinstance(message, dict) else None
        if isinstance(message, dict) and data is None and "lastUpdateId" not in message:
            return True  # an answer
        if isinstance(data, dict) and data.get("e") == "markPriceUpdate":
            return True
        return super().may_tell(message)

    def settle(self, *, is_dirty: bool) -> None:
        super().settle(is_dirty=is_dirty)
        for frame in self.marks:
            self.outside.feed.hear_marks(frame)
        del self.marks[:-3]


class FuturesGatewaySubject(GatewaySubject):
    """Answers of ws-fapi and of REST, and the user stream; each is now and then heard where another belongs."""

    venue: FuturesVenue
    outside: FuturesOutside

    def make(self, folder: Path) -> None:
        self.venue = FuturesVenue(Clock())
        self.outside = FuturesOutside(self.venue, loose(), folder)

    def connect(self) -> None:
        super().connect()
        self.told_events: list[bytes] = []
        self.replies: list[tuple[str, int, bytes]] = []
        self._open_user()

    def _open_user(self) -> None:
        """As its link does it: a key, the stream under it, what was missed."""
        key, gateway, now_ms = self.outside.gateway.listen_key, self.outside.gateway, self.outside.now_ms()
        key.expire()
        method = key.due(now_ms)
        assert key.hear(method, *self.venue.signed(method, "v1/listenKey", {}), now_ms)
        streams = self.venue.streams
        for session in [one for one in streams.market_sessions if getattr(one, "group", "") == "private"]:
            streams.close(session)
        streams.open_market(lambda frame: self.told_events.append(frame.encode()), "/private/ws", "", key.name)
        gateway.hear_user_up()

    def genuine(self) -> list[bytes]:
        return [*super().genuine(), *self.told_events, *(body for _, _, body in self.replies), *DOCUMENTED]

    def hear(self, frame: Frame) -> None:
        data = frame.encode("utf-8", "replace") if isinstance(frame, str) else frame
        way = (
            self.chance.randrange(3)
            if self.chance.random() < 0.1
            else 0
            if b'"id"' in data
            else 1
            if b'"e"' in data
            else 2
        )
        if way == 0:
            self.gateway.hear(frame)
        elif way == 1:
            self.outside.gateway.hear_event(frame)
        else:
            order_id = self.chance.choice(self.sent).order_id
            status = 200 if self.chance.random() < 0.9 else self.chance.choice([0, 400, 401, 418, 429, 500, 503])
            self.outside.gateway.hear_reply(self.chance.choice(["income", f"trades {order_id}"]), status, data)

    def state(self) -> Any:
        payments = self.outside.gateway.payments
        return super().state(), held_payments(payments), self.outside.gateway.listen_key.name

    def may_tell(self, message: Any) -> bool:
        return isinstance(message, dict | list)

    def carry(self) -> None:
        super().carry()
        while self.outside.requests:
            name, method, path, params = self.outside.requests.pop(0)
            self.replies.append((name, *self.venue.signed(method, path, params)))

    def hear_all(self) -> None:
        super().hear_all()
        for frame in self.told_events:
            self.outside.gateway.hear_event(frame)
        for name, status, body in self.replies:
            self.outside.gateway.hear_reply(name, status, body)
        self.before = [*self.before, *self.told_events, *(body for _, _, body in self.replies)][-FRAMES:]
        self.told_events.clear()
        self.replies.clear()

    def _recover(self) -> None:
        super()._recover()
        self.venue.binance._spent.clear()  # as if we did not ask more often than anybody would
        self._open_user()
        self.carry()


def held_payments(payments: Any) -> int:
    held: int = sum(payments._counted.values()) + sum(payments._told.values()) + len(payments._events)
    return held
