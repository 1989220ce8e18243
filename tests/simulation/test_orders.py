"""What happens to an order at a simulated venue, case by case."""

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest

from elegant_trading_system.core import execution_engine
from elegant_trading_system.core.kinds import CommandKind, Kind, OrderState
from elegant_trading_system.core.schema import LEVEL, PACKET, TRADER
from elegant_trading_system.core.units import fee_from_ppm

from ..builders import (
    DARK,
    LINEAR,
    SPOT,
    SPOT_B,
    WORLD,
    Event,
    depth,
    listing,
    loose,
    random_tape,
    snapshot,
    tape,
    trade,
    universe,
)
from ..naive_core import NaiveBook
from .scripted import ENTRY_MS, RESPONSE_MS, Order, Played, heard, play, rehearse

BIDS = [(24_999, 10), (24_998, 20), (24_990, 50)]
ASKS = [(25_001, 10), (25_002, 20), (25_010, 50)]
OPEN = snapshot(0, SPOT, BIDS, ASKS)
LAST = trade(5000, SPOT, buys=[(25_001, 1)])


def after(*events: Event) -> list[Event]:
    """The opening book, these events, and a last packet late enough for every reply."""
    return [OPEN, *events, LAST]


def taken(played: Played, order_id: int = 1) -> int:
    return sum(lots for _, lots in played.fills(order_id))


# --- matching -------------------------------------------------------------------------------------------------
@pytest.mark.spec("E2")
def test_an_order_sweeps_level_by_level_and_what_is_left_expires() -> None:
    played = play(after(), [Order(100, SPOT, 1, 25_002, 35)])
    assert played.fills(1) == [(25_001, 10), (25_002, 20)]
    assert played.ending(1) == Kind.EXPIRED
    assert {r.ms for r in played.reports} == {100 + ENTRY_MS + RESPONSE_MS}
    assert played.lots(SPOT) == {"working": 0, "sent": 35, "filled": 30, "expired": 5}


def test_a_seller_sweeps_the_bids_from_the_best_downwards() -> None:
    played = play(after(), [Order(100, SPOT, -1, 24_990, 31)])
    assert played.fills(1) == [(24_999, 10), (24_998, 20), (24_990, 1)]
    assert played.ending(1) == Kind.FILL


def test_an_order_that_meets_nobody_expires_whole() -> None:
    played = play(after(), [Order(100, SPOT, 1, 25_000, 5)])
    assert [r.kind for r in played.reports] == [Kind.EXPIRED]
    assert played.lots(SPOT) == {"working": 0, "sent": 5, "filled": 0, "expired": 5}


@pytest.mark.spec("E1", "E2")
def test_t18_a_split_with_a_reroute_pays_what_the_worked_example_says() -> None:
    """Primary A 2.4, secondary B 1.2, nobody in the dark; the remaining .4 goes to A again and meets the second level."""
    world = [listing("alpha", "BTC/USDT", "spot", "0.1", "0.1"), listing("beta", "BTC/USDT", "spot", "0.1", "0.1")]
    books = [
        snapshot(0, 0, [(25_000, 1)], [(25_001, 15), (25_002, 30)]),
        snapshot(0, 1, [(25_000, 1)], [(25_001, 4), (25_003, 20)]),
    ]
    orders = [Order(100, 0, 1, 25_008, 24), Order(100, 1, 1, 25_008, 12), Order(130, 0, 1, 25_008, 4)]
    played = play([*books, trade(5000, 0, buys=[(25_001, 1)])], orders, listings=world)
    paid = {k: sum(p * n for p, n in played.fills(k)) / taken(played, k) / 10 for k in (1, 2, 3)}
    assert paid == pytest.approx({1: 2500.1375, 2: 2500.233333, 3: 2500.2}, abs=1e-6)
    average = sum(p * n for k in (1, 2, 3) for p, n in played.fills(k)) / 40 / 10
    assert average == pytest.approx(2500.1725)
    assert (average / 2500.05 - 1) * 1e4 == pytest.approx(0.48999, abs=1e-5)


# --- what we took stays taken ---------------------------------------------------------------------------------
def test_what_we_took_cannot_be_taken_again() -> None:
    played = play(
        after(), [Order(100, SPOT, 1, 25_001, 7), Order(200, SPOT, 1, 25_002, 8), Order(300, SPOT, 1, 25_001, 1)]
    )
    assert played.fills(1) == [(25_001, 7)]
    assert played.fills(2) == [(25_001, 3), (25_002, 5)]
    assert played.fills(3) == []


@pytest.mark.parametrize(
    "event, again",
    [
        (depth(200, SPOT, asks=[(25_001, 6)]), 6),
        (depth(200, SPOT, asks=[(25_001, 10)]), 10),
        (snapshot(200, SPOT, BIDS, ASKS), 10),
        (depth(200, SPOT, asks=[(25_002, 6)]), 0),
        (depth(200, SPOT, bids=[(25_000, 6)]), 0),
        (trade(200, SPOT, buys=[(25_001, 10)]), 0),
        (depth(200, SPOT_B, asks=[(25_001, 10)]), 0),
    ],
)  # fmt: skip
def test_a_level_is_whole_again_only_when_it_is_printed_anew(event: Event, again: int) -> None:
    played = play(after(event), [Order(100, SPOT, 1, 25_001, 10), Order(300, SPOT, 1, 25_001, 99)])
    assert (taken(played, 1), taken(played, 2)) == (10, again)


def test_a_print_that_left_the_venue_before_we_took_the_level_does_not_renew_it() -> None:
    """It reached us after our fill at 110 ms, but says what the venue showed at 105 ms."""
    late = depth(115, SPOT, asks=[(25_001, 10)], venue_ms=105)
    played = play(after(late), [Order(100, SPOT, 1, 25_001, 10), Order(300, SPOT, 1, 25_001, 99)])
    assert (taken(played, 1), taken(played, 2)) == (10, 0)


# --- the venue is ahead of us ---------------------------------------------------------------------------------
def test_an_order_meets_the_book_that_the_venue_had_not_yet_told_us_about() -> None:
    gone = depth(140, SPOT, asks=[(25_001, 0), (25_002, 3)], venue_ms=105)
    better = depth(141, SPOT, asks=[(25_000, 4)], venue_ms=110)
    too_late = depth(142, SPOT, asks=[(24_999, 100)], venue_ms=111)
    played = play(after(gone, better, too_late), [Order(100, SPOT, 1, 25_002, 30)])
    assert played.fills(1) == [(25_000, 4), (25_002, 3)]


def test_the_venues_later_packets_override_its_earlier_ones() -> None:
    first = depth(130, SPOT, asks=[(25_001, 1)], venue_ms=104)
    second = depth(131, SPOT, asks=[(25_001, 2)], venue_ms=108)
    assert play(after(first, second), [Order(100, SPOT, 1, 25_001, 30)]).fills(1) == [(25_001, 2)]


def test_looking_ahead_changes_no_book_of_ours() -> None:
    ahead = depth(140, SPOT, asks=[(25_001, 0)], venue_ms=105)
    packets, levels = tape(after(ahead))
    made = rehearse(packets, [Order(100, SPOT, 1, 25_001, 5)])
    made.run(packets, levels, 1, is_last=False)
    book = made.books[0]["lots"][SPOT].copy()
    made.run(packets, levels, 2, is_last=False)
    assert heard(made)[-1].kind == Kind.EXPIRED
    made.run(packets, levels)
    without = play(after(ahead), []).session
    assert (made.books[0]["lots"][SPOT] == without.books[0]["lots"][SPOT]).all()
    assert (book != made.books[0]["lots"][SPOT]).any()


# --- dark -----------------------------------------------------------------------------------------------------
DARK_OPEN = snapshot(1, DARK)


@pytest.mark.spec("E3")
def test_a_dark_order_fills_at_the_midpoint_of_its_reference_or_not_at_all() -> None:
    orders = [
        Order(100, DARK, 1, 50_001, 3),
        Order(150, DARK, 1, 49_999, 3),
        Order(200, DARK, -1, 50_000, 3),
        Order(250, DARK, -1, 50_001, 3),
    ]
    played = play(after(DARK_OPEN), orders)  # tick .05 against .1: the mid of 24 999 and 25 001 is 50 000
    assert [played.fills(k) for k in (1, 2, 3, 4)] == [[(50_000, 3)], [], [(50_000, 3)], []]


@pytest.mark.spec("E3")
def test_a_dark_order_pays_the_midpoint_at_the_venue_not_the_one_we_saw() -> None:
    ahead = depth(140, SPOT, bids=[(25_000, 5)], venue_ms=105)
    played = play(after(DARK_OPEN, ahead), [Order(100, DARK, 1, 50_100, 3)])
    assert played.fills(1) == [(50_001, 3)]


@pytest.mark.spec("E3")
def test_without_a_midpoint_or_a_counterparty_the_dark_stays_dark() -> None:
    one_sided = snapshot(50, SPOT, BIDS, [])
    assert play(after(DARK_OPEN, one_sided), [Order(100, DARK, 1, 90_000, 3)]).fills(1) == []
    assert play(after(DARK_OPEN), [Order(100, DARK, 1, 90_000, 3)], "simulation.dark_fill=0.0").fills(1) == []


# --- refusals and silence -------------------------------------------------------------------------------------
@pytest.mark.spec("E4")
def test_a_rejected_order_fills_nothing_and_releases_all_it_reserved() -> None:
    played = play(after(), [Order(100, SPOT, 1, 25_010, 30)], "simulation.reject=1.0")
    assert [r.kind for r in played.reports] == [Kind.REJECTED]
    assert played.lots(SPOT) == {"working": 0, "sent": 30, "filled": 0, "expired": 30}


@pytest.mark.spec("E4")
def test_silence_makes_an_order_unknown_and_only_the_venue_resolves_it() -> None:
    packets, levels = tape(after(*[trade(10 * k + 5, SPOT, buys=[(25_001, 1)]) for k in range(100)]))
    made = rehearse(
        packets, [Order(100, SPOT, 1, 25_002, 15)],
        "simulation.lost_reply=1.0", "execution.ack_timeout_ms=300", "execution.query_interval_ms=50",
    )  # fmt: skip
    made.run(packets, levels, 31, is_last=False)  # until 300 ms
    order = made.traders[0]["orders"][0]
    assert (int(order["state"]), int(made.traders[0]["inventory"][SPOT]["working_buy_lots"])) == (OrderState.SENT, 15)
    made.run(packets, levels, 42, is_last=False)  # until 410 ms
    assert int(made.traders[0]["orders"][0]["state"]) == OrderState.UNKNOWN
    assert int(made.traders[0]["inventory"][SPOT]["working_buy_lots"]) == 15
    made.run(packets, levels)
    commands = made.logs[0].joined("commands")
    asked_ms = 100 + 300 + 1
    assert commands["kind"].tolist()[:2] == [CommandKind.SEND, CommandKind.QUERY]
    reports = heard(made)
    assert [(r.kind, r.price_ticks, r.lots) for r in reports] == [(Kind.FILL, 25_001, 10), (Kind.FILL, 25_002, 5)]
    assert {r.ms for r in reports} == {asked_ms + ENTRY_MS + RESPONSE_MS}
    played = Played(made, reports)
    assert played.lots(SPOT) == {"working": 0, "sent": 15, "filled": 15, "expired": 0}
    assert int(made.traders[0]["unknown_count"]) == 1
    assert int(made.traders[0]["refused_reports"]) == 0
    assert not (commands["kind"][1:] == CommandKind.SEND).any(), "a retry would be a second order"


@pytest.mark.spec("E4")
def test_an_order_slower_than_the_deadline_is_unknown_and_then_just_late() -> None:
    played = play(
        after(), [Order(100, SPOT, 1, 25_001, 5)], "execution.ack_timeout_ms=5", "execution.query_interval_ms=1"
    )
    assert played.fills(1) == [(25_001, 5)]
    assert int(played.trader["unknown_count"]) == 1
    assert played.lots(SPOT) == {"working": 0, "sent": 5, "filled": 5, "expired": 0}


# --- reports that cannot be true ------------------------------------------------------------------------------
def with_order(side: int = 1, lots: int = 10) -> tuple[Any, Any]:
    world, trader = universe(loose()).record[0], np.zeros(1, TRADER)[0]
    execution_engine.send(trader, SPOT, side, 25_000, lots, 1, 0, 0, (0.0, 0.0), 1)
    return world, trader


def report(kind: Kind, *, order_id: int = 1, listing_id: int = SPOT, buys: int = 0, sells: int = 0) -> Any:
    packet = np.zeros(1, PACKET)[0]
    packet["kind"], packet["order_id"], packet["listing_id"] = kind, order_id, listing_id
    packet["buy_count"], packet["sell_count"], packet["asset_id"] = buys, sells, 1
    return packet


def told(world: Any, trader: Any, packet: Any, ticks: int = 25_000, lots: int = 0) -> int:
    return int(
        execution_engine.apply_report(world, trader, loose().params()[0], packet, np.array([(ticks, lots)], LEVEL))
    )


@pytest.mark.uncompiled
@pytest.mark.spec("E2", "E4")
@pytest.mark.parametrize(
    "packet, lots",
    [
        (report(Kind.FILL, buys=1), 11),  # more than was sent
        (report(Kind.FILL, buys=1), 0),
        (report(Kind.FILL, buys=1), -3),
        (report(Kind.FILL, sells=1), 5),  # the other side
        (report(Kind.FILL), 5),
        (report(Kind.FILL, order_id=2, buys=1), 5),  # nobody's
        (report(Kind.FILL, order_id=0, buys=1), 5),
        (report(Kind.FILL, listing_id=LINEAR, buys=1), 5),  # another listing's
        (report(Kind.EXPIRED, order_id=7), 0),
        (report(Kind.REJECTED, listing_id=SPOT_B), 0),
    ],
)
def test_a_report_that_cannot_be_true_changes_nothing_but_a_counter(packet: Any, lots: int) -> None:
    world, trader = with_order()
    before = trader.copy()
    assert told(world, trader, packet, lots=lots) == -1
    assert int(trader["refused_reports"]) == 1
    trader["refused_reports"] = 0
    assert trader.tobytes() == before.tobytes()


@pytest.mark.uncompiled
@pytest.mark.spec("E4")
def test_a_second_ending_and_a_fill_after_the_end_are_refused() -> None:
    world, trader = with_order()
    assert told(world, trader, report(Kind.FILL, buys=1), lots=4) == 0
    assert told(world, trader, report(Kind.EXPIRED)) == 0
    inventory = trader["inventory"][SPOT]
    assert [int(inventory[f"{k}_lots"]) for k in ("sent", "filled", "expired", "working_buy")] == [10, 4, 6, 0]
    before = trader.copy()
    assert told(world, trader, report(Kind.FILL, buys=1), lots=1) == -1
    assert told(world, trader, report(Kind.EXPIRED)) == -1
    trader["refused_reports"] = 0
    assert trader.tobytes() == before.tobytes()


@pytest.mark.uncompiled
@pytest.mark.spec("E6")
def test_a_venue_is_never_asked_for_more_than_its_balance_can_settle() -> None:
    rng = random.Random(2)
    for _ in range(200):
        world, trader = universe(loose()).record[0], np.zeros(1, TRADER)[0]
        row = world["listings"][SPOT]
        unit, ppm = int(row["quote_atoms_per_tick_lot"]), int(row["taker_fee_ppm"])
        cash = rng.randrange(10**6, 10**12)
        trader["balances"][int(row["venue_id"]), int(row["settle_id"])] = cash
        spent = 0
        for _ in range(5):
            ticks, lots = rng.randrange(20_000, 30_000), rng.randrange(1, 10**5)
            possible = int(execution_engine.affordable_lots(world, trader, SPOT, 1, ticks, lots))
            cost = possible * ticks * unit
            spent += cost + fee_from_ppm(cost, ppm)
            assert possible <= lots
            if possible:
                execution_engine.send(trader, SPOT, 1, ticks, possible, 1, 0, 0, (0.0, 0.0), 1)
        assert spent <= cash


# --- many orders ----------------------------------------------------------------------------------------------
def random_orders(rng: random.Random, count: int) -> list[Order]:
    orders = []
    for n in range(count):
        listing_id = rng.choice([SPOT, SPOT_B, LINEAR])
        middle = round(2500 / float(WORLD[listing_id].tick_size))
        reach = rng.choice([1e-4, 1e-3, 0.05])
        side = rng.choice([1, -1])
        orders.append(Order(400 + 25 * n, listing_id, side, round(middle * (1 + side * reach)), rng.randrange(1, 3000)))
    return orders


def level_printed(packets: Any, levels: Any, listing_id: int, s: int, arrival_ns: int) -> dict[int, tuple[int, int]]:
    """{x: (lots, index of the packet that said so)} at a venue when an order arrives."""
    shown: dict[int, tuple[int, int]] = {}
    book = NaiveBook()
    for i in np.flatnonzero((packets["listing_id"] == listing_id) & (packets["ts_venue_ns"] <= arrival_ns)):
        before = dict(book.side(s))
        book.apply(packets[i], levels)
        begin = int(packets[i]["level_begin"]) + (0 if s == 0 else int(packets[i]["buy_count"]))
        end = begin + int(packets[i]["buy_count" if s == 0 else "sell_count"])
        rows = levels["price_ticks"][begin:end] * (1 if s == 0 else -1)
        printed = set(rows.tolist()) if packets[i]["kind"] in (Kind.DEPTH, Kind.SNAPSHOT) else set()
        now = book.side(s)
        for x in before.keys() - now.keys():
            shown.pop(x, None)
        shown.update({x: (now[x], int(i)) for x in printed if x in now})
    return shown


@pytest.mark.spec("E2")
@pytest.mark.parametrize("seed", [11, 12])
def test_every_fill_was_on_show_at_the_venue_inside_the_limit_and_taken_once(seed: int) -> None:
    packets, levels = random_tape(seed, 1500, WORLD[:4], mean_ms=6.0, silences=False, is_lossless=True)
    orders = random_orders(random.Random(seed), 250)
    made = rehearse(packets, orders)
    made.run(packets, levels)
    replies, rows = made.logs[0].joined("replies"), made.logs[0].joined("rows")
    of_level: Counter[tuple[int, int, int, int]] = Counter()
    fills = 0
    for packet, row in zip(replies, rows, strict=True):
        if packet["kind"] != Kind.FILL:
            continue
        order = orders[int(packet["order_id"]) - 1]
        s = 1 if order.side > 0 else 0
        x = int(row["price_ticks"]) * (1 if s == 0 else -1)
        assert order.side * (order.price_ticks - int(row["price_ticks"])) >= 0
        shown = level_printed(packets, levels, order.listing_id, s, int(packet["ts_venue_ns"]))
        assert x in shown, "filled where nobody was"
        lots, said_by = shown[x]
        of_level[order.listing_id, s, x, said_by] += int(row["lots"])
        assert of_level[order.listing_id, s, x, said_by] <= lots, "the same lots were taken twice"
        fills += 1
    assert fills > 100
    for listing_id in (SPOT, SPOT_B, LINEAR):
        lots_of = Played(made, []).lots(listing_id)
        assert lots_of["sent"] == lots_of["filled"] + lots_of["expired"] + lots_of["working"]
