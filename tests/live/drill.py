"""A trader and a venue in virtual time, with everything going wrong between them that the faults can make go wrong.

`python -m tests.live.drill FIRST [LAST]` runs schedules and prints what became of them.
"""

import heapq
import random
import sys
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from elegant_trading_system.core.kinds import BookState, CommandKind, Kind, OperatorCommand, Side
from elegant_trading_system.core.schema import NS_PER_S
from elegant_trading_system.emulator.binance_streams import ApiSession, MarketSession
from elegant_trading_system.emulator.faults import HELP, Faults
from elegant_trading_system.shell.binance_orders import client_id

from ..builders import loose
from .desk import Clock, Outside, Venue

MOVE_MS, FLUSH_MS, TICK_MS = 20.0, 100.0, 20.0
LINE_S = 0.005  # one way
BUSY_S, QUIET_S = 20.0, 40.0
SETTINGS = (
    "breakers.day_loss=0.9",
    "breakers.drawdown_reduce=0.97",
    "breakers.drawdown_halt=0.98",
    "breakers.streak_pause_min=0.0",
    "breakers.rejects_max=7",
    "breakers.venue_pause_s=1.0",
)


class Result(NamedTuple):
    """What became of a schedule; `problems` must be empty."""

    seed: int
    faults: dict[str, float]
    orders: int
    fills: int
    unknown: int
    gaps: int
    problems: list[str]


class Drill:
    market_path = "/stream"
    symbol, money = "BTCUSDT", "USDT"
    venue: Venue
    outside: Outside

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.chance, self.clock = seed, random.Random(seed), Clock()
        self.config = loose(*SETTINGS)
        self.make(folder)
        self.outside.sequencer.send = self.decided
        self.faults = Faults(shares(self.chance), seed)
        self.problems: list[str] = []
        self.sent: dict[str, Any] = {}
        self.price = 600_000
        self.is_moving = True
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._lines: dict[str, Any] = {}

    def make(self, folder: Path) -> None:
        self.venue = Venue(self.clock)
        self.outside = Outside(self.venue, self.config, folder)

    # --- time -------------------------------------------------------------------------------------------------
    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (self.clock.ns + round(seconds * NS_PER_S), self._count, action))

    def every(self, ms: float, action: Callable[[], None]) -> None:
        def again() -> None:
            action()
            self.later(ms / 1000, again)

        self.later(ms / 1000, again)

    def pass_time(self, seconds: float) -> None:
        until_ns = self.clock.ns + round(seconds * NS_PER_S)
        while self._due and self._due[0][0] <= until_ns:
            self.clock.ns, _, action = heapq.heappop(self._due)
            action()
        self.clock.ns = until_ns

    # --- the market -------------------------------------------------------------------------------------------
    def move(self) -> None:
        """Books that lean and prices that follow, so that there is something to trade on."""
        if not self.is_moving:
            return
        chance, lean = self.chance, 40 if self.clock.ns // NS_PER_S % 8 < 4 else 4
        self.price += chance.choice([-1, 0, 0, 1])
        bids = [(self.price - k, chance.randrange(1, 5) * lean) for k in range(1, 6)]
        asks = [(self.price + k, chance.randrange(1, 5) * (44 - lean)) for k in range(1, 6)]
        book = self.venue.exchange.books[self.symbol].sides
        gone_bids = [(ticks, 0) for ticks in book[0] if ticks >= self.price or ticks < self.price - 30]
        gone_asks = [(ticks, 0) for ticks in book[1] if ticks <= self.price or ticks > self.price + 30]
        self.venue.depth(gone_bids + bids, gone_asks + asks)
        if chance.random() < 0.5:
            self.venue.trade(self.price, chance.randrange(1, 60), chance.choice([Side.BUY, Side.SELL]))

    # --- connections ------------------------------------------------------------------------------------------
    def connect_market(self, number: int) -> None:
        name = f"market {number}"

        def hear(frame: str) -> None:
            if self._lines.get(name) is session:
                self.outside.feed.hear(number, frame)

        def told(frame: str) -> None:
            passage = self.faults.market()
            if passage.is_broken:
                self.later(0.0, lambda: self.break_market(number, session))
            for delay_s in passage.delays_s:
                self.later(LINE_S + delay_s, lambda: hear(frame))

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
        def hear(frame: str) -> None:
            if self._lines.get("orders") is session:
                self.outside.gateway.hear(frame)

        def told(frame: str) -> None:
            passage, frame = self.faults.answer(frame)
            if passage.is_broken:
                self.later(0.0, lambda: self.break_orders(session))
            for delay_s in passage.delays_s:
                self.later(LINE_S + delay_s, lambda: hear(frame))

        session = self.venue.binance.streams.open_api(told)
        self._lines["orders"] = session
        self.outside.sent.clear()
        self.outside.gateway.hear_up()
        self.carry()

    def break_orders(self, session: ApiSession) -> None:
        if self._lines.get("orders") is session:
            self._lines["orders"] = None
            self.venue.binance.streams.close(session)
            self.outside.gateway.hear_down()
            self.later(0.5, self.connect_orders)

    def carry(self) -> None:
        """What the gateway has written reaches the venue, if the connection lasts so long."""
        session = self._lines.get("orders")
        for frame in self.outside.sent:
            delay_s = LINE_S + self.faults.request_delay_s()
            self.later(delay_s, lambda frame=frame: self.arrive(session, frame))  # type: ignore[misc]
        self.outside.sent.clear()

    def arrive(self, session: Any, frame: str) -> None:
        if self._lines.get("orders") is not session or session is None:
            return
        if refusal := self.faults.refusal(frame):
            session.send(refusal)
        else:
            self.venue.binance.api(session, frame)

    def decided(self, command: Any) -> None:
        """What the core sends, looked at before it leaves."""
        if int(command["kind"]) == CommandKind.SEND:
            name = client_id(self.outside.gateway.epoch, int(command["order_id"]))
            is_known = self.outside.listing.depth.last_id >= 0
            state = BookState(int(self.outside.sequencer.market[0]["books"][0]["state"]))
            if name in self.sent:
                self.problems.append(f"{name} was decided twice")
            if not command["is_reduce_only"] and not (is_known and state is BookState.LIVE):
                self.problems.append(f"{name} enters on a book that is {state.name}")
            self.sent[name] = command.copy()
        self.outside.gateway.command(command)

    def fetch(self) -> None:
        """A snapshot a little later, as REST would bring it."""
        if self.outside.wanted:
            self.outside.wanted.clear()
            self.later(0.05, self._answer_snapshot)

    def _answer_snapshot(self) -> None:
        if not self.outside.snapshot():
            self.later(0.5, self._answer_snapshot)

    # --- the schedule ---------------------------------------------------------------------------------------------
    def begin(self) -> None:
        """Money, lines, and a market that moves."""
        self.fund()
        for number in (0, 1):
            self.connect_market(number)
        self.connect_orders()
        self.every(MOVE_MS, self.move)
        self.every(FLUSH_MS, self.venue.flush)
        self.every(TICK_MS, self.beat)

    def run(self) -> Result:
        self.begin()
        self.pass_time(BUSY_S)
        self.faults.shares = {}
        self.outside.sequencer.hear(Kind.OPERATOR, 0, code=OperatorCommand.HALT)
        self.pass_time(QUIET_S)
        self.is_moving = False
        self.pass_time(1.0)  # what was published last arrives
        self.check()
        trader = self.outside.sequencer.trader
        fills = sum(len(order.fills) for order in self.venue.account.orders.values())
        self.outside.journal.close()
        counts = self.outside.feed.counts
        return Result(
            self.seed,
            shares(random.Random(self.seed)),
            len(self.sent),
            fills,
            int(trader["unknown_count"]),
            counts["gaps"],
            self.problems,
        )

    def beat(self) -> None:
        self.outside.sequencer.tick()
        self.outside.feed.check_holes(self.clock())
        self.outside.gateway.check_unsent()
        self.fetch()
        self.carry()

    def fund(self) -> None:
        atoms = int(self.venue.account.balances[self.money].free * 10 ** self.outside.universe.decimals[self.money])
        asset_id = self.outside.universe.assets.index(self.money)
        self.outside.sequencer.hear(Kind.TRANSFER, 0, atoms=atoms, asset_id=asset_id)

    # --- what must hold -------------------------------------------------------------------------------------------
    def check(self) -> None:
        trader = self.outside.sequencer.trader
        self.check_money()
        names = [order.client_id for order in self.venue.account.orders.values()]
        if len(set(names)) < len(names):
            self.problems.append("an order was sent twice")
        if not set(names) <= set(self.sent):
            self.problems.append("the venue has orders that were never decided")
        if int(trader["order_count"]):
            self.problems.append(f"{int(trader['order_count'])} orders are still open for us")
        if self.venue.account.open_orders():
            self.problems.append("orders are still open at the venue")
        if int(trader["refused_reports"]):
            self.problems.append(f"{int(trader['refused_reports'])} reports were refused by the core")
        if self.outside.feed.counts["refused"] or self.outside.gateway.counts["refused"]:
            self.problems.append("a frame was not understood")
        if self.outside.book() != self.venue.exchange.books[self.symbol].sides:
            self.problems.append("our book is not the venue's")

    def check_money(self) -> None:
        universe = self.outside.universe
        for asset_id, asset in enumerate(universe.assets):
            balance = self.venue.account.balance(asset)
            atoms = int(self.outside.sequencer.trader["balances"][0, asset_id])
            ours = Decimal(atoms).scaleb(-universe.decimals[asset])
            if ours != balance.free + balance.locked:
                self.problems.append(f"{asset}: ours {ours}, the venue's {balance.free + balance.locked}")


def shares(chance: random.Random) -> dict[str, float]:
    """Some faults, mild or wild."""
    chosen = chance.sample(sorted(HELP), chance.randrange(1, 6))
    return {
        name: round(chance.choice([0.005, 0.02]) if name == "disconnect" else chance.choice([0.02, 0.1, 0.4]), 3)
        for name in chosen
    }


def run(seed: int, kind: type[Drill] = Drill) -> Result:
    """One schedule, from its seed alone."""
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
    names = ("orders", "fills", "unknown", "gaps")
    sums = ", ".join(f"{sum(getattr(result, name) for result in results):,} {name}" for name in names)
    sys.stdout.write(f"{len(results):,} schedules, {failed} failed; {sums}\n")
    return failed


if __name__ == "__main__":
    begin = int(sys.argv[1])
    sys.exit(bool(main(begin, int(sys.argv[2]) if len(sys.argv) > 2 else begin + 1)))
