"""Five thousand messages a second through the live path for as long as you like: does its memory grow?

    python -m bench.soak [--minutes 30] [--rate 5000] [--leak KB_PER_HOUR]

Every message comes on two connections, one a moment behind the other. Feed, arbitration, journal, packing and engine are
those of a live run, on the wall clock; journal segments are thrown away once they are packed. Three kinds of memory are
looked at: all that is resident; what of it is no file's (heaps, where a leak would be; the kernel takes pages of files
away and gives them back as it likes); and, where the C library says so, what its heaps have handed out: a small leak fills
their holes for hours before more becomes resident. Each is averaged over every segment's life, for mapped files fill and
go with it. The first third of the time is left out: caches and heaps find their size in it. Neighbouring means resemble
one another, so they count for fewer than they are. Exit 1 when one grows beyond doubt; `--leak` plants what must be found.
"""

import argparse
import asyncio
import ctypes
import gc
import itertools
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
SEGMENTS_MIN = 12
WARM_UP = 3  # the first of so many parts of the time is left out
LIKENESS_MAX = 0.9  # of neighbours: with more of it nothing could be said at all
PAGE_BYTES = 4096
KINDS = ("resident", "anonymous", "handed_out")


class Slope(NamedTuple):
    """Kilobytes an hour, with the 95 % interval."""

    slope: float
    low: float
    high: float
    likeness: float  # of neighbouring means, once the line is taken away

    @property
    def grows(self) -> bool:
        return self.low > 0


class Mallinfo(ctypes.Structure):
    """As the GNU C library fills it."""

    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]


class Heap:
    """What the C library's heaps have handed out; 0 where it does not say."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._info = getattr(library, "mallinfo2", None)
        if self._info is not None:
            self._info.restype = Mallinfo
            library.malloc_trim(0)  # holes go back: a leak that fills them shows

    def kilobytes(self) -> int:
        if self._info is None:
            return 0
        info = self._info()
        return int(info.uordblks + info.hblkhd) // 1024


def memory_kilobytes(heap: Heap) -> tuple[int, int, int]:
    """What is resident, what of it belongs to no file, what the heaps have handed out."""
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    resident, anonymous = (int(lines[name].split()[0]) for name in ("VmRSS", "RssAnon"))
    return resident, anonymous, heap.kilobytes()


class Soak:
    """The live path fed at a steady rate."""

    def __init__(self, ours: Ours, texts: list[str], rate: float, leak: float = 0.0) -> None:
        self.ours, self.texts, self.rate = ours, texts, rate
        self.leak, self.leaked = leak, list[bytes]()  # kilobytes an hour, on purpose
        self.sent = 0
        self.sums = np.ones(
            (SEGMENTS_MAX, 2 + len(KINDS))
        )  # of each segment: samples, seconds, kilobytes; claimed now, not as it goes
        self.sums[:] = 0
        self._late = deque[str]()
        self._gone = 0  # segments thrown away
        self._heap = Heap()

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
        while len(self.leaked) * PAGE_BYTES < self.leak * 1024 * at_s / 3600:
            self.leaked.append(b"x" * PAGE_BYTES)
        self.sums[self._segment()] += (1, at_s, *memory_kilobytes(self._heap))

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


def slope_of(seconds: Array, kilobytes: Array) -> Slope:
    """Least squares through means, whose neighbours resemble one another: they count for as many as are independent."""
    x, y = (seconds / 3600).tolist(), kilobytes.tolist()
    line = statistics.linear_regression(x, y)
    left = [b - line.intercept - line.slope * a for a, b in zip(x, y, strict=True)]
    squares = sum(one * one for one in left)
    together = sum(one * two for one, two in itertools.pairwise(left))
    likeness = (
        min(max(together / squares + 4 / len(x), 0.0), LIKENESS_MAX) if squares else 0.0
    )  # a line hides some of it
    counted = len(x) * (1 - likeness) / (1 + likeness)
    freedom = max(counted - 2, 1.0)
    spread = sum((a - statistics.mean(x)) ** 2 for a in x) * counted / len(x)
    half = student(freedom) * math.sqrt(squares / len(x) * counted / freedom / spread)
    return Slope(line.slope, line.slope - half, line.slope + half, likeness)


def student(freedom: float) -> float:
    """The 97.5 % quantile of Student's t."""
    z = statistics.NormalDist().inv_cdf(0.975)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def judged(sums: Array) -> dict[str, Slope]:
    """Each kind of memory, from the segments' means behind the warm-up; the last segment is not whole."""
    means = sums[sums[:, 0] > 0][:-1]
    means = means[:, 1:] / means[:, :1]
    means = means[len(means) // WARM_UP :]
    return {name: slope_of(means[:, 0], means[:, n]) for n, name in enumerate(KINDS, 1)}


def soak(minutes: float, rate: float, leak: float) -> dict[str, Any]:
    frames = load()  # as delivered: cut into even pieces, books would be crossed between two of them, and lost for it
    ours = Ours(frames, time.time_ns)
    ours.feed.hear_up(1)
    gc.collect()
    gc.freeze()
    running = Soak(ours, [one.text for one in frames.frames], rate, leak)
    running.run(minutes * 60)
    counts, repeated = ours.feed.counts, [one.depth.repeated for one in ours.feed.listings.values()]
    events = ours.journal.count
    asyncio.run(ours.close())
    assert not any(counts[name] for name in ("refused", "gaps", "crossed", "stale")), counts
    assert sum(repeated) > 0, "the second connection was heard"
    segments = int((running.sums[:, 0] > 0).sum())
    if segments < SEGMENTS_MIN:
        sys.exit(f"{segments} journal segments are too few to tell: try more --minutes or a higher --rate")
    slopes = judged(running.sums)
    used = running.sums[running.sums[:, 0] > 0]
    return {
        "frames": frames.source,
        "minutes": minutes,
        "messages": running.sent,
        "per_s": round(running.sent / minutes / 60),
        "events": events,
        "segments": segments,
        "planted_kilobytes_per_hour": leak,
        "resident_megabytes": [round(used[n, 2] / used[n, 0] / 1024, 1) for n in (0, -2)],  # of the first, of the last
        "kilobytes_per_hour": {name: [round(value, 1) for value in one[:3]] for name, one in slopes.items()},
        "likeness": {name: round(one.likeness, 2) for name, one in slopes.items()},
        "grows": [name for name, one in slopes.items() if one.grows],
    }


def main() -> None:
    if not STATUS.exists():
        sys.exit("the soak reads resident memory from /proc, which this system does not have")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=5000)
    parser.add_argument("--leak", type=float, default=0, help="kilobytes an hour, on purpose")
    options = parser.parse_args()
    gc.set_threshold(100_000, 50, 100)  # as the command line does
    result = soak(options.minutes, options.rate, options.leak)
    if not options.leak:
        facts.keep("soak", result)
    print(json.dumps(result, indent=1))
    for name, (slope, low, high) in result["kilobytes_per_hour"].items():
        grows = "grows" if name in result["grows"] else "does not grow"
        print(f"{name} memory {grows}: {slope} kB an hour, 95 % within {low} to {high}")
    sys.exit(bool(result["grows"]))


if __name__ == "__main__":
    main()
