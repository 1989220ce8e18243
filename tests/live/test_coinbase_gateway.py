"""Orders to the emulated Coinbase: every fill once, every unclear answer left open, every clear one believed."""

import json
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from elegant_trading_system.core.kinds import CommandKind, Kind, Side
from elegant_trading_system.emulator.coinbase.venue import ROOT
from elegant_trading_system.emulator.orders import TimeInForce
from elegant_trading_system.shell.coinbase.auth import Signer
from elegant_trading_system.shell.coinbase.link import spec_of
from elegant_trading_system.shell.coinbase.orders import Request, client_id
from elegant_trading_system.shell.link import OpenOrder

from ..builders import loose
from .coinbase_desk import BTC, HOST, KEY, SECRET, CoinbaseOutside, CoinbaseVenue
from .desk import ASKS, BIDS, Clock
from .test_outside import events

ENDS = (Kind.FILL, Kind.EXPIRED, Kind.REJECTED)


@pytest.fixture
def venue() -> CoinbaseVenue:
    return CoinbaseVenue(Clock())


@pytest.fixture
def outside(venue: CoinbaseVenue, tmp_path: Path) -> Iterator[CoinbaseOutside]:
    made = CoinbaseOutside(venue, loose(), tmp_path)
    yield made
    made.journal.close()


class Lines:
    """REST and the user channel: what passes through them, and what does not."""

    def __init__(self, venue: CoinbaseVenue, outside: CoinbaseOutside) -> None:
        self.venue, self.outside = venue, outside
        self.copies = 1  # of what the user channel tells; 0: nothing
        self.answers = list[Any]()  # what is answered to the next orders instead of the truth
        self.is_listing_late = False
        self.asked = list[Request]()
        self.open()

    def open(self) -> None:
        self.session = self.venue.coinbase.streams.open(self._told)
        self.outside.gateway.hear_up()
        for frame in self.outside.gateway.subscriptions():
            self.venue.coinbase.streams.receive(self.session, frame)

    def _told(self, frame: str) -> None:
        for _ in range(self.copies):
            self.outside.gateway.hear(frame)

    def carry(self) -> None:
        """All requests reach the venue, and all answers us."""
        while self.outside.asked:
            request = self.outside.asked.pop(0)
            self.asked.append(request)
            status, body = self.execute(request)
            if request.method == "POST" and self.answers:
                status, body = self.answers.pop(0) or (0, b"")
            if status:
                self.outside.gateway.hear_answer(request.id, status, body)
            else:
                self.outside.gateway.hear_failure(request.id)

    def execute(self, request: Request) -> tuple[int, bytes]:
        path, _, query = (ROOT.rstrip("/") + request.path).partition("?")
        if self.is_listing_late and path.endswith("fills"):
            return 200, b'{"fills":[],"cursor":""}'
        token = Signer(KEY, SECRET).rest(request.method, HOST, path, self.venue.clock() / 1e9)
        headers = {"Authorization": f"Bearer {token}", "Host": HOST}
        reply = self.venue.coinbase.http(request.method, path, query, request.body, headers)
        return reply.status, reply.body


def ends(outside: CoinbaseOutside) -> list[tuple[Kind, int]]:
    return [(kind, order_id) for kind, order_id, *_ in events(outside, *ENDS)]


@pytest.mark.spec("E4", "P1")
@pytest.mark.parametrize("copies", [0, 1, 3])
def test_every_fill_counts_once_however_often_the_channel_tells_of_it(
    venue: CoinbaseVenue, outside: CoinbaseOutside, copies: int
) -> None:
    lines = Lines(venue, outside)
    lines.copies = copies
    outside.command(1, Side.BUY, 600_002, 250)
    lines.carry()
    if copies == 0:
        assert ends(outside) == [], "silence is not news"
        outside.command(1, Side.BUY, 0, 0, CommandKind.QUERY)
        lines.carry()
    fills = events(outside, Kind.FILL)
    assert [(order_id, rows) for _, order_id, _, _, rows in fills] == [(1, [(600_001, 100)]), (1, [(600_002, 101)])]
    usd = 10 ** outside.universe.decimals["USD"]
    fees = [Decimal(atoms) / usd for _, _, _, atoms, _ in fills]
    assert fees == [Decimal("-36.00006"), Decimal("-36.360121200")], "in dollars, though it was a buy"
    assert ends(outside)[-1] == (Kind.EXPIRED, 1), "49 lots found nobody"
    assert len(ends(outside)) == 3


@pytest.mark.spec("E4")
def test_an_order_s_name_is_a_uuid_of_its_own_that_can_be_read_back(
    venue: CoinbaseVenue, outside: CoinbaseOutside
) -> None:
    names = [client_id("e1", n) for n in (1, 2, 255, 10**9)]
    assert all(str(uuid.UUID(name)) == name for name in names)
    assert len(set(names)) == 4
    lines = Lines(venue, outside)
    outside.command(255, Side.BUY, 600_001, 5)
    lines.carry()
    assert [order.client_id for order in venue.account.orders.values()] == [names[2]]
    body = json.loads(lines.asked[0].body)
    assert body["order_configuration"] == {"sor_limit_ioc": {"base_size": "0.005", "limit_price": "60000.1"}}


UNCLEAR: list[Any] = [
    None, (500, b"oops"), (502, b"<html>"), (503, b""), (504, b"{}"), (408, b""), (409, b""), (302, b""),
    (200, b""), (200, b"{"), (200, b"[]"), (200, b"null"), (200, b"{}"), (200, b'{"success":"no"}'), (200, b'{"success":true}'),
    (200, b'{"success":false}'), (200, b'{"success":false,"error_response":{"error":"UNKNOWN_FAILURE_REASON"}}'),
    (200, b'{"success":false,"error_response":{}}'), (200, b"\xff"), (200, b"[" * 9000),
]  # fmt: skip


@pytest.mark.spec("E4")
@pytest.mark.parametrize("answer", UNCLEAR, ids=range(len(UNCLEAR)))
def test_an_unclear_answer_ends_nothing_and_asking_finds_the_truth(
    venue: CoinbaseVenue, outside: CoinbaseOutside, answer: Any
) -> None:
    lines = Lines(venue, outside)
    lines.copies = 0
    lines.answers = [answer, answer]
    outside.command(1, Side.SELL, 600_000, 120)  # refused: there is no coin
    outside.command(2, Side.BUY, 600_001, 120)  # 100 of it filled
    lines.carry()
    assert not events(outside, *ENDS, Kind.ACCEPTED)
    assert outside.gateway.counts["unclear"] == 2
    for order_id in (1, 2):
        outside.command(order_id, Side.BUY, 0, 0, CommandKind.QUERY)
    lines.carry()
    assert ends(outside) == [(Kind.FILL, 2), (Kind.EXPIRED, 2)]
    venue.clock.pass_ms(19_000)
    outside.command(1, Side.BUY, 0, 0, CommandKind.QUERY)
    lines.carry()
    assert len(ends(outside)) == 2, "that nobody knows order 1 is no proof yet"
    venue.clock.pass_ms(2_000)
    outside.command(1, Side.BUY, 0, 0, CommandKind.QUERY)
    lines.carry()
    assert ends(outside)[2:] == [(Kind.REJECTED, 1)]
    assert len(venue.account.orders) == 1, "nothing was sent twice"


@pytest.mark.spec("E4")
@pytest.mark.parametrize(
    "answer",
    [
        (400, b"{}"), (401, b"Unauthorized\n"), (403, b"<html>"), (429, b'{"errors":[]}'),
        (200, b'{"success":false,"error_response":{"error":"INSUFFICIENT_FUND"}}'),
        (200, b'{"success":false,"error_response":{"error":"UNKNOWN_FAILURE_REASON","preview_failure_reason":"PREVIEW_X"}}'),
        "the venue's own",
    ],
    ids=range(7),
)  # fmt: skip
def test_a_clear_no_ends_an_order_at_once(venue: CoinbaseVenue, outside: CoinbaseOutside, answer: Any) -> None:
    lines = Lines(venue, outside)
    lines.answers = [answer] if isinstance(answer, tuple) else []
    outside.command(1, Side.SELL, 600_000, 120)
    lines.carry()
    assert [(order_id, code) for _, order_id, code, *_ in events(outside, Kind.REJECTED)] == [(1, 1)]


@pytest.mark.spec("E4")
def test_what_was_refused_by_mistake_but_is_known_to_live_is_not_ended(
    venue: CoinbaseVenue, outside: CoinbaseOutside
) -> None:
    lines = Lines(venue, outside)
    lines.is_listing_late = True
    lines.answers = [(403, b"")]
    outside.command(1, Side.BUY, 600_001, 10)
    lines.carry()
    assert ends(outside) == [], "the channel has told of it"
    lines.is_listing_late = False
    venue.clock.pass_ms(2600)  # the wait that 429 asks for, and some
    outside.gateway.check_unsent()
    lines.carry()
    assert ends(outside) == [(Kind.FILL, 1)]


@pytest.mark.spec("E4")
def test_fills_that_are_announced_but_not_yet_listed_are_asked_for_until_they_come(
    venue: CoinbaseVenue, outside: CoinbaseOutside
) -> None:
    lines = Lines(venue, outside)
    lines.is_listing_late = True
    outside.command(1, Side.BUY, 600_001, 120)
    for _ in range(4):
        lines.carry()
        outside.gateway.check_unsent()
        outside.command(1, Side.BUY, 0, 0, CommandKind.QUERY)
        venue.clock.pass_ms(600)
    lines.carry()
    assert ends(outside) == []
    lines.is_listing_late = False
    venue.clock.pass_ms(600)
    outside.gateway.check_unsent()
    lines.carry()
    assert ends(outside) == [(Kind.FILL, 1), (Kind.EXPIRED, 1)]
    asked = [request for request in lines.asked if request.id == "fills 1"]
    assert len(asked) < 8, "and not without end"


@pytest.mark.spec("E4")
def test_an_order_decided_while_the_channel_is_silent_never_leaves(
    venue: CoinbaseVenue, outside: CoinbaseOutside
) -> None:
    outside.gateway.hear_up()
    outside.command(1, Side.BUY, 600_001, 10)
    assert (outside.asked, ends(outside)) == ([], [])
    outside.gateway.check_unsent()
    assert ends(outside) == [(Kind.REJECTED, 1)]
    assert not outside.gateway.is_silent()
    venue.clock.pass_ms(6000)
    assert outside.gateway.is_silent(), "open, but not subscribed: better closed"
    lines = Lines(venue, outside)
    assert outside.gateway.is_subscribed
    for _ in range(8):
        venue.clock.pass_ms(1000)
        venue.flush()
    assert not outside.gateway.is_silent(), "hearts beat"
    outside.command(2, Side.BUY, 600_001, 10)
    lines.carry()
    assert ends(outside)[1:] == [(Kind.FILL, 2)]
    outside.gateway.hear_down()
    outside.command(3, Side.BUY, 600_001, 10)
    assert outside.asked == []


@pytest.mark.spec("E4")
def test_a_hole_in_the_channel_or_a_new_connection_makes_us_ask_about_open_orders(
    venue: CoinbaseVenue, outside: CoinbaseOutside
) -> None:
    lines = Lines(venue, outside)
    lines.copies = 0
    outside.command(1, Side.BUY, 600_001, 120)
    lines.carry()
    assert ends(outside) == []
    lines.copies = 1
    venue.clock.pass_ms(1000)
    venue.flush()  # a heartbeat, whose number shows that something was not heard
    lines.carry()
    assert ends(outside) == [(Kind.FILL, 1), (Kind.EXPIRED, 1)]
    assert outside.gateway.counts["holes"] == 1
    lines.copies = 0
    outside.command(2, Side.BUY, 600_002, 120)
    lines.carry()
    venue.coinbase.streams.close(lines.session)
    outside.gateway.hear_down()
    lines.copies = 1
    lines.open()
    lines.carry()
    assert ends(outside)[2:] == [(Kind.FILL, 2), (Kind.EXPIRED, 2)]


@pytest.mark.spec("E4")
@pytest.mark.parametrize("name", ["CANCELLED", "EXPIRED", "FAILED"])
def test_what_an_end_is_called_matters_less_than_what_was_filled(
    venue: CoinbaseVenue, outside: CoinbaseOutside, name: str
) -> None:
    Lines(venue, outside)
    frame = {"channel": "user", "events": [{"type": "update"}]}
    for n, (filled, kind) in enumerate(
        [("0", Kind.REJECTED if name == "FAILED" else Kind.EXPIRED), ("0.003", None)], 1
    ):
        outside.command(n, Side.BUY, 600_001, 10)
        order = {"client_order_id": client_id("e1", n), "order_id": "0de5", "status": name}
        frame["events"] = [{"type": "update", "orders": [order | {"cumulative_quantity": filled}]}]
        outside.gateway.hear(json.dumps(frame | {"sequence_num": outside.gateway._next}))
        assert ends(outside)[n - 1 :] == ([(kind, n)] if kind else []), "the fill is asked for first"
    row = {"order_id": "0de5", "trade_id": "t", "price": "60000.1", "size": "0.003", "commission": "1.08"}
    outside.gateway.hear_answer("fills 2", 200, json.dumps({"fills": [row, row], "cursor": ""}))
    assert ends(outside)[1:] == [(Kind.FILL, 2), (Kind.EXPIRED, 2)]


@pytest.mark.spec("E4")
def test_an_order_is_found_on_whatever_page_it_is_listed(venue: CoinbaseVenue, outside: CoinbaseOutside) -> None:
    lines = Lines(venue, outside)
    lines.copies = 0
    lines.answers = [None]
    outside.command(1, Side.BUY, 600_001, 20)
    lines.carry()
    for n in range(230):
        _, made = venue.exchange.place(
            venue.account,
            BTC,
            Side.BUY,
            "LIMIT",
            TimeInForce.GTC,
            500_000,
            1,
            f"by hand {n}",
            venue.clock() // 1_000_000,
        )
        venue.coinbase.streams.publish(made)
    outside.command(1, Side.BUY, 0, 0, CommandKind.QUERY)
    lines.carry()
    assert ends(outside) == [(Kind.FILL, 1)]
    assert [request.id for request in lines.asked].count("list 1") == 3


@pytest.mark.spec("X1", "E4")
def test_after_a_crash_only_the_fills_that_were_not_heard_before_count(
    venue: CoinbaseVenue, outside: CoinbaseOutside
) -> None:
    lines = Lines(venue, outside)
    lines.copies = 0
    now_ns = venue.clock()
    for number in (1, 2):
        outside.command(number, Side.BUY, 600_002, 120)
        lines.carry()
        venue.depth(BIDS, ASKS, is_whole=True)
    outside.gateway.orders.clear()
    usd, asset_id = 10 ** outside.universe.decimals["USD"], outside.universe.assets.index("USD")
    heard = Counter({(600_001, 100, int(Decimal("-36.00006") * usd), asset_id): 1})
    outside.gateway.restore(
        [
            OpenOrder(1, 0, 1, 120, 100, now_ns, "e1", heard),
            OpenOrder(2, 0, 1, 120, 0, now_ns, "e1", Counter()),
            OpenOrder(3, 0, 1, 120, 0, now_ns, "e0", Counter()),  # never arrived
        ]
    )
    assert outside.gateway.unsettled() == 3
    lines.carry()
    told = [(order_id, rows) for _, order_id, _, _, rows in events(outside, Kind.FILL)]
    assert told == [(1, [(600_002, 20)]), (2, [(600_001, 100)]), (2, [(600_002, 20)])]
    assert outside.gateway.unsettled() == 1
    venue.clock.pass_ms(21_000)
    outside.gateway.unsettled()
    lines.carry()
    assert outside.gateway.unsettled() == 0
    assert ends(outside)[3:] == [(Kind.REJECTED, 3)]


HOSTILE = [
    "", "{", "[]", "7", "null", "[" * 9000, '{"channel":"user"}', '{"channel":"user","sequence_num":"x","events":[]}',
    '{"channel":"user","sequence_num":9,"events":[{}]}', '{"channel":"user","sequence_num":9,"events":[{"orders":[{}]}]}',
    '{"channel":"subscriptions","sequence_num":9,"events":[]}', '{"channel":"user","sequence_num":9,"events":7}',
]  # fmt: skip
ORDER = {"client_order_id": "", "order_id": "x", "status": "FILLED", "cumulative_quantity": "0.010"}


def test_hostile_frames_and_answers_are_counted_and_change_nothing(
    venue: CoinbaseVenue, outside: CoinbaseOutside
) -> None:
    lines = Lines(venue, outside)
    lines.copies = 0
    outside.command(1, Side.BUY, 600_001, 120)
    lines.carry()
    gateway, before = outside.gateway, outside.journal.count
    number = gateway._next
    for frame in HOSTILE:
        gateway.hear(frame)
    for change in (
        {"cumulative_quantity": "NaN"},
        {"cumulative_quantity": "-1"},
        {"cumulative_quantity": "1e99"},
        {"order_id": ""},
    ):
        order = ORDER | {"client_order_id": client_id("e1", 1)} | change
        gateway.hear(json.dumps({"channel": "user", "sequence_num": number, "events": [{"orders": [order]}]}))
    assert gateway.counts["refused"] == len(HOSTILE) + 4
    bodies = (
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"order":{}}',
        b'{"fills":[{}],"cursor":""}',
        b'{"orders":[{}],"has_next":false}',
    )
    for body in bodies:
        for what in ("status", "fills", "list"):
            gateway.hear_answer(f"{what} 1", 200, body)
    bad = {"order_id": gateway.orders[1].venue_id, "trade_id": "t", "price": "60000.1", "size": "x", "commission": "1"}
    good = bad | {"size": "0.001"}
    gateway.hear_answer("fills 1", 200, json.dumps({"fills": [good, bad], "cursor": ""}))
    gateway.hear_answer("status 77", 200, b"{}")  # of no order of ours
    assert (gateway._next, outside.journal.count) == (number, before)
    outside.command(1, Side.BUY, 0, 0, CommandKind.QUERY)
    lines.carry()
    assert ends(outside) == [(Kind.FILL, 1), (Kind.EXPIRED, 1)], "and the truth is still heard"


def test_orders_of_others_on_the_account_are_not_ours(venue: CoinbaseVenue, outside: CoinbaseOutside) -> None:
    Lines(venue, outside)
    before = outside.journal.count
    for name in ("by hand", client_id("e1", 5), client_id("e1", 1)[:-12] + "zz", client_id("e2", 1), ""):
        order = ORDER | {"client_order_id": name}
        frame = {"channel": "user", "sequence_num": outside.gateway._next, "events": [{"orders": [order]}]}
        outside.gateway.hear(json.dumps(frame))
    assert outside.gateway.counts["foreign"] == 5
    assert outside.journal.count == before


@pytest.mark.spec("P1", "E4")
@pytest.mark.parametrize("seed", range(5))
def test_after_trouble_of_every_kind_the_money_is_the_venue_s_to_the_last_decimal(
    venue: CoinbaseVenue, outside: CoinbaseOutside, seed: int
) -> None:
    chance, lines = random.Random(seed), Lines(venue, outside)
    venue.account.balance("BTC").free = Decimal(1)
    for n in range(1, 61):
        lines.copies = chance.choice([0, 1, 1, 2])
        lines.is_listing_late = chance.random() < 0.2
        lines.answers = [chance.choice(UNCLEAR)] if chance.random() < 0.4 else []
        side = chance.choice([Side.BUY, Side.SELL])
        outside.command(n, side, 600_000 + int(side) * chance.randrange(-1, 5), chance.randrange(1, 350))
        lines.carry()
        venue.depth(BIDS, ASKS, is_whole=True)
        venue.clock.pass_ms(chance.randrange(400))
        outside.gateway.check_unsent()
    lines.answers, lines.is_listing_late = [], False
    for _ in range(3):
        venue.clock.pass_ms(21_000)
        for n, sent in outside.gateway.orders.items():
            if not sent.is_done:
                outside.command(n, Side.BUY, 0, 0, CommandKind.QUERY)
        lines.carry()
        outside.gateway.check_unsent()
        lines.carry()
    assert all(sent.is_done for sent in outside.gateway.orders.values())
    money = {"BTC": Decimal(1), "USD": Decimal(100_000)}
    for _, order_id, _, atoms, [(ticks, lots)] in events(outside, Kind.FILL):
        sign = outside.gateway.orders[order_id].side
        money["BTC"] += sign * BTC.quantity(lots)
        money["USD"] -= sign * BTC.quantity(lots) * BTC.price(ticks)
        money["USD"] += Decimal(atoms) / 10 ** outside.universe.decimals["USD"]
    assert money == {asset: balance.free for asset, balance in venue.account.balances.items()}
    assert all(balance.locked == 0 for balance in venue.account.balances.values())
    filled = {order.client_id: order.filled_lots for order in venue.account.orders.values()}
    ours = {client_id("e1", n): sent.filled_lots for n, sent in outside.gateway.orders.items()}
    assert {name: lots for name, lots in ours.items() if lots} == {name: lots for name, lots in filled.items() if lots}
    assert sum(lots > 0 for lots in filled.values()) > 20


def test_sizes_finer_than_our_lot_are_carried_to_the_next_fill(venue: CoinbaseVenue, outside: CoinbaseOutside) -> None:
    Lines(venue, outside)
    outside.command(1, Side.BUY, 600_001, 3)
    outside.gateway.orders[1].venue_id = "v"
    sizes = ["0.0004", "0.0007", "0.0019"]
    rows = [
        {"order_id": "v", "trade_id": str(n), "price": "60000.1", "size": size, "commission": "0.00000000001"}
        for n, size in enumerate(sizes)
    ]
    outside.gateway.hear_answer("fills 1", 200, json.dumps({"fills": rows[::-1], "cursor": ""}))
    told = events(outside, Kind.FILL)
    assert [rows for *_, rows in told] == [[(600_001, 1)], [(600_001, 2)]]
    assert [atoms for *_, atoms, _ in told] == [-1, 0], "fees are rounded over the whole order"
    assert outside.gateway.orders[1].is_done
    assert outside.gateway.counts["parts_of_lots"] == 1


def test_a_lot_is_as_fine_as_exact_money_allows(venue: CoinbaseVenue) -> None:
    product = venue.ask("GET", "market/products/BTC-USD")[1]
    assert (spec_of("coinbase", product).lot_size, spec_of("coinbase", product).lots_min) == (Decimal("0.001"), 1)
    real = product | {"price_increment": "0.01", "base_increment": "0.00000001", "base_min_size": "0.00000001"}
    spec = spec_of("coinbase", real)
    assert (spec.tick_size, spec.lot_size, spec.lots_min) == (Decimal("0.01"), Decimal("0.0000001"), 1)
    assert spec.symbol == "BTC/USD"
