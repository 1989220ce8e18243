"""The VIX: the emulated CBOE, the feed that believes little of it, and what a run makes of an index that is late."""

import asyncio
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from elegant_trading_system.cli_emulator import Scene, addresses, embedded
from elegant_trading_system.core.kinds import BookState, Kind
from elegant_trading_system.core.schema import NS_PER_S
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.importers.volatility import NEW_YORK, dvol_spec, vix_spec
from elegant_trading_system.data.journal import Journal
from elegant_trading_system.data.universe import build
from elegant_trading_system.emulator.cboe import Cboe
from elegant_trading_system.emulator.faults import Faults
from elegant_trading_system.errors import UserError
from elegant_trading_system.shell import run_folder
from elegant_trading_system.shell.cboe.feed import CboeFeed, closes_of
from elegant_trading_system.shell.cboe.link import CboeLink, CboePlace
from elegant_trading_system.shell.hosts import link_to, public_hosts
from elegant_trading_system.shell.live import LiveRun, wall_ns
from elegant_trading_system.shell.sequencer import Sequencer
from elegant_trading_system.shell.volatility_words import VolatilityNames

from ..builders import listing, loose
from ..shared_data import shared_data
from .desk import Clock

QUOTE = "/api/global/delayed_quotes/quotes/_VIX.json"
HISTORY = "/api/global/us_indices/daily_prices/VIX_History.csv"
WEDNESDAY, SATURDAY = (2026, 6, 10), (2026, 6, 13)
DAY_NS = 86_400 * NS_PER_S


def at(day: tuple[int, int, int], hour: int, minute: int = 0) -> int:
    """New York's time in ns."""
    return round(datetime(*day, hour, minute, tzinfo=NEW_YORK).timestamp()) * NS_PER_S


class Desk:
    """CBOE and a feed, joined by function calls."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.clock.ns = at(WEDNESDAY, 11)
        self.venue = Cboe(1, self.clock)
        self.journal = Journal(folder / "journal")
        universe = build([vix_spec()], loose())
        self.feed = CboeFeed(Sequencer(universe, loose(), self.journal, self.clock, lambda _command: None), 0)

    def get(self, path: str) -> bytes:
        reply = self.venue.http("GET", path, "", "", {})
        assert reply.status == 200
        return reply.body

    def prints(self) -> list[tuple[int, int, int]]:
        """(the venue's stamp, ours, hundredths of a percent)."""
        packets, rows = self.journal.packets[: self.journal.position], self.journal.rows
        return [
            (int(p["ts_venue_ns"]), int(p["ts_local_ns"]), int(rows[p["level_begin"]]["price_ticks"]))
            for p in packets
            if p["kind"] == Kind.TRADE
        ]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.journal.close()


# --- the source -----------------------------------------------------------------------------------------------
@pytest.mark.spec("R1", "E1")
def test_a_quote_is_a_quarter_of_an_hour_old_and_its_print_says_so(desk: Desk) -> None:
    for _ in range(30):
        desk.feed.hear_quote(desk.get(QUOTE))
        desk.clock.ns += 60 * NS_PER_S
    prints = desk.prints()
    assert len(prints) == 30
    assert {ours - theirs for theirs, ours, _ in prints} == {900 * NS_PER_S}
    assert prints[0][0] == at(WEDNESDAY, 10, 45)
    assert all(300 < ticks < 15_000 for *_, ticks in prints)
    assert not desk.feed.counts["refused"]


@pytest.mark.spec("R1")
def test_outside_new_york_s_hours_the_quote_stands_still_and_is_no_news(desk: Desk) -> None:
    desk.clock.ns = at(WEDNESDAY, 16, 25)
    for _ in range(3):
        desk.feed.hear_quote(desk.get(QUOTE))
        desk.clock.ns += 300 * NS_PER_S
    close = desk.venue.close(date(*WEDNESDAY))
    assert [theirs for theirs, *_ in desk.prints()] == [at(WEDNESDAY, 16, 10), at(WEDNESDAY, 16, 15)]
    assert desk.prints()[-1][2] == round(100 * close)
    desk.clock.ns = at(SATURDAY, 12)
    desk.feed.latest = None  # as in a run that begins then
    desk.feed.hear_quote(desk.get(QUOTE))
    assert (len(desk.prints()), desk.feed.counts["old"], desk.feed.counts["repeated"]) == (2, 1, 1)


@pytest.mark.spec("R1", "R5")
def test_the_past_is_of_days_that_are_over_each_from_when_it_was_known(desk: Desk) -> None:
    for hour, is_known in ((16, False), (17, True)):
        desk.clock.ns = at(WEDNESDAY, hour)
        closes = closes_of(desk.get(HISTORY).decode(), desk.clock())
        assert (closes[-1][0] == at(WEDNESDAY, 16, 15)) is is_known
        assert 350 < len(closes) < 400
        assert all(datetime.fromtimestamp(ts // NS_PER_S, NEW_YORK).weekday() < 5 for ts, _ in closes)
    assert int(closes[-1][1][0]["price_ticks"]) == round(100 * desk.venue.close(date(*WEDNESDAY)))


def test_a_recorded_row_is_read_and_what_is_no_history_is_refused() -> None:
    import json

    recorded = json.loads((shared_data("venue-messages") / "vix" / "csv_lines.json").read_text())
    text = "\n".join([recorded["cboe_vix_history_header"], *recorded["cboe_rows_as_served_MMDDYYYY"]])
    [(known_ns, row)] = closes_of(text, at((2026, 7, 25), 12))
    assert (known_ns, int(row[0]["price_ticks"])) == (at((2026, 7, 24), 16, 15), 1858)
    with pytest.raises(UserError, match="no columns DATE and CLOSE"):
        closes_of("<Error><Code>AccessDenied</Code></Error>", 1)


def quote(**change: Any) -> bytes:
    data = {"symbol": "^VIX", "security_type": "index", "current_price": 18.5}
    data["last_trade_time"] = "2026-06-10T10:45:00"
    name = change.pop("name", "_VIX")
    return msgspec.json.encode({"timestamp": "2026-06-10 15:00:00", "symbol": name, "data": data | change})


NONSENSE = [
    b"", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"<Error><Code>AccessDenied</Code></Error>", b'{"symbol":"_VIX"}',
    quote(name="_VVIX"), quote(symbol="^VVIX"), quote(security_type="stock"), quote(current_price=None),
    quote(current_price=0.18), quote(current_price=1850.0), quote(current_price="18.5"), quote(last_trade_time="now"),
    quote(last_trade_time=None), quote(last_trade_time="2026-06-10T10:45:00+00:00"),
    quote(last_trade_time="2026-06-10T11:02:00"), quote(last_trade_time="9999-12-31T23:59:59"),
]  # fmt: skip


@pytest.mark.parametrize("body", NONSENSE, ids=range(len(NONSENSE)))
def test_what_cannot_be_read_or_believed_is_counted_and_changes_nothing(desk: Desk, body: bytes) -> None:
    desk.feed.hear_quote(body)
    assert (desk.feed.counts["refused"], desk.prints(), desk.feed.latest) == (1, [], None)
    desk.feed.hear_quote(quote())
    assert [ticks for *_, ticks in desk.prints()] == [1850], "and the next good one is understood"
    desk.feed.hear_quote(quote(last_trade_time="2026-06-10T10:44:00"))
    assert (len(desk.prints()), desk.feed.counts["repeated"]) == (1, 1), "an older one is no news"


# --- a run ------------------------------------------------------------------------------------------------------
def by_vix(*more: str) -> Any:
    return loose("volatility.index=vix", *more)


@pytest.mark.spec("R1")
def test_the_index_that_a_configuration_names_is_everybody_s() -> None:
    specs = [listing("binance", "BTC/USDT", "spot", "0.1", "0.001"), dvol_spec("BTC"), vix_spec()]
    ids = [build(specs, config).record[0]["groups"][0]["volatility_id"] for config in (loose(), by_vix())]
    assert ids == [1, 2]
    with pytest.raises(UserError, match="which is not among the selected listings"):
        build(specs[:2], by_vix())


@pytest.mark.spec("R1")
def test_an_index_that_falls_silent_is_named_and_so_is_what_stands_in_for_it(tmp_path: Path) -> None:
    said, clock, config = list[str](), Clock(), by_vix()
    universe = build([listing("binance", "BTC/USDT", "spot", "0.1", "0.001"), vix_spec()], config)
    journal = Journal(tmp_path / "journal")
    sequencer = Sequencer(universe, config, journal, clock, lambda _command: None)
    names, venue = VolatilityNames(said.append), Cboe(1, clock)
    for known_ns, row in closes_of(venue.http("GET", HISTORY, "", "", {}).body.decode(), clock()):
        sequencer.hear(Kind.TRADE, 1, row, ts_local_ns=known_ns)
    for days in (0, 1, 2, 3, 4):
        clock.ns += days * DAY_NS
        names.look(universe, sequencer.market, config, clock())
    journal.close()
    assert len(said) == 2
    assert said[0].startswith("volatility of BTC: implied, cboe VIX: ")
    assert said[0].endswith("daily closes, 15 minutes late, not live")
    assert "none yet, positions times" in said[1]
    assert "cboe VIX has" in said[1]


async def run_for(
    links: list[Any], config: Any, folder: Path, said: list[str], seconds: float, catalog: Path | None = None
) -> LiveRun:
    live = LiveRun(links, config, folder, say=said.append, catalog=catalog)
    await live.run(seconds, lambda run: run_folder.begin(folder, config, run.known, "test"))
    return live


@pytest.mark.spec("R1", "E1", "X1")
def test_a_run_over_sockets_is_sized_by_the_vix_and_says_how_late_it_is(tmp_path: Path) -> None:
    said = list[str]()

    async def hear() -> tuple[LiveRun, CboeLink]:
        place = embedded(Scene("", ["BTC"], 1, 0.0, 60, []), ["binance", "cboe"], 1000.0)
        async with place.serve(wall_ns, Faults({}, 1)) as doors:
            links = [link_to(door.venue, addresses(door), wall_ns) for door in doors]
            assert isinstance(links[1], CboeLink)
            return await run_for(links, by_vix(), tmp_path, said, 1.0), links[1]

    live, link = asyncio.run(hear())
    [words] = [text for text in said if text.startswith("volatility of BTC: ")]
    assert words.startswith("volatility of BTC: implied, cboe VIX: ")
    assert words.endswith("15 minutes late, not live")
    assert link.feed.counts["quotes"] == 1, "once a minute"
    assert "15 minutes late, not live" in link.health()
    assert int(live.sequencer.market[0]["volatilities"][1]["close_count"]) > 300
    assert np.isin(live.known.record[0]["groups"]["volatility_id"][:2], [1]).all()


@pytest.mark.spec("R1")
def test_without_the_source_a_run_begins_all_the_same_and_names_its_fallback(tmp_path: Path) -> None:
    said = list[str]()

    async def hear() -> tuple[LiveRun, CboeLink]:
        place = embedded(Scene("", ["BTC"], 1, 0.0, 60, []), ["binance"], 1000.0)
        async with place.serve(wall_ns, Faults({}, 1)) as (door,):
            link = CboeLink(CboePlace("http://127.0.0.1:9/api/global"), wall_ns)
            links = [link_to(door.venue, addresses(door), wall_ns), link]
            return await run_for(links, by_vix(), tmp_path, said, 1.0), link

    live, link = asyncio.run(hear())
    [words] = [text for text in said if text.startswith("volatility of BTC: ")]
    assert "none yet, positions times 1: cboe VIX has 0 daily closes" in words
    assert link.health() == "no quote yet (15 minutes late, not live), 1 failed, 1 no history"
    assert live.sequencer.market[0]["books"]["state"][0] == BookState.LIVE


@pytest.mark.spec("R1", "E1")
def test_an_index_whose_source_tells_nothing_has_its_past_from_the_catalog_and_the_run_says_so(tmp_path: Path) -> None:
    said, catalog, source = list[str](), tmp_path / "catalog", tmp_path / "VIX_History.csv"
    source.write_bytes(Cboe(1, wall_ns).http("GET", HISTORY, "", "", {}).body)
    import_paths("volatility", [source], catalog)

    async def hear() -> LiveRun:
        place = embedded(Scene("", ["BTC"], 1, 0.0, 60, []), ["binance"], 1000.0)
        async with place.serve(wall_ns, Faults({}, 1)) as (door,):
            links = [link_to(door.venue, addresses(door), wall_ns)]
            links.append(CboeLink(CboePlace("http://127.0.0.1:9/api/global"), wall_ns))
            return await run_for(links, by_vix(), tmp_path / "run", said, 1.0, catalog)

    (tmp_path / "run").mkdir()
    live = asyncio.run(hear())
    closes = int(live.sequencer.market[0]["volatilities"][1]["close_count"])
    assert closes > 300
    assert any(text.startswith("cboe VIX tells nothing of its past: ") and str(catalog) in text for text in said)
    assert any(text.startswith("volatility of BTC: implied, cboe VIX: ") for text in said)


def test_the_vix_is_one_however_many_assets_are_traded() -> None:
    assert public_hosts(["cboe"], ["BTC", "ETH"])["cboe"] == {"rest": CboePlace().rest, "symbols": ["VIX"]}
