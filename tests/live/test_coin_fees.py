"""Fees paid with the venue's own coin: no fill is lost, balances stay the venue's, and what was paid is counted."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from elegant_trading_system.cli_doctor import examined
from elegant_trading_system.cli_emulator import addresses, embedded
from elegant_trading_system.core.kinds import FeeSource, Kind, Side
from elegant_trading_system.emulator.embedded import Embedded
from elegant_trading_system.emulator.faults import Faults
from elegant_trading_system.emulator.orders import Account, FeeCoin
from elegant_trading_system.shell import run_folder
from elegant_trading_system.shell.accounts import Choice, Choices
from elegant_trading_system.shell.link import OpenOrder
from elegant_trading_system.shell.live import wall_ns
from elegant_trading_system.shell.shadow import fill_key
from elegant_trading_system.sim.replay import verify

from ..builders import loose
from .desk import BTC, START_NS, Clock, Outside, Venue
from .futures_desk import FuturesLine, FuturesOutside, FuturesVenue
from .test_accounts import SCENE, hold, run
from .test_outside import Line, events

D = Decimal


@pytest.fixture
def venue() -> Venue:
    found = Venue(Clock(), USDT="100000", BNB="5")
    found.account.fee_coin = FeeCoin()
    return found


@pytest.fixture
def outside(venue: Venue, tmp_path: Path) -> Iterator[Outside]:
    made = Outside(venue, loose(), tmp_path)
    asset_id = made.universe.assets.index("USDT")
    atoms = 100_000 * 10 ** made.universe.decimals["USDT"]
    made.sequencer.hear(Kind.TRANSFER, 0, atoms=atoms, asset_id=asset_id)
    yield made
    made.journal.close()


def amount(outside: Outside, atoms: int) -> Decimal:
    return D(atoms).scaleb(-outside.universe.decimals["USDT"])


@pytest.mark.spec("P1", "E4")
@pytest.mark.parametrize("copies", [1, 2])
def test_a_fill_whose_fee_was_paid_in_bnb_counts_once_and_the_fee_at_bnb_s_last_price(
    venue: Venue, outside: Outside, copies: int
) -> None:
    line = Line(venue, outside)
    line.copies = copies
    outside.gateway.coin_prices["BNB"] = D(600)
    outside.sequencer.trader["next_order_id"] = 1
    outside.command(1, Side.BUY, 600_001, 100)
    line.carry()
    assert outside.gateway.counts["refused"] == 0
    [(_, order_id, source, atoms, rows)] = events(outside, Kind.FILL)
    assert (order_id, source, rows) == (1, FeeSource.ELSEWHERE, [(600_001, 100)])
    paid = D(5) - venue.account.balance("BNB").free
    assert paid > 0
    assert amount(outside, -atoms) == pytest.approx(paid * 600, abs=D("0.0001"))
    assert outside.gateway.counts["estimated_fees"] == 0


@pytest.mark.spec("P1")
def test_without_a_price_of_bnb_the_fee_is_what_it_usually_is(venue: Venue, outside: Outside) -> None:
    line = Line(venue, outside)
    outside.command(1, Side.BUY, 600_001, 100)
    line.carry()
    [(_, _, _, atoms, _)] = events(outside, Kind.FILL)
    assert outside.gateway.counts["estimated_fees"] == 1
    usual = BTC.price(600_001) * BTC.quantity(100) * D(loose().venue("binance").taker_fee_ppm("spot")) / 1_000_000
    assert amount(outside, -atoms) == pytest.approx(usual, abs=D("0.0001"))


@pytest.mark.spec("E4")
def test_a_fill_of_before_a_crash_is_known_again_whatever_bnb_costs_by_then(venue: Venue, outside: Outside) -> None:
    line = Line(venue, outside)
    outside.gateway.coin_prices["BNB"] = D(600)
    outside.command(1, Side.BUY, 600_001, 100)
    line.carry()
    told = outside.journal.packets[: outside.journal.position]
    [key] = [fill_key(packet, outside.journal.rows) for packet in told if packet["kind"] == Kind.FILL]
    order = OpenOrder(1, 0, 1, 100, 100, START_NS, "e1", Counter([key]))
    outside.gateway.orders.clear()
    outside.gateway.coin_prices["BNB"] = D(900)
    before = outside.journal.count
    outside.gateway.restore([order])
    assert outside.gateway.unsettled() == 1
    line.carry()
    assert not events(outside, Kind.FILL)[1:]
    assert outside.journal.count <= before + 1, "the end, and nothing else"


@pytest.mark.spec("P1")
def test_perpetuals_fees_in_bnb_leave_the_wallet_as_the_venue_has_it(tmp_path: Path) -> None:
    venue = FuturesVenue(Clock(), USDT="100000", BNB="5")
    venue.account.fee_coin = FeeCoin(multiple=D("0.9"))
    outside = FuturesOutside(venue, loose(), tmp_path)
    outside.fund()
    line = FuturesLine(venue, outside)
    outside.gateway.coin_prices["BNB"] = D(600)
    outside.command(1, Side.BUY, 600_001, 100)
    line.carry()
    outside.command(2, Side.SELL, 600_000, 100)
    line.carry()
    assert outside.gateway.counts["refused"] == 0
    fills = events(outside, Kind.FILL)
    assert [source for _, _, source, _, _ in fills] == [FeeSource.ELSEWHERE] * 2
    paid = D(5) - venue.account.balance("BNB").free
    assert amount(outside, -sum(atoms for _, _, _, atoms, _ in fills)) == pytest.approx(paid * 600, abs=D("0.0001"))
    outside.journal.close()


@pytest.mark.spec("P1", "E6")
@pytest.mark.parametrize("venue", ["binance", "binanceusdm"])
def test_a_run_on_an_account_that_pays_with_bnb_is_told_goes_on_and_its_trades_add_up(
    venue: str, tmp_path: Path
) -> None:
    def before(place: Embedded, account: Account) -> None:
        hold(place, account, "0.5")
        account.balance("BNB").free = D(10)
        account.fee_coin = FeeCoin()

    ended = run(
        venue, tmp_path, Choices(Choice.ADOPT), before, lambda live: not int(live.sequencer.trader["open_count"])
    )
    assert any("fees are paid with BNB" in line and "600" in line for line in ended.said), ended.said
    assert not any("HALTED" in line for line in ended.said)
    paid = D(10) - ended.account.balance("BNB").free
    assert paid > 0
    summary = run_folder.finish(tmp_path, 1.0)
    assert summary["fees"] == pytest.approx(float(paid * 600), rel=1e-3)
    trades = pl.read_parquet(tmp_path / "trades.parquet")
    assert sum(trades["fees"].to_list()) == pytest.approx(summary["fees"], rel=1e-6)
    told = sum(trades["net"].to_list()) + sum(trades["dust_gain"].to_list())
    assert told == pytest.approx(summary["pnl"]["net"], abs=0.02)
    assert verify(tmp_path)["identical"]


@pytest.mark.spec("X8")
def test_the_doctor_says_when_fees_are_paid_with_bnb_and_what_to_do() -> None:
    place = embedded(SCENE, ["binance", "binanceusdm"], 1000.0)

    def place_accounts(venue: str) -> Account:
        return place.market.exchanges[venue].accounts["trader"]

    async def asked() -> list[tuple[str, str, str]]:
        found = list[tuple[str, str, str]]()
        async with place.serve(wall_ns, Faults({}, 0)) as doors:
            for coin in (None, FeeCoin()):
                for door in doors:
                    place_accounts(door.venue).fee_coin = coin
                    keys = (door.api_key, door.secret)
                    for one in await examined(door.venue, addresses(door), keys, ["BTCUSDT"], ""):
                        found += [(one.name, one.result, one.advice)] if one.name.endswith(" fees") else []
        return found

    found = asyncio.run(asked())
    assert [(name, result) for name, result, _ in found] == [
        ("binance fees", "ok"), ("binanceusdm fees", "ok"), ("binance fees", "warn"), ("binanceusdm fees", "warn"),
    ]  # fmt: skip
    assert all("off" in advice for _, result, advice in found if result == "warn")
