"""Integers are truth: products that do not overflow, fees that never round in our favour, sums that close."""

import random
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elegant_trading_system.core import portfolio_monitor
from elegant_trading_system.core.kinds import Kind
from elegant_trading_system.core.schema import INVENTORY, PACKET, TRADER
from elegant_trading_system.core.units import fee_from_ppm, mul_div
from elegant_trading_system.sim.session import new_market

from ..builders import DARK, LINEAR, LINEAR_B, SPOT, SPOT_B, loose, universe
from ..naive_core import NaiveContracts

ACCOUNTS = ("fill_atoms", "fee_atoms", "funding_atoms", "transfer_atoms")


def towards_zero(a: int, b: int, c: int) -> int:
    whole = abs(a * b) // c
    return whole if (a < 0) == (b < 0) else -whole


@pytest.mark.uncompiled
@settings(max_examples=300)
@given(st.integers(-(2**62), 2**62), st.integers(-(2**62), 2**62), st.integers(1, 2**62))
def test_mul_div_is_exact_wherever_it_promises_to_be(a: int, b: int, c: int) -> None:
    b %= max((2**63 - 1) // max(abs(a) % c, 1), 1)  # its precondition ...
    b %= max((2**63 - 1) // max(abs(a) // c, 1), 1)  # ... and an answer that fits
    if abs(a * b) // c + (abs(a) % c * abs(b)) // c >= 2**63:
        return
    assert mul_div(a, b, c) == towards_zero(a, b, c)
    assert mul_div(a, -b, c) == towards_zero(a, -b, c)


@pytest.mark.uncompiled
@given(st.integers(0, 10**18), st.integers(0, 100_000))
def test_a_fee_is_rounded_up_to_the_atom(amount: int, ppm: int) -> None:
    assert fee_from_ppm(amount, ppm) == -(-amount * ppm // 1_000_000)


# --- contracts ------------------------------------------------------------------------------------------------
def contracts(trades: list[tuple[int, int, int]]) -> tuple[Any, list[int], NaiveContracts, list[Fraction]]:
    inventory, naive = np.zeros(1, INVENTORY)[0], NaiveContracts()
    settled = [int(portfolio_monitor.apply_contracts(inventory, *trade, 1000)) for trade in trades]
    return inventory, settled, naive, [naive.trade(*trade) for trade in trades]


TRADES = st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(1, 10**6), st.integers(1, 10**8)), max_size=30)


@pytest.mark.uncompiled
@pytest.mark.spec("P1")
@given(TRADES)
def test_contracts_settle_what_was_paid_and_received(trades: list[tuple[int, int, int]]) -> None:
    """The open cost is what keeps it exact at any time; flat, nothing of it is left."""
    inventory, settled, naive, _ = contracts(trades)
    assert int(inventory["held_atoms"]) == naive.lots * 1000
    assert sum(settled) - int(inventory["open_cost"]) == naive.cash
    if naive.lots:
        trades = [*trades, (-1 if naive.lots > 0 else 1, abs(naive.lots), 12_345)]
        inventory, settled, naive, _ = contracts(trades)
    assert (int(inventory["held_atoms"]), int(inventory["open_cost"])) == (0, 0)
    assert sum(settled) == naive.cash


@pytest.mark.uncompiled
@pytest.mark.spec("P1")
@given(TRADES)
def test_contracts_settle_at_average_cost_within_a_rounding_per_trade(trades: list[tuple[int, int, int]]) -> None:
    inventory, settled, naive, exact = contracts(trades)
    assert abs(sum(settled) - sum(exact, Fraction(0))) < max(len(trades), 1)
    assert abs(int(inventory["open_cost"]) - naive.cost) < max(len(trades), 1)


@pytest.mark.uncompiled
def test_a_flip_closes_the_whole_position_and_opens_the_rest_at_the_new_price() -> None:
    inventory, settled, _, _ = contracts([(1, 10, 100), (-1, 25, 130)])
    assert settled == [0, 300]
    assert (int(inventory["held_atoms"]), int(inventory["open_cost"])) == (-15_000, -15 * 130)


# --- accounts -------------------------------------------------------------------------------------------------
def assert_accounts_close(trader: Any) -> None:
    total = sum(trader[name] for name in ACCOUNTS)
    assert (trader["balances"] == total).all()


@pytest.mark.uncompiled
@pytest.mark.spec("P1")
def test_a_fee_in_the_coin_bought_leaves_dust_and_the_balance_keeps_it() -> None:
    world = universe(loose()).record[0]
    trader = np.zeros(1, TRADER)[0]
    alpha, btc, usdt = (int(world["listings"][SPOT][name]) for name in ("venue_id", "base_id", "quote_id"))
    lot = int(world["listings"][SPOT]["base_atoms_per_lot"])
    unit = int(world["listings"][SPOT]["quote_atoms_per_tick_lot"])
    fee = fee_from_ppm(50 * lot, 100)
    portfolio_monitor.apply_fill(world, trader, SPOT, 1, 25_000, 50, -fee, btc)
    assert int(trader["inventory"][SPOT]["held_atoms"]) == 50 * lot - fee
    portfolio_monitor.apply_fill(world, trader, SPOT, -1, 25_100, 49, -7, usdt)
    assert int(trader["inventory"][SPOT]["held_atoms"]) == lot - fee > 0
    portfolio_monitor.apply_dust(world, trader, SPOT)
    assert int(trader["inventory"][SPOT]["held_atoms"]) == 0
    assert int(trader["dust_atoms"][alpha, btc]) == int(trader["balances"][alpha, btc]) == lot - fee
    assert int(trader["balances"][alpha, usdt]) == unit * (49 * 25_100 - 50 * 25_000) - 7
    assert_accounts_close(trader)


@pytest.mark.uncompiled
@pytest.mark.spec("P1")
def test_a_fee_paid_with_a_coin_without_a_ledger_costs_its_worth_and_leaves_the_balance() -> None:
    world, market = universe(loose()).record[0], new_market()[0][0]
    trader, packet = np.zeros(1, TRADER)[0], np.zeros(1, PACKET)[0]
    alpha, usdt = (int(world["listings"][SPOT][name]) for name in ("venue_id", "quote_id"))
    unit = int(world["listings"][SPOT]["quote_atoms_per_tick_lot"])
    trader["equity_peak"] = trader["day_equity"] = trader["capital"] = 1000.0
    packet["kind"], packet["listing_id"], packet["asset_id"], packet["atoms"] = Kind.FILL, SPOT, usdt, -700
    portfolio_monitor.apply_fill(world, trader, SPOT, 1, 25_000, 50, -700, usdt)
    portfolio_monitor.apply_foreign_fee(world, market, trader, packet)
    assert int(trader["balances"][alpha, usdt]) == -50 * 25_000 * unit
    assert (int(trader["fee_atoms"][alpha, usdt]), int(trader["transfer_atoms"][alpha, usdt])) == (-700, 700)
    worth = 700 * float(world["assets"][usdt]["atom"])
    assert float(trader["deposits"]) == worth > 0
    assert [float(trader[name]) for name in ("equity_peak", "day_equity", "capital")] == [1000.0 + worth] * 3
    assert_accounts_close(trader)


@pytest.mark.uncompiled
@pytest.mark.spec("P1")
def test_every_account_closes_after_random_fills_fees_funding_and_transfers() -> None:
    rng = random.Random(4)
    world, market = universe(loose()).record[0], new_market()[0][0]
    trader = np.zeros(1, TRADER)[0]
    for _ in range(400):
        listing_id = rng.choice([SPOT, SPOT_B, LINEAR, LINEAR_B, DARK])
        listing = world["listings"][listing_id]
        if rng.random() < 0.3:
            packet = np.zeros(1, PACKET)[0]
            packet["kind"] = rng.choice([Kind.FEE, Kind.FUNDING, Kind.TRANSFER])
            packet["listing_id"], packet["asset_id"] = listing_id, int(listing["settle_id"])
            packet["atoms"] = rng.randrange(-(10**9), 10**9)
            portfolio_monitor.apply_cash(world, market, trader, packet)
        else:
            side, ticks, lots = rng.choice([-1, 1]), rng.randrange(20_000, 30_000), rng.randrange(1, 10_000)
            asset_id = int(listing["base_id"] if side > 0 and listing_id == SPOT else listing["settle_id"])
            portfolio_monitor.apply_fill(world, trader, listing_id, side, ticks, lots, -rng.randrange(100), asset_id)
        assert_accounts_close(trader)
    assert all(np.any(trader[name]) for name in ACCOUNTS)
