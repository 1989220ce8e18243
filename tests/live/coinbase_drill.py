"""The drill of `drill.py` on Coinbase: two market lines, the user channel and REST each lose and delay on their own.

`python -m tests.live.coinbase_drill FIRST [LAST]` runs schedules and prints what became of them.
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
from elegant_trading_system.emulator.coinbase.server import passage_of
from elegant_trading_system.emulator.coinbase.streams import Session
from elegant_trading_system.emulator.coinbase.venue import ROOT
from elegant_trading_system.emulator.faults import Faults
from elegant_trading_system.shell.coinbase.auth import Signer
from elegant_trading_system.shell.coinbase.link import REQUEST_S
from elegant_trading_system.shell.coinbase.orders import Request, client_id

from ..builders import loose
from .coinbase_desk import HOST, KEY, SECRET, CoinbaseOutside, CoinbaseVenue
from .desk import Clock
from .drill import BUSY_S, FLUSH_MS, LINE_S, MOVE_MS, QUIET_S, SETTINGS, TICK_MS

FELT = [
    "drop",
    "duplicate",
    "delay",
    "disconnect",
    "silence",
    "maintenance",
    "lost-answer",
    "unclear-answer",
    "late-request",
]
FELT += ["lost-report", "duplicate-report", "late-report", "reject"]
USER = 2  # the line behind the two of the market
BACK_S = 0.3


class Timetable:
    """What is due, in virtual time."""

    def __init__(self) -> None:
        self.clock = Clock()
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

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


class Result(NamedTuple):
    """What became of a schedule; `problems` must be empty."""

    seed: int
    faults: dict[str, float]
    orders: int
    fills: int
    unknown: int
    gaps: int
    problems: list[str]


class CoinbaseDrill(Timetable):
    """What must hold is looked at when an order is decided and in the end."""

    def __init__(self, seed: int, folder: Path) -> None:
        super().__init__()
        self.seed, self.chance = seed, random.Random(seed)
        self.faults = Faults(shares(seed), seed, self.clock)
        self.venue = CoinbaseVenue(self.clock)
        self.outside = CoinbaseOutside(self.venue, loose(*SETTINGS), folder)
        self.outside.sequencer.send = self.decided
        self.signer = Signer(KEY, SECRET)
        self.problems: list[str] = []
        self.sent: set[str] = set()
        self.price, self.is_moving = 600_000, True
        self._lines: dict[str, Session | None] = {}

    # --- the schedule -----------------------------------------------------------------------------------------
    def run(self) -> Result:
        self.fund()
        for number in (0, 1):
            self.connect_market(number)
        self.connect_orders()
        for every_ms, action in ((MOVE_MS, self.move), (FLUSH_MS, self.venue.flush), (TICK_MS, self.beat)):
            self.every(every_ms, action)
        self.pass_time(BUSY_S)
        self.faults.shares = {}
        self.outside.sequencer.hear(Kind.OPERATOR, 0, code=OperatorCommand.HALT)
        self.pass_time(QUIET_S)
        self.is_moving = False
        self.pass_time(1.0)  # what was published last arrives
        self.check()
        self.outside.journal.close()
        unknown = int(self.outside.sequencer.trader["unknown_count"])
        fills = sum(len(order.fills) for order in self.venue.account.orders.values())
        gaps = self.outside.feed.counts["gaps"]
        return Result(self.seed, shares(self.seed), len(self.sent), fills, unknown, gaps, self.problems)

    def beat(self) -> None:
        self.outside.sequencer.tick()
        self.outside.feed.check_holes(self.clock())
        self.outside.gateway.check_unsent()
        self.close_silent()
        self.carry()

    def move(self) -> None:
        """Books that lean and prices that follow, so that there is something to trade on."""
        if not self.is_moving:
            return
        chance, lean = self.chance, 40 if self.clock.ns // NS_PER_S % 8 < 4 else 4
        self.price += chance.choice([-1, 0, 0, 1])
        bids = [(self.price - k, chance.randrange(1, 5) * lean) for k in range(1, 6)]
        asks = [(self.price + k, chance.randrange(1, 5) * (44 - lean)) for k in range(1, 6)]
        book = self.venue.exchange.books["BTC-USD"].sides
        gone_bids = [(ticks, 0) for ticks in book[0] if ticks >= self.price or ticks < self.price - 30]
        gone_asks = [(ticks, 0) for ticks in book[1] if ticks <= self.price or ticks > self.price + 30]
        self.venue.depth(gone_bids + bids, gone_asks + asks)
        if chance.random() < 0.5:
            self.venue.trade(self.price, chance.randrange(1, 60), chance.choice([Side.BUY, Side.SELL]))

    def fund(self) -> None:
        universe = self.outside.universe
        atoms = int(self.venue.account.balance("USD").free * 10 ** universe.decimals["USD"])
        self.outside.sequencer.hear(Kind.TRANSFER, 0, atoms=atoms, asset_id=universe.assets.index("USD"))

    # --- what must hold ---------------------------------------------------------------------------------------
    def check(self) -> None:
        trader, universe = self.outside.sequencer.trader, self.outside.universe
        for asset_id, asset in enumerate(universe.assets):
            balance = self.venue.account.balance(asset)
            ours = Decimal(int(trader["balances"][0, asset_id])).scaleb(-universe.decimals[asset])
            if ours != balance.free + balance.locked:
                self.problems.append(f"{asset}: ours {ours}, the venue's {balance.free + balance.locked}")
        names = [order.client_id for order in self.venue.account.orders.values()]
        for problem, is_so in {
            "an order was sent twice": len(set(names)) < len(names),
            "the venue has orders that were never decided": not set(names) <= self.sent,
            "orders are still open for us": int(trader["order_count"]) > 0,
            "the venue's own limits were exceeded": self.venue.coinbase.counts["limited"] > 0,
            "orders are still open at the venue": bool(self.venue.account.open_orders()),
            "reports were refused by the core": int(trader["refused_reports"]) > 0,
            "a frame was not understood": self.outside.feed.counts["refused"] + self.outside.gateway.counts["refused"],
            "our book is not the venue's": self.outside.book() != self.venue.exchange.books["BTC-USD"].sides,
        }.items():
            self.problems += [problem] if is_so else []

    # --- connections ------------------------------------------------------------------------------------------
    def connect_market(self, number: int) -> None:
        feed = self.outside.feed
        self.connect(number, lambda frame: feed.hear(number, frame))
        feed.hear_up(number)

    def connect_orders(self) -> None:
        gateway = self.outside.gateway
        session = self.connect(USER, gateway.hear)
        gateway.hear_up()
        for frame in gateway.subscriptions():
            self.later(LINE_S, lambda frame=frame: self.say(session, frame))  # type: ignore[misc]

    def connect(self, number: int, heard: Callable[[str], None]) -> Session:
        def hear(frame: str) -> None:
            if self._lines.get(str(number)) is session:
                heard(frame)

        def told(frame: str) -> None:
            passage = passage_of(self.faults, frame, number)
            if passage.is_broken:
                self.later(0.0, lambda: self.hang_up(number, session))
            for delay_s in passage.delays_s:
                self.later(LINE_S + delay_s, lambda: hear(frame))

        session = self.venue.coinbase.streams.open(told, lambda: self.hang_up(number, session))
        self._lines[str(number)] = session
        return session

    def hang_up(self, number: int, session: Session) -> None:
        if self._lines.get(str(number)) is not session:
            return
        self._lines[str(number)] = None
        self.venue.coinbase.streams.close(session)
        if number == USER:
            self.outside.gateway.hear_down()
            self.later(BACK_S, self.connect_orders)
        else:
            self.outside.feed.hear_down(number)
            self.later(BACK_S, lambda: self.connect_market(number))

    def say(self, session: Session, frame: str) -> None:
        if session in self._lines.values():
            self.venue.coinbase.streams.receive(session, frame)

    def close_silent(self) -> None:
        """As the link does."""
        for number in (0, 1, USER):
            is_silent = self.outside.gateway.is_silent() if number == USER else self.outside.feed.is_silent(number)
            if is_silent and (session := self._lines.get(str(number))):
                self.hang_up(number, session)

    # --- what is said and asked ---------------------------------------------------------------------------------
    def carry(self) -> None:
        for number, frame in self.outside.said:
            if session := self._lines.get(str(number)):
                self.later(LINE_S, lambda session=session, frame=frame: self.say(session, frame))  # type: ignore[misc]
        for request in self.outside.asked:
            token = self.signer.rest(request.method, HOST, ROOT.rstrip("/") + request.path, self.clock() / 1e9)
            delay_s = LINE_S + self.faults.request_delay_s()
            self.later(delay_s, lambda request=request, token=token: self.request(request, token))  # type: ignore[misc]
        self.outside.said.clear()
        self.outside.asked.clear()

    def request(self, request: Request, token: str) -> None:
        """Executed by the venue; its answer may be lost, or be another."""
        gateway, is_order = self.outside.gateway, request.method == "POST"
        if is_order and self.faults.happens("reject"):
            self.later(LINE_S, lambda: gateway.hear_answer(request.id, 429, b'{"errors":[]}'))
            return
        path, _, query = (ROOT.rstrip("/") + request.path).partition("?")
        headers = {"Authorization": f"Bearer {token}", "Host": HOST}
        reply = self.venue.coinbase.http(request.method, path, query, request.body, headers)
        if self.faults.happens("lost-answer"):
            self.later(REQUEST_S, lambda: gateway.hear_failure(request.id))
        elif self.faults.happens("unclear-answer"):
            self.later(LINE_S, lambda: gateway.hear_answer(request.id, 503, b"upstream connect error"))
        else:
            self.later(LINE_S, lambda: gateway.hear_answer(request.id, reply.status, reply.body))

    def decided(self, command: Any) -> None:
        """What the core sends, looked at before it leaves."""
        if int(command["kind"]) == CommandKind.SEND:
            name = client_id("e1", int(command["order_id"]))
            state = BookState(int(self.outside.sequencer.market[0]["books"][0]["state"]))
            if name in self.sent:
                self.problems.append(f"{name} was decided twice")
            if not command["is_reduce_only"] and not (self.outside.listing.is_live and state is BookState.LIVE):
                self.problems.append(f"{name} enters on a book that is {state.name}")
            self.sent.add(name)
        self.outside.gateway.command(command)


def shares(seed: int) -> dict[str, float]:
    """Some faults, mild or wild."""
    chance = random.Random(seed)
    chosen = chance.sample(FELT, chance.randrange(1, 6))
    return {name: chance.choice([0.005, 0.02] if name == "disconnect" else [0.02, 0.1, 0.4]) for name in chosen}


def run(seed: int) -> Result:
    """One schedule, from its seed alone."""
    with tempfile.TemporaryDirectory() as folder:
        return CoinbaseDrill(seed, Path(folder)).run()


if __name__ == "__main__":
    begin = int(sys.argv[1])
    results = [run(seed) for seed in range(begin, int(sys.argv[2]) if len(sys.argv) > 2 else begin + 1)]
    for result in results:
        if result.problems or len(results) == 1:
            sys.stdout.write(f"python -m tests.live.coinbase_drill {result.seed}: {result}\n")
    sums = ", ".join(f"{sum(getattr(one, name) for one in results):,} {name}" for name in Result._fields[2:6])
    sys.stdout.write(f"{len(results)} schedules, {sum(bool(one.problems) for one in results)} failed; {sums}\n")
    sys.exit(any(one.problems for one in results))
