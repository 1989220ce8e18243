"""Where two rules meet: a halt inside a halt, an empty side, a half that is not gone yet, an answer that comes late."""

from typing import Any

import numpy as np
import pytest

from elegant_trading_system.config_sources import load
from elegant_trading_system.core import (
    breakers,
    correlation,
    execution_engine,
    exits,
    portfolio_monitor,
    positions,
    venue_choice,
    volatility,
)
from elegant_trading_system.core.kinds import BookState, ExitReason, Kind, OrderState, PositionState, Verdict
from elegant_trading_system.core.schema import LEVEL, NO_X, NS_PER_S, PACKET, SERIES, TRADER
from elegant_trading_system.sim.prices import mid
from elegant_trading_system.sim.session import new_market

from ..builders import (
    LINEAR,
    LINEAR_B,
    SPOT,
    SPOT_B,
    START_NS,
    WORLD,
    Event,
    loose,
    run,
    snapshot,
    tape,
    trade,
    universe,
)

DAY_NS = 86_400 * NS_PER_S
DEFAULTS = load(environ={})
WORLD_PARAMS, PARAMS = DEFAULTS.market_params()[0], DEFAULTS.params()[0]
STOP, TIME, VOLATILE, NONE = (ExitReason[name].value for name in ("STOP", "TIME", "VOLATILE", "NONE"))


def account(equity: float = 100.0) -> Any:
    trader = np.zeros(1, TRADER)[0]
    trader["equity"], trader["equity_peak"], trader["day_equity"], trader["capital"] = equity, 100.0, equity, 100.0
    return trader


# --- breakers -------------------------------------------------------------------------------------------------
@pytest.mark.uncompiled
@pytest.mark.spec("R7")
def test_after_a_runaway_of_orders_a_resume_is_not_halted_again_by_the_same_orders() -> None:
    trader = account()
    for _ in range(11):
        breakers.count_order(trader, START_NS)
    breakers.apply_account(trader, PARAMS)
    assert trader["is_halted"] == 1
    breakers.rearm(trader)
    breakers.apply_account(trader, PARAMS)
    assert trader["is_halted"] == 0


@pytest.mark.uncompiled
@pytest.mark.spec("R7")
def test_a_deep_drawdown_flattens_although_something_else_has_halted_before() -> None:
    trader = account(91.9)
    trader["is_halted"] = 1
    for _ in range(3):
        breakers.apply_account(trader, PARAMS)
    assert (int(trader["is_flattening"]), int(trader["verdicts"][Verdict.DRAWDOWN_HALT])) == (1, 1)


@pytest.mark.uncompiled
@pytest.mark.spec("R7")
def test_entries_leave_room_in_the_minute_as_in_the_second() -> None:
    trader, minute_ns = account(), START_NS // (60 * NS_PER_S) * 60 * NS_PER_S
    last_ns = minute_ns + 59 * NS_PER_S
    for k in range(297):
        breakers.count_order(trader, minute_ns + k * NS_PER_S // 10)
    assert breakers.entry_verdict(trader, PARAMS, last_ns) == Verdict.APPROVED
    assert breakers.has_order_room(trader, PARAMS, 3, last_ns)
    assert not breakers.has_order_room(trader, PARAMS, 4, last_ns)
    for _ in range(3):
        breakers.count_order(trader, last_ns)
    assert breakers.entry_verdict(trader, PARAMS, last_ns) == Verdict.ORDER_RATE
    assert breakers.entry_verdict(trader, PARAMS, last_ns + NS_PER_S) == Verdict.APPROVED


@pytest.mark.uncompiled
@pytest.mark.spec("R7", "R8")
def test_a_deposit_is_no_profit_and_so_compounds_in_full() -> None:
    params = load(sets=["account.capital=100.0", "risk.compounding=0.5"], environ={}).params()[0]
    trader = account()
    trader["equity"] = trader["equity_peak"] = 220.0  # 20 of them earned, 100 paid in
    trader["deposits"] = 100.0
    breakers.apply_day(trader, params, START_NS)
    assert float(trader["capital"]) == 210.0


# --- stress ---------------------------------------------------------------------------------------------------
@pytest.mark.uncompiled
@pytest.mark.spec("R5")
def test_calm_is_counted_in_days_of_the_vix_and_in_hours_of_dvol() -> None:
    for is_dvol, step_ns in ((0, DAY_NS), (1, 3600 * NS_PER_S)):
        series = np.zeros(1, SERIES)[0]
        level, calm = (30.0, 27.9) if not is_dvol else (75.0, 69.9)
        volatility.apply_value(series, WORLD_PARAMS, level + 1.0, START_NS, is_dvol)
        found = []
        for k in range(1, 4):
            for part in range(3):  # more prints within one observation tell nothing new
                at_ns = START_NS // step_ns * step_ns + k * step_ns + part
                volatility.apply_value(series, WORLD_PARAMS, calm, at_ns, is_dvol)
            found.append(int(series["is_stressed"]))
        assert found == [1, 1, 0]


# --- heat -----------------------------------------------------------------------------------------------------
@pytest.mark.uncompiled
@pytest.mark.spec("R6")
@pytest.mark.parametrize(
    "state, entered, left, unknown, risk",
    [
        (PositionState.FLAT, 0, 0, 0, 0.0),
        (PositionState.ENTERING, 10, 0, 30, 8.0),
        (PositionState.OPEN, 40, 0, 0, 8.0),
        (PositionState.OPEN, 10, 0, 0, 2.0),
        (PositionState.OPEN, 10, 0, 20, 6.0),
        (PositionState.OPEN, 40, 20, 0, 4.0),
        (PositionState.EXITING, 40, 39, 0, 0.2),
    ],
)
def test_at_risk_is_what_is_held_and_what_a_silent_venue_may_still_fill(
    state: PositionState, entered: int, left: int, unknown: int, risk: float
) -> None:
    trader = account()
    position = trader["positions"][0]
    position["state"], position["side"], position["risk_quote"] = state, 1, 8.0
    record = universe(DEFAULTS).record[0]
    unit = int(record["listings"][0]["base_atoms_per_lot"])
    position["target_atoms"], position["entry_atoms"], position["exit_atoms"] = 40 * unit, entered * unit, left * unit
    trader["inventory"][0]["working_buy_lots"] = unknown
    assert float(correlation.open_risk(record, trader, 0)) == pytest.approx(risk)


# --- a book with an empty side --------------------------------------------------------------------------------
def quoted(market: Any, listing_id: int, bid: int, ask: int, state: BookState = BookState.LIVE) -> None:
    book = market["books"][listing_id]
    book["state"], book["best_x"], book["ts_packet_ns"] = state, (bid, -ask), START_NS
    book["last_mid_x2_ticks"] = bid + ask


def placed() -> tuple[Any, Any, Any]:
    """(universe, market, trader): a perpetual on two venues, alpha at 2500.25 and beta at 2500.05."""
    world, market = universe(loose(), WORLD).record[0], new_market()[0][0]
    market["venues"]["ts_packet_ns"] = START_NS
    quoted(market, LINEAR, 5000, 5001)
    quoted(market, LINEAR_B, 25_000, 25_001)
    quoted(market, SPOT, 25_000, 25_001)
    return world, market, account()


@pytest.mark.uncompiled
@pytest.mark.spec("P1", "R7")
def test_what_is_held_keeps_its_price_while_nobody_quotes_a_side() -> None:
    world, market, trader = placed()
    coin = WORLD[SPOT].base
    trader["balances"][0, [spec.base for spec in WORLD].index(coin)] = 0
    trader["inventory"][LINEAR]["held_atoms"] = 10 * int(world["listings"][LINEAR]["base_atoms_per_lot"])
    trader["inventory"][LINEAR]["open_cost"] = 10 * 4990
    before = [
        portfolio_monitor.unrealised(world, market, trader, LINEAR),
        portfolio_monitor.asset_price(world, market, 0),
    ]
    assert before == pytest.approx([10 * 10.5 * 0.5 * 0.01, 2500.05])
    for listing_id in (LINEAR, SPOT):
        market["books"][listing_id]["best_x"][1] = NO_X
    after = [
        portfolio_monitor.unrealised(world, market, trader, LINEAR),
        portfolio_monitor.asset_price(world, market, 0),
    ]
    assert after == before


@pytest.mark.uncompiled
@pytest.mark.spec("E2", "E7", "M3")
def test_an_exit_into_an_empty_side_keeps_its_price_protection() -> None:
    world, market, _ = placed()
    params = load(environ={}).params()[0]
    worlds = loose().market_params()[0]
    assert exits.exit_price(world, market, worlds, params, LINEAR, 1, START_NS) == (2500.5, False)
    market["books"][LINEAR]["best_x"][1] = NO_X
    price, is_blind = exits.exit_price(world, market, worlds, params, LINEAR, 1, START_NS)
    assert (price, is_blind) == (pytest.approx(2500.05), True), "the class's other venue tells the price"
    market["books"][LINEAR_B]["state"] = BookState.GAP
    price, _ = exits.exit_price(world, market, worlds, params, LINEAR, 1, START_NS)
    assert price == pytest.approx(2500.25), "else its own last one"
    market["books"][SPOT]["best_x"][0] = NO_X
    assert exits.exit_price(world, market, worlds, params, SPOT, -1, START_NS) == (0.0, True), "spot waits"


# --- which exit -----------------------------------------------------------------------------------------------
def held(trader: Any, stop: float, target: float, due_s: float) -> Any:
    position = trader["positions"][0]
    position["state"], position["side"], position["primary_id"] = PositionState.OPEN, 1, LINEAR
    position["class_id"], position["stop_price"], position["target_price"] = 0, stop, target
    position["ts_exit_due_ns"] = START_NS + round(due_s * NS_PER_S)
    return position


def reason(world: Any, market: Any, trader: Any, position: Any) -> int:
    worlds, params = loose().market_params()[0], load(environ={}).params()[0]
    return int(positions.exit_reason(world, market, trader, worlds, params, 0, position, START_NS))


@pytest.mark.uncompiled
@pytest.mark.spec("M3", "R2")
def test_a_stop_is_seen_on_another_venue_of_the_class_while_the_own_book_is_dead() -> None:
    world, market, trader = placed()
    position = held(trader, stop=2500.1, target=2600.0, due_s=60.0)
    assert reason(world, market, trader, position) == NONE, "its own mid is 2500.25"
    market["books"][LINEAR]["state"] = BookState.GAP
    assert reason(world, market, trader, position) == STOP, "beta says 2500.05"
    market["books"][LINEAR_B]["state"] = BookState.GAP
    assert reason(world, market, trader, position) == NONE, "nobody knows"


@pytest.mark.uncompiled
@pytest.mark.spec("R3", "R2")
def test_what_is_due_is_closed_and_not_halved_first() -> None:
    world, market, trader = placed()
    bar = market["groups"][0]["bars"][0]
    bar["is_volatile"], bar["volatile_episodes"] = 1, 1
    market["groups"][0]["spread_bps"] = 1.0
    assert reason(world, market, trader, held(trader, 2400.0, 2600.0, due_s=-1.0)) == TIME
    position = held(trader, 2400.0, 2600.0, due_s=60.0)
    position["volatile_episode"] = 0
    assert reason(world, market, trader, position) == VOLATILE
    assert reason(world, market, trader, position) == NONE, "once per episode"
    position["exit_reason"] = VOLATILE
    assert reason(world, market, trader, position) == VOLATILE, "until half is gone"
    position["stop_price"] = 2500.3
    assert reason(world, market, trader, position) == STOP, "unless there is worse"


@pytest.mark.uncompiled
@pytest.mark.spec("R3")
def test_a_position_too_near_its_stop_to_pay_for_the_exit_is_not_halved() -> None:
    world, market, trader = placed()
    bar = market["groups"][0]["bars"][0]
    bar["is_volatile"], bar["volatile_episodes"] = 1, 1
    market["groups"][0]["spread_bps"] = 2.0
    fee = int(world["listings"][LINEAR]["taker_fee_ppm"]) * 1e-6
    exit_cost = 2500.25 * (fee + 1e-4)
    for distance, expected in ((1.99 * exit_cost, NONE), (2.01 * exit_cost, VOLATILE)):
        position = held(trader, 2500.25 - distance, 2600.0, due_s=60.0)
        position["volatile_episode"] = 0
        assert reason(world, market, trader, position) == expected


@pytest.mark.uncompiled
@pytest.mark.spec("R3", "E7")
def test_half_of_every_listings_lots_is_kept_and_a_single_lot_stays_whole() -> None:
    world, _, trader = placed()
    lots = {SPOT: 7, LINEAR: 1, LINEAR_B: -10}
    for listing_id, count in lots.items():
        unit = int(world["listings"][listing_id]["base_atoms_per_lot"])
        trader["inventory"][listing_id]["held_atoms"] = count * unit
    exits.keep(world, trader, 0, True)
    assert [int(trader["inventory"][k]["keep_lots"]) for k in lots] == [4, 1, 5]
    assert not exits.is_done(world, trader, 0)
    trader["inventory"][SPOT]["held_atoms"] -= 3 * int(world["listings"][SPOT]["base_atoms_per_lot"])
    trader["inventory"][LINEAR_B]["held_atoms"] //= 2
    assert exits.is_done(world, trader, 0)
    exits.keep(world, trader, 0, False)
    assert not exits.is_done(world, trader, 0)


# --- history --------------------------------------------------------------------------------------------------
@pytest.mark.spec("M7")
def test_a_bar_of_history_enters_the_vwap_at_its_typical_price() -> None:
    start_ns = START_NS // DAY_NS * DAY_NS
    bar = Event(0, 0, SPOT, Kind.BAR, [(100, 0), (160, 0), (90, 0), (110, 50)], (), code=1)
    packets, levels = tape(
        [bar, snapshot(500, SPOT, [(99, 1)], [(101, 1)]), trade(600, SPOT, buys=[(100, 10)])], start_ns
    )
    flow = run(packets, levels, [load(environ={})]).market[0]["flows"][SPOT]
    assert (int(flow["vwap_lots"]), int(flow["vwap_ticks_lots"])) == (50, 50 * 120)


def test_the_last_price_of_a_run_is_the_one_its_engine_marked_at() -> None:
    bids, asks = [(99, 1)], [(101, 1)]
    events = [snapshot(0, SPOT, bids, asks), snapshot(900, SPOT, bids, asks), snapshot(1500, SPOT, bids, ())]
    finished = run(*tape([*events, trade(1600, SPOT, buys=[(100, 1)])]), [loose()])
    assert mid(finished, SPOT) == pytest.approx(10.0)


# --- orders that cannot be sent, entries not worth a bracket --------------------------------------------------
@pytest.mark.uncompiled
@pytest.mark.spec("M3", "E7")
def test_an_exit_that_nobody_can_take_is_counted_and_the_position_is_held() -> None:
    world, market, trader = placed()
    worlds, params = loose().market_params()[0], load(environ={}).params()[0]
    position = held(trader, stop=2400.0, target=2600.0, due_s=-1.0)
    position["primary_id"], position["class_id"] = SPOT, int(world["listings"][SPOT]["class_id"])
    trader["inventory"][SPOT]["held_atoms"] = 3 * int(world["listings"][SPOT]["base_atoms_per_lot"])
    market["books"][SPOT]["state"] = BookState.GAP
    positions.manage(world, market, trader, worlds, params, 0, START_NS)
    counts = [int(trader["verdicts"][which]) for which in (Verdict.EXIT_TIME, Verdict.EXIT_BOOK_NOT_LIVE)]
    assert (counts, int(position["state"])) == ([1, 1], PositionState.OPEN)
    market["books"][SPOT]["state"] = BookState.LIVE
    positions.manage(world, market, trader, worlds, params, 0, START_NS)
    command = trader["outbox"]["commands"][0]
    assert (int(position["state"]), int(command["lots"]), int(command["side"])) == (PositionState.EXITING, 3, -1)


@pytest.mark.uncompiled
@pytest.mark.spec("E7", "E4")
def test_after_four_attempts_an_exit_is_tried_once_a_second() -> None:
    world, market, trader = placed()
    worlds, params = loose().market_params()[0], load(environ={}).params()[0]
    position = held(trader, stop=2400.0, target=2600.0, due_s=-1.0)
    trader["inventory"][LINEAR]["held_atoms"] = int(world["listings"][LINEAR]["base_atoms_per_lot"])
    market["venues"]["ts_packet_ns"] = START_NS
    sent = []
    for tenth in range(30):
        ts_ns = START_NS + tenth * NS_PER_S // 10
        market["books"]["ts_packet_ns"] = market["venues"]["ts_packet_ns"] = ts_ns
        before = int(trader["outbox"]["count"])
        positions.manage(world, market, trader, worlds, params, 0, ts_ns)
        if int(trader["outbox"]["count"]) > before:  # the venue answers that nothing was done
            sent.append(tenth)
            trader["orders"]["state"] = 0
            position["state"], position["working_count"] = PositionState.OPEN, 0
            position["wave"] += 1
    assert sent == [0, 1, 2, 3, 13, 23]


@pytest.mark.uncompiled
@pytest.mark.spec("E2", "R9")
@pytest.mark.parametrize("lots, is_remnant", [(1, True), (19, True), (21, False), (300, False)])
def test_a_quarter_not_filled_and_below_the_minimum_is_sold_again(lots: int, is_remnant: bool) -> None:
    """Of a thousand lots of 0.25 quote at a venue that takes no order below 5."""
    world, market, trader = placed()
    config = load(environ={})
    worlds, params = config.market_params()[0], config.params()[0]
    unit = int(world["listings"][SPOT_B]["base_atoms_per_lot"])
    position = trader["positions"][0]
    position["state"], position["side"], position["primary_id"] = PositionState.ENTERING, 1, SPOT_B
    position["target_atoms"], position["entry_atoms"] = 1000 * unit, lots * unit
    position["entry_quote"], position["wave"], position["atr_price"] = lots * 0.25, 99, 5.0
    positions.finish_entry(world, market, trader, worlds, params, position, START_NS)
    found = int(position["exit_reason"]) == ExitReason.REMNANT, int(trader["verdicts"][Verdict.EXIT_REMNANT]) == 1
    assert found == (is_remnant, is_remnant)
    assert float(position["stop_price"]) == pytest.approx(2500.0 - 0.75 * 5.0)


@pytest.mark.uncompiled
@pytest.mark.spec("R9", "R7")
def test_a_short_is_unavailable_only_where_nothing_ever_allows_it() -> None:
    world, market, trader = placed()
    worlds = loose().market_params()[0]
    market["books"]["state"][[LINEAR, LINEAR_B]] = BookState.GAP
    ask = (world, market, trader, worlds)
    assert venue_choice.why_no_primary(*ask, 0, -1, START_NS) == Verdict.NO_VENUE, "contracts are only not there now"
    spot_only = universe(loose(), WORLD[:1]).record[0]
    assert venue_choice.why_no_primary(spot_only, *ask[1:], 0, -1, START_NS) == Verdict.SHORT_UNAVAILABLE


@pytest.mark.uncompiled
@pytest.mark.spec("R7", "E4")
def test_an_answer_after_the_deadline_is_a_slow_answer() -> None:
    """Silence makes an order UNKNOWN before the answer comes: it counts all the same, and once."""
    config = load(environ={})
    world, trader = universe(config, WORLD).record[0], account()
    params, price = config.params()[0], (2500.0, 2500.0)
    for k in range(20):
        order_id = execution_engine.send(trader, SPOT, 1, 25_000, 5, k + 1, 0, 0, price, START_NS)
        trader["outbox"]["count"] = 0
        execution_engine.check_deadlines(trader, params, START_NS + NS_PER_S + 1)
        slot = int(np.flatnonzero(trader["orders"]["order_id"] == order_id)[0])
        assert trader["orders"]["state"][slot] == OrderState.UNKNOWN
        packet = np.zeros(1, PACKET)[0]
        packet["kind"], packet["order_id"], packet["listing_id"] = Kind.EXPIRED, order_id, SPOT
        packet["ts_local_ns"] = START_NS + NS_PER_S + 2
        assert not breakers.is_paused(trader, int(world["listings"][SPOT]["venue_id"]), START_NS + NS_PER_S + 3)
        execution_engine.apply_report(world, trader, params, packet, np.zeros(0, LEVEL))
        trader["outbox"]["count"] = 0
    assert breakers.is_paused(trader, int(world["listings"][SPOT]["venue_id"]), START_NS + NS_PER_S + 3)
