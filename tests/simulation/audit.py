"""A second reading of the rules: every order of a run is judged at the moment it was sent."""

import math
from collections import Counter, defaultdict
from typing import Any

from elegant_trading_system.config import Config
from elegant_trading_system.core.exits import PANIC_WAVE
from elegant_trading_system.core.kinds import (
    PRIVATE_FIRST,
    CommandKind,
    ExitReason,
    ListingKind,
    SessionState,
    Verdict,
)
from elegant_trading_system.sim import replay
from elegant_trading_system.sim.session import Session

from ..builders import Array
from .retold import BPS, NS_PER_S, ROWS, Order, Retold, Trip

ATOM_SLACK = 1e-9


class Audit(Retold):
    """Feed it a finished session; `problems` is what broke a rule, `seen` counts what was looked at."""

    def __init__(self, session: Session, config: Config, packets: Array, levels: Array, k: int = 0) -> None:
        super().__init__(session, config, int(packets["ts_local_ns"][0]), k)
        self.problems: list[str] = []
        self.seen: Counter[str] = Counter()
        log = session.logs[k]
        self.evaluations = {
            (int(row["ts_ns"]), int(row["group_id"])): row
            for row in log.joined("evaluations")
            if row["verdict"] == Verdict.APPROVED
        }
        self.sent_in_second: Counter[int] = Counter()
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
