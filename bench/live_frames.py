"""What the live path is measured on: frames of Binance Spot as a socket delivers them, rendered beforehand.

Recorded ones where a recording lies (ETS_SHARED_DATA names the folder), otherwise the emulated venue's.
"""

import gzip
import itertools
import os
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec

from elegant_trading_system.core.schema import NS_PER_S
from elegant_trading_system.data.tape import ListingSpec
from elegant_trading_system.emulator.binance.spot import BinanceSpot
from elegant_trading_system.emulator.market import SimulatedMarket

SHARED_DATA = Path(os.environ.get("ETS_SHARED_DATA") or Path(__file__).parent.parent.parent / "shared" / "data")
RECORDING = SHARED_DATA / "hftbacktest-20240808" / "spot_btcusdt_20240808.gz"
SYMBOL = "BTCUSDT"
STREAMS = "btcusdt@depth@100ms/btcusdt@trade"
EMULATED_S = 300
STEP_NS = NS_PER_S // 10


class Frame(NamedTuple):
    ts_ns: int
    text: str  # of a combined connection
    is_depth: bool


class Frames(NamedTuple):
    source: str
    spec: ListingSpec
    snapshot: bytes  # the REST answer; everything in it is older than the first depth message
    frames: list[Frame]

    def depth(self) -> list[Frame]:
        return [frame for frame in self.frames if frame.is_depth]


def load(source: str = "") -> Frames:
    """`recorded`, `emulated`, or the first of them that there is; `even`: 20 changes a message."""
    if source == "even":
        return evened(load())
    if source == "recorded" or (not source and RECORDING.exists()):
        return recorded()
    return emulated()


def raw(text: str) -> str:
    """The same message as a connection to one stream delivers it."""
    return text[text.index('"data":') + 7 : -1]


def recorded() -> Frames:
    snapshot, found = b"", list[Frame]()
    with gzip.open(RECORDING) as file:
        for line in file:
            stamp, _, text = line.rstrip().partition(b" ")
            if text.startswith(b'{"lastUpdateId"'):
                snapshot = text
            elif b"@bookTicker" not in text:
                found.append(Frame(int(stamp), text.decode(), b"@depth" in text))
    return Frames("recorded", _spec("0.01", "0.00001"), snapshot, _behind(snapshot, found))


def emulated(seconds: int = EMULATED_S) -> Frames:
    market = SimulatedMarket(["BTC"], 1, venues=["binance"])
    market.live_through(2)
    now_ns = 1_760_000_000 * NS_PER_S
    venue = BinanceSpot(market.exchanges["binance"], {}, lambda: now_ns)
    market.begin(now_ns)
    found = list[Frame]()
    venue.streams.open_market(
        lambda text: found.append(Frame(now_ns, text, "@depth" in text)), "/stream", STREAMS
    )  # fmt: skip
    snapshot = venue.http("GET", "/api/v3/depth", f"symbol={SYMBOL}&limit=1000", "", {}).body
    for _ in range(seconds * NS_PER_S // STEP_NS):
        now_ns += STEP_NS
        for name, events in market.advance(now_ns).items():
            assert name == "binance"
            venue.streams.publish(events)
        venue.streams.flush_depth()
    [instrument] = market.exchanges["binance"].instruments.values()
    return Frames("emulated", _spec(str(instrument.tick), str(instrument.lot)), snapshot, _behind(snapshot, found))


def evened(whole: Frames, changes: int = 20) -> Frames:
    """The same changes in the same order, so many to a message, and a print behind every second message."""
    rows = list[tuple[int, str, list[str]]]()
    for frame in whole.depth():
        data = msgspec.json.decode(frame.text)["data"]
        rows += [(frame.ts_ns, side, row) for side in "ba" for row in data[side]]
    trades = itertools.cycle([frame.text for frame in whole.frames if not frame.is_depth])
    found, last_id = list[Frame](), int(msgspec.json.decode(whole.snapshot)["lastUpdateId"])
    for number, begin in enumerate(range(0, len(rows), changes)):
        part = rows[begin : begin + changes]
        ts_ns, first, last_id = part[-1][0], last_id + 1, last_id + len(part)
        sides = {side: [row for _, of, row in part if of == side] for side in "ba"}
        data = {"e": "depthUpdate", "E": ts_ns // 10**6, "s": SYMBOL, "U": first, "u": last_id, **sides}
        text = msgspec.json.encode({"stream": "btcusdt@depth@100ms", "data": data}).decode()
        found.append(Frame(ts_ns, text, is_depth=True))
        if number % 2:
            found.append(Frame(ts_ns, _renumbered(next(trades), number), is_depth=False))
    return whole._replace(source=f"{whole.source}, {changes} changes a message", frames=found)


def _renumbered(trade: str, number: int) -> str:
    begin = trade.index('"t":') + 4
    return trade[:begin] + str(1 + number // 2) + trade[trade.index(",", begin) :]


def _spec(tick: str, lot: str) -> ListingSpec:
    return ListingSpec(
        venue="binance", symbol="BTC/USDT", kind="spot", base="BTC", quote="USDT", settle="USDT",
        tick_size=Decimal(tick), lot_size=Decimal(lot),
    )  # fmt: skip


def _behind(snapshot: bytes, frames: list[Frame]) -> list[Frame]:
    """Without depth that the snapshot holds already."""
    last_id = msgspec.json.decode(snapshot)["lastUpdateId"]
    return [one for one in frames if not one.is_depth or msgspec.json.decode(one.text)["data"]["u"] > last_id]
