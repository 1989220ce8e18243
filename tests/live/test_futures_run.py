"""Perpetuals traded over real sockets of this machine: what our ledger says is what the venue says."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from elegant_trading_system.cli_emulator import Scene, addresses, embedded
from elegant_trading_system.emulator.faults import Faults, parse
from elegant_trading_system.shell import run_folder
from elegant_trading_system.shell.binance_futures_link import BinanceFuturesLink
from elegant_trading_system.shell.hosts import link_to
from elegant_trading_system.shell.live import LiveRun, wall_ns
from elegant_trading_system.sim.replay import verify

from ..builders import loose

PATIENCE_S = 300.0  # a first start compiles
SCENE = Scene("", ["BTC"], 1, 0.3, 30 * 60, [])
FAULTS = ["lost-report:0.2", "duplicate-report:0.2", "lost-answer:0.1", "unclear-answer:0.1", "drop:0.01"]


async def trade(folder: Path, orders: int, faults: Faults) -> tuple[LiveRun, BinanceFuturesLink, Any, Any]:
    """Until so many orders have been sent; then without faults until all are known. The venue's balance and positions."""
    config = loose()
    async with embedded(SCENE, ["binanceusdm"], 100_000.0).serve(wall_ns, faults) as (door,):
        link = link_to(door.venue, addresses(door), wall_ns)
        assert isinstance(link, BinanceFuturesLink)
        live = LiveRun([link], config, folder)
        running = asyncio.create_task(
            live.run(PATIENCE_S, lambda run: run_folder.begin(folder, config, run.known, "test"))
        )
        while not running.done() and (live.universe is None or live.sequencer.trader["next_order_id"] < orders):
            await asyncio.wait([running], timeout=0.1)
        faults.shares = {}
        while not running.done() and live.sequencer.trader["order_count"]:
            await asyncio.wait([running], timeout=0.01)
        live.stop()
        await running
        balance, risks = [await asyncio.to_thread(ask, link, path) for path in ("v3/balance", "v3/positionRisk")]
        return live, link, balance, risks


def ask(link: BinanceFuturesLink, path: str) -> Any:
    url = f"{link.place.rest}/fapi/{path}?{link.sign({})}"
    return httpx.get(url, headers={"X-MBX-APIKEY": link.place.api_key}).json()


@pytest.mark.spec("X1", "P1", "E4", "M2")
@pytest.mark.parametrize("faults", [[], FAULTS], ids=["calm", "faults"])
def test_what_was_traded_over_sockets_is_the_venue_s_wallet_and_position(faults: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    live, link, [balance], risks = asyncio.run(trade(folder, 6, parse(faults, 5)))
    trader, spec = live.sequencer.trader, live.known.listings[0]
    assert (spec.kind, spec.symbol, spec.venue) == ("linear", "BTC/USDT:USDT", "binanceusdm")
    assert int(trader["inventory"][0]["filled_lots"]) > 0
    assert (link.feed.counts["refused"], link.gateway.counts["refused"], int(trader["refused_reports"])) == (0, 0, 0)
    held = Decimal(int(trader["inventory"][0]["held_atoms"])).scaleb(-live.known.decimals["BTC"])
    assert held == sum((Decimal(risk["positionAmt"]) for risk in risks), Decimal(0))
    asset_id = live.known.assets.index("USDT")
    ours = Decimal(int(trader["balances"][0, asset_id])).scaleb(-live.known.decimals["USDT"])
    difference = abs(ours - Decimal(balance["balance"]))
    assert difference == 0 if held == 0 else difference < spec.tick_size * spec.lot_size, (
        "what a half-closed one rounds"
    )
    assert link.feed.marks["BTCUSDT"].funding_rate == Decimal("0.0001")
    summary = run_folder.finish(folder, 1.0)
    assert summary["orders"] >= 6
    assert verify(folder)["identical"]
