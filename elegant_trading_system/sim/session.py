"""One run in memory: the records, the logs, and the loop that drives the compiled `simulate` in slices."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from ..config import Config
from ..core.kinds import Kind, ListingKind
from ..core.schema import (
    BOOKS,
    COMMAND,
    EQUITY,
    EVALUATION,
    LEVEL,
    MARK,
    MARKET,
    NEVER_NS,
    NO_X,
    PACKET,
    TRADER,
    VENUE_SIM,
)
from ..data.tape import forget
from ..data.universe import Universe
from . import simulate as product

Array = np.ndarray[Any, Any]
SLICE_PACKETS = 200_000
EVALUATION_ROOM, EQUITY_ROOM, COMMAND_ROOM, REPLY_ROOM, MARK_ROOM = 8192, 4096, 4096, 4096, 4096
DARK_WEIGHT = 0.2


@dataclass
class Log:
    """Everything one trader did, in pieces as the loop emptied them."""

    evaluations: list[Array] = field(default_factory=list)
    equity: list[Array] = field(default_factory=list)
    commands: list[Array] = field(default_factory=list)
    replies: list[Array] = field(default_factory=list)
    rows: list[Array] = field(default_factory=list)
    marks: list[Array] = field(default_factory=list)

    def joined(self, name: str) -> Array:
        dtype = {
            "evaluations": EVALUATION,
            "equity": EQUITY,
            "commands": COMMAND,
            "replies": PACKET,
            "rows": LEVEL,
            "marks": MARK,
        }[name]
        pieces = getattr(self, name)
        joined = np.concatenate(pieces) if pieces else np.zeros(0, dtype)
        if name == "replies":
            joined["level_begin"] = np.arange(len(joined))
        return joined


def new_market() -> tuple[Array, Array]:
    """An empty market: no clock, no book LIVE."""
    market = np.zeros(1, MARKET)
    market["books"]["best_x"] = NO_X
    market["books"]["truncated_x"] = NO_X
    return market, np.zeros(1, BOOKS)


class Session:
    """K traders on one market. `run` may be called with successive stretches of one tape."""

    def __init__(
        self,
        universe: Universe,
        configs: Sequence[Config],
        lookahead_ns: int = 0,
        *,
        memory: int = 1,
        simulate: ModuleType = product,
        is_logging: bool = True,
    ) -> None:
        self.universe = universe
        self.simulate = simulate
        self.market, self.books = new_market()
        self.traders = np.zeros(len(configs), TRADER)
        self.venues = np.zeros(len(configs), VENUE_SIM)
        self.venues["next_ns"] = NEVER_NS
        self.memory = np.zeros(memory, np.int64)
        self.market_params = configs[0].market_params()
        if any(config.market_params().tobytes() != self.market_params.tobytes() for config in configs):
            raise ValueError("traders of one session share the market, so their [market] numbers must be equal")
        self.params = np.concatenate([config.params() for config in configs])
        self.sim_params = np.concatenate([config.sim_params(lookahead_ns) for config in configs])
        self.logs = [Log() for _ in configs]
        room = (EVALUATION_ROOM, EQUITY_ROOM, MARK_ROOM) if is_logging else (0, 0, 0)
        count = len(configs)
        self._evaluations = np.zeros((count, room[0]), EVALUATION)
        self._equity = np.zeros((count, room[1]), EQUITY)
        self._marks = np.zeros((count, room[2]), MARK)
        self._commands = np.zeros((count, COMMAND_ROOM), COMMAND)
        self._replies = np.zeros((count, REPLY_ROOM), PACKET)
        self._rows = np.zeros((count, REPLY_ROOM), LEVEL)
        self._counts = np.zeros((count, 5), np.int64)
        self.cursor = 0
        self._is_funded = False

    @property
    def worlds(self) -> tuple[Array, Array, Array]:
        return self.universe.record, self.market, self.books

    def run(
        self,
        packets: Array,
        levels: Array,
        end: int | None = None,
        *,
        is_last: bool = True,
        progress: Callable[[str, float], None] | None = None,
        slice_packets: int = SLICE_PACKETS,
    ) -> None:
        """Drive packets [self.cursor, end) of the tape through the engine."""
        total = len(packets) if end is None else end
        assert total <= len(packets), (total, len(packets))  # compiled code would read beyond
        if not self._is_funded and len(packets):
            self._fund(self._first_live_ns(packets))
        while True:
            until = min(self.cursor + slice_packets, total)
            is_end = is_last and until == total
            before = (self.cursor, int(self._counts.sum()))
            self.cursor = self.simulate.simulate(
                self.worlds,
                self.traders,
                self.venues,
                self.memory,
                (self.market_params, self.params, self.sim_params),
                (packets, levels),
                self.cursor,
                until,
                is_end,
                self._arrays(),
            )
            is_idle = before == (self.cursor, int(self._counts.sum()))
            self._flush()
            if self.cursor > before[0]:
                forget(packets, self.cursor)
                forget(levels, int(packets[self.cursor - 1]["level_begin"]))
            if progress is not None:
                progress("backtesting", self.cursor / max(total, 1))
            if self.cursor >= total and is_idle:
                return

    def _arrays(self) -> tuple[Array, ...]:
        """The logs as `simulate` takes them."""
        kept = (self._evaluations, self._equity, self._commands, self._replies, self._rows)
        return *kept, self._counts, self._marks

    def _flush(self) -> None:
        """Move what the slice logged into growing lists; the fixed arrays start anew."""
        for k, log in enumerate(self.logs):
            evaluations, equity, replies, commands, marks = (int(n) for n in self._counts[k])
            for pieces, array, count in (
                (log.evaluations, self._evaluations, evaluations),
                (log.equity, self._equity, equity),
                (log.replies, self._replies, replies),
                (log.rows, self._rows, replies),
                (log.commands, self._commands, commands),
                (log.marks, self._marks, marks),
            ):
                if count:
                    pieces.append(array[k, :count].copy())
        self._counts[:] = 0

    def _first_live_ns(self, packets: Array) -> int:
        """When trading can begin: the first packet that is no history; the very first if all are."""
        begin, step = 0, 64  # it is nearly always among the first
        while begin < len(packets):
            block = packets[begin : begin + step]
            kinds = self.universe.record[0]["listings"]["kind"][block["listing_id"]]
            is_live = ~np.isin(block["kind"], (Kind.BAR, Kind.SESSION)) & (kinds != ListingKind.VOLATILITY)
            if is_live.any():
                return int(block["ts_local_ns"][int(np.argmax(is_live))])
            begin, step = begin + step, SLICE_PACKETS
        return int(packets["ts_local_ns"][0])

    def _fund(self, ts_ns: int) -> None:
        """The capital arrives as transfers, one for every venue and settlement asset that can trade."""
        self._is_funded = True
        assets = self.universe.record[0]["assets"]
        accounts = funded_accounts(self.universe)
        total = sum(weight for _, weight in accounts.values())
        for k, params in enumerate(self.params):
            for n, ((_, asset_id), (listing_id, weight)) in enumerate(accounts.items()):
                reply = self.venues[k]["replies"][n]
                reply["is_used"] = 1
                reply["order_no"] = n
                packet = reply["packet"]
                packet["kind"] = Kind.TRANSFER
                packet["ts_local_ns"] = packet["ts_venue_ns"] = ts_ns
                packet["listing_id"] = listing_id
                packet["asset_id"] = asset_id
                packet["atoms"] = round(float(params["capital"]) * weight / total / float(assets[asset_id]["atom"]))
            if accounts:
                self.venues[k]["reply_no"] = len(accounts)
                self.venues[k]["next_ns"] = ts_ns

    def decisions_digest(self, k: int = 0) -> str:
        return decisions_digest(self.logs[k].joined("commands"), self.traders[k])

    def state_digest(self, k: int = 0) -> str:
        """All mutable state of the shared market and one trader, as one sha256."""
        digest = hashlib.sha256()
        for record in (self.market[0], self.books[0], self.traders[k], self.venues[k]):
            digest.update(record.tobytes())
        return digest.hexdigest()


def funded_accounts(universe: Universe) -> dict[tuple[int, int], tuple[int, float]]:
    """(venue, asset) -> (a listing there, weight): lit venues alike, a dark one as much less as it is sent less."""
    record = universe.record[0]
    accounts: dict[tuple[int, int], tuple[int, float]] = {}
    for listing_id in range(record["listing_count"]):
        listing = record["listings"][listing_id]
        if listing["can_trade"]:
            key = (int(listing["venue_id"]), int(listing["settle_id"]))
            accounts.setdefault(key, (listing_id, DARK_WEIGHT if listing["kind"] == ListingKind.DARK else 1.0))
    return accounts


def decisions_digest(commands: Array, trader: Any) -> str:
    """sha256 of every command sent and of the verdict histogram: what was decided, and what was refused."""
    digest = hashlib.sha256(np.ascontiguousarray(commands).tobytes())
    digest.update(np.ascontiguousarray(trader["verdicts"]).tobytes())
    digest.update(np.ascontiguousarray(trader["digest"]).tobytes())
    return digest.hexdigest()
