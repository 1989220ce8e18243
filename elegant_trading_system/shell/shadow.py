"""A run's state made again from its journal: what recovery goes on from, and what snapshots keep."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Config
from ..core.kinds import FeeSource, Kind
from ..core.schema import COMMAND, EQUITY, EVALUATION, MARK, TRADER
from ..data import journal
from ..data.segments import START, Place
from ..data.universe import Universe
from ..sim.replay import new_counts, steps
from ..sim.session import new_market
from .link import FillKey

Array = np.ndarray[Any, Any]
NO_LOGS = (np.zeros(0, EVALUATION), np.zeros(0, EQUITY), np.zeros(0, MARK))


class Shadow:
    """The state behind a place of the journal, with all that a restart must know of the events before it."""

    def __init__(self, universe: Universe, config: Config) -> None:
        self.universe, self.config = universe, config
        self.market, self.books = new_market()
        self.traders = np.zeros(1, TRADER)
        self.place: Place = START.place
        self.ts_ns = 0  # of the last event
        self.command_count = 0
        self.fills: dict[int, Counter[FillKey]] = {}  # by number, of the orders that are open

    @property
    def blocks(self) -> tuple[Array, Array, Array]:
        return self.market, self.books, self.traders

    @property
    def event_count(self) -> int:
        return int(self.traders[0]["seq"])

    def follow(self, folder: Path, until: Place) -> Array:
        """Go on to a later place of the journal; returns what is decided on the way."""
        worlds = (self.universe.record, self.market, self.books)
        heard = self._heard(journal.read(folder, self.place, until))
        decided = list(steps(worlds, self.traders, self.config, heard, (*NO_LOGS, new_counts())))
        commands = np.concatenate([np.zeros(0, COMMAND), *decided])
        self.command_count += len(commands)
        self.place = until
        self._forget_fills()
        return commands

    def _heard(self, parts: Iterator[tuple[Array, Array]]) -> Iterator[tuple[Array, Array]]:
        for packets, rows in parts:
            for packet in packets[packets["kind"] == Kind.FILL]:
                self.fills.setdefault(int(packet["order_id"]), Counter())[fill_key(packet, rows)] += 1
            yield packets, rows
            if len(packets):
                self.ts_ns = int(packets["ts_local_ns"][-1])
            self._forget_fills()

    def _forget_fills(self) -> None:
        """Of orders that have ended nobody asks any more."""
        orders = self.traders[0]["orders"]
        still_open = set(orders["order_id"][orders["state"] != 0].tolist())
        self.fills = {order_id: keys for order_id, keys in self.fills.items() if order_id in still_open}


def fill_key(packet: Any, rows: Array) -> FillKey:
    """What the venue says of it: it does not say what a fee was worth that was paid with something else."""
    row, is_ours = rows[packet["level_begin"]], packet["code"] == FeeSource.BALANCE
    return int(row["price_ticks"]), int(row["lots"]), int(packet["atoms"]) * int(is_ours), int(packet["asset_id"])
