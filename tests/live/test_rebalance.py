"""A run whose money lies at the wrong venue says so at its end, in its report and by a command."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest

from elegant_trading_system import cli
from elegant_trading_system.cli_emulator import Scene, addresses, embedded
from elegant_trading_system.core.kinds import Verdict
from elegant_trading_system.emulator.faults import Faults
from elegant_trading_system.research.report import write_report
from elegant_trading_system.shell import run_folder
from elegant_trading_system.shell.hosts import link_to
from elegant_trading_system.shell.live import LiveRun, wall_ns

from ..builders import loose

SCENE = Scene("", ["BTC"], 1, 0.3, 30 * 60, [])
VENUES = ["binance", "binanceusdm"]
PATIENCE_S = 120.0


async def trade(folder: Path) -> tuple[LiveRun, dict[str, Decimal]]:
    """Until an intent has found no balance: both accounts get theirs drained once the run has counted it."""
    place, config = embedded(SCENE, VENUES, 100_000.0), loose()
    async with place.serve(wall_ns, Faults({}, 0)) as doors:
        accounts = {venue: place.market.exchanges[venue].accounts["trader"] for venue in VENUES}
        accounts["binance"].balance("USDT").free = Decimal(3)
        live = LiveRun([link_to(door.venue, addresses(door), wall_ns) for door in doors], config, folder)
        running = asyncio.create_task(
            live.run(PATIENCE_S, lambda run: run_folder.begin(folder, config, run.known, "test"))
        )
        while not running.done() and not (
            hasattr(live, "sequencer") and live.sequencer.trader["verdicts"][Verdict.INSUFFICIENT_BALANCE] > 2
        ):
            await asyncio.wait([running], timeout=0.05)
        live.stop()
        await running
        return live, {venue: account.balance("USDT").free for venue, account in accounts.items()}


@pytest.mark.spec("E6")
def test_a_run_proposes_the_transfer_that_its_refused_intents_wanted_and_moves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live, left = asyncio.run(trade(tmp_path))
    assert live.sequencer.trader["verdicts"][Verdict.INSUFFICIENT_BALANCE] > 0
    summary = run_folder.finish(tmp_path, 1.0)
    assert summary["accounts"]["binance USDT"]["refused_intents"] > 0
    [transfer] = summary["transfers"]
    assert (transfer["from_venue"], transfer["to_venue"], transfer["asset"]) == ("binanceusdm", "binance", "USDT")
    assert Decimal(100) <= Decimal(transfer["amount"]) <= 100_000
    assert "intents found too little USDT there" in transfer["why"]
    assert left["binance"] == 3, "a proposal moves nothing"
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert f"{transfer['amount']} USDT from binanceusdm to binance" in page
    for words, is_json in ((["rebalance", str(tmp_path)], False), (["rebalance", str(tmp_path), "--json"], True)):
        with pytest.raises(SystemExit) as left_with:
            cli.main(words)
        assert left_with.value.code == 0
        shown = capsys.readouterr().out
        assert json.loads(shown)["transfers"] == summary["transfers"] if is_json else transfer["amount"] in shown
