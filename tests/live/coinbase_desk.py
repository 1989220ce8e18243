"""The emulated Coinbase and a trader's outside, joined by function calls, as `desk.py` does it for Binance."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

from elegant_trading_system.config import Config
from elegant_trading_system.core.kinds import Side
from elegant_trading_system.data.decimals import Grid
from elegant_trading_system.data.journal import Journal
from elegant_trading_system.data.tape import ListingSpec
from elegant_trading_system.data.universe import build
from elegant_trading_system.emulator.binance.spot import Key
from elegant_trading_system.emulator.coinbase.jwt import new_key
from elegant_trading_system.emulator.coinbase.streams import Session
from elegant_trading_system.emulator.coinbase.venue import ROOT, Coinbase
from elegant_trading_system.emulator.exchange import Exchange
from elegant_trading_system.emulator.orders import Account, Instrument
from elegant_trading_system.shell.coinbase.auth import Signer
from elegant_trading_system.shell.coinbase.feed import CoinbaseFeed, Listing
from elegant_trading_system.shell.coinbase.gateway import CoinbaseGateway
from elegant_trading_system.shell.coinbase.link import spec_of
from elegant_trading_system.shell.coinbase.orders import Request
from elegant_trading_system.shell.sequencer import Sequencer

from .desk import ASKS, BIDS, Clock, Outside, Venue

HOST = "127.0.0.1:1"
KEY = "organizations/1d0b1a5e-0000-4000-8000-000000000001/apiKeys/1d0b1a5e-0000-4000-8000-000000000002"
SECRET, PUBLIC = new_key()
BTC = Instrument("BTC-USD", "BTC", "USD", Decimal("0.1"), Decimal("0.001"), Decimal(5))
FEE_RATE = Decimal("0.006")


class CoinbaseVenue(Venue):
    """Coinbase with one customer and one book."""

    def __init__(self, clock: Clock, **balances: str) -> None:
        self.clock = clock
        self.exchange = Exchange([BTC], FEE_RATE, is_fee_in_quote=True)
        money = balances or {"USD": "100000"}
        self.account = Account("one", {asset: Decimal(amount) for asset, amount in money.items()})
        self.exchange.accounts["one"] = self.account
        self.coinbase = Coinbase(self.exchange, {KEY: Key(PUBLIC, self.account)}, clock)
        self.depth(BIDS, ASKS, is_whole=True)
        self.flush()

    def set_clock(self, now_ns: Callable[[], int]) -> None:
        self.coinbase.now_ns = self.coinbase.streams.now_ns = now_ns

    def depth(self, bids: Any = (), asks: Any = (), *, is_whole: bool = False) -> None:
        self.coinbase.streams.publish(self.exchange.apply_depth("BTC-USD", bids, asks, is_whole=is_whole))

    def trade(self, ticks: int, lots: int, side: Side) -> None:
        self.coinbase.streams.publish(self.exchange.apply_trade("BTC-USD", ticks, lots, side))

    def flush(self) -> None:
        self.coinbase.streams.flush_depth()

    def ask(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **params: Any
    ) -> tuple[int, Any]:
        """A request of the customer's: (HTTP status, answer)."""
        if token is None:
            token = Signer(KEY, SECRET).rest(method, HOST, ROOT + path, self.clock() / 1e9)
        text = msgspec.json.encode(body).decode() if body is not None else ""
        headers = {"Authorization": f"Bearer {token}", "Host": HOST}
        reply = self.coinbase.http(method, ROOT + path, urlencode(params, doseq=True), text, headers)
        is_json = reply.headers["Content-Type"] == "application/json"
        return reply.status, msgspec.json.decode(reply.body) if is_json else reply.body.decode()

    def order(self, kind: str, side: str = "BUY", name: str = "mine", **fields: Any) -> Any:
        """POST /orders: its answer, which is a 200 whatever it says."""
        body = {"client_order_id": name, "product_id": "BTC-USD", "side": side, "order_configuration": {kind: fields}}
        status, answer = self.ask("POST", "orders", body)
        assert status == 200, answer
        return answer

    @property
    def spec(self) -> ListingSpec:
        return spec_of("coinbase", self.ask("GET", "market/products/BTC-USD")[1])


class CoinbaseOutside(Outside):
    """Feed, gateway and sequencer of one trader, and the lines that carry what is said when the test says so."""

    feed: CoinbaseFeed  # type: ignore[assignment]
    gateway: CoinbaseGateway  # type: ignore[assignment]
    listing: Listing  # type: ignore[assignment]

    def __init__(self, venue: CoinbaseVenue, config: Config, folder: Path) -> None:
        self.venue, self.coinbase = venue, venue.coinbase
        self.spec = venue.spec
        self.journal = Journal(folder / "journal")
        self.universe = build([self.spec], config)
        self.decided: list[Any] = []
        self.said: list[tuple[int, str]] = []
        self.asked: list[Request] = []
        self.sessions: dict[int, Session] = {}
        self.sequencer = Sequencer(self.universe, config, self.journal, venue.clock, self.decided.append)
        self.listing = Listing(0, "BTC-USD", Grid.of(self.spec.tick_size, self.spec.lot_size))
        self.feed = CoinbaseFeed(self.sequencer, [self.listing], lambda line, frame: self.said.append((line, frame)))
        self.gateway = CoinbaseGateway(
            self.sequencer, {0: self.spec}, KEY, SECRET, "e1", self.asked.append, lambda: venue.clock() // 1_000_000
        )

    def listen(self, connection: int, passes: Callable[[str], bool] = lambda _frame: True) -> None:
        """A market connection that loses what `passes` does not let through."""

        def hear(frame: str) -> None:
            if passes(frame):
                self.feed.hear(connection, frame)

        self.sessions[connection] = self.coinbase.streams.open(hear)
        self.feed.hear_up(connection)
        self.carry()

    def hang_up(self, connection: int) -> None:
        self.coinbase.streams.close(self.sessions.pop(connection))
        self.feed.hear_down(connection)

    def carry(self) -> None:
        """What the feed has said reaches the venue."""
        while self.said:
            connection, frame = self.said.pop(0)
            if connection in self.sessions:
                self.coinbase.streams.receive(self.sessions[connection], frame)
