"""`ets doctor` against an emulated venue over sockets: what is fine is said to be, what is not fails by name."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from elegant_trading_system import cli
from elegant_trading_system.cli_emulator import Scene, addresses, embedded
from elegant_trading_system.emulator.binance.spot import BinanceSpot
from elegant_trading_system.emulator.binance.venue import Key
from elegant_trading_system.emulator.coinbase.jwt import new_key
from elegant_trading_system.emulator.faults import Faults
from elegant_trading_system.emulator.server import binance_app, serving
from elegant_trading_system.errors import ExitCode
from elegant_trading_system.shell.binance.doctor import SPOT, examine, permission_finding, symbol_finding
from elegant_trading_system.shell.binance.link import Place
from elegant_trading_system.shell.coinbase import doctor as doctor_coinbase
from elegant_trading_system.shell.coinbase import link as coinbase_link
from elegant_trading_system.shell.doctor import Finding, keys, machine, malformed, passes
from elegant_trading_system.shell.doctor_venue import clock_finding
from elegant_trading_system.shell.live import wall_ns

from .desk import KEY, SECRET, Clock, Venue


def visit(
    symbols: tuple[str, ...] = ("BTCUSDT",),
    *,
    key: str = KEY,
    secret: str = SECRET,
    skew_ms: int = 0,
    prepare: Callable[[Venue], None] = lambda _venue: None,
) -> dict[str, Finding]:
    """What the doctor finds at a venue whose clock stands still; ours is `skew_ms` ahead of it."""

    async def ask() -> list[Finding]:
        clock = Clock()
        venue = Venue(clock)
        prepare(venue)

        async def speak() -> None:
            for n in range(1000):
                venue.depth([(599_990, 1 + n % 2)])
                venue.flush()
                await asyncio.sleep(0.02)

        assert isinstance(venue.binance, BinanceSpot)
        async with serving(binance_app(venue.binance, Faults({}, 0))) as port:
            speaking = asyncio.create_task(speak())
            host = f"127.0.0.1:{port}"
            place = Place(f"http://{host}", f"ws://{host}", f"ws://{host}/ws-api/v3", key, secret)
            found = await examine(SPOT, place, list(symbols), lambda: clock() + skew_ms * 1_000_000, place.rest)
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)
            return found

    return {finding.name.removeprefix("binance "): finding for finding in asyncio.run(ask())}


def results(found: dict[str, Finding]) -> dict[str, str]:
    return {name: finding.result for name, finding in found.items()}


ALL = ("reachable", "clock", "BTCUSDT", "market streams", "order line", "key", "permissions", "fees")


@pytest.mark.spec("M9", "X8")
def test_a_healthy_venue_passes_every_check() -> None:
    found = visit()
    assert results(found) == dict.fromkeys(ALL, "ok")
    assert found["BTCUSDT"].found == "TRADING, tick 0.1, lot 0.001, least 5"
    assert found["permissions"].found == "can trade, cannot withdraw, tied to addresses"


@pytest.mark.spec("X8")
def test_a_key_that_can_withdraw_is_refused() -> None:
    def allow(venue: Venue) -> None:
        venue.binance.keys[KEY] = Key(SECRET, venue.account, can_withdraw=True)

    found = visit(prepare=allow)
    assert results(found) == dict.fromkeys(ALL, "ok") | {"permissions": "fail"}
    assert "enableWithdrawals" in found["permissions"].found


def test_a_key_that_cannot_trade_is_of_no_use() -> None:
    def forbid(venue: Venue) -> None:
        venue.binance.keys[KEY] = Key(SECRET, venue.account, can_trade=False)

    assert visit(prepare=forbid)["permissions"].result == "fail"


@pytest.mark.parametrize("key, secret, code", [("nobody's", SECRET, -2015), (KEY, "another secret", -1022)])
def test_a_wrong_key_fails_and_its_permissions_are_not_asked(key: str, secret: str, code: int) -> None:
    found = visit(key=key, secret=secret)
    assert results(found) == dict.fromkeys(ALL, "ok") | {"key": "fail", "permissions": "skipped", "fees": "skipped"}
    assert f"({code})" in found["key"].found
    assert not any(secret in word or key in word for finding in found.values() for word in finding)


def test_without_a_key_the_market_is_checked_all_the_same() -> None:
    found = visit(key="", secret="")
    assert results(found) == dict.fromkeys(ALL, "ok") | {"key": "skipped", "permissions": "skipped", "fees": "skipped"}


@pytest.mark.spec("M9")
@pytest.mark.parametrize(
    "skew_ms, result", [(0, "ok"), (400, "warn"), (-400, "warn"), (1500, "fail"), (-1500, "warn"), (-6000, "fail")]
)
def test_a_clock_is_judged_by_what_the_venue_would_refuse(skew_ms: int, result: str) -> None:
    found = visit(skew_ms=skew_ms)
    assert found["clock"].result == result
    assert f"{-skew_ms:+.0f} ms" in found["clock"].found
    is_refused = found["key"].result == "fail"
    assert is_refused == (result == "fail"), "the venue judges the same way"
    if is_refused:
        assert "clock" in found["key"].advice


def test_a_symbol_that_is_missing_or_not_traded_fails_by_its_name() -> None:
    found = visit(("BTCUSDT", "NOPEUSDT"))
    assert (found["BTCUSDT"].result, found["NOPEUSDT"].result) == ("ok", "fail")
    entry = Venue(Clock()).get("exchangeInfo")["symbols"][0]
    assert symbol_finding("binance", "BTCUSDT", entry).result == "ok"
    assert symbol_finding("binance", "BTCUSDT", entry | {"status": "BREAK"}).found == "is BREAK, not TRADING"
    assert symbol_finding("binance", "BTCUSDT", entry | {"orderTypes": ["MARKET"]}).result == "fail"
    assert symbol_finding("binance", "BTCUSDT", entry | {"filters": entry["filters"][1:]}).found == "no tick"


def test_a_venue_that_is_not_there_fails_once_and_the_rest_is_skipped() -> None:
    place = Place("http://127.0.0.1:9", "ws://127.0.0.1:9", "ws://127.0.0.1:9", KEY, SECRET)
    found = asyncio.run(examine(SPOT, place, ["BTCUSDT"], Clock()))
    assert [finding.result for finding in found] == ["fail", *["skipped"] * 6]


def test_permissions_that_are_not_said_count_as_given() -> None:
    assert permission_finding(SPOT, {"enableSpotAndMarginTrading": True, "ipRestrict": True}).result == "fail"


def test_a_venue_whose_clock_goes_back_is_not_trusted() -> None:
    assert clock_finding("binance", 0.0, 1.0, [5, 4]).result == "fail"


# --- Coinbase ---------------------------------------------------------------------------------------------------
def visit_coinbase(products: tuple[str, ...] = ("BTC-USD",), **more: Any) -> dict[str, str]:
    """What the doctor finds there; `secret` is what it is signed with."""

    async def ask() -> list[Finding]:
        place = embedded(Scene("", ["BTC"], 1, 0.0, 0, []), ["coinbase"], 1000.0)
        async with place.serve(wall_ns, Faults({}, 0)) as (door,):
            where = addresses(door)
            secret = more.get("secret", door.secret)
            there = coinbase_link.Place(
                where["rest"], where["streams"], where["user"], more.get("key", door.api_key), secret
            )
            return await doctor_coinbase.examine(there, list(products), lambda: wall_ns() + more.get("skew_ns", 0))

    return {finding.name.removeprefix("coinbase "): finding.result for finding in asyncio.run(ask())}


CHECKS = ("reachable", "clock", "BTC-USD", "market streams", "key", "permissions")


@pytest.mark.spec("M9", "X8")
def test_a_healthy_coinbase_passes_every_check() -> None:
    assert visit_coinbase() == dict.fromkeys(CHECKS, "ok")


def test_a_wrong_coinbase_key_a_missing_product_and_a_wrong_clock_fail_by_name() -> None:
    other, _ = new_key()
    refused = dict.fromkeys(CHECKS, "ok") | {"key": "fail", "permissions": "skipped"}
    assert visit_coinbase(secret=other) == refused
    assert visit_coinbase(secret="no key at all") == refused
    assert visit_coinbase(secret="") == dict.fromkeys(CHECKS, "ok") | {
        "key": "skipped",
        "permissions": "skipped",
    }
    assert visit_coinbase(("BTC-USD", "NOPE-USD"))["NOPE-USD"] == "fail"
    assert visit_coinbase(skew_ns=10 * 10**9)["clock"] == "fail"


@pytest.mark.spec("X8")
def test_a_coinbase_key_that_can_transfer_is_refused() -> None:
    assert doctor_coinbase.permission_finding({"can_trade": True, "can_transfer": False}).result == "ok"
    assert doctor_coinbase.permission_finding({"can_trade": True, "can_transfer": True}).result == "fail"
    assert doctor_coinbase.permission_finding({"can_trade": True}).result == "fail", "what is not said counts as given"
    assert doctor_coinbase.permission_finding({"can_trade": False, "can_transfer": False}).result == "fail"


# --- keys -------------------------------------------------------------------------------------------------------
PEM_KEY = "-----BEGIN EC PRIVATE KEY-----\\nabc\\n-----END EC PRIVATE KEY-----\\n"


@pytest.mark.parametrize(
    "name, value, is_right",
    [
        ("BINANCE_API_KEY", "a1" * 32, True),
        ("BINANCE_API_KEY", "a1" * 32 + " ", False),
        ("BINANCE_API_KEY", '"' + "a1" * 32 + '"', False),
        ("BINANCE_API_KEY", "a1" * 31, False),
        ("BINANCE_SECRET", "a1" * 32, True),
        ("COINBASE_API_KEY", "organizations/0e0f/apiKeys/1a2b", True),
        ("COINBASE_API_KEY", "6f1c7a1e-7d1f-4b7a-9f3e-2f1d6b8c9d0e", True),
        ("COINBASE_API_KEY", "a1" * 32, False),
        ("COINBASE_SECRET", PEM_KEY, True),
        ("COINBASE_SECRET", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", True),
        ("COINBASE_SECRET", "secret", False),
    ],
)
def test_a_key_is_recognised_by_its_shape_and_never_shown(name: str, value: str, is_right: bool) -> None:
    said = malformed(name, value)
    assert (not said) == is_right
    assert value not in said


def test_no_keys_are_no_failure_and_half_a_pair_is_one() -> None:
    assert {finding.result for finding in keys({})} == {"skipped"}
    half = {finding.name: finding.result for finding in keys({"BINANCE_API_KEY": "a1" * 32})}
    assert half["BINANCE_SECRET"] == "fail"
    assert half["COINBASE_SECRET"] == "skipped"


# --- the machine ------------------------------------------------------------------------------------------------
def test_a_fresh_machine_without_network_or_keys_passes(tmp_path: Path) -> None:
    found = machine(tmp_path / "ets_data" / "runs")
    assert passes([*found, *keys({})]), found
    assert {finding.name for finding in found} >= {"python", "libraries", "cores", "clock", "disk space", "run folder"}
    assert not list(tmp_path.iterdir()), "looking leaves nothing behind"


def test_a_full_disk_and_a_folder_that_cannot_be_written_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def usage(_path: Path) -> Any:
        return type("Usage", (), {"free": 1 << 20})()

    def refuse(**_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("shutil.disk_usage", usage)
    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    found = {finding.name: finding.result for finding in machine(tmp_path)}
    assert (found["disk space"], found["run folder"]) == ("fail", "fail")


@pytest.mark.spec("X8")
def test_the_command_ends_with_one_if_and_only_if_something_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("BINANCE_API_KEY", "BINANCE_SECRET", "COINBASE_API_KEY", "COINBASE_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        cli.main(["doctor", "--json"])
    assert left.value.code == ExitCode.OK
    answer = json.loads(capsys.readouterr().out)
    assert answer["passes"]
    assert any(
        check["name"] == "simulated binance permissions" and check["result"] == "ok" for check in answer["checks"]
    )
    monkeypatch.setenv("BINANCE_API_KEY", "not a key")
    with pytest.raises(SystemExit) as left:
        cli.main(["doctor", "--instruments", "BTC,NOPE"])
    assert left.value.code == ExitCode.NO
    said = capsys.readouterr().out
    assert "not a key" not in said
    assert "NOPEUSDT" in said
