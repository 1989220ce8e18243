"""Compiled, uncompiled, replayed, in any slices, alone or among others: the same bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elegant_trading_system.config import Config
from elegant_trading_system.core.schema import COMMAND
from elegant_trading_system.sim import replay
from elegant_trading_system.sim.session import Session, decisions_digest

from ..builders import Array, loose, random_tape, run, session
from .__main__ import FAULTS, digests

SEEDS = (1, 3)
COUNT = 1500
TAPES = {seed: random_tape(seed, COUNT) for seed in SEEDS}
WHOLE: dict[int, Session] = {}

#: Different enough that every trader does something else.
TRADERS = [
    loose(*FAULTS),
    loose(
        "signal.strength_min=2.0",
        *(f"regimes.{regime}.stop_atr=1.5" for regime in ("neutral", "trend", "range")),
        "simulation.seed=9",
        "simulation.entry_latency_ms=25.0",
    ),
    loose(
        "signal.imbalance_min=1.5",
        *(f"regimes.{regime}.hold_bars=1" for regime in ("neutral", "trend", "range")),
        "account.capital=5000.0",
        "simulation.response_latency_ms=90.0",
    ),
    loose("execution.primary_share=1.0", "execution.secondary_share=0.0", "execution.dark_share=0.0", *FAULTS),
]


def whole(seed: int) -> Session:
    """The run in one piece."""
    if seed not in WHOLE:
        WHOLE[seed] = run(*TAPES[seed], [loose(*FAULTS)])
        assert len(WHOLE[seed].logs[0].joined("commands")) > 10, "a run that does nothing proves nothing"
    return WHOLE[seed]


def account(finished: Session, k: int = 0) -> dict[str, Any]:
    """All that is one trader's own, as bytes."""
    log = finished.logs[k]
    said = {
        name: log.joined(name).tobytes() for name in ("commands", "replies", "rows", "evaluations", "equity", "marks")
    }
    return {"trader": finished.traders[k].tobytes(), "venue": finished.venues[k].tobytes(), **said}


def assert_same_account(a: Session, k: int, b: Session, j: int) -> None:
    ours, theirs = a.logs[k].joined("commands"), b.logs[j].joined("commands")
    assert len(ours) == len(theirs), (k, j)
    for mine, other in zip(ours.tolist(), theirs.tolist(), strict=True):
        assert mine == other
    for name in a.traders.dtype.names or ():
        assert a.traders[k][name].tobytes() == b.traders[j][name].tobytes(), name
    assert account(a, k) == account(b, j)


# --- compiled and uncompiled ----------------------------------------------------------------------------------
@pytest.mark.spec("X1")
def test_compiled_and_uncompiled_runs_are_equal_to_the_byte(root: Path) -> None:
    def start(seed: int, count: int) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "tests.parity", str(seed), str(count)],
            cwd=root, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    tapes = ((1, 700), (4, 700))
    running = [start(*tape) for tape in tapes]
    for (seed, count), process in zip(tapes, running, strict=True):
        finished = run(*random_tape(seed, count, mean_ms=20.0), [loose(*FAULTS)])
        output, _ = process.communicate(timeout=300)
        orders = len(finished.logs[0].joined("commands"))
        assert orders > 5
        assert json.loads(output) == {"orders": orders, **digests(finished)}


# --- replay ---------------------------------------------------------------------------------------------------
def woven(finished: Session, packets: Array, levels: Array) -> tuple[Array, Array]:
    log = finished.logs[0]
    return replay.weave(packets, levels, log.joined("replies"), log.joined("rows"))


def replayed(config: Config, seed: int, cuts: list[int] | None = None) -> tuple[Array, Any]:
    finished = whole(seed)
    return replay.advance(finished.universe.record, config, *woven(finished, *TAPES[seed]), cuts)


@pytest.mark.spec("X1")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_journal_fed_to_the_core_alone_gives_the_same_decisions(seed: int) -> None:
    finished = whole(seed)
    commands, trader = replayed(loose(*FAULTS), seed)
    assert replay.first_difference(finished.logs[0].joined("commands"), commands).startswith("all commands are equal")
    assert commands.tobytes() == finished.logs[0].joined("commands").tobytes()
    assert decisions_digest(commands, trader) == finished.decisions_digest()
    for name in finished.traders.dtype.names or ():
        if name != "outbox":  # emptied differently: what is left in it is no longer counted
            assert trader[name].tobytes() == finished.traders[0][name].tobytes(), name
    assert trader["outbox"]["count"] == finished.traders[0]["outbox"]["count"] == 0


@pytest.mark.spec("X1")
@settings(max_examples=12, deadline=None)
@given(seed=st.sampled_from(SEEDS), cuts=st.lists(st.integers(1, COUNT), max_size=12, unique=True))
def test_any_split_of_the_journal_gives_the_same_decisions(seed: int, cuts: list[int]) -> None:
    commands, trader = replayed(loose(*FAULTS), seed, sorted(cuts))
    assert decisions_digest(commands, trader) == whole(seed).decisions_digest()


# --- slices ---------------------------------------------------------------------------------------------------
@pytest.mark.spec("X1")
@settings(max_examples=15, deadline=None)
@given(seed=st.sampled_from(SEEDS), cuts=st.lists(st.integers(0, COUNT), max_size=8, unique=True))
def test_any_split_of_the_tape_gives_the_same_bytes(seed: int, cuts: list[int]) -> None:
    packets, levels = TAPES[seed]
    pieces = session(packets, [loose(*FAULTS)])
    for end in sorted(cuts):
        pieces.run(packets, levels, end, is_last=False)
    pieces.run(packets, levels)
    assert account(pieces) == account(whole(seed))
    assert pieces.state_digest() == whole(seed).state_digest()


@pytest.mark.spec("X1")
@pytest.mark.parametrize("slice_packets", [1, 7, 400])
def test_slices_of_any_length_give_the_same_bytes(slice_packets: int) -> None:
    packets, levels = TAPES[3]
    pieces = session(packets, [loose(*FAULTS)])
    pieces.run(packets, levels, slice_packets=slice_packets)
    assert account(pieces) == account(whole(3))
    assert pieces.state_digest() == whole(3).state_digest()


def test_a_run_without_logs_ends_in_the_same_state() -> None:
    packets, levels = TAPES[1]
    silent = run(packets, levels, [loose(*FAULTS)], is_logging=False)
    assert silent.state_digest() == whole(1).state_digest()


def test_deciding_at_every_packet_is_replayed_and_split_alike() -> None:
    packets, levels = TAPES[1]
    config = loose(*FAULTS, "market.pass_ms=0", "log.sample_s=0.05")
    finished = run(packets, levels, [config])
    commands, trader = replay.advance(
        finished.universe.record, config, *woven(finished, packets, levels), [100, 101, 900]
    )
    assert len(commands) > 20
    assert decisions_digest(commands, trader) == finished.decisions_digest()
    pieces = session(packets, [config])
    pieces.run(packets, levels, slice_packets=13)
    assert account(pieces) == account(finished)


# --- among others ---------------------------------------------------------------------------------------------
@pytest.mark.spec("X1")
@pytest.mark.parametrize("seed", SEEDS)
def test_each_of_many_traders_is_the_trader_it_would_have_been_alone(seed: int) -> None:
    packets, levels = TAPES[seed]
    together = run(packets, levels, TRADERS)
    for k, config in enumerate(TRADERS):
        alone = run(packets, levels, [config])
        assert_same_account(together, k, alone, 0)
    assert len({together.decisions_digest(k) for k in range(len(TRADERS))}) == len(TRADERS)


def test_order_of_traders_does_not_matter() -> None:
    packets, levels = TAPES[1]
    forward, backward = run(packets, levels, TRADERS), run(packets, levels, TRADERS[::-1])
    for k in range(len(TRADERS)):
        assert_same_account(forward, k, backward, len(TRADERS) - 1 - k)


def test_traders_with_orders_in_flight_at_the_end_are_still_what_they_would_be_alone() -> None:
    """One trader's replies come later than another's: the tail of a run belongs to each of them alone."""
    packets, levels = TAPES[1]
    together = run(packets, levels, TRADERS)
    for k in (0, 2):
        for ts_ns in together.logs[k].joined("commands")["ts_ns"][3:60:14]:
            end = int(np.searchsorted(packets["ts_local_ns"], ts_ns, "right"))
            short = run(packets[:end], levels, TRADERS)
            for j, config in enumerate(TRADERS):
                assert_same_account(short, j, run(packets[:end], levels, [config]), 0)


@pytest.mark.spec("X1")
def test_a_run_repeated_is_the_same_run() -> None:
    again = run(*TAPES[1], [loose(*FAULTS)])
    assert account(again) == account(whole(1))
    assert np.zeros(0, COMMAND).tobytes() != account(again)["commands"]
