"""Trading on the emulated Coinbase over real sockets of this machine."""

import asyncio
import time
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from elegant_trading_system.cli_emulator import Scene, addresses, embedded
from elegant_trading_system.emulator.embedded import Door
from elegant_trading_system.emulator.faults import Faults
from elegant_trading_system.errors import UserError
from elegant_trading_system.shell import run_folder
from elegant_trading_system.shell.coinbase.auth import Signer
from elegant_trading_system.shell.coinbase.link import CoinbaseLink, Place
from elegant_trading_system.shell.hosts import link_to
from elegant_trading_system.shell.live import LiveRun, wall_ns
from elegant_trading_system.sim.replay import verify

from ..builders import loose
from .coinbase_desk import SECRET
from .trading import money, trade_until

SCENE = Scene("", ["BTC", "ETH"], 1, 0.3, 30 * 60, [])


def balances(door: Door, offset_s: int) -> dict[str, Decimal]:
    """What the venue says the account holds."""
    path = "/api/v3/brokerage/accounts"
    token = Signer(door.api_key, door.secret).rest("GET", door.host, path, time.time() + offset_s)
    answer = httpx.get(f"http://{door.host}{path}", headers={"Authorization": f"Bearer {token}"}).json()
    return {
        row["currency"]: Decimal(row["available_balance"]["value"]) + Decimal(row["hold"]["value"])
        for row in answer["accounts"]
    }


async def trade(
    folder: Path, orders: int, faults: Faults, offset_s: int = 0
) -> tuple[CoinbaseLink, dict[str, Decimal]]:
    async with embedded(SCENE, ["coinbase"], 100_000.0).serve(wall_ns, faults) as (door,):
        link = link_to(door.venue, addresses(door), wall_ns)
        assert isinstance(link, CoinbaseLink)
        await trade_until([link], folder, orders, faults)
        return link, await asyncio.to_thread(balances, door, offset_s)


@pytest.mark.spec("X1", "P1", "E4", "M2")
@pytest.mark.parametrize(
    "orders, shares",
    [
        (6, {}),
        (
            12,
            {
                "drop": 0.01,
                "duplicate": 0.1,
                "disconnect": 0.002,
                "lost-report": 0.2,
                "duplicate-report": 0.3,
                "late-report": 0.2,
                "lost-answer": 0.1,
                "unclear-answer": 0.1,
                "reject": 0.1,
            },
        ),
    ],
    ids=["quiet", "trouble"],
)
def test_what_was_traded_over_sockets_is_the_venue_s_account_and_replays_to_the_same_decisions(
    tmp_path: Path, orders: int, shares: dict[str, float]
) -> None:
    folder = tmp_path / "run"
    link, held = asyncio.run(trade(folder, orders, Faults(shares, 3)))
    summary = run_folder.finish(folder, 1.0)
    assert summary["orders"] >= orders
    assert summary["fills"] > 0
    assert (summary["refused_reports"], summary["refused_rows"], link.feed.counts["refused"]) == (0, 0, 0)
    ours = money(summary)
    theirs = {asset: held.get(asset, Decimal(0)) for asset in ours}
    assert (ours, held.keys() - ours.keys()) == (theirs, set()), "to the last decimal"
    assert verify(folder)["identical"]
    if shares:
        assert link.feed.counts["holes"] > 0
    else:
        assert (link.feed.counts["gaps"], link.feed.counts["holes"]) == (0, 0)
        assert link.feed.counts["repeated_trades"] > 0, "two connections brought everything twice"
    assert "of 2 lines up" in link.health()


def test_a_venue_that_is_not_there_is_said_in_a_sentence(tmp_path: Path) -> None:
    nowhere = Place("http://127.0.0.1:9/api/v3/brokerage", "ws://127.0.0.1:9", "ws://127.0.0.1:9", "key", SECRET)
    with pytest.raises(UserError, match=r"coinbase: time at http://127\.0\.0\.1:9"):
        asyncio.run(LiveRun([CoinbaseLink(nowhere, ["BTC-USD"], wall_ns)], loose(), tmp_path).run(1.0))


@pytest.mark.spec("M9", "E4")
@pytest.mark.parametrize("seconds", [-40, 40])
def test_a_venue_whose_clock_is_another_is_traded_by_its_clock(tmp_path: Path, seconds: int) -> None:
    folder = tmp_path / "run"
    faults = Faults({}, 3)
    faults._offset_ns = seconds * 1_000_000_000
    link, held = asyncio.run(trade(folder, 3, faults, offset_s=seconds))
    assert abs(link.clock.offset_ms - 1000 * seconds) < 500
    summary = run_folder.finish(folder, 1.0)
    assert summary["fills"] > 0
    assert {k: v for k, v in money(summary).items() if v} == {k: v for k, v in held.items() if v}
