"""What must hold of every order of every run of the strategy, checked from the outside."""

from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from elegant_trading_system.core.kinds import (
    BookState,
    CommandKind,
    Kind,
    ListingKind,
    OperatorCommand,
    OrderState,
    PositionState,
    Verdict,
)
from elegant_trading_system.core.schema import PACKET
from elegant_trading_system.sim import replay
from elegant_trading_system.sim.session import Session

from ..builders import WORLD, Array, loose, random_tape, run, session
from ..naive_core import NaiveBook

FAULTS = ("simulation.lost_reply=0.1", "simulation.reject=0.05", "execution.ack_timeout_ms=80")
TAPES = {seed: random_tape(seed, 2500) for seed in (1, 3, 5)}
SPOT_ONLY = [spec for spec in WORLD if spec.kind in ("spot", "dark")]


def sends(finished: Session) -> Array:
    commands = finished.logs[0].joined("commands")
    sent: Array = commands[commands["kind"] == CommandKind.SEND]
    return sent


def fills(finished: Session) -> list[tuple[int, int, int, int]]:
    """(seq, order id, price in ticks, lots)"""
    replies, rows = finished.logs[0].joined("replies"), finished.logs[0].joined("rows")
    is_fill = replies["kind"] == Kind.FILL
    replies, rows = replies[is_fill], rows[is_fill]
    columns = (replies["seq"], replies["order_id"], rows["price_ticks"], rows["lots"])
    return list(zip(*(column.tolist() for column in columns), strict=True))


# --- at every moment ------------------------------------------------------------------------------------------
def assert_lots_and_accounts_close(finished: Session) -> None:
    trader = finished.traders[0]
    inventory = trader["inventory"]
    working = inventory["working_buy_lots"] + inventory["working_sell_lots"]
    assert (inventory["sent_lots"] == inventory["filled_lots"] + inventory["expired_lots"] + working).all()
    accounts = (trader[f"{name}_atoms"] for name in ("fill", "fee", "funding", "transfer"))
    assert (trader["balances"] == sum(accounts)).all()
    live = trader["orders"][trader["orders"]["state"] != OrderState.FREE]
    for listing_id in range(len(finished.universe.listings)):
        of_listing = live[live["listing_id"] == listing_id]
        leaves = of_listing["lots"] - of_listing["filled_lots"]
        assert int(leaves[of_listing["side"] > 0].sum()) == int(inventory["working_buy_lots"][listing_id])
        assert int(leaves[of_listing["side"] < 0].sum()) == int(inventory["working_sell_lots"][listing_id])


def assert_children_stay_within_their_intent(finished: Session) -> None:
    trader, record = finished.traders[0], finished.universe.record[0]
    for group_id in range(record["group_count"]):
        position = trader["positions"][group_id]
        if position["state"] == PositionState.FLAT:
            continue
        atoms = 0
        for order in trader["orders"]:
            is_child = order["state"] != OrderState.FREE and order["intent_id"] == position["intent_id"]
            if is_child and not order["is_exit"]:
                unit = int(record["listings"][order["listing_id"]]["base_atoms_per_lot"])
                atoms += (int(order["lots"]) - int(order["filled_lots"])) * unit
        assert int(position["entry_atoms"]) + atoms <= int(position["target_atoms"])


@pytest.mark.spec("P1", "E2", "E4")
@pytest.mark.parametrize("seed", list(TAPES))
def test_in_the_middle_of_a_run_every_lot_and_atom_is_accounted_for(seed: int) -> None:
    packets, levels = TAPES[seed]
    made = session(packets, [loose(*FAULTS)])
    for end in range(25, len(packets), 25):
        made.run(packets, levels, end, is_last=False)
        assert_lots_and_accounts_close(made)
        assert_children_stay_within_their_intent(made)
    made.run(packets, levels)
    assert_lots_and_accounts_close(made)
    assert len(fills(made)) > 30
    assert int(made.traders[0]["refused_reports"]) == 0
    assert int(made.traders[0]["unknown_count"]) > 0


@pytest.mark.spec("P1")
@pytest.mark.parametrize("seed", list(TAPES))
def test_what_is_held_is_what_was_filled_less_fees_and_dust(seed: int) -> None:
    packets, levels = TAPES[seed]
    finished = run(packets, levels, [loose(*FAULTS)])
    record, trader = finished.universe.record[0], finished.traders[0]
    for venue_id in range(record["venue_count"]):
        for asset_id in range(record["asset_count"]):
            held = [
                int(trader["inventory"][k]["held_atoms"])
                for k, row in enumerate(record["listings"][: len(WORLD)])
                if row["kind"] in (ListingKind.SPOT, ListingKind.DARK)
                and (row["venue_id"], row["base_id"]) == (venue_id, asset_id)
            ]
            if held:
                assert sum(held) + int(trader["dust_atoms"][venue_id, asset_id]) == int(
                    trader["balances"][venue_id, asset_id]
                )


# --- every order ----------------------------------------------------------------------------------------------
def replay_books(
    packets: Array, levels: Array, listings: Any
) -> tuple[list[NaiveBook], dict[str, int], dict[int, int]]:
    """Books, and when each venue and listing was last heard of, after these packets."""
    books = [NaiveBook() for _ in listings]
    venues: dict[str, int] = {}
    heard: dict[int, int] = {}
    for packet in packets:
        listing_id = int(packet["listing_id"])
        books[listing_id].apply(packet, levels)
        venues[listings[listing_id].venue] = heard[listing_id] = int(packet["ts_local_ns"])
    return books, venues, heard


def is_fresh(twin: tuple[list[NaiveBook], dict[str, int], dict[int, int]], listings: Any, k: int, ts_ns: int) -> bool:
    book = twin[0][k]
    is_crossed = bool(book.bids) and bool(book.asks) and max(book.bids) >= min(book.asks)
    is_heard = ts_ns - twin[1].get(listings[k].venue, 0) <= 2 * 10**9 and ts_ns - twin[2].get(k, 0) <= 30 * 10**9
    return book.state == BookState.LIVE and not is_crossed and is_heard


@pytest.mark.spec("M3", "E3")
@pytest.mark.parametrize("seed", list(TAPES))
def test_no_order_is_ever_sent_to_a_book_that_is_not_live_and_fresh(seed: int) -> None:
    packets, levels = TAPES[seed]
    finished = run(packets, levels, [loose(*FAULTS)])
    orders = sends(finished)
    assert (orders["is_reduce_only"] == 0).sum() > 5
    assert int(finished.traders[0]["verdicts"][Verdict.BOOK_NOT_LIVE]) > 0
    for order in orders:
        # an order decided at a packet's own time has seen it; a boundary at the same time has not, and is earlier
        seen = {int(np.searchsorted(packets["ts_local_ns"], order["ts_ns"], side)) for side in ("left", "right")}
        twins = [replay_books(packets[:n], levels, WORLD) for n in seen]
        k, ts_ns = int(order["listing_id"]), int(order["ts_ns"])
        assert any(is_fresh(twin, WORLD, k, ts_ns) for twin in twins), order
        if WORLD[k].kind != "dark":
            assert any(twin[0][k].bids and twin[0][k].asks for twin in twins)


@pytest.mark.spec("E7")
@pytest.mark.parametrize("seed", list(TAPES))
def test_exits_never_sell_more_than_is_held(seed: int) -> None:
    packets, levels = TAPES[seed]
    finished = run(packets, levels, [loose(*FAULTS)])
    record = finished.universe.record[0]["listings"]
    log = finished.logs[0]
    orders = {int(order["order_id"]): order for order in sends(finished)}
    replies, rows = log.joined("replies"), log.joined("rows")
    exits = 0
    for order in orders.values():
        if not order["is_reduce_only"]:
            continue
        exits += 1
        held_atoms, working_lots = 0, 0
        for packet, row in zip(replies, rows, strict=True):
            if packet["seq"] > order["cause_seq"] or packet["listing_id"] != order["listing_id"]:
                continue
            if packet["kind"] == Kind.FILL:
                unit = int(record[order["listing_id"]]["base_atoms_per_lot"])
                held_atoms += int(orders[int(packet["order_id"])]["side"]) * int(row["lots"]) * unit
                if packet["asset_id"] == record[order["listing_id"]]["base_id"]:
                    held_atoms += int(packet["atoms"])
        ended = {
            int(p["order_id"])
            for p in replies
            if p["seq"] <= order["cause_seq"] and p["kind"] in (Kind.EXPIRED, Kind.REJECTED)
        }
        for other in orders.values():
            is_before = other["order_id"] < order["order_id"] and other["listing_id"] == order["listing_id"]
            if is_before and other["is_reduce_only"] and int(other["order_id"]) not in ended:
                done = sum(
                    lots for seq, k, _, lots in fills(finished) if k == other["order_id"] and seq <= order["cause_seq"]
                )
                working_lots += int(other["lots"]) - done
        unit = int(record[order["listing_id"]]["base_atoms_per_lot"])
        assert int(order["side"]) * held_atoms < 0, "an exit goes against what is held"
        assert (int(order["lots"]) + working_lots) * unit <= abs(held_atoms)
    assert exits > 5


@pytest.mark.spec("E2")
@pytest.mark.parametrize("seed", list(TAPES))
def test_no_fill_is_beyond_its_orders_limit_or_more_than_was_ordered(seed: int) -> None:
    finished = run(*TAPES[seed], [loose(*FAULTS)])
    orders = {int(order["order_id"]): order for order in sends(finished)}
    filled: dict[int, int] = defaultdict(int)
    for _, order_id, ticks, lots in fills(finished):
        order = orders[order_id]
        assert int(order["side"]) * (int(order["price_ticks"]) - ticks) >= 0
        filled[order_id] += lots
    assert all(lots <= int(orders[order_id]["lots"]) for order_id, lots in filled.items())


@pytest.mark.spec("S1", "R9")
def test_a_short_on_spot_is_refused_by_name() -> None:
    packets, levels = random_tape(2, 2500, SPOT_ONLY)
    finished = run(packets, levels, [loose()], SPOT_ONLY)
    orders = sends(finished)
    entries = orders[orders["is_reduce_only"] == 0]
    assert int(finished.traders[0]["verdicts"][Verdict.SHORT_UNAVAILABLE]) > 0
    assert len(entries) > 0 and (entries["side"] == 1).all()


@pytest.mark.spec("E1", "E3")
def test_the_dark_venue_gets_its_share_and_trades_in_it() -> None:
    packets, levels = random_tape(2, 2500, SPOT_ONLY)
    finished = run(packets, levels, [loose("simulation.dark_fill=1.0")], SPOT_ONLY)
    dark_id = [spec.kind for spec in SPOT_ONLY].index("dark")
    orders = sends(finished)
    dark_ids = orders["order_id"][orders["listing_id"] == dark_id].tolist()
    dark_fills = [ticks for _, order_id, ticks, _ in fills(finished) if order_id in dark_ids]
    assert len(dark_ids) > 3
    assert len(dark_fills) > 0


@pytest.mark.spec("E4")
def test_while_an_order_is_unknown_its_group_sends_nothing_new_but_the_exits_of_what_was_filled() -> None:
    packets, levels = TAPES[1]
    config = loose("simulation.lost_reply=1.0", "execution.ack_timeout_ms=60", "execution.query_interval_ms=400")
    finished = run(packets, levels, [config])
    commands = finished.logs[0].joined("commands")
    group_of = finished.universe.record[0]["listings"]["group_id"]
    unknown: dict[int, int] = {}  # order id -> when first queried
    last_reply = {int(p["order_id"]): int(p["ts_local_ns"]) for p in finished.logs[0].joined("replies")}
    for command in commands:
        if command["kind"] == CommandKind.QUERY:
            unknown.setdefault(int(command["order_id"]), int(command["ts_ns"]))
    listing_of = {int(c["order_id"]): int(c["listing_id"]) for c in commands}
    side_of = {int(c["order_id"]): int(c["side"]) for c in commands}
    assert unknown
    for command in commands[commands["kind"] == CommandKind.SEND]:
        for order_id, since_ns in unknown.items():
            until_ns = last_reply.get(order_id, 2**62)
            is_same_group = group_of[listing_of[order_id]] == group_of[command["listing_id"]]
            is_silent = is_same_group and since_ns <= command["ts_ns"] < until_ns
            assert not is_silent or (command["is_reduce_only"] and command["side"] != side_of[order_id])
    assert int(finished.traders[0]["verdicts"][Verdict.UNKNOWN_ORDER]) > 0
    assert_lots_and_accounts_close(finished)


# --- the operator ---------------------------------------------------------------------------------------------
def test_after_a_halt_nothing_is_entered_and_what_is_open_is_still_closed() -> None:
    packets, levels = TAPES[1]
    config = loose(
        "execution.reroutes_max=5", "execution.reroute_deadline_ms=5000", "simulation.response_latency_ms=100.0"
    )
    finished = run(packets, levels, [config])
    log = finished.logs[0]
    events, rows = replay.weave(packets, levels, log.joined("replies"), log.joined("rows"))
    entries = sends(finished)[sends(finished)["is_reduce_only"] == 0]
    rerouted = entries[entries["wave"] > 0]
    assert len(rerouted) > 0
    halt = np.zeros(1, PACKET)
    halt["kind"], halt["code"] = Kind.OPERATOR, OperatorCommand.HALT
    for order in rerouted[:3]:
        at = int(order["cause_seq"])  # just before the report that made it re-route
        halt["ts_local_ns"] = events["ts_local_ns"][at - 1]
        halted = np.concatenate([events[:at], halt, events[at:]])
        commands, _ = replay.advance(finished.universe.record, config, halted, rows)
        is_entry = (commands["kind"] == CommandKind.SEND) & (commands["is_reduce_only"] == 0)
        assert not (commands["cause_seq"][is_entry] >= at).any(), order


def test_only_a_resume_ends_a_halt() -> None:
    packets, _ = TAPES[1]
    config = loose()
    system = np.zeros(2, PACKET)
    system["kind"], system["ts_local_ns"] = Kind.OPERATOR, packets["ts_local_ns"][0]
    system["code"] = OperatorCommand.HALT, 0
    made = session(packets, [config])
    _, trader = replay.advance(made.universe.record, config, system, TAPES[1][1])
    assert int(trader["is_halted"]) == 1
    system["code"] = OperatorCommand.HALT, OperatorCommand.RESUME
    _, trader = replay.advance(made.universe.record, config, system, TAPES[1][1])
    assert int(trader["is_halted"]) == 0


# --- a reference without a book -------------------------------------------------------------------------------
def test_a_group_trades_where_it_can_while_its_references_book_is_unknown() -> None:
    """The first spot listing gives the bars; that its book is not there must not hide in an empty side's price."""
    packets, levels = random_tape(2, 2500, WORLD[:2])
    is_silent = (packets["listing_id"] == 0) & (packets["kind"] != Kind.TRADE)
    finished = run(packets[~is_silent], levels, [loose()], WORLD[:2])
    orders = sends(finished)
    assert len(orders) > 0, {Verdict(i).name: int(n) for i, n in enumerate(finished.traders[0]["verdicts"]) if n}


#: A question about a lost order takes longer than a position may last.
SILENT = (
    "simulation.lost_reply=0.4",
    "simulation.response_latency_ms=1500.0",
    "execution.ack_timeout_ms=1600",
    "execution.query_interval_ms=60000",
    *(f"regimes.{row}.hold_bars=1" for row in ("neutral", "trend", "range")),
)
PASS_NS = 100_000_000


@pytest.mark.spec("E4", "R2")
def test_what_was_filled_is_protected_and_let_go_while_the_venue_is_silent_about_the_rest() -> None:
    protected: set[int] = set()
    let_go: set[int] = set()
    filled_late: set[int] = set()
    for seed in (1, 3):
        packets, levels = random_tape(seed, 10_000, silences=False)
        made = session(packets, [loose(*SILENT)])
        silent_since_ns: dict[int, int] = {}
        for end in range(10, len(packets), 10):
            before = made.traders[0]["positions"].copy()
            made.run(packets, levels, end, is_last=False)
            trader, now_ns = made.traders[0], int(packets["ts_local_ns"][end - 1])
            for position in trader["positions"]:
                intent_id = int(position["intent_id"])
                mine = trader["orders"][trader["orders"]["intent_id"] == intent_id]
                entries = mine[(mine["state"] != OrderState.FREE) & (mine["is_exit"] == 0)]
                if len(entries) == 0:
                    continue
                assert position["state"] != PositionState.FLAT  # what may still be filled is somebody's
                if (entries["state"] != OrderState.UNKNOWN).any() or position["entry_atoms"] == 0:
                    continue
                key = seed * 1_000_000 + intent_id
                if now_ns - silent_since_ns.setdefault(key, now_ns) <= PASS_NS:
                    continue
                assert position["state"] in (PositionState.OPEN, PositionState.EXITING)
                assert position["side"] * (position["target_price"] - position["stop_price"]) > 0
                protected.add(key)
                if ((mine["state"] != OrderState.FREE) & (mine["is_exit"] == 1)).any():
                    let_go.add(key)
            for was, position in zip(before, made.traders[0]["positions"], strict=True):
                key = seed * 1_000_000 + int(position["intent_id"])
                if key in let_go and position["entry_atoms"] > was["entry_atoms"]:
                    filled_late.add(key)
        made.run(packets, levels)
        assert_lots_and_accounts_close(made)
    assert protected and let_go and filled_late
