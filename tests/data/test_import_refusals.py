"""Rubbish is refused by file and line, and leaves a catalog as it was."""

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from elegant_trading_system.data import tape
from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.importers import FORMATS, import_paths
from elegant_trading_system.data.importers.binance_wire import LINE_BYTES_MAX
from elegant_trading_system.data.tape import ListingSpec, TapeWriter
from elegant_trading_system.errors import ExitCode, UserError

from .capture_files import GOOD, START_NS, futures_depth, line, snapshot, spot_depth, stream, trade, write

PACKED = gzip.compress(b"".join(GOOD * 1), 1)


def good_until(*after: bytes) -> bytes:
    return gzip.compress(b"".join([*GOOD, *after]), 1)


BAD_FILES = {
    "empty": (b"", "empty file"),
    "an empty gzip": (gzip.compress(b""), "empty file"),
    "not gzip": (b"".join(GOOD), ":1: damaged or not gzip"),
    "binary junk": (bytes(range(256)) * 40, ":1: damaged or not gzip"),
    "packed junk": (gzip.compress(bytes(range(1, 256)) * 40), ":1: no receive time"),
    "truncated": (PACKED[:-20], ": truncated gzip file"),
    "damaged inside": (PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:], ":7: damaged or not gzip"),
    "bad JSON": (good_until(b"%d {oops\n" % (START_NS + 10**9)), ":7: bad JSON"),
    "JSON cut short": (good_until(line(300, {"stream": "x"})[:-4]), ":7: bad JSON"),
    "NaN": (good_until(b'%d {"lastUpdateId":NaN}\n' % (START_NS + 10**9)), ":7: bad JSON"),
    "a list": (good_until(b"%d []\n" % (START_NS + 10**9)), ":7: bad JSON"),
    "deep nesting": (good_until(b"%d %b\n" % (START_NS + 10**9, b'{"a":' * 100_000)), ":7: bad JSON"),
    "no stamp": (good_until(b"{}\n"), ":7: no receive time"),
    "a blank line": (good_until(b"\n", trade(300, 3)), ":7: no receive time"),
    "milliseconds": (good_until(b"1723161253937 {}\n"), ":7: receive time 1723161253937 is not in nanoseconds"),
    "time beyond int64": (good_until(b"9999999999999999999 {}\n"), ":7: receive time 9999999999999999999"),
    "time backwards": (good_until(trade(100, 3)), ":7: time goes backwards by 100000000 ns"),
    "a venue time of long ago": (good_until(trade(300, 3, T=1)), ":7: venue time 1 is more than a day"),
    "a venue time beyond int64": (good_until(trade(300, 3, T=10**30)), ":7: "),
    "no kind of message": (good_until(line(300, {"hello": 1})), ":7: neither a stream message nor"),
    "another symbol": (good_until(trade(300, 3, s="ETHUSDT")), ":7: ETHUSDT in a file of BTCUSDT"),
    "another market": (good_until(futures_depth(300, 12, 13, 14)), ":7: not a depth message of binance"),
    "ids backwards": (good_until(spot_depth(300, 14, 13)), ":7: not a depth message"),
    "a trade without price": (good_until(stream(300, "trade", {"t": 3, "q": "1"})), ":7: not a trade message"),
    "a trade without a side": (good_until(trade(300, 3, m=None)), ":7: not a trade message"),
    "a snapshot without asks": (good_until(line(300, {"lastUpdateId": 20, "bids": []})), ":7: not a snapshot"),
    "NaN as a price": (good_until(spot_depth(300, 13, 14, [["NaN", "1"]])), ":7: not a decimal"),
    "a number for a price": (good_until(spot_depth(300, 13, 14, [[100.5, "1"]])), ":7: not a list"),  # type: ignore[list-item]
    "a missing size": (good_until(spot_depth(300, 13, 14, [["100.00"]])), ":7: not a list"),
    "a negative size": (good_until(spot_depth(300, 13, 14, [["100.00", "-1"]])), ":7: negative"),
    "a negative price": (good_until(trade(300, 3, "-1.00")), ":7: negative"),
    "a zero price": (good_until(spot_depth(300, 13, 14, [["0.00", "1"]])), ":7: price is zero"),
    "an empty trade": (good_until(trade(300, 3, size="0.00000")), ":7: trade of size zero"),
    "a price off its tick": (good_until(spot_depth(300, 13, 14, [["100.001", "1"]])), ":7: price off its tick grid"),
    "a number beyond int64": (good_until(spot_depth(300, 13, 14, [["9" * 30, "1"]])), ":7: number too large"),
    "a product beyond 2^62": (good_until(spot_depth(300, 13, 14, [["9" * 9, "9" * 9]])), ":7: number too large"),
    "an unknown symbol": (gzip.compress(trade(0, 1, s="BTCUSDT_240927", X="MARKET")), ":1: unknown symbol"),
    "an unknown kind": (gzip.compress(line(0, {"id": 1, "result": None})), "unknown kind of file"),
    "no snapshot": (gzip.compress(GOOD[0] + GOOD[1]), "no snapshot fits"),
    "a snapshot too old": (gzip.compress(spot_depth(0, 9, 9) + snapshot(10, 7)), "no snapshot fits"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_named_with_its_line_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    content, message = BAD_FILES[name]
    bad = tmp_path / "bad.gz"
    bad.write_bytes(content)
    good = write(tmp_path / "good.gz", *(text.replace(b"BTCUSDT", b"ETHUSDT") for text in GOOD))
    with pytest.raises(UserError) as refused:
        import_paths("binance-capture", [good, bad], tmp_path / "catalog")
    assert f"{bad}" in refused.value.message
    assert message in refused.value.message
    assert refused.value.exit_code == ExitCode.DATA
    assert left_in(tmp_path / "catalog") == []


def left_in(catalog: Path) -> list[str]:
    return sorted(path.relative_to(catalog).as_posix() for path in catalog.rglob("*"))


def test_every_refusal_says_what_to_do(tmp_path: Path) -> None:
    for content, _ in BAD_FILES.values():
        (tmp_path / "bad.gz").write_bytes(content)
        with pytest.raises(UserError) as refused:
            import_paths("binance-capture", [tmp_path / "bad.gz"], tmp_path / "catalog")
        assert refused.value.hint


def test_a_line_is_at_most_16_mb(tmp_path: Path) -> None:
    long = write(tmp_path / "long.gz", *GOOD, b"%d " % START_NS + b" " * LINE_BYTES_MAX)
    with pytest.raises(UserError, match=r"long.gz:7: line longer than 16 MB"):
        import_paths("binance-capture", [long], tmp_path / "catalog")


def test_an_unknown_format_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown format 'csv'") as refused:
        import_paths("csv", [tmp_path], tmp_path / "catalog")
    assert refused.value.hint == f"known formats: {', '.join(sorted(FORMATS))}"


def test_a_path_that_is_not_there_and_a_folder_without_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such file or folder"):
        import_paths("binance-capture", [tmp_path / "nowhere"], tmp_path / "catalog")
    with pytest.raises(UserError, match=r"no \*.gz files in this folder"):
        import_paths("binance-capture", [tmp_path], tmp_path / "catalog")
    with pytest.raises(UserError, match="no files to import"):
        import_paths("binance-capture", [], tmp_path / "catalog")
    assert not (tmp_path / "catalog").exists()


def test_a_catalog_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    good = write(tmp_path / "good.gz", *GOOD)
    (tmp_path / "catalog").write_text("a file")
    with pytest.raises(UserError, match=r"catalog: File exists"):
        import_paths("binance-capture", [good], tmp_path / "catalog")


def test_recordings_of_the_same_time_are_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "a.gz", *GOOD)
    second = write(tmp_path / "b.gz", *GOOD[3:])
    with pytest.raises(UserError, match=r"b.gz:1: begins before the file before it ends"):
        import_paths("binance-capture", [second, first], tmp_path / "catalog")
    assert left_in(tmp_path / "catalog") == []


def test_what_overlaps_the_catalog_is_refused_and_the_catalog_stays(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog"
    import_paths("binance-capture", [write(tmp_path / "a.gz", *GOOD)], catalog)
    before = left_in(catalog)
    longer = write(tmp_path / "b.gz", *GOOD, trade(300, 3))
    eth = write(tmp_path / "eth.gz", *(text.replace(b"BTCUSDT", b"ETHUSDT") for text in GOOD))
    with pytest.raises(UserError, match=r"b.gz: overlaps .*BTC-USDT"):
        import_paths("binance-capture", [eth, longer], catalog)
    assert left_in(catalog) == before


def test_importing_the_same_recording_again_changes_nothing(tmp_path: Path) -> None:
    files = [write(tmp_path / "a.gz", *GOOD[:4]), write(tmp_path / "b.gz", *GOOD[4:])]
    catalog, said = tmp_path / "catalog", list[str]()
    first = import_paths("binance-capture", files, catalog)
    before = left_in(catalog)
    again = import_paths("binance-capture", files[::-1], catalog, lambda text, share: said.append(text))
    assert again == first
    assert said[-2:] == ["binance BTC/USDT: already there", "0 tapes imported"]
    assert left_in(catalog) == before


def test_a_recording_known_in_part_is_completed(tmp_path: Path) -> None:
    """The part keeps its clock correction, which the rest might have moved."""
    catalog = tmp_path / "catalog"
    btc = write(tmp_path / "btc.gz", *GOOD)
    eth = write(tmp_path / "eth.gz", *(late(text.replace(b"BTCUSDT", b"ETHUSDT")) for text in GOOD))
    alone = import_paths("binance-capture", [btc], catalog)
    both = import_paths("binance-capture", [btc, eth], catalog)
    assert both[0] == alone[0]
    assert both[0].quality.clock_offset_ns == 4_000_000
    assert both[1].quality.clock_offset_ns == 1_000_000
    assert len(Catalog(catalog).tapes()) == 2


def late(text: bytes) -> bytes:
    """As if the venue had stamped it 3 ms later."""
    stamp, _, message = text.partition(b" ")
    return b"%d %b" % (int(stamp) - 3_000_000, message)


def test_tapes_appear_together_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    btc = write(tmp_path / "btc.gz", *GOOD)
    eth = write(tmp_path / "eth.gz", *(text.replace(b"BTCUSDT", b"ETHUSDT") for text in GOOD))
    publish = TapeWriter.publish

    def publish_btc_only(writer: TapeWriter) -> Path:
        if writer.facts.listing.base == "ETH":
            raise OSError(28, "No space left on device")
        return publish(writer)

    monkeypatch.setattr(tape.TapeWriter, "publish", publish_btc_only)
    with pytest.raises(UserError, match="No space left on device"):
        import_paths("binance-capture", [btc, eth], tmp_path / "catalog")
    assert left_in(tmp_path / "catalog") == []


KILLED = """
import os, signal, sys
from pathlib import Path
from elegant_trading_system.data.tape import TapeWriter
from elegant_trading_system.data.importers import FORMATS, import_paths
def die(writer):
    os.kill(os.getpid(), signal.SIGKILL)
TapeWriter.finish = die
import_paths("binance-capture", [Path(sys.argv[1])], Path(sys.argv[2]))
"""


def test_what_a_killed_import_leaves_is_not_seen_and_goes_with_the_next(tmp_path: Path) -> None:
    good, catalog = write(tmp_path / "good.gz", *GOOD), tmp_path / "catalog"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(good), str(catalog)], check=False, env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL
    assert {name.split("-")[0] for name in left_in(catalog) if "/" not in name} == {".partial"}  # folder and lock
    with pytest.raises(UserError, match="no tapes"):
        Catalog(catalog).tapes()
    import_paths("binance-capture", [good], catalog)
    assert [path.name for path in catalog.iterdir()] == ["binance"]


def test_another_import_at_work_is_left_alone(tmp_path: Path) -> None:
    good, catalog = write(tmp_path / "good.gz", *GOOD), tmp_path / "catalog"
    spec = ListingSpec.model_validate(
        {
            "venue": "v",
            "symbol": "A/B",
            "kind": "spot",
            "base": "A",
            "quote": "B",
            "settle": "B",
            "tick_size": "1",
            "lot_size": "1",
        }
    )
    with TapeWriter(catalog, spec, "test") as other:
        import_paths("binance-capture", [good], catalog)
        assert other.partial.exists()
    assert [path.name for path in catalog.iterdir()] == ["binance"]
