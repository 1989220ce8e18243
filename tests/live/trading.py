"""A run on venues of the same process: begun, waited for, and traded until so many orders have been sent and are known."""

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from elegant_trading_system.cli_emulator import Scene
from elegant_trading_system.config import Config
from elegant_trading_system.emulator.faults import Faults
from elegant_trading_system.shell import run_folder
from elegant_trading_system.shell.link import Link
from elegant_trading_system.shell.live import LiveRun

from ..builders import loose

PATIENCE_S = 300.0  # a first start compiles
SCENE = Scene("", ["BTC"], 1, 0.3, 30 * 60, [])


def begun(live: LiveRun) -> "asyncio.Task[None]":
    """A new run, in its folder."""
    live.folder.mkdir(exist_ok=True)
    return asyncio.create_task(
        live.run(PATIENCE_S, lambda run: run_folder.begin(live.folder, live.config, run.known, "test"))
    )


async def until(running: "asyncio.Task[None]", is_so: Callable[[], Any], every_s: float = 0.05) -> None:
    """It is so, or the run has ended by itself."""
    while not running.done() and not is_so():
        await asyncio.wait([running], timeout=every_s)


def has_sent(live: LiveRun, orders: int) -> bool:
    return live.universe is not None and bool(live.sequencer.trader["next_order_id"] >= orders)


async def trade_until(
    links: Sequence[Link], folder: Path, orders: int, faults: Faults, config: Config | None = None
) -> LiveRun:
    """Trade until so many orders have been sent; then without faults until what became of each is known."""
    live = LiveRun(links, config or loose(), folder)
    running = begun(live)
    await until(running, lambda: has_sent(live, orders))
    faults.shares = {}
    await until(running, lambda: not live.sequencer.trader["order_count"], 0.01)
    live.stop()
    await running
    return live


def money(summary: dict[str, Any]) -> dict[str, Decimal]:
    """What we hold by our own books."""
    return {asset: Decimal(entry["balance"]).scaleb(-entry["decimals"]) for asset, entry in summary["assets"].items()}
