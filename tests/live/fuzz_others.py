"""What is fuzzed of ccxt's road, whose words are objects that ccxt has made of a venue's, and of Deribit's indices."""

import json
import random
from pathlib import Path
from typing import Any

from elegant_trading_system.core.kinds import BookState, Side
from elegant_trading_system.data.importers.volatility import dvol_spec
from elegant_trading_system.data.journal import Journal
from elegant_trading_system.data.universe import build
from elegant_trading_system.emulator.binance.spot import BinanceSpot
from elegant_trading_system.emulator.deribit import Deribit
from elegant_trading_system.emulator.orders import FINAL, Order
from elegant_trading_system.emulator.volatility import VolatilityIndex
from elegant_trading_system.shell.ccxt.feed import CcxtFeed
from elegant_trading_system.shell.ccxt.gateway import CREATE, QUERY, CcxtGateway, Request, Sent
from elegant_trading_system.shell.deribit.feed import FUTURE_NS, DeribitFeed
from elegant_trading_system.shell.sequencer import Sequencer

from ..builders import loose
from .desk import BTC, Clock, Outside, Venue
from .fuzz_binance import FRAMES, SYMBOL, Desk
from .fuzz_spoil import read
from .fuzz_subject import Frame, Subject, check_rows, told_lots

CCXT = "BTC/USDT"
STATUSES = {"NEW": "open", "PARTIALLY_FILLED": "open", "FILLED": "closed", "CANCELED": "canceled", "EXPIRED": "expired"}
ERRORS = [  # as ccxt's are called, with their bases
    ["InsufficientFunds", "ExchangeError", "BaseError", "Exception"],
    ["RequestTimeout", "NetworkError", "OperationFailed", "BaseError"],
    ["OrderNotFound", "InvalidOrder", "ExchangeError", "BaseError"],
    ["ExchangeError", "BaseError"], ["KeyError", "LookupError"], [], ["\ud800"],
]  # fmt: skip


def said(value: Any) -> bytes:
    return json.dumps(value).encode()


class CcxtFeedSubject(Desk):
    """Whole books and prints, in floats."""

    reads_json = False

    def __init__(self, folder: Path, chance: random.Random) -> None:
        super().__init__(folder, chance)
        self.adapter = self.feed = CcxtFeed(self.outside.sequencer, "kraken", {0: self.outside.spec})
        self.prints = 0
        self.books: list[bytes] = []
        self.trades: list[bytes] = []
        self.settle(is_dirty=False)

    def genuine(self) -> list[bytes]:
        return [*self.books, *self.trades]

    def hear(self, frame: Frame) -> None:
        message = read(frame)
        if isinstance(message, list) != (self.chance.random() < 0.05):
            self.feed.hear_trades(CCXT, message[:1] if isinstance(message, list) else message)
        else:
            self.feed.hear_book(CCXT, message)

    def told(self) -> int:
        """That a book is lost is no wrong word about it."""
        return self.outside.journal.count - self.feed.counts["gaps"]

    def counted(self) -> int:
        return super().counted() - self.feed.counts["frames"]

    def state(self) -> Any:
        listing = self.feed.listings[CCXT]
        return len(listing.ids), len(listing.known)

    def check(self) -> None:
        check_rows(self.outside.journal)

    def may_tell(self, message: Any) -> bool:
        return isinstance(message, dict | list)

    def settle(self, *, is_dirty: bool) -> None:
        self.shake()
        self._tell()
        self.feed.hear_book(CCXT, json.loads(self.books[-1]))
        self.feed.hear_trades(CCXT, json.loads(self.trades[-1]))
        assert int(self.outside.sequencer.market[0]["books"][0]["state"]) == BookState.LIVE
        assert self.outside.book() == self.venue.exchange.books[SYMBOL].sides
        assert self.feed.listings[CCXT].known == set(self.feed.listings[CCXT].ids)
        self.shake()
        self._tell()

    def _tell(self) -> None:
        book, now_ms = self.venue.exchange.books[SYMBOL], self.venue.clock() // 1_000_000
        sides = [[[float(BTC.price(x)), float(BTC.quantity(n))] for x, n in book.top(s, 200)] for s in (0, 1)]
        told = {"symbol": CCXT, "bids": sides[0], "asks": sides[1], "timestamp": now_ms, "nonce": book.last_id}
        self.prints += 1
        trade = {"id": str(self.prints), "side": self.chance.choice(["buy", "sell"]), "timestamp": now_ms}
        trade |= {"price": 60000.1, "amount": 0.003, "symbol": CCXT}
        self.books = [*self.books, said(told)][-4:]
        self.trades = [*self.trades, said([trade])][-4:]


class CcxtGatewaySubject(Desk):
    """Orders by ccxt: what it makes of answers, and the names of what it raises."""

    reads_json = False

    def __init__(self, folder: Path, chance: random.Random) -> None:
        super().__init__(folder, chance)
        self.asked: list[Request] = []
        specs, sequencer = {0: self.outside.spec}, self.outside.sequencer
        self.adapter = self.gateway = CcxtGateway(sequencer, specs, "e1", self.asked.append, self.outside.now_ms)
        self.outside.gateway = self.gateway  # type: ignore[assignment]
        self.before: list[bytes] = []
        self.coming: list[tuple[str, int, Any]] = []
        self.sent: list[Sent] = []
        self._order()

    def make(self, folder: Path) -> None:
        self.venue = Venue(Clock(), USDT="100000", BTC="10")
        assert isinstance(self.venue.binance, BinanceSpot)
        self.spot = self.venue.binance
        self.outside = Outside(self.venue, loose(), folder)

    def genuine(self) -> list[bytes]:
        return [*self.before, *(said(answer) for _, _, answer in self.coming)] or [b"{}"]

    def hear(self, frame: Frame) -> None:
        message, order_id = read(frame), self.chance.choice(self.sent).order_id
        dice = self.chance.random()
        if dice < 0.03:
            self.gateway.hear_error(order_id, self.chance.choice([CREATE, QUERY]), self.chance.choice(ERRORS))
        elif isinstance(message, list) != (dice > 0.95):
            self.gateway.hear_trades(order_id, message)
        else:
            self.gateway.hear_order(order_id, message)

    def state(self) -> Any:
        return [(one.venue_id, one.status, one.executed, one.filled_lots, len(one.trades)) for one in self.sent]

    def check(self) -> None:
        assert all(0 <= one.filled_lots <= one.lots for one in self.sent)

    def may_tell(self, message: Any) -> bool:
        return True

    def settle(self, *, is_dirty: bool) -> None:
        """The orders' genuine end: unless one was believed to have ended otherwise, it fills by as much as at the venue."""
        self.spot._spent.clear()  # as if we did not ask more often than anybody would
        for sent in self.sent:
            self.gateway._query(sent)
        for _ in range(3):
            self._hear_all()
            self._carry()
        for sent in self.sent:
            order = self._order_of(sent)
            if not is_dirty:
                assert (sent.filled_lots, sent.is_done) == (order.filled_lots, order.status in FINAL)
        for sent in self.sent:
            assert told_lots(self.outside.journal, sent.order_id) == sent.filled_lots
        self.shake()
        self._order()

    def _order(self) -> None:
        first = len(self.gateway.orders) + 1
        for order_id, side in ((first, Side.BUY), (first + 1, Side.SELL)):
            self.outside.command(order_id, side, 600_000 + side * 5, self.chance.randrange(1, 60))
        self.sent = [self.gateway.orders[order_id] for order_id in (first, first + 1)]
        self._carry()

    def _order_of(self, sent: Sent) -> Order:
        return self.venue.account.by_client_id[SYMBOL, sent.name]

    def _carry(self) -> None:
        """ccxt's part: what is asked is done, and told in its words."""
        while self.asked:
            request = self.asked.pop(0)
            sent = self.gateway.orders[request.order_id]
            if request.what == CREATE:
                self._place(request)
            order = self._order_of(sent)
            trades = [self._trade(order, n) for n in range(len(order.fills))]
            if request.what not in (CREATE, QUERY):
                self.coming.append((request.what, sent.order_id, trades))
                continue
            filled = float(BTC.quantity(order.filled_lots))
            told: dict[str, Any] = {
                "id": str(order.order_id),
                "clientOrderId": sent.name,
                "status": STATUSES[order.status],
            }
            told |= {"filled": filled, "trades": trades if self.chance.random() < 0.5 else []}
            self.coming.append((request.what, sent.order_id, told))

    def _place(self, request: Request) -> None:
        params = {"symbol": SYMBOL, "side": request.side.upper(), "type": "LIMIT", "timeInForce": "IOC"}
        params |= {"price": str(request.price), "quantity": str(request.amount), "newClientOrderId": request.name}
        self.spot.place(self.venue.account, params)

    def _trade(self, order: Order, n: int) -> dict[str, Any]:
        fill = order.fills[n]
        fee = {"cost": float(fill.fee), "currency": fill.fee_asset}
        names = {"id": str(fill.trade_id), "order": str(order.order_id), "timestamp": order.ts_ms, "fee": fee}
        return names | {"price": float(BTC.price(fill.ticks)), "amount": float(BTC.quantity(fill.lots))}

    def _hear_all(self) -> None:
        for what, order_id, answer in self.coming:
            hear = self.gateway.hear_order if what in (CREATE, QUERY) else self.gateway.hear_trades
            hear(order_id, answer)
        self.before = [*self.before, *(said(answer) for _, _, answer in self.coming)][-FRAMES:]
        self.coming.clear()


class DeribitFeedSubject(Subject):
    """An index that prints every second."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.chance, self.clock = chance, Clock()
        self.venue = Deribit({"btc_usd": VolatilityIndex([], 55.0, 1)}, self.clock)
        self.journal = Journal(folder / "journal")
        config = loose()
        sequencer = Sequencer(
            build([dvol_spec("BTC")], config), config, self.journal, self.clock, lambda _command: None
        )
        self.adapter = self.feed = DeribitFeed(sequencer, {"btc_usd": 0})
        self.before: list[bytes] = []
        self.coming: list[bytes] = []
        self.session = self.venue.open(lambda frame: self.coming.append(frame.encode()), lambda: None)
        self._answer(self.feed.hear_up(0))
        self.settle(is_dirty=False)

    def genuine(self) -> list[bytes]:
        return [*self.before, *self.coming]

    def hear(self, frame: Frame) -> None:
        assert len(self.feed.hear(0, frame)) <= 1

    def told(self) -> int:
        return self.journal.count

    def counted(self) -> int:
        return super().counted() - self.feed.counts["frames"]

    def state(self) -> Any:
        return dict(self.feed.latest), set(self.feed.refused_channels)

    def may_tell(self, message: Any) -> bool:
        return isinstance(message, dict)

    def settle(self, *, is_dirty: bool) -> None:
        """A print from the future silences those before it, and no longer than the future may be away."""
        self.clock.ns += FUTURE_NS if is_dirty else 0
        for _ in range(2):
            self._pass_s()
        self._answer(self.feed.hear_up(0))
        self._pass_s()
        assert self.feed.latest == {"btc_usd": self.venue.indices["btc_usd"].value(self.clock() // 1_000_000)}
        assert not self.feed.refused_channels
        self.clock.pass_ms(1000)
        self.venue.flush_depth()

    def _pass_s(self) -> None:
        self.clock.pass_ms(1000)
        self.venue.flush_depth()
        for frame in self.coming:
            self._answer(self.feed.hear(0, frame))
        self.before = [*self.before, *self.coming][-FRAMES:]
        self.coming.clear()

    def _answer(self, frames: list[str]) -> None:
        for frame in frames:
            self.venue.receive(self.session, frame)

    def close(self) -> None:
        self.journal.close()
