"""What has not happened yet decides nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elegant_trading_system.core.kinds import BookState, Kind
from elegant_trading_system.sim.session import Session

from ..builders import WORLD, Array, loose, random_tape, run, session

COUNT = 1500
FAULTS = ("simulation.lost_reply=0.05", "simulation.reject=0.03", "execution.ack_timeout_ms=60")
TAPES = {seed: random_tape(seed, COUNT) for seed in (1, 3)}
RUNS: dict[int, Session] = {}


def original(seed: int) -> Session:
    if seed not in RUNS:
        RUNS[seed] = run(*TAPES[seed], [loose(*FAULTS)])
    return RUNS[seed]


def scrambled(packets: Array, levels: Array, t_ns: int, seed: int) -> tuple[Array, Array]:
    """The same tape until t; afterwards other listings, kinds, prices and sizes at the same stamps."""
    random = np.random.default_rng(seed)
    packets, levels = packets.copy(), levels.copy()
    for packet in packets[(packets["ts_local_ns"] > t_ns) & (packets["ts_venue_ns"] > t_ns)]:
        begin = int(packet["level_begin"])
        rows = levels[begin : begin + packet["buy_count"] + packet["sell_count"]]
        rows["price_ticks"] = np.maximum(rows["price_ticks"] * random.uniform(0.5, 1.5, len(rows)), 1).astype(np.int64)
        rows["lots"] = random.integers(0, 10_000, len(rows))
    later = np.flatnonzero((packets["ts_local_ns"] > t_ns) & (packets["ts_venue_ns"] > t_ns))
    packets["listing_id"][later] = random.integers(0, len(WORLD), len(later))
    kinds = random.choice([Kind.DEPTH, Kind.SNAPSHOT, Kind.TRADE, Kind.STATUS], len(later), p=[0.5, 0.1, 0.3, 0.1])
    packets["kind"][later] = kinds
    packets["code"][later] = np.where(kinds == Kind.STATUS, BookState.GAP, 0)
    return packets, levels


def until(finished: Session, name: str, t_ns: int) -> Array:
    log = finished.logs[0].joined(name)
    stamp = "ts_local_ns" if name == "replies" else "ts_ns"
    return log[log[stamp] <= t_ns]


@pytest.mark.spec("X1", "X5")
@settings(max_examples=25, deadline=None)
@given(seed=st.sampled_from(sorted(TAPES)), at=st.integers(50, COUNT - 50), chaos=st.integers(0, 2**32))
def test_nothing_decided_until_t_depends_on_what_comes_after_t(seed: int, at: int, chaos: int) -> None:
    packets, levels = TAPES[seed]
    t_ns = int(packets["ts_local_ns"][at])
    other = session(packets, [loose(*FAULTS)])
    other.run(*scrambled(packets, levels, t_ns, chaos))
    for name in ("commands", "evaluations", "equity", "replies"):
        assert until(other, name, t_ns).tobytes() == until(original(seed), name, t_ns).tobytes(), name


def test_the_scramble_does_change_what_comes_after() -> None:
    packets, levels = TAPES[1]
    commands = original(1).logs[0].joined("commands")
    t_ns = int(commands["ts_ns"][len(commands) // 4])
    other = session(packets, [loose(*FAULTS)])
    other.run(*scrambled(packets, levels, t_ns, 5))
    assert len(until(original(1), "commands", t_ns)) > 5
    assert other.logs[0].joined("commands").tobytes() != commands.tobytes()
