"""What an account holds before us: adopted, set aside or refused; and what changes later without an order of ours."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

from elegant_trading_system.cli_emulator import Scene, addresses, coins_of, embedded
from elegant_trading_system.cli_live import choices_of
from elegant_trading_system.core.kinds import PositionState, Side
from elegant_trading_system.emulator.embedded import Embedded
from elegant_trading_system.emulator.faults import Faults
from elegant_trading_system.emulator.orders import Account, TimeInForce
from elegant_trading_system.emulator.perpetuals import PerpetualAccount
from elegant_trading_system.errors import ExitCode, UserError
from elegant_trading_system.research.report import write_report
from elegant_trading_system.research.why import why_order
from elegant_trading_system.research.why_words import order_lines
from elegant_trading_system.shell import accounts, run_folder
from elegant_trading_system.shell.accounts import Choice, Choices
from elegant_trading_system.shell.hosts import link_to
from elegant_trading_system.shell.live import LiveRun, wall_ns
from elegant_trading_system.sim.replay import verify

from ..builders import LOOSE, loose
from .test_live_run import ETS, ROOT

D = Decimal
SCENE = Scene("", ["BTC"], 1, 0.0, 30 * 60, [])
SYMBOLS = {"binance": "BTCUSDT", "binanceusdm": "BTCUSDT", "coinbase": "BTC-USD"}
MONEY = {"binance": "USDT", "binanceusdm": "USDT", "coinbase": "USD"}
QUIET = (  # nothing is entered: what happens is what happens to the account
    "signal.velocity_min=1000000.0",
    "bars.lengths_s=[60]",  # known from history
    "risk.hold_max_s=4.0",
)
PATIENCE_S = 60.0
Meddle = Callable[[Embedded, Account], None]


class Ended(NamedTuple):
    live: LiveRun
    said: list[str]
    account: Account


def hold(place: Embedded, account: Account, amount: str) -> None:
    """Coins, or contracts bought before us."""
    if isinstance(account, PerpetualAccount):
        exchange = place.market.exchanges["binanceusdm"]
        side = Side.BUY if D(amount) > 0 else Side.SELL
        lots = int(abs(D(amount)) / exchange.instruments["BTCUSDT"].lot)
        instrument = exchange.instruments["BTCUSDT"]
        exchange.place(account, instrument, side, "MARKET", TimeInForce.IOC, 0, lots, "by-hand", 1)
    else:
        account.balance("BTC").free += D(amount)


def holding(amount: str) -> Meddle:
    return lambda place, account: hold(place, account, amount)


def rest(place: Embedded, venue: str, account: Account) -> None:
    """An order of somebody's, far from the market."""
    exchange = place.market.exchanges[venue]
    instrument = exchange.instruments[SYMBOLS[venue]]
    best = exchange.books[instrument.symbol].best(0)
    assert best is not None
    lots = int(D(2000) / (instrument.price(best) * instrument.lot))
    exchange.place(account, instrument, Side.BUY, "LIMIT", TimeInForce.GTC, best // 2, lots, "by-hand-2", 1)


def run(
    venue: str,
    folder: Path,
    choices: Choices,
    before: Meddle,
    until: Callable[[LiveRun], bool],
    during: Meddle = lambda _place, _account: None,
    **more: Any,
) -> Ended:
    """One run on an account as `before` leaves it; `during` meddles once books are live."""

    async def trade() -> Ended:
        place, said, config = embedded(SCENE, [venue], 100_000.0), list[str](), loose(*QUIET)
        async with place.serve(wall_ns, Faults({}, 0)) as (door,):
            account = place.market.exchanges[venue].accounts["trader"]
            before(place, account)
            link = link_to(venue, addresses(door), wall_ns)
            live = LiveRun([link], config, folder, say=said.append, choices=choices, **more)
            running = asyncio.create_task(
                live.run(PATIENCE_S, lambda run: run_folder.begin(folder, config, run.known, "test"))
            )
            while not running.done() and not (live.universe and is_live(live)):
                await asyncio.wait([running], timeout=0.02)
            if not running.done():
                during(place, account)
            while not running.done() and not until(live):
                await asyncio.wait([running], timeout=0.02)
            live.stop()
            await running
            return Ended(live, said, account)

    return asyncio.run(trade())


def is_live(live: LiveRun) -> bool:
    return hasattr(live, "sequencer") and bool(live.sequencer.market[0]["books"]["state"][0] == 1)


def position_of(live: LiveRun) -> Any:
    return live.sequencer.trader["positions"][0]


def test_choices_are_named_when_another_is_given() -> None:
    assert choices_of("adopt", "cancel") == Choices(Choice.ADOPT, Choice.CANCEL)
    for words in (("cancel", "refuse"), ("adopt", "adopt"), ("", "refuse")):
        with pytest.raises(UserError, match="it is one of"):
            choices_of(*words)


VENUES = pytest.mark.parametrize("venue", ["binance", "binanceusdm", "coinbase"])


@VENUES
@pytest.mark.spec("E6")
def test_a_run_does_not_begin_on_what_it_was_not_told_to_take(venue: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds 0\.5 BTC") as refused:
        run(venue, tmp_path, Choices(), holding("0.5"), lambda _live: True)
    assert all(word in refused.value.hint for word in ("adopt", "ignore", "sell them first"))


@VENUES
@pytest.mark.spec("E6")
def test_open_orders_of_others_are_refused_cancelled_or_left_alone(venue: str, tmp_path: Path) -> None:
    def before(place: Embedded, account: Account) -> None:
        rest(place, venue, account)

    def begun(orders: Choice, folder: str) -> Ended:
        (tmp_path / folder).mkdir()
        return run(venue, tmp_path / folder, Choices(orders=orders), before, is_live)

    with pytest.raises(UserError, match=f"{venue} has open orders of others: {SYMBOLS[venue]} BUY"):
        begun(Choice.REFUSE, "refused")
    left = begun(Choice.IGNORE, "left")
    assert len(left.account.open_orders()) == 1
    cancelled = begun(Choice.CANCEL, "cancelled")
    assert not cancelled.account.open_orders()
    asset_id = cancelled.live.known.assets.index(MONEY[venue])
    funded = int(cancelled.live.sequencer.trader["transfer_atoms"][0, asset_id])
    assert funded == cancelled.live.accounts.atoms(MONEY[venue], "100000"), "what the order held is free again"


@VENUES
@pytest.mark.spec("E6", "R2")
def test_what_is_adopted_is_a_position_with_a_stop_that_is_closed_by_the_run_s_own_rules(
    venue: str, tmp_path: Path
) -> None:
    seen = list[tuple[float, float, int]]()

    def is_closed(live: LiveRun) -> bool:
        position = position_of(live)
        if position["state"] != PositionState.FLAT and not seen:
            seen.append((float(position["stop_price"]), float(position["target_price"]), int(position["side"])))
        return not int(live.sequencer.trader["open_count"])

    choices = Choices(Choice.ADOPT)
    ended = run(venue, tmp_path, choices, holding("0.5"), is_closed)
    assert any("is a position of this run" in line for line in ended.said), ended.said
    [(stop, target, side)] = seen
    assert 0 < stop < target
    assert side == 1
    trader = ended.live.sequencer.trader
    assert int(trader["round_trips"]) == 1
    assert not any("HALTED" in line for line in ended.said), ended.said
    if isinstance(ended.account, PerpetualAccount):
        assert not ended.account.open_positions()
    else:
        assert ended.account.balance("BTC").free < D("0.01")
    summary = run_folder.finish(tmp_path, 1.0)
    for name, row in summary["assets"].items():
        assert row["balance"] == row["fill"] + row["fee"] + row["funding"] + row["transfer"], name
    trades = pl.read_parquet(tmp_path / "trades.parquet")
    assert trades["quantity"].to_list() == [0.5]
    told = sum(trades["net"].to_list()) + sum(trades["dust_gain"].to_list()) + summary["pnl"]["funding"]
    assert told == pytest.approx(summary["pnl"]["net"], abs=0.02)
    assert verify(tmp_path)["identical"]
    assert write_report(tmp_path).exists()
    told_why = "\n".join(order_lines(why_order(tmp_path, 1)))
    assert "the account held 0.5 on" in told_why
    assert "closed" in told_why


@pytest.mark.spec("E6")
def test_a_short_is_adopted_as_one_and_contracts_are_never_set_aside(tmp_path: Path) -> None:
    choices = Choices(Choice.ADOPT)
    ended = run("binanceusdm", tmp_path, choices, holding("-0.5"), is_live)
    position = position_of(ended.live)
    assert (int(position["side"]), float(position["stop_price"]) > float(position["target_price"])) == (-1, True)
    with pytest.raises(UserError, match="contracts cannot be set aside"):
        run("binanceusdm", tmp_path, Choices(Choice.IGNORE), holding("0.5"), is_live)


@pytest.mark.spec("E6")
@pytest.mark.parametrize("venue", ["binance", "coinbase"])
def test_what_is_set_aside_is_not_sold_and_a_run_that_goes_on_finds_it_right(
    venue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "CHECK_S", 0.1)
    looks = list[int]()

    async def looked(self: accounts.Accounts, link: Any) -> list[str]:
        looks.append(1)
        return await DIFFERENCES(self, link)

    monkeypatch.setattr(accounts.Accounts, "differences", looked)
    ended = run(
        venue, tmp_path, Choices(Choice.IGNORE), holding("0.5"), lambda _live: len(looks) > 5,
        is_flat_at_end=True,
    )  # fmt: skip
    assert ended.account.balance("BTC").free == D("0.5")
    assert not int(ended.live.sequencer.trader["inventory"][0]["held_atoms"])
    assert any("is set aside" in line for line in ended.said)
    assert not any("HALTED" in line for line in ended.said), ended.said
    recovered = run_folder.recover(tmp_path)
    assert D(recovered.ignored[venue]["BTC"]) == D("0.5")


DIFFERENCES = accounts.Accounts.differences


def deposit(_place: Embedded, account: Account) -> None:
    account.balance(next(iter(account.balances))).free += D(1000)


def trade_by_hand(place: Embedded, account: Account) -> None:
    hold(place, account, "0.1")


@VENUES
@pytest.mark.parametrize("meddle", [deposit, trade_by_hand])
@pytest.mark.spec("E6", "R7")
def test_a_change_that_no_order_of_ours_caused_stops_entries(
    venue: str, meddle: Meddle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "CHECK_S", 0.1)

    def is_halted(live: LiveRun) -> bool:
        return bool(live.sequencer.trader["is_halted"])

    ended = run(venue, tmp_path, Choices(), lambda *_at: None, is_halted, meddle)
    assert is_halted(ended.live)
    assert any("expected: HALTED" in line for line in ended.said), ended.said
    assert verify(tmp_path)["identical"]


@pytest.mark.spec("E6", "R7")
def test_what_a_person_has_accepted_is_booked_as_a_transfer_and_trading_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def trade() -> tuple[LiveRun, list[str]]:
        place, said, config = embedded(SCENE, ["binance"], 100_000.0), list[str](), loose(*QUIET)
        async with place.serve(wall_ns, Faults({}, 0)) as (door,):
            account = place.market.exchanges["binance"].accounts["trader"]

            def live(**more: Any) -> LiveRun:
                return LiveRun([link_to("binance", addresses(door), wall_ns)], config, tmp_path, **more)

            await live().run(2.0, lambda run: run_folder.begin(tmp_path, config, run.known, "test"))
            account.balance("USDT").free += D(1000)
            account.balance("BTC").free += D("0.25")
            halted = live(recovered=run_folder.recover(tmp_path))
            await halted.run(0.3)
            assert int(halted.sequencer.trader["is_halted"])
            again = live(recovered=run_folder.recover(tmp_path), is_rearmed=True, say=said.append)
            await again.run(1.0)
            return again, said

    again, said = asyncio.run(trade())
    assert not int(again.sequencer.trader["is_halted"])
    assert sorted(line for line in said if "accepted" in line) == [
        f"binance: {amount} that we did not cause is accepted" for amount in ("+0.25 BTC", "+1000 USDT")
    ]
    assert float(again.sequencer.trader["drawdown_max"]) == 0.0
    assert D(run_folder.recover(tmp_path).ignored["binance"]["BTC"]) == D("0.25")


@pytest.mark.spec("E6", "X8")
def test_a_run_that_was_refused_its_account_leaves_no_folder_and_begins_when_told_how(
    tmp_path: Path,
) -> None:
    async def rehearse() -> tuple[int, str, bool, int]:
        place = embedded(SCENE, ["binance"], 100_000.0)
        place.coins = coins_of(["btc=0.5"])
        async with place.serve(wall_ns, Faults({}, 0)) as (door,):
            hosts, folder = tmp_path / "hosts.json", tmp_path / "run"
            hosts.write_text(json.dumps({"venues": {"binance": addresses(door)}}))
            words = ["run", "--hosts", str(hosts), "--live", "--out", str(folder), "--minutes", "0.01", "--no-browser"]
            settings = [word for setting in (*LOOSE, *QUIET) for word in ("--set", setting)]
            refused, said = await asyncio.to_thread(end_of, [*words, *settings])
            is_left = folder.exists()
            begun, _ = await asyncio.to_thread(end_of, [*words, *settings, "--holdings", "ignore"])
            return refused, said, is_left, begun

    refused, said, is_left, begun = asyncio.run(rehearse())
    assert (refused, is_left, begun) == (ExitCode.USAGE, False, 0), said
    assert "binance holds 0.5 BTC" in said


def end_of(words: list[str]) -> tuple[int, str]:
    done = subprocess.run([*ETS, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    return done.returncode, done.stderr
