"""Fetching history: whole or not at all, again where it broke off, patient but not for ever."""

import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from elegant_trading_system import cli
from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.fetch import binance_vision, cboe, download
from elegant_trading_system.data.fetch.binance_vision import Period, periods
from elegant_trading_system.data.fetch.download import ATTEMPTS, Downloader
from elegant_trading_system.errors import ExitCode, UserError

from .bar_files import NAMES, bar, csv_text, zipped
from .loopback import Fault, Source, serving

MONTHLY = "/data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip"
MINUTES_A_DAY = 1440
VIX_ROWS = "DATE,OPEN,HIGH,LOW,CLOSE\r\n07/22/2026,17.4,19.5,16.6,16.640000\r\n07/24/2026,18.9,19.0,17.4,18.580000\r\n"


def day_zip(name: str, first_minute: int, minutes: int = 5, *, has_header: bool = False) -> bytes:
    """A few minutes of a day or a month, as the source packs them."""
    rows = [bar(first_minute + minute) for minute in range(minutes)]
    rows = [[*row, row[0] + 59_999, "1.0", 3, "0.5", "0.5", 0] for row in rows]
    names = [*NAMES, "close_time", "quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume", "ignore"]
    return zipped(f"{name}.csv", csv_text(rows, names if has_header else None))


def put(source: Source, path: str, data: bytes, sha256: str = "") -> None:
    name = path.rpartition("/")[2]
    source.files[path] = data
    source.files[f"{path}.CHECKSUM"] = f"{sha256 or hashlib.sha256(data).hexdigest()}  {name}\n".encode()


def put_month(source: Source, month: int = 1) -> bytes:
    name = f"BTCUSDT-1m-2024-{month:02}"
    data = day_zip(name, (date(2024, month, 1) - date(2024, 1, 1)).days * MINUTES_A_DAY)
    put(source, MONTHLY.replace("2024-01", f"2024-{month:02}"), data)
    return data


def fetch_january(source: Source, folder: Path, end: str = "2024-02-01") -> binance_vision.Fetched:
    days = date(2024, 1, 1), date.fromisoformat(end)
    with Downloader(source.url) as downloader:
        return binance_vision.fetch(downloader, "BTC/USDT", *days, folder, lambda *_: None)


def run(*words: object, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The command's JSON answer."""
    cli.app(args=[str(word) for word in words] + ["--json"], prog_name="ets", standalone_mode=False)
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


# --- Binance Vision ---------------------------------------------------------------------------------------
def test_a_fetched_month_is_a_tape(source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_month(source)
    words = ("fetch", "binance-bars", "--instruments", "BTC/USDT", "--start", "2024-01-01", "--end", "2024-02-01")
    places = ("--folder", tmp_path / "files", "--catalog", tmp_path / "catalog", "--base-url", source.url)
    answer = run(*words, *places, capsys=capsys)
    (tape,) = Catalog(tmp_path / "catalog").tapes()
    assert tape.facts.listing.name == "binance BTC/USDT"
    assert (tape.facts.quality.bars, answer["downloaded"], answer["missing"]) == (5, 1, {})
    assert run(*words, *places, capsys=capsys)["downloaded"] == 0
    assert source.asked == [f"{MONTHLY}.CHECKSUM", MONTHLY]


def test_a_longer_range_takes_the_place_of_a_shorter_one(
    source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Days fetched first give way to their month, and the month's tape to that of two months."""
    daily = MONTHLY.replace("monthly", "daily").replace("2024-01", "2024-01-01")
    put(source, daily, day_zip("BTCUSDT-1m-2024-01-01", 0, 3))
    put_month(source), put_month(source, 2)
    for end, bars, files in (("2024-01-02", 3, 1), ("2024-02-01", 5, 1), ("2024-03-01", 10, 2)):
        run(
            "fetch", "binance-bars", "--instruments", "BTC/USDT", "--start", "2024-01-01", "--end", end,
            "--folder", tmp_path / "files", "--catalog", tmp_path / "catalog", "--base-url", source.url, capsys=capsys,
        )  # fmt: skip
        (tape,) = Catalog(tmp_path / "catalog").tapes()
        assert (tape.facts.quality.bars, len(tape.facts.source_files), tape.facts.quality.repeats) == (bars, files, 0)
    assert not list((tmp_path / "catalog").glob(".*"))


@pytest.mark.parametrize("symbol, folder, name", [
    ("ETH/USDT:USDT", "futures/um", "ETHUSDT"), ("eth/usd:eth", "futures/cm", "ETHUSD_PERP"), ("ETH/BTC", "spot", "ETHBTC"),
])  # fmt: skip
def test_each_market_has_its_folder(symbol: str, folder: str, name: str, source: Source, tmp_path: Path) -> None:
    path = f"/data/{folder}/daily/klines/{name}/1m/{name}-1m-2024-01-05.zip"
    put(source, path, day_zip(f"{name}-1m-2024-01-05", 4 * MINUTES_A_DAY, has_header=True))
    with Downloader(source.url) as downloader:
        days = date(2024, 1, 5), date(2024, 1, 6)
        (file,) = binance_vision.fetch(downloader, symbol, *days, tmp_path, lambda *_: None).files
    assert file == tmp_path / "binance" / folder / name / f"{name}-1m-2024-01-05.zip"
    assert file.read_bytes() == source.files[path]


def test_whole_months_come_by_month_and_the_rest_by_day() -> None:
    found = periods(date(2024, 1, 30), date(2024, 4, 2))
    assert [period.text for period in found] == ["2024-01-30", "2024-01-31", "2024-02", "2024-03", "2024-04-01"]
    assert len(Period(date(2024, 2, 1), is_month=True).days()) == 29


def test_a_month_not_yet_published_is_fetched_by_day(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FifthOfFebruary(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "FifthOfFebruary":
            return cls(2024, 2, 5, 12, tzinfo=tz)

    monkeypatch.setattr(binance_vision, "datetime", FifthOfFebruary)
    for day in range(1, 32):
        name = f"BTCUSDT-1m-2024-01-{day:02}"
        put(source, f"/data/spot/daily/klines/BTCUSDT/1m/{name}.zip", day_zip(name, (day - 1) * MINUTES_A_DAY))
    fetched = fetch_january(source, tmp_path)
    assert [path.stem[-2:] for path in fetched.files] == [f"{day:02}" for day in range(1, 32)]


def test_what_the_source_does_not_have_is_named(source: Source, tmp_path: Path) -> None:
    put_month(source, 2)
    fetched = fetch_january(source, tmp_path, "2024-04-01")
    assert (len(fetched.files), fetched.missing) == (1, ["2024-01", "2024-03"])


def test_a_symbol_the_source_does_not_have_is_refused_with_what_and_where(source: Source, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no minute bars of BTCUSDT for 2024-01 ") as refused:
        fetch_january(source, tmp_path)
    assert f"{source.url}/data/spot" in refused.value.message
    assert "spelt as Binance does" in refused.value.hint


# --- interruptions ----------------------------------------------------------------------------------------
def test_a_broken_connection_goes_on_where_it_broke(source: Source, slept: list[float], tmp_path: Path) -> None:
    data = put_month(source)
    source.faults[MONTHLY] = [Fault(bytes_sent=100), Fault(bytes_sent=50)]
    (file,) = fetch_january(source, tmp_path).files
    assert file.read_bytes() == data
    assert source.ranges == ["bytes=100-", "bytes=150-"]
    assert len(slept) == 2


def test_a_killed_fetch_goes_on_with_the_part_it_left(source: Source, tmp_path: Path) -> None:
    data = put_month(source)
    part = tmp_path / "binance" / "spot" / "BTCUSDT" / "BTCUSDT-1m-2024-01.zip.part"
    part.parent.mkdir(parents=True)
    for left in (data[:77], data, data + b"more", b"another version"):
        part.write_bytes(left)
        (file,) = fetch_january(source, tmp_path).files
        assert file.read_bytes() == data
        assert not part.exists()
        file.unlink()
    assert source.ranges[0] == "bytes=77-"


def test_a_server_without_ranges_is_asked_from_the_start(source: Source, slept: list[float], tmp_path: Path) -> None:
    data = put_month(source)
    source.has_ranges = False
    source.faults[MONTHLY] = [Fault(bytes_sent=100)]
    assert fetch_january(source, tmp_path).files[0].read_bytes() == data


def test_a_file_that_differs_from_its_checksum_is_not_kept(source: Source, tmp_path: Path) -> None:
    put(source, MONTHLY, day_zip("BTCUSDT-1m-2024-01", 0), sha256="0" * 64)
    with pytest.raises(UserError, match="differs from its published checksum"):
        fetch_january(source, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_checksum_that_is_none_is_refused(source: Source, tmp_path: Path) -> None:
    put_month(source)
    source.files[f"{MONTHLY}.CHECKSUM"] = b"<html>hello</html>"
    with pytest.raises(UserError, match="no sha256 in it"):
        fetch_january(source, tmp_path)


# --- patience ---------------------------------------------------------------------------------------------
def test_what_may_pass_is_tried_again_after_longer_and_longer_pauses(
    source: Source, slept: list[float], tmp_path: Path
) -> None:
    put_month(source)
    source.faults[MONTHLY] = [Fault(500), Fault(502), Fault(503)]
    assert fetch_january(source, tmp_path).downloaded == 1
    assert slept == [0.5, 1.0, 2.0]


def test_a_pause_is_told(source: Source, slept: list[float], tmp_path: Path) -> None:
    source.files[cboe.PATH] = VIX_ROWS.encode()
    source.faults[cboe.PATH] = [Fault(503)]
    told: list[str] = []
    with Downloader(source.url, lambda text, _: told.append(text)) as downloader:
        cboe.fetch(downloader, tmp_path, lambda *_: None)
    assert told == ["HTTP 503 Service Unavailable; again in 0.5 s"]


def test_a_server_that_says_when_is_obeyed(source: Source, slept: list[float], tmp_path: Path) -> None:
    put_month(source)
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True)
    source.faults[MONTHLY] = [
        Fault(429, {"Retry-After": "7"}),
        Fault(503, {"Retry-After": later}),
        Fault(429, {"Retry-After": "?"}),
    ]
    fetch_january(source, tmp_path)
    assert (slept[0], slept[2]) == (7.0, 2.0)
    assert 45 < slept[1] <= 50


def test_patience_ends(source: Source, slept: list[float], tmp_path: Path) -> None:
    put_month(source)
    source.faults[MONTHLY] = [Fault(503) for _ in range(ATTEMPTS)]
    with pytest.raises(UserError, match=f"HTTP 503 Service Unavailable; tried {ATTEMPTS} times"):
        fetch_january(source, tmp_path)
    assert len(slept) == ATTEMPTS - 1
    source.faults[MONTHLY] = [Fault(429, {"Retry-After": "3600"})]
    with pytest.raises(UserError, match="asks to wait 3,600 s"):
        fetch_january(source, tmp_path)


def test_what_does_not_pass_is_refused_at_once(source: Source, slept: list[float], tmp_path: Path) -> None:
    put_month(source)
    source.faults[MONTHLY] = [Fault(451)]
    with pytest.raises(UserError, match="HTTP 451") as refused:
        fetch_january(source, tmp_path)
    assert (refused.value.exit_code, slept) == (ExitCode.DATA, [])


def test_a_server_that_is_not_there_is_named(slept: list[float], tmp_path: Path) -> None:
    with serving() as gone:
        url = gone.url
    with pytest.raises(UserError, match=f"{url}.*tried {ATTEMPTS} times"):
        fetch_january(Source(url), tmp_path)


def test_an_answer_without_end_is_cut(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_month(source)
    monkeypatch.setattr(download, "FILE_BYTES_MAX", 100)
    with pytest.raises(UserError, match="more than 0 MB"):
        fetch_january(source, tmp_path)


# --- words ------------------------------------------------------------------------------------------------
BARS = ("fetch", "binance-bars", "--start", "2024-01-01", "--instruments")


@pytest.mark.parametrize("words, message", [
    ((*BARS, "BTCUSDT"), "'BTCUSDT' is not an instrument"), ((*BARS, "BTC/USDT:ETH"), "settled in neither"),
    ((*BARS, "BTC/USDT", "--end", "2024-13-01"), "'2024-13-01' is not a day"),
    ((*BARS, "BTC/USDT", "--end", "2024-01-01"), "nothing to fetch"), ((*BARS, "BTC/USDT", "--base-url", "ftp://x"), "not an address"),
    ((*BARS, ","), "no instruments"), (("fetch", "dvol", "--instruments", "DOGE"), "no DVOL of 'DOGE'"),
    (("fetch", "dvol", "--start", "2024-01-02", "--end", "2024-01-01"), "nothing to fetch"),
])  # fmt: skip
def test_what_cannot_be_fetched_is_wrong_usage(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as refused:
        cli.app(args=list(words), prog_name="ets", standalone_mode=False)
    assert refused.value.exit_code == ExitCode.USAGE
    assert refused.value.hint
    assert not list(tmp_path.rglob("*.zip"))
