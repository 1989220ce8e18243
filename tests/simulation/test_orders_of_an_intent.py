"""An approved intent becomes child orders: the worked splits, from market to outbox."""

from typing import Any

import pytest

from elegant_trading_system.core import routing, venue_choice
from elegant_trading_system.core.kinds import BookState, Verdict
from elegant_trading_system.core.risk_manager import Intent
from elegant_trading_system.core.schema import NS_PER_S
from elegant_trading_system.data.tape import ListingSpec

from ..builders import START_NS, Event, listing, loose, session, snapshot, status, tape

NOW_NS = START_NS + 50 * 1_000_000
CAP = 3e-4
UNIT = 10_000  # atoms per lot: a lot's own decimals and four more


def world(lot: str) -> list[ListingSpec]:
    return [
        listing("alpha", "BTC/USDT", "spot", "0.1", lot, notional_min="10"),
        listing("beta", "BTC/USDT", "spot", "0.1", lot, notional_min="10"),
        listing("dark", "BTC/USDT", "dark", "0.05", lot, reference="alpha BTC/USDT", notional_min="10"),
    ]


BOOKS = [
    snapshot(0, 0, [(25_000, 900)], [(25_001, 900)]),
    snapshot(0, 1, [(25_000, 100)], [(25_001, 100)]),
    snapshot(0, 2),
    snapshot(40, 0, [(25_000, 900)], [(25_001, 900)]),
]
FREE = [f"venues.{venue}.{kind}_taker_bps=0.0" for venue in ("alpha", "beta") for kind in ("spot",)]


def routed(
    base: float, lot: str, *events: Event, side: int = 1, capital: float = 1e6, sent_before: int = 0
) -> tuple[Verdict, dict[int, int], Any]:
    """(verdict, lots by listing, trader) of one intent in this market."""
    packets, levels = tape([*BOOKS, *events])
    made = session(packets, [loose(f"account.capital={capital}", "breakers.orders_per_s_max=10", *FREE)], world(lot))
    made.run(packets, levels)
    made.traders["capital"] = made.traders["equity"] = capital
    made.traders["order_second"] = NOW_NS // NS_PER_S
    made.traders["orders_in_second"] = made.traders["orders_in_minute"] = sent_before
    primary_id = venue_choice.pick_primary(
        made.universe.record[0],
        made.market[0],
        made.traders[0],
        made.market_params[0],
        params_of(made),
        0,
        side,
        NOW_NS,
    )
    if primary_id < 0:
        verdict = venue_choice.why_no_primary(
            made.universe.record[0], made.market[0], made.traders[0], made.market_params[0], 0, side, NOW_NS
        )
        return Verdict(int(verdict)), {}, made.traders[0]
    intent = Intent(Verdict.APPROVED.value, side, base, 1.0, CAP)
    verdict = routing.route_entry(
        made.universe.record[0],
        made.market[0],
        made.books[0],
        made.traders[0],
        made.market_params[0],
        params_of(made),
        0,
        primary_id,
        intent,
        NOW_NS,
    )
    outbox = made.traders[0]["outbox"]
    sent = {int(c["listing_id"]): int(c["lots"]) for c in outbox["commands"][: int(outbox["count"])]}
    return Verdict(int(verdict)), sent, made.traders[0]


def params_of(made: Any) -> Any:
    params = made.params[0]
    params["secondary_share_bps"], params["dark_share_bps"] = 3000, 1000
    return params


@pytest.mark.spec("E1")
@pytest.mark.parametrize(
    "base, lot, expected",
    [
        (1.237, "0.01", {0: 74, 1: 37, 2: 12}),
        (0.013, "0.001", {0: 9, 1: 4}),  # the dark child of $2.50 is folded into the primary, the one of $10 stays
        (0.037, "0.001", {0: 22, 1: 11, 2: 4}),
    ],
)
def test_t17_an_intent_is_split_in_whole_lots_and_what_is_too_small_goes_to_the_primary(
    base: float, lot: str, expected: dict[int, int]
) -> None:
    verdict, sent, trader = routed(base, lot)
    assert (verdict, sent) == (Verdict.APPROVED, expected)
    assert int(trader["positions"][0]["target_atoms"]) == sum(sent.values()) * UNIT


@pytest.mark.spec("E1")
def test_the_share_of_a_venue_that_is_not_live_goes_to_the_primary() -> None:
    assert routed(1.237, "0.01", status(45, 1, BookState.GAP))[1] == {0: 111, 2: 12}
    assert routed(1.237, "0.01", status(45, 2, BookState.STALE))[1] == {0: 86, 1: 37}
    assert routed(1.237, "0.01", status(45, 0, BookState.GAP))[1] == {1: 100}, "nobody knows the dark's midpoint"


@pytest.mark.spec("E1", "R9")
def test_every_refusal_to_route_has_its_name() -> None:
    gaps = [status(45, 0, BookState.GAP), status(45, 1, BookState.GAP)]
    assert routed(1.0, "0.01", *gaps)[0] == Verdict.NO_VENUE
    assert routed(1.0, "0.01", side=-1)[0] == Verdict.SHORT_UNAVAILABLE
    assert routed(0.0099, "0.01")[0] == Verdict.SIZE_ZERO
    assert routed(0.003, "0.001")[0] == Verdict.BELOW_MIN_NOTIONAL
    assert routed(1.0, "0.01", capital=1.0)[0] == Verdict.INSUFFICIENT_BALANCE


@pytest.mark.spec("R7")
@pytest.mark.parametrize("sent_before, children", [(7, 3), (8, 0), (10, 0)])
def test_an_intent_whose_children_would_run_past_the_order_rate_is_not_begun(sent_before: int, children: int) -> None:
    verdict, sent, _ = routed(1.237, "0.01", sent_before=sent_before)
    assert (verdict, len(sent)) == (Verdict.APPROVED if children else Verdict.ORDER_RATE, children)


@pytest.mark.spec("E2")
def test_every_child_is_limited_to_the_touch_and_the_cap_rounded_inward() -> None:
    _, sent, trader = routed(1.237, "0.01")
    limits = {int(c["listing_id"]): int(c["price_ticks"]) for c in trader["outbox"]["commands"][: len(sent)]}
    assert limits == {0: 25_008, 1: 25_008, 2: 50_017}  # 2500.1 * 1.0003 = 2500.85003


@pytest.mark.spec("E6")
def test_a_venue_with_too_little_money_gets_what_it_can_settle() -> None:
    _, sent, trader = routed(1.237, "0.01", capital=3000.0)  # less than thirteen hundred at each venue
    unit_cost = 25.0085
    assert all(lots * unit_cost <= 3000.0 / 2.2 for lots in sent.values())
    assert int(trader["positions"][0]["target_atoms"]) == sum(sent.values()) * UNIT
