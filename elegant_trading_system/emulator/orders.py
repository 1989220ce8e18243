"""What a venue keeps: instruments, orders, accounts, books, and what it tells of them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_UP, Decimal
from enum import StrEnum
from typing import NamedTuple

from ..core.kinds import Side
from ..core.units import ASK, BID

ATOM = Decimal("0.00000001")
DUPLICATE, WOULD_TAKE = "Duplicate order sent.", "Order would immediately match and take."
Rows = Iterable[tuple[int, int]]  # ticks, lots


class Status(StrEnum):
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"  # so that nobody trades with himself


FINAL = (Status.FILLED, Status.CANCELED, Status.EXPIRED, Status.EXPIRED_IN_MATCH)


class TimeInForce(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class Refusal(Exception):
    """Why the venue will not do it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Instrument:
    symbol: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    notional_min: Decimal

    def price(self, ticks: int) -> Decimal:
        return ticks * self.tick

    def quantity(self, lots: int) -> Decimal:
        return lots * self.lot


class Fill(NamedTuple):
    trade_id: int
    ticks: int
    lots: int
    fee: Decimal
    fee_asset: str
    is_maker: bool
    profit: Decimal = Decimal(0)  # realised by it, where positions are kept


@dataclass(eq=False)
class Order:
    order_id: int
    client_id: str
    account: "Account"
    instrument: Instrument
    side: Side
    kind: str  # LIMIT or MARKET
    time_in_force: TimeInForce
    ticks: int
    lots: int
    ts_ms: int
    is_reduce_only: bool = False
    is_post_only: bool = False
    display_lots: int = 0  # of an iceberg: the most that is shown at once; 0: all
    shown_lots: int = 0  # while it rests
    ahead_lots: int = 0  # the market's own at its price that came before it
    status: Status = Status.NEW
    filled_lots: int = 0
    quote_filled: Decimal = Decimal(0)
    locked: Decimal = Decimal(0)
    fills: list[Fill] = field(default_factory=list)

    @property
    def left(self) -> int:
        return self.lots - self.filled_lots


@dataclass
class Balance:
    free: Decimal = Decimal(0)
    locked: Decimal = Decimal(0)


class FeeCoin(NamedTuple):
    """A venue's own coin, with which fees may be paid for less."""

    asset: str = "BNB"
    price: Decimal = Decimal(600)  # in what instruments are quoted in
    multiple: Decimal = Decimal("0.75")  # of the usual fee


class Account:
    """One customer: balances by asset, orders by id and by their own name for them."""

    def __init__(self, name: str, balances: dict[str, Decimal]) -> None:
        self.name = name
        self.balances = {asset: Balance(amount) for asset, amount in balances.items()}
        self.orders: dict[int, Order] = {}
        self.working: dict[int, Order] = {}  # those of them that are not final
        self.by_client_id: dict[tuple[str, str], Order] = {}
        self.fee_coin: FeeCoin | None = None  # does this one pay fees with it, as long as there is some?

    def balance(self, asset: str) -> Balance:
        return self.balances.setdefault(asset, Balance())

    def pay_in_coin(self, fee: Decimal) -> Decimal | None:
        """What a fee comes to in the venue's coin, taken from there; None where it is paid as usual."""
        if self.fee_coin is None:
            return None
        coins = (fee * self.fee_coin.multiple / self.fee_coin.price).quantize(ATOM, ROUND_UP)
        balance = self.balance(self.fee_coin.asset)
        if balance.free < coins:
            return None
        balance.free -= coins
        return coins

    def open_orders(self, symbol: str | None = None) -> list[Order]:
        return [order for order in self.working.values() if symbol in (None, order.instrument.symbol)]


# --- what the venue tells ---------------------------------------------------------------------------------
class Depth(NamedTuple):
    """Levels that changed, absolute; 0 lots removes."""

    instrument: Instrument
    first_id: int
    last_id: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class Trade(NamedTuple):
    """A print; each instrument counts its own."""

    instrument: Instrument
    trade_id: int
    ticks: int
    lots: int
    aggressor: Side


class Report(NamedTuple):
    """A step in the life of an order: NEW, TRADE (with its fill), CANCELED or EXPIRED."""

    order: Order
    step: str
    fill: Fill | None
    status: Status  # after this step, with what had been filled by then
    filled_lots: int
    quote_filled: Decimal


Event = Depth | Trade | Report


class Book:
    """Lots by price in ticks, a dict a side, as the venue shows them: the market's and those of orders that rest.

    At a price, orders stand in the order they came in, each behind as many of the market's lots as were there before it.
    What the market takes away it takes from behind.
    """

    def __init__(self) -> None:
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.queues: tuple[dict[int, list[Order]], dict[int, list[Order]]] = ({}, {})
        self.last_id = 0
        self.last_ticks = 0

    def best(self, s: int) -> int | None:
        side = self.sides[s]
        return (max(side) if s == BID else min(side)) if side else None

    def top(self, s: int, count: int) -> list[tuple[int, int]]:
        return sorted(self.sides[s].items(), reverse=s == BID)[:count]

    # --- the market's own ---------------------------------------------------------------------------------------
    def market_lots(self, s: int, ticks: int) -> int:
        resting = sum(order.shown_lots for order in self.queues[s].get(ticks, ()))
        return self.sides[s].get(ticks, 0) - resting

    def set_market(self, s: int, ticks: int, lots: int) -> None:
        shown = lots
        for order in self.queues[s].get(ticks, ()):
            order.ahead_lots = min(order.ahead_lots, lots)
            shown += order.shown_lots
        self._set(s, ticks, shown)

    def take_market(self, s: int, ticks: int, lots: int) -> None:
        """From the front."""
        for order in self.queues[s].get(ticks, ()):
            order.ahead_lots = max(order.ahead_lots - lots, 0)
        self._add(s, ticks, -lots)

    def _add(self, s: int, ticks: int, lots: int) -> None:
        self._set(s, ticks, self.sides[s].get(ticks, 0) + lots)

    def _set(self, s: int, ticks: int, lots: int) -> None:
        if lots > 0:
            self.sides[s][ticks] = lots
        else:
            self.sides[s].pop(ticks, None)

    # --- orders that rest -----------------------------------------------------------------------------------------
    def first(self, s: int) -> Order | None:
        """The order that would be met first."""
        queues = self.queues[s]
        return queues[(max if s == BID else min)(queues)][0] if queues else None

    def front(self, s: int, ticks: int) -> Order | None:
        """The order at a price that comes before the others."""
        queue = self.queues[s].get(ticks)
        return queue[0] if queue else None

    def join(self, order: Order) -> None:
        """To the back of its price; of an iceberg so much as it shows."""
        s = _side_of(order)
        order.ahead_lots = self.market_lots(s, order.ticks)
        order.shown_lots = min(order.left, order.display_lots or order.left)
        self.queues[s].setdefault(order.ticks, []).append(order)
        self._add(s, order.ticks, order.shown_lots)

    def leave(self, order: Order) -> None:
        s = _side_of(order)
        queue = self.queues[s].get(order.ticks, [])
        if order in queue:
            queue.remove(order)
            self._add(s, order.ticks, -order.shown_lots)
        if not queue:
            self.queues[s].pop(order.ticks, None)
        order.shown_lots = 0

    def shrink(self, order: Order, lots: int) -> None:
        """So much of what an order shows has been taken; an iceberg shows more of itself, behind the others."""
        order.shown_lots -= lots
        self._add(_side_of(order), order.ticks, -lots)
        if order.shown_lots == 0:
            self.leave(order)
            if order.left > 0:
                self.join(order)


def _side_of(order: Order) -> int:
    return BID if order.side is Side.BUY else ASK
