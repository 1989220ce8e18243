"""One pass over a frame's bytes gives the events that reading it as JSON gives, and takes nothing that would be refused."""

import json
import random
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_trading_system.core.kinds import Kind
from elegant_trading_system.core.schema import LEVEL
from elegant_trading_system.data.decimals import Grid
from elegant_trading_system.data.journal import Journal
from elegant_trading_system.data.tape import ListingSpec
from elegant_trading_system.data.universe import build
from elegant_trading_system.shell.binance.feed import BinanceFeed, Listing
from elegant_trading_system.shell.binance.futures_feed import BinanceFuturesFeed
from elegant_trading_system.shell.binance.scan import FRAME_BYTES_MAX, UNUSUAL, scan, symbols_of
from elegant_trading_system.shell.sequencer import Sequencer

from ..builders import loose
from .desk import Clock

Frame = str | bytes
STEPS = [("BTCUSDT", "0.01", "0.00001"), ("ETHUSDT", "0.25", "0.003"), ("BTCUSD", "5", "1")]
TEXT = np.zeros(FRAME_BYTES_MAX + 1, np.uint8)
GRIDS = [(name, Grid.of(Decimal(tick), Decimal(lot))) for name, tick, lot in STEPS]
TABLE = symbols_of([(n, *one) for n, one in enumerate(GRIDS)])
SNAPSHOT = b'{"lastUpdateId":100,"bids":[["50.00","3.00000"]],"asks":[["55.00","3.00000"]]}'


# --- frames ---------------------------------------------------------------------------------------------------
def depth(first: int, last: int, bids: Any, asks: Any, symbol: str = "BTCUSDT") -> dict[str, Any]:
    return {"e": "depthUpdate", "E": 1723161255208, "s": symbol, "U": first, "u": last, "b": bids, "a": asks}


def trade(number: int, price: str, quantity: str, is_maker: bool, symbol: str = "BTCUSDT") -> dict[str, Any]:
    stamps = {"T": 1723161255342, "m": is_maker, "M": True}
    return {"e": "trade", "E": 1723161255343, "s": symbol, "t": number, "p": price, "q": quantity} | stamps


def framed(data: dict[str, Any], separators: tuple[str, str] = (",", ":")) -> bytes:
    kind = "depth@100ms" if data.get("e") == "depthUpdate" else "trade"
    stream = f"{data.get('s', 'x')}".lower()
    return json.dumps({"stream": f"{stream}@{kind}", "data": data}, separators=separators).encode()


USUAL_PRICES = st.builds(
    "{}.{}000000".format, st.integers(1, 14_000).map(lambda n: 5 * n), st.sampled_from(["00", "00", "50"])
)
USUAL_SIZES = st.integers(0, 10**6).map(lambda n: f"{3 * n}.00000000")
ODD_NUMBERS = st.sampled_from(
    ["0", "0.00", "1", "007.50", "5.", ".5", ".", "", "-1", "1e3", "1.005", "1.0000000000000000001", "9" * 18, "9" * 19, "9" * 40, "1.2.3", "NaN", "٣", "5 ", " 5", '1"', "1\\"]
)  # fmt: skip
PRICES = st.integers(0, 9).flatmap(lambda n: ODD_NUMBERS if n == 9 else USUAL_PRICES)
SIZES = st.integers(0, 9).flatmap(lambda n: ODD_NUMBERS if n == 9 else USUAL_SIZES)
LISTS = st.lists(st.tuples(USUAL_PRICES, USUAL_SIZES).map(list), max_size=6)
ODD_LISTS = st.lists(st.lists(st.one_of(PRICES, SIZES), min_size=1, max_size=3), max_size=3)
SYMBOLS = st.sampled_from(["BTCUSDT"] * 6 + ["ETHUSDT"] * 2 + ["BTCUSD", "BTC", "OTHER"])
EXTRAS: list[tuple[str, Any]] = [
    ("T", 1723161255341), ("pu", 99), ("X", "MARKET"), ("X", 'a"b'), ("x", [1, {"y": None}]), ("T", "late"), ("E", -1),
    ("E", 2**43), ("E", 1.0), ("E", 0), ("u", 10**18), ("u", 10**25), ("t", 7.5), ("m", None), ("b", None), ("a", 17), ("s", "X\\"), ("e", "aggTrade"),
]  # fmt: skip


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """What the venue might say, and what it never would."""
    symbol, first = draw(SYMBOLS), draw(st.integers(98, 106))
    if draw(st.booleans()):
        lists = ODD_LISTS if draw(st.integers(0, 9)) == 9 else LISTS
        data = depth(first, first + draw(st.integers(-1, 3)), draw(lists), draw(lists), symbol)
    else:
        data = trade(first, draw(PRICES), draw(SIZES), draw(st.booleans()), symbol)
    if data["e"] == "depthUpdate" and draw(st.booleans()):
        data["pu"] = draw(st.sampled_from([first - 1, first - 2, 100, first, -1]))
        data["b"], data["a"] = data.pop("b"), data.pop("a")  # behind it
    if data["e"] == "trade" and draw(st.booleans()):
        data["X"] = draw(st.sampled_from(["MARKET", "MARKET", "INSURANCE_FUND"]))
        data["T"], data["m"] = data.pop("T"), data.pop("m")
    for key, value in draw(st.lists(st.sampled_from(EXTRAS), max_size=2)) if draw(st.integers(0, 9)) > 7 else ():
        data[key] = value
    keys = list(data)
    if draw(st.integers(0, 9)) == 9:
        keys = draw(st.permutations(keys))
    elif draw(st.integers(0, 3)) == 3 and "T" in data:  # where futures have it
        keys.remove("T")
        keys.insert(2, "T")
    if draw(st.integers(0, 19)) == 19:
        keys.remove(draw(st.sampled_from(keys)))
    spaced = draw(st.sampled_from([(",", ":")] * 15 + [(", ", ": ")]))
    return framed({key: data[key] for key in keys}, spaced)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    frame = draw(messages())
    if draw(st.integers(0, 3)) == 3:
        frame = mutated(random.Random(draw(st.integers(0, 2**32))), frame)
    if draw(st.booleans()):
        return frame.decode(errors="surrogateescape")
    return frame


def mutated(chance: random.Random, frame: bytes) -> bytes:
    """Bits turned, bytes lost, doubled, cut off or put in, once or a few times."""
    changed = bytearray(frame)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.randrange(len(changed) + 1)
        way = chance.randrange(6)
        if way == 0 and at < len(changed):
            changed[at] ^= 1 << chance.randrange(8)
        elif way == 1:
            del changed[at : at + chance.choice((1, 1, 2, 5, 1000))]
        elif way == 2:
            changed[at:at] = chance.choice(
                (b"0", b"9", b".", b'"', b"\\", b",", b" ", b"\n", b"}", b"]", b"\0", b"\xff")
            )
        elif way == 3:
            changed[at:at] = changed[at : at + chance.randrange(1, 40)]
        elif way == 4 and at < len(changed):
            changed[at] = chance.randrange(256)
        else:
            changed[at:at] = chance.choice(
                (b',"T":5', b',"E":5', b',"u":103', b',"M":true', b'["1","1"],', b"1e2", b"-")
            )
    return bytes(changed)


# --- two feeds ------------------------------------------------------------------------------------------------
class Ear(NamedTuple):
    """A sequencer and what it is told; `reads_json` has no short way."""

    sequencer: Sequencer
    reads_json: bool
    made: type[BinanceFeed] = BinanceFeed

    def feed(self) -> BinanceFeed:
        """A new one: nothing is left of the frames before."""
        listings = [Listing(n, name, grid) for n, (name, grid) in enumerate(GRIDS)]
        feed = self.made(self.sequencer, listings, lambda _symbol: None)
        if self.reads_json:
            feed._read = lambda connection, frame: 0
        for connection in (0, 1):
            feed.hear_up(connection)
        for name, _ in GRIDS:
            assert feed.hear_snapshot(name, SNAPSHOT)
        return feed

    def hear(self, heard: Sequence[tuple[int, Frame]]) -> tuple[list[Any], Any]:
        """The events these frames make, and where that leaves the feed."""
        feed, journal = self.feed(), self.sequencer.journal
        begin = journal.position
        for connection, frame in heard:
            feed.hear(connection, frame)
        del feed.counts["read_as_json"]
        streams = [(one.depth.__dict__, one.trades.__dict__) for one in feed.listings.values()]
        return [event_of(journal, packet) for packet in journal.packets[begin : journal.position]], (
            feed.counts, [[{key: str(value) for key, value in stream.items()} for stream in pair] for pair in streams],
        )  # fmt: skip


def event_of(journal: Journal, packet: Any) -> tuple[Any, ...]:
    begin = int(packet["level_begin"])
    end = begin + int(packet["buy_count"] + packet["sell_count"])
    names = [name for name in packet.dtype.names if name not in ("seq", "level_begin")]
    return (*(int(packet[name]) for name in names), *journal.rows[begin:end].tolist())


@pytest.fixture(scope="module")
def ears(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ear, Ear]]:
    specs = [
        ListingSpec(
            venue="binance", symbol=f"{name[:3]}/{name[3:]}", kind="spot", base=name[:3], quote=name[3:], settle=name[3:],
            tick_size=Decimal(tick), lot_size=Decimal(lot),
        )
        for name, tick, lot in STEPS
    ]  # fmt: skip
    found = []
    for reads_json in (False, True):
        kept = Journal(tmp_path_factory.mktemp("ear") / "journal")
        found.append(Ear(Sequencer(build(specs, loose()), loose(), kept, Clock(), lambda _command: None), reads_json))
    yield found[0], found[1]
    for ear in found:
        ear.sequencer.journal.close()


HEARD = st.lists(st.tuples(st.integers(0, 1), frames()), min_size=1, max_size=8)


@pytest.mark.spec("M1", "M2")
@given(heard=HEARD)
def test_any_frames_give_the_events_that_their_json_gives(
    ears: tuple[Ear, Ear], heard: list[tuple[int, Frame]]
) -> None:
    assert ears[0].hear(heard) == ears[1].hear(heard)


@pytest.mark.spec("M2")
@pytest.mark.parametrize("made", [BinanceFeed, BinanceFuturesFeed])
def test_damaged_frames_give_the_events_that_their_json_gives(ears: tuple[Ear, Ear], made: type[BinanceFeed]) -> None:
    compare_damaged((ears[0]._replace(made=made), ears[1]._replace(made=made)), seed=11, rounds=300)


@pytest.mark.drill
@pytest.mark.parametrize("made", [BinanceFeed, BinanceFuturesFeed])
def test_a_million_damaged_frames_give_the_events_that_their_json_gives(
    ears: tuple[Ear, Ear], made: type[BinanceFeed]
) -> None:
    compare_damaged((ears[0]._replace(made=made), ears[1]._replace(made=made)), seed=12, rounds=90_000)


def compare_damaged(ears: tuple[Ear, Ear], seed: int, rounds: int) -> None:
    chance = random.Random(seed)
    for _ in range(rounds):
        is_chained = ears[0].made is BinanceFuturesFeed
        good = [framed(chained(data) if is_chained else data) for data in run_of(chance)]
        heard = [(chance.randrange(2), mutated(chance, frame) if chance.random() < 0.4 else frame) for frame in good]
        assert ears[0].hear(heard) == ears[1].hear(heard), heard


def chained(data: dict[str, Any]) -> dict[str, Any]:
    """As futures have it."""
    if data["e"] == "trade":
        return data | {"X": "MARKET", "m": data.pop("m"), "M": data.pop("M")}
    return data | {"pu": data["U"] - 1, "b": data.pop("b"), "a": data.pop("a")}


def run_of(chance: random.Random) -> Iterator[dict[str, Any]]:
    """Some messages in order."""
    update, number = 101, 500

    def rows() -> list[list[str]]:
        count = chance.choice((0, 1, 2, 9))
        return [[f"{chance.randrange(1, 9000)}.{chance.choice(('00', '25', '07'))}000000", f"{chance.randrange(9)}.00300000"] for _ in range(count)]  # fmt: skip

    for _ in range(12):
        symbol, _, _ = chance.choice(STEPS)
        if chance.random() < 0.6:
            last = update + chance.randrange(3)
            yield depth(update, last, rows(), rows(), "BTCUSDT")
            update = last + 1
        else:
            yield trade(number, "61837.50000000", "0.00300000", chance.random() < 0.5, symbol)
            number += 1


# --- the usual form ---------------------------------------------------------------------------------------------
def scanned(frame: Frame, room: int = 100, *, is_chained: bool = False) -> tuple[Any, list[Any]]:
    """What is behind the frame is still what was there before."""
    rows, data = np.zeros(room, LEVEL), np.frombuffer(frame.encode() if isinstance(frame, str) else frame, np.uint8)
    TEXT[: len(data)] = data
    found = scan(TEXT, len(data), TABLE, rows, 2, int(is_chained))
    return found, rows[2 : 2 + found[4] + found[5]].tolist()


@pytest.mark.uncompiled
def test_what_the_venue_always_sends_needs_no_json() -> None:
    data = depth(101, 104, [["61837.64000000", "1.54698000"], ["1.00", "0"]], [["61839.85000000", "0.00000000"]])
    rows = [(6183764, 154698), (100, 0), (6183985, 0)]
    assert scanned(framed(data)) == ((Kind.DEPTH, 0, 101, 104, 2, 1, 1723161255208), rows)
    assert scanned(framed(data).decode()) == scanned(framed(data))
    assert scanned(framed(depth(5, 5, [], [], "BTCUSD"))) == ((Kind.DEPTH, 2, 5, 5, 0, 0, 1723161255208), [])
    bought = framed(trade(9, "61837.25000000", "0.01200000", is_maker=False, symbol="ETHUSDT"))
    assert scanned(bought) == ((Kind.TRADE, 1, 9, 9, 1, 0, 1723161255342), [(247349, 4)])
    assert scanned(bought.replace(b"false", b"true"))[0][4:6] == (0, 1)


@pytest.mark.uncompiled
def test_the_futures_form_is_chained_by_what_it_follows() -> None:
    diff = framed(chained(depth(101, 104, [["61837.50", "0.012"]], []))).replace(b',"s"', b',"T":17,"s"')
    found = (Kind.DEPTH, 0, 101, 104, 1, 0, 1723161255208), [(6183750, 1200)]
    assert scanned(diff, is_chained=True) == found
    assert scanned(diff.replace(b'"pu":100', b'"pu":7'), is_chained=True)[0][2:4] == (8, 104)
    for odd in (
        diff.replace(b'"pu":100', b'"pu":101'),
        diff.replace(b'"pu":100', b'"pu":-1'),
        diff.replace(b'"pu":100,', b""),
    ):
        assert scanned(odd, is_chained=True)[0] == UNUSUAL
    head, tail = b'{"stream":"x","data":{"e":"trade","E":18,"T":17,"s":"BTCUSDT"', b',"X":"MARKET","m":false}}'
    bought = head + b',"t":3,"p":"2.5","q":"1"' + tail
    assert scanned(bought, is_chained=True) == ((Kind.TRADE, 0, 3, 3, 1, 0, 17), [(250, 100000)])
    assert scanned(bought.replace(b"MARKET", b"INSURANCE_FUND"), is_chained=True)[0] == UNUSUAL


@pytest.mark.uncompiled
@pytest.mark.parametrize(
    "before, behind",
    [
        (b'"61837.64000000"', b'"61837.64000001"'), (b'"1.54698000"', b'"1.546981"'), (b'"61837.64000000"', b'"0.00"'),
        (b'"1.54698000"', b'"-1"'), (b'"1.54698000"', b'"1e1"'), (b'"1.54698000"', b'"99999999999999.0"'),
        (b'"1.54698000"', b"1.5"), (b'"1.54698000"', b'""'), (b'"U":101', b'"U":0101'), (b'"U":101', b'"U":105'),
        (b'"U":101', b'"U":-1'), (b'"U":101', b'"U":1.0'), (b'"u":104', b'"u":1040000000000000000000'),
        (b'"E":1723161255208', b'"E":8796093022208'), (b'"s":"BTCUSDT"', b'"s":"OTHER"'), (b'"s":"BTCUSDT"', b'"s":"BTCUSDTX"'),
        (b'"s":"BTCUSDT"', b'"s":"BTC"'), (b"depthUpdate", b"depth"), (b"@depth", b"\\u0040depth"), (b"}}", b"}}\n"), (b"}}", b"}"),
        (b"}}", b',"x":1}}'), (b'"a":', b'"c":'), (b"],[", b",["), (b"]]", b"],]"), (b'{"stream":"btcusdt@depth@100ms","data":', b""),
    ],
)  # fmt: skip
def test_anything_else_is_left_to_the_reader_of_json(before: bytes, behind: bytes) -> None:
    frame = framed(depth(101, 104, [["61837.64000000", "1.54698000"], ["1.00", "0"]], []))
    assert scanned(frame)[0][0] == Kind.DEPTH
    assert before in frame
    assert scanned(frame.replace(before, behind, 1))[0] == UNUSUAL


def test_a_frame_cut_off_anywhere_is_not_finished_by_the_one_before_it() -> None:
    frame = framed(depth(101, 104, [["61837.64000000", "1.54698000"]], [["61839.85000000", "0.00000000"]]))
    for length in range(len(frame)):
        assert scanned(frame)[0][0] == Kind.DEPTH
        assert scanned(frame[:length])[0] == UNUSUAL


def test_a_frame_without_room_for_its_rows_is_left_alone() -> None:
    frame = framed(depth(101, 104, [["61837.64000000", "1.54698000"]] * 4, [["61839.85000000", "0"]] * 4))
    assert scanned(frame, room=2 + 8)[0][0] == Kind.DEPTH
    assert scanned(frame, room=2 + 7)[0] == UNUSUAL


def test_a_frame_longer_than_any_is_left_to_the_reader_of_json(ears: tuple[Ear, Ear]) -> None:
    feed = ears[0].feed()
    feed.hear(0, b" " * (1 << 19))
    assert (feed.counts["read_as_json"], feed.counts["refused"]) == (1, 1)


@pytest.mark.spec("M1")
def test_a_copy_and_a_message_behind_a_hole_leave_nothing_in_the_journal(tmp_path: Path, ears: tuple[Ear, Ear]) -> None:
    ear = ears[0]
    feed, journal = ear.feed(), ear.sequencer.journal
    frame = [framed(depth(n, n, [[f"{n}.00", "1"]], [])) for n in range(101, 105)]
    before = journal.count, journal.begin(0)
    feed.hear(0, frame[0])
    after = before[0] + 1, before[1] + 1
    assert (journal.count, journal.begin(0)) == after
    feed.hear(1, frame[0])  # the copy
    feed.hear(0, frame[2])  # behind a hole
    assert (journal.count, journal.begin(0)) == after
    assert feed.listings["BTCUSDT"].depth.repeated == 1
    assert feed.counts["read_as_json"] == 1
    feed.hear(1, frame[1])
    assert (journal.count, journal.begin(0)) == (before[0] + 3, before[1] + 3)
