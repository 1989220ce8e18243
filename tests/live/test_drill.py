"""Everything goes wrong, by seed, in virtual time: no order twice, nothing untracked, ours = the venue's at the end."""

from typing import Any

import pytest

from elegant_trading_system.core.kinds import CommandKind, Kind, RejectReason
from elegant_trading_system.emulator.faults import HELP
from elegant_trading_system.shell.arbiter import Arbiter
from elegant_trading_system.shell.binance.feed import BinanceFeed
from elegant_trading_system.shell.binance.fills import Sent
from elegant_trading_system.shell.binance.gateway import BinanceGateway

from . import drill
from .futures_drill import FuturesDrill
from .watch import MATRIX

CHUNK = 250


@pytest.mark.spec("E4", "M3", "P1", "R7")
@pytest.mark.parametrize("first", range(0, 500, CHUNK))
def test_whatever_goes_wrong_ours_is_the_venue_s_at_every_moment(first: int) -> None:
    results = [drill.run(seed) for seed in range(first, first + CHUNK)]
    failed = [f"python -m tests.live.drill {result.seed}: {result.problems}" for result in results if result.problems]
    assert not failed, "\n".join(failed)
    for name in ("orders", "fills", "unknown", "gaps", "crossed", "stale", "blind_exits", "bans"):
        assert sum(getattr(result, name) for result in results) > 0, f"a drill without {name} drills nothing"
    reached = frozenset[tuple[str, str]]().union(*(result.pairs for result in results))
    missing = sorted(MATRIX - reached)
    assert not missing, "every fault is to be felt while an order is in every state"


@pytest.mark.spec("E4", "M3", "P1", "R7")
def test_whatever_goes_wrong_with_perpetuals_positions_money_and_funding_agree_in_the_end() -> None:
    results = [drill.run(seed, FuturesDrill) for seed in range(100)]
    failed = [f"python -m tests.live.futures_drill {one.seed}: {one.problems}" for one in results if one.problems]
    assert not failed, "\n".join(failed)
    assert sum(result.orders for result in results) > 100, "a drill without orders drills nothing"
    assert sum(result.fills for result in results) > 100
    assert sum(result.unknown for result in results) > 0
    assert sum(result.gaps for result in results) > 0
    reached = frozenset[tuple[str, str]]().union(*(result.pairs for result in results))
    assert {fault for fault, _ in reached} >= set(HELP), "every fault is felt while there are orders"


def test_a_schedule_follows_from_its_seed() -> None:
    assert drill.run(7) == drill.run(7)


# --- the drill can fail ---------------------------------------------------------------------------------------
def forget_trades(gateway: Any, sent: Sent, rows: list[Any], ts_ns: int) -> Any:
    """Every copy of a fill counts."""
    sent.trades.clear()
    return READ_FILLS(gateway, sent, rows, ts_ns)


def give_up_at_once(gateway: Any, _what: str, sent: Sent, _status: int, _code: int) -> None:
    """Whatever sounds like a no is one."""
    gateway._end(sent, Kind.REJECTED, RejectReason.VENUE)


def send_again(gateway: Any, command: Any) -> None:
    """Instead of asking what became of an order, send it once more."""
    if command.kind == CommandKind.QUERY:
        command = command._replace(kind=CommandKind.SEND)
    COMMAND(gateway, command)


def believe(stream: Any, last_id: int) -> Any:
    """Any snapshot will do."""
    stream.begin(last_id)
    return []


def drain_all(stream: Any) -> Any:
    """What came is what there is."""
    moved = [stream.pending.pop(first) for first in sorted(stream.pending)]
    stream.begin(max([stream.last_id, *(message.last for message in moved)]))
    return [message.payload for message in moved]


def lose_silently(feed: Any, listing: Any, *_why: Any) -> None:
    """A snapshot is fetched, and until it comes one trades on."""
    listing.depth.drop()
    feed._want(listing)


READ_FILLS, COMMAND = BinanceGateway._read_fills, BinanceGateway.command
MISTAKES = {  # name: (where, what, instead, seeds of the fault that shows it)
    "fills counted twice": (BinanceGateway, "_read_fills", forget_trades, "duplicate-report"),
    "an unclear answer taken for a no": (BinanceGateway, "_apply_refusal", give_up_at_once, "unclear-answer"),
    "sent again instead of asked": (BinanceGateway, "command", send_again, "lost-answer"),
    "missed fills not asked for": (BinanceGateway, "_settle", lambda *_args, **_more: None, "lost-report"),
    "the venue's clock never read again": (BinanceGateway, "_apply_time", lambda *_args: None, "clock-jump"),
    "a ban not heeded": (BinanceGateway, "hold_back", lambda *_args: None, "ban"),
    "a gap not told": (BinanceFeed, "_lose", lose_silently, "drop"),
    "silence not told": (BinanceFeed, "_check_silence", lambda *_args: None, "stall"),
    "a crossed book kept": (BinanceFeed, "_check_crossed", lambda *_args: None, "crossed"),
    "any snapshot believed": (Arbiter, "restart", believe, "old-snapshot"),
    "holes not seen": (Arbiter, "_drain", drain_all, "delay"),
}
TRIES = 12


@pytest.mark.parametrize("name", MISTAKES)
def test_the_drill_finds_a_mistake_that_was_planted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, what, instead, fault = MISTAKES[name]
    monkeypatch.setattr(where, what, instead)
    seeds = range(list(HELP).index(fault), len(HELP) * TRIES, len(HELP))
    assert any(drill.run(seed).problems for seed in seeds)
