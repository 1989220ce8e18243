"""The sequencer: the only one that stamps events, writes them down and hands them to the core, in that order."""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from ..config import Config
from ..core import engine as product
from ..core.jit import direct
from ..core.kinds import Kind
from ..core.schema import COMMAND, EQUITY, EVALUATION, GROUPS, LEVEL, MARK, PACKET, TRADER, UNIVERSE
from ..data.journal import Journal
from ..data.universe import Universe
from ..sim.session import decisions_digest, new_market
from .command import Command, commands_of

Array = np.ndarray[Any, Any]
COMMAND_ROOM = 256
EVALUATION_ROOM = 64 * 2 * GROUPS
NO_ROWS = np.zeros(0, LEVEL)


def compile_engine(config: Config, *, is_replay_too: bool = False) -> None:
    """Compile what the first event would, before anybody waits for it; and what a replay would."""
    logs = np.zeros(1, EVALUATION), np.zeros(1, EQUITY), np.zeros(1, MARK), np.zeros(5, np.int64)
    worlds = np.zeros(1, UNIVERSE), *new_market()
    state = worlds, np.zeros(1, TRADER), np.zeros(1, np.int64), config.market_params(), config.params(), logs
    events = np.zeros(0, PACKET), NO_ROWS, np.zeros(1, COMMAND)
    direct(product.step, *state, *events, np.zeros(3, np.int64), 0, 0, 1)
    if is_replay_too:
        direct(product.advance, *state, *events)


class Sequencer:
    """One live trader: the market as it was heard, and what was decided."""

    def __init__(
        self,
        universe: Universe,
        config: Config,
        journal: Journal,
        now_ns: Callable[[], int],
        send: Callable[[Command], None],
        state: tuple[Array, Array, Array] | None = None,
        ts_ns: int = 0,
        *,
        engine: ModuleType = product,
    ) -> None:
        """`state` is (market, books, traders) to go on from, `ts_ns` the stamp of the last event they have seen."""
        self.universe = universe
        self.journal = journal
        self.now_ns = now_ns
        self.send = send
        self.market, self.books, self.traders = state or (*new_market(), np.zeros(1, TRADER))
        self.commands_sent = 0
        self.latest: dict[int, Any] = {}  # by group: the evaluation last kept, for whoever is watching
        self._ts_ns = ts_ns
        self._memory = np.zeros(1, np.int64)
        self._params = (config.market_params(), config.params())
        self._counts = np.zeros(5, np.int64)
        self._logged = self._counts.data
        self._evaluations = np.zeros(EVALUATION_ROOM, EVALUATION)
        self._logs = (self._evaluations, np.zeros(1024, EQUITY), np.zeros(4096, MARK), self._counts)
        self._commands = np.zeros(COMMAND_ROOM, COMMAND)
        bound = (universe.record, self.market, self.books), self.traders, self._memory, *self._params, self._logs
        step = direct(engine.step, *bound, journal.packets, journal.rows, self._commands, journal.head, 0, 0, 1)
        self._step: Callable[..., tuple[int, int]] = partial(step, *bound)

    @property
    def ts_ns(self) -> int:
        """The last event's stamp."""
        return self._ts_ns

    @property
    def trader(self) -> Any:
        return self.traders[0]

    @property
    def stale_ns(self) -> tuple[int, int]:
        """Silence after which nothing of a venue, and nothing of one listing, is to be trusted."""
        params = self._params[0][0]
        return int(params["venue_stale_ns"]), int(params["listing_stale_ns"])

    def crossed_count(self, listing_id: int) -> int:
        """How often a book has bid as much as it asked, or more."""
        return int(self.market[0]["books"][listing_id]["crossed_count"])

    def hear(
        self,
        kind: Kind,
        listing_id: int,
        buys: Array = NO_ROWS,
        sells: Array = NO_ROWS,
        *,
        ts_venue_ns: int = 0,
        ts_local_ns: int = 0,
        order_id: int = 0,
        atoms: int = 0,
        asset_id: int = 0,
        code: int = 0,
    ) -> None:
        """One event, stamped now unless it says when it became known; its commands leave at once."""
        buy_count, sell_count = len(buys), len(sells)
        begin = self.journal.begin(buy_count + sell_count)
        middle = begin + buy_count
        self.journal.rows[begin:middle] = buys
        self.journal.rows[middle : middle + sell_count] = sells
        self.journal.lay(ts_venue_ns, order_id, atoms, buy_count, sell_count, listing_id, kind, code, asset_id)
        self.hear_laid(ts_local_ns)

    def hear_laid(self, ts_local_ns: int = 0) -> None:
        """The event whose rows and header lie at the journal's end."""
        ts_ns = ts_local_ns or self.now_ns()
        if ts_ns < self._ts_ns:  # noqa: PLR1730 - a call of max takes three times as long
            ts_ns = self._ts_ns
        self._ts_ns = ts_ns
        journal = self.journal
        consumed, count = self._step(
            journal.packets, journal.rows, self._commands, journal.head, journal.seq_begin, ts_ns, 1
        )
        if consumed == 0 or count or self._logged[0]:
            self._pass_on(consumed, count)

    def tick(self) -> None:
        """Time has passed and nothing else: the boundaries that are due are decided."""
        due_ns = int(self.market[0]["next_boundary_ns"])
        if 0 < due_ns <= self.now_ns():
            self.hear(Kind.TICK, 0)

    def _pass_on(self, consumed: int, count: int) -> None:
        """What the last event has led to: to whoever watches, and out; until the event is used up."""
        journal = self.journal
        while True:
            if count:  # first of all: what is written down follows from the event, which is
                made = np.frombuffer(self._commands[:count].tobytes(), COMMAND)  # `copy` goes field by field
                for command in commands_of(made):
                    self.send(command)
                journal.log_commands(made)
                self.commands_sent += count
            for evaluation in self._evaluations[: self._logged[0]]:
                self.latest[int(evaluation["group_id"])] = evaluation.copy()
            self._counts[:] = 0  # evaluations and equity are made again from the journal when somebody asks
            if consumed == 1:
                return
            consumed, count = self._step(
                journal.packets, journal.rows, self._commands, journal.head, journal.seq_begin, 0, 0
            )

    def decisions_digest(self, commands: Array) -> str:
        return decisions_digest(commands, self.trader)
