"""The emulated venue's matching: worked examples, and what must hold whatever is sent to it."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_trading_system.core.kinds import Side
from elegant_trading_system.emulator.exchange import Exchange
from elegant_trading_system.emulator.orders import (
    FINAL,
    Account,
    Instrument,
    Order,
    Refusal,
    Report,
    Status,
    TimeInForce,
    Trade,
)

BTC = Instrument("BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001"), Decimal(5))
GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK
BIDS = [(1000, 5), (999, 7), (998, 1)]
ASKS = [(1002, 4), (1003, 6)]


def venue(*, is_fee_in_quote: bool = False, **balances: str) -> tuple[Exchange, Account]:
    exchange = Exchange([BTC], is_fee_in_quote=is_fee_in_quote)
    account = Account("one", {asset: Decimal(amount) for asset, amount in balances.items()})
    exchange.accounts["one"] = account
    exchange.apply_depth("BTCUSDT", BIDS, ASKS, is_whole=True)
    return exchange, account


def place(
    exchange: Exchange,
    account: Account,
    side: Side,
    ticks: int,
    lots: int,
    time_in_force: TimeInForce = IOC,
    name: str = "a",
) -> tuple[Order, list[str]]:
    order, events = exchange.place(account, BTC, side, "LIMIT", time_in_force, ticks, lots, name, 1)
    return order, [event.step for event in events if isinstance(event, Report)]


@pytest.mark.spec("E2")
def test_an_ioc_order_takes_levels_in_order_and_what_is_left_expires() -> None:
    exchange, account = venue(USDT="1000")
    order, steps = place(exchange, account, Side.BUY, 1003, 12)
    assert [(fill.ticks, fill.lots) for fill in order.fills] == [(1002, 4), (1003, 6)]
    assert steps == ["NEW", "TRADE", "TRADE", "EXPIRED"]
    assert (order.status, order.filled_lots) == (Status.EXPIRED, 10)
    assert order.quote_filled == Decimal("100.2") * Decimal("0.004") + Decimal("100.3") * Decimal("0.006")
    assert exchange.books["BTCUSDT"].sides[1] == {}, "what was taken is gone until the market renews it"
    assert account.balances["USDT"].free == 1000 - order.quote_filled
    assert account.balances["BTC"].free == Decimal("0.010") - Decimal("0.00001"), "the fee comes out of the coin bought"
    exchange.apply_depth("BTCUSDT", [], [(1002, 9)])
    assert exchange.books["BTCUSDT"].best(1) == 1002


@pytest.mark.spec("P1")
def test_a_fee_in_the_quote_asset_is_locked_with_the_order_and_what_is_not_needed_comes_back() -> None:
    exchange, account = venue(is_fee_in_quote=True, USDT="0.70278", BTC="0.005")
    with pytest.raises(Refusal, match="insufficient balance"):
        place(exchange, account, Side.BUY, 1003, 7)  # 0.7021 and a fee of 0.0007021
    account.balance("USDT").free += Decimal("0.0000221")
    order, _ = place(exchange, account, Side.BUY, 1003, 7)
    assert [(fill.fee, fill.fee_asset) for fill in order.fills] == [
        (Decimal("0.0004008"), "USDT"),
        (Decimal("0.0003009"), "USDT"),
    ]
    assert account.balances["BTC"].free == Decimal("0.012")
    assert account.balances["USDT"].free == Decimal("0.7028021") - Decimal("0.7017") - Decimal("0.0007017")
    assert account.balances["USDT"].locked == 0
    before = account.balances["USDT"].free
    place(exchange, account, Side.SELL, 1000, 5, name="b")
    assert account.balances["USDT"].free - before == Decimal("0.5") - Decimal("0.0005")


def test_an_order_beyond_the_touch_rests_until_the_market_comes_to_it() -> None:
    exchange, account = venue(USDT="1000")
    order, steps = place(exchange, account, Side.BUY, 1001, 3, GTC)
    assert steps == ["NEW"]
    assert account.balances["USDT"].locked == Decimal("0.3003")
    events = exchange.apply_depth("BTCUSDT", [], [(1001, 2)])
    assert [(event.ticks, event.lots, event.aggressor) for event in events if isinstance(event, Trade)] == [
        (1001, 2, Side.SELL)
    ]
    assert (order.status, order.left) == (Status.PARTIALLY_FILLED, 1)
    assert [event.step for event in exchange.cancel(order) if isinstance(event, Report)] == ["CANCELED"]
    assert account.balances["USDT"].locked == 0
    with pytest.raises(Refusal, match="Unknown order"):
        exchange.cancel(order)


def test_all_or_nothing_is_nothing_when_there_is_too_little() -> None:
    exchange, account = venue(USDT="1000")
    order, steps = place(exchange, account, Side.BUY, 1003, 11, FOK)
    assert (order.filled_lots, steps) == (0, ["NEW", "EXPIRED"])
    order, _ = place(exchange, account, Side.BUY, 1003, 10, FOK, "b")
    assert order.status is Status.FILLED


@pytest.mark.parametrize(
    "balances, side, ticks, lots, reason",
    [
        ({"USDT": "0.4"}, Side.BUY, 1003, 4, "insufficient balance"),
        ({"BTC": "0.003"}, Side.SELL, 1000, 4, "insufficient balance"),
    ],
)
def test_what_cannot_be_paid_is_refused(
    balances: dict[str, Any], side: Side, ticks: int, lots: int, reason: str
) -> None:
    exchange, account = venue(**balances)
    with pytest.raises(Refusal, match=reason):
        place(exchange, account, side, ticks, lots)
    assert not account.orders


def test_a_name_is_taken_while_its_order_is_open_and_no_longer() -> None:
    exchange, account = venue(USDT="1000")
    first, _ = place(exchange, account, Side.BUY, 1001, 3, GTC, "same")
    with pytest.raises(Refusal, match="Duplicate"):
        place(exchange, account, Side.BUY, 1001, 3, GTC, "same")
    exchange.cancel(first)
    place(exchange, account, Side.BUY, 1001, 3, GTC, "same")


ACTIONS = st.tuples(
    st.sampled_from(["place", "depth", "cancel"]),
    st.sampled_from([Side.BUY, Side.SELL]),
    st.integers(995, 1006),
    st.integers(1, 12),
    st.sampled_from([GTC, IOC, FOK]),
)


@given(actions=st.lists(ACTIONS, max_size=40), is_fee_in_quote=st.booleans())
def test_nothing_is_made_or_lost_whatever_is_sent(
    actions: list[tuple[str, Side, int, int, TimeInForce]],
    is_fee_in_quote: bool,
) -> None:
    exchange, account = venue(USDT="3", BTC="0.02", is_fee_in_quote=is_fee_in_quote)
    for n, (action, side, ticks, lots, time_in_force) in enumerate(actions):
        book = exchange.books["BTCUSDT"]
        if action == "place":
            try:
                order, _ = place(exchange, account, side, ticks, lots, time_in_force, f"n{n}")
            except Refusal:
                continue
            assert all((order.ticks - fill.ticks) * side >= 0 for fill in order.fills), "never worse than the limit"
            assert time_in_force is GTC or order.status in FINAL
        elif action == "cancel" and account.open_orders():
            exchange.cancel(account.open_orders()[0])
        elif action == "depth":
            s, other = (0, book.best(1)) if side is Side.BUY else (1, book.best(0))
            if other is None or (other - ticks) * side > 0:
                exchange.apply_depth("BTCUSDT", *(([(ticks, lots)], []) if s == 0 else ([], [(ticks, lots)])))
        for order in account.orders.values():
            assert order.filled_lots == sum(fill.lots for fill in order.fills) <= order.lots
    bought = sum(o.side * BTC.quantity(o.filled_lots) for o in account.orders.values())
    spent = sum(o.side * o.quote_filled for o in account.orders.values())
    fees = {
        asset: sum(f.fee for o in account.orders.values() for f in o.fills if f.fee_asset == asset)
        for asset in ("BTC", "USDT")
    }
    total = {asset: balance.free + balance.locked for asset, balance in account.balances.items()}
    assert total["BTC"] == Decimal("0.02") + bought - fees["BTC"]
    assert total["USDT"] == Decimal(3) - spent - fees["USDT"]
    locked = sum((o.locked for o in account.open_orders() if o.side is Side.BUY), Decimal(0))
    assert account.balances["USDT"].locked == locked
    assert all(balance.free >= 0 and balance.locked >= 0 for balance in account.balances.values())
