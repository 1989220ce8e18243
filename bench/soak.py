"""Five thousand messages a second through the live path for as long as you like: does its memory grow?

    python -m bench.soak [--minutes 30] [--rate 5000]

Every message comes on two connections, one a moment behind the other. Feed, arbitration, journal and engine are those of
a live run, on the wall clock; journal segments are thrown away as they close. Memory is what the system says is resident,
averaged over each segment's life: mapped files fill and go with it. Exit 1 when it grows beyond doubt.
"""

import argparse
import asyncio
import gc
import json
import math
import statistics
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import facts
from .live_frames import load
from .live_peers import Ours

Array = np.ndarray[Any, Any]
STATUS = Path("/proc/self/status")
BEAT_S = 0.02
SAMPLE_S = 0.25
BEHIND = 5  # messages the second connection lags
SEGMENTS_MAX = 100_000
SEGMENTS_MIN = 6  # of the first nothing is used


class Slope(NamedTuple):
    kilobytes_per_hour: float
    low: float
    high: float
    segments: int


def resident_kilobytes() -> int:
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1])


class Soak:
    """The live path fed at a steady rate."""

    def __init__(self, ours: Ours, texts: list[str], rate: float) -> None:
        self.ours, self.texts, self.rate = ours, texts, rate
        self.sent = 0
        self.sums = np.ones(
            (SEGMENTS_MAX, 3)
        )  # of each segment: samples, seconds, kilobytes; claimed now, not as it goes
        self.sums[:] = 0
        self.low, self.high = 2**62, 0
        self._late = deque[str]()
        self._gone = 0  # segments thrown away

    def run(self, seconds: float) -> None:
        began = last = time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            while self.sent < (now - began) * self.rate:
                self._send(self.texts[self.sent % len(self.texts)])
            self._beat()
            if now - last >= SAMPLE_S:
                last = now
                self._sample(now - began)
            time.sleep(max(0.0, now + BEAT_S - time.monotonic()))

    def _sample(self, at_s: float) -> None:
        kilobytes = resident_kilobytes()
        self.sums[self._segment()] += (1, at_s, kilobytes)
        self.low, self.high = min(self.low, kilobytes), max(self.high, kilobytes)

    def _send(self, text: str) -> None:
        feed = self.ours.feed
        feed.hear(0, text)
        self._late.append(text)
        if len(self._late) > BEHIND:
            feed.hear(1, self._late.popleft())
        self.sent += 1
        if self.sent % len(self.texts) == 0:  # and from the beginning
            self._late.clear()
            self.ours.rewind()
            feed.hear_up(1)

    def _beat(self) -> None:
        """What a live run does fifty times a second."""
        self.ours.sequencer.tick()
        self.ours.feed.check_holes(time.time_ns())
        self.ours.journal.seal()

    def _segment(self) -> int:
        """The number of the running one; those before the one that is being packed are thrown away."""
        running, folder = self.ours.journal.segment, self.ours.journal.folder
        while self._gone < running - 1:
            for path in folder.glob(f"*-{self._gone:05d}.*"):
                path.unlink()
            self._gone += 1
        return running


def slope_of(sums: Array) -> Slope:
    """Least squares through the segments' means, with the 95 % interval of Student's t; the first and last are left out."""
    used = sums[sums[:, 0] > 0][1:-1]
    x, y = (used[:, 1] / used[:, 0] / 3600).tolist(), (used[:, 2] / used[:, 0]).tolist()
    line = statistics.linear_regression(x, y)
    freedom = len(x) - 2
    left = sum((b - line.intercept - line.slope * a) ** 2 for a, b in zip(x, y, strict=True))
    spread = sum((a - statistics.mean(x)) ** 2 for a in x)
    z = statistics.NormalDist().inv_cdf(0.975)
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    half = t * math.sqrt(left / freedom / spread)
    return Slope(line.slope, line.slope - half, line.slope + half, len(x))


def soak(minutes: float, rate: float) -> dict[str, Any]:
    frames = load("even")
    ours = Ours(frames, time.time_ns)
    ours.feed.hear_up(1)
    gc.collect()
    gc.freeze()
    running = Soak(ours, [one.text for one in frames.frames], rate)
    running.run(minutes * 60)
    counts, repeated = ours.feed.counts, [one.depth.repeated for one in ours.feed.listings.values()]
    events = ours.journal.count
    asyncio.run(ours.close())
    assert counts["refused"] == counts["gaps"] == 0, counts
    assert sum(repeated) > 0, "the second connection was heard"
    segments = int((running.sums[:, 0] > 0).sum())
    if segments < SEGMENTS_MIN:
        sys.exit(f"{segments} journal segments are too few to tell: try more --minutes or a higher --rate")
    slope = slope_of(running.sums)
    return {
        "minutes": minutes,
        "messages": running.sent,
        "per_s": round(running.sent / minutes / 60),
        "events": events,
        "resident_megabytes": [running.low // 1024, running.high // 1024],
        "kilobytes_per_hour": [round(value, 1) for value in slope[:3]],  # slope, and its 95 % interval
        "segments": slope.segments,
    }


def main() -> None:
    if not STATUS.exists():
        sys.exit("the soak reads resident memory from /proc, which this system does not have")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=5000)
    options = parser.parse_args()
    gc.set_threshold(100_000, 50, 100)  # as the command line does
    result = soak(options.minutes, options.rate)
    facts.keep("soak", result)
    print(json.dumps(result, indent=1))
    slope, low, high = result["kilobytes_per_hour"]
    grows = low > 0
    print(f"memory {'grows' if grows else 'does not grow'}: {slope} kB an hour, 95 % within {low} to {high}")
    sys.exit(grows)


if __name__ == "__main__":
    main()
