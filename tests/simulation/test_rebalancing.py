"""The proposal of transfers: enough for what is missing, never more than is spare, nothing too small, and nothing moves."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_trading_system.sim.rebalancing import CENT, LEAST, LEAST_SHARE, ROOM, Purse, in_words, propose

D = Decimal


def purse(venue: str, asset: str, free: int, wanted: int, refused: int = 0, bound: int = 0) -> Purse:
    return Purse(venue, asset, D(free), D(bound), D(wanted), refused)


@pytest.mark.spec("E6")
def test_money_goes_from_where_it_is_spare_to_where_intents_found_none() -> None:
    found = propose([purse("binance", "USDT", 500, 10_000, 7), purse("binanceusdm", "USDT", 30_000, 4_000)])
    [transfer] = found
    assert transfer[:5] == ("binanceusdm", "binance", "USDT", "USDT", D("10500.00"))
    assert transfer.why == "7 intents found too little USDT there; its largest positions take 10,000, 500 are there"


@pytest.mark.spec("E6")
def test_the_same_asset_goes_first_and_another_is_changed_on_the_way() -> None:
    purses = [
        purse("binance", "USDT", 0, 10_000, 3),
        purse("coinbase", "USD", 50_000, 0),
        purse("binanceusdm", "USDT", 6_000, 0),
    ]
    found = propose(purses)
    assert [(one.from_venue, one.asset, one.to_asset, one.amount) for one in found] == [
        ("binanceusdm", "USDT", "USDT", D("5400.00")),
        ("coinbase", "USD", "USDT", D("5600.00")),
    ]
    told = in_words([one._asdict() for one in found])
    assert told[0].startswith("5400.00 USDT from binanceusdm to binance: 3 intents")
    assert "5600.00 USD from coinbase to binance, changed into USDT: " in told[1]


@pytest.mark.spec("E6")
def test_nothing_is_proposed_where_all_can_pay_or_nobody_can_spare_a_sensible_amount() -> None:
    assert propose([purse("a", "USD", 5_000, 4_000), purse("b", "USD", 5_000, 100)]) == []
    assert propose([purse("a", "USD", 1_000, 4_000), purse("b", "USD", 1_090, 1_000)]) == []
    assert propose([purse("a", "USD", 0, 4_000, bound=5_000), purse("b", "USD", 9_000, 0)]) == [], "it comes back"
    assert propose([]) == []


PURSES = st.lists(
    st.builds(
        Purse, st.sampled_from("abc"), st.sampled_from(["USD", "USDT"]), *[st.integers(0, 10**6).map(D)] * 3, st.integers(0, 5)
    ),
    max_size=6,
    unique_by=lambda one: (one.venue, one.asset),
)  # fmt: skip


@given(PURSES)
def test_whatever_the_accounts_nobody_gives_what_it_wants_itself_and_nobody_gets_more_than_is_missing(
    purses: list[Purse],
) -> None:
    total = sum((one.money for one in purses), D(0))
    given_by, got_by = dict[tuple[str, str], Decimal](), dict[tuple[str, str], Decimal]()
    for one in propose(purses):
        assert one.amount >= max(LEAST, total * LEAST_SHARE).quantize(CENT) - CENT
        for sums, key in ((given_by, (one.from_venue, one.asset)), (got_by, (one.to_venue, one.to_asset))):
            sums[key] = sums.get(key, D(0)) + one.amount
    assert not given_by.keys() & got_by.keys(), "nobody passes on what it needs"
    for account in purses:
        key = account.venue, account.asset
        assert given_by.get(key, 0) <= account.free
        assert account.money - given_by.get(key, D(0)) >= min(account.wanted * ROOM, account.money)
        assert got_by.get(key, D(0)) <= account.missing
