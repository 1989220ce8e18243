"""What Coinbase tells without being asked: books, prints, heartbeats and orders, numbered per connection."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ..exchange import Exchange
from ..orders import Account, Depth, Event, Order, Trade
from . import wire
from .jwt import Unauthorized
from .wire import NS_PER_MS, NS_PER_S, Json

Send = Callable[[str], None]
PUBLIC = ("level2", "market_trades", "heartbeats")
NAMES = {"level2": "l2_data"}  # a channel's messages may have another name than its subscription
SUBSCRIBE_NS = 5 * NS_PER_S  # who has not subscribed by then is let go
TRADES_NS = 250 * NS_PER_MS
RECENT_TRADES = 100
ORDER_BATCH = 50
POSITIONS = {"perpetual_futures_positions": [], "expiring_futures_positions": []}  # type: Json


def encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


@dataclass(eq=False)
class Session:
    """One connection: its number counts everything it is told."""

    send: Send
    close: Callable[[], None]
    ts_open_ns: int
    account: Account | None = None
    channels: dict[str, list[str]] = field(default_factory=dict)
    sequence: int = 0

    def tell(self, channel: str, events: str, ts_ns: int) -> None:
        number, self.sequence = self.sequence, self.sequence + 1
        self.send(
            f'{{"channel":"{NAMES.get(channel, channel)}","timestamp":"{wire.stamp(ts_ns)}",'
            f'"sequence_num":{number},"events":{events}}}'
        )

    def hears(self, channel: str, product: str) -> bool:
        return product in self.channels.get(channel, ())


class Streams:
    """The open connections of the venue."""

    def __init__(self, exchange: Exchange, now_ns: Callable[[], int], account_of: Callable[[str], Account]) -> None:
        self.exchange = exchange
        self.now_ns = now_ns
        self.account_of = account_of  # by token; raises Unauthorized
        self.sessions: dict[Session, None] = {}  # in the order they were opened
        self.recent = {symbol: deque[Json](maxlen=RECENT_TRADES) for symbol in exchange.instruments}
        self._depth: dict[str, Depth] = {}
        self._trades: dict[str, list[Json]] = {}
        self._ts_trades_ns, self._second = 0, 0

    # --- connections ------------------------------------------------------------------------------------------
    def open(self, send: Send, close: Callable[[], None] = lambda: None) -> Session:
        session = Session(send, close, self.now_ns())
        self.sessions[session] = None
        return session

    def close(self, session: Session) -> None:
        self.sessions.pop(session, None)

    def receive(self, session: Session, frame: str) -> None:
        """Subscribe or unsubscribe; data comes before the acknowledgement."""
        try:
            request = msgspec.json.decode(frame)
            kind, channel, token = request["type"], str(request["channel"]), request.get("jwt")
            products = [self._product(name) for name in request.get("product_ids") or []]
            account = self.account_of(token) if token else None
        except (msgspec.DecodeError, UnicodeError, KeyError, TypeError, AttributeError, RecursionError):
            session.send(encode({"type": "error", "message": "failure to subscribe"}))
            return
        except Unauthorized:
            session.send(encode({"type": "error", "message": "authentication failure"}))
            return
        is_allowed = channel in PUBLIC or (channel == "user" and account is not None)
        if kind == "subscribe" and is_allowed:
            self._subscribe(session, channel, products, account)
        elif kind == "unsubscribe" and channel in session.channels:
            self._unsubscribe(session, channel, products)
        else:
            session.send(encode({"type": "error", "message": "authentication failure"}))
            return
        session.tell("subscriptions", encode([{"subscriptions": session.channels}]), self.now_ns())

    def _product(self, name: str) -> str:
        """-USDC is served by the book in USD, and under its name."""
        found = name if name in self.exchange.instruments else name.removesuffix("C")
        self.exchange.instruments[found]
        return found

    def _subscribe(self, session: Session, channel: str, products: list[str], account: Account | None) -> None:
        if channel == "heartbeats":
            session.channels[channel] = ["heartbeats"]
        elif channel == "user":
            session.account = account
            session.channels[channel] = [wire.NOWHERE]
            self._tell_open_orders(session)
        else:
            known = session.channels.setdefault(channel, [])
            known += [product for product in products if product not in known]
            for product in products:
                session.tell(channel, encode([self._snapshot(channel, product)]), self.now_ns())

    def _unsubscribe(self, session: Session, channel: str, products: list[str]) -> None:
        left = [product for product in session.channels[channel] if products and product not in products]
        session.channels[channel] = left
        if not left or channel in ("heartbeats", "user"):
            del session.channels[channel]

    def _snapshot(self, channel: str, product: str) -> Json:
        if channel == "level2":
            return wire.book_snapshot(self.exchange.instruments[product], self.exchange.books[product], self.now_ns())
        return {"type": "snapshot", "trades": list(self.recent[product])}

    def _tell_open_orders(self, session: Session) -> None:
        """In batches; one that is not full is the last."""
        assert session.account is not None
        orders = [wire.user_order(order) for order in session.account.open_orders()]
        for begin in range(0, len(orders) + 1, ORDER_BATCH):
            event = {"type": "snapshot", "orders": orders[begin : begin + ORDER_BATCH], "positions": POSITIONS}
            session.tell("user", encode([event]), self.now_ns())

    # --- telling ----------------------------------------------------------------------------------------------
    def publish(self, events: Iterable[Event]) -> None:
        """Orders at once, several steps of one in one message; books and prints wait for `flush_depth`."""
        touched: dict[int, Order] = {}
        for event in events:
            if isinstance(event, Depth):
                self._pend(event)
            elif isinstance(event, Trade):
                trade = wire.market_trade(event, self.now_ns())
                self.recent[event.instrument.symbol].appendleft(trade)
                self._trades.setdefault(event.instrument.symbol, []).insert(0, trade)
            else:
                touched[event.order.order_id] = event.order
        for order in touched.values():
            event_text = encode([{"type": "update", "orders": [wire.user_order(order)], "positions": POSITIONS}])
            for session in self.sessions:
                if session.account is order.account and "user" in session.channels:
                    session.tell("user", event_text, self.now_ns())

    def _pend(self, depth: Depth) -> None:
        """Changes between two flushes become one message: a level's last word counts."""
        symbol = depth.instrument.symbol
        before = self._depth.get(symbol)
        if before is not None:
            bids, asks = dict(before.bids) | dict(depth.bids), dict(before.asks) | dict(depth.asks)
            depth = Depth(depth.instrument, before.first_id, depth.last_id, list(bids.items()), list(asks.items()))
        self._depth[symbol] = depth

    def flush_depth(self) -> None:
        """Books now; prints, heartbeats and who must go when their time has come."""
        now_ns = self.now_ns()
        for symbol, depth in self._depth.items():
            self._broadcast("level2", symbol, wire.book_update(depth, now_ns))
        self._depth.clear()
        if not 0 <= now_ns - self._ts_trades_ns < TRADES_NS:  # the clock may have been set back
            self._ts_trades_ns = now_ns
            for symbol, trades in self._trades.items():
                self._broadcast("market_trades", symbol, {"type": "update", "trades": trades})
            self._trades.clear()
        if now_ns // NS_PER_S != self._second:
            self._second = now_ns // NS_PER_S
            self._beat(now_ns)

    def _broadcast(self, channel: str, product: str, event: Json) -> None:
        listening = [session for session in self.sessions if session.hears(channel, product)]
        if listening:
            text = encode([event])
            for session in listening:
                session.tell(channel, text, self.now_ns())

    def _beat(self, now_ns: int) -> None:
        for session in list(self.sessions):
            if session.hears("heartbeats", "heartbeats"):
                count = (now_ns - session.ts_open_ns) // NS_PER_S
                beat = {"current_time": wire.go_time(now_ns, session.ts_open_ns), "heartbeat_counter": count}
                session.tell("heartbeats", encode([beat]), now_ns)
            elif not session.channels and now_ns - session.ts_open_ns > SUBSCRIBE_NS:
                session.close()
