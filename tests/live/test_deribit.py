"""Volatility indices: the emulated Deribit, the feed that hears it, and what a run makes of its prints."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from elegant_trading_system.cli_emulator import Scene, addresses, embedded
from elegant_trading_system.config import Config
from elegant_trading_system.core.kinds import BookState, Kind
from elegant_trading_system.core.schema import NS_PER_S
from elegant_trading_system.data import journal
from elegant_trading_system.data.importers.volatility import dvol_spec
from elegant_trading_system.data.journal import Journal
from elegant_trading_system.data.universe import build
from elegant_trading_system.emulator.deribit import Deribit, Session
from elegant_trading_system.emulator.faults import Faults
from elegant_trading_system.emulator.volatility import DAY_MS, MINUTE_MS, VolatilityIndex
from elegant_trading_system.shell import run_folder
from elegant_trading_system.shell.deribit.feed import DeribitFeed, closes_of, page_of
from elegant_trading_system.shell.deribit.link import DeribitLink, DeribitPlace
from elegant_trading_system.shell.hosts import link_to
from elegant_trading_system.shell.live import LiveRun, wall_ns
from elegant_trading_system.shell.sequencer import Sequencer

from ..builders import loose
from ..shared_data import shared_data
from .desk import START_NS, Clock

START_MS = START_NS // 1_000_000


def klines(percent: float, minutes: int = 3000) -> list[list[Any]]:
    """Minutes until now that realise so many percent a year."""
    step = percent / 100 / np.sqrt(365 * 1440)
    closes = 60_000 * np.exp(step * np.cumsum(np.tile([1.0, -1.0], minutes // 2)))
    first = START_MS // MINUTE_MS * MINUTE_MS - minutes * MINUTE_MS
    return [
        [first + n * MINUTE_MS, "", "", "", str(c), "", first + (n + 1) * MINUTE_MS - 1] for n, c in enumerate(closes)
    ]


class Desk:
    """A venue of one index and a feed, joined by function calls."""

    def __init__(self, config: Config, folder: Path, percent: float = 80.0) -> None:
        self.clock = Clock()
        self.venue = Deribit({"btc_usd": VolatilityIndex(klines(percent), 55.0, 1)}, self.clock)
        self.journal = Journal(folder / "journal")
        universe = build([dvol_spec("BTC")], config)
        sequencer = Sequencer(universe, config, self.journal, self.clock, lambda _command: None)
        self.feed = DeribitFeed(sequencer, {"btc_usd": 0})
        self.is_ended = False
        self.session: Session

    def connect(self) -> None:
        def end() -> None:
            self.is_ended = True

        self.session = self.venue.open(lambda frame: self._answer(self.feed.hear(0, frame)), end)
        self._answer(self.feed.hear_up(0))

    def _answer(self, frames: list[str]) -> None:
        for frame in frames:
            self.venue.receive(self.session, frame)

    def pass_s(self, seconds: int) -> None:
        for _ in range(10 * seconds):
            self.clock.pass_ms(100)
            self.venue.flush_depth()

    def prints(self) -> list[tuple[int, int]]:
        """(when it left the venue in ms, hundredths of a percent)."""
        packets, rows = self.journal.packets[: self.journal.position], self.journal.rows
        return [
            (int(p["ts_venue_ns"]) // 1_000_000, int(rows[p["level_begin"]]["price_ticks"]))
            for p in packets
            if p["kind"] == Kind.TRADE
        ]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(loose(), tmp_path)
    yield made
    made.journal.close()


@pytest.mark.spec("R1", "E1")
def test_an_index_prints_every_second_what_the_market_has_realised(desk: Desk) -> None:
    desk.connect()
    desk.pass_s(20)
    prints = desk.prints()
    assert len(prints) == 20
    assert all(7300 < ticks < 8100 for _, ticks in prints), "80 %, drawn a little towards the usual 55 %"
    assert [ms for ms, _ in prints] == sorted({ms for ms, _ in prints})
    assert not desk.feed.refused_channels
    assert desk.feed.counts["refused"] == 0


def test_a_client_that_answers_test_requests_stays_and_one_that_does_not_is_let_go(desk: Desk) -> None:
    desk.connect()
    desk.pass_s(65)
    assert not desk.is_ended
    mute = desk.venue.open(lambda _frame: None, lambda: gone.append(True))
    gone: list[bool] = []
    desk.venue.receive(mute, '{"jsonrpc":"2.0","id":1,"method":"public/set_heartbeat","params":{"interval":10}}')
    desk.pass_s(25)
    assert gone


def test_after_a_break_the_prints_go_on_and_none_is_told_twice(desk: Desk) -> None:
    desk.connect()
    desk.pass_s(5)
    desk.venue.close(desk.session)
    desk.feed.hear_down(0)
    desk.pass_s(5)
    desk.connect()
    desk.pass_s(5)
    assert len(desk.prints()) == 10
    last = desk.prints()[-1]
    again = {"timestamp": last[0], "volatility": 1.0, "index_name": "btc_usd"}
    desk.feed.hear(0, msgspec.json.encode({"method": "subscription", "params": {"channel": "x", "data": again}}))
    assert desk.prints()[-1] == last
    assert desk.feed.counts["repeated"] == 1


def test_a_connection_that_says_nothing_for_three_heartbeats_is_found(desk: Desk) -> None:
    desk.connect()
    desk.pass_s(20)
    assert desk.feed.silent(desk.clock()) == []
    desk.clock.pass_ms(31_000)
    assert desk.feed.silent(desk.clock()) == [0]


def test_a_channel_that_is_missing_from_the_answer_is_known(desk: Desk) -> None:
    desk.venue.indices["eth_usd"] = desk.venue.indices.pop("btc_usd")
    desk.connect()
    assert desk.feed.refused_channels == {"deribit_volatility_index.btc_usd"}


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "[]",
        "[" * 100_000,
        b"\xff\xfe",
        '{"method":"subscription","params":{"data":{"timestamp":1,"volatility":0.21,"index_name":"btc_usd"}}}',
        '{"method":"subscription","params":{"data":{"timestamp":1,"volatility":null,"index_name":"btc_usd"}}}',
        '{"method":"subscription","params":{"data":{"timestamp":1,"volatility":50,"index_name":"sol_usd"}}}',
        '{"method":"subscription","params":{"data":{"timestamp":-1,"volatility":50,"index_name":"btc_usd"}}}',
        '{"method":"subscription","params":{"data":{"timestamp":9223372036854775807,"volatility":9,"index_name":"btc_usd"}}}',
        '{"method":"subscription","params":{"data":{"timestamp":"1","volatility":50,"index_name":"btc_usd"}}}',
    ],
)
def test_what_cannot_be_read_or_believed_is_counted_and_changes_nothing(desk: Desk, frame: str | bytes) -> None:
    desk.connect()
    assert desk.feed.hear(0, frame) == []
    assert desk.feed.counts["refused"] == 1
    assert desk.prints() == []


def history(desk: Desk, days: int) -> Any:
    query = f"currency=BTC&start_timestamp={START_MS - days * DAY_MS}&end_timestamp={START_MS}&resolution=1D"
    return desk.venue.http("GET", "/api/v2/public/get_volatility_index_data", query, "", {})


def test_daily_history_is_of_days_that_are_over_each_from_when_it_was_known(desk: Desk) -> None:
    page = page_of(history(desk, 400).body)
    assert page.continuation is None
    closes = closes_of(page, START_NS)
    assert len(closes) == len(page.data) - 1 == 399, "today is not over"
    assert all(known_ns % (DAY_MS * 1_000_000) == 0 and known_ns <= START_NS for known_ns, _ in closes)
    values = [int(row[0]["price_ticks"]) / 100 for _, row in closes]
    assert 20 < min(values) < max(values) < 120
    assert len(set(values)) > 300


def test_a_long_history_comes_in_pages_that_neither_overlap_nor_leave_a_day_out(desk: Desk) -> None:
    query = f"currency=BTC&start_timestamp={START_MS - 3 * DAY_MS}&resolution=60&end_timestamp="
    end_ms, stamps = START_MS, list[int]()
    while end_ms:
        page = page_of(
            desk.venue.http("GET", "/api/v2/public/get_volatility_index_data", f"{query}{end_ms}", "", {}).body
        )
        stamps = [row[0] for row in page.data] + stamps
        end_ms = page.continuation or 0
    assert stamps == list(range(stamps[0], stamps[-1] + 1, MINUTE_MS))
    assert len(stamps) in (3 * 1440, 3 * 1440 + 1)


@pytest.mark.parametrize(
    "query, said",
    [
        ("currency=SOL&start_timestamp=1&end_timestamp=2&resolution=1D", "currency"),
        ("currency=BTC&start_timestamp=1&end_timestamp=2&resolution=7", "resolution"),
        ("currency=BTC&start_timestamp=x&end_timestamp=2&resolution=1D", "start_timestamp"),
    ],
)
def test_a_wrong_question_is_answered_as_the_venue_does(desk: Desk, query: str, said: str) -> None:
    reply = desk.venue.http("GET", "/api/v2/public/get_volatility_index_data", query, "", {})
    error = msgspec.json.decode(reply.body)["error"]
    assert (reply.status, error["code"], error["data"]["param"]) == (400, -32602, said)


def test_recorded_frames_of_the_venue_are_understood(desk: Desk) -> None:
    folder = shared_data("venue-messages") / "deribit"
    desk.connect()
    asked = desk.feed.hear(0, (folder / "heartbeat_test_request.json").read_bytes())
    assert ["public/test" in frame for frame in asked] == [True]
    for name in ("set_heartbeat_ok", "test_ok", "volatility_index_notification"):
        assert desk.feed.hear(0, (folder / f"{name}.json").read_bytes()) == []
    assert desk.prints() == [(1_619_777_946_007, 12_936)]
    desk.feed.hear(0, (folder / "heartbeat_interval_too_small.json").read_bytes())
    assert (desk.feed.counts["errors"], desk.feed.counts["refused"]) == (1, 0)


@pytest.mark.spec("R1")
def test_without_the_index_a_run_begins_all_the_same_and_names_its_fallback(tmp_path: Path) -> None:
    said: list[str] = []
    nowhere = DeribitPlace("http://127.0.0.1:9/api/v2", "ws://127.0.0.1:9/ws/api/v2")

    async def hear() -> None:
        place = embedded(Scene("", ["BTC"], 1, 0.0, 60, []), ["binance"], 1000.0)
        async with place.serve(wall_ns, Faults({}, 0)) as (door,):
            links = [link_to(door.venue, addresses(door), wall_ns), DeribitLink(nowhere, ["BTC"], wall_ns)]
            live = LiveRun(links, loose(), tmp_path, say=said.append)
            await live.run(1.0, lambda run: run_folder.begin(tmp_path, loose(), run.known, "test"))
            assert live.sequencer.market[0]["books"]["state"][0] == BookState.LIVE

    asyncio.run(hear())
    [words] = [text for text in said if text.startswith("volatility of BTC: ")]
    assert "none yet, positions times 1: deribit DVOL/BTC has 0 daily closes" in words


@pytest.mark.spec("R1", "E1", "X1")
def test_a_run_over_sockets_sizes_by_the_index_and_says_so_at_once(tmp_path: Path) -> None:
    said: list[str] = []

    async def hear() -> LiveRun:
        place = embedded(Scene("", ["ETH"], 1, 0.0, 300, []), ["binance", "deribit"], 1000.0)
        faults = Faults({"disconnect": 0.2}, 1)
        async with place.serve(wall_ns, faults) as doors:
            links = [link_to(door.venue, addresses(door), wall_ns) for door in doors]
            live = LiveRun(links, loose(), tmp_path, say=said.append)
            await live.run(6.0, lambda run: run_folder.begin(tmp_path, loose(), run.known, "test"))
            return live

    live = asyncio.run(hear())
    assert any(text.startswith("volatility of ETH: implied, deribit DVOL/ETH: ") for text in said), said
    listing_id = next(n for n, spec in enumerate(live.known.listings) if spec.kind == "volatility")
    packets = np.concatenate([packets for packets, _ in journal.read(tmp_path / "journal")])
    prints = packets[(packets["listing_id"] == listing_id) & (packets["kind"] == Kind.TRADE)]
    past = prints["ts_local_ns"] % (86_400 * NS_PER_S) == 0
    assert past.sum() == 369
    assert (~past).sum() >= 3, "prints went on after the connection broke"
    assert int(live.sequencer.market[0]["volatilities"][listing_id]["close_count"]) >= 300
