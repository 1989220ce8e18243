"""An emulated venue and a trader's outside, joined by function calls instead of sockets, in time that the test moves."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from elegant_trading_system.config import Config
from elegant_trading_system.core.kinds import CommandKind, Side
from elegant_trading_system.core.schema import COMMAND, NS_PER_S
from elegant_trading_system.data.decimals import Grid
from elegant_trading_system.data.journal import Journal
from elegant_trading_system.data.tape import ListingSpec
from elegant_trading_system.data.universe import build
from elegant_trading_system.emulator.binance.spot import BinanceSpot, Key
from elegant_trading_system.emulator.binance.venue import BinanceVenue
from elegant_trading_system.emulator.exchange import Exchange
from elegant_trading_system.emulator.orders import Account, Book, Instrument
from elegant_trading_system.shell.binance.feed import BinanceFeed, Listing
from elegant_trading_system.shell.binance.gateway import BinanceGateway
from elegant_trading_system.shell.binance.link import spec_of
from elegant_trading_system.shell.binance.orders import BinanceOrders
from elegant_trading_system.shell.budget import limits_of
from elegant_trading_system.shell.command import Command, commands_of
from elegant_trading_system.shell.sequencer import Sequencer

START_NS = 1_760_000_000 * NS_PER_S
KEY, SECRET = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A", "a secret"
BTC = Instrument("BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001"), Decimal(5))
BIDS = [(600_000 - k, 100 + k) for k in range(20)]
ASKS = [(600_001 + k, 100 + k) for k in range(20)]


def decided(
    order_id: int, side: Side, ticks: int, lots: int, kind: CommandKind = CommandKind.SEND, *, is_exit: bool = False
) -> Command:
    """What the core could have decided."""
    [empty] = commands_of(np.zeros(1, COMMAND))
    return empty._replace(
        order_id=order_id, side=side, price_ticks=ticks, lots=lots, kind=kind, is_reduce_only=int(is_exit)
    )


class Clock:
    def __init__(self) -> None:
        self.ns = START_NS

    def __call__(self) -> int:
        return self.ns

    def pass_ms(self, ms: float) -> None:
        self.ns += round(ms * 1_000_000)


class Venue:
    """Binance Spot with one customer and one book."""

    prefix = "/api/v3"
    exchange: Exchange
    account: Account
    binance: BinanceVenue

    def __init__(self, clock: Clock, **balances: str) -> None:
        self.clock = clock
        self.make({asset: Decimal(amount) for asset, amount in (balances or {"USDT": "100000"}).items()})
        self.exchange.accounts["one"] = self.account
        self.depth(BIDS, ASKS, is_whole=True)

    def make(self, balances: dict[str, Decimal]) -> None:
        self.exchange, self.account = Exchange([BTC]), Account("one", balances)
        self.binance = BinanceSpot(self.exchange, {KEY: Key(SECRET, self.account)}, self.clock)

    def set_clock(self, now_ns: Callable[[], int]) -> None:
        """The venue's own, from now on."""
        self.binance.now_ns = self.binance.streams.now_ns = now_ns

    @property
    def book(self) -> Book:
        return next(iter(self.exchange.books.values()))

    def depth(self, bids: Any = (), asks: Any = (), *, is_whole: bool = False) -> None:
        self.binance.streams.publish(self.exchange.apply_depth("BTCUSDT", bids, asks, is_whole=is_whole))

    def trade(self, ticks: int, lots: int, side: Side) -> None:
        self.binance.streams.publish(self.exchange.apply_trade("BTCUSDT", ticks, lots, side))

    def flush(self) -> None:
        self.binance.streams.flush_depth()

    def get(self, path: str, query: str = "") -> Any:
        return msgspec.json.decode(self.binance.http("GET", f"{self.prefix}/{path}", query, "", {}).body)

    @property
    def spec(self) -> ListingSpec:
        return spec_of("binance", self.get("exchangeInfo")["symbols"][0])


class Outside:
    """Feed, gateway and sequencer of one trader, not yet connected to anything."""

    def __init__(self, venue: Venue, config: Config, folder: Path) -> None:
        self.venue = venue
        self.spec = venue.spec
        self.journal = Journal(folder / "journal")
        self.universe = build([self.spec], config)
        self.decided: list[Any] = []
        self.wanted: list[str] = []
        self.sent: list[str] = []
        self.sequencer = Sequencer(self.universe, config, self.journal, venue.clock, self.decided.append)
        listing = Listing(0, "BTCUSDT", Grid.of(self.spec.tick_size, self.spec.lot_size))
        self.listing = listing
        self.make()
        self.gateway.budget.learn(limits_of(venue.get("exchangeInfo")["rateLimits"]))

    def make(self) -> None:
        self.feed = BinanceFeed(self.sequencer, [self.listing], self.wanted.append)
        self.gateway: BinanceOrders = BinanceGateway(
            self.sequencer, {0: self.spec}, KEY, SECRET, "e1", self.sent.append, self.now_ms
        )

    def now_ms(self) -> int:
        return self.venue.clock() // 1_000_000

    def snapshot(self) -> bool:
        body = self.venue.binance.http("GET", f"{self.venue.prefix}/depth", "symbol=BTCUSDT&limit=1000", "", {}).body
        return self.feed.hear_snapshot("BTCUSDT", body)

    def listen(self, connection: int, passes: Callable[[str], bool] = lambda _frame: True) -> None:
        """A market connection that loses what `passes` does not let through."""

        def hear(frame: str) -> None:
            if passes(frame):
                self.feed.hear(connection, frame)

        session = self.venue.binance.streams.open_market(hear, "/stream", self.feed.streams())
        assert session.streams
        self.feed.hear_up(connection)

    def book(self) -> tuple[dict[int, int], dict[int, int]]:
        """Our copy of the book, from the engine's ladder."""
        sides: list[dict[int, int]] = []
        for s, sign in ((0, 1), (1, -1)):
            low_x = int(self.sequencer.market[0]["books"][0]["low_x"][s])
            lots = self.sequencer.books[0]["lots"][0, s]
            slots = np.flatnonzero(lots)
            prices = sign * (low_x + (slots - low_x) % len(lots))
            sides.append(dict(zip(prices.tolist(), lots[slots].tolist(), strict=True)))
            far = self.sequencer.books[0]["far"][0, s]
            sides[s] |= {sign * x: n for x, n in far[far["lots"] > 0].tolist()}
        return sides[0], sides[1]

    def command(
        self,
        order_id: int,
        side: Side,
        ticks: int,
        lots: int,
        kind: CommandKind = CommandKind.SEND,
        *,
        is_exit: bool = False,
    ) -> None:
        """As the core would have decided it: its own order table knows nothing of it."""
        self.gateway.command(decided(order_id, side, ticks, lots, kind, is_exit=is_exit))
