"""VIX and DVOL: a print a value, stamped when the world knew it."""

import csv
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from elegant_trading_system.config_sources import load
from elegant_trading_system.core.kinds import Kind, ListingKind
from elegant_trading_system.data import universe
from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.tape import Tape
from elegant_trading_system.errors import ExitCode, UserError
from tests.shared_data import shared_data

from .made_tapes import rows_of

DAY_MS = 86_400_000
VIX_HEADER = "DATE,OPEN,HIGH,LOW,CLOSE\n"
pytestmark = pytest.mark.spec("R1")


def imported(folder: Path, name: str, text: str) -> Tape:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    import_paths("volatility", [path], folder / "catalog")
    (tape,) = Catalog(folder / "catalog").tapes()
    return tape


def values_of(tape: Tape) -> list[Decimal]:
    assert set(tape.levels["lots"].tolist()) == {1}
    return [ticks * tape.facts.listing.tick_size for ticks in tape.levels["price_ticks"].tolist()]


# --- recorded ---------------------------------------------------------------------------------------------
@pytest.mark.spec("R5")
def test_recorded_vix_is_known_at_a_quarter_past_four_in_new_york(tmp_path: Path) -> None:
    folder = shared_data("vix-daily")
    import_paths("volatility", [folder], tmp_path)
    (tape,) = Catalog(tmp_path).tapes()
    with (folder / "vix-daily.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert values_of(tape) == [Decimal(row["CLOSE"]) for row in rows]
    new_york = ZoneInfo("America/New_York")
    known = [datetime.fromtimestamp(ns // 10**9, new_york) for ns in tape.packets["ts_local_ns"].tolist()]
    assert [f"{moment:%Y-%m-%d %H:%M}" for moment in known] == [f"{row['DATE']} 16:15" for row in rows]
    assert (tape.facts.quality.trades, tape.facts.quality.faulty_bars, tape.facts.quality.rounded_prices) == (
        9_235,
        0,
        0,
    )
    listing = tape.facts.listing
    assert (listing.name, listing.kind, listing.base, listing.asset_class) == (
        "cboe VIX",
        "volatility",
        "VIX",
        "equity",
    )


def test_recorded_dvol_is_known_when_its_day_is_over(tmp_path: Path) -> None:
    folder = shared_data("deribit-dvol")
    import_paths("volatility", [folder], tmp_path)
    (tape,) = Catalog(tmp_path).tapes()
    rows = json.loads((folder / "dvol_btc.json").read_text(), parse_float=Decimal)
    assert values_of(tape) == [close for _, close in rows]
    assert tape.packets["ts_venue_ns"].tolist() == [ms * 10**6 for ms, _ in rows]
    assert tape.packets["ts_local_ns"].tolist() == [(ms + DAY_MS) * 10**6 for ms, _ in rows]
    assert (tape.facts.quality.trades, tape.facts.quality.missing_bars, tape.facts.latency_ns_max) == (1_102, 1, 0)
    assert max(values_of(tape)) == Decimal("114.72")
    listing = tape.facts.listing
    assert (listing.name, listing.kind, listing.base, listing.quote) == (
        "deribit DVOL/BTC",
        "volatility",
        "DVOL-BTC",
        "USD",
    )
    assert (str(listing.tick_size), str(listing.lot_size), listing.asset_class) == ("0.01", "1", "crypto")


def test_both_indices_take_their_place_in_a_universe(tmp_path: Path) -> None:
    import_paths("volatility", [shared_data("vix-daily"), shared_data("deribit-dvol")], tmp_path)
    built = universe.build([tape.facts.listing for tape in Catalog(tmp_path).tapes()], load([], []))
    assert built.groups == ["VIX", "DVOL-BTC"]
    rows = built.record[0]["listings"][:2]
    assert rows["kind"].tolist() == [ListingKind.VOLATILITY] * 2
    assert rows["can_trade"].tolist() == [0, 0]


# --- rules ------------------------------------------------------------------------------------------------
def test_a_value_is_one_print_on_the_buy_side(tmp_path: Path) -> None:
    tape = imported(tmp_path, "VIX_History.csv", VIX_HEADER + "07/24/2026,18.9,19,17.4,18.58\n")
    packet = tape.packets[0]
    assert (packet["kind"], packet["code"], packet["buy_count"], packet["sell_count"]) == (Kind.TRADE, 0, 1, 0)
    assert rows_of(tape.levels, packet) == ([(1858, 1)], [])
    assert packet["ts_local_ns"] == 1_784_924_100 * 10**9  # 20:15 UTC: summer in New York


@pytest.mark.parametrize("text", [
    "\ufeffDATE,OPEN,HIGH,LOW,CLOSE\r\n01/02/2024,1,1,1,13.2\r\n01/03/2024,1,1,1,14.04\r\n",
    "observation_date,VIXCLS\n2024-01-02,13.20\n2024-01-03,14.04\n",
    "DATE,OPEN,HIGH,LOW,CLOSE\n2024-01-03,1,1,1,14.04\n2024-01-02,1,1,1,13.2\n",
])  # fmt: skip
def test_every_publisher_of_vix_says_the_same(text: str, tmp_path: Path) -> None:
    tape = imported(tmp_path, "vix.csv", text)
    assert values_of(tape) == [Decimal("13.20"), Decimal("14.04")]
    assert tape.packets["ts_local_ns"].tolist() == [1_704_230_100 * 10**9, 1_704_316_500 * 10**9]


@pytest.mark.parametrize("seconds", [60, 3600, 43_200, 86_400])
def test_dvol_of_any_resolution_is_known_at_the_end_of_its_period(seconds: int, tmp_path: Path) -> None:
    rows = [[1_704_067_200_000 + seconds * 1000 * at, 1.0, 2.0, 1.0, 50.5 + at] for at in (0, 1, 2, 5)]
    tape = imported(tmp_path, "dvol_eth.json", json.dumps(rows))
    assert tape.facts.listing.name == "deribit DVOL/ETH"
    assert values_of(tape) == [Decimal("50.5"), Decimal("51.5"), Decimal("52.5"), Decimal("55.5")]
    assert set((tape.packets["ts_local_ns"] - tape.packets["ts_venue_ns"]).tolist()) == {seconds * 10**9}
    assert tape.facts.quality.missing_bars == 2


def test_what_is_no_volatility_is_left_out_and_counted(tmp_path: Path) -> None:
    """No value, an old scale, a slip of the point, a day told in two ways, a day told twice."""
    days = ["2,13", "3,.", "4,", "5,0.21", "8,1300", "9,14", "9,15", "10,16", "10,16"]
    text = "DATE,CLOSE\n" + "".join(f"2024-01-{int(day.split(',')[0]):02},{day.split(',')[1]}\n" for day in days)
    tape = imported(tmp_path, "vix.csv", text)
    quality = tape.facts.quality
    assert values_of(tape) == [Decimal(13), Decimal(16)]
    assert (quality.lines, quality.trades, quality.faulty_bars, quality.repeats) == (9, 2, 6, 1)


def test_a_value_finer_than_a_hundredth_is_rounded_and_counted(tmp_path: Path) -> None:
    tape = imported(tmp_path, "vix.csv", VIX_HEADER + "2024-01-02,1,1,1,13.204999\n")
    assert (values_of(tape), tape.facts.quality.rounded_prices) == ([Decimal("13.20")], 1)


BAD_FILES = {
    "empty": ("vix.csv", "", "vix.csv:1: no columns DATE and CLOSE"),
    "no close": ("vix.csv", "DATE,OPEN\n2024-01-02,1\n", "vix.csv:1: no columns DATE and CLOSE"),
    "no rows": ("vix.csv", VIX_HEADER, "no value between 1 and 500"),
    "no day": ("vix.csv", VIX_HEADER + "2024-02-30,1,1,1,13\n", "vix.csv:2: not a day: '2024-02-30'"),
    "no number": ("vix.csv", VIX_HEADER + "2024-01-02,1,1,1,x\n", "vix.csv:2: not a number: 'x'"),
    "a short row": ("vix.csv", VIX_HEADER + "2024-01-02,1\n", "vix.csv:2: 2 fields, the header has 5"),
    "no currency": ("dvol.json", "[[1704067200000,50.0]]", "says neither BTC nor ETH"),
    "no JSON": ("dvol_btc.json", "{oops", "bad JSON"),
    "no list": ("dvol_btc.json", "{}", "no rows"),
    "an empty list": ("dvol_btc.json", "[]", "no rows"),
    "seconds": ("dvol_btc.json", "[[1704067200,50.0]]", "row 1: not [ms, close]"),
    "a word": ("dvol_btc.json", '[[1704067200000,50.0],[1704153600000,"x"]]', "row 2: not [ms, close]"),
    "deep nesting": ("dvol_btc.json", "[" * 100_000, "bad JSON"),
    "an odd distance": ("dvol_btc.json", "[[1704067200000,50.0],[1704067207000,51.0]]", "lie 7000 ms apart"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_volatility_is_named_with_its_line_and_leaves_nothing(case: str, tmp_path: Path) -> None:
    name, text, message = BAD_FILES[case]
    with pytest.raises(UserError) as refused:
        imported(tmp_path, name, text)
    assert name in refused.value.message
    assert message in refused.value.message
    assert refused.value.hint
    assert refused.value.exit_code == ExitCode.DATA
    assert not list((tmp_path / "catalog").rglob("*"))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "vix.csv").write_bytes(b"DATE,CLOSE\n\xff\xfe")
    with pytest.raises(UserError, match=r"vix.csv: not text"):
        import_paths("volatility", [tmp_path / "vix.csv"], tmp_path / "catalog")
