"""A venue's matching engine: books that follow a market, orders of several accounts, balances to the last decimal.

It knows no protocol and no clock of its own: requests in, events out. Orders that rest are shown in the book and are met
by whoever comes, by price and then by time, among themselves and with the market's own lots. What is taken of these is
gone until the market renews the level. Nobody trades with himself: his resting order goes (EXPIRE_MAKER).
"""

import itertools
from collections.abc import Iterable, Iterator
from decimal import ROUND_UP, Decimal

from ..core.kinds import Side
from ..core.units import ASK, BID
from .orders import (
    ATOM,
    DUPLICATE,
    FINAL,
    WOULD_TAKE,
    Account,
    Book,
    Depth,
    Event,
    Fill,
    Instrument,
    Order,
    Refusal,
    Report,
    Rows,
    Status,
    TimeInForce,
    Trade,
)


class Exchange:
    """All instruments and accounts of a venue."""

    def __init__(
        self, instruments: Iterable[Instrument], fee_rate: Decimal = Decimal("0.001"), *, is_fee_in_quote: bool = False
    ) -> None:
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self.books = {symbol: Book() for symbol in self.instruments}
        self.accounts: dict[str, Account] = {}
        self.fee_rate = fee_rate
        self.is_fee_in_quote = is_fee_in_quote  # otherwise it is taken from what is received
        self._order_ids = itertools.count(1)
        self._last_trade = dict.fromkeys(self.instruments, 0)  # its number

    # --- the market moves -------------------------------------------------------------------------------------
    def apply_depth(self, symbol: str, bids: Rows, asks: Rows, *, is_whole: bool = False) -> list[Event]:
        """The market's own levels as they are now; resting orders are met where they cross."""
        book = self.books[symbol]
        changed: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for s, rows in ((BID, bids), (ASK, asks)):
            if is_whole:
                changed[s].update(dict.fromkeys(book.sides[s], 0))
            changed[s].update(rows)
            for ticks, lots in changed[s].items():
                book.set_market(s, ticks, lots)
        return [*self._show(symbol, changed), *self._meet_market(symbol, BID), *self._meet_market(symbol, ASK)]

    def apply_trade(self, symbol: str, ticks: int, lots: int, aggressor: Side) -> list[Event]:
        self.books[symbol].last_ticks = ticks
        self._last_trade[symbol] += 1
        return [Trade(self.instruments[symbol], self._last_trade[symbol], ticks, lots, aggressor)]

    def _show(self, symbol: str, changed: tuple[Iterable[int], Iterable[int]]) -> Iterator[Depth]:
        """Prices whose lots are others than before, and how many they are now."""
        book = self.books[symbol]
        prices = [sorted(changed[s], reverse=s == BID) for s in (BID, ASK)]
        count = len(prices[BID]) + len(prices[ASK])
        if count:
            first_id, book.last_id = self._take_ids(book, count)
            rows = [[(ticks, book.sides[s].get(ticks, 0)) for ticks in prices[s]] for s in (BID, ASK)]
            yield Depth(self.instruments[symbol], first_id, book.last_id, rows[BID], rows[ASK])

    def _show_price(self, symbol: str, s: int, ticks: int) -> Iterator[Depth]:
        yield from self._show(symbol, ((ticks,), ()) if s == BID else ((), (ticks,)))

    def _take_ids(self, book: Book, count: int) -> tuple[int, int]:
        """First and last number of the next changes of a book."""
        return book.last_id + 1, book.last_id + count

    # --- orders -----------------------------------------------------------------------------------------------
    def place(
        self,
        account: Account,
        instrument: Instrument,
        side: Side,
        kind: str,
        time_in_force: TimeInForce,
        ticks: int,
        lots: int,
        client_id: str,
        ts_ms: int,
        *,
        is_post_only: bool = False,
        is_reduce_only: bool = False,
        display_lots: int = 0,
    ) -> tuple[Order, list[Event]]:
        """A new order and what became of it at once; Refusal when it breaks a rule or cannot be paid."""
        order = Order(
            0,
            client_id,
            account,
            instrument,
            side,
            kind,
            time_in_force,
            ticks,
            lots,
            ts_ms,
            is_reduce_only,
            is_post_only,
            display_lots,
        )
        self._check(order)
        self._admit(order)
        events: list[Event] = [_report(order, "NEW")]
        is_hopeless = time_in_force is TimeInForce.FOK and self._takeable(order) < lots
        if not is_hopeless:
            events += self._take(order)
        if order.status not in FINAL:
            is_resting = kind != "MARKET" and time_in_force is TimeInForce.GTC
            events += self._rest(order) if is_resting else self._finish(order, Status.EXPIRED)
        return order, events

    def _rest(self, order: Order) -> Iterator[Depth]:
        symbol = order.instrument.symbol
        self.books[symbol].join(order)
        yield from self._show_price(symbol, BID if order.side is Side.BUY else ASK, order.ticks)

    def _admit(self, order: Order) -> None:
        """It has a number from here on."""
        account = order.account
        order.order_id = next(self._order_ids)
        order.client_id = order.client_id or f"x-{order.order_id}"
        self._lock(order)
        account.orders[order.order_id] = account.working[order.order_id] = order
        account.by_client_id[order.instrument.symbol, order.client_id] = order

    def cancel(self, order: Order) -> list[Event]:
        if order.status in FINAL:
            raise Refusal("Unknown order sent.")
        return self._finish(order, Status.CANCELED)

    def _check(self, order: Order) -> None:
        account, instrument = order.account, order.instrument
        before = account.by_client_id.get((instrument.symbol, order.client_id))
        if before is not None and before.status not in FINAL:
            raise Refusal(DUPLICATE)
        opposite = self.books[instrument.symbol].best(ASK if order.side is Side.BUY else BID)
        if order.is_post_only and opposite is not None and (order.ticks - opposite) * order.side >= 0:
            raise Refusal(WOULD_TAKE)
        self._check_funds(order)

    # --- money: what a venue with positions does otherwise ----------------------------------------------------
    def _check_funds(self, order: Order) -> None:
        asset, needed = self._needed(order)
        if needed > order.account.balance(asset).free:
            raise Refusal("Account has insufficient balance for requested action.")

    def _worst_price(self, instrument: Instrument, side: Side, kind: str, ticks: int) -> Decimal:
        """What a unit may cost at most: a market order's price is whatever rests on the other side."""
        if kind != "MARKET":
            return instrument.price(ticks)
        other = self.books[instrument.symbol].sides[ASK if side is Side.BUY else BID]
        return instrument.price(max(other, default=0))

    def _needed(self, order: Order) -> tuple[str, Decimal]:
        """The asset an order is paid with, and the most of it that it can take."""
        instrument, quantity = order.instrument, order.instrument.quantity(order.lots)
        if order.side is Side.SELL:
            return instrument.base, quantity
        cost = self._worst_price(instrument, order.side, order.kind, order.ticks) * quantity
        return instrument.quote, cost + (self._fee(cost) if self.is_fee_in_quote else 0)

    def _fee(self, amount: Decimal) -> Decimal:
        return (amount * self.fee_rate).quantize(ATOM, ROUND_UP)

    def _lock(self, order: Order) -> None:
        asset, order.locked = self._needed(order)
        balance = order.account.balance(asset)
        balance.free -= order.locked
        balance.locked += order.locked

    def _settle(
        self,
        order: Order,
        ticks: int,
        lots: int,
        *,
        is_maker: bool,  # noqa: ARG002 - some pay less for it
    ) -> tuple[Decimal, str, Decimal]:
        """Money and coin change hands; (fee, its asset, profit). Fees are rounded up."""
        instrument = order.instrument
        base, quote = instrument.quantity(lots), instrument.price(ticks) * instrument.quantity(lots)
        is_buy = order.side is Side.BUY
        paid, received = (quote, base) if is_buy else (base, quote)
        paid_asset, received_asset = (
            (instrument.quote, instrument.base) if is_buy else (instrument.base, instrument.quote)
        )
        fee, coins = self._fee(received), None
        if self.is_fee_in_quote:  # rounded over the whole order: what was locked is enough
            fee = self._fee(order.quote_filled + quote) - sum((fill.fee for fill in order.fills), Decimal(0))
        elif (coins := order.account.pay_in_coin(quote * self.fee_rate)) is not None:
            fee = Decimal(0)
        is_fee_on_top = self.is_fee_in_quote and is_buy
        paid, received = (paid + fee, received) if is_fee_on_top else (paid, received - fee)
        order.account.balance(paid_asset).locked -= paid
        order.locked -= paid
        order.account.balance(received_asset).free += received
        if coins is not None:
            return coins, order.account.fee_coin.asset if order.account.fee_coin else "", Decimal(0)
        return fee, instrument.quote if self.is_fee_in_quote else received_asset, Decimal(0)

    def _unlock(self, order: Order) -> None:
        instrument = order.instrument
        balance = order.account.balance(instrument.quote if order.side is Side.BUY else instrument.base)
        balance.locked -= order.locked
        balance.free += order.locked
        order.locked = Decimal(0)

    # --- matching ---------------------------------------------------------------------------------------------
    def _takeable(self, order: Order) -> int:
        """Lots within its limit: the market's and those of others, shown or not."""
        s, symbol = ASK if order.side is Side.BUY else BID, order.instrument.symbol
        book = self.books[symbol]
        prices = [ticks for ticks in book.sides[s] if _reaches(order, ticks)]
        resting = (one for ticks in prices for one in book.queues[s].get(ticks, ()) if one.account is not order.account)
        return sum(book.market_lots(s, ticks) for ticks in prices) + sum(one.left for one in resting)

    def _take(self, order: Order) -> list[Event]:
        """Fill from the best opposite prices as far as the limit reaches."""
        symbol, s = order.instrument.symbol, ASK if order.side is Side.BUY else BID
        book, events = self.books[symbol], list[Event]()
        while (left := self._fillable(order)) > 0:
            best = book.best(s)
            if best is None or not _reaches(order, best):
                break
            resting = book.front(s, best)
            if resting is None or resting.ahead_lots > 0:
                lots = min(left, resting.ahead_lots if resting else book.sides[s][best])
                book.take_market(s, best, lots)
                events += self._print(order, best, lots, order.side)
                events += self._fill(order, best, lots, is_maker=False)
                events += self._show_price(symbol, s, best)
            elif resting.account is order.account:
                events += self._finish(resting, Status.EXPIRED_IN_MATCH, "TRADE_PREVENTION")
            else:
                events += self._cross(order, resting, left)
        return [*events, *self._knock_out(order.account, symbol)]

    def _cross(self, order: Order, resting: Order, left: int) -> list[Event]:
        """Two customers meet, at the price of the one who was there."""
        lots, symbol = min(left, resting.shown_lots, self._fillable(resting)), order.instrument.symbol
        if lots <= 0:
            return self._finish(resting, Status.EXPIRED)
        events = self._print(order, resting.ticks, lots, order.side)
        events += self._fill(resting, resting.ticks, lots, is_maker=True)
        events += self._fill(order, resting.ticks, lots, is_maker=False)
        events += self._show_price(symbol, ASK if order.side is Side.BUY else BID, resting.ticks)
        return [*events, *self._knock_out(resting.account, symbol)]

    def _meet_market(self, symbol: str, s: int) -> list[Event]:
        """Orders that rest on this side are met by the market's lots on the other, at the orders' price."""
        book, other, events = self.books[symbol], ASK if s == BID else BID, list[Event]()
        while (order := book.first(s)) is not None:
            best = book.best(other)
            if best is None or not _reaches(order, best):
                break
            lots = min(order.shown_lots, self._fillable(order), book.sides[other][best])
            if lots <= 0:
                events += self._finish(order, Status.EXPIRED)
                continue
            book.take_market(other, best, lots)
            events += self._print(order, order.ticks, lots, Side(-order.side))
            events += self._fill(order, order.ticks, lots, is_maker=True)
            events += self._show_price(symbol, s, order.ticks)
            events += self._show_price(symbol, other, best)
            events += self._knock_out(order.account, symbol)
        return events

    def _fillable(self, order: Order) -> int:
        """Lots of it that may still be filled."""
        return order.left

    def _knock_out(self, account: Account, symbol: str) -> list[Event]:  # noqa: ARG002 - some venues do
        """Orders that a fill has made pointless."""
        return []

    def _print(self, order: Order, ticks: int, lots: int, aggressor: Side) -> list[Event]:
        symbol = order.instrument.symbol
        return self.apply_trade(symbol, ticks, lots, aggressor)

    def _fill(self, order: Order, ticks: int, lots: int, *, is_maker: bool) -> list[Event]:
        """One side of the print before it, under its number."""
        instrument = order.instrument
        fee, fee_asset, profit = self._settle(order, ticks, lots, is_maker=is_maker)
        trade_id = self._last_trade[instrument.symbol]
        fill = Fill(trade_id, ticks, lots, fee, fee_asset, is_maker, profit)
        order.fills.append(fill)
        order.filled_lots += lots
        order.quote_filled += instrument.price(ticks) * instrument.quantity(lots)
        order.status = Status.FILLED if order.left == 0 else Status.PARTIALLY_FILLED
        if is_maker:
            self.books[instrument.symbol].shrink(order, lots)
        events: list[Event] = [_report(order, "TRADE", fill)]
        if order.status is Status.FILLED:
            self._release(order)
        return events

    def _finish(self, order: Order, status: Status, step: str = "") -> list[Event]:
        """It is over, and no longer shown."""
        is_shown = order.shown_lots > 0
        order.status = status
        self._release(order)
        events: list[Event] = [_report(order, step or status.value)]
        if is_shown:
            events += self._show_price(order.instrument.symbol, BID if order.side is Side.BUY else ASK, order.ticks)
        return events

    def _release(self, order: Order) -> None:
        self._unlock(order)
        self.books[order.instrument.symbol].leave(order)
        del order.account.working[order.order_id]


def _reaches(order: Order, ticks: int) -> bool:
    """Would it trade at that price?"""
    return order.kind == "MARKET" or (order.ticks - ticks) * order.side >= 0


def _report(order: Order, step: str, fill: Fill | None = None) -> Report:
    return Report(order, step, fill, order.status, order.filled_lots, order.quote_filled)
