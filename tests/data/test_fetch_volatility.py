"""Fetching the past of volatility indices: DVOL page by page, the VIX as one file that grows."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.fetch import cboe, deribit
from elegant_trading_system.data.fetch.download import Downloader
from elegant_trading_system.errors import UserError

from .loopback import Fault, Query, Source
from .test_fetch import VIX_ROWS, run

# --- DVOL -------------------------------------------------------------------------------------------------
DAY_MS = 86_400_000
FIRST_MS = 1_704_067_200_000


def dvol_row(day: int) -> list[float]:
    return [FIRST_MS + day * DAY_MS, 50.0, 60.0, 40.0, 45.0 + day / 4]


def paged(days: int, a_page: int) -> Any:
    """Answers as Deribit does: the newest rows of what was asked, and where to go on."""

    def answer(query: Query) -> bytes:
        first, until = int(query["start_timestamp"]), int(query["end_timestamp"])
        assert (query["currency"], query["resolution"]) == ("BTC", "1D")
        rows = [row for row in map(dvol_row, range(days)) if first <= row[0] <= until]
        page = rows[-a_page:]
        continuation = page[0][0] - 1 if len(rows) > a_page else None
        return json.dumps({"jsonrpc": "2.0", "result": {"data": page, "continuation": continuation}}).encode()

    return answer


def fetch_dvol(source: Source, tmp_path: Path, days: int) -> Any:
    start = date(2024, 1, 1)
    with Downloader(source.url) as downloader:
        end = start + timedelta(days=days)
        path = deribit.fetch(downloader, "BTC", start, end, tmp_path, lambda *_: None)
    return json.loads(path.read_text())


@pytest.mark.spec("R1")
def test_pages_of_dvol_become_one_tape(source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.answers[deribit.METHOD] = paged(25, 10)
    words = ("fetch", "dvol", "--instruments", "btc", "--start", "2024-01-01", "--end", "2024-01-26")
    run(*words, "--folder", tmp_path, "--catalog", tmp_path / "catalog", "--base-url", source.url, capsys=capsys)
    (tape,) = Catalog(tmp_path / "catalog").tapes()
    assert (tape.facts.listing.name, tape.facts.packets) == ("deribit DVOL/BTC", 25)
    assert tape.levels["price_ticks"].tolist() == [4500 + 25 * day for day in range(25)]
    assert tape.packets["ts_local_ns"].tolist() == [(FIRST_MS + (day + 1) * DAY_MS) * 10**6 for day in range(25)]
    assert len(source.asked) == 3


def test_days_of_dvol_that_are_there_are_not_asked_for_again(source: Source, tmp_path: Path) -> None:
    source.answers[deribit.METHOD] = paged(25, 10)
    assert len(fetch_dvol(source, tmp_path, 8)) == 8
    assert len(fetch_dvol(source, tmp_path, 8)) == 8
    assert len(source.asked) == 1
    assert fetch_dvol(source, tmp_path, 20) == [dvol_row(day) for day in range(20)]
    assert len(source.asked) == 3  # twelve new days, ten a page


def test_a_day_that_is_not_over_is_left_for_later(source: Source, tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    days = (today - date(2024, 1, 1)).days
    source.answers[deribit.METHOD] = paged(days + 1, 10_000)
    assert fetch_dvol(source, tmp_path, days + 5)[-1][0] == FIRST_MS + (days - 1) * DAY_MS


def test_deribits_own_words_for_too_fast_are_understood(source: Source, slept: list[float], tmp_path: Path) -> None:
    answers = iter([b'{"error":{"code":10028,"message":"too_many_requests"}}', paged(5, 10)])

    def answer(query: Query) -> bytes:
        found = next(answers)
        return found if isinstance(found, bytes) else bytes(found(query))

    source.answers[deribit.METHOD] = answer
    source.faults[deribit.METHOD] = [Fault(400)]
    assert len(fetch_dvol(source, tmp_path, 5)) == 5
    assert slept == [0.5]


@pytest.mark.parametrize("text, message", [
    (b'{"error":{"code":-32602,"message":"Invalid params"}}', "Invalid params"), (b"<html>", "not rows"),
    (b'{"result":{"data":[[1,2]],"continuation":null}}', "not rows"), (b'{"result":{"data":[],"continuation":"x"}}', "not rows"),
    (b'{"result":{"data":[],"continuation":9999999999999}}', "does not go back"), (b"[" * 100_000, "not rows"),
    (b'{"result":{"data":[],"continuation":null}}', "no DVOL of BTC"),
])  # fmt: skip
def test_an_answer_that_is_no_dvol_is_refused_and_nothing_is_written(
    text: bytes, message: str, source: Source, tmp_path: Path
) -> None:
    source.answers[deribit.METHOD] = lambda _: text
    with pytest.raises(UserError, match=message):
        fetch_dvol(source, tmp_path, 5)
    assert not list(tmp_path.rglob("*.json*"))


# --- VIX --------------------------------------------------------------------------------------------------
def fetch_vix(source: Source, folder: Path) -> tuple[Path, bool]:
    with Downloader(source.url) as downloader:
        return cboe.fetch(downloader, folder, lambda *_: None)


@pytest.mark.spec("R1", "R5")
def test_vix_history_becomes_a_tape_and_is_only_fetched_when_newer(
    source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source.files[cboe.PATH] = b"\xef\xbb\xbf" + VIX_ROWS.encode()
    source.last_modified = "Fri, 24 Jul 2026 22:00:00 GMT"
    places = ("--folder", tmp_path / "files", "--catalog", tmp_path / "catalog", "--base-url", source.url)
    assert run("fetch", "vix", *places, capsys=capsys)["downloaded"] == 1
    assert run("fetch", "vix", *places, capsys=capsys)["downloaded"] == 0
    (tape,) = Catalog(tmp_path / "catalog").tapes()
    assert tape.levels["price_ticks"].tolist() == [1664, 1858]
    source.last_modified = "Mon, 27 Jul 2026 22:00:00 GMT"
    source.files[cboe.PATH] += b"07/27/2026,1,1,1,20.25\r\n"
    assert run("fetch", "vix", *places, capsys=capsys)["tapes"][0]["packets"] == 3
    assert len(Catalog(tmp_path / "catalog").tapes()) == 1


def test_a_close_that_is_still_to_come_is_not_kept(source: Source, tmp_path: Path) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).strftime("%m/%d/%Y")
    source.files[cboe.PATH] = f"{VIX_ROWS}{tomorrow},1,1,1,99\r\n".encode()
    path, is_new = fetch_vix(source, tmp_path)
    assert is_new
    assert path.read_text().splitlines() == VIX_ROWS.splitlines()


def test_a_page_instead_of_the_vix_file_does_not_take_its_place(source: Source, tmp_path: Path) -> None:
    source.files[cboe.PATH] = VIX_ROWS.encode()
    path, _ = fetch_vix(source, tmp_path)
    source.files[cboe.PATH] = b"<html>maintenance</html>"
    with pytest.raises(UserError, match="not the VIX history"):
        fetch_vix(source, tmp_path)
    assert path.read_text().splitlines() == VIX_ROWS.splitlines()
    del source.files[cboe.PATH]
    with pytest.raises(UserError, match="not found"):
        fetch_vix(source, tmp_path)
