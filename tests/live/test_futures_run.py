"""Perpetuals traded over real sockets of this machine: what our ledger says is what the venue says."""

import asyncio
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest

from elegant_trading_system.cli_emulator import addresses, embedded
from elegant_trading_system.emulator.faults import Faults, parse
from elegant_trading_system.emulator.perpetuals import PerpetualAccount, Perpetuals
from elegant_trading_system.shell import run_folder
from elegant_trading_system.shell.binance.futures_link import BinanceFuturesLink
from elegant_trading_system.shell.hosts import link_to
from elegant_trading_system.shell.live import LiveRun, wall_ns
from elegant_trading_system.sim.replay import verify

from ..builders import loose
from .trading import PATIENCE_S, SCENE, begun, trade_until, until

FAULTS = ["lost-report:0.2", "duplicate-report:0.2", "lost-answer:0.1", "unclear-answer:0.1", "drop:0.01"]


async def trade(folder: Path, orders: int, faults: Faults) -> tuple[LiveRun, BinanceFuturesLink, Decimal, Decimal]:
    """With the venue's wallet and position in the end."""
    async with embedded(SCENE, ["binanceusdm"], 100_000.0).serve(wall_ns, faults) as (door,):
        link = link_to(door.venue, addresses(door), wall_ns)
        assert isinstance(link, BinanceFuturesLink)
        live = await trade_until([link], folder, orders, faults)
        async with aiohttp.ClientSession() as http:
            link.open(http)
            return live, link, (await link.balances())["USDT"], (await link.positions())[0]


@pytest.mark.spec("X1", "P1", "E4", "M2")
@pytest.mark.parametrize("faults", [[], FAULTS], ids=["calm", "faults"])
def test_what_was_traded_over_sockets_is_the_venue_s_wallet_and_position(faults: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    live, link, wallet, position = asyncio.run(trade(folder, 6, parse(faults, 5)))
    trader, spec = live.sequencer.trader, live.known.listings[0]
    assert (spec.kind, spec.symbol, spec.venue) == ("linear", "BTC/USDT:USDT", "binanceusdm")
    assert int(trader["inventory"][0]["filled_lots"]) > 0
    assert (link.feed.counts["refused"], link.gateway.counts["refused"], int(trader["refused_reports"])) == (0, 0, 0)
    held = Decimal(int(trader["inventory"][0]["held_atoms"])).scaleb(-live.known.decimals["BTC"])
    assert held == position
    asset_id = live.known.assets.index("USDT")
    ours = Decimal(int(trader["balances"][0, asset_id])).scaleb(-live.known.decimals["USDT"])
    difference = abs(ours - wallet)
    assert difference == 0 if held == 0 else difference < spec.tick_size * spec.lot_size, (
        "what a half-closed one rounds"
    )
    assert link.feed.marks["BTCUSDT"].funding_rate == Decimal("0.0001")
    summary = run_folder.finish(folder, 1.0)
    assert summary["orders"] >= 6
    assert verify(folder)["identical"]


@pytest.mark.spec("X4", "P1")
def test_a_run_that_goes_on_hears_of_the_funding_paid_meanwhile_and_is_not_halted(tmp_path: Path) -> None:
    async def trade() -> tuple[list[str], LiveRun, PerpetualAccount]:
        place, said = embedded(SCENE, ["binanceusdm"], 100_000.0), list[str]()
        exchange = place.market.exchanges["binanceusdm"]
        assert isinstance(exchange, Perpetuals)
        async with place.serve(wall_ns, Faults({}, 0)) as (door,):
            where = door.venue, addresses(door), wall_ns
            first = LiveRun([link_to(*where)], loose(), tmp_path)
            running = begun(first)
            await until(running, lambda: first.universe is not None and is_holding(first), 0.005)
            running.cancel()  # at once: in the second of a polite end the position could be closed
            await asyncio.gather(running, return_exceptions=True)
            await asyncio.sleep(2.0)
            exchange.next_funding_ms = wall_ns() // 1_000_000
            assert exchange.pay_funding(exchange.next_funding_ms), "a position is held"
            again = LiveRun(
                [link_to(*where)], loose(), tmp_path, say=said.append, recovered=run_folder.recover(tmp_path)
            )
            going = asyncio.create_task(again.run(PATIENCE_S))
            await until(going, lambda: again.universe and again.sequencer.trader["funding_atoms"].any())
            await asyncio.sleep(0.5)
            again.stop()
            await going
        account = exchange.accounts["trader"]
        assert isinstance(account, PerpetualAccount)
        return said, again, account

    said, again, account = asyncio.run(trade())
    trader, decimals = again.sequencer.trader, again.known.decimals["USDT"]
    assert not [line for line in said if "HALTED" in line], said
    assert not int(trader["is_halted"])
    paid = sum(row.amount for row in account.income)
    assert Decimal(int(trader["funding_atoms"].sum())).scaleb(-decimals) == paid != 0


def is_holding(live: LiveRun) -> bool:
    trader = live.sequencer.trader
    return bool(trader["inventory"][0]["held_atoms"]) and not int(trader["order_count"])
