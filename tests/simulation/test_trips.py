"""Round trips are told by what was recorded, and add up to the ledger to the cent, at any time of a run."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from elegant_trading_system.config_sources import load
from elegant_trading_system.core.kinds import Kind, Verdict
from elegant_trading_system.data.universe import build
from elegant_trading_system.sim.market_stream import Chunk, MarketStream
from elegant_trading_system.sim.market_tape import simulate_market
from elegant_trading_system.sim.session import Session
from elegant_trading_system.sim.summary import summarise
from elegant_trading_system.sim.tables import all_tables
from elegant_trading_system.sim.trips import round_trips

SHORT_WINDOWS = Path("short-windows")
MINUTES = 30
CUTS = 12
SETS = ("venues.sim-a.fee_in_base=true", "risk.symbol_leverage_max=0.1")  # coins as fees; cash left to re-route with
Frames = dict[str, pl.DataFrame]
NS = pl.Datetime("ns", "UTC")
BEGIN = datetime(2025, 1, 31, 12, tzinfo=UTC)


class Cut(NamedTuple):
    tables: Frames
    summary: dict[str, Any]


class Ran(NamedTuple):
    cuts: list[Cut]
    chunk: Chunk
    names: list[str]

    @property
    def last(self) -> Cut:
        return self.cuts[-1]


@pytest.fixture(scope="module")
def ran() -> Ran:
    """Half an hour of a simulated market, looked at on the way; the last look is the whole run's."""
    stream = MarketStream(["BTC", "ETH"], seed=1)
    config = load([SHORT_WINDOWS], SETS, environ={})
    chunk = stream.chunk(MINUTES * 60)
    session = Session(build(stream.listings, config), [config], 1_000_000_000)
    cuts = []
    for end in np.linspace(0, len(chunk.packets), CUTS + 1).astype(int)[1:].tolist():
        session.run(chunk.packets, chunk.levels, end, is_last=end == len(chunk.packets))
        tables = all_tables(session)
        cuts.append(Cut(tables, summarise(session, tables["trades"], 0.0, "", "")))
    return Ran(cuts, chunk, [spec.name for spec in stream.listings])


# --- a run ----------------------------------------------------------------------------------------------------
@pytest.mark.spec("P1")
def test_round_trips_add_up_to_the_net_of_the_run_at_any_time(ran: Ran) -> None:
    for tables, summary in ran.cuts:
        trades = tables["trades"]
        total = trades.select(pl.col("net").sum() + pl.col("dust_gain").sum()).item()
        assert total + summary["pnl"]["funding"] == pytest.approx(summary["pnl"]["net"], abs=0.005)
    open_counts = [int((~cut.tables["trades"]["is_closed"]).sum()) for cut in ran.cuts]
    assert min(open_counts) < max(open_counts), "some looks must find a position open"
    assert ran.last.tables["trades"]["dust_gain"].abs().sum() > 0.0, "and coins left as dust"


@pytest.mark.spec("P1")
def test_closed_means_what_the_engine_means(ran: Ran) -> None:
    for tables, summary in ran.cuts:
        assert int(tables["trades"]["is_closed"].sum()) == summary["round_trips"]
    assert ran.last.summary["round_trips"] > 50


@pytest.mark.spec("R9")
def test_every_exit_has_its_recorded_reason(ran: Ran) -> None:
    tables, summary = ran.last
    closed = tables["trades"].filter("is_closed")
    counts = dict(closed["exit_reason"].value_counts().iter_rows())
    assert set(counts) <= {"stop", "target", "time"}
    still = tables["trades"].filter(~pl.col("is_closed"))["exit_reason"].to_list()
    for name in ("stop", "target", "time"):
        decided = summary["verdicts"].get(Verdict[f"EXIT_{name.upper()}"].name, 0)
        assert counts.get(name, 0) + still.count(name) == decided
    assert set(tables["orders"].filter(~pl.col("is_exit"))["exit_reason"]) == {""}


@pytest.mark.spec("R1", "R9")
def test_every_entry_says_what_it_can_lose_within_the_budget(ran: Ran) -> None:
    tables, _ = ran.last
    risks = tables["orders"].filter(~pl.col("is_exit"))["risk_quote"].to_numpy()
    assert risks.min() > 0.0
    assert risks.max() <= 0.0025 * 100_000 * (1 + 1e-9)
    trades = tables["trades"]
    assert (trades["r_multiple"] * trades["risk_quote"]).to_list() == pytest.approx(trades["net"].to_list())


@pytest.mark.spec("E2")
def test_slippage_of_trades_is_that_of_their_orders(ran: Ran) -> None:
    orders, trades = ran.last.tables["orders"], ran.last.tables["trades"]
    filled = orders.filter(pl.col("filled_lots") > 0)
    assert filled["slippage_bps"].null_count() == 0
    direction = pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0)
    cost = direction * (pl.col("fill_price") - pl.col("mid_price")) * pl.col("filled_quantity")
    assert filled.select(cost.sum()).item() == pytest.approx(trades["slippage"].sum())
    at_mids = pl.col("quantity") * pl.col("mid_entry") - pl.col("exit_quantity") * pl.col("mid_exit")
    at_fills = pl.col("entry_quote") - pl.col("exit_quote")
    closed = trades.filter("is_closed").with_columns(found=direction * (at_fills - at_mids))
    assert closed["found"].to_list() == pytest.approx(closed["slippage"].to_list(), abs=1e-6)
    by_venue = dict(filled.group_by(pl.col("venue").cast(pl.String)).agg(pl.col("slippage_bps").mean()).iter_rows())
    assert min(by_venue[name] for name in ("sim-a", "sim-c")) > 0.3, "a lit venue takes about half a spread"
    assert abs(by_venue["sim-dark"]) < min(by_venue["sim-a"], by_venue["sim-c"])


# --- the dark venue -------------------------------------------------------------------------------------------
def entries(ran: Ran) -> pl.DataFrame:
    return ran.last.tables["orders"].filter(~pl.col("is_exit")).with_columns(pl.col("venue").cast(pl.String))


@pytest.mark.spec("E3")
def test_the_dark_venue_is_asked_for_longs_of_its_own_class_only(ran: Ran) -> None:
    dark = entries(ran).filter(pl.col("venue") == "sim-dark")
    assert len(dark) > 20
    assert set(dark["side"]) == {"buy"}, "coins cannot be sold short there"
    assert set(dark["wave"]) == {0}, "a remainder goes to a lit book"
    beside = entries(ran).filter(pl.col("intent_id").is_in(dark["intent_id"].unique().implode()))
    assert set(beside["venue"]) == {"sim-a", "sim-dark"}, "the other listings have another quote or are contracts"
    shares = beside.filter(pl.col("wave") == 0).group_by("intent_id").agg(
        dark=pl.col("quantity").filter(pl.col("venue") == "sim-dark").sum() / pl.col("quantity").sum()
    )["dark"]  # fmt: skip
    assert shares.to_list() == pytest.approx([0.1] * len(shares), abs=0.01)


@pytest.mark.spec("E3")
@pytest.mark.parametrize("group", ["BTC", "ETH"])
def test_the_dark_venue_fills_at_the_midpoint_and_nowhere_else(ran: Ran, group: str) -> None:
    """Against a book kept here, of everything that had left the reference's venue by then."""
    fills = ran.last.tables["fills"].filter(
        (pl.col("venue").cast(pl.String) == "sim-dark") & (pl.col("group") == group)
    )
    assert len(fills) > 5
    stamps = fills["ts_venue"].cast(pl.Int64).to_list()
    order = np.argsort(stamps)
    reference = ran.names.index(f"sim-a {group}/USDT")
    middles = midpoints(ran.chunk, reference, [stamps[i] for i in order])
    tick = {"BTC": 4.0, "ETH": 0.25}[group]
    assert [fills["price"][int(i)] / tick for i in order] == pytest.approx(middles, abs=1e-9)


def midpoints(chunk: Chunk, listing_id: int, stamps: list[int]) -> list[float]:
    """Middle of the touch, in ticks, at each of these moments at the venue."""
    packets = chunk.packets[chunk.packets["listing_id"] == listing_id]
    packets = packets[(packets["kind"] == Kind.DEPTH) | (packets["kind"] == Kind.SNAPSHOT)]
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    found: list[float] = []
    for packet in packets[np.argsort(packets["ts_venue_ns"], kind="stable")]:
        while len(found) < len(stamps) and stamps[len(found)] < packet["ts_venue_ns"]:
            found.append(middle(*sides))
        begin, buys = int(packet["level_begin"]), int(packet["buy_count"])
        for s, rows in enumerate(
            (range(begin, begin + buys), range(begin + buys, begin + buys + int(packet["sell_count"])))
        ):
            if packet["kind"] == Kind.SNAPSHOT:
                sides[s].clear()
            for row in rows:
                sides[s][int(chunk.levels[row]["price_ticks"])] = int(chunk.levels[row]["lots"])
    return found + [middle(*sides)] * (len(stamps) - len(found))


def middle(bids: dict[int, int], asks: dict[int, int]) -> float:
    return 0.5 * (max(t for t, lots in bids.items() if lots) + min(t for t, lots in asks.items() if lots))


@pytest.mark.spec("E2", "E3")
def test_what_the_dark_venue_does_not_fill_is_sent_to_the_lit_book(ran: Ran) -> None:
    """The whole remainder of the first wave, at once; a remainder below the smallest order is let go."""
    intents = entries(ran).group_by("intent_id").agg(
        has_dark=(pl.col("venue") == "sim-dark").any(),
        rest=(pl.col("quantity") - pl.col("filled_quantity")).filter(pl.col("wave") == 0).sum(),
        rest_quote=((pl.col("quantity") - pl.col("filled_quantity")) * pl.col("mid_price")).filter(pl.col("wave") == 0).sum(),
        sent_again=pl.col("quantity").filter(pl.col("wave") == 1).sum(),
        venues=pl.col("venue").filter(pl.col("wave") == 1),
    )  # fmt: skip
    unfilled = intents.filter(pl.col("has_dark") & (pl.col("rest_quote") > 5.5))
    assert len(unfilled) > 20
    assert unfilled["sent_again"].to_list() == pytest.approx(unfilled["rest"].to_list())
    assert set(unfilled.explode("venues")["venues"]) == {"sim-a"}


# --- written by hand ------------------------------------------------------------------------------------------
def fill(
    second: float, order_id: int, side: str, price: float, quantity: float, fee: float, **more: Any
) -> dict[str, Any]:
    return {
        "ts": BEGIN + timedelta(seconds=second), "listing": "a BTC/USDT", "group": "BTC", "order_id": order_id, "intent_id": 1,
        "is_exit": side == "sell", "side": side, "price": price, "quantity": quantity, "notional": price * quantity, "fee": fee,
        "fee_asset": "USDT", **more,
    }  # fmt: skip


def trip(
    *rows: dict[str, Any], mark: float = 100.0, mid: float | None = 100.0, reasons: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The one round trip of some fills, each filling its own order whole; lots of 0.1 at two listings."""
    fills = pl.DataFrame(list(rows)).cast({"ts": NS})
    orders = fills.select(
        "ts", "intent_id", "is_exit", "side", filled_quantity="quantity", fill_price="price"
    ).with_columns(
        exit_reason=pl.when(pl.col("is_exit")).then(pl.lit("stop")).otherwise(pl.lit("")),
        risk_quote=pl.when(pl.col("is_exit")).then(0.0).otherwise(5.0),
        mid_price=pl.lit(mid, pl.Float64),
    )
    orders = orders.with_columns(exit_reason=pl.Series(reasons)) if reasons else orders
    marks = pl.DataFrame({"listing": ["a BTC/USDT", "b BTC/USDT"], "lot": [0.1, 0.1], "mark_price": [mark, mark]})
    (found,) = round_trips(fills, orders, marks).to_dicts()
    return found


def test_a_coin_paid_as_fee_is_paid_once() -> None:
    """1 bought for 100, 0.05 of it the fee; 0.9 sold for 99; 0.05 is dust, worth 4.95 then and 6 now."""
    found = trip(fill(0, 1, "buy", 100.0, 1.0, 0.05, fee_asset="BTC"), fill(9, 2, "sell", 110.0, 0.9, 0.2), mark=120.0)
    assert found["is_closed"]
    assert found["left"] == pytest.approx(0.05)
    assert found["fees"] == pytest.approx(0.05 * 110 + 0.2)
    assert found["net"] == pytest.approx(-100 + 99 - 0.2 + 0.05 * 110)
    assert found["gross"] == pytest.approx(10.0), "one coin, ten higher"
    assert found["dust_gain"] == pytest.approx(0.05 * 10)
    assert found["r_multiple"] == pytest.approx(found["net"] / 5.0)
    assert (found["hold_s"], found["exit_reason"], found["open_gain"]) == (9.0, "stop", 0.0)


def test_a_position_that_was_not_left_counts_at_the_last_price_and_not_as_closed() -> None:
    found = trip(fill(0, 1, "buy", 100.0, 1.0, 0.1), mark=97.0)
    assert (found["is_closed"], found["ts_exit"], found["exit_price"], found["exit_reason"]) == (False, None, None, "")
    assert found["net"] == pytest.approx(-3.1)
    assert (found["gross"], found["open_gain"]) == pytest.approx((-3.0, -3.0))


@pytest.mark.spec("R3", "R9")
def test_a_trip_ends_for_the_reason_that_ended_it_and_not_for_what_halved_it() -> None:
    halves = [fill(second, n, "sell", 90.0, 0.5, 0.0) for second, n in ((5, 2), (9, 3))]
    found = trip(fill(0, 1, "buy", 100.0, 1.0, 0.0), *halves, reasons=("", "volatile", "stop"))
    assert (found["is_closed"], found["exit_reason"], found["hold_s"]) == (True, "stop", 9.0)


def test_half_an_exit_does_not_close() -> None:
    found = trip(fill(0, 1, "buy", 100.0, 1.0, 0.1), fill(5, 2, "sell", 102.0, 0.5, 0.1), mark=101.0)
    assert not found["is_closed"]
    assert found["net"] == pytest.approx(-100 + 51 + 0.5 * 101 - 0.2)
    assert found["open_gain"] == pytest.approx(0.5)


def test_a_lot_left_at_one_listing_is_not_closed_by_dust_at_another() -> None:
    at_b = {"listing": "b BTC/USDT"}
    whole = (
        fill(0, 1, "buy", 100.0, 1.0, 0.0),
        fill(0, 2, "buy", 100.0, 0.5, 0.0, **at_b),
        fill(5, 3, "sell", 101.0, 1.0, 0.0),
    )
    assert not trip(*whole, fill(5, 4, "sell", 101.0, 0.4, 0.0, **at_b))["is_closed"]
    assert trip(*whole, fill(5, 4, "sell", 101.0, 0.5, 0.0, **at_b))["is_closed"]


def test_a_short_earns_when_the_price_falls() -> None:
    short = (fill(0, 1, "sell", 100.0, 1.0, 0.1, is_exit=False), fill(5, 2, "buy", 98.0, 1.0, 0.1, is_exit=True))
    found = trip(*short)
    assert (found["side"], found["is_closed"]) == ("sell", True)
    assert found["net"] == pytest.approx(1.8)
    assert (found["mid_entry"], found["mid_exit"]) == (100.0, 100.0)
    assert found["slippage"] == pytest.approx(-2.0), "sold at the mid, bought two below it"


def test_a_mid_nobody_recorded_leaves_slippage_unknown() -> None:
    found = trip(fill(0, 1, "buy", 100.0, 1.0, 0.1), fill(5, 2, "sell", 102.0, 1.0, 0.1), mid=None)
    assert (found["mid_entry"], found["slippage"], found["slippage_bps"]) == (None, None, None)
    assert found["net"] == pytest.approx(1.8)


# --- tapes ----------------------------------------------------------------------------------------------------
def test_a_simulated_tape_counts_what_an_imported_one_does(tmp_path: Path) -> None:
    for facts in simulate_market(tmp_path, 1.5, seed=2, instruments=["BTC"]):
        quality = facts.quality
        counts = (quality.depth_packets, quality.trades, quality.snapshots)
        if facts.listing.kind == "dark":
            assert counts == (0, 0, 0), "a dark venue tells that it is there, nothing else"
        else:
            assert min(counts) > 0
            assert sum(counts) == facts.packets
        assert 0 < quality.silence_ns_max < 10_000_000_000
        assert 0 < quality.latency_ns_median <= quality.latency_ns_p99 <= facts.latency_ns_max
        assert (quality.crossed_books, quality.sequence_gaps, quality.clock_offset_ns) == (0, 0, 0)
