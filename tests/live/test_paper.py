"""Real data and simulated orders: here the data are an emulated venue's, which never hears of an order."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest

from elegant_trading_system import cli
from elegant_trading_system.cli_emulator import addresses, embedded
from elegant_trading_system.emulator.faults import Faults
from elegant_trading_system.errors import ExitCode
from elegant_trading_system.shell import run_folder
from elegant_trading_system.shell.hosts import paper_links, public_hosts
from elegant_trading_system.shell.live import LiveRun, wall_ns
from elegant_trading_system.sim.replay import verify

from ..builders import loose
from .trading import SCENE, trade_until


async def trade_on_paper(folder: Path, orders: int) -> tuple[LiveRun, int, dict[str, Decimal]]:
    """Until so many orders have been sent and answered; with what the venue knows of us."""
    place, faults = embedded(SCENE, ["binance"], 77.0), Faults({}, 0)
    async with place.serve(wall_ns, faults) as doors:
        links = paper_links({door.venue: addresses(door) for door in doors}, loose(), wall_ns)
        live = await trade_until(links, folder, orders, faults)
        account = place.market.exchanges["binance"].accounts["trader"]
        return live, len(account.orders), {asset: balance.free for asset, balance in account.balances.items()}


@pytest.mark.spec("X1", "M4", "P1")
def test_orders_on_paper_are_filled_from_the_book_that_was_heard_and_never_leave(tmp_path: Path) -> None:
    live, orders_at_venue, held = asyncio.run(trade_on_paper(tmp_path, 6))
    assert (orders_at_venue, held) == (0, {"USDT": Decimal(77)})
    summary = run_folder.finish(tmp_path, 1.0)
    assert summary["orders"] >= 6
    assert summary["fills"] > 0
    assert summary["lots"]["sent"] == summary["lots"]["filled"] + summary["lots"]["expired"]
    for entry in summary["assets"].values():
        assert entry["balance"] == entry["fill"] + entry["fee"] + entry["funding"] + entry["transfer"]
    assert (
        summary["assets"]["USDT"]["transfer"]
        == int(loose().account.capital) * 10 ** summary["assets"]["USDT"]["decimals"]
    )
    assert summary["refused_reports"] == 0
    assert verify(tmp_path)["identical"]
    found = run_folder.recover(tmp_path)
    assert found.traders.tobytes() == live.sequencer.traders.tobytes()


def test_real_venues_are_named_with_their_own_symbols_and_no_key_is_asked_for() -> None:
    (where,) = public_hosts(["binance"], ["BTC", "ETH"]).values()
    assert where["symbols"] == ["BTCUSDT", "ETHUSDT"]
    assert str(where["rest"]).startswith("https://")
    assert "api_key" not in where


@pytest.mark.parametrize(
    "words", [["--venues", "nowhere"], ["--venues", "binance", "--live"], ["--hosts", "nothing.json"]]
)
def test_what_cannot_be_traded_on_is_refused_before_anything_is_written(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        cli.main(["run", *words])
    assert left.value.code == ExitCode.USAGE
    assert json.dumps(list(tmp_path.rglob("*"))) == "[]"
    assert "error:" in capsys.readouterr().err
