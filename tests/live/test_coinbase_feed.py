"""Coinbase's channels over two connections: the venue's book and every print once, whatever is lost on the way."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from elegant_trading_system.core.kinds import BookState, Kind, Side
from elegant_trading_system.core.schema import LEVEL
from elegant_trading_system.data import journal
from elegant_trading_system.data.decimals import Grid
from elegant_trading_system.shell.coinbase.feed import Listing
from tests.shared_data import shared_data

from ..builders import loose
from .coinbase_desk import CoinbaseOutside, CoinbaseVenue
from .desk import Clock
from .test_outside import events, shake, state_of


@pytest.fixture
def venue() -> CoinbaseVenue:
    return CoinbaseVenue(Clock())


@pytest.fixture
def outside(venue: CoinbaseVenue, tmp_path: Path) -> Iterator[CoinbaseOutside]:
    made = CoinbaseOutside(venue, loose(), tmp_path)
    yield made
    made.journal.close()


def live_book(venue: CoinbaseVenue) -> Any:
    return venue.exchange.books["BTC-USD"].sides


def let_pass(venue: CoinbaseVenue, outside: CoinbaseOutside, seconds: float) -> None:
    """Time passes and the venue speaks; what the feed says is carried to it."""
    for _ in range(round(seconds * 10)):
        venue.clock.pass_ms(100)
        venue.flush()
        outside.feed.check_holes(venue.clock())
        outside.carry()


class Losing:
    """Loses frames by chance, and remembers which of them mattered to the book."""

    def __init__(self, share: float, chance: random.Random) -> None:
        self.share, self.chance, self.lost = share, chance, 0

    def __call__(self, frame: str) -> bool:
        is_lost = self.chance.random() < self.share
        self.lost += is_lost
        return not is_lost


@pytest.mark.spec("M2", "M3")
@pytest.mark.parametrize("shares", [(0.05, 0.0), (0.0, 0.05), (0.05, 0.05), (0.2, 0.2)], ids=str)
def test_whatever_either_connection_loses_a_live_book_is_the_venue_s(
    venue: CoinbaseVenue, outside: CoinbaseOutside, shares: tuple[float, float]
) -> None:
    chance = random.Random(11)
    losing = [Losing(share, chance) for share in shares]
    for connection in (0, 1):
        outside.listen(connection, losing[connection])
    compared = 0
    for n in range(1200):
        shake(venue, n, chance)
        outside.feed.check_holes(venue.clock())
        outside.carry()
        leader = outside.listing.leader
        if n % 2 and leader >= 0 and outside.feed.connections[leader].next == outside.sessions[leader].sequence:
            assert outside.book() == live_book(venue), f"after {n} moves"
            compared += 1
    for one in losing:
        one.share = 0.0
    let_pass(venue, outside, 10)
    assert state_of(outside) is BookState.LIVE
    assert outside.book() == live_book(venue)
    assert compared > (150 if max(shares) < 0.1 else 5)
    assert outside.feed.counts["refused"] == 0
    if 0.0 in shares:
        assert sum(one.lost for one in losing) > 20, "the test loses enough to mean something"
        assert outside.feed.counts["gaps"] == 0, "what one lost the other had"
        assert outside.feed.counts["taken_over"] == (shares[0] > 0), "and leads from then on"
    else:
        assert outside.feed.counts["gaps"] > 0


@pytest.mark.spec("M3")
def test_a_hole_hands_the_book_over_and_only_the_faulty_connection_asks_anew(
    venue: CoinbaseVenue, outside: CoinbaseOutside
) -> None:
    dropped = iter([True])
    outside.listen(0, lambda frame: '"update"' not in frame or '"l2_data"' not in frame or not next(dropped, False))
    outside.listen(1)
    let_pass(venue, outside, 3)
    assert outside.listing.leader == 0
    venue.depth([(600_000, 7)])
    venue.flush()
    assert outside.book() == live_book(venue) or outside.listing.leader == 0, "the lost one is not yet missed"
    venue.depth([(599_999, 8)])
    venue.flush()
    assert outside.listing.leader == 1
    assert outside.book() == live_book(venue)
    assert {connection for connection, _ in outside.said} == {0}
    asked = [json.loads(frame) for _, frame in outside.said]
    assert [(frame["type"], frame["channel"]) for frame in asked] == [
        (kind, channel) for channel in ("level2", "market_trades") for kind in ("unsubscribe", "subscribe")
    ]
    outside.carry()
    assert len(events(outside, Kind.SNAPSHOT)) == 1, "the core saw a difference, no new book"
    outside.hang_up(1)
    assert (outside.listing.leader, state_of(outside)) == (0, BookState.LIVE)
    assert outside.book() == live_book(venue)
    assert outside.feed.counts["gaps"] == 0


@pytest.mark.spec("M3")
def test_without_a_sound_connection_the_book_is_a_gap_until_one_has_its_snapshot(
    venue: CoinbaseVenue, outside: CoinbaseOutside
) -> None:
    outside.listen(0)
    let_pass(venue, outside, 3)
    outside.feed.connections[0].next -= 1  # as if a frame before had not come
    venue.depth([(600_000, 9)])
    venue.flush()
    assert state_of(outside) is BookState.GAP
    venue.depth([(600_000, 11)])
    venue.flush()
    assert state_of(outside) is BookState.GAP, "changes alone do not mend it"
    outside.carry()
    assert state_of(outside) is BookState.LIVE
    assert outside.book() == live_book(venue)
    outside.hang_up(0)
    assert state_of(outside) is BookState.GAP
    outside.listen(0)
    assert (state_of(outside), outside.book()) == (BookState.LIVE, live_book(venue))


@pytest.mark.spec("M3")
def test_a_connection_that_falls_silent_leads_no_longer_and_heartbeats_are_life(
    venue: CoinbaseVenue, outside: CoinbaseOutside
) -> None:
    quiet: set[int] = set()
    for connection in (0, 1):
        outside.listen(connection, lambda _frame, connection=connection: connection not in quiet)  # type: ignore[misc]
    let_pass(venue, outside, 10)
    assert (outside.listing.leader, state_of(outside)) == (0, BookState.LIVE), "nothing moved, but hearts beat"
    quiet.add(0)
    venue.depth([(600_000, 7)])
    let_pass(venue, outside, 4)
    assert outside.feed.is_silent(0)
    assert (outside.listing.leader, outside.book()) == (1, live_book(venue))
    quiet.add(1)
    let_pass(venue, outside, 4)
    assert state_of(outside) is BookState.GAP
    quiet.clear()
    let_pass(venue, outside, 4)
    assert state_of(outside) is BookState.LIVE
    assert outside.book() == live_book(venue)


@pytest.mark.spec("M2")
def test_copies_of_frames_change_nothing(venue: CoinbaseVenue, outside: CoinbaseOutside) -> None:
    heard: list[str] = []
    outside.sessions[0] = outside.coinbase.streams.open(heard.append)
    outside.feed.hear_up(0)
    outside.carry()
    for n in range(30):
        venue.depth([(600_000 - n % 3, 5 + n)])
        let_pass(venue, outside, 0.1)
        for frame in [*heard, *heard[-3:], *heard[:2]]:
            outside.feed.hear(0, frame)
        heard[:-5] = []
        assert outside.book() == live_book(venue)
    assert outside.feed.counts["repeated"] > 60
    assert (outside.feed.counts["holes"], outside.feed.counts["gaps"]) == (0, 0)


@pytest.mark.spec("M2")
def test_every_print_is_heard_once_by_its_aggressor_though_both_tell_it_and_snapshots_repeat_it(
    venue: CoinbaseVenue, outside: CoinbaseOutside
) -> None:
    chance = random.Random(3)
    for _ in range(5):
        venue.trade(600_000, 9000, Side.SELL)
        venue.clock.pass_ms(2000)
    venue.flush()
    for connection in (0, 1):
        outside.listen(connection, Losing(0.1, chance))
    printed = [(Side.SELL, (600_000, 9000))] * 2  # of four seconds ago; older ones are no news
    for n in range(200):
        printed.append((chance.choice([Side.BUY, Side.SELL]), (600_000 + n % 2, 1 + n)))
        venue.trade(*printed[-1][1], printed[-1][0])
        let_pass(venue, outside, 0.1)
    let_pass(venue, outside, 5)
    told = []
    for packets, rows in journal.read(outside.journal.folder):
        for packet in packets[packets["kind"] == Kind.TRADE]:
            side = Side.BUY if packet["buy_count"] else Side.SELL
            told.append((side, rows[int(packet["level_begin"])].tolist()))
    assert sorted(told) == sorted(printed)
    assert outside.feed.counts["repeated_trades"] > 100


def l2(
    number: int, updates: str, product: str = "BTC-USD", kind: str = "update", stamp: str = "2026-09-30T02:39:53Z"
) -> bytes:
    event = f'{{"type":"{kind}","product_id":"{product}","updates":[{updates}]}}'
    return f'{{"channel":"l2_data","timestamp":"{stamp}","sequence_num":{number},"events":[{event}]}}'.encode()


def row(side: str = "bid", price: str = "59999.9", size: str = "5", stamp: str = "2026-09-30T02:39:53Z") -> str:
    return f'{{"side":"{side}","event_time":"{stamp}","price_level":"{price}","new_quantity":"{size}"}}'


def prints(number: int, **change: str) -> bytes:
    trade = {"product_id": "BTC-USD", "trade_id": "77", "price": "60000", "size": "0.5", "time": "2026-09-30T02:39:53Z"}
    trade |= {"side": "BUY"} | change
    return (
        f'{{"channel":"market_trades","timestamp":"2026-09-30T02:39:53Z","sequence_num":{number},'
        f'"events":[{{"type":"update","trades":[{json.dumps(trade)}]}}]}}'
    ).encode()


NONSENSE = [
    b"", b"{", b"[]", b"null", b"17", b"{}", b"\xff\xfe", b"[" * 10_000, b'{"channel":"l2_data"}', b'{"channel":7}',
    b'{"channel":"l2_data","sequence_num":"5","events":[]}', b'{"channel":"heartbeats","sequence_num":-1,"events":[]}',
    b'{"channel":"l2_data","sequence_num":5,"events":[{"type":"update","product_id":"BTC-USD","updates":[{}]}]}',
    l2(5, row("ask")), l2(5, row(price="x")), l2(5, row(price="-1")), l2(5, row(price="59999.95")), l2(5, row(price="0")),
    l2(5, row(size="")), l2(5, row(size="99999999999999999999")), l2(5, row(size="1e3")), l2(5, row(stamp="soon")),
    l2(5, row(), kind="gossip"), l2(5, row() + "," + row("bid", "NaN")), l2(5, row(stamp="9999-01-01T00:00:00Z")),
    l2(5, row(price='1\\",\\"1\\"],[\\"2')), l2(5, row(stamp=""), stamp="now"),
    prints(5, side="UP"), prints(5, trade_id="x"), prints(5, trade_id="-3"), prints(5, trade_id="9" * 30), prints(5, time="x"),
    prints(5, price="1e3"), prints(5, size="-1"), prints(5, trade_id="\u0663"), prints(5, time="2026-09-30T02:39:53"),
]  # fmt: skip


@pytest.mark.parametrize("frame", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_counted_and_changes_nothing(venue: CoinbaseVenue, outside: CoinbaseOutside, frame: bytes) -> None:
    outside.listen(0)
    number = outside.sessions[0].sequence
    before = outside.journal.count, outside.book(), outside.feed.connections[0].next
    outside.feed.hear(0, frame.replace(b'"sequence_num":5', b'"sequence_num":%d' % number))
    assert outside.feed.counts["refused"] == 1
    assert (outside.journal.count, outside.book(), outside.feed.connections[0].next) == before
    venue.depth([(599_999, 77)])
    venue.flush()
    assert outside.book() == live_book(venue), "and the next good frame is understood"


@pytest.mark.spec("M3")
def test_a_frame_of_the_venue_s_that_cannot_be_read_leaves_a_hole_and_no_half_book(
    venue: CoinbaseVenue, outside: CoinbaseOutside
) -> None:
    outside.listen(0)
    let_pass(venue, outside, 3)
    number, before = outside.sessions[0].sequence, outside.book()
    outside.feed.hear(0, l2(number, row(size="5") + "," + row(price="60000.05")))
    assert outside.book() == before
    outside.feed.hear(0, l2(number + 1, row(size="6")))
    assert state_of(outside) is BookState.GAP


def test_other_products_are_ignored_and_complaints_counted(venue: CoinbaseVenue, outside: CoinbaseOutside) -> None:
    outside.listen(0)
    before, number = outside.journal.count, outside.sessions[0].sequence
    outside.feed.hear(0, l2(number, row(price="x"), "ETH-USD"))
    outside.feed.hear(0, prints(number + 1, product_id="ETH-USD"))
    outside.feed.hear(0, b'{"type":"error","message":"failure to subscribe"}')
    outside.feed.hear(7, l2(0, row()))  # a connection that was never up
    assert outside.journal.count == before
    counts = outside.feed.counts
    assert (counts["ignored"], counts["complaints"], counts["refused"], counts["holes"]) == (2, 1, 1, 0)


@pytest.mark.spec("M3")
def test_random_bytes_in_good_frames_never_raise_and_a_new_connection_has_the_venue_s_book(
    venue: CoinbaseVenue, outside: CoinbaseOutside
) -> None:
    chance, good = random.Random(5), list[bytes]()
    feed = outside.feed
    outside.sessions[0] = outside.coinbase.streams.open(lambda frame: good.append(frame.encode()))
    feed.hear_up(0)
    outside.carry()
    venue.trade(600_000, 5, Side.SELL)
    venue.depth([(600_000, 55), (599_990, 0)], [(600_003, 1)])
    let_pass(venue, outside, 2)
    for _ in range(5000):
        frame = bytearray(chance.choice(good))
        for _ in range(chance.randrange(1, 4)):
            frame[chance.randrange(len(frame))] = chance.randrange(32, 256)
        number = b'"sequence_num":%d' % feed.connections[0].next
        feed.hear(0, re.sub(rb'"sequence_num":\d+', number, bytes(frame)))
        outside.said.clear()
    assert 1000 < feed.counts["refused"] < 5000, "some are read: a digit is as good as another"
    feed.hear_down(0)
    outside.listen(1)
    assert state_of(outside) is BookState.LIVE
    assert outside.book() == live_book(venue)


@pytest.mark.spec("M1")
def test_recorded_frames_are_understood(venue: CoinbaseVenue, outside: CoinbaseOutside, tmp_path: Path) -> None:
    folder = shared_data("venue-messages") / "coinbase_advanced"
    feed = outside.feed
    from decimal import Decimal

    grid = Grid.of(Decimal("0.01"), Decimal("0.00000001"))
    feed.listings["BTC-USD"] = feed._named["BTC-USD"] = listing = Listing(0, "BTC-USD", grid)
    feed.hear_up(0)
    for number, name in enumerate(("l2_data_snapshot", "l2_data_update", "market_trades_snapshot")):
        frame = json.loads((folder / f"{name}.json").read_text()) | {"sequence_num": number}
        feed.hear(0, json.dumps(frame))
    assert feed.counts["refused"] == 0
    assert (max(listing.shown.sides[0]), min(listing.shown.sides[1])) == (8_327_725, 8_327_726)
    assert listing.shown.sides[0][8_306_906] == 6_019_090
    told = [(kind, rows) for kind, _, _, _, rows in events(outside, Kind.SNAPSHOT, Kind.DEPTH, Kind.TRADE)]
    assert [kind for kind, _ in told[:2]] == [Kind.SNAPSHOT, Kind.DEPTH]
    assert len(told[0][1]) == 23
    trades = [rows[0] for kind, rows in told if kind is Kind.TRADE]
    assert trades[-1] == (8_327_725, 29), "the latest last"
    assert feed.counts["old_trades"] + len(trades) == 8
    assert LEVEL.names == ("price_ticks", "lots")
