"""A run told again in plain Python: books as dicts, holdings summed from fills, every order judged when it was sent."""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from elegant_trading_system.config import Config
from elegant_trading_system.core.exits import PANIC_WAVE
from elegant_trading_system.core.kinds import (
    PRIVATE_FIRST,
    BookState,
    CommandKind,
    ExitReason,
    Kind,
    ListingKind,
    SessionState,
    Verdict,
)
from elegant_trading_system.sim import replay
from elegant_trading_system.sim.session import Session

from ..builders import Array
from ..naive_core import NaiveBook

NS_PER_S = 10**9
BPS = 1e-4
ATOM_SLACK = 1e-9
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


class Audit:
    """Feed it a finished session; `problems` is what broke a rule, `seen` counts what was looked at."""

    def __init__(self, session: Session, config: Config, packets: Array, levels: Array, k: int = 0) -> None:
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
        self.problems: list[str] = []
        self.seen: Counter[str] = Counter()
        log = session.logs[k]
        self.evaluations = {
            (int(row["ts_ns"]), int(row["group_id"])): row
            for row in log.joined("evaluations")
            if row["verdict"] == Verdict.APPROVED
        }
        self.equity = {int(row["ts_ns"]): float(row["equity"]) for row in log.joined("equity")}
        self.sent_in_second: Counter[int] = Counter()
        self.ts_ns = int(packets["ts_local_ns"][0])
        self.stops: list[tuple[int, bool]] = []
        self._read(log, packets, levels)

    # --- time goes by -----------------------------------------------------------------------------------------
    def _read(self, log: Any, packets: Array, levels: Array) -> None:
        events, rows = replay.weave(packets, levels, log.joined("replies"), log.joined("rows"))
        by_cause: dict[int, list[Any]] = defaultdict(list)
        for command in log.joined("commands"):
            if command["kind"] == CommandKind.SEND:
                by_cause[int(command["cause_seq"])].append(command)
        for seq, event in enumerate(events):
            ts_ns = int(event["ts_local_ns"])
            self._pass_by(ts_ns)
            if event["kind"] < PRIVATE_FIRST:
                self._hear_market(event, rows, ts_ns)
            else:
                self._hear_report(event, rows, ts_ns)
            for command in by_cause[seq]:
                self._judge(command)
            if event["kind"] < PRIVATE_FIRST:
                self._judge_silence(int(event["listing_id"]), ts_ns)

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

    # --- every order --------------------------------------------------------------------------------------------
    def expect(self, holds: bool, claim: str, what: object) -> None:
        self.seen[claim] += 1
        if not holds:
            self.problems.append(f"{claim}: {what}")

    def _judge(self, command: Any) -> None:
        listing_id = int(command["listing_id"])
        order = Order(
            int(command["order_id"]), int(command["intent_id"]), listing_id, self.rows[listing_id]["group_id"],
            int(command["side"]), int(command["price_ticks"]), int(command["lots"]), bool(command["is_reduce_only"]),
            int(command["wave"]), int(command["exit_reason"]), float(command["risk_quote"]), int(command["ts_ns"]),
        )  # fmt: skip
        self.sent_in_second[order.ts_ns // NS_PER_S] += 1
        self.orders[order.order_id] = order
        if not order.is_exit:  # only exits may run past it
            most = self.config.breakers.orders_per_s_max
            self.expect(self.sent_in_second[order.ts_ns // NS_PER_S] <= most, "orders in a second", order)
        if order.is_exit:
            self._judge_exit(order)
        elif order.wave == 0:
            self._judge_entry(order)
        else:
            self._judge_limit(order, self.trips[order.intent_id])
            self._judge_total(order)
        self.live[order.order_id] = order

    def _judge_entry(self, order: Order) -> None:
        seen = self.evaluations[order.ts_ns, order.group_id]
        if order.intent_id not in self.trips:
            self._judge_signal(seen)
            self._judge_account(order)
            self.trips[order.intent_id] = Trip(
                order.group_id, order.side, order.ts_ns, order.risk, float(seen["atr_price"]), int(seen["regime"]),
                float(seen["strength"]), self.theta(seen), float(seen["bar_s"]),
            )  # fmt: skip
            self.open[order.group_id] = order.intent_id
            self.trips[order.intent_id].conviction = self._conviction(seen, order.group_id)
        trip = self.trips[order.intent_id]
        trip.primary_id = order.listing_id  # the last child is the primary's
        trip.target_atoms += order.lots * self.rows[order.listing_id]["base_atoms_per_lot"]
        self._judge_limit(order, trip)
        self._judge_caps(order, seen)

    def _conviction(self, seen: Any, group_id: int) -> float:
        fees = [2e-2 * self.rows[k]["taker_fee_ppm"] for k in self.groups[group_id] if self.is_open_to_us(k)]
        usual_bps = float(seen["tightness"]) * self.spread_bps[group_id]
        atr_bps = float(seen["atr_price"]) / float(seen["mid_price"]) * 1e4
        cost_atr: float = (min(fees) + usual_bps) / atr_bps
        return math.log(float(seen["strength"]) / self.theta(seen)) - cost_atr

    def is_open_to_us(self, listing_id: int) -> bool:
        return self.rows[listing_id]["kind"] in (ListingKind.SPOT, ListingKind.LINEAR)

    def theta(self, seen: Any) -> float:
        base = self.config.signal.strength_min
        return max(base, self.config.regimes.volatile.strength_min) if int(seen["state"]) & 1 else base

    def _judge_signal(self, seen: Any) -> None:
        signal, filters = self.config.signal, self.config.filters
        ratio = math.exp(abs(float(seen["log_ratio"])))
        product = ratio * float(seen["velocity"]) * float(seen["tightness"])
        self.expect(abs(product / float(seen["strength"]) - 1) < 1e-12, "strength is the product", seen)
        self.expect(float(seen["strength"]) > self.theta(seen), "strength beyond theta", seen)
        self.expect(float(seen["velocity"]) > signal.velocity_min, "velocity beyond its least", seen)
        self.expect(ratio >= signal.imbalance_min, "imbalance", seen)
        self.expect(abs(float(seen["vwap_gap"])) <= signal.vwap_gap_max, "near the VWAP", seen)
        if filters.flow_agreement:
            self.expect(float(seen["flow"]) * int(seen["side"]) > 0.0, "flow agrees", seen)

    def _judge_account(self, order: Order) -> None:
        """Before the first child of a new intent."""
        risk, ts_ns = self.config.risk, order.ts_ns
        self.expect(order.group_id not in self.open, "one position per asset", order)
        self.expect(len(self.open) + 1 <= risk.positions_max, "positions", order)
        self.expect(len(self.open) + 1 <= risk.cluster_max, "cluster", order)
        until = [(ns, equity) for ns, equity in self.equity.items() if ns <= ts_ns]
        day = ts_ns // (86_400 * NS_PER_S)
        first = next(equity for ns, equity in until if ns // (86_400 * NS_PER_S) == day and equity > 0.0)
        breakers = self.config.breakers
        self.expect(until[-1][1] >= first * (1 - breakers.day_loss), "the day's loss", (order, first, until[-1]))
        peak, deepest = 0.0, 0.0
        for _, equity in until:
            peak = max(peak, equity)
            deepest = max(deepest, 1 - equity / peak if peak > 0.0 else 0.0)
        self.expect(deepest < breakers.drawdown_halt, "drawdown", order)
        self.expect(not self._is_streak(ts_ns), "losing streak", order)

    def _is_streak(self, ts_ns: int) -> bool:
        breakers = self.config.breakers
        row: list[int] = []
        until_ns = 0
        for closed_ns, is_stop in self.stops:
            row = [*row, closed_ns] if is_stop else []
            last = row[-breakers.streak_stops :]
            if len(last) == breakers.streak_stops and last[-1] - last[0] <= breakers.streak_min * 60 * NS_PER_S:
                until_ns, row = closed_ns + round(breakers.streak_pause_min * 60 * NS_PER_S), []
        return ts_ns < until_ns

    def _judge_limit(self, order: Order, trip: Trip) -> None:
        """At most the cap beyond the best touch of the class, on a book that may be acted on, while its market is open."""
        listing = self.rows[order.listing_id]
        reference_id, ts_ns = listing["reference_id"], order.ts_ns
        self.expect(self.is_quoted(reference_id, ts_ns), "entry on a fresh book", order)
        for k in (order.listing_id, reference_id):
            state, end_ns = self.session_state.get(k, (SessionState.ALWAYS, 0))
            self.expect(state not in (SessionState.CLOSED, SessionState.HALTED), "market open", order)
            margin_ns = round(self.config.sessions.entry_before_min * 60 * NS_PER_S) if order.wave == 0 else 0
            self.expect(end_ns == 0 or ts_ns < end_ns - margin_ns, "not before the close", order)
        touches = [self.touch(k, order.side) for k in self.class_of(order.listing_id) if self.is_quoted(k, ts_ns)]
        known = [price for price in touches if price is not None]
        is_strict = self.config.breakers.venue_pause_s == 0.0  # else the best touch may be at a paused venue
        best = min(known) if (order.side > 0) == is_strict else max(known)
        execution = self.config.execution
        seen = self.evaluations[trip.ts_ns, trip.group_id]
        cap = min(execution.cap_atr * trip.atr / float(seen["mid_price"]), execution.cap_bps * BPS)
        limit = order.ticks * float(listing["tick_price"])
        self.expect(order.side * (limit / (best * (1 + order.side * cap)) - 1) <= 1e-12, "limit", (order, best, cap))

    def _judge_total(self, order: Order) -> None:
        trip = self.trips[order.intent_id]
        live = sum(
            (other.lots - self.filled[other.order_id]) * self.rows[other.listing_id]["base_atoms_per_lot"]
            for other in self.live.values()
            if other.intent_id == order.intent_id
        )
        more = order.lots * self.rows[order.listing_id]["base_atoms_per_lot"]
        self.expect(trip.entry_atoms + live + more <= trip.target_atoms, "waves within the intent", order)
        self._judge_venue(order)

    def _judge_caps(self, order: Order, seen: Any) -> None:
        """Leverage with this child counted; room is reckoned at one mid, not at each listing's."""
        risk, money = self.config.risk, self.money(order.ts_ns)
        own = max(self.mid(k) or 0.0 for k in self.class_of(order.listing_id))
        slack = 1.005 * max(own / float(seen["mid_price"]), 1.0)
        self.live[order.order_id] = order
        notional = [self.exposure(k) for k in range(len(self.rows))]
        symbol = sum(abs(notional[k]) for k in self.groups[order.group_id])
        self.expect(symbol <= risk.symbol_leverage_max * money * slack, "symbol leverage", (order, symbol, money))
        gross, net = sum(map(abs, notional)), sum(notional)
        self.expect(gross <= risk.gross_leverage_max * money * slack, "gross leverage", (order, gross, money))
        is_adding = net * order.side > 0
        self.expect(
            not is_adding or abs(net) <= risk.net_leverage_max * money * slack, "net leverage", (order, net, money)
        )
        self._judge_venue(order)
        trip = self.trips[order.intent_id]
        self.expect(self.heat() <= risk.heat_max * money * (1 + 1e-9), "heat", (order, self.heat(), money))
        self._judge_risk(order, trip, seen)

    def _judge_venue(self, order: Order) -> None:
        self.live[order.order_id] = order
        venue_id, reference_id = (self.rows[order.listing_id][name] for name in ("venue_id", "reference_id"))
        held = sum(abs(self.exposure(k)) for k, row in enumerate(self.rows) if row["venue_id"] == venue_id)
        passed = max(ns for ns in self.equity if ns <= order.ts_ns)
        most = self.config.risk.venue_leverage_max * self.money(passed)
        own, limit = self.mid(reference_id) or 0.0, order.ticks * float(self.rows[order.listing_id]["tick_price"])
        self.expect(held <= most * 1.005 * max(own / limit, 1.0), "venue leverage", (order, held, most))

    def _judge_risk(self, order: Order, trip: Trip, seen: Any) -> None:
        """What the whole intent can lose: stop, both fees, the spread and the gap. Known when all children are."""
        row = getattr(self.config.regimes, ROWS[trip.regime])
        mid = float(seen["mid_price"])
        fees = [2 * mid * int(self.rows[k]["taker_fee_ppm"]) * 1e-6 for k in self.class_of(order.listing_id)]
        spread = self.spread_bps[order.group_id] * BPS * mid
        fixed = (row.stop_atr + self.config.risk.gap_atr) * trip.atr + spread
        children = [other for other in self.orders.values() if other.intent_id == order.intent_id and other.wave == 0]
        base = sum(other.lots * float(self.rows[other.listing_id]["lot_base"]) for other in children)
        if len(children) == self.child_count(order):
            low, high = base * (fixed + min(fees)), base * (fixed + max(fees))
            self.expect(low * (1 - 1e-9) <= trip.risk <= high * (1 + 1e-9), "risk_quote", (order, low, trip.risk, high))
            budget = self.config.risk.base_risk * self.money(order.ts_ns)
            without_gap = trip.risk - base * self.config.risk.gap_atr * trip.atr
            self.expect(without_gap <= budget * (1 + 1e-9), "base risk", (order, without_gap, budget))

    def child_count(self, order: Order) -> int:
        commands = self.session.logs[0].joined("commands")
        mine = (commands["intent_id"] == order.intent_id) & (commands["kind"] == CommandKind.SEND)
        return int((mine & (commands["is_reduce_only"] == 0) & (commands["wave"] == 0)).sum())

    # --- what was not sent ----------------------------------------------------------------------------------------
    def _judge_silence(self, listing_id: int, ts_ns: int) -> None:
        """After a packet of its class no open position may stand beyond its stop, its target or its time."""
        trip = self.trips.get(self.open.get(self.rows[listing_id]["group_id"], 0))
        if trip is None or trip.ts_open_ns == 0 or self.rows[listing_id]["class_id"] != self._class(trip):
            return
        held = [k for k in self.groups[trip.group_id] if self.held_lots(k)]
        is_working = any(
            self.trips[order.intent_id] is trip and (order.is_exit or not trip.is_protected)
            for order in self.live.values()
        )
        is_retrying = trip.attempts >= PANIC_WAVE
        if is_working or is_retrying or not all(self.is_quoted(self.rows[k]["reference_id"], ts_ns) for k in held):
            return
        mids = [self.mid(k) for k in self.class_of(trip.primary_id) if self.is_quoted(k, ts_ns)]
        beyond_stop = [trip.side * (price - trip.stop) <= -1e-9 for price in mids if price is not None]
        beyond_target = [trip.side * (price - trip.target) >= 1e-9 for price in mids if price is not None]
        self.expect(not beyond_stop or not all(beyond_stop), "no stop is missed", (ts_ns, mids, trip))
        self.expect(not beyond_target or not all(beyond_target), "no target is missed", (ts_ns, mids, trip))
        self.expect(ts_ns < trip.due_ns, "no time is missed", (ts_ns, trip))

    def _class(self, trip: Trip) -> int:
        return int(self.rows[trip.primary_id]["class_id"])

    # --- exits --------------------------------------------------------------------------------------------------
    def _judge_exit(self, order: Order) -> None:
        trip = self.trips[order.intent_id]
        working = sum(
            other.lots - self.filled[other.order_id]
            for other in self.live.values()
            if other.listing_id == order.listing_id and other.is_exit
        )
        held = self.held_lots(order.listing_id)
        self.expect(held * order.side < 0 and order.lots + working <= abs(held), "no more than is held", order)
        is_first = order.wave == 0 and order.ts_ns != trip.ts_reason_ns  # a second halving has the first one's reason
        is_new = is_first or trip.reasons[-1:] != [order.reason]
        trip.attempts = order.wave
        if is_new and trip.reasons[-1:] == [ExitReason.VOLATILE]:
            now = {k: abs(self.held_lots(k)) for k in self.groups[trip.group_id]}
            self.seen["halved whole"] += all(now[k] == n - n // 2 for k, n in trip.held_at_halving.items())
        if is_new:
            trip.ts_reason_ns = order.ts_ns
            trip.reasons.append(order.reason)
            trip.held_at_halving = {k: abs(self.held_lots(k)) for k in self.groups[trip.group_id]}
            self._judge_reason(order, trip)
        if order.reason == ExitReason.VOLATILE:
            kept = trip.held_at_halving[order.listing_id] - trip.held_at_halving[order.listing_id] // 2
            self.expect(abs(held) - order.lots >= kept, "half is kept", order)

    def _judge_reason(self, order: Order, trip: Trip) -> None:
        mids = [self.mid(k) for k in self.class_of(order.listing_id) if self.is_quoted(k, order.ts_ns)]
        known = [price for price in mids if price is not None]
        if order.reason == ExitReason.STOP:
            self.expect(any(trip.side * (p - trip.stop) <= 1e-9 for p in known), "stop at its place", (order, trip))
        elif order.reason == ExitReason.TARGET:
            self.expect(
                any(trip.side * (p - trip.target) >= -1e-9 for p in known), "target at its place", (order, trip)
            )
        elif order.reason == ExitReason.TIME:
            self.expect(order.ts_ns >= trip.due_ns, "not before its time", (order, trip))
        elif order.reason == ExitReason.SESSION:
            end_ns = max(self.session_state.get(k, (0, 0))[1] for k in self.groups[trip.group_id])
            margin_ns = round(self.config.sessions.flatten_before_min * 60 * NS_PER_S)
            self.expect(end_ns > 0 and order.ts_ns >= end_ns - margin_ns, "the market closes", order)
        if order.reason != ExitReason.TIME and trip.due_ns:
            blind = [k for k in self.groups[trip.group_id] if self.held_lots(k) and not self.is_quoted(k, order.ts_ns)]
            self.expect(bool(blind) or order.ts_ns <= trip.due_ns + NS_PER_S, "no longer than its time", (order, trip))
