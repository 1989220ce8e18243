"""The desk of `desk.py` with perpetuals: a venue of Binance USD-M and a trader's outside for it."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from elegant_trading_system.config import Config
from elegant_trading_system.core.kinds import Kind, Side
from elegant_trading_system.emulator.binance.futures import BinanceFutures
from elegant_trading_system.emulator.binance.futures_streams import FuturesStreams
from elegant_trading_system.emulator.binance.venue import Key, Reply
from elegant_trading_system.emulator.faults import Http
from elegant_trading_system.emulator.orders import Event, Order, Refusal, Report, TimeInForce
from elegant_trading_system.emulator.perpetuals import PerpetualAccount, Perpetuals
from elegant_trading_system.shell.binance.futures_feed import BinanceFuturesFeed
from elegant_trading_system.shell.binance.futures_gateway import BinanceFuturesGateway
from elegant_trading_system.shell.binance.orders import signature_of

from .desk import BTC, KEY, SECRET, Outside, Venue

PREFIX = "/fapi/v1"


class FuturesVenue(Venue):
    """Binance USD-M with one customer and one book."""

    prefix = PREFIX
    exchange: Perpetuals
    account: PerpetualAccount
    binance: BinanceFutures

    def make(self, balances: dict[str, Decimal]) -> None:
        self.exchange, self.account = Perpetuals([BTC]), PerpetualAccount("one", balances)
        self.binance = BinanceFutures(self.exchange, {KEY: Key(SECRET, self.account)}, self.clock)

    @property
    def streams(self) -> FuturesStreams:
        return self.binance.streams

    @property
    def wallet(self) -> Decimal:
        return self.account.balances["USDT"].free

    def signed(self, method: str, path: str, params: dict[str, Any]) -> tuple[int, bytes]:
        """A request of our customer's; (status, body)."""
        reply = self.asked(self.binance.http, method, path, params)
        return reply.status, reply.body

    def asked(self, http: Http, method: str, path: str, params: dict[str, Any]) -> Reply:
        query = urlencode({**params, "timestamp": self.binance.now_ms})
        query = f"{query}&signature={signature_of(SECRET, query)}"
        return http(method, f"/fapi/{path}", query, "", {"X-MBX-APIKEY": KEY})

    def place(
        self, side: Side, ticks: int, lots: int, how: TimeInForce = TimeInForce.IOC, **more: Any
    ) -> tuple[Order, list[str]]:
        """By hand, past the protocol; (the order, its steps)."""
        name = more.pop("name", "")
        order, events = self.exchange.place(self.account, BTC, side, "LIMIT", how, ticks, lots, name, 1, **more)
        self.streams.publish(events)
        return order, steps(events)

    def fund(self) -> None:
        """Eight hours pass."""
        self.streams.pass_time()
        self.clock.ns = self.exchange.next_funding_ms * 1_000_000
        self.streams.pass_time()


def steps(events: list[Event]) -> list[str]:
    return [event.step for event in events if isinstance(event, Report)]


def refusal_of(action: Callable[[], Any]) -> str:
    try:
        action()
    except Refusal as refusal:
        return refusal.reason
    return ""


class FuturesOutside(Outside):
    """Feed, gateway and sequencer of one trader of perpetuals."""

    venue: FuturesVenue
    feed: BinanceFuturesFeed
    gateway: BinanceFuturesGateway

    def __init__(self, venue: FuturesVenue, config: Config, folder: Path) -> None:
        self.requests: list[tuple[str, str, str, Any]] = []
        self.notices: list[str] = []
        super().__init__(venue, config, folder)

    def make(self) -> None:
        self.feed = BinanceFuturesFeed(self.sequencer, [self.listing], self.wanted.append)
        self.gateway = BinanceFuturesGateway(
            self.sequencer,
            {0: self.spec},
            KEY,
            SECRET,
            "e1",
            self.sent.append,
            self.now_ms,
            lambda *request: self.requests.append(request),
            self.notices.append,
        )

    def listen(self, connection: int, passes: Callable[[str], bool] = lambda _frame: True) -> None:
        def hear(frame: str) -> None:
            if passes(frame):
                self.feed.hear(connection, frame)

        self.venue.streams.open_market(hear, "/public/stream", self.feed.streams())
        self.feed.hear_up(connection)

    def balance(self) -> Decimal:
        """What our core's ledger says we have."""
        asset_id = self.universe.assets.index("USDT")
        atoms = int(self.sequencer.trader["balances"][0, asset_id])
        return Decimal(atoms).scaleb(-self.universe.decimals["USDT"])

    def fund(self) -> None:
        atoms = int(self.venue.wallet * 10 ** self.universe.decimals["USDT"])
        self.sequencer.hear(Kind.TRANSFER, 0, atoms=atoms, asset_id=self.universe.assets.index("USDT"))


class FuturesLine:
    """ws-fapi, REST and the user stream: what passes and what does not."""

    def __init__(self, venue: FuturesVenue, outside: FuturesOutside) -> None:
        self.venue, self.outside = venue, outside
        self.is_answering = self.is_telling = True
        self.copies = 1
        self.session = venue.streams.open_api(self._answered)
        outside.gateway.hear_up()
        self.open_user()

    def open_user(self) -> None:
        key, gateway = self.outside.gateway.listen_key, self.outside.gateway
        method = key.due(self.outside.now_ms())
        assert key.hear(method, *self.venue.signed(method, "v1/listenKey", {}), self.outside.now_ms())
        self.user = self.venue.streams.open_market(self._told, "/private/ws", "", key.name)
        gateway.hear_user_up()
        self.carry()

    def _answered(self, frame: str) -> None:
        if self.is_answering:
            for _ in range(self.copies):
                self.outside.gateway.hear(frame)

    def _told(self, frame: str) -> None:
        if self.is_telling:
            for _ in range(self.copies):
                self.outside.gateway.hear_event(frame)

    def carry(self) -> None:
        """Everything that is waiting reaches the venue, and so does what is asked because of the answers."""
        while self.outside.sent or self.outside.requests:
            while self.outside.sent:
                self.venue.binance.api(self.session, self.outside.sent.pop(0))
            while self.outside.requests:
                name, method, path, params = self.outside.requests.pop(0)
                self.outside.gateway.hear_reply(name, *self.venue.signed(method, path, params))
