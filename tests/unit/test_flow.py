"""Windows, averages and bars against sums taken anew, and the worked examples of the research."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_trading_system.config import Config
from elegant_trading_system.core import bars as bar_ops
from elegant_trading_system.core import engine, pressure, quotes, signal_engine, windows
from elegant_trading_system.core.kinds import Kind
from elegant_trading_system.core.schema import BAR, FLOW, GROUP_STATE, NS_PER_S

from ..builders import (
    ETH_LINEAR,
    LINEAR,
    NS_PER_MS,
    SPOT,
    START_NS,
    WORLD,
    Array,
    depth,
    loose,
    random_tape,
    run,
    snapshot,
    tape,
    universe,
)
from ..naive_core import decayed_depth, ewma, wilder_atr
from ..property.test_books import Desk

T2_MINUTES = [120, 80, 95, 110, 100, 90, 130, 70, 105, 100, 85, 115, 95, 100, 110, 90, 100, 105, 95, 100]
T7_BARS = [
    (1010, 995, 1004), (1016, 1002, 1013), (1025, 1009, 1021), (1024, 1008, 1010), (1021, 1006, 1018),
    (1032, 1015, 1030), (1045, 1028, 1043), (1049, 1033, 1035), (1050, 1032, 1047), (1063, 1045, 1061),
    (1064, 1049, 1052), (1056, 1039, 1042),
]  # fmt: skip
T7_ATR = [1.533333, 1.522222, 1.581481, 1.620988, 1.613992, 1.675995, 1.717330, 1.644886, 1.663258]
T7_ADX = [68.010054, 75.445936, 81.038482, 84.766845, 88.781948, 91.526419, 61.256013]
T8_ADX = {27: 20.0714616652, 28: 19.2433194059, 50: 21.1074409024, 119: 20.49237476}
T8_ATR = {14: 1.5526978256, 15: 1.5597198143, 27: 1.5257872044, 50: 1.5589797505, 119: 1.5367369031}


def flat(dtype: np.dtype[Any]) -> Any:
    return np.zeros(1, dtype)[0]


# --- bars -----------------------------------------------------------------------------------------------------
def atr_of(bars: list[tuple[int, int, int]], n: int, name: str = "atr_ticks") -> dict[int, float]:
    """ATR in ticks, or ADX, after each bar from prints at its high, low and close."""
    bar, found = flat(BAR), {}
    params = loose(f"bars.atr_bars={n}").market_params()[0]
    for t, (high, low, close) in enumerate(bars):
        for ticks in (high, low, close):
            bar_ops.apply_print(bar, ticks, 1)
        bar_ops.close_bar(bar, params, 0, t + 1)
        if bar[name] > 0.0:
            found[t] = float(bar[name])
    return found


@pytest.mark.uncompiled
@pytest.mark.spec("M8")
def test_t7_the_average_true_range_is_wilders() -> None:
    found = atr_of(T7_BARS, 3)
    assert list(found) == list(range(3, 12))
    assert [round(value / 10, 6) for value in found.values()] == T7_ATR
    directions = atr_of(T7_BARS, 3, "adx")
    assert {t: round(value, 6) for t, value in directions.items()} == dict(enumerate(T7_ADX, 5))
    twin = wilder_atr([(float(h), float(lo), float(c)) for h, lo, c in T7_BARS], 3)
    assert found == pytest.approx(twin, rel=1e-12)


@pytest.mark.uncompiled
@pytest.mark.spec("M8", "R1")
def test_t8_the_average_true_range_of_fourteen_bars() -> None:
    closes = [100 + 0.05 * k + 2 * math.sin(k / 7) + 0.7 * math.sin(1.7 * k) for k in range(120)]
    opens = [100.0, *closes[:-1]]
    scale = 10**11  # ticks so fine that rounding to them does not show in the tenth decimal
    bars = [
        (
            round(scale * (max(o, c) + 0.3 + 0.2 * abs(math.sin(2.3 * k)))),
            round(scale * (min(o, c) - 0.3 - 0.2 * abs(math.cos(1.9 * k)))),
            round(scale * c),
        )
        for k, (o, c) in enumerate(zip(opens, closes, strict=True))
    ]
    found = atr_of(bars, 14)
    assert min(found) == 14
    assert {t: round(found[t] / scale, 10) for t in T8_ATR} == pytest.approx(T8_ATR, abs=1e-9)
    directions = atr_of(bars, 14, "adx")
    assert min(directions) == 27
    assert {t: directions[t] for t in T8_ADX} == pytest.approx(T8_ADX, abs=1e-7)


@pytest.mark.uncompiled
def test_a_bar_without_trades_repeats_the_last_close_and_none_comes_before_the_first_trade() -> None:
    config = loose("bars.atr_bars=2")
    world, market, params = universe(config, WORLD[:1]).record[0], Desk().market[0], config.market_params()[0]
    bar = market.groups[0].bars[0]
    bar_ops.close_shortest(world, market, params, 0, 1)
    assert bar["count"] == 0
    bar_ops.apply_print(bar, 100, 1)
    bar_ops.close_shortest(world, market, params, 0, 2)
    bar_ops.close_shortest(world, market, params, 0, 3)
    bar_ops.apply_print(bar, 110, 1)
    bar_ops.close_shortest(world, market, params, 0, 4)
    assert (int(bar["count"]), float(bar["atr_ticks"])) == (3, 5.0)  # true ranges 0 and 10


# --- velocity -------------------------------------------------------------------------------------------------
def velocity_of(config: Config, lots_by_second: list[int]) -> float:
    """Velocity after these seconds of one listing's volume."""
    world = universe(config, WORLD[:1]).record
    market = Desk().market
    params = config.market_params()[0]
    for second, lots in enumerate(lots_by_second):
        market[0]["flows"][0]["second_lots"] = lots
        windows.close_flow_second(market[0].flows[0], params, second)
    market[0]["groups"][0]["seconds_seen"] = len(lots_by_second)
    return float(windows.velocity(world[0], market[0], params, 0))


@pytest.mark.uncompiled
@pytest.mark.spec("M5")
def test_t2_velocity_is_the_last_minute_over_the_mean_of_the_twenty_before() -> None:
    config = loose("market.velocity_fast_s=60", "market.velocity_slow_s=1200")
    seconds = [lots for minute in T2_MINUTES for lots in [minute] + [0] * 59] + [210] + [0] * 59
    assert velocity_of(config, seconds) == pytest.approx(2.105263, abs=1e-6)
    assert velocity_of(config, [7] * 500 + seconds) == pytest.approx(210 / 99.75, rel=1e-12)


@pytest.mark.uncompiled
@pytest.mark.spec("M5")
def test_velocity_is_undefined_before_its_windows_are_full_and_while_nothing_trades() -> None:
    config = loose("market.velocity_fast_s=2", "market.velocity_slow_s=10")
    assert velocity_of(config, [5] * 11) == -1.0
    assert velocity_of(config, [5] * 12) == 1.0
    assert velocity_of(config, [0] * 10 + [5] * 2) == -1.0


@pytest.mark.uncompiled
def test_window_sums_are_what_is_in_the_windows() -> None:
    random = np.random.default_rng(1)
    config = loose("market.velocity_fast_s=7", "market.velocity_slow_s=29")
    params, flow = config.market_params()[0], flat(FLOW)
    lots = random.integers(0, 1000, 2500).tolist()  # more seconds than the ring holds
    for second, volume in enumerate(lots):
        flow["second_lots"] = volume
        windows.close_flow_second(flow, params, 10_000 + second)
        assert int(flow["fast_lots"]) == sum(lots[max(second - 6, 0) : second + 1])
        assert int(flow["slow_lots"]) == sum(lots[max(second - 35, 0) : max(second - 6, 0)])


@pytest.mark.uncompiled
@pytest.mark.spec("M7")
def test_vwap_sums_are_what_is_in_the_closed_buckets() -> None:
    random = np.random.default_rng(2)
    config = loose("market.vwap_window_s=18", "market.vwap_buckets=9")
    params, flow = config.market_params()[0], flat(FLOW)
    prints: list[tuple[int, int]] = []
    for bucket in range(60):
        ticks, volume = int(random.integers(900, 1100)), int(random.integers(0, 50))
        flow["bucket_lots"], flow["bucket_ticks_lots"] = volume, volume * ticks
        prints.append((volume, volume * ticks))
        windows.close_vwap_bucket(flow, params, 500 + bucket, 0)
        inside = prints[-9:]
        assert int(flow["vwap_lots"]) == sum(lots for lots, _ in inside)
        assert int(flow["vwap_ticks_lots"]) == sum(turnover for _, turnover in inside)
        assert (int(flow["bucket_lots"]), int(flow["bucket_ticks_lots"])) == (0, 0)


# --- spread ---------------------------------------------------------------------------------------------------
@pytest.mark.uncompiled
@pytest.mark.spec("M6")
def test_the_average_spread_is_weighted_by_time_and_leaves_out_the_fast_window() -> None:
    random = np.random.default_rng(3)
    config = loose("market.velocity_fast_s=3", "market.velocity_slow_s=11")
    params, group = config.market_params()[0], flat(GROUP_STATE)
    first_s = START_NS // NS_PER_S
    held: list[tuple[int, float, int]] = []  # second, bps, us
    windows.apply_spread_time(group, first_s * NS_PER_S)
    now_us = first_s * 1_000_000
    for second in range(first_s, first_s + 40):
        for offset_us in [*sorted(random.integers(0, 1_000_000, 5).tolist()), 1_000_000]:
            then_us = second * 1_000_000 + offset_us
            held.append((second, float(group["spread_bps"]), then_us - now_us))
            windows.apply_spread_time(group, then_us * 1000)
            now_us = then_us
            group["spread_bps"] = random.integers(1, 100_000) / 1e4
        windows.close_spread_second(group, params, second)
        inside = [(bps, us) for s, bps, us in held if second - 14 < s <= second - 3 and bps > 0]
        assert int(group["slow_spread_us"]) == sum(us for _, us in inside)
        if inside:
            mean = sum(bps * us for bps, us in inside) / sum(us for _, us in inside)
            found = group["slow_spread"] / group["slow_spread_us"] / windows.UBPS
            assert found == pytest.approx(mean, rel=1e-9)


@pytest.mark.uncompiled
@pytest.mark.spec("M6", "S1")
@pytest.mark.parametrize(
    "average, now, tightness", [(0.13, 0.10, 1.3), (0.1, 10.0, 0.2), (9.0, 0.1, 5.0), (-1.0, 0.1, -1.0)]
)
def test_t3_tightness_is_the_usual_spread_over_the_spread_now(average: float, now: float, tightness: float) -> None:
    config = loose("market.tightness_min=0.2", "market.tightness_max=5.0")
    world, market = universe(config, WORLD[:1]).record, Desk().market
    market[0]["groups"][0]["spread_average_bps"], market[0]["groups"][0]["spread_bps"] = average, now
    view = signal_engine.consolidate(world[0], market[0], config.market_params()[0], 0, START_NS)
    assert round(view.tightness, 12) == tightness


# --- pressure -------------------------------------------------------------------------------------------------
def weighed(desk: Desk, params: Any, s: int, decay_bps: float) -> float:
    """One side of the desk's only book, in ticks * lots."""
    book, found = desk.market[0].books[0], desk.market[0].pressures[0]
    found["mid_ticks"], found["bid_x"], found["decay_bps"] = quotes.mid_ticks(book), book["best_x"][0], decay_bps
    pressure.apply_scale(found, params)
    return float(pressure.decayed_depth(desk.books[0], book, found, 0, s, params, 0))


@pytest.mark.uncompiled
@given(n=st.one_of(st.floats(0, 0.04), st.floats(0, 60), st.floats(-2, 0)))
def test_a_halving_is_a_power_of_a_half_near_nothing_to_the_last_bits(n: float) -> None:
    assert float(pressure.halved(n)) == pytest.approx(0.5**n, rel=5e-16 if abs(n) < 0.02 / math.log(2) else 1e-14)


@pytest.mark.uncompiled
@pytest.mark.spec("S1")
def test_t1_pressure_is_depth_that_counts_less_the_farther_away_it_is() -> None:
    config = loose("market.pressure_price_weighted=true", "market.decay_bps_min=2.0")
    bids = [(25000, 40), (24999, 60), (24997, 100), (24994, 80), (24990, 200)]
    asks = [(25001, 15), (25002, 30), (25004, 50), (25008, 90), (25012, 120)]
    desk = Desk()

    desk.hear(snapshot(0, 0, bids, asks))
    params = config.market_params()[0]
    bid, ask = (0.1 * 0.1 * weighed(desk, params, s, 2.0) for s in (0, 1))  # tick 0.1, lot 0.1
    assert (round(bid, 4), round(ask, 4)) == (56680.6074, 31340.0563)
    assert round(bid / ask, 6) == 1.808568
    assert round(math.log(bid) - math.log(ask), 6) == 0.592535


@pytest.mark.spec("S1")
def test_pressure_counts_only_the_best_levels_inside_the_band() -> None:

    random = np.random.default_rng(5)
    for count in (1, 4, 10):
        config = loose("market.pressure_price_weighted=true", f"market.pressure_levels={count}")
        params = config.market_params()[0]
        bids = {int(t): int(random.integers(1, 99)) for t in random.integers(24_900, 25_000, 20)}
        asks = {int(t): int(random.integers(1, 99)) for t in random.integers(25_001, 25_100, 20)}
        desk = Desk()
        desk.hear(snapshot(0, 0, list(bids.items()), list(asks.items())))
        mid = 0.5 * (max(bids) + min(asks))
        for s, side in ((0, bids), (1, asks)):
            found = weighed(desk, params, s, 3.0)
            assert found == pytest.approx(decayed_depth(side, mid, 3.0, 10.0, count), rel=1e-12)


@pytest.mark.uncompiled
@pytest.mark.spec("S1")
@pytest.mark.parametrize("sets", [(), ("market.pressure_price_weighted=true",), ("market.pressure_band_bps=1.0",)])
def test_pressure_kept_up_packet_by_packet_is_the_sum_taken_anew(sets: tuple[str, ...]) -> None:
    """A level of the ten resized, levels come and gone, several rows at once, wild gaps, a side emptied."""
    config, random = loose(*sets), np.random.default_rng(11)
    world, params = universe(config, [WORLD[LINEAR]]).record[0], config.market_params()[0]
    desk, memory, sides = Desk(), np.zeros(1, np.int64), ({}, {})  # type: tuple[Desk, Any, tuple[dict[int, int], ...]]
    market, summed = desk.market[0], Counter[str]()
    unit = float(WORLD[LINEAR].tick_size * WORLD[LINEAR].lot_size)
    for n in range(600):
        rows: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for _ in range(1 if random.random() < 0.7 else int(random.integers(2, 5))):
            s = 1 if sides[1] and not sides[0] and n % 150 < 20 else int(random.integers(2))
            gap = int(random.integers(1, 15)) if random.random() < 0.9 else int(random.integers(1, 300))
            rows[s][25_000 - gap if s == 0 else 25_000 + gap] = int(random.integers(1, 99) * (random.random() > 0.25))
        if n % 150 == 149:
            rows = (dict.fromkeys(sides[0], 0), {})
        for s in (0, 1):
            sides[s].update(rows[s])
            for ticks in [ticks for ticks, lots in sides[s].items() if lots == 0]:
                del sides[s][ticks]
        packets, levels = tape([depth(n, 0, list(rows[0].items()), list(rows[1].items()))])
        if n == 0:
            packets["kind"] = Kind.SNAPSHOT
        engine.observe(world, market, desk.books[0], memory, params, packets[0], levels)
        found = market.pressures[0]["side_quote"].tolist()
        summed["one-sided" if min(map(len, sides)) == 0 else "dense" if min(map(len, sides)) >= 10 else "sparse"] += 1
        if min(map(len, sides)) == 0:
            assert found == [0.0, 0.0]
            continue
        mid = 0.5 * (max(sides[0]) + min(sides[1]))
        for s in (0, 1):
            lots = {
                ticks: lots if params["is_price_weighted"] else lots * mid / ticks for ticks, lots in sides[s].items()
            }
            expected = unit * decayed_depth(lots, mid, params["decay_bps_min"], params["pressure_band_bps"], 10)
            assert found[s] == pytest.approx(expected, rel=1e-12), (n, rows)
    assert min(summed[kind] for kind in ("dense", "sparse", "one-sided")) > 2, summed


@pytest.mark.uncompiled
@pytest.mark.spec("S3")
@pytest.mark.parametrize("row", [(24_999, -5), (24_999, 2**50), (0, 5), (2**40 + 1, 5), (-3, 5)])
def test_a_row_the_book_refuses_is_no_order_flow(row: tuple[int, int]) -> None:
    config, desk = loose(), Desk()
    world, params = universe(config, [WORLD[LINEAR]]).record[0], config.market_params()[0]
    for n, event in enumerate(
        [snapshot(0, 0, [(24_999, 5)], [(25_001, 5)]), depth(1, 0, [row]), depth(2, 0, [], [row])]
    ):
        packets, levels = tape([event])
        engine.observe(world, desk.market[0], desk.books[0], np.zeros(1, np.int64), params, packets[0], levels)
        assert int(desk.market[0].refused_count) == n
    changes = desk.market[0].changes[0]
    assert changes["second_lots"].tolist() == [0, 0, 0, 0]
    assert changes["removed_lots"].tolist() == [0, 0]


@pytest.mark.uncompiled
@pytest.mark.spec("S1")
def test_the_ratio_is_averaged_over_time_with_a_half_life() -> None:
    random = np.random.default_rng(7)
    config = loose("market.pressure_halflife_s=2.0")
    params, group = config.market_params()[0], flat(GROUP_STATE)
    assert signal_engine.smoothed_log_ratio(group, params, START_NS) == 0.0
    changes: list[tuple[float, float]] = []
    now_ms = 0
    for _ in range(60):
        now_ms += int(random.integers(0, 900))
        value = float(random.normal())
        now_ns = START_NS + now_ms * NS_PER_MS
        if changes:
            group["log_ratio_ewma"] = signal_engine.smoothed_log_ratio(group, params, now_ns)
        else:
            group["log_ratio_ewma"] = value
        group["log_ratio"], group["ts_ratio_ns"] = value, now_ns
        changes.append((now_ms / 1000, value))
        later_ms = now_ms + int(random.integers(0, 3000))
        found = signal_engine.smoothed_log_ratio(group, params, START_NS + later_ms * NS_PER_MS)
        assert found == pytest.approx(ewma(changes, later_ms / 1000, 2.0), abs=1e-12)


# --- a whole market -------------------------------------------------------------------------------------------
def prints_of(packets: Array, levels: Array, listing_id: int) -> list[tuple[int, int, int]]:
    """(ns, ticks, lots) of every print of one listing."""
    found = []
    for packet in packets[(packets["kind"] == Kind.TRADE) & (packets["listing_id"] == listing_id)]:
        begin = int(packet["level_begin"])
        for row in levels[begin : begin + packet["buy_count"] + packet["sell_count"]]:
            found.append((int(packet["ts_local_ns"]), int(row["price_ticks"]), int(row["lots"])))
    return found


@pytest.mark.spec("M5", "M7", "M8")
@pytest.mark.parametrize("seed", [1, 2])
def test_flow_and_bars_of_a_run_are_those_of_its_prints(seed: int) -> None:
    packets, levels = random_tape(seed, 2500)
    config = loose()
    finished = run(packets, levels, [config])
    market, world = finished.market[0], finished.universe.record[0]
    closed_s = int(market["next_boundary_ns"] - 1) // NS_PER_S  # seconds before this one are closed
    for listing_id in (SPOT, LINEAR, ETH_LINEAR):
        prints = prints_of(packets, levels, listing_id)
        flow = market["flows"][listing_id]
        fast = sum(lots for ns, _, lots in prints if closed_s - 2 <= ns // NS_PER_S < closed_s)
        slow = sum(lots for ns, _, lots in prints if closed_s - 12 <= ns // NS_PER_S < closed_s - 2)
        buckets = range(closed_s // 2 - 10, closed_s // 2)
        inside = [(ticks, lots) for ns, ticks, lots in prints if ns // NS_PER_S // 2 in buckets]
        assert (int(flow["fast_lots"]), int(flow["slow_lots"])) == (fast, slow)
        assert int(flow["vwap_lots"]) == sum(lots for _, lots in inside)
        assert int(flow["vwap_ticks_lots"]) == sum(ticks * lots for ticks, lots in inside)
        assert int(flow["trade_count"]) == len(prints)
    for group_id in range(world["group_count"]):
        reference_id = int(world["groups"][group_id]["reference_id"])
        atr = naive_atr(packets, prints_of(packets, levels, reference_id), closed_s)
        assert float(market["groups"][group_id]["bars"][0]["atr_ticks"]) == pytest.approx(atr, rel=1e-12)


def naive_atr(packets: Array, prints: list[tuple[int, int, int]], closed_s: int) -> float:
    """ATR3 of 1 s bars; the first second, begun before we listened, is no bar."""
    first_s = int(packets["ts_local_ns"][0]) // NS_PER_S
    bars: list[tuple[float, float, float]] = []
    for second in range(first_s, closed_s):
        inside = [ticks for ns, ticks, _ in prints if ns // NS_PER_S == second]
        if inside:
            bars.append((max(inside), min(inside), inside[-1]))
        elif bars:
            bars.append((bars[-1][2],) * 3)
    return wilder_atr(bars, 3)[len(bars) - 1]
