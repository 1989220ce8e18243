"""The drill over real sockets: every fault once, for some seconds, between a live run and a venue on a port."""

import asyncio
import time
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from elegant_trading_system.cli_emulator import addresses, embedded
from elegant_trading_system.core.kinds import BookState, CommandKind, Kind, OperatorCommand
from elegant_trading_system.data import journal
from elegant_trading_system.emulator.faults import HELP, Faults
from elegant_trading_system.emulator.orders import Account
from elegant_trading_system.emulator.perpetuals import PerpetualAccount
from elegant_trading_system.shell import run_folder
from elegant_trading_system.shell.binance.link import BinanceLink
from elegant_trading_system.shell.coinbase.link import CoinbaseLink
from elegant_trading_system.shell.hosts import link_to
from elegant_trading_system.shell.live import LiveRun, wall_ns
from elegant_trading_system.sim.replay import verify

from ..builders import loose
from .drill import SETTINGS, shares
from .trading import SCENE, begun, has_sent, money, until

BUSY_S, SETTLE_S = 6.0, 60.0  # what is lost is believed after twenty seconds
AT_ONCE = 5
SCHEDULES = [  # each fault once at each venue; all of Spot's, and a quarter of the others', in every test run
    pytest.param(venue, range(n, n + AT_ONCE), marks=[] if venue == "binance" or n == AT_ONCE else pytest.mark.drill)
    for venue in ("binance", "binanceusdm", "coinbase")
    for n in range(0, len(HELP), AT_ONCE)
]


async def trade(folder: Path, venue: str, seed: int) -> tuple[Account, LiveRun, Faults]:
    """Some orders in peace, then trouble, then peace until nothing is open."""
    config, faults = loose(*SETTINGS), Faults({}, seed)
    place = embedded(SCENE, [venue], 100_000.0)
    async with place.serve(wall_ns, faults) as (door,):
        live = LiveRun([link_to(door.venue, addresses(door), wall_ns)], config, folder)
        running = begun(live)
        await until(running, lambda: has_sent(live, 2))
        faults.shares = shares(seed)
        await asyncio.wait([running], timeout=BUSY_S)
        faults.shares = {}
        live.sequencer.hear(Kind.OPERATOR, 0, code=OperatorCommand.HALT)
        deadline = time.monotonic() + SETTLE_S
        await until(running, lambda: not live.sequencer.trader["order_count"] or time.monotonic() > deadline)
        live.stop()
        await running
        return place.market.exchanges[venue].accounts["trader"], live, faults


def check_money(live: LiveRun, account: Account, summary: dict[str, Any]) -> None:
    """To the last decimal. Of a position that is half closed each side rounds what was paid for the rest."""
    ours = money(summary)
    theirs = {asset: balance.free + balance.locked for asset, balance in account.balances.items()}
    if isinstance(account, PerpetualAccount):
        spec, inventory = live.known.listings[0], live.sequencer.trader["inventory"][0]
        [position] = account.positions.values()
        assert Decimal(int(inventory["held_atoms"])).scaleb(-live.known.decimals["BTC"]) == position.amount
        ours["USDT"] -= int(inventory["open_cost"]) * spec.tick_size * spec.lot_size
        theirs["USDT"] -= position.cost
    assert {asset: ours.get(asset, Decimal(0)) for asset in theirs} == theirs


def entries_on_dead_books(folder: Path) -> list[int]:
    """Orders that entered while the only book was not LIVE, by the journal."""
    state, states = BookState.RESYNC, list[BookState]()
    for packets, _ in journal.read(folder / "journal"):
        for packet in packets:
            if packet["kind"] == Kind.SNAPSHOT:
                state = BookState.LIVE
            elif packet["kind"] == Kind.STATUS:
                state = BookState(int(packet["code"]))
            states.append(state)
    commands: Any = journal.read_commands(folder / "journal")
    entries = commands[(commands["kind"] == CommandKind.SEND) & (commands["is_reduce_only"] == 0)]
    return [int(one["order_id"]) for one in entries if states[int(one["cause_seq"])] is not BookState.LIVE]


async def trade_all(folder: Path, venue: str, seeds: Iterable[int]) -> list[tuple[Account, LiveRun, Faults]]:
    """At once: most of a schedule is waiting."""
    return await asyncio.gather(*(trade(folder / str(seed), venue, seed) for seed in seeds))


def check(seed: int, account: Account, live: LiveRun, faults: Faults) -> None:
    """Fault number `seed` has happened, and both sides say the same of everything."""
    assert faults.counts, list(HELP)[seed]
    summary = run_folder.finish(live.folder, 1.0)
    check_money(live, account, summary)
    names = [order.client_id for order in account.orders.values()]
    assert len(set(names)) == len(names) <= summary["orders"], "none twice, none that was not decided"
    assert not account.working
    assert summary["refused_reports"] == 0
    [link] = live.links
    assert isinstance(link, BinanceLink | CoinbaseLink)
    assert (link.feed.counts["refused"], link.gateway.counts["refused"]) == (0, 0)
    assert not entries_on_dead_books(live.folder)
    assert verify(live.folder)["identical"]


@pytest.mark.spec("E4", "M3", "P1")
@pytest.mark.parametrize("venue, seeds", SCHEDULES, ids=str)
def test_every_fault_over_real_sockets_leaves_both_sides_equal(venue: str, seeds: range, tmp_path: Path) -> None:
    for seed, ended in zip(seeds, asyncio.run(trade_all(tmp_path, venue, seeds)), strict=True):
        check(seed, *ended)
