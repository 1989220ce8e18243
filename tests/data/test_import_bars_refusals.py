"""Bars that cannot be believed are refused by file and line, and leave a catalog as it was."""

import gzip
import lzma
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.importers.said import Said
from elegant_trading_system.errors import ExitCode, UserError

from .bar_files import NAMES, ROWS, START_S, Row, bar, containers, csv_text, parquet, zipped

GOOD = csv_text(ROWS, NAMES)


def with_row(*values: object) -> bytes:
    """Good bars, then this row on line 7."""
    return GOOD + ",".join(map(str, values)).encode() + b"\n"


def spaced(minutes: int) -> bytes:
    return csv_text([bar(minutes * number) for number in range(30)], NAMES)


def swapped() -> bytes:
    """Low before high before open, as one exchange answers, without a header."""
    return csv_text([[row[0], row[3], row[2], row[1], row[4], row[5]] for row in ROWS])


BAD_FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": (".csv", b"", "empty file"),
    "a header alone": (".csv", csv_text([], NAMES), "no bars in it"),
    "no volume": (".csv", csv_text([row[:5] for row in ROWS], NAMES[:5]), "no column for volume among open_time, open"),
    "too few fields and no header": (".csv", csv_text([row[:4] for row in ROWS]), "rows of 4 fields"),
    "a word for a price": (".csv", with_row(bar(5)[0], "abc", 1, 1, 1, 1), ":7: open is not a number: 'abc'"),
    "a word for a time": (".csv", with_row("yesterday", 1, 1, 1, 1, 1), "not a time"),
    "a time that is a date of no month": (
        ".csv",
        csv_text([["2024-13-01 00:00", 1, 1, 1, 1, 1]], NAMES),
        ":2: not a time",
    ),
    "no time": (".csv", with_row("", 1, 1, 1, 1, 1), ":7: not a time"),
    "a time of long ago": (".csv", with_row(12, 1, 1, 1, 1, 1), ":7: not a time"),
    "a time beyond all units": (".csv", with_row(9 * 10**18, 1, 1, 1, 1, 1), ":7: not a time"),
    "a year before computers": (
        ".csv",
        csv_text([["1901-01-01 00:00", 1, 1, 1, 1, 1]], NAMES),
        ":2: time is not between",
    ),
    "mixed units": (
        ".csv",
        with_row(START_S + 300, 1, 1, 1, 1, 1),
        ":7: seconds in a file that begins with milliseconds",
    ),
    "half a minute": (".csv", with_row(bar(5)[0] + 30_000, 1, 1, 1, 1, 1), ":7: time is not on a whole minute"),
    "time turning back": (".csv", csv_text([bar(0), bar(2), bar(1), bar(3)], NAMES), ":4: time turns back"),
    "bars of a quarter of an hour": (".csv", spaced(15), "bars of 15 minutes, by their times"),
    "columns in another order": (".csv", swapped(), "5 of 5 bars contradict themselves"),
    "a row too long": (".csv", with_row(bar(5)[0], 1, 1, 1, 1, 1, 1, 1), ".csv: "),
    "no JSON": (".json", b"{oops", ".json: "),
    "a JSON object": (".json", b'{"a": 1}', "not a list of bars"),
    "uneven rows": (".json", b"[[1,2,3,4,5,6],[1,2]]", ":2: not a row like the first"),
    "rows of words": (".json", b'["a","b"]', "not a list of bars"),
    "deep nesting": (".json", b"[" * 100_000, ".json: "),
    "no xz": (".csv.xz", GOOD, ".csv.xz: "),
    "a truncated xz": (".csv.xz", lzma.compress(GOOD)[:-20], ".csv.xz: "),
    "a truncated gz": (".csv.gz", gzip.compress(GOOD)[:-10], ".csv.gz: "),
    "no zip": (".zip", GOOD, ".zip: File is not a zip file"),
    "a zip without a CSV": (".zip", zipped("a.txt", GOOD), "0 CSV files inside"),
    "a damaged zip": (".zip", zipped("a.csv", GOOD)[:-30], ".zip: "),
    "no Parquet": (".parquet", GOOD, ".parquet: "),
    "a truncated Parquet": (".parquet", containers(ROWS)["parquet"][:-9], ".parquet: "),
    "a datetime beyond nanoseconds": (
        ".parquet",
        parquet([bar(0), [10**15, *ROWS[1][1:]]]),
        ":2: not a time: 1000000000000000",
    ),
    "no feather": (".feather", GOOD, ".feather: "),
    "another kind of file": (".xlsx", GOOD, "not a kind of file bars are read from"),
    "binary junk": (".csv", bytes(range(1, 256)) * 9, ".csv: "),
    "a price that overflows": (
        ".csv",
        csv_text([[bar(0)[0], 1e18, 1e18, 1e18, 1e18, 1e6]], NAMES),
        "does not fit 64 bits",
    ),
    "prices of nothing": (".csv", csv_text([[bar(0)[0], 1e-12, 1e-12, 1e-12, 1e-12, 1]], NAMES), "finer than"),
}


def refusal(tmp_path: Path, name: str, data: bytes, **said: str) -> UserError:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError) as refused:
        import_paths("bars", [tmp_path / name], tmp_path / "catalog", said=Said(**said))
    assert not list((tmp_path / "catalog").rglob("*"))
    assert refused.value.hint
    return refused.value


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_bars_are_named_with_their_line_and_leave_nothing(name: str, tmp_path: Path) -> None:
    suffix, data, message = BAD_FILES[name]
    refused = refusal(tmp_path, f"kraken_BTCUSD{suffix}", data)
    assert f"kraken_BTCUSD{suffix}" in refused.message
    assert message in refused.message
    assert refused.exit_code == ExitCode.DATA


NAMELESS: dict[str, tuple[str, str]] = {
    "no venue": ("BTCUSD.csv", "neither the file's name nor its folders name a venue"),
    "no symbol": ("kraken_history.csv", "the file's name holds no symbol known here"),
    "another length": ("kraken_BTCUSD-5m.csv", "bars of 5m, by its name"),
}


@pytest.mark.parametrize("case", NAMELESS)
def test_a_name_that_says_too_little_is_refused_with_the_way_to_say_it(case: str, tmp_path: Path) -> None:
    name, message = NAMELESS[case]
    assert message in refusal(tmp_path, name, GOOD).message


SAID: dict[str, tuple[dict[str, str], str]] = {
    "no such stamps": ({"stamps": "middle"}, "--stamps middle"),
    "no such zone": ({"timezone": "Mars/Olympus"}, "unknown time zone 'Mars/Olympus'"),
    "a zone of dots": ({"timezone": "../x"}, "unknown time zone"),
    "half a symbol": ({"listing": "kraken BTC"}, "'BTC' is not a symbol"),
    "a symbol without a quote": ({"listing": "kraken BTC/"}, "is not a symbol"),
}


@pytest.mark.parametrize("case", SAID)
def test_what_nobody_can_mean_is_wrong_usage(case: str, tmp_path: Path) -> None:
    said, message = SAID[case]
    refused = refusal(tmp_path, "kraken_BTCUSD.csv", GOOD, **said)
    assert message in refused.message
    assert refused.exit_code == ExitCode.USAGE


def test_a_format_that_says_everything_itself_takes_no_words(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="files of format binance-capture say themselves"):
        import_paths("binance-capture", [tmp_path], tmp_path / "catalog", said=Said(listing="kraken"))


@pytest.mark.parametrize("times, told", [(["10:00", "10:01"], "neither"), (["09:30", "16:00"], "both")])
def test_stamps_of_a_session_that_show_nothing_are_asked_for(times: list[str], told: str, tmp_path: Path) -> None:
    rows: list[Row] = [[f"2024-01-03 {at}:00", *ROWS[0][1:]] for at in times]
    refused = refusal(tmp_path, "stocks/AAPL_1min.csv", csv_text(rows, NAMES))
    assert f"It has {told} of 09:30 and 16:00 New York" in refused.message
    assert "--stamps" in refused.hint


def test_a_local_time_that_never_was_is_refused(tmp_path: Path) -> None:
    rows: list[Row] = [["2024-03-31 02:30:00", *ROWS[0][1:]]]
    refused = refusal(tmp_path, "kraken_BTCUSD.csv", csv_text(rows, NAMES), timezone="Europe/Berlin")
    assert ":2: not a time: 2024-03-31 02:30:00" in refused.message


def flipped(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def junk(data: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(len(data))


@pytest.mark.parametrize("damage", [flipped, cut, junk])
@pytest.mark.parametrize("suffix", containers(ROWS))
def test_damage_is_refused_or_harmless_and_never_a_crash(
    suffix: str, damage: Callable[[bytes, random.Random], bytes], tmp_path: Path
) -> None:
    chance, path = random.Random(suffix), tmp_path / f"kraken_BTCUSD.{suffix}"
    for attempt in range(12):
        path.write_bytes(damage(containers(ROWS)[suffix], chance))
        told = outcome(path, tmp_path / f"catalog{attempt}")
        assert told == "kraken BTC/USD" or path.name in told


def outcome(path: Path, catalog: Path) -> str:
    """The tape's name, or why there is none."""
    try:
        return import_paths("bars", [path], catalog)[0].listing.name
    except UserError as refused:
        return refused.message
