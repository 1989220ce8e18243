"""Regimes, stress, correlation, filters, breakers and the gate: the worked examples, and each rule by itself."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_trading_system.config_sources import load
from elegant_trading_system.core import (
    bars,
    breakers,
    correlation,
    cost_gate,
    order_flow,
    regime,
    signal_engine,
    volatility,
)
from elegant_trading_system.core.kinds import BookState, Kind, Regime, Verdict
from elegant_trading_system.core.schema import (
    BAR,
    GROUP_TRADER,
    LEVEL,
    NS_PER_S,
    PACKET,
    SERIES,
    TRADER,
)
from elegant_trading_system.sim.session import new_market

from ..builders import START_NS, WORLD, depth, listing, loose, snapshot, tape, universe
from ..property.test_books import Desk

HOUR_NS, DAY_NS = 3600 * NS_PER_S, 86_400 * NS_PER_S
DEFAULTS = load(environ={})
WORLD_PARAMS, PARAMS = DEFAULTS.market_params()[0], DEFAULTS.params()[0]


def flat(dtype: np.dtype[Any]) -> Any:
    return np.zeros(1, dtype)[0]


# --- regimes --------------------------------------------------------------------------------------------------
@pytest.mark.uncompiled
@pytest.mark.spec("R3")
def test_t13_a_regime_is_left_later_than_it_is_entered() -> None:
    adx = [18, 19.5, 21, 22.5, 24, 25.5, 24.2, 23.1, 22.9, 21, 19.9, 20.5, 22.1, 24.9, 25.1]
    now, found = Regime.NEUTRAL, ""
    for value in adx:
        now = Regime(regime.next_regime(now, float(value), WORLD_PARAMS))
        found += now.name[0]
    assert found == "RRRNNTTTNNRRNNT"


@pytest.mark.uncompiled
@pytest.mark.spec("R3")
def test_volatile_begins_at_twice_the_usual_range_and_ends_below_seven_quarters_of_it() -> None:
    now, found = 0, []
    for atr in (19.0, 20.0, 20.1, 17.5, 17.4, 17.6, 20.5):
        now = int(regime.next_volatile(now, atr, 10.0, WORLD_PARAMS))
        found.append(now)
    assert found == [0, 0, 1, 1, 0, 0, 1]
    assert regime.next_volatile(1, 99.0, 0.0, WORLD_PARAMS) == 0, "an unknown usual range is no alarm"


@pytest.mark.uncompiled
@pytest.mark.spec("R3")
def test_the_usual_range_is_the_mean_of_today_and_twenty_days_and_needs_five() -> None:
    random, bar = np.random.default_rng(1), flat(BAR)
    seen: dict[int, list[float]] = {}
    for day in [*range(100, 109), *range(111, 140)]:  # a weekend without bars
        for _ in range(3):
            bar["atr_ticks"] = float(random.integers(1, 100))
            bars.apply_day(bar, day)
            seen.setdefault(day, []).append(float(bar["atr_ticks"]))
        inside = [atr for d, atrs in seen.items() if day - 20 <= d <= day for atr in atrs]
        expected = sum(inside) / len(inside) if len(seen) > 5 else 0.0
        assert bars.atr_mean_ticks(bar, WORLD_PARAMS) == pytest.approx(expected), day


# --- volatility and stress ------------------------------------------------------------------------------------
@pytest.mark.uncompiled
@pytest.mark.spec("R5")
def test_t14_stress_is_on_above_thirty_and_off_after_three_calm_closes() -> None:
    series, found = flat(SERIES), []
    for day, value in enumerate([29, 30.5, 31, 29.5, 28.5, 27.9, 27.5, 27.0, 30.2]):
        volatility.apply_value(series, WORLD_PARAMS, float(value), START_NS + day * DAY_NS, 0)
        found.append(bool(series["is_stressed"]))
    assert found == [False, True, True, True, True, True, True, False, True]


@pytest.mark.uncompiled
@pytest.mark.spec("R5")
def test_crypto_stress_asks_for_75_or_the_ninth_decile_of_the_year_whichever_is_more() -> None:
    series = flat(SERIES)
    for day in range(100):  # closes 50 .. 149: nine tenths are at most 139
        volatility.apply_close(series, WORLD_PARAMS, 50.0 + day)
    assert float(series["value_quantile"]) == 139.0
    for value, is_on in ((139.0, False), (139.5, True)):
        volatility.apply_value(series, WORLD_PARAMS, value, START_NS + int(value * HOUR_NS), 1)
        assert bool(series["is_stressed"]) == is_on
    fresh = flat(SERIES)
    volatility.apply_value(fresh, WORLD_PARAMS, 75.1, START_NS, 1)
    assert fresh["is_stressed"] == 1


@pytest.mark.uncompiled
@pytest.mark.spec("R1", "R5")
def test_without_a_source_there_is_stress_and_no_multiplier() -> None:
    world, market = universe(loose(), WORLD[:1]).record[0], new_market()[0][0]
    assert volatility.is_stressed(world, market, WORLD_PARAMS, 0, START_NS) == 1
    assert volatility.iv_source(world, market, WORLD_PARAMS, 0, START_NS) == volatility.NO_SOURCE
    assert volatility.iv_multiple(world, market, WORLD_PARAMS, 0, START_NS) == 1.0


@pytest.mark.uncompiled
@pytest.mark.spec("R1")
def test_the_multiplier_is_volatility_over_its_mean_of_thirty_closes_and_grows_old() -> None:
    dvol = listing("deribit", "DVOL/BTC", "volatility", "0.01", "1").model_copy(update={"base": "DVOL-BTC"})
    world, market = universe(loose(), [WORLD[0], dvol]).record[0], new_market()[0][0]
    series = market.volatilities[1]
    for day in range(40):
        volatility.apply_value(series, WORLD_PARAMS, 20.0 if day < 9 else 55.0, START_NS + day * DAY_NS, 1)
    now_ns = START_NS + 40 * DAY_NS
    volatility.apply_value(series, WORLD_PARAMS, 66.0, now_ns, 1)
    assert volatility.iv_source(world, market, WORLD_PARAMS, 0, now_ns) == volatility.IMPLIED
    assert volatility.iv_multiple(world, market, WORLD_PARAMS, 0, now_ns) == pytest.approx(1.2)
    assert volatility.is_stressed(world, market, WORLD_PARAMS, 0, now_ns) == 0
    assert volatility.iv_source(world, market, WORLD_PARAMS, 0, now_ns + 25 * HOUR_NS) == volatility.NO_SOURCE
    assert volatility.is_stressed(world, market, WORLD_PARAMS, 0, now_ns + 97 * HOUR_NS) == 1


# --- correlation ----------------------------------------------------------------------------------------------
T15_X = (0.001, -0.002, 0.0015, 0.0005, -0.001)
T15_Y = (0.0012, -0.0015, 0.001, 0.0008, -0.0002)


def pairs(count: int) -> tuple[Any, Any]:
    """A world of `count` traded assets."""
    specs = [listing("alpha", f"{base}/USDT", "spot", "0.1", "0.001") for base in ("BTC", "ETH", "SOL", "XRP", "ADA")]
    return universe(loose(), specs[:count]).record[0], new_market()[0][0]


@pytest.mark.uncompiled
@pytest.mark.spec("R4", "P2")
def test_t15_correlation_is_an_average_that_forgets() -> None:
    config = load(sets=["correlation.count_min=2"], environ={})
    params = config.market_params()[0]
    params["correlation_decay"] = 0.94
    world, market = pairs(2)
    found = []
    for x, y in zip(T15_X, T15_Y, strict=True):
        correlation.apply_pair(market, params, 1, 0, y, x)
        found.append(round(float(correlation.correlation(world, market, params, 0, 1)), 6))
    assert found[1:] == [0.986910, 0.979267, 0.978276, 0.961690]
    assert found[0] == 1.0, "one observation is not enough: the prior within an asset class"


@pytest.mark.uncompiled
@pytest.mark.spec("R4")
def test_t16_what_is_linked_through_others_is_one_cluster() -> None:
    world, market = pairs(5)
    rho = {(0, 1): 0.80, (0, 2): 0.75, (1, 2): 0.78, (1, 3): 0.72, (0, 3): 0.66}
    for i in range(5):
        for j in range(5):
            market["covariances"][i, j] = rho.get((min(i, j), max(i, j)), 0.5)
            market["variances"][i, j] = 1.0
            market["pair_counts"][i, j] = 1000
    correlation.apply_clusters(world, market, WORLD_PARAMS)
    assert market["clusters"][:5].tolist() == [0, 0, 0, 0, 4]


@pytest.mark.uncompiled
@pytest.mark.spec("R4")
def test_before_there_is_data_everything_of_a_class_moves_together() -> None:
    world, market = pairs(3)
    correlation.apply_clusters(world, market, WORLD_PARAMS)
    assert market["clusters"][:3].tolist() == [0, 0, 0]
    trader = flat(TRADER)
    trader["positions"]["state"][:2] = 2
    assert correlation.cluster_positions(world, market, trader, 2) == 2


@pytest.mark.uncompiled
@pytest.mark.spec("R6")
@pytest.mark.parametrize("rho, heat", [(0.0, 0.593), (0.3, 1.141), (0.7, 1.602), (1.0, 1.875)])
def test_heat_adds_risks_as_far_as_they_move_together(rho: float, heat: float) -> None:
    count = 10
    specs = [listing("alpha", f"A{i}/USDT", "spot", "0.1", "0.001") for i in range(count)]
    world, market, trader = universe(loose(), specs).record[0], new_market()[0][0], flat(TRADER)
    market["covariances"][:] = rho
    market["variances"][:] = 1.0
    market["pair_counts"][:] = 1000
    trader["positions"]["state"][: count - 1] = 2
    trader["positions"]["risk_quote"][: count - 1] = 0.1875
    assert round(float(correlation.heat(world, market, trader, WORLD_PARAMS, count - 1, 0.1875)), 3) == heat


# --- order flow -----------------------------------------------------------------------------------------------
@pytest.mark.uncompiled
@pytest.mark.spec("S3")
def test_a12_the_touch_tells_the_flow() -> None:
    """Cont, Kukanov and Stoikov: e = +20, +70, -20, -35, 0."""
    quotes = [(10000, 50, 10001, 40), (10000, 70, 10001, 40), (10001, 30, 10002, 60), (10001, 10, 10002, 60),
              (10000, 80, 10001, 25), (10000, 80, 10001, 25)]  # fmt: skip
    desk, found = Desk(), []
    for n, (bid, bid_lots, ask, ask_lots) in enumerate(quotes):
        desk.hear(snapshot(n, 0, [(bid, bid_lots)], [(ask, ask_lots)]), is_checked=False)
        before = desk.market[0]["changes"][0]["second_lots"].copy()
        for s in range(2):
            order_flow.apply_after(desk.market[0], desk.books[0], 0, s, n > 0)
        moved = desk.market[0]["changes"][0]["second_lots"] - before
        found.append(int(moved[order_flow.BOUGHT] - moved[order_flow.SOLD]))
    assert found == [0, 20, 70, -20, -35, 0]


@pytest.mark.uncompiled
@pytest.mark.spec("S3")
def test_lots_cancelled_without_a_trade_are_flicker() -> None:
    desk, config = Desk(), loose()
    params = config.market_params()[0]
    desk.hear(snapshot(0, 0, [(10000, 50)], [(10001, 40)]))
    pressure, changes = desk.market[0].pressures[0], desk.market[0].changes[0]
    pressure["edge_x"] = [9_990, -10_011]
    pressure["band_lots"], pressure["ts_band_ns"] = [50.0, 40.0], START_NS
    second = START_NS // NS_PER_S
    packets, levels = tape(
        [depth(1, 0, bids=[(10000, 20)]), depth(2, 0, bids=[(10000, 60), (9000, 5)], asks=[(10001, 10)])]
    )
    for packet in packets:
        order_flow.apply_before(desk.market[0], desk.books[0], params, packet, levels)
    trade = np.zeros(1, PACKET)[0]
    trade["kind"], trade["buy_count"] = Kind.TRADE, 1
    order_flow.apply_before(desk.market[0], desk.books[0], params, trade, np.array([(10001, 25)], LEVEL))
    order_flow.close_second(desk.market[0], params, 0, second)
    assert changes["flicker"].tolist() == [30 / 50, 5 / 40], "of 30 asks gone, 25 were bought"
    assert changes["removed_lots"].tolist() == [0, 0]


@pytest.mark.uncompiled
@pytest.mark.spec("S4")
def test_venues_vote_with_their_own_books() -> None:
    world, market = universe(loose(), WORLD).record[0], new_market()[0][0]
    params = loose().market_params()[0]
    for listing_id, (bid, ask) in enumerate([(9.0, 1.0), (1.0, 9.0), (9.0, 1.0), (9.0, 1.0), (1.0, 2.0)]):
        market["books"][listing_id]["state"] = BookState.LIVE
        market["books"][listing_id]["best_x"] = (100, -101)
        market["books"][listing_id]["ts_packet_ns"] = START_NS
        market["pressures"][listing_id]["side_quote"] = bid, ask
    market["venues"]["ts_packet_ns"] = START_NS
    assert order_flow.venue_votes(world, market, params, 0, 1, START_NS) == (2, 1)  # alpha 18:2 for, beta 11:12 against
    assert order_flow.venue_votes(world, market, params, 0, -1, START_NS) == (2, 1)


@pytest.mark.uncompiled
@pytest.mark.spec("S3")
def test_three_of_five_seconds_must_have_been_strong_on_the_same_side() -> None:
    memory = flat(GROUP_TRADER)
    counts = []
    for side, strength in [(1, 3.0), (1, 3.0), (1, 2.0), (1, 3.0), (-1, 3.0), (1, 3.0), (1, 3.0)]:
        signal_engine.remember_second(memory, PARAMS, signal_engine.Signal(side, strength, 0), 2.5)
        counts.append(int(memory["strong_buys"]).bit_count())
    assert counts == [1, 2, 2, 3, 3, 3, 3]
    assert int(memory["strong_sells"]).bit_count() == 1


# --- which bar ------------------------------------------------------------------------------------------------
def chosen(*atrs: float, fee_bps: float = 1.0) -> tuple[int, int]:
    config = load(sets=[f"venues.alpha.spot_taker_bps={fee_bps}"], environ={})
    world, market = universe(config, WORLD[:1]).record[0], new_market()[0][0]
    for bar, atr in zip(market.groups[0].bars, atrs, strict=False):
        bar["atr_ticks"], bar["previous_close_ticks"] = atr, 10_000
    bars.choose_bar(world, market, config.market_params()[0], 0)
    return int(market["groups"][0]["bar_index"]), int(market["groups"][0]["is_uneconomic"])


@pytest.mark.uncompiled
@pytest.mark.spec("M8", "R9")
def test_the_shortest_bar_that_can_pay_its_costs_is_traded() -> None:
    """Two bps a round trip need an ATR of 13.34 bps; ticks are bps here."""
    assert chosen(5.0, 9.0, 13.3, 13.4, 20.0, 30.0) == (3, 0)
    assert chosen(14.0, 30.0) == (0, 0)
    assert chosen(5.0, 9.0) == (-1, 0), "a longer bar, not known yet, may pay"
    assert chosen(1.0, 2.0, 3.0, 4.0, 5.0, 6.0) == (5, 1), "none does: the longest, marked"


# --- breakers -------------------------------------------------------------------------------------------------
def account(equity: float, peak: float = 100.0, day: float = 100.0) -> Any:
    trader = flat(TRADER)
    trader["equity"], trader["equity_peak"], trader["day_equity"], trader["capital"] = equity, peak, day, 100.0
    return trader


@pytest.mark.uncompiled
@pytest.mark.spec("R7")
def test_a_days_loss_ends_the_day_and_a_drawdown_halves_then_halts() -> None:
    assert breakers.entry_verdict(account(98.1), PARAMS, START_NS) == Verdict.APPROVED
    assert breakers.entry_verdict(account(97.9), PARAMS, START_NS) == Verdict.DAY_LOSS
    assert (breakers.size_share(account(95.1), PARAMS), breakers.size_share(account(94.9), PARAMS)) == (1.0, 0.5)
    trader = account(91.9, day=91.9)
    breakers.apply_account(trader, PARAMS)
    assert (int(trader["is_halted"]), int(trader["is_flattening"])) == (1, 1)
    assert int(trader["verdicts"][Verdict.DRAWDOWN_HALT]) == 1
    assert breakers.entry_verdict(trader, PARAMS, START_NS) == Verdict.HALTED
    breakers.rearm(trader)
    breakers.apply_account(trader, PARAMS)
    assert (int(trader["is_halted"]), float(trader["equity_peak"])) == (0, 91.9)


@pytest.mark.uncompiled
@pytest.mark.spec("R7", "R8")
def test_a_new_day_starts_from_its_own_equity_and_sizes_from_it() -> None:
    trader = account(97.0)
    params = load(sets=["account.capital=100.0"], environ={}).params()[0]
    breakers.apply_day(trader, params, START_NS)
    breakers.apply_day(trader, params, START_NS + 1)
    assert (float(trader["day_equity"]), float(trader["capital"])) == (97.0, 97.0)
    trader["equity"] = trader["equity_peak"] = 120.0
    breakers.apply_day(trader, params, START_NS + 1)
    assert float(trader["capital"]) == 97.0, "not before midnight"
    breakers.apply_day(trader, params, START_NS + DAY_NS)
    assert float(trader["capital"]) == 120.0


@pytest.mark.uncompiled
@pytest.mark.spec("R7")
def test_five_stops_within_half_an_hour_pause_for_half_an_hour() -> None:
    minute = 60 * NS_PER_S
    for gap, is_paused in ((7 * minute, True), (8 * minute, False)):
        trader = account(100.0)
        for k in range(5):
            breakers.apply_stop(trader, PARAMS, True, START_NS + k * gap)
        last = START_NS + 4 * gap
        assert (breakers.entry_verdict(trader, PARAMS, last + minute) == Verdict.LOSING_STREAK) == is_paused
        assert breakers.entry_verdict(trader, PARAMS, last + 30 * minute) == Verdict.APPROVED
    trader = account(100.0)
    for is_stop in (True, True, True, True, False, True):
        breakers.apply_stop(trader, PARAMS, is_stop, START_NS)
    assert breakers.entry_verdict(trader, PARAMS, START_NS) == Verdict.APPROVED, "another exit broke the row"


@pytest.mark.uncompiled
@pytest.mark.spec("R7")
def test_rejections_pause_a_venue_and_each_pause_doubles() -> None:
    trader, pauses, now = account(100.0), [], START_NS
    for _ in range(3):
        for _ in range(6):
            breakers.apply_reject(trader, PARAMS, 0, now)
        pauses.append((int(trader["venues"][0]["ts_paused_ns"]) - now) // NS_PER_S)
        assert breakers.is_paused(trader, 0, now + NS_PER_S)
        now = int(trader["venues"][0]["ts_paused_ns"]) + NS_PER_S
    assert pauses == [60, 120, 240]
    slow = account(100.0)
    for k in range(30):
        breakers.apply_reject(slow, PARAMS, 0, START_NS + k * 13 * NS_PER_S)
    assert not breakers.is_paused(slow, 0, START_NS + 29 * 13 * NS_PER_S), "five a minute are allowed"


@pytest.mark.uncompiled
@pytest.mark.spec("R7", "E5")
def test_slow_answers_and_bad_fills_pause_a_venue() -> None:
    trader = account(100.0)
    for k in range(20):
        breakers.apply_ack(trader, PARAMS, 1, (1001 if k == 7 else 50) * 1_000_000, START_NS)
    assert breakers.is_paused(trader, 1, START_NS + 1)
    for paid, is_paused in ((3.0, False), (3.1, True)):
        trader = account(100.0)
        for _ in range(5):
            breakers.apply_slippage(trader, PARAMS, 2, paid, 1.0, 2.0, START_NS)
        assert breakers.is_paused(trader, 2, START_NS + 1) == is_paused
        assert float(trader["venues"][2]["slippage_bps"]) > 0.0, "and the router hears of it"


@pytest.mark.uncompiled
@pytest.mark.spec("R7")
def test_entries_wait_for_the_order_rate_and_a_runaway_halts() -> None:
    trader = account(100.0)
    for _ in range(10):
        assert breakers.entry_verdict(trader, PARAMS, START_NS) == Verdict.APPROVED
        breakers.count_order(trader, START_NS)
    assert breakers.entry_verdict(trader, PARAMS, START_NS) == Verdict.ORDER_RATE
    assert breakers.entry_verdict(trader, PARAMS, START_NS + NS_PER_S) == Verdict.APPROVED
    breakers.count_order(trader, START_NS)
    breakers.apply_account(trader, PARAMS)
    assert (int(trader["is_halted"]), int(trader["is_flattening"])) == (1, 0)


# --- the gate -------------------------------------------------------------------------------------------------
@pytest.mark.uncompiled
@pytest.mark.spec("R9")
@given(moves=st.lists(st.floats(-50, 50), max_size=60), cost=st.floats(0, 30))
def test_the_gate_weighs_what_such_signals_moved_against_their_costs(moves: list[float], cost: float) -> None:
    memory = flat(GROUP_TRADER)
    for move in moves:
        cost_gate.apply_move(memory, 1, 2, move)
    n = len(moves)
    mean = sum(moves) / n if n else 0.0
    deviation = float(np.std(moves, ddof=1)) if n > 1 else 0.0
    expected = n / (n + 200) * mean - cost - round(NormalDist().inv_cdf(0.8), 4) * deviation / math.sqrt(n + 200)
    assert cost_gate.edge_bps(memory, 1, 2, cost, 200.0) == pytest.approx(expected, abs=1e-9)


@pytest.mark.uncompiled
@pytest.mark.spec("R9")
def test_a_new_symbol_never_passes_the_gate() -> None:
    assert cost_gate.edge_bps(flat(GROUP_TRADER), 0, 0, 0.1, 200.0) < 0.0
