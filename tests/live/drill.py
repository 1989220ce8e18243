"""A trader and a venue in virtual time, with everything going wrong between them that the faults can make go wrong.

`python -m tests.live.drill FIRST [LAST]` runs schedules and prints what became of them. What must hold is looked at
after every decision, every answer and every tick (`watch.py`), not only in the end.
"""

import gc
import random
import sys
import tempfile
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from elegant_trading_system.core.kinds import CommandKind, Kind, OperatorCommand, Side
from elegant_trading_system.core.schema import NS_PER_S
from elegant_trading_system.emulator.binance.streams import ApiSession, MarketSession
from elegant_trading_system.emulator.faults import EPISODES_S, HELP, Faults
from elegant_trading_system.shell.budget import Use

from ..builders import loose
from .desk import Outside, Venue
from .timetable import Timetable
from .watch import MATRIX, Watch

MOVE_MS, FLUSH_MS, TICK_MS = 20.0, 100.0, 20.0
LINE_S = 0.005  # one way
SLOW_LINES_S = (0.005, 0.06, 0.2)  # to the order connection
BUSY_S, QUIET_S, MINUTE_S = 20.0, 40.0, 70.0  # of the last: until what was used counts no more
TIGHT_EVERY = 7  # no divisor of the number of faults: each of them meets such a venue
TIGHT = {("REQUEST_WEIGHT", "MINUTE"): 1000, ("ORDERS", "SECOND"): 6}
SETTINGS = (
    "breakers.day_loss=0.9",
    "breakers.drawdown_reduce=0.97",
    "breakers.drawdown_halt=0.98",
    "breakers.streak_pause_min=0.0",
    "breakers.rejects_max=7",
    "breakers.venue_pause_s=1.0",
)
LINGERING: tuple[dict[str, float], ...] = (  # what keeps orders in each of their states for a while
    {"reject": 0.25},
    {"late-report": 0.5},
    {"lost-answer": 0.6, "lost-report": 0.5},
    {"late-request": 0.3, "reject": 0.2},
)
COMPANY: dict[str, dict[str, float]] = {  # without which they are seldom felt
    "old-snapshot": {"drop": 0.4},
    "stall": {"reject": 0.4},
    "ban": {"lost-answer": 0.5, "lost-report": 0.4},
}


class Result(NamedTuple):
    """What became of a schedule; `problems` must be empty."""

    seed: int
    faults: dict[str, float]
    orders: int
    fills: int
    unknown: int
    gaps: int
    crossed: int
    stale: int
    blind_exits: int
    bans: int
    held_back: int  # for the venue's limits
    pairs: frozenset[tuple[str, str]]  # fault, order state
    problems: list[str]


class Drill(Timetable):
    market_path = "/stream"
    watch_type = Watch
    company = COMPANY
    snapshot_weight = 50
    venue: Venue
    outside: Outside

    def __init__(self, seed: int, folder: Path) -> None:
        super().__init__()
        self.seed, self.chance = seed, random.Random(seed)
        self.line_s = self.chance.choice(SLOW_LINES_S)
        self.faults = Faults(self.shares(seed), seed, self.clock)
        blind = f"execution.blind_exit_spot={'true' if seed % 2 else 'false'}"
        self.config = loose(*SETTINGS, blind)
        self.make(folder)
        self.venue.set_clock(self.faults.venue_ns)
        self.outside.sequencer.send = self.decided
        self.outside.gateway._send = self.leave
        self.watch = self.watch_type(self.venue, self.outside, self.faults, self.held_atoms)
        self.price = 600_000
        self.is_moving = True
        self._lines: dict[str, Any] = {}

    def shares(self, seed: int) -> dict[str, float]:
        return shares(seed, self.company)

    def make(self, folder: Path) -> None:
        self.venue = Venue(self.clock)
        self.tighten()
        self.outside = Outside(self.venue, self.config, folder)

    @property
    def is_tight(self) -> bool:
        return self.seed % TIGHT_EVERY == TIGHT_EVERY - 1

    def tighten(self) -> None:
        """In some schedules a venue of little patience: so few orders, so little weight, that one gets there."""
        limits = TIGHT if self.is_tight else {}
        self.venue.binance.rate_limits = [
            row | {"limit": limits.get((row["rateLimitType"], row["interval"]), row["limit"])}
            for row in self.venue.binance.rate_limits
        ]

    def held_atoms(self) -> tuple[int, int]:
        """BTC by our books and by the venue's."""
        universe, balance = self.outside.universe, self.venue.account.balance("BTC")
        ours = int(self.outside.sequencer.trader["balances"][0, universe.assets.index("BTC")])
        return ours, int((balance.free + balance.locked) * 10 ** universe.decimals["BTC"])

    # --- the market -------------------------------------------------------------------------------------------
    def move(self) -> None:
        """Books that lean and prices that follow, so that there is something to trade on."""
        if not self.is_moving or self.faults.is_still():
            return
        chance, lean = self.chance, 40 if self.clock.ns // NS_PER_S % 8 < 4 else 4
        self.price += chance.choice([-1, 0, 0, 1])
        bids = [(self.price - k, chance.randrange(1, 5) * lean) for k in range(1, 6)]
        asks = [(self.price + k, chance.randrange(1, 5) * (44 - lean)) for k in range(1, 6)]
        book = self.venue.book.sides
        gone_bids = [(ticks, 0) for ticks in book[0] if ticks >= self.price or ticks < self.price - 30]
        gone_asks = [(ticks, 0) for ticks in book[1] if ticks <= self.price or ticks > self.price + 30]
        self.venue.depth(gone_bids + bids, gone_asks + asks)
        if chance.random() < 0.5:
            self.venue.trade(self.price, chance.randrange(1, 60), chance.choice([Side.BUY, Side.SELL]))

    def flush(self) -> None:
        if not self.faults.is_still():
            self.venue.flush()
            self.watch.remember_book()

    # --- connections ------------------------------------------------------------------------------------------
    def connect_market(self, number: int) -> None:
        name = f"market {number}"
        if self.faults.is_closed():
            self.later(0.3, lambda: self.connect_market(number))
            return

        def hear(frame: str) -> None:
            if self._lines.get(name) is session:
                self.watch.heard(frame)
                self.outside.feed.hear(number, frame)

        def told(frame: str) -> None:
            passage = self.faults.market(number)
            if passage.is_broken:
                self.later(0.0, lambda: self.break_market(number, session))
            for delay_s in passage.delays_s:
                self.later(LINE_S + delay_s, partial(hear, self.faults.market_frame(frame)))

        session = self.venue.binance.streams.open_market(told, self.market_path, self.outside.feed.streams())
        self._lines[name] = session
        self.outside.feed.hear_up(number)

    def break_market(self, number: int, session: MarketSession) -> None:
        if self._lines.get(f"market {number}") is session:
            self._lines[f"market {number}"] = None
            self.venue.binance.streams.close(session)
            self.outside.feed.hear_down(number)
            self.later(0.3, lambda: self.connect_market(number))

    def connect_orders(self) -> None:
        if self.faults.is_closed():
            self.later(0.5, self.connect_orders)
            return

        def hear(frame: str) -> None:
            if self._lines.get("orders") is session:
                self.watch.answered(frame)
                self.outside.gateway.hear(frame)
                self.watch.look("an answer")

        def told(frame: str) -> None:
            passage, frame = self.faults.answer(frame)
            if passage.is_broken:
                self.later(0.0, lambda: self.break_orders(session))
            for delay_s in passage.delays_s:
                self.later(self.line_s + delay_s, partial(hear, frame))

        session = self.venue.binance.streams.open_api(told)
        self._lines["orders"] = session
        self.outside.gateway.hear_up()
        self.carry()

    def carry(self) -> None:
        """What is asked by another way than the order connection."""

    def break_orders(self, session: ApiSession) -> None:
        if self._lines.get("orders") is session:
            self._lines["orders"] = None
            self.venue.binance.streams.close(session)
            self.outside.gateway.hear_down()
            self.later(0.5, self.connect_orders)

    def leave(self, frame: str) -> None:
        """What the gateway asks reaches the venue, if the connection lasts so long."""
        self.watch.asked()
        session = self._lines.get("orders")
        self.later(self.line_s + self.faults.request_delay_s(), lambda: self.arrive(session, frame))

    def arrive(self, session: Any, frame: str) -> None:
        if self._lines.get("orders") is not session or session is None:
            return
        if self.faults.is_closed():
            self.break_orders(session)
        elif refusal := self.faults.refusal(frame):
            session.send(refusal)
        else:
            self.venue.binance.streams.publish(self.faults.rivals(self.venue.exchange, frame))
            self.venue.binance.api(session, frame)
            self.watch.look("an order's arrival")

    def decided(self, command: Any) -> None:
        """What the core sends, looked at before it leaves."""
        if command.kind == CommandKind.SEND:
            self.watch.decided(command)
        self.outside.gateway.command(command)

    def fetch(self) -> None:
        """A snapshot a little later, as REST would bring it."""
        if self.outside.wanted:
            self.outside.wanted.clear()
            self.later(0.05, self._answer_snapshot)

    def _answer_snapshot(self) -> None:
        gateway = self.outside.gateway
        if gateway.banned_s:
            self.later(gateway.banned_s, self._answer_snapshot)
            return
        if not gateway.budget.take(Use.BACKGROUND, REQUEST_WEIGHT=self.snapshot_weight):
            self.later(0.1, self._answer_snapshot)
            return
        self.watch.asked()
        query = "symbol=BTCUSDT&limit=1000"
        reply = self.faults.rest(self.venue.binance.http, "GET", f"{self.venue.prefix}/depth", query, "", {})
        gateway.budget.hear_used("REQUEST_WEIGHT", 60_000, int(reply.headers.get("X-MBX-USED-WEIGHT-1M", 0)))
        if reply.status == 200:
            self.watch.remember_book(msgspec.json.decode(reply.body)["lastUpdateId"])
        elif "Retry-After" in reply.headers:
            self.watch.banned(float(reply.headers["Retry-After"]))
            gateway.hold_back(int(reply.headers["Retry-After"]) * 1000)
        if reply.status != 200 or not self.outside.feed.hear_snapshot("BTCUSDT", reply.body):
            self.later(0.5, self._answer_snapshot)

    # --- the schedule ---------------------------------------------------------------------------------------------
    def begin(self) -> None:
        """Money, lines, and a market that moves."""
        self.fund()
        self.watch.remember_book()
        for number in (0, 1):
            self.connect_market(number)
        self.connect_orders()
        self.every(MOVE_MS, self.move)
        self.every(FLUSH_MS, self.flush)
        self.every(TICK_MS, self.beat)

    def run(self) -> Result:
        self.begin()
        self.pass_time(BUSY_S)
        self.faults.shares = {}
        self.outside.sequencer.hear(Kind.OPERATOR, 0, code=OperatorCommand.HALT)
        self.pass_time(QUIET_S)
        if self.outside.gateway.budget.counts["background"]:  # books had to wait for the venue's limits
            self.pass_time(MINUTE_S)
        self.is_moving = False
        self.pass_time(1.0)  # what was published last arrives
        self.watch.look_at_the_end()
        self.check_money()
        trader = self.outside.sequencer.trader
        fills = sum(len(order.fills) for order in self.venue.account.orders.values())
        self.outside.journal.close()
        counts = self.outside.feed.counts
        return Result(
            self.seed,
            self.shares(self.seed),
            len(self.watch.sent),
            fills,
            int(trader["unknown_count"]),
            counts["gaps"],
            counts["crossed"],
            counts["stale"],
            self.watch.blind_exits,
            self.outside.gateway.counts["bans"],
            sum(self.outside.gateway.budget.counts[use.name.lower()] for use in Use),
            frozenset(self.watch.pairs),
            self.watch.problems,
        )

    def beat(self) -> None:
        self.outside.sequencer.tick()
        self.outside.feed.check_holes(self.clock())
        self.outside.gateway.check_unsent()
        self.fetch()
        self.carry()
        self.watch.look("a tick")
        self.watch.look_at_the_book()

    def check_money(self) -> None:
        """Both sides agree to the last decimal."""
        universe = self.outside.universe
        for asset_id, asset in enumerate(universe.assets):
            balance = self.venue.account.balance(asset)
            atoms = int(self.outside.sequencer.trader["balances"][0, asset_id])
            ours = Decimal(atoms).scaleb(-universe.decimals[asset])
            if ours != balance.free + balance.locked:
                self.watch.fail(f"{asset}: ours {ours}, the venue's {balance.free + balance.locked}")

    def fund(self) -> None:
        quote = self.outside.spec.quote
        atoms = int(self.venue.account.balances[quote].free * 10 ** self.outside.universe.decimals[quote])
        asset_id = self.outside.universe.assets.index(quote)
        self.outside.sequencer.hear(Kind.TRANSFER, 0, atoms=atoms, asset_id=asset_id)


def shares(seed: int, company: Mapping[str, dict[str, float]] = COMPANY) -> dict[str, float]:
    """One fault after the other, with some that let orders linger and some more by chance, mild or wild."""
    chance, names = random.Random(seed), list(HELP)
    chosen = [names[seed % len(names)], *chance.sample(names, chance.randrange(4))]
    found = dict(LINGERING[seed // len(names) % len(LINGERING)])
    found |= company.get(chosen[0], {})
    for name in chosen:
        mild, wild = (0.005, 0.02) if name == "disconnect" else (0.3, 0.6) if name in EPISODES_S else (0.1, 0.4)
        found[name] = chance.choice([mild, wild])
    return found


def run(seed: int, kind: type[Drill] = Drill) -> Result:
    """One schedule, from its seed alone."""
    if seed % 8 == 0:
        gc.collect()  # books are large, and trader and venue hold each other
    with tempfile.TemporaryDirectory() as folder:
        return kind(seed, Path(folder)).run()


def main(first: int, last: int, kind: type[Drill] = Drill) -> int:
    """Run all seeds, show those that fail with the line that runs one again, and the sums; how many failed."""
    results, failed = [], 0
    for seed in range(first, last):
        result = run(seed, kind)
        results.append(result)
        if result.problems or last == first + 1:
            failed += bool(result.problems)
            sys.stdout.write(f"python -m {kind.__module__} {seed}: {result}\n")
    names = ("orders", "fills", "unknown", "gaps", "crossed", "stale", "blind_exits", "bans")
    sums = ", ".join(f"{sum(getattr(result, name) for result in results):,} {name}" for name in names)
    reached = MATRIX & frozenset[tuple[str, str]]().union(*(result.pairs for result in results))
    sys.stdout.write(f"{len(results):,} schedules, {failed} failed; {sums}\n")
    missing = ", ".join(f"{fault} x {state}" for fault, state in sorted(MATRIX - reached)[:20])
    sys.stdout.write(
        f"{len(reached)} of {len(MATRIX)} pairs of fault and order state{': not ' * bool(missing)}{missing}\n"
    )
    return failed


if __name__ == "__main__":
    begin = int(sys.argv[1])
    sys.exit(bool(main(begin, int(sys.argv[2]) if len(sys.argv) > 2 else begin + 1)))
