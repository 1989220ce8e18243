"""Orders by ccxt to any venue it knows, and what its answers mean, without ccxt: requests go out, answers come back.

An order is made once and never again: when the answer leaves open whether it exists, the core asks. Which of ccxt's errors
are a clear no is said here, and everything else is unclear.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from ...core.kinds import CommandKind, Kind, RejectReason
from ...data.tape import ListingSpec
from .. import orders
from ..command import Command
from ..link import OpenOrder
from ..sequencer import Sequencer
from .feed import NO_LOTS, exact, lots_of, ns_of, word_of

Json = Mapping[str, Any]
FINAL = ("closed", "canceled", "expired", "rejected")
UNREADABLE = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError)
ATOMS_MAX = 2**62
CREATE, QUERY, TRADES, FUNDING = "create", "query", "trades", "funding"
#: A clear no. Their common base alone says only that the venue answered; a name used before says that an order exists.
CLEAR = {"ExchangeError", "RateLimitExceeded", "InvalidNonce"}
UNCLEAR = {"DuplicateOrderId", "OrderNotFound", "ExchangeClosedByUser", "ChecksumError"}
VAGUE = "ExchangeError"
ASK_MS = 500


class Request(NamedTuple):
    """Something to ask the venue."""

    what: str  # CREATE, QUERY, TRADES, FUNDING
    order_id: int  # 0: of no order
    symbol: str
    name: str  # the order's, given by us
    venue_id: str  # the venue's; empty until it was heard
    since_ms: int
    side: str = ""
    amount: Decimal = Decimal(0)
    price: Decimal = Decimal(0)
    is_reduce_only: bool = False


class Fill(NamedTuple):
    """One execution, read and found possible."""

    name: str
    ticks: int
    lots: int
    atoms: int  # of the fee's asset; negative: we pay
    asset_id: int
    ts_ns: int


@dataclass
class Sent(orders.Sent):
    trades: set[str] = field(default_factory=set)
    venue_id: str = ""
    status: str = ""  # last heard
    ts_asked_ms: int = 0  # when it was last asked about
    executed: Decimal = Decimal(0)  # last heard


class CcxtGateway(orders.OrdersSent[Sent]):
    """One account's orders on a venue's instruments."""

    order_type = Sent

    def __init__(
        self,
        sequencer: Sequencer,
        specs: dict[int, ListingSpec],
        epoch: str,
        send: Callable[[Request], None],
        now_ms: Callable[[], int],
        lots: Mapping[int, Decimal] = NO_LOTS,
    ) -> None:
        """`lots`: the amount of one lot, where the venue counts in contracts instead of coins."""
        super().__init__(sequencer, specs, epoch, now_ms)
        self._send = send
        self._lots = {listing_id: lots.get(listing_id, spec.lot_size) for listing_id, spec in specs.items()}
        heard_ms = sequencer.ts_ns // orders.NS_PER_MS  # before a crash; what was paid up to there is in the ledger
        self._began_ms = heard_ms or now_ms()
        self._working = dict[int, Sent]()  # of which the venue may not have said its last word
        self._paid = dict[str, int]()  # payments of funding that have been counted, and when they were made
        self._funding_due = set[str]()  # symbols to be asked about before a restored run goes on

    # --- asking -----------------------------------------------------------------------------------------------
    def command(self, command: Command) -> None:
        """What the core has decided leaves for the venue."""
        if command.kind == CommandKind.QUERY:
            self._query(self.orders[command.order_id])
            return
        sent = self._note(command)
        self._working[sent.order_id] = sent
        spec, side = self.specs[sent.listing_id], "buy" if sent.side > 0 else "sell"
        request = Request(CREATE, sent.order_id, spec.symbol, sent.name, "", sent.ts_ms, side)
        amount, price = sent.lots * self._lots[sent.listing_id], command.price_ticks * spec.tick_size
        is_reduce_only = bool(command.is_reduce_only) and spec.kind == "linear"  # closes, never opens
        self._send(request._replace(amount=amount, price=price, is_reduce_only=is_reduce_only))

    def _query(self, sent: Sent) -> None:
        self._ask(QUERY, sent)

    def beat(self, now_ms: int) -> None:
        """Orders of ours end at once. One that the venue has and that has not ended, as far as we know, is asked about."""
        if self._working:
            self._working = {order_id: sent for order_id, sent in self._working.items() if not sent.is_done}
        for sent in self._working.values():
            if sent.venue_id and now_ms >= sent.ts_asked_ms + ASK_MS:
                self._query(sent)

    @staticmethod
    def client_id(epoch: str, order_id: int) -> str:
        """Letters and digits alone, and few of them: some venues take no more than eighteen."""
        return f"ets{base36(int(epoch, 16))}x{order_id}"

    def _ask(self, what: str, sent: Sent) -> None:
        symbol, sent.ts_asked_ms = self.specs[sent.listing_id].symbol, self._now_ms()
        self._send(Request(what, sent.order_id, symbol, sent.name, sent.venue_id, sent.ts_ms))

    # --- hearing ----------------------------------------------------------------------------------------------
    def hear_order(self, order_id: int, order: Json) -> None:
        """What the venue says of an order, in ccxt's words: the answer to CREATE and QUERY."""
        sent = self.orders.get(order_id)
        if sent is None:
            return
        try:
            venue_id, status = word_of(order["id"] or sent.venue_id), order.get("status") or ""
            executed, fills = exact(order.get("filled") or 0), self._read_fills(sent, order.get("trades") or [])
        except UNREADABLE:
            self.counts["refused"] += 1
            return
        sent.venue_id, sent.status, sent.executed = venue_id, status if status in FINAL else "", executed
        self._fill_all(sent, fills)
        self._settle(sent)

    def hear_trades(self, order_id: int, trades: Sequence[Json]) -> None:
        """The account's fills, those of other orders among them: the answer to TRADES."""
        sent = self.orders.get(order_id)
        if sent is None:
            return
        try:
            fills = self._read_fills(sent, [trade for trade in trades if str(trade.get("order")) == sent.venue_id])
        except UNREADABLE:
            self.counts["refused"] += 1
            return
        self._fill_all(sent, fills)
        self._settle(sent, is_asked=True)

    def hear_error(self, order_id: int, what: str, names: Sequence[str]) -> None:
        """An answer that is none. `names` are the error's type and its bases', the most special first."""
        sent = self.orders.get(order_id)
        if sent is None:
            return
        is_refused = what == CREATE and is_clear(names)
        is_absent = what == QUERY and "OrderNotFound" in names and self._now_ms() - sent.ts_ms > orders.ABSENCE_MS
        if (is_refused or is_absent) and not sent.is_done and not sent.filled_lots:
            self._end(sent, Kind.REJECTED, RejectReason.BALANCE if "InsufficientFunds" in names else RejectReason.VENUE)
        else:
            self.counts["unclear"] += 1

    # --- funding ------------------------------------------------------------------------------------------------
    def restore(self, orders: list[OpenOrder]) -> None:
        """After a crash funding that nobody heard of is asked for, whether or not orders were open."""
        super().restore(orders)
        self._funding_due = {spec.symbol for spec in self.specs.values() if spec.kind == "linear"}

    def unsettled(self) -> int:
        for symbol in self._funding_due:
            self.ask_funding(symbol)
        return super().unsettled() + len(self._funding_due)

    def ask_funding(self, symbol: str) -> None:
        self._send(Request(FUNDING, 0, symbol, "", "", max(self._paid.values(), default=self._began_ms)))

    def hear_funding(self, symbol: str, payments: Sequence[Json]) -> None:
        """What funding was paid since we began: all of it is read before any counts, and each counts once."""
        universe = self.sequencer.universe
        listing_id, spec = next((n, spec) for n, spec in self.specs.items() if spec.symbol == symbol)
        try:
            found = [(_payment_name(one), one, exact_signed(one["amount"])) for one in payments]
            stamps = [int(one["timestamp"]) for one in payments]
        except UNREADABLE:
            self.counts["refused"] += 1
            return
        self._funding_due.discard(symbol)
        for (name, one, amount), ts_ms in zip(found, stamps, strict=True):
            if name in self._paid or ts_ms < self._began_ms or one.get("symbol") != symbol:
                continue
            self._paid[name] = ts_ms
            if len(self._paid) > orders.ORDERS_MAX:
                del self._paid[next(iter(self._paid))]
            if one.get("code") != spec.settle:
                self.counts["foreign"] += 1
                continue
            atoms, asset_id = int(amount * 10 ** universe.decimals[spec.settle]), universe.assets.index(spec.settle)
            ts_ns = ts_ms * orders.NS_PER_MS
            self.sequencer.hear(Kind.FUNDING, listing_id, ts_venue_ns=ts_ns, atoms=atoms, asset_id=asset_id)

    @property
    def is_quiet(self) -> bool:
        """Has the venue's last word been heard, on every order and on funding of before a crash?"""
        return not self._funding_due and all(sent.is_done for sent in (*self._working.values(), *self._restored))

    # --- reading ------------------------------------------------------------------------------------------------
    def _read_fills(self, sent: Sent, trades: Iterable[Json]) -> list[Fill]:
        """Those not heard of yet, all of them read before one counts; ValueError and its kin if one cannot be."""
        left, found, heard = sent.lots - sent.filled_lots, dict[str, Fill](), Counter(sent.heard)
        for trade in trades:
            name = word_of(trade.get("id") or f"{trade['timestamp']} {trade['price']} {trade['amount']}")
            if name in sent.trades or name in found or sent.is_done:
                self.counts["repeated_fills"] += 1
                continue
            fill = found[name] = self._read_fill(name, trade, sent.listing_id)
            is_heard = heard[fill[1:5]] > 0  # of before a crash
            heard[fill[1:5]] -= is_heard
            left -= 0 if is_heard else fill.lots
        if left < 0:
            raise ValueError("more than was ordered")
        return list(found.values())

    def _read_fill(self, name: str, trade: Json, listing_id: int) -> Fill:
        spec = self.specs[listing_id]
        ticks = int(exact(trade["price"]) / spec.tick_size)
        lots = lots_of(trade["amount"], ticks, self._lots[listing_id])
        atoms, asset_id = self._fee(trade, spec)
        if ticks * lots == 0 or -atoms > ATOMS_MAX:
            raise ValueError("nothing for nothing is no fill")
        return Fill(name, ticks, lots, atoms, asset_id, ns_of(trade.get("timestamp")))

    def _fill_all(self, sent: Sent, fills: list[Fill]) -> None:
        for fill in fills:
            sent.trades.add(fill.name)
            self._hear_fill(sent, *fill[1:])

    def _fee(self, trade: Json, spec: ListingSpec) -> tuple[int, int]:
        """Atoms, negative, and of what. A fee in an asset that nobody here keeps a ledger of is counted, not guessed."""
        universe, fee = self.sequencer.universe, trade.get("fee") or {}
        asset = fee.get("currency")
        if asset not in universe.assets:
            self.counts["foreign_fees"] += 1
            return 0, universe.assets.index(spec.settle)
        return -int(exact(fee.get("cost") or 0) * 10 ** universe.decimals[asset]), universe.assets.index(asset)

    def _settle(self, sent: Sent, *, is_asked: bool = False) -> None:
        """What the order has come to; fills we have not heard of are asked for first."""
        if sent.is_done:
            return
        if sent.executed > sent.filled_lots * self._lots[sent.listing_id]:
            self.counts["missed_fills"] += 1
            if not is_asked:
                self._ask(TRADES, sent)
        elif sent.status in FINAL:
            is_rejected = sent.status == "rejected" and not sent.filled_lots
            self._end(sent, Kind.REJECTED if is_rejected else Kind.EXPIRED, RejectReason.NONE)
        else:
            self._accept(sent)


def exact_signed(number: object) -> Decimal:
    value = Decimal(str(number))
    return -exact(-value) if value < 0 else exact(value)


def _payment_name(payment: Json) -> str:
    return str(payment.get("id") or f"{payment['symbol']} {payment['timestamp']}")


def base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    return base36(number // 36) + digits[number % 36] if number >= 36 else digits[number]


def is_clear(names: Sequence[str]) -> bool:
    """Does this error, by the names of its type and bases, say for certain that no order was made?"""
    return bool(CLEAR & set(names)) and not UNCLEAR & set(names) and names[0] != VAGUE
