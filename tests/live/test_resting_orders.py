"""Orders that rest at the emulated venues: shown as they are, met by price and time, nothing made or lost."""

from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_trading_system.core.kinds import Side
from elegant_trading_system.emulator.binance.venue import Key
from elegant_trading_system.emulator.exchange import Exchange
from elegant_trading_system.emulator.orders import FINAL, Account, Depth, Event, Refusal, Report, Status, Trade
from elegant_trading_system.emulator.perpetuals import PerpetualAccount, Perpetuals

from .coinbase_desk import CoinbaseVenue
from .desk import KEY, SECRET, Clock, Venue
from .futures_desk import FuturesVenue
from .test_binance_protocol import Follower, order, signed
from .test_exchange import ASKS, BIDS, BTC, FOK, GTC, IOC

Sides = tuple[dict[int, int], dict[int, int]]
CUSTOMERS = ("one", "two", "three")


class Told:
    """A book kept from what the venue tells, and whether its numbers go on without a hole."""

    def __init__(self, exchange: Exchange) -> None:
        book = exchange.books["BTCUSDT"]
        self.sides: Sides = (dict(book.sides[0]), dict(book.sides[1]))
        self.last_id = book.last_id

    def hear(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Depth):
                assert event.first_id > self.last_id
                self.last_id = event.last_id
                for side, rows in zip(self.sides, (event.bids, event.asks), strict=True):
                    side.update(rows)
                    for ticks in [ticks for ticks, lots in side.items() if lots == 0]:
                        del side[ticks]


class Pit:
    """Three customers with plenty, and the market's book."""

    def __init__(self, *, is_fee_in_quote: bool = False) -> None:
        self.exchange = Exchange([BTC], is_fee_in_quote=is_fee_in_quote)
        for name in CUSTOMERS:
            plenty = {"USDT": Decimal(100), "BTC": Decimal(1)}
            self.exchange.accounts[name] = Account(name, plenty)
        self.told = Told(self.exchange)
        self.heard: list[Event] = []
        self.depth(BIDS, ASKS)

    @property
    def book(self) -> Sides:
        return self.exchange.books["BTCUSDT"].sides

    def hear(self, events: list[Event]) -> None:
        self.heard += events
        self.told.hear(events)
        assert self.told.sides == self.book

    def depth(self, bids: Any = (), asks: Any = ()) -> None:
        self.hear(self.exchange.apply_depth("BTCUSDT", bids, asks))

    def place(self, who: str, side: Side, ticks: int, lots: int, how: Any = GTC, **more: Any) -> Any:
        account = self.exchange.accounts[who]
        name = f"{who}-{len(account.orders)}"
        found, events = self.exchange.place(account, BTC, side, "LIMIT", how, ticks, lots, name, 1, **more)
        self.hear(events)
        return found

    def cancel(self, found: Any) -> None:
        self.hear(self.exchange.cancel(found))


@pytest.fixture
def pit() -> Pit:
    return Pit()


@pytest.mark.spec("X2")
def test_what_rests_is_shown_with_the_market_s_and_gone_when_it_is_filled_or_cancelled(pit: Pit) -> None:
    mine = pit.place("one", Side.BUY, 1000, 3)
    other = pit.place("two", Side.BUY, 1001, 2)
    assert pit.book[0] == {1001: 2, 1000: 8, 999: 7, 998: 1}
    pit.cancel(mine)
    assert pit.book[0] == {1001: 2, 1000: 5, 999: 7, 998: 1}
    pit.depth(asks=[(1001, 1)])
    assert (other.left, pit.book[0][1001], 1001 in pit.book[1]) == (1, 1, False), "what met is gone on both sides"
    pit.depth([(1001, 4)])
    assert pit.book[0][1001] == 5, "the market's own is beside it"
    pit.depth([(1001, 0)])
    assert pit.book[0][1001] == 1


@pytest.mark.spec("X2")
def test_customers_meet_by_price_then_by_time_with_the_market_s_lots_in_between(pit: Pit) -> None:
    first = pit.place("one", Side.SELL, 1002, 3)  # behind four of the market's
    pit.depth(asks=[(1002, 6)])  # two more, behind it
    second = pit.place("two", Side.SELL, 1002, 3)
    best = pit.place("two", Side.SELL, 1001, 1)
    taker = pit.place("three", Side.BUY, 1002, 1 + 4 + 2, IOC)
    assert [(fill.ticks, fill.lots) for fill in taker.fills] == [(1001, 1), (1002, 4), (1002, 2)]
    assert (best.status, first.filled_lots, second.filled_lots) == (Status.FILLED, 2, 0)
    prints = [event for event in pit.heard if isinstance(event, Trade)]
    assert [(one.ticks, one.lots, one.aggressor) for one in prints] == [(1001, 1, 1), (1002, 4, 1), (1002, 2, 1)]
    assert [fill.trade_id for fill in first.fills] == [prints[-1].trade_id], "both sides have the print's number"
    assert first.fills[0].is_maker
    assert not taker.fills[-1].is_maker
    pit.place("three", Side.BUY, 1002, 4, IOC)
    assert (first.left, second.filled_lots) == (0, 1), "one of the first's, two of the market's, then the second's"
    pit.depth(asks=[(1002, 0)])
    assert pit.book[1][1002] == 2


@pytest.mark.spec("X2")
def test_what_the_market_takes_away_it_takes_from_behind(pit: Pit) -> None:
    mine = pit.place("one", Side.SELL, 1002, 3)
    pit.depth(asks=[(1002, 2)])
    pit.place("two", Side.BUY, 1002, 3, IOC)
    assert mine.filled_lots == 1


@pytest.mark.spec("X2")
def test_an_iceberg_shows_a_part_and_each_new_part_stands_behind_the_others(pit: Pit) -> None:
    iceberg = pit.place("one", Side.SELL, 1001, 10, display_lots=4)
    behind = pit.place("two", Side.SELL, 1001, 2)
    assert pit.book[1][1001] == 6
    pit.place("three", Side.BUY, 1001, 5, IOC)
    assert (iceberg.filled_lots, behind.filled_lots, pit.book[1][1001]) == (4, 1, 5)
    taker = pit.place("three", Side.BUY, 1001, 20, IOC)
    assert (iceberg.status, behind.status, taker.filled_lots) == (Status.FILLED, Status.FILLED, 7)
    assert 1001 not in pit.book[1]


def test_all_or_nothing_reckons_with_what_others_hide(pit: Pit) -> None:
    pit.place("one", Side.SELL, 1001, 10, display_lots=1)
    assert pit.place("two", Side.BUY, 1001, 11, FOK).filled_lots == 0
    assert pit.place("two", Side.BUY, 1001, 10, FOK).status is Status.FILLED


@pytest.mark.spec("X2")
def test_nobody_trades_with_himself_his_resting_order_goes(pit: Pit) -> None:
    mine = pit.place("one", Side.SELL, 1001, 5)
    taker = pit.place("one", Side.BUY, 1002, 3, IOC)
    assert (mine.status, mine.filled_lots) == (Status.EXPIRED_IN_MATCH, 0)
    assert [(fill.ticks, fill.lots) for fill in taker.fills] == [(1002, 3)]
    steps = [event.step for event in pit.heard if isinstance(event, Report) and event.order is mine]
    assert steps == ["NEW", "TRADE_PREVENTION"]


def test_a_post_only_order_sees_the_orders_of_others(pit: Pit) -> None:
    pit.place("one", Side.SELL, 1001, 1)
    with pytest.raises(Refusal, match="immediately match"):
        pit.place("two", Side.BUY, 1001, 1, is_post_only=True)


def test_an_order_that_can_only_reduce_goes_when_another_customer_has_closed_the_position() -> None:
    exchange, customers = Perpetuals([BTC]), dict[str, PerpetualAccount]()
    for name in ("one", "two"):
        customers[name] = exchange.accounts[name] = PerpetualAccount(name, {"USDT": Decimal(1000)})
    exchange.apply_depth("BTCUSDT", BIDS, ASKS)
    how = {"kind": "LIMIT", "ts_ms": 1, "instrument": BTC}

    def place(who: str, side: Side, ticks: int, lots: int, name: str, **more: Any) -> Any:
        tif = more.pop("time_in_force", GTC)
        made = dict(side=side, ticks=ticks, lots=lots, client_id=name, time_in_force=tif, **more)
        return exchange.place(customers[who], **how, **made)[0]  # type: ignore[arg-type]

    place("one", Side.BUY, 1002, 4, "open", time_in_force=IOC)
    far = place("one", Side.SELL, 1005, 2, "far", is_reduce_only=True)
    near = place("one", Side.SELL, 1001, 2, "near", is_reduce_only=True)
    plain = place("one", Side.SELL, 1001, 2, "plain")
    place("two", Side.BUY, 1001, 4, "take", time_in_force=IOC)
    assert (near.status, plain.status) == (Status.FILLED, Status.FILLED)
    assert far.status is Status.EXPIRED
    assert [customers[who].position(BTC).lots for who in ("one", "two")] == [0, 4]
    assert 1005 not in exchange.books["BTCUSDT"].sides[1]


# --- whatever is sent -----------------------------------------------------------------------------------------
ACTIONS = st.tuples(
    st.sampled_from(["place", "place", "iceberg", "post", "depth", "cancel"]),
    st.sampled_from(CUSTOMERS),
    st.sampled_from([Side.BUY, Side.SELL]),
    st.integers(996, 1006),
    st.integers(0, 12),
    st.sampled_from([GTC, GTC, IOC, FOK]),
)


def act(pit: Pit, action: str, who: str, side: Side, ticks: int, lots: int, how: Any) -> None:
    account, (bids, asks) = pit.exchange.accounts[who], pit.book
    if action == "cancel" and account.working:
        pit.cancel(next(iter(account.working.values())))
    elif action == "depth":
        is_apart = ticks < min(asks, default=9999) if side is Side.BUY else ticks > max(bids, default=0)
        if is_apart or how is IOC:  # sometimes the market comes to those who rest
            pit.depth(*(([(ticks, lots)], []) if side is Side.BUY else ([], [(ticks, lots)])))
    elif action in ("place", "iceberg", "post") and lots:
        more = {"display_lots": max(1, lots // 3)} if action == "iceberg" else {"is_post_only": action == "post"}
        pit.place(who, side, ticks, lots, GTC if action != "place" else how, **more)


def check_customers(pit: Pit) -> None:
    """Every account is what it was, and what its fills made of it; who met whom agrees."""
    sides = Counter[int]()
    for account in pit.exchange.accounts.values():
        fills = [(one.side, fill) for one in account.orders.values() for fill in one.fills]
        fees = Counter[str]()
        for side, fill in fills:
            fees[fill.fee_asset] += fill.fee  # type: ignore[assignment]
            sides[fill.trade_id] += side * fill.lots
        bought = sum(side * BTC.quantity(fill.lots) for side, fill in fills)
        paid = sum(side * BTC.price(fill.ticks) * BTC.quantity(fill.lots) for side, fill in fills)
        total = {asset: balance.free + balance.locked for asset, balance in account.balances.items()}
        assert total == {"BTC": 1 + bought - fees["BTC"], "USDT": 100 - paid - fees["USDT"]}
        locked = Counter[str]()
        for one in account.working.values():
            locked[BTC.quote if one.side is Side.BUY else BTC.base] += one.locked  # type: ignore[assignment]
        assert all(balance.locked == locked[asset] and balance.free >= 0 for asset, balance in account.balances.items())
    lots = {event.trade_id: event.lots for event in pit.heard if isinstance(event, Trade)}
    assert all(abs(net) in (0, lots[trade_id]) for trade_id, net in sides.items())


@given(actions=st.lists(ACTIONS, max_size=50), is_fee_in_quote=st.booleans())
def test_whatever_is_sent_the_book_is_what_was_told_and_nothing_is_made_or_lost(
    actions: list[Any], is_fee_in_quote: bool
) -> None:
    pit = Pit(is_fee_in_quote=is_fee_in_quote)
    for action in actions:
        try:
            act(pit, *action)
        except Refusal:
            continue
        book = pit.exchange.books["BTCUSDT"]
        resting = [one for account in pit.exchange.accounts.values() for one in account.working.values()]
        for s, side in ((0, Side.BUY), (1, Side.SELL)):
            queued = [one for queue in book.queues[s].values() for one in queue]
            assert Counter(map(id, queued)) == Counter(id(one) for one in resting if one.side is side)
            assert all(book.market_lots(s, ticks) >= 0 for ticks in book.sides[s])
        for one in resting:
            assert 0 < one.shown_lots <= (one.display_lots or one.lots)
            assert one.ahead_lots <= book.market_lots(0 if one.side is Side.BUY else 1, one.ticks)
        best = [max(book.queues[0], default=0), min(book.queues[1], default=9999)]
        assert best[0] < min(book.sides[1], default=9999)
        assert best[1] > max(book.sides[0], default=0)
        assert not any(one.status in FINAL for one in resting)
    check_customers(pit)


# --- through the protocols ----------------------------------------------------------------------------------------
def put_on_coinbase(venue: Any, price: str, size: str) -> Any:
    return venue.order("limit_limit_gtc", base_size=size, limit_price=price)["success_response"]["order_id"]


def take_from_coinbase(venue: Any, order_id: str) -> None:
    assert venue.ask("POST", "orders/batch_cancel", {"order_ids": [order_id]})[1]["results"][0]["success"]


def put_on_binance(venue: Any, price: str, size: str) -> Any:
    return signed(venue, "POST", "order", **order(timeInForce="GTC", price=price, quantity=size))[1]["orderId"]


def take_from_binance(venue: Any, order_id: int) -> None:
    assert signed(venue, "DELETE", "order", symbol="BTCUSDT", orderId=order_id)[0] == 200


def put_on_usdm(venue: Any, price: str, size: str) -> Any:
    asked = order(timeInForce="GTC", price=price, quantity=size)
    return msgspec.json.decode(venue.signed("POST", "v1/order", asked)[1])["orderId"]


def take_from_usdm(venue: Any, order_id: int) -> None:
    assert venue.signed("DELETE", "v1/order", {"symbol": "BTCUSDT", "orderId": order_id})[0] == 200


VENUES: dict[str, Any] = {
    "binance": (Venue, "/stream", "btcusdt@depth@100ms", put_on_binance, take_from_binance),
    "binanceusdm": (FuturesVenue, "/public/stream", "btcusdt@depth@100ms", put_on_usdm, take_from_usdm),
}


@pytest.mark.spec("X2", "M1")
@pytest.mark.parametrize("name", VENUES)
def test_everybody_sees_a_resting_order_in_binance_s_diffs_and_snapshots(name: str) -> None:
    kind, path, stream, put, take = VENUES[name]
    venue, frames = kind(Clock()), list[str]()
    venue.flush()
    venue.binance.streams.open_market(frames.append, path, stream)

    def told() -> Any:
        venue.flush()
        data = msgspec.json.decode(frames.pop())["data"]
        snapshot = venue.get("depth", "symbol=BTCUSDT&limit=1000")
        assert snapshot["lastUpdateId"] == data["u"]
        bids = {Decimal(price): Decimal(size) for price, size in snapshot["bids"]}
        changed = {Decimal(price): Decimal(size) for price, size in data["b"]}
        assert all(bids.get(price, 0) == size for price, size in changed.items())
        return changed

    mine = put(venue, "59999.5", "0.010")
    assert told() == {Decimal("59999.5"): Decimal("0.115")}, "beside the market's 0.105"
    take(venue, mine)
    assert told() == {Decimal("59999.5"): Decimal("0.105")}


@pytest.mark.spec("X2", "M1")
def test_everybody_sees_a_resting_order_in_coinbase_s_level2() -> None:
    venue, frames = CoinbaseVenue(Clock()), list[str]()
    session = venue.coinbase.streams.open(frames.append)
    venue.coinbase.streams.receive(session, '{"type":"subscribe","channel":"level2","product_ids":["BTC-USD"]}')
    for action, size in (("put", "0.11"), ("take", "0.1")):
        if action == "put":
            mine = put_on_coinbase(venue, "60000", "0.01")
        else:
            take_from_coinbase(venue, mine)
        venue.flush()
        [frame] = [text for text in frames if '"update"' in text]
        frames.clear()
        [row] = msgspec.json.decode(frame)["events"][0]["updates"]
        assert (row["side"], row["price_level"], row["new_quantity"]) == ("bid", "60000", size)
        book = venue.ask("GET", "product_book", product_id="BTC-USD")[1]["pricebook"]
        assert book["bids"][0] == {"price": "60000", "size": size}


@pytest.mark.spec("X2")
def test_a_book_that_is_kept_by_binance_s_rules_is_right_while_customers_place_and_cancel() -> None:
    venue, follower = Venue(Clock()), Follower()
    venue.binance.streams.open_market(follower.hear, "/stream", "btcusdt@depth@100ms")
    follower.begin(venue.get("depth", "symbol=BTCUSDT&limit=5000"))
    placed = []
    for n in range(60):
        venue.clock.pass_ms(300)  # fifty orders in ten seconds are too many
        placed.append(put_on_binance(venue, f"{59_990 + n % 10}.5", "0.010"))
        venue.depth([(600_000 - n % 7, n % 3 * 10)], [(600_001 + n % 5, n % 4 * 10)])
        if n % 3 == 2:
            take_from_binance(venue, placed.pop(0))
        if n % 4 == 3:
            venue.flush()
    venue.flush()
    truth = venue.get("depth", "symbol=BTCUSDT&limit=5000")
    assert [dict(truth["bids"]), dict(truth["asks"])] == [dict(side) for side in follower.book]


# --- icebergs on Binance Spot -------------------------------------------------------------------------------------
@pytest.mark.spec("X2")
@pytest.mark.parametrize("how", ["rest", "ws-api"])
def test_binance_takes_an_iceberg_and_tells_of_its_tip_only(how: str) -> None:
    venue, frames = Venue(Clock()), list[str]()
    session = venue.binance.streams.open_api(frames.append)
    asked = order(timeInForce="GTC", price="60000.0", quantity="0.050", icebergQty="0.020")
    if how == "rest":
        status, answer = signed(venue, "POST", "order", **asked)
        assert status == 200
    else:
        answer = api(venue, session, frames, "order.place", asked)["result"]
    assert (answer["status"], answer["icebergQty"]) == ("NEW", "0.02000000")
    found = signed(venue, "GET", "order", symbol="BTCUSDT", orderId=answer["orderId"])[1]
    assert (found["icebergQty"], found["origQty"]) == ("0.02000000", "0.05000000")
    top = venue.get("depth", "symbol=BTCUSDT&limit=5")["bids"][0]
    assert top == ["60000.00000000", "0.12000000"], "a tenth of the market's, and the tip"
    filters = {one["filterType"]: one for one in venue.get("exchangeInfo")["symbols"][0]["filters"]}
    assert filters["ICEBERG_PARTS"]["limit"] == 100
    assert venue.get("exchangeInfo")["symbols"][0]["icebergAllowed"] is True


def api(venue: Venue, session: Any, frames: list[str], method: str, params: dict[str, Any]) -> Any:
    from elegant_trading_system.shell.binance.orders import signature_of

    asked = params | {"apiKey": KEY, "timestamp": venue.clock() // 1_000_000}
    payload = "&".join(f"{name}={asked[name]}" for name in sorted(asked))
    asked["signature"] = signature_of(SECRET, payload)
    venue.binance.api(session, msgspec.json.encode({"id": 1, "method": method, "params": asked}).decode())
    return msgspec.json.decode(frames.pop())


@pytest.mark.spec("X2")
@pytest.mark.parametrize(
    "change, code, words",
    [
        ({"timeInForce": "IOC"}, -1014, "Unsupported order combination."),
        ({"icebergQty": "0.050"}, -2010, "IcebergQty exceeds QTY."),
        ({"icebergQty": "0.0105"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "0.201", "icebergQty": "0.002"}, -1013, "Filter failure: ICEBERG_PARTS"),
    ],
)
def test_an_iceberg_that_breaks_a_rule_is_refused_in_the_venue_s_words(
    change: dict[str, Any], code: int, words: str
) -> None:
    venue = Venue(Clock())
    asked = order(timeInForce="GTC", price="59000", quantity="0.050", icebergQty="0.020") | change
    status, answer = signed(venue, "POST", "order", **asked)
    assert (status, answer) == (400, {"code": code, "msg": words})
    assert not venue.account.orders


def test_two_customers_of_a_venue_meet_and_each_hears_of_his_own() -> None:
    venue = Venue(Clock())
    other = venue.exchange.accounts["two"] = Account("two", {"BTC": Decimal(1), "USDT": Decimal(0)})
    venue.binance.keys["another key"] = Key("another secret", other)
    put_on_binance(venue, "60000.0", "0.200")
    venue.exchange.place(
        other, next(iter(venue.exchange.instruments.values())), Side.SELL, "LIMIT", IOC, 600_000, 300, "s", 1
    )
    assert other.balance("BTC").free == Decimal("0.7")
    [mine] = venue.account.orders.values()
    assert (mine.filled_lots, sum(fill.lots for fill in mine.fills if fill.is_maker)) == (200, 200)
