"""The worked example of an order's costs, and of the router it did not take."""

import math

import pytest

from elegant_trading_system.research.shortfall import Fill, all_in_price, average_price, shortfall

#: T18: A 2.4 at 2500.1375, B 1.2 at 2500.2333, the rest of .4 again at A
SPLIT = [
    Fill(1.5, 2500.1, 5.0),
    Fill(0.9, 2500.2, 5.0),
    Fill(0.4, 2500.1, 4.0),
    Fill(0.8, 2500.3, 4.0),
    Fill(0.4, 2500.2, 5.0),
]
GREEDY = [Fill(1.5, 2500.1, 5.0), Fill(0.1, 2500.2, 5.0), Fill(0.4, 2500.1, 4.0), Fill(2.0, 2500.3, 4.0)]


@pytest.mark.spec("E5")
def test_t24_an_orders_cost_is_delay_spread_sweep_and_fees() -> None:
    found = shortfall(1, 2500.0, 2500.05, 2500.10, SPLIT, 0.0, 2500.0)
    assert round(average_price(SPLIT), 4) == 2500.1725
    assert [round(part, 3) for part in found] == [0.2, 0.2, 0.29, 4.7, 0.0]
    assert round(found.total, 3) == 5.390


@pytest.mark.spec("E1", "E5")
def test_t18_the_cheapest_split_would_have_been_a_fifth_of_a_bp_cheaper() -> None:
    difference = (all_in_price(1, SPLIT) / all_in_price(1, GREEDY) - 1.0) * 1e4
    assert round(difference, 2) == 0.18
    rerouted_all_in = [*SPLIT[:4], Fill(0.4, 2500.3, 4.0)]
    assert round(average_price(rerouted_all_in), 4) == 2500.1825
    assert round((all_in_price(1, rerouted_all_in) / all_in_price(1, GREEDY) - 1.0) * 1e4, 2) == 0.12


@pytest.mark.spec("E5")
def test_a_seller_pays_what_the_price_falls_and_misses_what_it_did_not_get() -> None:
    found = shortfall(-1, 100.0, 99.9, 99.8, [Fill(1.0, 99.7, 0.0)], 1.0, 99.0)
    assert [round(part, 6) for part in found] == [10.0, 10.0, 10.0, 0.0, 100.0]


@pytest.mark.spec("E5")
def test_an_order_that_filled_nothing_has_a_delay_and_no_price() -> None:
    found = shortfall(1, 100.0, 100.1, 100.2, [], 2.0, 101.0)
    assert found.delay == pytest.approx(10.0)
    assert [math.isnan(part) for part in found] == [False, True, True, True, True]
    assert math.isnan(average_price([])) and math.isnan(all_in_price(1, []))
