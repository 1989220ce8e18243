"""A run told again in plain Python: books as dicts, holdings summed from fills, brackets where they belong."""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from elegant_trading_system.config import Config
from elegant_trading_system.core.kinds import BookState, ExitReason, Kind, ListingKind
from elegant_trading_system.sim.session import Session

from ..builders import Array
from ..naive_core import NaiveBook

NS_PER_S = 10**9
BPS = 1e-4
ROWS = {0: "neutral", 1: "trend", 2: "range"}  # by Regime


class Order(NamedTuple):
    order_id: int
    intent_id: int
    listing_id: int
    group_id: int
    side: int
    ticks: int
    lots: int
    is_exit: bool
    wave: int
    reason: int
    risk: float
    ts_ns: int


@dataclass
class Trip:
    """One intent from its decision to its last lot."""

    group_id: int
    side: int
    ts_ns: int
    risk: float
    atr: float
    regime: int
    strength: float
    theta: float
    bar_s: float
    primary_id: int = -1
    target_atoms: int = 0
    entry_atoms: int = 0
    entry_quote: float = 0.0
    exit_atoms: int = 0
    reasons: list[int] = field(default_factory=list)
    held_at_halving: dict[int, int] = field(default_factory=dict)
    conviction: float = 0.0  # strength over the threshold, less a round trip's cost in ATR
    ts_reason_ns: int = 0
    attempts: int = 0  # at leaving, for one reason
    ts_open_ns: int = 0
    is_protected: bool = False  # its bracket stands while a venue is silent about the rest of the entry
    stop: float = 0.0
    target: float = 0.0
    due_ns: int = 0


class Retold:
    """The market, the holdings and the open trips at one moment of a run, moved on by what was heard."""

    def __init__(self, session: Session, config: Config, start_ns: int, k: int = 0) -> None:
        self.config, self.session = config, session
        record = session.universe.record[0]
        self.rows = [
            {name: row[name].item() for name in row.dtype.names}
            for row in record["listings"][: int(record["listing_count"])]
        ]
        self.groups = [
            [int(i) for i in row["listing_ids"][: int(row["listing_count"])]]
            for row in record["groups"][: int(record["group_count"])]
        ]
        self.references = [int(row["reference_id"]) for row in record["groups"][: int(record["group_count"])]]
        self.books = [NaiveBook() for _ in self.rows]
        self.heard = [0] * len(self.rows)
        self.venue_heard: dict[int, int] = defaultdict(int)
        self.session_state: dict[int, tuple[int, int]] = {}
        self.spread_bps: dict[int, float] = {}
        self.held: Counter[int] = Counter()  # atoms by listing
        self.live: dict[int, Order] = {}
        self.filled: Counter[int] = Counter()
        self.orders: dict[int, Order] = {}
        self.trips: dict[int, Trip] = {}
        self.open: dict[int, int] = {}  # group -> intent
        self.equity = {int(row["ts_ns"]): float(row["equity"]) for row in session.logs[k].joined("equity")}
        self.ts_ns = start_ns
        self.stops: list[tuple[int, bool]] = []

    # --- time goes by -----------------------------------------------------------------------------------------
    def _pass_by(self, ts_ns: int) -> None:
        """At a boundary what was filled gets its bracket if the venues are silent about all that is left."""
        pass_ns = self.config.market.pass_ms * 1_000_000
        first_ns = (self.ts_ns // pass_ns + 1) * pass_ns
        timeout_ns = self.config.execution.ack_timeout_ms * 1_000_000
        self.ts_ns = ts_ns
        for boundary_ns in range(first_ns, ts_ns + 1, pass_ns):
            for intent_id in self.open.values():
                trip = self.trips[intent_id]
                entries = [order for order in self.live.values() if order.intent_id == intent_id and not order.is_exit]
                is_silent = all(boundary_ns - order.ts_ns > timeout_ns for order in entries)
                if entries and is_silent and trip.entry_atoms and not trip.is_protected:
                    self._bracket(entries[0], trip, boundary_ns)
                    trip.is_protected = True

    def _hear_market(self, event: Any, rows: Array, ts_ns: int) -> None:
        listing_id, kind = int(event["listing_id"]), int(event["kind"])
        self.books[listing_id].apply(event, rows)
        self.heard[listing_id] = self.venue_heard[self.rows[listing_id]["venue_id"]] = ts_ns
        if kind == Kind.SESSION:
            end_ns = int(event["atoms"]) or self.session_state.get(listing_id, (0, 0))[1]
            self.session_state[listing_id] = int(event["code"]), end_ns
        group_id = self.rows[listing_id]["group_id"]
        if kind in (Kind.DEPTH, Kind.SNAPSHOT, Kind.STATUS) and self.rows[listing_id]["kind"] < ListingKind.DARK:
            found = [self.relative_spread(k) for k in self.groups[group_id] if self.is_quoted(k, ts_ns)]
            self.spread_bps[group_id] = min(found, default=-1.0)

    def _hear_report(self, event: Any, rows: Array, ts_ns: int) -> None:
        order = self.orders.get(int(event["order_id"]))
        if order is None:
            return
        listing = self.rows[order.listing_id]
        trip = self.trips[order.intent_id]
        if event["kind"] == Kind.FILL:
            ticks, lots = (int(rows[int(event["level_begin"])][name]) for name in ("price_ticks", "lots"))
            atoms = lots * listing["base_atoms_per_lot"]
            self.filled[order.order_id] += lots
            self.held[order.listing_id] += order.side * atoms
            if int(event["asset_id"]) == listing["base_id"] and listing["kind"] != ListingKind.LINEAR:
                self.held[order.listing_id] += int(event["atoms"])
            if order.is_exit:
                trip.exit_atoms += atoms
            else:
                trip.entry_atoms += atoms
                trip.entry_quote += ticks * listing["tick_price"] * lots * listing["lot_base"]
        is_over = event["kind"] in (Kind.EXPIRED, Kind.REJECTED) or self.filled[order.order_id] == order.lots
        if is_over:
            self.live.pop(order.order_id, None)
        if not any(other.intent_id == order.intent_id for other in self.live.values()):
            self._settle(order, trip, ts_ns)

    def _settle(self, order: Order, trip: Trip, ts_ns: int) -> None:
        """Nothing of an intent is working: its bracket stands, or it is over."""
        if not order.is_exit and not trip.is_protected:
            self._bracket(order, trip, ts_ns)
        if all(self.held_lots(k) == 0 for k in self.groups[trip.group_id]):
            for k in self.groups[trip.group_id]:
                self.held[k] = 0  # dust
            if trip.entry_atoms:
                self.stops.append((ts_ns, bool(trip.reasons) and trip.reasons[-1] == ExitReason.STOP))
            self.open.pop(trip.group_id, None)

    def _bracket(self, order: Order, trip: Trip, ts_ns: int) -> None:
        """Where the configuration says it lies; a re-route may still move it."""
        if trip.entry_atoms == 0:
            return
        row = getattr(self.config.regimes, ROWS[trip.regime])
        price = trip.entry_quote / (trip.entry_atoms * self.atom(order.listing_id))
        trip.ts_open_ns = ts_ns
        trip.stop = price - trip.side * row.stop_atr * trip.atr
        trip.target = price + trip.side * self.target_atr(trip) * trip.atr
        hold_s = min(row.hold_bars * trip.bar_s, self.config.risk.hold_max_s)
        trip.due_ns = ts_ns + round(hold_s * NS_PER_S)

    # --- what is so now -----------------------------------------------------------------------------------------
    def atom(self, listing_id: int) -> float:
        return float(self.rows[listing_id]["lot_base"]) / int(self.rows[listing_id]["base_atoms_per_lot"])

    def target_atr(self, trip: Trip) -> float:
        row = getattr(self.config.regimes, ROWS[trip.regime])
        high = self.config.risk.target_strength_max
        share = math.log(trip.strength / trip.theta) / math.log(high / trip.theta)
        return float(row.target_atr_min + (row.target_atr_max - row.target_atr_min) * min(max(share, 0.0), 1.0))

    def held_lots(self, listing_id: int) -> int:
        atoms, unit = self.held[listing_id], int(self.rows[listing_id]["base_atoms_per_lot"])
        return abs(atoms) // unit * (1 if atoms >= 0 else -1)

    def touch(self, listing_id: int, side: int) -> float | None:
        book = self.books[listing_id]
        levels = book.asks if side > 0 else book.bids
        if not levels:
            return None
        return (min(levels) if side > 0 else max(levels)) * float(self.rows[listing_id]["tick_price"])

    def mid(self, listing_id: int) -> float | None:
        bid, ask = self.touch(listing_id, -1), self.touch(listing_id, 1)
        return None if bid is None or ask is None else 0.5 * (bid + ask)

    def relative_spread(self, listing_id: int) -> float:
        tick = float(self.rows[listing_id]["tick_price"])
        bid, ask = self.touch(listing_id, -1), self.touch(listing_id, 1)
        assert bid is not None and ask is not None
        return max(ask - bid, tick) / (0.5 * (bid + ask)) * 1e4

    def is_fresh(self, listing_id: int, ts_ns: int) -> bool:
        book, venue_id = self.books[listing_id], self.rows[listing_id]["venue_id"]
        is_crossed = bool(book.bids) and bool(book.asks) and max(book.bids) >= min(book.asks)
        is_heard = ts_ns - self.venue_heard[venue_id] <= self.config.market.venue_stale_s * NS_PER_S
        is_heard &= ts_ns - self.heard[listing_id] <= self.config.market.listing_stale_s * NS_PER_S
        return book.state == BookState.LIVE and not is_crossed and is_heard

    def is_quoted(self, listing_id: int, ts_ns: int) -> bool:
        book = self.books[listing_id]
        is_lit = self.rows[listing_id]["kind"] < ListingKind.DARK
        return is_lit and bool(book.bids) and bool(book.asks) and self.is_fresh(listing_id, ts_ns)

    def class_of(self, listing_id: int) -> list[int]:
        """All listings of its class."""
        row = self.rows[listing_id]
        return [k for k in self.groups[row["group_id"]] if self.rows[k]["class_id"] == row["class_id"]]

    def exposure(self, listing_id: int) -> float:
        """Signed notional held and being entered."""
        price = self.mid(self.rows[listing_id]["reference_id"]) or 0.0
        lots = sum(
            order.side * (order.lots - self.filled[order.order_id])
            for order in self.live.values()
            if order.listing_id == listing_id and not order.is_exit
        )
        base = self.held[listing_id] * self.atom(listing_id) + lots * float(self.rows[listing_id]["lot_base"])
        return base * price

    def money(self, ts_ns: int) -> float:
        return min(self.config.account.capital, self.equity[ts_ns])

    def heat(self) -> float:
        """Everything of one asset class moves together until there is data: risks add up."""
        total = 0.0
        for intent_id in self.open.values():
            trip = self.trips[intent_id]
            is_entering = trip.ts_open_ns == 0
            atoms = trip.entry_atoms - trip.exit_atoms + self._entering_atoms(intent_id)
            share = 1.0 if is_entering else max(atoms, 0) / trip.target_atoms
            total += trip.risk * share
        return total

    def _entering_atoms(self, intent_id: int) -> int:
        return sum(
            (order.lots - self.filled[order.order_id]) * int(self.rows[order.listing_id]["base_atoms_per_lot"])
            for order in self.live.values()
            if order.intent_id == intent_id and not order.is_exit
        )
