"""A market seen in the mirror gives the mirrored signal, to the last bit."""

import numpy as np
import pytest

from elegant_trading_system.core.kinds import Kind, Verdict
from elegant_trading_system.sim.session import Session

from ..builders import PRICES, START_NS, WORLD, Array, Event, Rows, loose, run, tape

LIT = [spec for spec in WORLD if spec.kind != "dark"]
MIDDLES = [round(PRICES[spec.base] / float(spec.tick_size)) for spec in LIT]
#: With next to no capital every candidate is refused for its size: evaluations go on, positions do not interfere.
POOR = ("account.capital=0.000001", "log.sample_s=0.1", "market.pressure_price_weighted=false")


def symmetric_tape(seed: int, count: int) -> list[Event]:
    """Books whose mid never moves, with sizes that lean, spreads that vary and prints at the touch."""
    random = np.random.default_rng(seed)
    events, ms, lean, gaps = [], 0.0, 0.0, [1] * len(LIT)
    for n in range(count):
        ms += float(random.exponential(8.0))
        listing_id = n if n < len(LIT) else int(random.integers(len(LIT)))
        middle = MIDDLES[listing_id]
        if random.random() < 0.05:
            lean = float(random.uniform(-1.5, 1.5))
        if n >= len(LIT) and random.random() < 0.3:
            ticks = (
                middle if LIT[listing_id].kind == "inverse" else middle + int(random.choice([-1, 1])) * gaps[listing_id]
            )
            row = [(ticks, int(random.integers(1, 2000)))]
            events.append(Event(ms, ms, listing_id, Kind.TRADE, *((row, []) if random.random() < 0.5 else ([], row))))
            continue
        gap = gaps[listing_id] = int(random.integers(1, 4))
        bids: Rows = [
            (middle - gap - k, 1 + int(900 * random.random() * np.exp(lean)))
            for k in range(int(random.integers(1, 14)))
        ]
        asks: Rows = [
            (middle + gap + k, 1 + int(900 * random.random() * np.exp(-lean)))
            for k in range(int(random.integers(1, 14)))
        ]
        events.append(Event(ms, ms, listing_id, Kind.SNAPSHOT, bids, asks))
    return events


def mirrored(events: list[Event]) -> list[Event]:
    """Sides exchanged, prices reflected about the mid."""

    def reflect(rows: Rows, listing_id: int) -> Rows:
        return [(2 * MIDDLES[listing_id] - ticks, lots) for ticks, lots in rows]

    return [
        event._replace(buys=reflect(event.sells, event.listing_id), sells=reflect(event.buys, event.listing_id))
        for event in events
    ]


def evaluations(events: list[Event]) -> Array:
    finished: Session = run(*tape(events, START_NS), [loose(*POOR)], LIT)
    return finished.logs[0].joined("evaluations")


@pytest.mark.spec("S1")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_exchanging_the_sides_of_the_market_exchanges_the_side_of_every_signal(seed: int) -> None:
    events = symmetric_tape(seed, 2500)
    here, there = evaluations(events), evaluations(mirrored(events))
    assert len(here) == len(there) > 200
    assert (here["side"] != 0).sum() > 100
    assert set(here["side"].tolist()) == {-1, 0, 1}
    assert (here["verdict"] == Verdict.SIZE_ZERO).any()
    assert (here["side"] == -there["side"]).all()
    assert (here["log_ratio"] == -there["log_ratio"]).all()
    for name in (
        "ts_ns",
        "group_id",
        "verdict",
        "is_sample",
        "velocity",
        "tightness",
        "strength",
        "mid_price",
        "atr_price",
    ):
        assert np.ascontiguousarray(here[name]).tobytes() == np.ascontiguousarray(there[name]).tobytes(), name
