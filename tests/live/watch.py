"""What must hold between a trader and a venue, at every moment and in the end. A problem is a sentence."""

from collections.abc import Callable
from typing import Any

import msgspec

from elegant_trading_system.core.kinds import BookState, Kind, OrderState, Verdict
from elegant_trading_system.core.schema import NS_PER_S
from elegant_trading_system.emulator.faults import HELP, Faults
from elegant_trading_system.emulator.orders import FINAL
from elegant_trading_system.shell.command import Command

from .desk import Outside, Venue

LOOK_NS = 50_000_000  # what a look every 20 ms may add
EFFECT_NS = 3 * NS_PER_S  # a fault is felt for so long
STATES = [state.name for state in OrderState if state is not OrderState.FREE]
MATRIX = frozenset((fault, state) for fault in HELP for state in STATES)
ENDS = {Kind.EXPIRED: "EXPIRED", Kind.REJECTED: "REJECTED"}
EPISODES = ("stall", "storm", "ban", "maintenance")
PROBLEMS_MAX = 5
Sides = tuple[dict[int, int], dict[int, int]]


class Watch:
    """Knows both sides: what the trader believes, and what is so."""

    silence_ns = 2 * NS_PER_S

    def __init__(
        self, venue: Venue, outside: Outside, faults: Faults, held_atoms: Callable[[], tuple[int, int]]
    ) -> None:
        """`held_atoms` gives what we hold by our books and by the venue's."""
        self.venue, self.outside, self.faults = venue, outside, faults
        self.held_atoms = held_atoms
        self.problems: list[str] = []
        self.sent: dict[str, Any] = {}
        self.pairs: set[tuple[str, str]] = set()
        self.blind_exits = 0
        self._blind_verdicts = 0
        self._truth: dict[int, Sides] = {}  # the venue's book by update id
        self._compared_id = -1
        self._heard_ns = venue.clock()
        self._banned_until_ns = 0
        self._felt: dict[str, int] = {}  # fault -> when last
        faults.tell = lambda name: self._felt.__setitem__(name, venue.clock())
        self._hear = outside.sequencer.hear
        outside.sequencer.hear = self._heard_report  # type: ignore[method-assign]
        self._lot_atoms = int(outside.universe.record[0]["listings"][0]["base_atoms_per_lot"])

    def fail(self, problem: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(f"{(self.venue.clock() - self.faults._began_ns) / NS_PER_S:.3f} s: {problem}")

    # --- which fault met which order ----------------------------------------------------------------------------
    def _heard_report(self, kind: Kind, *args: Any, **more: Any) -> None:
        self._hear(kind, *args, **more)
        if kind in ENDS:
            self._pair(ENDS[kind])
        elif (
            kind is Kind.FILL
            and more["order_id"]
            not in self.outside.sequencer.trader["orders"]["order_id"][
                self.outside.sequencer.trader["orders"]["state"] > 0
            ]
        ):
            self._pair("FILLED")

    def _pair(self, state: str) -> None:
        now_ns = self.venue.clock()
        self.pairs.update((name, state) for name, ts_ns in self._felt.items() if now_ns - ts_ns <= EFFECT_NS)

    # --- what is asked and answered -----------------------------------------------------------------------------
    def heard(self, frame: str) -> None:
        self._heard_ns = self.venue.clock()
        assert frame

    def answered(self, frame: str) -> None:
        if '"code":-1003' in frame:
            data = msgspec.json.decode(frame)["error"]["data"]
            self.banned((data["retryAfter"] - data["serverTime"]) / 1000)

    def banned(self, seconds: float) -> None:
        until_ns = self.venue.clock() + round(seconds * NS_PER_S)
        self._banned_until_ns = max(self._banned_until_ns, until_ns)

    def asked(self) -> None:
        if self.venue.clock() < self._banned_until_ns - 1_000_000:
            self.fail("asked while it knew that it was banned")

    # --- decisions ----------------------------------------------------------------------------------------------
    @property
    def state(self) -> BookState:
        return BookState(int(self.outside.sequencer.market[0]["books"][0]["state"]))

    @property
    def has_place(self) -> bool:
        """Does our copy stand at a known place of the stream?"""
        return self.outside.listing.depth.last_id >= 0

    @property
    def is_clock_wrong(self) -> bool:
        offset_ns = self.faults.venue_ns() - self.venue.clock()
        return abs(offset_ns - self.outside.gateway.offset_ms * 1_000_000) > NS_PER_S

    @property
    def is_silent(self) -> bool:
        return self.venue.clock() - self._heard_ns > self.silence_ns + LOOK_NS

    def decided(self, command: Command) -> None:
        """An order before it leaves."""
        gateway = self.outside.gateway
        name = gateway.client_id(gateway.epoch, command.order_id)
        if name in self.sent:
            self.fail(f"{name} was decided twice")
        self.sent[name] = command
        if command.is_reduce_only:
            self._check_exit(name, command)
        else:
            self._check_entry(name, command)

    def _check_exit(self, name: str, command: Command) -> None:
        listed = int(self.outside.sequencer.trader["verdicts"][Verdict.EXIT_BLIND])
        if self.state is not BookState.LIVE:
            self.blind_exits += 1
            if listed == self._blind_verdicts:
                self.fail(f"{name} leaves blindly and is not listed")
        self._blind_verdicts = listed
        inventory, side = self.outside.sequencer.trader["inventory"][0], command.side
        leaving = int(inventory["working_buy_lots" if side > 0 else "working_sell_lots"])
        if leaving * self._lot_atoms > -side * int(inventory["held_atoms"]):
            self.fail(f"{name} gives back more than is held")

    def _check_entry(self, name: str, command: Command) -> None:
        if self.state is not BookState.LIVE or self.is_silent or not self.has_place:
            self.fail(f"{name} enters on a book that is {self.state.name}{' and silent' * self.is_silent}")
        trader = self.outside.sequencer.trader
        inventory, position = trader["inventory"][0], trader["positions"][0]
        wanted = int(position["target_atoms"]) // self._lot_atoms
        if self._intended(command.intent_id) > wanted:
            self.fail(f"{name} brings its intent above {wanted} lots")
        held, static = int(inventory["held_atoms"]) // self._lot_atoms, self.outside.universe.record[0]["listings"][0]
        lots = max(held + int(inventory["working_buy_lots"]), int(inventory["working_sell_lots"]) - held)
        notional = lots * command.price_ticks * float(static["tick_price"]) * float(static["lot_base"])
        if notional > 1.005 * max(float(trader["capital"]), float(trader["equity"])):
            self.fail(f"{name} brings the symbol to {notional:,.0f}, more than the account has")

    def _intended(self, intent_id: int) -> int:
        """Lots of an intent's entries that are filled or may still fill, by what the venue knows."""
        orders, total = self.outside.sequencer.trader["orders"], 0
        working = set(orders["order_id"][orders["state"] > 0].tolist())
        for name, command in self.sent.items():
            if command.intent_id == intent_id and not command.is_reduce_only:
                order = self.venue.account.by_client_id.get((self.outside.listing.symbol, name))
                if order is not None:
                    total += order.filled_lots if order.status in FINAL else order.lots
                elif command.order_id in working:
                    total += command.lots
        return total

    # --- at every moment ----------------------------------------------------------------------------------------
    def look(self, when: str) -> None:
        """Nothing sent twice, nothing held or owed that we do not count with."""
        account, trader = self.venue.account, self.outside.sequencer.trader
        if len(account.by_client_id) < len(account.orders) or len(account.orders) > len(self.sent):
            self.fail(f"after {when}: the venue has an order twice, or one that was never decided")
        inventory, (ours, theirs) = trader["inventory"][0], self.held_atoms()
        low = ours - int(inventory["working_sell_lots"]) * self._lot_atoms
        high = ours + int(inventory["working_buy_lots"]) * self._lot_atoms
        if not low <= theirs <= high:
            self.fail(f"after {when}: the venue holds {theirs} atoms for us, we reckon with {low} to {high}")
        if self.is_clock_wrong:
            self._felt["clock-jump"] = self.venue.clock()
        self._felt.update((name, self.venue.clock()) for name in EPISODES if self.faults.holds(name))
        orders = trader["orders"]
        if int(trader["order_count"]):
            for state in set(orders["state"].tolist()) - {0}:
                self._pair(OrderState(state).name)

    def remember_book(self, last_id: int = -1) -> None:
        """The venue's book as it stands now, unless this is of before."""
        book = self.venue.book
        if last_id in (-1, book.last_id):
            self._truth[book.last_id] = dict(book.sides[0]), dict(book.sides[1])

    def look_at_the_book(self) -> None:
        """Where our copy is LIVE it is the venue's, and somebody is heard."""
        if self.state is not BookState.LIVE:
            return
        if not self.has_place:
            self.fail("the book is LIVE and nobody knows where it stands")
        if self.is_silent:
            self.fail("the book is LIVE and nobody says anything")
        self.compare_books()

    def compare_books(self) -> None:
        last_id = self.outside.listing.depth.last_id
        if last_id not in (self._compared_id, -1):
            if last_id < self._compared_id:
                self.fail(f"our book has gone back from update {self._compared_id} to {last_id}")
            self._compared_id = last_id
            if self.outside.book() != self._truth.get(last_id):
                self.fail(f"our book is not the venue's at update {last_id}")

    @property
    def limited(self) -> int:
        """How often the venue's own limits were exceeded."""
        return self.venue.binance.counts["limited"]

    # --- in the end ---------------------------------------------------------------------------------------------
    def look_at_the_end(self) -> None:
        """When all has been quiet for a while, nothing is open and the books are the same."""
        trader = self.outside.sequencer.trader
        if not {order.client_id for order in self.venue.account.orders.values()} <= set(self.sent):
            self.fail("the venue has orders that were never decided")
        if int(trader["order_count"]):
            self.fail(f"{int(trader['order_count'])} orders are still open for us")
        if self.limited:
            self.fail(f"the venue's own limits were exceeded {self.limited} times")
        if self.venue.account.open_orders():
            self.fail("orders are still open at the venue")
        if int(trader["refused_reports"]):
            self.fail(f"{int(trader['refused_reports'])} reports were refused by the core")
        if self.outside.feed.counts["refused"] or self.outside.gateway.counts["refused"]:
            self.fail("a frame was not understood")
        if self.state is not BookState.LIVE:
            self.fail(f"the book is {self.state.name}")
        if self.is_clock_wrong:
            self.fail("the venue's clock is not what we take it for")
        if self.outside.book() != self.venue.book.sides:
            self.fail("our book is not the venue's")
