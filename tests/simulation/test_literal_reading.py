"""config/literal.toml is the founding notes to the letter: three conditions, and nothing else stands in the way."""

import math
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from elegant_trading_system.config_sources import load
from elegant_trading_system.core import signal_engine
from elegant_trading_system.core.kinds import CommandKind, Regime, Verdict
from elegant_trading_system.data.universe import build
from elegant_trading_system.sim.market_stream import MarketStream
from elegant_trading_system.sim.session import Session

LITERAL = Path("literal")
#: Windows that fit a tape of minutes; no threshold among them.
WINDOWS = (
    "market.velocity_fast_s=10", "market.velocity_slow_s=120", "market.vwap_window_s=600", "market.vwap_buckets=60",
    "bars.lengths_s=[10]", "log.sample_s=0.1", "risk.symbol_leverage_max=0.1",
)  # fmt: skip
MINUTES = 25
FILTERS = ("IMBALANCE_LOW", "PERSISTENCE_LOW", "VENUES_DISAGREE", "FLOW_DISAGREES", "FLICKER", "COOL_DOWN")


@cache
def ran(is_literal: bool) -> Session:
    stream = MarketStream(["BTC", "ETH", "SOL"], seed=4)
    chunk = stream.chunk(MINUTES * 60)
    config = load([LITERAL] if is_literal else [], WINDOWS, environ={})
    finished = Session(build(stream.listings, config), [config], 1_000_000_000)
    finished.run(chunk.packets, chunk.levels)
    return finished


def verdicts(finished: Session) -> Counter[str]:
    found = finished.traders[0]["verdicts"]
    return Counter({verdict.name: int(found[verdict]) for verdict in Verdict if found[verdict]})


@pytest.mark.spec("S1", "S2", "S3", "S4")
def test_no_filter_refuses_under_the_literal_reading_and_each_may_otherwise() -> None:
    literal, ours = verdicts(ran(True)), verdicts(ran(False))
    assert not {name: literal[name] for name in FILTERS if literal[name]}
    assert {"IMBALANCE_LOW", "PERSISTENCE_LOW", "VENUES_DISAGREE"} <= ours.keys()
    assert literal["APPROVED"] > ours["APPROVED"]


@pytest.mark.spec("S1", "S2")
def test_strength_velocity_and_vwap_alone_decide_what_is_a_signal() -> None:
    refused = {Verdict.STRENGTH_LOW: 0, Verdict.VELOCITY_LOW: 0, Verdict.VWAP_FAR: 0}
    approved = 0
    for row in ran(True).logs[0].joined("evaluations"):
        is_strong = float(row["strength"]) > (3.0 if int(row["state"]) & 1 else 2.5)
        is_busy, is_near = float(row["velocity"]) > 1.5, abs(float(row["vwap_gap"])) <= 0.005
        verdict = Verdict(int(row["verdict"]))
        if verdict == Verdict.APPROVED:
            approved += 1
            assert is_strong and is_busy and is_near
            ratio = math.exp(abs(float(row["log_ratio"])))
            assert float(row["strength"]) == pytest.approx(ratio * float(row["velocity"]) * float(row["tightness"]))
            assert int(row["side"]) == (1 if float(row["log_ratio"]) > 0.0 else -1)
        elif verdict in refused:
            refused[verdict] += 1
            assert not (is_strong and is_busy and is_near)
    assert approved >= 5
    assert min(refused[Verdict.STRENGTH_LOW], refused[Verdict.VELOCITY_LOW]) > 10


@pytest.mark.spec("S1")
def test_t5_the_literal_product_goes_with_the_heavier_side_however_little() -> None:
    params = load([LITERAL], environ={}).params()[0]
    for ratio, side in ((0.9, -1), (1.0001, 1)):
        seen = signal_engine.View(
            2500.0, math.log(ratio), 3.5, 1.0, 0.0, 1, 12.5, bar_index=0, regime=Regime.NEUTRAL, is_volatile=0,
            is_volatile_known=1, is_stressed=0, iv_source=1, iv_multiple=1.0,
        )  # fmt: skip
        found = signal_engine.evaluate(seen, params)
        assert (found.side, found.verdict) == (side, Verdict.APPROVED)


@pytest.mark.spec("E2", "X7")
def test_the_literal_reading_holds_minutes_and_sends_nothing_that_rests() -> None:
    finished = ran(True)
    commands = finished.logs[0].joined("commands")
    assert set(commands["kind"].tolist()) <= {CommandKind.SEND, CommandKind.QUERY}
    assert int(finished.params["hold_max_ns"][0]) == 600 * 10**9
    assert int(finished.market_params["is_price_weighted"][0]) == 1
