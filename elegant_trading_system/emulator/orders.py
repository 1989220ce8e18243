"""What a venue keeps: instruments, orders, accounts, books, and what it tells of them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_UP, Decimal
from enum import StrEnum
from typing import NamedTuple

from ..core.kinds import Side
from ..core.units import BID

ATOM = Decimal("0.00000001")
DUPLICATE, WOULD_TAKE = "Duplicate order sent.", "Order would immediately match and take."
Rows = Iterable[tuple[int, int]]  # ticks, lots


class Status(StrEnum):
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"


FINAL = (Status.FILLED, Status.CANCELED, Status.EXPIRED)


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


@dataclass
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


@dataclass
class Book:
    """Lots by price in ticks, a dict a side."""

    sides: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))
    last_id: int = 0
    last_ticks: int = 0

    def best(self, s: int) -> int | None:
        side = self.sides[s]
        return (max(side) if s == BID else min(side)) if side else None

    def top(self, s: int, count: int) -> list[tuple[int, int]]:
        return sorted(self.sides[s].items(), reverse=s == BID)[:count]
