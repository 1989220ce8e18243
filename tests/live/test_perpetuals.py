"""The emulated venue's positions, margin, funding and liquidation: worked examples, and what must always hold."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_trading_system.core.kinds import Side
from elegant_trading_system.emulator.exchange import Exchange
from elegant_trading_system.emulator.orders import FINAL, Report, Status, TimeInForce
from elegant_trading_system.emulator.perpetuals import BRACKETS, MARGIN, REDUCE_ONLY, UNFILLABLE, Position, bracket_of

from .desk import BTC, Clock
from .futures_desk import FuturesVenue, refusal_of, steps

D = Decimal
GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK


def venue(usdt: str = "100000") -> FuturesVenue:
    return FuturesVenue(Clock(), USDT=usdt)


def position(of: FuturesVenue) -> Position:
    return of.account.position(BTC)


def renew(of: FuturesVenue, low: int, high: int) -> None:
    """The whole book anew, its touch at low and high."""
    of.depth([(low - k, 500) for k in range(10)], [(high + k, 500) for k in range(10)], is_whole=True)


@pytest.mark.spec("E2", "P1")
def test_a_long_is_opened_enlarged_and_closed_with_its_profit_and_fees_in_the_wallet() -> None:
    of = venue()
    of.place(Side.BUY, 600_001, 100)
    of.place(Side.BUY, 600_002, 50)
    assert position(of).amount == D("0.150")
    assert position(of).cost == D("60000.1") * D("0.100") + D("60000.2") * D("0.050")
    paid = (position(of).cost * D("0.0005")).quantize(D("0.00000001"))
    assert of.wallet == D(100_000) - paid, "opening costs the fee and nothing else"
    renew(of, 601_000, 601_001)
    order, _ = of.place(Side.SELL, 601_000, 150, is_reduce_only=True)
    received = D("60100.0") * D("0.150")
    profit = received - D("9000.02")
    assert sum(fill.profit for fill in order.fills) == profit
    assert of.wallet == D(100_000) - paid + profit - received * D("0.0005")
    assert (position(of).lots, position(of).cost) == (0, D(0))


@pytest.mark.spec("E2")
def test_an_order_through_the_position_closes_it_and_opens_the_other_side() -> None:
    of = venue()
    of.place(Side.SELL, 600_000, 100)
    assert (position(of).amount, position(of).entry_price) == (D("-0.100"), D("60000.0"))
    renew(of, 590_000, 590_001)
    order, _ = of.place(Side.BUY, 590_001, 160)
    assert [fill.profit for fill in order.fills] == [D("0.100") * (D("60000.0") - D("59000.1"))]
    assert (position(of).amount, position(of).entry_price) == (D("0.060"), D("59000.1"))


@given(
    fills=st.lists(
        st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 10**6), st.integers(1, 10**5)), max_size=30
    ),
    last=st.integers(1, 10**6),
)
def test_a_flat_position_has_realised_what_was_received_less_what_was_paid(
    fills: list[tuple[Side, int, int]], last: int
) -> None:
    held, realised, cash = Position(BTC), D(0), D(0)
    if sum(side * lots for side, _, lots in fills):
        open_lots = sum(side * lots for side, _, lots in fills)
        fills = [*fills, (Side.SELL if open_lots > 0 else Side.BUY, last, abs(open_lots))]
    for side, ticks, lots in fills:
        realised += held.apply(side, ticks, lots)
        cash -= side * BTC.price(ticks) * BTC.quantity(lots)
    assert (held.lots, held.cost) == (0, D(0))
    assert realised == cash


@pytest.mark.spec("E2")
def test_margin_is_asked_for_what_an_order_would_open_and_not_for_what_it_closes() -> None:
    of = venue("1000")  # at 20 times: 20,000 of notional
    assert refusal_of(lambda: of.place(Side.BUY, 599_999, 334, GTC)) == MARGIN
    order, _ = of.place(Side.BUY, 599_999, 330, GTC)
    assert refusal_of(lambda: of.place(Side.BUY, 599_999, 5, GTC)) == MARGIN, "the first order is still waiting"
    of.place(Side.SELL, 600_005, 200, GTC)  # the other way: only the worse of both counts
    of.exchange.cancel(order)
    of.place(Side.SELL, 600_000, 100)
    before = of.exchange.available(of.account, "USDT")
    assert before < 1000
    position(of).leverage = 10
    assert of.exchange.available(of.account, "USDT") < before


@pytest.mark.spec("E2")
def test_reduce_only_never_opens() -> None:
    of = venue()
    assert refusal_of(lambda: of.place(Side.SELL, 600_000, 10, is_reduce_only=True)) == REDUCE_ONLY, "nothing is held"
    of.place(Side.BUY, 600_001, 50)
    assert refusal_of(lambda: of.place(Side.BUY, 600_001, 10, is_reduce_only=True)) == REDUCE_ONLY
    resting, _ = of.place(Side.SELL, 600_900, 30, GTC, is_reduce_only=True)
    order, told = of.place(Side.SELL, 600_000, 80, is_reduce_only=True)
    assert (order.filled_lots, order.status, position(of).lots) == (50, Status.EXPIRED, 0)
    assert told == ["NEW", "TRADE", "EXPIRED", "EXPIRED"], "the order's rest and the one that waited, knocked out"
    assert resting.status is Status.EXPIRED
    assert not of.account.open_orders()


@pytest.mark.spec("E2")
def test_all_or_nothing_that_cannot_be_filled_is_refused_and_leaves_no_trace() -> None:
    of = venue()
    assert refusal_of(lambda: of.place(Side.BUY, 600_001, 101, FOK)) == UNFILLABLE
    assert not of.account.orders
    assert of.place(Side.BUY, 600_001, 100, FOK)[1] == ["NEW", "TRADE"]


def test_maintenance_is_continuous_from_bracket_to_bracket() -> None:
    for low, high in pairwise(BRACKETS):
        assert low.cap * low.ratio - low.cum == low.cap * high.ratio - high.cum
        assert bracket_of(low.cap) is high
        assert bracket_of(low.cap - 1) is low


@pytest.mark.spec("E2", "R7")
@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_at_the_liquidation_price_the_account_keeps_exactly_its_maintenance_and_beyond_it_is_closed(side: Side) -> None:
    of = venue("1000")
    of.place(side, 600_001 if side is Side.BUY else 600_000, 100)
    resting, _ = of.place(side, 599_000 if side is Side.BUY else 601_000, 1, GTC)
    price = of.exchange.liquidation_price(of.account, position(of))
    assert (price - 60_000) * side < 0
    assert abs(price / 60_000 - 1) > D("0.1")
    of.exchange.marks["BTCUSDT"] = price
    kept = of.wallet + of.exchange.unrealised(of.account)
    assert abs(kept - of.exchange.maintenance_margin(position(of))) < D("1e-9")
    of.exchange.marks["BTCUSDT"] = price + side
    assert not of.exchange.liquidate(2)
    of.exchange.marks["BTCUSDT"] = price - side
    events = of.exchange.liquidate(2)
    assert steps(events)[:2] == ["CANCELED", "NEW"]
    names = {event.order.client_id for event in events if isinstance(event, Report)} - {resting.client_id}
    assert names == {"autoclose-1"}
    assert position(of).lots == 0


@pytest.mark.spec("P1")
def test_funding_moves_money_from_longs_to_shorts_every_eight_hours() -> None:
    of = venue()
    renew(of, 600_000, 600_001)
    of.place(Side.BUY, 600_001, 100)
    of.exchange.marks["BTCUSDT"] = D("60000.12345678")
    before = of.wallet
    of.fund()
    assert of.wallet == before - D("0.60000123")
    assert not of.exchange.pay_funding(of.exchange.next_funding_ms - 1)
    of.place(Side.SELL, 600_000, 200)
    before = of.wallet
    of.fund()
    assert of.wallet == before + D("0.60000123"), "now short"
    assert [row.amount for row in of.account.income] == [D("-0.60000123"), D("0.60000123")]


def test_a_countdown_that_is_not_renewed_cancels_the_orders_of_its_symbol() -> None:
    of = venue()
    order, _ = of.place(Side.BUY, 599_000, 10, GTC)
    of.exchange.countdowns["one", "BTCUSDT"] = 50
    assert not of.exchange.cancel_due(49)
    assert steps(of.exchange.cancel_due(50)) == ["CANCELED"]
    assert order.status in FINAL


ACTIONS = st.tuples(
    st.sampled_from(["place", "close", "depth", "cancel", "funding"]),
    st.sampled_from([Side.BUY, Side.SELL]),
    st.integers(599_995, 600_006),
    st.integers(1, 200),
    st.sampled_from([GTC, IOC, FOK]),
)


@given(actions=st.lists(ACTIONS, max_size=40))
def test_the_wallet_is_profit_less_fees_and_funding_whatever_is_sent(
    actions: list[tuple[str, Side, int, int, TimeInForce]],
) -> None:
    of = venue("3000")
    for action, side, ticks, lots, how in actions:
        held = position(of).lots
        if action in ("place", "close"):
            refused = refusal_of(lambda: of.place(side, ticks, lots, how, is_reduce_only=action == "close"))  # noqa: B023
            if action == "close" and not refused:
                assert abs(position(of).lots) <= abs(held)
                assert position(of).lots * held >= 0, "never through zero"
        elif action == "cancel" and of.account.open_orders():
            of.exchange.cancel(of.account.open_orders()[0])
        elif action == "depth":
            renew(of, ticks - 1, ticks)
        elif action == "funding":
            of.fund()
    fills = [fill for order in of.account.orders.values() for fill in order.fills]
    funding = sum((row.amount for row in of.account.income), D(0))
    assert of.wallet == D(3000) + sum(fill.profit - fill.fee for fill in fills) + funding
    assert position(of).lots == sum(order.side * order.filled_lots for order in of.account.orders.values())
    assert all(order.filled_lots <= order.lots for order in of.account.orders.values())
    assert issubclass(type(of.exchange), Exchange)
