"""What Binance USD-M tells without being asked: three groups of streams by path, and user events over a listenKey."""

import itertools
import secrets
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from ..orders import Depth, Instrument, Report, Trade
from ..perpetuals import ZERO, Funding, PerpetualAccount, Perpetuals
from . import futures_wire as wire
from .streams import MarketSession, Send, Streams, encode
from .wire import Json

GROUPS = ("public", "market", "private")
PARTIAL_LEVELS = (5, 10, 20)
LISTEN_KEY_MS = 3_600_000
MARK_MS = 1000
FLOOD = 1000  # prints that wait to be aggregated


@dataclass(eq=False)
class RoutedSession(MarketSession):
    """A connection hears only the streams of the group its path names; of the others nothing, and no error."""

    group: str = "public"


@dataclass
class ListenKey:
    account: PerpetualAccount
    expires_ms: int


def group_of(stream: str) -> str:
    kind = stream.partition("@")[2]
    if kind.startswith(("depth", "rpiDepth", "bookTicker", "trade")) or stream == "!bookTicker":
        return "public"
    return "market" if kind or stream.startswith("!") else "private"


class FuturesStreams(Streams):
    """The open connections of the venue; it also notes what comes with time: funding, liquidation, keys that expire."""

    def __init__(self, exchange: Perpetuals, now_ns: Callable[[], int]) -> None:
        super().__init__(exchange, now_ns)
        self.perpetuals = exchange
        self.listen_keys: dict[str, ListenKey] = {}
        self._told_ids = dict.fromkeys(exchange.instruments, 0)  # the last number that has been published
        self._prints = defaultdict[str, list[Trade]](list)
        self._aggregate_ids = {symbol: itertools.count(1) for symbol in exchange.instruments}
        self._mark_due_ms = 0

    # --- the market -------------------------------------------------------------------------------------------
    def flush_depth(self) -> None:
        """Ten times a second."""
        self.pass_time()
        super().flush_depth()
        for symbol, trades in self._prints.items():
            self._aggregate(symbol, trades)
        self._prints.clear()

    def _listening(self, stream: str) -> list[MarketSession]:
        group = group_of(stream)
        return [one for one in super()._listening(stream) if isinstance(one, RoutedSession) and one.group == group]

    def _print(self, trade: Trade) -> None:
        self._broadcast(trade.instrument, "trade", wire.trade_event(trade, self.now_ms))
        waiting = self._prints[trade.instrument.symbol]
        if len(waiting) < FLOOD:
            waiting.append(trade)

    def _aggregate(self, symbol: str, trades: list[Trade]) -> None:
        for _, run in itertools.groupby(trades, key=lambda one: (one.ticks, one.aggressor)):
            payload = wire.aggregate_trade(list(run), next(self._aggregate_ids[symbol]), self.now_ms)
            self._broadcast(self.exchange.instruments[symbol], "aggTrade", payload)

    def _touch(self, instrument: Instrument) -> Json:
        return wire.book_ticker(instrument, self.exchange.books[instrument.symbol], self.now_ms)

    def _flush(self, depth: Depth) -> None:
        instrument, symbol = depth.instrument, depth.instrument.symbol
        previous_id, self._told_ids[symbol] = self._told_ids[symbol], depth.last_id
        payload = wire.depth_update(depth, previous_id, self.now_ms)
        for name in ("depth", "depth@100ms", "depth@500ms"):
            self._broadcast(instrument, name, payload)
        for count in PARTIAL_LEVELS:
            rows = [self.exchange.books[symbol].top(s, count) for s in (0, 1)]
            partial = wire.depth_update(depth._replace(bids=rows[0], asks=rows[1]), previous_id, self.now_ms)
            for name in (f"depth{count}", f"depth{count}@100ms", f"depth{count}@500ms"):
                self._broadcast(instrument, name, partial)

    # --- what comes with time ---------------------------------------------------------------------------------
    def pass_time(self) -> None:
        for funding in self.perpetuals.pay_funding(self.now_ms):
            self._tell_funding(funding)
        self.publish(self.perpetuals.liquidate(self.now_ms))
        self.publish(self.perpetuals.cancel_due(self.now_ms))
        self._expire_keys()
        if self.now_ms >= self._mark_due_ms:
            self._mark_due_ms = self.now_ms + MARK_MS
            for symbol, instrument in self.exchange.instruments.items():
                payload = wire.mark_price(self.perpetuals, symbol, self.now_ms)
                for name in ("markPrice", "markPrice@1s"):
                    self._broadcast(instrument, name, payload)

    def _expire_keys(self) -> None:
        for name in [name for name, key in self.listen_keys.items() if key.expires_ms <= self.now_ms]:
            gone = {"e": "listenKeyExpired", "E": self.now_ms, "listenKey": name}
            for session in self._listening(name):
                session.publish(name, encode(gone))
            del self.listen_keys[name]

    # --- one customer's own -----------------------------------------------------------------------------------
    def issue_key(self, account: PerpetualAccount) -> str:
        """The key that is alive, for another hour; or a new one."""
        for name, key in self.listen_keys.items():
            if key.account is account:
                key.expires_ms = self.now_ms + LISTEN_KEY_MS
                return name
        name = secrets.token_hex(32)
        self.listen_keys[name] = ListenKey(account, self.now_ms + LISTEN_KEY_MS)
        return name

    def tell(self, account: PerpetualAccount, event: Json) -> None:
        for name, key in self.listen_keys.items():
            if key.account is account:
                for session in self._listening(name):
                    session.publish(name, encode(event))

    def _tell(self, report: Report) -> None:
        account = report.order.account
        assert isinstance(account, PerpetualAccount)
        if report.fill is not None:
            instrument = report.order.instrument
            position = wire.position_update(account.position(instrument), self.perpetuals.mark(instrument.symbol))
            self.tell(account, wire.trade_lite(report, self.now_ms))
            self.tell(account, wire.account_update(account, instrument.quote, "ORDER", ZERO, [position], self.now_ms))
        self.tell(account, wire.order_trade_update(report, self.now_ms))

    def _tell_funding(self, funding: Funding) -> None:
        """Of cross margin the balance alone is told, not the position."""
        asset, amount = funding.instrument.quote, funding.amount
        told = wire.account_update(funding.account, asset, "FUNDING_FEE", amount, [], self.now_ms)
        self.tell(funding.account, told)

    # --- connections ------------------------------------------------------------------------------------------
    def open_market(self, send: Send, path: str, streams: str = "", listen_key: str = "") -> MarketSession:
        """/public/ws/a/b, /market/stream?streams=a/b, /private/ws/KEY or ?listenKey=KEY; without a group: public."""
        group, _, rest = path.strip("/").partition("/")
        if group not in GROUPS:
            group, rest = "public", path.strip("/")
        kind, _, tail = rest.partition("/")
        named = {*tail.split("/"), *streams.split("/"), listen_key}
        wanted = {name for name in named if "@" in name or name.startswith("!") or name in self.listen_keys}
        session = RoutedSession(send, kind == "stream", wanted, group)
        self.market_sessions.add(session)
        return session
