"""Several customers of the emulated venues: each has a key, money and orders of his own."""

import asyncio
from decimal import Decimal

import pytest

from elegant_trading_system.cli_emulator import Scene, accounts_of, embedded
from elegant_trading_system.emulator.embedded import Door
from elegant_trading_system.emulator.faults import Faults
from elegant_trading_system.shell.live import wall_ns

from . import test_coinbase_live, test_live_run

SCENE = Scene("", ["BTC"], 1, 0.0, 0, [])


@pytest.mark.spec("X2")
def test_every_customer_has_a_key_and_balances_of_its_own_and_all_are_told() -> None:
    async def look() -> list[tuple[Door, list[dict[str, Decimal]]]]:
        place = embedded(SCENE, ["binance", "binanceusdm", "coinbase"], 1000.0, customers=3)
        async with place.serve(wall_ns, Faults({}, 0)) as doors:
            found = []
            for door in doors:
                alone = [door._replace(customers=[one]) for one in door.customers]
                asked = [asyncio.to_thread(BALANCES[door.venue], one) for one in alone if door.venue in BALANCES]
                found.append((door, list(await asyncio.gather(*asked))))
            return found

    for door, balances in asyncio.run(look()):
        told = accounts_of(door)
        assert len({one["api_key"] for one in told}) == len({one["api_secret"] for one in told}) == 3
        assert (told[0]["api_key"], told[0]["api_secret"]) == (door.api_key, door.secret)
        asset = "USD" if door.venue == "coinbase" else "USDT"
        assert [one["balances"] for one in told] == [{asset: "1000.0"}] * 3
        if door.venue in BALANCES:
            assert balances == [{asset: Decimal(1000)}] * 3


BALANCES = {"binance": test_live_run.balances, "coinbase": lambda door: test_coinbase_live.balances(door, 0)}
