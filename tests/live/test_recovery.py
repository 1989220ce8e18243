"""A run that ended somehow goes on where its journal ends."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elegant_trading_system.cli_doctor import check_hosts
from elegant_trading_system.cli_emulator import Scene, addresses, embedded
from elegant_trading_system.core.kinds import BookState, Kind, OperatorCommand, OrderState
from elegant_trading_system.data import journal
from elegant_trading_system.data.journal import Journal
from elegant_trading_system.emulator.faults import Faults
from elegant_trading_system.errors import ExitCode, UserError
from elegant_trading_system.shell import hosts, run_folder
from elegant_trading_system.shell.live import LiveRun, wall_ns
from elegant_trading_system.shell.sequencer import Sequencer
from elegant_trading_system.sim.replay import verify

from ..builders import loose
from .desk import Clock, Outside, Venue
from .drill import Drill
from .killing import PATIENCE_S, kill_often, venue

SCENE = Scene("", ["BTC"], 1, 0.3, 30 * 60, [])


@pytest.mark.spec("X1", "E4", "R7")
def test_a_run_killed_again_and_again_loses_no_fill_and_sends_no_order_twice(tmp_path: Path) -> None:
    with venue(tmp_path, "--fault", "lost-answer:0.1", "--fault", "lost-report:0.1") as where:
        outcome = kill_often(tmp_path, where, kills=3, seed=1)
    assert outcome.problems == []
    assert outcome.orders >= 3
    assert outcome.from_snapshots


@pytest.mark.drill
@pytest.mark.spec("X1", "E4")
def test_a_hundred_kills(tmp_path: Path) -> None:
    with venue(tmp_path, "--fault", "lost-answer:0.1", "--fault", "lost-report:0.1") as where:
        outcome = kill_often(tmp_path, where, kills=100, seed=2)
    assert outcome.problems == []


def trading(folder: Path) -> Outside:
    """A trader in the middle of it: an order is out, and the venue says nothing of it."""
    drill = Drill(1, folder)
    drill.faults.shares = {"lost-answer": 1.0, "lost-report": 1.0}
    run_folder.begin(folder, drill.config, drill.outside.universe, "test")
    run_folder.note_epoch(folder, 1, "e1")
    drill.begin()
    while not drill.watch.sent:
        drill.pass_time(0.1)
    return drill.outside


@pytest.mark.spec("X1")
def test_the_state_out_of_the_journal_is_the_state_that_was(tmp_path: Path) -> None:
    outside = trading(tmp_path)
    found = run_folder.recover(tmp_path)
    assert found.market.tobytes() == outside.sequencer.market.tobytes()
    assert found.books.tobytes() == outside.sequencer.books.tobytes()
    assert found.traders.tobytes() == outside.sequencer.traders.tobytes()
    assert found.ts_ns == outside.sequencer.ts_ns
    (order,) = found.open_orders
    assert (order.order_id, order.epoch, order.filled_lots, order.fills.total()) == (1, "e1", 0, 0)
    assert len(found.missing) == 0
    outside.journal.close()


@pytest.mark.spec("X1", "M3", "E4")
def test_after_a_restart_no_book_is_known_no_order_is_and_nothing_is_decided(tmp_path: Path) -> None:
    outside = trading(tmp_path)
    found = run_folder.recover(tmp_path)
    outside.journal.close()
    kept, decided = Journal(tmp_path / "journal"), list[object]()
    state = (found.market, found.books, found.traders)
    sequencer = Sequencer(outside.universe, found.config, kept, outside.venue.clock, decided.append, state, found.ts_ns)
    seen = int(sequencer.trader["verdicts"].sum())
    sequencer.hear(Kind.OPERATOR, 0, code=OperatorCommand.RESTART, ts_local_ns=found.ts_ns)
    assert BookState(int(sequencer.market[0]["books"][0]["state"])) is BookState.RESYNC
    assert [int(order["state"]) for order in sequencer.trader["orders"] if order["state"]] == [OrderState.UNKNOWN]
    outside.venue.clock.pass_ms(3_600_000)  # an hour later
    sequencer.tick()
    sequencer.hear(Kind.STATUS, 0, code=BookState.STALE)
    assert int(sequencer.trader["verdicts"].sum()) == seen
    assert decided == []
    sequencer.hear(Kind.OPERATOR, 0, code=OperatorCommand.RECONCILED)
    outside.venue.clock.pass_ms(1000)
    sequencer.tick()
    assert decided, "the order is asked about, as any UNKNOWN one"
    assert int(sequencer.trader["verdicts"].sum()) > seen
    kept.close()


@pytest.mark.spec("X1", "E4")
def test_an_order_that_left_and_was_not_written_down_is_asked_about_and_the_run_replays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(killed: Journal, _commands: object) -> None:
        killed._chainer.shutdown()
        killed._commands.close()  # a killed process closes its files, and nothing else
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "log_commands", die)
    with pytest.raises(KeyboardInterrupt):
        trading(tmp_path)
    monkeypatch.undo()
    found = run_folder.recover(tmp_path)
    assert found.missing["order_id"].tolist() == [order.order_id for order in found.open_orders] == [1]
    assert verify(tmp_path)["identical"], "what its last event led to"
    (tmp_path / "journal" / "commands.bin").write_bytes(bytes(found.missing.nbytes))
    assert not verify(tmp_path)["identical"], "it would notice another"


@pytest.mark.spec("X1")
def test_a_journal_goes_on_behind_half_an_entry_and_its_chain_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "BLOCK_PACKETS", 8)

    def write(kept: Journal, first: int, count: int) -> None:
        for n in range(first, first + count):
            kept.rows["lots"][kept.begin(1)] = n
            kept.lay(buy_count=1)
            kept.commit(n)
            kept.seal()

    killed = Journal(tmp_path / "j")
    write(killed, 0, 21)
    killed._chainer.shutdown()
    killed._commands.close()  # a killed process closes its files, and nothing else
    with (tmp_path / "j" / "commands.bin").open("ab") as file:
        file.write(b"half")
    with (tmp_path / "j" / "chain.jsonl").open("ab") as file:
        file.write(b'{"segment": 0, "en')
    again = Journal(tmp_path / "j")
    assert again.count == 21
    write(again, 21, 10)
    digest = again.close()
    seqs = np.concatenate([packets["seq"] for packets, _ in journal.read(tmp_path / "j")])
    assert seqs.tolist() == list(range(31))
    assert journal.check_chain(tmp_path / "j") == digest
    assert len(journal.read_commands(tmp_path / "j")) == 0


def test_a_run_that_other_code_would_have_traded_otherwise_does_not_go_on(tmp_path: Path) -> None:
    trading(tmp_path).journal.close()
    path = tmp_path / "journal" / "commands.bin"
    data = bytearray(path.read_bytes())
    data[32] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"decides otherwise: command 0"):
        run_folder.recover(tmp_path)


def test_a_run_that_had_seen_no_market_does_not_go_on(tmp_path: Path) -> None:
    outside = Outside(Venue(Clock()), loose(), tmp_path)
    run_folder.begin(tmp_path, loose(), outside.universe, "test")
    outside.sequencer.hear(Kind.TRANSFER, 0, atoms=1, asset_id=0)
    outside.journal.close()
    with pytest.raises(UserError, match="before it had seen a market"):
        run_folder.recover(tmp_path)


@pytest.mark.spec("X8")
def test_live_orders_go_to_this_machine_only(tmp_path: Path) -> None:
    where = {"rest": "https://api.binance.com/api/v3", "streams": "ws://127.0.0.1:1", "ws_api": "ws://localhost:2/ws"}
    path = tmp_path / "hosts.json"
    path.write_text(json.dumps({"venues": {"binance": where}}))
    with pytest.raises(UserError, match=r"this machine only: binance https://api\.binance\.com") as refused:
        hosts.check_loopback(hosts.read_hosts(path))
    assert refused.value.exit_code is ExitCode.USAGE
    assert "localhost" not in refused.value.message


@pytest.mark.spec("X2")
def test_a_key_trades_in_one_process_only_and_is_never_shown(tmp_path: Path) -> None:
    where = {"binance": {"api_key": f"key-{tmp_path}", "api_secret": "hush"}}
    with (
        hosts.only_one(where),
        pytest.raises(UserError, match="another run trades with this key") as refused,
        hosts.only_one(where),
    ):
        pass
    assert str(tmp_path) not in refused.value.message + refused.value.hint
    with hosts.only_one(where):
        pass  # it was let go


def test_missing_keys_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BINANCE_API_KEY", raising=False)
    monkeypatch.setenv("BINANCE_SECRET", "hush")
    with pytest.raises(UserError, match="BINANCE_API_KEY not set"):
        hosts.link_to("binance", {"symbols": []}, lambda: 0)


def test_balances_that_nobody_here_changed_halt_the_trader(tmp_path: Path) -> None:
    async def trade() -> tuple[list[str], int]:
        scene = Scene("", ["BTC"], 1, 0.0, 60, [])
        place = embedded(scene, ["binance"], 1000.0)
        async with place.serve(wall_ns, Faults({}, 0)) as (door,):
            first = LiveRun([hosts.link_to(door.venue, addresses(door), wall_ns)], loose(), tmp_path)
            await first.run(1.0, lambda run: run_folder.begin(tmp_path, loose(), run.known, "test"))
            place.market.exchanges["binance"].accounts["trader"].balance("USDT").free -= 1
            said = list[str]()
            again = LiveRun(
                [hosts.link_to(door.venue, addresses(door), wall_ns)],
                loose(),
                tmp_path,
                say=said.append,
                recovered=run_folder.recover(tmp_path),
            )
            await again.run(0.5)
            return said, int(again.sequencer.trader["is_halted"])

    said, is_halted = asyncio.run(trade())
    assert is_halted
    assert any("of USDT" in line and "HALTED" in line for line in said)


@pytest.mark.spec("X8", "R7")
def test_live_orders_need_a_doctor_who_says_yes(tmp_path: Path) -> None:
    async def refused() -> str:
        async with embedded(SCENE, ["binance"], 1000.0).serve(wall_ns, Faults({}, 0)) as (door,):
            where = addresses(door) | {"symbols": ["BTCUSDT", "NOPEUSDT"]}
            with pytest.raises(UserError, match=r"the doctor says no: .*NOPEUSDT") as found:
                await asyncio.to_thread(check_hosts, {"binance": where})
            await asyncio.to_thread(check_hosts, {"binance": addresses(door)})
            return found.value.message

    assert "emulated-" not in asyncio.run(refused()), "no key is shown"


@pytest.mark.spec("R7", "X1")
def test_a_run_that_is_to_end_flat_holds_nothing_and_stays_halted_until_it_is_armed_again(tmp_path: Path) -> None:
    async def trade() -> tuple[LiveRun, LiveRun, LiveRun]:
        async with embedded(SCENE, ["binance"], 100_000.0).serve(wall_ns, Faults({}, 0)) as (door,):

            def live(**more: Any) -> LiveRun:
                return LiveRun([hosts.link_to(door.venue, addresses(door), wall_ns)], loose(), tmp_path, **more)

            first = live(is_flat_at_end=True)
            running = asyncio.create_task(
                first.run(PATIENCE_S, lambda run: run_folder.begin(tmp_path, loose(), run.known, "test"))
            )
            while not running.done() and (first.universe is None or not first.sequencer.trader["open_count"]):
                await asyncio.wait([running], timeout=0.01)
            first.stop()
            await running
            halted = live(recovered=run_folder.recover(tmp_path))
            await halted.run(0.3)
            armed = live(recovered=run_folder.recover(tmp_path), is_rearmed=True)
            await armed.run(0.3)
            return first, halted, armed

    first, halted, armed = asyncio.run(trade())
    assert int(first.sequencer.trader["open_count"]) == 0
    assert int(first.sequencer.trader["inventory"][0]["held_atoms"]) < 10_000, "less than a lot"
    assert [int(run.sequencer.trader["is_halted"]) for run in (first, halted, armed)] == [1, 1, 0]
    run_folder.finish(tmp_path, 1.0)
    assert verify(tmp_path)["identical"]
