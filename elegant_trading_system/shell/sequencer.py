"""The sequencer: the only one that stamps events, writes them down and hands them to the core, in that order."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..config import Config
from ..core import engine
from ..core.kinds import Kind
from ..core.schema import COMMAND, EQUITY, EVALUATION, GROUPS, LEVEL, MARK, PACKET, TRADER, UNIVERSE
from ..data.journal import Journal
from ..data.universe import Universe
from ..sim.session import decisions_digest, new_market

Array = np.ndarray[Any, Any]
COMMAND_ROOM = 256
EVALUATION_ROOM = 64 * 2 * GROUPS
NO_ROWS = np.zeros(0, LEVEL)


def compile_engine(config: Config) -> None:
    """Compile what the first event would, before anybody waits for it."""
    counts = np.zeros(5, np.int64)
    engine.advance(
        (np.zeros(1, UNIVERSE), *new_market()),
        np.zeros(1, TRADER),
        np.zeros(1, np.int64),
        config.market_params(),
        config.params(),
        (np.zeros(1, EVALUATION), np.zeros(1, EQUITY), np.zeros(1, MARK), counts),
        np.zeros(0, PACKET),
        NO_ROWS,
        np.zeros(1, COMMAND),
    )


class Sequencer:
    """One live trader: the market as it was heard, and what was decided."""

    def __init__(
        self,
        universe: Universe,
        config: Config,
        journal: Journal,
        now_ns: Callable[[], int],
        send: Callable[[Any], None],
        state: tuple[Array, Array, Array] | None = None,
        ts_ns: int = 0,
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
        self._evaluations = np.zeros(EVALUATION_ROOM, EVALUATION)
        self._logs = (self._evaluations, np.zeros(1024, EQUITY), np.zeros(4096, MARK), self._counts)
        self._commands = np.zeros(COMMAND_ROOM, COMMAND)

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
        entry = self.journal.begin(len(buys) + len(sells))
        entry.rows[: len(buys)] = buys
        entry.rows[len(buys) :] = sells
        self._ts_ns = max(self._ts_ns, ts_local_ns or self.now_ns())
        packet = entry.packet
        packet["seq"] = self.journal.count
        packet["ts_local_ns"] = self._ts_ns
        packet["ts_venue_ns"] = ts_venue_ns or self._ts_ns
        packet["order_id"], packet["atoms"], packet["asset_id"] = order_id, atoms, asset_id
        packet["buy_count"], packet["sell_count"] = len(buys), len(sells)
        packet["listing_id"], packet["kind"], packet["code"] = listing_id, kind, code
        self._step(self.journal.commit(entry))

    def tick(self) -> None:
        """Time has passed and nothing else: the boundaries that are due are decided."""
        due_ns = int(self.market[0]["next_boundary_ns"])
        if 0 < due_ns <= self.now_ns():
            self.hear(Kind.TICK, 0)

    def _step(self, n: int) -> None:
        """Advance the core by event n of the running segment."""
        packets = self.journal.packets[n : n + 1]
        while True:
            consumed, count = engine.advance(
                (self.universe.record, self.market, self.books),
                self.traders,
                self._memory,
                *self._params,
                self._logs,
                packets,
                self.journal.rows,
                self._commands,
            )
            if self._counts[0]:
                for evaluation in self._evaluations[: self._counts[0]]:
                    self.latest[int(evaluation["group_id"])] = evaluation.copy()
            self._counts[:] = 0  # evaluations and equity are made again from the journal when somebody asks
            if count:
                made = self._commands[:count].copy()
                self.journal.log_commands(made)
                self.commands_sent += count
                for command in made:
                    self.send(command)
            if consumed == 1:
                return

    def decisions_digest(self, commands: Array) -> str:
        return decisions_digest(commands, self.trader)
