"""Everything goes wrong on Coinbase, by seed, in virtual time: no order twice, nothing untracked, ours = the venue's."""

from typing import Any

import pytest

from elegant_trading_system.core.kinds import CommandKind, Kind, RejectReason
from elegant_trading_system.emulator.faults import HELP
from elegant_trading_system.shell.coinbase.books import Book
from elegant_trading_system.shell.coinbase.clock import VenueClock
from elegant_trading_system.shell.coinbase.feed import CoinbaseFeed
from elegant_trading_system.shell.coinbase.gateway import FINAL, CoinbaseGateway

from . import drill
from .coinbase_drill import CoinbaseDrill
from .watch import MATRIX

CHUNK = 30


@pytest.mark.spec("E4", "M2", "M3", "P1", "R7")
@pytest.mark.parametrize("first", range(0, 60, CHUNK))
def test_whatever_goes_wrong_ours_is_coinbase_s_at_every_moment(first: int) -> None:
    results = [drill.run(seed, CoinbaseDrill) for seed in range(first, first + CHUNK)]
    failed = [f"python -m tests.live.coinbase_drill {one.seed}: {one.problems}" for one in results if one.problems]
    assert not failed, "\n".join(failed)
    for name in ("orders", "fills", "unknown", "gaps", "crossed", "bans"):
        assert sum(getattr(result, name) for result in results) > 0, f"a drill without {name} drills nothing"
    reached = MATRIX & frozenset[tuple[str, str]]().union(*(result.pairs for result in results))
    assert len({fault for fault, _ in reached}) > 0.8 * len(HELP), "the more schedules, the more of them all"


def test_a_schedule_follows_from_its_seed() -> None:
    assert drill.run(7, CoinbaseDrill) == drill.run(7, CoinbaseDrill)


# --- the drill can fail ---------------------------------------------------------------------------------------
def update_whatever_comes(book: Any, rows: Any) -> bool:
    """A crossed book is a book."""
    book._apply([side.tolist() for side in rows])
    return True


def end_at_once(gateway: Any, told: Any) -> None:
    """An order that is over is over, whether or not its fills are known."""
    sent = gateway._order_of(told.client_id)
    if sent is not None and not sent.is_done and told.status in FINAL:
        gateway._end(sent, Kind.EXPIRED, RejectReason.NONE)


def send_again(gateway: Any, command: Any) -> None:
    """Instead of asking what became of an order, send it once more, under another name."""
    if command.kind == CommandKind.QUERY:
        command = command._replace(kind=CommandKind.SEND, order_id=command.order_id + 100_000)
    COMMAND(gateway, command)


def believe_any(feed: Any, connection: int, line: Any, change: Any) -> None:
    """Any snapshot will do."""
    change.listing.ts_told_ns = 0
    APPLY_BOOK(feed, connection, line, change)


def take_for_a_no(gateway: Any, sent: Any, _status: int, _body: Any) -> None:
    """Whatever is no yes is a no."""
    gateway._refuse(sent)


def miss_holes(_feed: Any, line: Any, number: int, now_ns: int) -> bool:
    """What came is what there is."""
    line.next, line.ts_heard_ns, line.is_silent = number + 1, now_ns, False
    return True


COMMAND, APPLY_BOOK = CoinbaseGateway.command, CoinbaseFeed._apply_book
MISTAKES = {  # name: (where, what, instead, seeds of the fault that shows it)
    "a crossed book kept": (Book, "update", update_whatever_comes, "crossed"),
    "any snapshot believed": (CoinbaseFeed, "_apply_book", believe_any, "old-snapshot"),
    "holes not seen": (CoinbaseFeed, "_is_new", miss_holes, "drop"),
    "an end believed before its fills are known": (CoinbaseGateway, "_apply_figures", end_at_once, "late-report"),
    "sent again instead of asked": (CoinbaseGateway, "command", send_again, "lost-answer"),
    "an unclear answer taken for a no": (CoinbaseGateway, "_apply_placed", take_for_a_no, "unclear-answer"),
    "a ban not heeded": (CoinbaseGateway, "_hold_back", lambda *_args: None, "ban"),
    "the venue's clock never read again": (VenueClock, "hear", lambda *_args: None, "clock-jump"),
    "silence not told": (CoinbaseFeed, "check_holes", lambda *_args: None, "stall"),
}
TRIES = 12


@pytest.mark.parametrize("name", MISTAKES)
def test_the_drill_finds_a_mistake_that_was_planted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, what, instead, fault = MISTAKES[name]
    monkeypatch.setattr(where, what, instead)
    seeds = range(list(HELP).index(fault), len(HELP) * TRIES, len(HELP))
    assert any(drill.run(seed, CoinbaseDrill).problems for seed in seeds)
