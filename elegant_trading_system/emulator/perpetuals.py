"""Linear perpetuals: one signed position per customer and instrument, cross margin, funding, liquidation.

Matching is the exchange's own; money moves otherwise. An order locks nothing, it must be covered by margin; a fill
opens or closes; what closing has realised, fees and funding go through the wallet, to the eighth decimal.
"""

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import NamedTuple

from ..core.kinds import Side
from ..core.units import ASK, BID
from .exchange import Exchange
from .orders import ATOM, FINAL, Account, Book, Event, Instrument, Order, Refusal, Status, TimeInForce

ZERO = Decimal(0)
FUNDING_MS = 8 * 3_600_000
FUNDINGS_MAX = INCOME_MAX = 1000  # remembered
LEVERAGE = 20  # until the customer says otherwise
FOREIGN_IDS = 2  # numbers between two changes of ours that went to instruments nobody here sees
AUTOCLOSE = "autoclose-"  # how the venue names the orders of a liquidation
MARGIN, REDUCE_ONLY = "Margin is insufficient.", "ReduceOnly Order is rejected."
UNFILLABLE = "Due to the order could not be filled immediately, the FOK order has been rejected."


class Bracket(NamedTuple):
    """What the venue lends up to a notional, and the share of it that has to be kept."""

    floor: Decimal
    cap: Decimal
    leverage_max: int
    ratio: Decimal
    cum: Decimal  # maintenance = notional * ratio - cum


def _brackets(*steps: tuple[int, int, str]) -> tuple[Bracket, ...]:
    """From (cap, leverage, ratio): maintenance is continuous where one bracket ends and the next begins."""
    found: list[Bracket] = []
    for cap, leverage_max, ratio in steps:
        before = found[-1] if found else Bracket(ZERO, ZERO, 0, ZERO, ZERO)
        cum = before.cum + before.cap * (Decimal(ratio) - before.ratio)
        found.append(Bracket(before.cap, Decimal(cap), leverage_max, Decimal(ratio), cum))
    return tuple(found)


BRACKETS = _brackets(
    (50_000, 125, "0.004"),
    (500_000, 100, "0.005"),
    (10_000_000, 50, "0.01"),
    (80_000_000, 20, "0.025"),
    (400_000_000, 10, "0.05"),
    (2_000_000_000, 2, "0.25"),
)


@dataclass
class Position:
    """Signed lots and what was paid for those that are open, signed likewise."""

    instrument: Instrument
    lots: int = 0
    cost: Decimal = ZERO
    leverage: int = LEVERAGE
    ts_ms: int = 0

    @property
    def amount(self) -> Decimal:
        return self.instrument.quantity(self.lots)

    @property
    def entry_price(self) -> Decimal:
        return self.cost / self.amount if self.lots else ZERO

    def unrealised(self, mark: Decimal) -> Decimal:
        return self.amount * mark - self.cost

    def apply(self, side: Side, ticks: int, lots: int) -> Decimal:
        """One fill; returns what it has realised. A flat position has realised exactly what was paid and received."""
        price, held = self.instrument.price(ticks), abs(self.lots)
        closing = min(lots, held) if self.lots * side < 0 else 0
        released = self.cost if closing == held else (self.cost * closing / held).quantize(ATOM)
        if closing == 0:
            released = ZERO
        profit = -side * price * self.instrument.quantity(closing) - released
        self.cost += side * price * self.instrument.quantity(lots - closing) - released
        self.lots += side * lots
        return profit if closing else ZERO


class Income(NamedTuple):
    """A movement of the wallet; funding only."""

    transaction: int
    ts_ms: int
    symbol: str
    asset: str
    amount: Decimal


class PerpetualAccount(Account):
    """A customer in one-way mode and with cross margin; the balance of the settled asset is the wallet."""

    def __init__(self, name: str, balances: dict[str, Decimal]) -> None:
        super().__init__(name, balances)
        self.positions: dict[str, Position] = {}
        self.is_hedged = False  # two positions a symbol: accepted as a setting, not traded
        self.income = deque[Income](maxlen=INCOME_MAX)

    def position(self, instrument: Instrument) -> Position:
        return self.positions.setdefault(instrument.symbol, Position(instrument))

    def open_positions(self) -> list[Position]:
        return [position for position in self.positions.values() if position.lots]


class Funding(NamedTuple):
    """A payment between the holders of a perpetual; negative: this one pays."""

    account: PerpetualAccount
    instrument: Instrument
    amount: Decimal


class Perpetuals(Exchange):
    """All perpetuals of a venue, settled in their quote asset."""

    def __init__(self, instruments: Iterable[Instrument], fee_rate: Decimal = Decimal("0.0005")) -> None:
        super().__init__(instruments, fee_rate)
        self.maker_fee_rate = Decimal("0.0002")
        self.funding_rates = dict.fromkeys(self.instruments, Decimal("0.0001"))
        self.fundings = deque[tuple[str, int, Decimal, Decimal]](maxlen=FUNDINGS_MAX)  # symbol, ms, rate, mark
        self.marks: dict[str, Decimal] = {}  # where they are not the middle of the book
        self.funding_ms = FUNDING_MS  # between two payments
        self.next_funding_ms = 0
        self._last_id = 0
        self.countdowns: dict[tuple[str, str], int] = {}  # account and symbol -> when its orders are cancelled
        self._closing_ids, self._transactions = itertools.count(1), itertools.count(1)

    def mark(self, symbol: str) -> Decimal:
        book = self.books[symbol]
        bid, ask = book.best(BID), book.best(ASK)
        middle = (bid + ask) / Decimal(2) if bid is not None and ask is not None else Decimal(book.last_ticks)
        return self.marks.get(symbol, middle * self.instruments[symbol].tick)

    def _take_ids(self, book: Book, count: int) -> tuple[int, int]:  # noqa: ARG002 - one row of numbers for all books
        first_id = self._last_id + 1 + FOREIGN_IDS
        self._last_id = first_id + count - 1
        return first_id, self._last_id

    # --- margin -----------------------------------------------------------------------------------------------
    def unrealised(self, account: PerpetualAccount) -> Decimal:
        return sum((one.unrealised(self.mark(one.instrument.symbol)) for one in account.open_positions()), ZERO)

    def initial_margin(self, account: PerpetualAccount, instrument: Instrument, added: Order | None = None) -> Decimal:
        """Of a position and the orders that could make it larger, whichever way they go; perhaps with one more order."""
        orders = [order for order in account.open_orders(instrument.symbol) if not order.is_reduce_only]
        position, mark = account.position(instrument), self.mark(instrument.symbol)
        asked = {Side.BUY: ZERO, Side.SELL: ZERO}
        for order in [*orders, added] if added is not None else orders:
            asked[order.side] += self._limit_price(order) * instrument.quantity(order.left)
        held = position.amount * mark
        worst = max(abs(held + asked[Side.BUY]), abs(held - asked[Side.SELL]))
        return (worst / position.leverage).quantize(ATOM, ROUND_UP)

    def initial_margins(self, account: PerpetualAccount) -> Decimal:
        return sum((self.initial_margin(account, position.instrument) for position in account.positions.values()), ZERO)

    def maintenance_margin(self, position: Position) -> Decimal:
        notional = abs(position.amount) * self.mark(position.instrument.symbol)
        bracket = bracket_of(notional)
        return notional * bracket.ratio - bracket.cum

    def maintenance_margins(self, account: PerpetualAccount) -> Decimal:
        return sum((self.maintenance_margin(position) for position in account.open_positions()), ZERO)

    def available(self, account: PerpetualAccount, asset: str) -> Decimal:
        return account.balance(asset).free + self.unrealised(account) - self.initial_margins(account)

    def liquidation_price(self, account: PerpetualAccount, position: Position) -> Decimal:
        """The mark at which the account keeps no more than its maintenance, other positions as they are; 0: never."""
        instrument = position.instrument
        others = [one for one in account.open_positions() if one is not position]
        money = account.balance(instrument.quote).free
        money += sum((one.unrealised(self.mark(one.instrument.symbol)) for one in others), ZERO)
        money -= sum((self.maintenance_margin(one) for one in others), ZERO)
        bracket = bracket_of(abs(position.amount) * self.mark(instrument.symbol))
        slope = abs(position.amount) * bracket.ratio - position.amount
        return max((money + bracket.cum - position.cost) / slope, ZERO) if slope else ZERO

    def _limit_price(self, order: Order) -> Decimal:
        instrument = order.instrument
        return self.mark(instrument.symbol) if order.kind == "MARKET" else instrument.price(order.ticks)

    # --- orders -----------------------------------------------------------------------------------------------
    def _check(self, order: Order) -> None:
        super()._check(order)
        if order.time_in_force is TimeInForce.FOK and self._takeable(order) < order.lots:
            raise Refusal(UNFILLABLE)

    def _check_funds(self, order: Order) -> None:
        if order.is_reduce_only:
            if self._reducible(order) <= self._promised(order):
                raise Refusal(REDUCE_ONLY)
            return
        account, instrument, price = _owner(order), order.instrument, self._limit_price(order)
        needed = self.initial_margin(account, instrument, order) - self.initial_margin(account, instrument)
        lost = max((price - self.mark(instrument.symbol)) * order.side, ZERO) * instrument.quantity(order.lots)
        if needed > 0 and needed + lost > self.available(account, instrument.quote):
            raise Refusal(MARGIN)

    def _reducible(self, order: Order) -> int:
        """Lots of the position that an order of this side closes; negative when it would open."""
        return -_owner(order).position(order.instrument).lots * order.side

    def _promised(self, order: Order) -> int:
        """Lots of the position that other orders wait to close."""
        others = order.account.open_orders(order.instrument.symbol)
        return sum(one.left for one in others if one.is_reduce_only and one.side is order.side and one is not order)

    def _lock(self, order: Order) -> None:
        pass

    def _unlock(self, order: Order) -> None:
        pass

    def _fillable(self, order: Order) -> int:
        if order.status in FINAL:
            return 0
        return min(order.left, self._reducible(order)) if order.is_reduce_only else order.left

    def _knock_out(self, account: Account, symbol: str) -> list[Event]:
        """What can reduce nothing any more."""
        pointless = [one for one in account.open_orders(symbol) if one.is_reduce_only and self._reducible(one) <= 0]
        return [event for order in pointless for event in self._finish(order, Status.EXPIRED)]

    def _settle(self, order: Order, ticks: int, lots: int, *, is_maker: bool) -> tuple[Decimal, str, Decimal]:
        instrument, position = order.instrument, _owner(order).position(order.instrument)
        profit = position.apply(order.side, ticks, lots)
        notional = instrument.price(ticks) * instrument.quantity(lots)
        fee = (notional * (self.maker_fee_rate if is_maker else self.fee_rate)).quantize(ATOM, ROUND_UP)
        position.ts_ms, coin = order.ts_ms, order.account.fee_coin
        if coin is not None and (coins := order.account.pay_in_coin(fee)) is not None:
            order.account.balance(instrument.quote).free += profit
            return coins, coin.asset, profit
        order.account.balance(instrument.quote).free += profit - fee
        return fee, instrument.quote, profit

    # --- what comes with time ---------------------------------------------------------------------------------
    def pay_funding(self, now_ms: int) -> list[Funding]:
        """When it is due; the first call only notes when."""
        due_ms, self.next_funding_ms = self.next_funding_ms, (now_ms // self.funding_ms + 1) * self.funding_ms
        if not 0 < due_ms <= now_ms:
            return []
        paid: list[Funding] = []
        for symbol, rate in self.funding_rates.items():
            mark = self.mark(symbol)
            self.fundings.append((symbol, due_ms, rate, mark))
            for account in map(_perpetual, self.accounts.values()):
                position = account.position(self.instruments[symbol])
                amount = (-position.amount * mark * rate).quantize(ATOM)
                if position.lots:
                    asset = position.instrument.quote
                    account.balance(asset).free += amount
                    account.income.append(Income(next(self._transactions), due_ms, symbol, asset, amount))
                    paid.append(Funding(account, position.instrument, amount))
        return paid

    def liquidate(self, now_ms: int) -> list[Event]:
        """Whoever keeps less than the maintenance margin loses orders and positions."""
        events: list[Event] = []
        for account in map(_perpetual, self.accounts.values()):
            positions = account.open_positions()
            kept = sum((account.balance(asset).free for asset in {one.instrument.quote for one in positions}), ZERO)
            if not positions or kept + self.unrealised(account) >= self.maintenance_margins(account):
                continue
            events += self._cancel_all(account.open_orders())
            for position in positions:
                side = Side.SELL if position.lots > 0 else Side.BUY
                name = f"{AUTOCLOSE}{next(self._closing_ids)}"
                how = ("MARKET", TimeInForce.IOC, 0, abs(position.lots), name, now_ms)
                events += self.place(account, position.instrument, side, *how, is_reduce_only=True)[1]
        return events

    def cancel_due(self, now_ms: int) -> list[Event]:
        """Orders whose customer has not renewed the countdown."""
        due = [key for key, due_ms in self.countdowns.items() if due_ms <= now_ms]
        events: list[Event] = []
        for name, symbol in due:
            del self.countdowns[name, symbol]
            events += self._cancel_all(self.accounts[name].open_orders(symbol))
        return events

    def _cancel_all(self, orders: list[Order]) -> list[Event]:
        return [event for order in orders for event in self._finish(order, Status.CANCELED)]


def bracket_of(notional: Decimal) -> Bracket:
    return next((bracket for bracket in BRACKETS if notional < bracket.cap), BRACKETS[-1])


def _perpetual(account: Account) -> PerpetualAccount:
    assert isinstance(account, PerpetualAccount)
    return account


def _owner(order: Order) -> PerpetualAccount:
    return _perpetual(order.account)
