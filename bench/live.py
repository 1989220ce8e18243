"""The live path in process, beside ccxt.pro, cryptofeed and python-binance: frames rendered beforehand, equal books first.

    python -m bench.live books [--frames recorded|even|emulated] [--rounds 7]
    python -m bench.live load [--frames even] [--rounds 7]
    python -m bench.live decision [--rate 20000] [--seconds 10]

`books`: a depth message's text -> the book it makes, for each. Ours is the whole path of a live run: the text scanned, two
connections' arbitration, rows and header in the journal, the book, everything the strategy keeps of it, and the decisions
that fall due by the recording's clock. The peers parse and keep a book, nothing else.
`load`: our whole path alone, messages a second and core, prints among them.
`decision`: messages due at a fixed rate by the wall clock; from the moment one is due until it has been decided on.

The first call makes a virtual environment of its own in the cache folder.
"""

import argparse
import asyncio
import gc
import json
import statistics
import sys
import time
from typing import Any

from .peers import in_own_venv

LEVELS = 150  # of each side, compared: what every peer keeps
PERCENTILES = (50, 99, 99.9)


def percentiles(ns: Any) -> dict[str, float]:
    import numpy as np

    return {
        f"p{at:g}_us": round(float(value) / 1e3, 2)
        for at, value in zip(PERCENTILES, np.percentile(ns, PERCENTILES), strict=True)
    }


# --- books ------------------------------------------------------------------------------------------------------
async def once(who: str, frames: Any) -> tuple[Any, float, Any]:
    """One contender through all depth: ns of each message, CPU seconds of all, and the best levels at the end."""
    import numpy as np

    from .live_peers import CONTENDERS, Clock, text_for

    clock = Clock()
    contender = await CONTENDERS[who](frames, clock)
    hear, heard = contender.hear, frames.depth()
    texts = [(one.ts_ns, text_for(contender, one.text)) for one in heard]
    spent = np.zeros(len(texts), np.int64)
    gc.collect()
    began = time.process_time()
    for n, (ts_ns, text) in enumerate(texts):
        clock.ns = ts_ns
        at = time.perf_counter_ns()
        if contender.is_async:
            await hear(text)
        else:
            hear(text)
        spent[n] = time.perf_counter_ns() - at
    cpu_s = time.process_time() - began
    bids, asks = contender.book()
    await contender.close()
    return spent, cpu_s, (sorted(bids.items())[-LEVELS:], sorted(asks.items())[:LEVELS])


async def books(source: str, rounds: int) -> dict[str, Any]:
    from .live_frames import load
    from .live_peers import CONTENDERS, OURS

    frames = load(source)
    found = {who: await once(who, frames) for who in CONTENDERS}
    for who, (_, _, book) in found.items():
        if book != found[OURS][2]:
            sys.exit(f"{who}'s book is not ours: nothing measured")
    ns: dict[str, list[Any]] = {who: [] for who in CONTENDERS}
    for _ in range(rounds):
        for who in CONTENDERS:
            ns[who].append((await once(who, frames))[0])
    texts = [len(one.text) for one in frames.depth()]
    result: dict[str, Any] = {"frames": frames.source, "messages": len(texts), "rounds": rounds}
    result |= {"median_bytes": int(statistics.median(texts)), "equal_levels_a_side": LEVELS}
    for who in CONTENDERS:
        result[who] = _row(ns[who], ns[OURS])
    return result


def _row(theirs: list[Any], ours: list[Any]) -> dict[str, Any]:
    """Medians over the rounds of what each round's messages took, the quietest p99.9, and times ours within a round."""
    rounds = [percentiles(ns) for ns in theirs]
    row = {name: round(statistics.median(one[name] for one in rounds), 2) for name in rounds[0]}
    row["best_p99.9_us"] = min(one["p99.9_us"] for one in rounds)
    for name in ("p50_us", "p99.9_us"):
        ratios = [one[name] / percentiles(other)[name] for one, other in zip(rounds, ours, strict=True)]
        row[f"times_ours_{name[:-3]}"] = round(statistics.median(ratios), 1)
    means = [float(one.mean() / other.mean()) for one, other in zip(theirs, ours, strict=True)]
    row["times_ours_mean"] = round(statistics.median(means), 1)
    return row


# --- load -------------------------------------------------------------------------------------------------------
async def load(source: str, rounds: int) -> dict[str, Any]:
    from .live_frames import load as load_frames
    from .live_peers import Clock, Ours

    frames, clock = load_frames(source), Clock()
    clock.ns = frames.frames[0].ts_ns
    ours = Ours(frames, clock)
    texts, rates = [one.text for one in frames.frames], list[float]()
    for _ in range(rounds + 1):
        ours.rewind()
        before = ours.journal.count
        gc.collect()
        began = time.process_time()
        for text in texts:
            ours.hear(text)
        rates.append(len(texts) / (time.process_time() - began))
        assert ours.journal.count == before + len(texts), "each of them is an event"
        assert ours.feed.counts["refused"] == 0
    await ours.close()
    depth = sum(one.is_depth for one in frames.frames)
    result: dict[str, Any] = {"frames": frames.source, "messages": len(texts), "of_them_depth": depth}
    result["contains"] = "text scanned, arbitration, rows and header in the journal, book, strategy state"
    return result | {"per_s_and_core": int(statistics.median(rates[1:])), "best": int(max(rates[1:]))}


# --- decision -----------------------------------------------------------------------------------------------------
async def decision(source: str, rate: float, seconds: float) -> dict[str, Any]:
    """Late by what came before counts: a message's time begins when it is due."""
    import numpy as np

    from .live_frames import load as load_frames
    from .live_peers import Ours

    frames = load_frames(source)
    ours, pc = Ours(frames, time.time_ns), time.perf_counter_ns
    texts, gap_ns = [one.text for one in frames.frames], 1e9 / rate
    late, spent = list[Any](), list[Any]()
    gc.collect()
    gc.freeze()
    for _ in range(max(1, round(seconds * rate / len(texts))) + 1):
        ours.rewind()
        due, done, began = np.zeros(len(texts)), np.zeros(len(texts)), np.zeros(len(texts))
        start = pc() + 1_000_000
        for n, text in enumerate(texts):
            due[n] = at = start + n * gap_ns
            while pc() < at:
                pass
            began[n] = pc()
            ours.hear(text)
            done[n] = pc()
        late.append(done - due)
        spent.append(done - began)
        ours.journal.seal()
    verdicts = int(ours.sequencer.trader["verdicts"].sum())
    await ours.close()
    result: dict[str, Any] = {"frames": frames.source, "per_s": rate, "messages": len(texts) * (len(late) - 1)}
    result |= {"from_due": percentiles(np.concatenate(late[1:])), "from_begun": percentiles(np.concatenate(spent[1:]))}
    return result | {"decisions": verdicts}


def main() -> None:
    in_own_venv("bench.live", "live")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["books", "load", "decision"])
    parser.add_argument("--frames", choices=["recorded", "even", "emulated"], default="even")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rate", type=float, default=20_000)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    from . import facts

    gc.set_threshold(100_000, 50, 100)  # as the command line does
    if options.what == "books":
        result = asyncio.run(books(options.frames, options.rounds))
    elif options.what == "load":
        result = asyncio.run(load(options.frames, options.rounds))
    else:
        result = asyncio.run(decision(options.frames, options.rate, options.seconds))
    facts.keep(f"live {options.what} {options.frames}", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
