"""Feed, gateway and sequencer around the core: frames in, the venue's book and money out, whatever is lost on the way."""

import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from elegant_trading_system.core.kinds import BookState, CommandKind, Kind, Side
from elegant_trading_system.core.schema import COMMAND
from elegant_trading_system.data import journal
from elegant_trading_system.shell.command import commands_of

from .desk import BTC, Outside, Venue


def test_a_command_is_read_field_by_field_as_the_schema_has_it() -> None:
    names = COMMAND.names or ()
    [command] = commands_of(np.array([tuple(range(len(names)))], COMMAND))
    assert command._asdict() == dict(zip(names, range(len(names)), strict=True))


def events(outside: Outside, *kinds: Kind) -> list[Any]:
    """What the core was told, as written in the journal: (kind, order id, code, atoms, rows)."""
    found = []
    for packets, rows in journal.read(outside.journal.folder):
        for packet in packets:
            if packet["kind"] in kinds:
                begin = int(packet["level_begin"])
                own = rows[begin : begin + int(packet["buy_count"] + packet["sell_count"])].tolist()
                found.append(
                    (Kind(int(packet["kind"])), int(packet["order_id"]), int(packet["code"]), int(packet["atoms"]), own)
                )
    return found


def state_of(outside: Outside) -> BookState:
    return BookState(int(outside.sequencer.market[0]["books"][0]["state"]))


def shake(venue: Venue, n: int, chance: random.Random) -> None:
    """The market moves a little; every few moves it is published."""
    venue.depth(
        [(600_000 - chance.randrange(12), chance.randrange(5) * 10)],
        [(600_001 + chance.randrange(12), chance.randrange(5) * 10)],
    )
    if chance.random() < 0.3:
        venue.trade(600_000 + chance.randrange(2), 1 + n % 5, chance.choice([Side.BUY, Side.SELL]))
    venue.clock.pass_ms(20)
    if n % 2:
        venue.flush()


def follow_through_losses(
    venue: Venue, outside: Outside, seed: int, look: Callable[[Any], None] = lambda _update: None
) -> None:
    """Each connection loses a twelfth of the updates, the second is up to three frames behind: the book stays the venue's."""
    chance, late, compared = random.Random(seed), list[str](), 0
    lost: list[set[int]] = [set(), set()]

    def passes(connection: int, frame: str) -> bool:
        update = json.loads(frame)["data"]
        if update["e"] != "depthUpdate":
            return True
        look(update)
        is_kept = chance.random() > 0.08
        lost[connection] |= set() if is_kept else {update["u"]}
        return is_kept

    def held(frame: str) -> bool:
        late.extend([frame] if passes(1, frame) else [])
        return False

    outside.listen(0, lambda frame: passes(0, frame))
    outside.listen(1, held)
    for n in range(1500):
        shake(venue, n, chance)
        while len(late) > chance.randrange(4):
            outside.feed.hear(1, late.pop(0))
        if outside.wanted and n % 4 == 3:
            outside.wanted.clear()
            assert outside.snapshot()
        truth = venue.exchange.books["BTCUSDT"]
        if outside.listing.depth.last_id == truth.last_id:  # neither waiting for a twin nor deaf to the latest
            assert outside.book() == truth.sides, f"after {n} moves"
            compared += 1
    both = lost[0] & lost[1]
    assert len(lost[0]) > 20, "the test loses enough to mean something"
    assert compared > 600
    assert 0 < outside.feed.counts["gaps"] <= len(both), "two lost in a row are one gap"
    assert outside.feed.counts["snapshots"] == 1 + outside.feed.counts["gaps"]
    assert outside.listing.depth.repaired > 10
    assert outside.feed.counts["refused"] == 0


def check_nonsense(venue: Venue, outside: Outside, frame: bytes) -> None:
    """A frame that is none is counted, changes nothing, and the next good one is understood."""
    outside.listen(0)
    assert outside.snapshot()
    before = outside.journal.count, outside.book()
    outside.feed.hear(0, frame)
    assert outside.feed.counts["refused"] == 1
    assert (outside.journal.count, outside.book()) == before
    venue.depth([(599_999, 77)])
    venue.flush()
    assert outside.book() == venue.exchange.books["BTCUSDT"].sides


# --- the feed ---------------------------------------------------------------------------------------------
@pytest.mark.spec("M2", "M3")
def test_one_frame_in_twelve_lost_on_each_connection_and_no_snapshot_but_for_what_both_lost(
    venue: Venue, outside: Outside
) -> None:
    follow_through_losses(venue, outside, 7)


@pytest.mark.spec("M3")
def test_a_hole_nobody_fills_makes_the_book_a_gap_until_a_snapshot(venue: Venue, outside: Outside) -> None:
    outside.listen(0, lambda frame: '"U":45' not in frame)
    assert venue.exchange.books["BTCUSDT"].last_id == 40
    venue.depth([(600_000, 1)])
    venue.flush()
    assert outside.snapshot()
    assert state_of(outside) is BookState.LIVE
    for n in range(8):
        venue.depth([(600_000, 10 + n)])
        venue.flush()
    assert state_of(outside) is BookState.GAP
    assert outside.snapshot()
    assert state_of(outside) is BookState.LIVE
    assert outside.book() == venue.exchange.books["BTCUSDT"].sides


@pytest.mark.spec("M3")
def test_a_silent_twin_does_not_keep_a_hole_open_for_ever(venue: Venue, outside: Outside) -> None:
    outside.listen(0, lambda frame: '"u":42' not in frame)
    outside.feed.hear_up(1)  # says nothing
    venue.depth([(600_000, 1)])
    venue.flush()
    assert outside.snapshot()
    for n in range(3):
        venue.depth([(600_000, 10 + n)])
        venue.flush()
    assert state_of(outside) is BookState.LIVE
    outside.feed.check_holes(venue.clock())
    venue.clock.pass_ms(400)
    outside.feed.check_holes(venue.clock())
    assert state_of(outside) is BookState.LIVE
    venue.clock.pass_ms(200)
    outside.feed.check_holes(venue.clock())
    assert state_of(outside) is BookState.GAP


NONSENSE = [
    b"", b"{", b"[]", b"null", b"17", b'{"data":{}}', b'{"data":{"E":1}}', b"\xff\xfe", b"[" * 10_000,
    b'{"data":{"e":"depthUpdate","s":"BTCUSDT","E":1,"U":5,"u":3,"b":[],"a":[]}}',
    b'{"data":{"e":"depthUpdate","s":"BTCUSDT","E":1,"U":900,"u":901,"b":[["x","1"]],"a":[]}}',
    b'{"data":{"e":"depthUpdate","s":"BTCUSDT","E":1,"U":900,"u":901,"b":[["-1","1"]],"a":[]}}',
    b'{"data":{"e":"depthUpdate","s":"BTCUSDT","E":1,"U":900,"u":901,"b":[["60000.05","1"]],"a":[]}}',
    b'{"data":{"e":"depthUpdate","s":"OTHER","E":1,"U":900,"u":901,"b":[],"a":[]}}',
    b'{"data":{"e":"trade","s":"BTCUSDT","E":1,"t":9,"T":1,"m":true,"p":"1e3","q":"1"}}',
    b'{"data":{"e":"trade","s":"BTCUSDT","E":1,"t":9,"T":1,"m":true,"p":"99999999999999999999","q":"1"}}',
]  # fmt: skip


@pytest.mark.parametrize("frame", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_counted_and_changes_nothing(venue: Venue, outside: Outside, frame: bytes) -> None:
    check_nonsense(venue, outside, frame)


# --- the gateway --------------------------------------------------------------------------------------------
class Line:
    """The order connection: what passes through it, and what does not."""

    def __init__(self, venue: Venue, outside: Outside) -> None:
        self.venue, self.outside = venue, outside
        self.is_answering = True
        self.copies = 1
        self.session = venue.binance.streams.open_api(self._told)
        outside.gateway.hear_up()
        self.carry()
        assert outside.gateway.is_subscribed

    def _told(self, frame: str) -> None:
        if self.is_answering:
            for _ in range(self.copies):
                self.outside.gateway.hear(frame)

    def carry(self) -> None:
        while self.outside.sent:
            self.venue.binance.api(self.session, self.outside.sent.pop(0))


@pytest.mark.spec("E4", "P1")
@pytest.mark.parametrize("copies", [1, 3])
def test_every_fill_counts_once_however_often_it_is_told(venue: Venue, outside: Outside, copies: int) -> None:
    line = Line(venue, outside)
    line.copies = copies
    outside.command(1, Side.BUY, 600_002, 250)
    line.carry()
    fills = events(outside, Kind.FILL)
    assert [(order_id, rows) for _, order_id, _, _, rows in fills] == [(1, [(600_001, 100)]), (1, [(600_002, 101)])]
    assert [atoms for _, _, _, atoms, _ in fills] == [-1000, -1010], "the fee, in seven decimals of BTC"
    assert [order_id for _, order_id, *_ in events(outside, Kind.EXPIRED)] == [1], "49 lots found nobody"
    assert [order.client_id for order in venue.account.orders.values()] == ["ets-e1-1"]


@pytest.mark.spec("E4")
def test_what_was_lost_on_the_line_is_found_by_asking(venue: Venue, outside: Outside) -> None:
    line = Line(venue, outside)
    line.is_answering = False
    outside.command(1, Side.SELL, 600_000, 120)  # refused: there is no coin
    outside.command(2, Side.BUY, 600_001, 120)
    line.carry()
    assert not events(outside, Kind.FILL, Kind.EXPIRED, Kind.REJECTED, Kind.ACCEPTED), "silence is not news"
    line.is_answering = True
    for order_id in (1, 2):
        outside.command(order_id, Side.BUY, 0, 0, CommandKind.QUERY)
    line.carry()
    assert [(kind, order_id) for kind, order_id, *_ in events(outside, Kind.FILL, Kind.EXPIRED)] == [
        (Kind.FILL, 2),
        (Kind.EXPIRED, 2),
    ]
    assert not events(outside, Kind.REJECTED), "that the venue does not know order 1 is no proof yet"
    venue.clock.pass_ms(21_000)
    outside.command(1, Side.BUY, 0, 0, CommandKind.QUERY)
    line.carry()
    assert [(order_id, code) for _, order_id, code, *_ in events(outside, Kind.REJECTED)] == [(1, 1)]
    assert len(venue.account.orders) == 1, "nothing was sent twice"


@pytest.mark.spec("E4")
def test_a_clear_refusal_ends_an_order_at_once(venue: Venue, outside: Outside) -> None:
    line = Line(venue, outside)
    outside.command(1, Side.SELL, 600_000, 120)
    line.carry()
    assert [(order_id, code) for _, order_id, code, *_ in events(outside, Kind.REJECTED)] == [(1, 1)]


@pytest.mark.spec("E4")
@pytest.mark.parametrize("code, status", [(-1007, 408), (-1006, 500), (-1000, 503)])
def test_an_unclear_refusal_leaves_the_order_open(venue: Venue, outside: Outside, code: int, status: int) -> None:
    outside.gateway.hear_up()
    outside.command(1, Side.BUY, 600_001, 10)
    answer = {"id": "place 1", "status": status, "error": {"code": code, "msg": "Timeout waiting for response"}}
    outside.gateway.hear(json.dumps(answer))
    assert not events(outside, Kind.REJECTED, Kind.EXPIRED)
    assert outside.gateway.counts["unclear"] == 1
    assert venue.account.orders == {}


def test_orders_of_others_on_the_account_are_not_ours(venue: Venue, outside: Outside) -> None:
    line = Line(venue, outside)
    _, made = venue.exchange.place(venue.account, BTC, Side.BUY, "LIMIT", _ioc(), 600_001, 5, "by-hand-1", 1)
    venue.binance.streams.publish(made)
    assert outside.gateway.counts["foreign"] == 2
    assert not events(outside, Kind.FILL)
    for frame in (
        "",
        "{",
        "[]",
        "7",
        '{"event":{}}',
        '{"id":"place x","status":200,"result":{}}',
        '{"event":{"e":"executionReport"}}',
    ):
        outside.gateway.hear(frame)
    assert outside.gateway.counts["refused"] == 7
    assert line.session in venue.binance.streams.api_sessions


def _ioc() -> Any:
    from elegant_trading_system.emulator.orders import TimeInForce

    return TimeInForce.IOC
