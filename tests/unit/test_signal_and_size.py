"""The formula, its gates, how much it may trade and where it gets out: the worked examples of the research."""

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_trading_system.config_sources import load
from elegant_trading_system.core import breakers, risk_manager, signal_engine, split
from elegant_trading_system.core.kinds import Regime, Verdict
from elegant_trading_system.core.schema import POSITION, TRADER
from elegant_trading_system.core.signal_engine import Signal, View
from elegant_trading_system.core.units import ticks_inward
from elegant_trading_system.data.tape import ListingSpec
from elegant_trading_system.sim.session import new_market

from ..builders import LINEAR, NS_PER_MS, START_NS, WORLD, listing, loose, universe

ATR, PRICE = 12.5, 2500.0
PERPETUAL = WORLD[LINEAR]
LITERAL = ("signal.strength_min=2.5", "signal.velocity_min=1.5", "signal.vwap_gap_max=0.005")
RISK = (
    "volatility.warmup_size=1.0", "risk.base_risk=0.0025", "regimes.neutral.stop_atr=0.75",
    "risk.target_strength_max=10.0", "venues.alpha.spot_taker_bps=1.0",
)  # fmt: skip


def params(*sets: str) -> Any:
    return loose(*LITERAL, *RISK, *sets).params()[0]


def view(ratio: float, velocity: float, tightness: float, gap: float = 0.0) -> View:
    return View(
        PRICE, math.log(ratio), velocity, tightness, gap, 1, ATR, bar_index=0, regime=Regime.NEUTRAL,
        is_volatile=0, is_volatile_known=1, is_stressed=0, iv_source=1, iv_multiple=1.2,
    )  # fmt: skip


# --- the signal -----------------------------------------------------------------------------------------------
@pytest.mark.uncompiled
@pytest.mark.spec("S1", "S6")
def test_t4_strength_is_ratio_times_velocity_times_tightness() -> None:
    found = signal_engine.evaluate(view(1.808568, 2.105263, 1.3), params())
    assert (found.side, round(found.strength, 5), found.verdict) == (1, 4.94976, Verdict.APPROVED)


@pytest.mark.uncompiled
@pytest.mark.spec("S1", "S3")
def test_t5_the_side_is_the_heavier_one_and_a_small_imbalance_is_refused() -> None:
    strict = signal_engine.evaluate(view(0.9, 3.5, 1.0), params("signal.imbalance_min=1.0"))
    assert (strict.side, round(strict.strength, 6), strict.verdict) == (-1, 3.888889, Verdict.APPROVED)
    default = signal_engine.evaluate(view(0.9, 3.5, 1.0), params("signal.imbalance_min=1.25"))
    assert (default.side, default.verdict) == (-1, Verdict.IMBALANCE_LOW)


@pytest.mark.uncompiled
@pytest.mark.spec("S2")
def test_t6_a_price_far_from_its_vwap_is_refused() -> None:
    near, far = 2500.05 / 2490 - 1, 2500.05 / 2486 - 1
    assert (round(near, 6), round(far, 6)) == (0.004036, 0.005652)
    assert signal_engine.evaluate(view(2, 2, 1, near), params()).verdict == Verdict.APPROVED
    assert signal_engine.evaluate(view(2, 2, 1, far), params()).verdict == Verdict.VWAP_FAR
    assert signal_engine.evaluate(view(2, 2, 1, -far), params()).verdict == Verdict.VWAP_FAR
    assert signal_engine.evaluate(view(2, 2, 1, 0.005), params()).verdict == Verdict.APPROVED


@pytest.mark.uncompiled
@pytest.mark.spec("S2", "R9")
@pytest.mark.parametrize(
    "changed, verdict",
    [
        ({"mid_price": 0.0}, Verdict.BOOK_NOT_LIVE),
        ({"velocity": -1.0}, Verdict.WARMUP_VELOCITY),
        ({"tightness": -1.0}, Verdict.WARMUP_VELOCITY),
        ({"is_vwap_known": 0}, Verdict.WARMUP_VWAP),
        ({"atr_price": 0.0}, Verdict.WARMUP_ATR),
        ({"log_ratio": 0.0}, Verdict.NO_PRESSURE),
        ({"velocity": 1.25, "tightness": 1.0}, Verdict.STRENGTH_LOW),  # exactly 2.5: the threshold must be exceeded
        ({"velocity": 1.5}, Verdict.VELOCITY_LOW),
        ({"log_ratio": math.log(1.2), "velocity": 9.0}, Verdict.IMBALANCE_LOW),
        ({"vwap_gap": 0.0051}, Verdict.VWAP_FAR),
        ({}, Verdict.APPROVED),
    ],
)
def test_every_refusal_of_a_signal_has_its_name(changed: dict[str, Any], verdict: Verdict) -> None:
    found = signal_engine.evaluate(view(2.0, 2.0, 2.0)._replace(**changed), params("signal.imbalance_min=1.25"))
    assert found.verdict == verdict


@pytest.mark.uncompiled
@pytest.mark.spec("S1")
@given(ratio=st.floats(0.1, 10), velocity=st.floats(0.01, 30), tightness=st.floats(0.2, 5))
def test_exchanging_the_sides_of_a_view_exchanges_the_side_and_nothing_else(
    ratio: float, velocity: float, tightness: float
) -> None:
    this = view(ratio, velocity, tightness)
    that = this._replace(log_ratio=-this.log_ratio)
    a, b = signal_engine.evaluate(this, params()), signal_engine.evaluate(that, params())
    assert (a.side, a.strength, a.verdict) == (-b.side, b.strength, b.verdict)


# --- size -----------------------------------------------------------------------------------------------------
class Sized(NamedTuple):
    verdict: int
    base: float
    risk_quote: float
    cap: float


def sized(seen: View, *sets: str, money: float = 100_000.0, spec: ListingSpec = WORLD[0]) -> Sized:
    """The intent of an account without positions, on one listing with plenty of volume."""
    config = loose(*LITERAL, *RISK, *sets)
    world, market = universe(config, [spec]).record, new_market()[0]
    market["flows"][0]["bucket_lots"][0] = 10**12
    trader = np.zeros(1, TRADER)
    trader["equity"], trader["capital"] = money, min(money, 100_000.0)
    found = risk_manager.size(
        world[0], market[0], trader[0], config.market_params()[0], config.params()[0], seen, Signal(1, 5.0, 0), 0,
        world[0].listings[0], 0.05,
    )  # fmt: skip
    return Sized(found.verdict, found.base, found.risk_quote, found.cap)


NEUTRAL = view(2, 2, 2)


@pytest.mark.uncompiled
@pytest.mark.spec("R1", "R3", "R5")
@pytest.mark.parametrize(
    "changed, base",
    [
        ({}, 16.666667),
        ({"regime": Regime.RANGE}, 11.666667),
        ({"is_volatile": 1}, 8.333333),
        ({"is_volatile": 1, "regime": Regime.RANGE}, 5.833333),
        ({"is_volatile": 1, "is_stressed": 1}, 4.166667),
        ({"is_volatile": 1, "is_stressed": 1, "regime": Regime.RANGE}, 2.916667),
    ],
)
def test_t9_quantity_is_base_risk_over_atr_times_the_volatility_multiplier(
    changed: dict[str, int], base: float
) -> None:
    found = sized(NEUTRAL._replace(**changed), "stress.size=0.5")
    assert round(found.base, 6) == base
    if not changed:
        assert round(found.base * PRICE, 2) == 41_666.67
        assert round(0.75 * ATR * found.base, 2) == 156.25
        assert int(found.base / 0.001 + 1e-9) == 16_666


@pytest.mark.uncompiled
@pytest.mark.spec("R1", "R3")
def test_what_is_not_known_yet_halves_the_size() -> None:
    whole = sized(NEUTRAL).base
    halves = ("volatility.warmup_size=0.5", "regimes.volatile.warmup_size=0.5")
    assert sized(NEUTRAL._replace(iv_source=0), *halves).base == pytest.approx(whole / 2)
    assert sized(NEUTRAL._replace(is_volatile_known=0), *halves).base == pytest.approx(whole / 2)


@pytest.mark.uncompiled
@pytest.mark.spec("R1", "R6")
def test_t10_leverage_caps_a_quantity_that_a_small_atr_would_make_large() -> None:
    free = ("venues.alpha.spot_taker_bps=0.0", "risk.symbol_leverage_max=10.0")
    small = NEUTRAL._replace(atr_price=1.0)
    assert round(sized(small, *free).base, 3) == 208.333
    assert sized(small, "venues.alpha.spot_taker_bps=0.0").base == 40.0


@pytest.mark.uncompiled
@pytest.mark.spec("R6")
def test_heat_and_volume_refuse_by_name() -> None:
    assert sized(NEUTRAL, "risk.heat_max=0.001").verdict == Verdict.HEAT_LIMIT
    assert sized(NEUTRAL, "risk.gross_leverage_max=0.00001").verdict == Verdict.LEVERAGE_LIMIT
    assert sized(NEUTRAL, "risk.volume_share_max=0.0000000000001").verdict == Verdict.VOLUME_LIMIT
    tight = sized(NEUTRAL, "risk.volume_share_max=0.000000001")
    assert tight.base == pytest.approx(1e-9 * 10**12 * float(WORLD[0].lot_size))


@pytest.mark.uncompiled
@pytest.mark.spec("R6")
@given(margin=st.floats(0, 0.5), stops=st.floats(0.5, 20), atr=st.floats(1, 3 * PRICE))
def test_a_perpetual_is_not_shorted_where_liquidation_is_fewer_stops_away_than_asked(
    margin: float, stops: float, atr: float
) -> None:
    low, high = PRICE, 2 * PRICE  # paid in full: what is left of the collateral against the margin still needed
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if 2 * PRICE - middle > margin * middle else (low, middle)
    sets = (f"risk.maintenance_margin={margin!r}", f"risk.liquidation_stops={stops!r}")
    seen = NEUTRAL._replace(atr_price=atr, mid_price=PRICE)
    is_near = stops * 0.75 * atr > low - PRICE
    if abs(stops * 0.75 * atr / (low - PRICE) - 1) > 1e-9:
        found = sized(seen, *sets, spec=PERPETUAL)
        assert (found.verdict == Verdict.LIQUIDATION_NEAR) == is_near
    assert sized(seen, *sets).verdict != Verdict.LIQUIDATION_NEAR  # what is owned is not liquidated


@pytest.mark.uncompiled
@pytest.mark.spec("R9")
@given(
    atr=st.floats(0.01, 500), fee=st.sampled_from(["0.0", "1.0", "10.0", "60.0"]), money=st.floats(1, 1e7),
    multiple=st.sampled_from([0.5, 1.0, 2.0]), regime=st.sampled_from(Regime),
)  # fmt: skip
def test_the_loss_at_the_stop_never_exceeds_the_base_risk(
    atr: float, fee: str, money: float, multiple: float, regime: Regime
) -> None:
    seen = NEUTRAL._replace(atr_price=atr, iv_multiple=multiple, regime=regime)
    found = sized(seen, f"venues.alpha.spot_taker_bps={fee}", money=money)
    capital = min(money, 100_000.0)
    stop = {Regime.NEUTRAL: 0.75, Regime.TREND: 1.0, Regime.RANGE: 0.5}[regime]
    loss = stop * atr + 2 * PRICE * float(fee) * 1e-4 + 2 * 0.05
    assert found.base * loss <= 0.0025 * capital * (1 + 1e-12)
    assert found.risk_quote == pytest.approx(found.base * (loss + 0.10 * atr)), "and what leaving may slip"
    assert found.base * PRICE <= capital * (1 + 1e-12)


@pytest.mark.uncompiled
@pytest.mark.spec("R9")
def test_an_account_without_equity_trades_nothing() -> None:
    assert sized(NEUTRAL, money=0.0).verdict == Verdict.EQUITY_SPENT
    assert sized(NEUTRAL, money=-5.0).verdict == Verdict.EQUITY_SPENT


@pytest.mark.uncompiled
@pytest.mark.spec("E2")
def test_price_protection_is_a_tenth_of_the_atr_or_three_bps_whichever_is_less() -> None:
    caps = ("execution.cap_atr=0.1", "execution.cap_bps=3.0")
    assert sized(NEUTRAL, *caps).cap == pytest.approx(3e-4)
    assert sized(NEUTRAL._replace(atr_price=5.0), *caps).cap == pytest.approx(0.1 * 5.0 / PRICE)


@pytest.mark.uncompiled
@pytest.mark.spec("R8")
@pytest.mark.parametrize(
    "share, peak, equity, capital",
    [(0.5, 120, 115, 110), (1.0, 120, 115, 115), (0.5, 120, 120, 110), (0.5, 100, 92, 92)],
)
def test_t19_profits_compound_by_the_high_water_mark(share: float, peak: float, equity: float, capital: float) -> None:
    assert breakers.compounded(equity, peak, 100.0, share) == capital


# --- brackets -------------------------------------------------------------------------------------------------
@pytest.mark.uncompiled
@pytest.mark.spec("R2")
@pytest.mark.parametrize(
    "strength, atrs",
    [(2.5, 1.5), (3.0, 1.697276), (5.0, 2.25), (4.949764, 2.239074), (10.0, 3.0), (20.0, 3.0), (1.0, 1.5)],
)
def test_t11_the_target_lies_farther_the_stronger_the_signal(strength: float, atrs: float) -> None:
    assert round(risk_manager.target_atr(strength, 2.5, Regime.NEUTRAL, params()), 6) == atrs


@pytest.mark.uncompiled
@pytest.mark.spec("R2", "R3")
@pytest.mark.parametrize(
    "regime, bars, long, short",
    [
        (Regime.NEUTRAL, 12, (2490.725, 2528.225), (2509.375, 2471.875)),
        (Regime.TREND, 24, (2487.6, 2537.6), (2512.5, 2462.5)),
        (Regime.RANGE, 6, (2493.85, 2518.85), (2506.25, 2481.25)),
    ],
)
def test_t12_stop_target_and_time_follow_the_regime(
    regime: Regime, bars: int, long: tuple[float, float], short: tuple[float, float]
) -> None:
    config = load(environ={})  # the table as it is shipped
    row, worlds = config.params()[0], config.market_params()[0]
    for side, entry, expected in ((1, 2500.1, long), (-1, 2500.0, short)):
        position = np.zeros(1, POSITION)[0]
        position["side"], position["atr_price"], position["regime"], position["bar_index"] = side, ATR, regime, 2
        position["target_atr"] = risk_manager.target_atr(5.0, 2.5, regime, row)
        risk_manager.apply_bracket(position, entry, worlds, row, START_NS)
        assert (round(position["stop_price"], 6), round(position["target_price"], 6)) == expected
        assert position["ts_exit_due_ns"] - START_NS == bars * 300 * 1000 * NS_PER_MS


@pytest.mark.uncompiled
@pytest.mark.spec("X7")
def test_no_position_is_meant_to_be_held_beyond_the_horizon() -> None:
    config = load(sets=["risk.hold_max_s=600.0"], environ={})
    position = np.zeros(1, POSITION)[0]
    position["bar_index"] = 5
    risk_manager.apply_bracket(position, PRICE, config.market_params()[0], config.params()[0], START_NS)
    assert position["ts_exit_due_ns"] - START_NS == 600 * 1000 * NS_PER_MS


# --- how much where -------------------------------------------------------------------------------------------
def allocated(lots: int, shares: list[int]) -> list[int]:
    share_bps = np.zeros(8, np.int64)
    share_bps[: len(shares)] = shares
    found: list[int] = split.allocate(lots, share_bps, len(shares))[: len(shares)].tolist()
    return found


@pytest.mark.uncompiled
@pytest.mark.spec("E1")
@pytest.mark.parametrize(
    "lots, shares, expected",
    [
        (123, [6000, 3000, 1000], [74, 37, 12]),
        (13, [6000, 3000, 1000], [8, 4, 1]),
        (7, [6000, 2000, 1000, 1000], [4, 1, 1, 1]),
        (37, [6000, 3000, 1000], [22, 11, 4]),
        (1, [5000, 5000], [1, 0]),
        (0, [6000, 3000, 1000], [0, 0, 0]),
    ],
)
def test_t17_lots_are_split_by_largest_remainder(lots: int, shares: list[int], expected: list[int]) -> None:
    assert allocated(lots, shares) == expected


@pytest.mark.uncompiled
@pytest.mark.spec("E1")
@given(lots=st.integers(0, 10**9), cuts=st.lists(st.integers(0, 10_000), max_size=7))
def test_a_split_gives_every_lot_once_and_nobody_more_than_a_lot_off(lots: int, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), 10_000]
    shares = [b - a for a, b in pairwise(edges)]
    found = allocated(lots, shares)
    assert sum(found) == lots
    assert all(abs(n * 10_000 - lots * share) < 10_000 for n, share in zip(found, shares, strict=True))


@pytest.mark.uncompiled
def test_a_limit_is_rounded_towards_the_price_it_protects() -> None:
    tenth = universe(loose(), [listing("alpha", "BTC/USDT", "spot", "0.1", "0.001")]).record[0].listings[0]
    assert ticks_inward(tenth, 1, 2500.85003) == 25008
    assert ticks_inward(tenth, -1, 2500.85003) == 25009
    assert ticks_inward(tenth, 1, 0.1 * 25008) == 25008
    assert ticks_inward(tenth, -1, 0.1 * 25007) == 25007


@pytest.mark.uncompiled
@pytest.mark.spec("E2")
@pytest.mark.parametrize("tick", ["0.1", "0.00001", "0.0000001"])
@given(price=st.floats(1, 90_000))
def test_a_limit_is_never_beyond_the_price_it_protects(tick: str, price: float) -> None:
    row = universe(loose(), [listing("alpha", "BTC/USDT", "spot", tick, "0.1")]).record[0].listings[0]
    exact = price / float(tick)
    assert exact - 1 <= ticks_inward(row, 1, price) <= exact * (1 + 1e-13)
    assert exact + 1 >= ticks_inward(row, -1, price) >= exact * (1 - 1e-13)
    assert ticks_inward(row, 1, round(exact) * float(tick)) == round(exact)
    assert ticks_inward(row, -1, round(exact) * float(tick)) == round(exact)
