"""Orders to Coinbase Advanced Trade: REST to place and to ask, the user channel to hear; without a socket.

An order is known to the venue by a UUID made of the session's epoch and our own number: it is never used again. The
user channel tells cumulative quantities only, so it says that something was filled and when it is over; the fills
themselves, with price and fee, are asked for and count once, by trade id. An answer that leaves open whether the order
exists changes nothing: the core will ask. Nothing is ever sent twice.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_UP

import msgspec

from ...core.kinds import CommandKind, Kind, RejectReason
from ...data.tape import ListingSpec
from ..budget import Budget, Limit, Use
from ..command import Command
from ..orders import ABSENCE_MS, OrdersSent
from ..sequencer import Sequencer
from .auth import Signer
from .clock import VenueClock
from .orders import (
    NUMBER_MAX,
    Figures,
    Fill,
    Json,
    Request,
    Sent,
    client_id,
    cursor_of,
    figures_of,
    fill_of,
    is_clear,
    page_behind,
    symbol_of,
    venue_id_of,
)

FINAL = ("FILLED", "CANCELLED", "EXPIRED", "FAILED")
ROOT = "/orders"
CLOCK_MS = 60_000  # orders are looked for from so long before they were sent: the venue's clock is another
SILENT_MS = 5000  # heartbeats come every second
AGAIN_MS = 500  # between questions about fills that the venue has announced and does not list yet
PAGE = 100
OK, UNAUTHORIZED, TOO_MANY = 200, 401, 429
LIMITS = (Limit("PRIVATE", 1000, 30), Limit("PUBLIC", 1000, 10))  # requests a second by key, and by address
BAN_MS, BAN_MAX_MS = 1000, 60_000  # the venue counts requests by the second and does not say how long it is angry
OWN_NUMBER = re.compile("[0-9a-f]{12}$")
UNCLEAR_STATUSES = (408, 409, 425, 499)  # of the 4xx; the others mean that nothing was done
BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError, AttributeError)
UNREADABLE = (*BROKEN, ValueError, ArithmeticError)


class CoinbaseGateway(OrdersSent[Sent]):
    """One account's orders on the venue's products."""

    order_type = Sent

    def __init__(
        self,
        sequencer: Sequencer,
        specs: dict[int, ListingSpec],
        api_key: str,
        secret: str,
        epoch: str,
        send: Callable[[Request], None],
        now_ms: Callable[[], int],
        budget: Budget | None = None,
    ) -> None:
        """`budget` is shared with everything else that uses the key."""
        super().__init__(sequencer, specs, epoch, now_ms)
        self.budget = budget or Budget(LIMITS, now_ms)
        self.is_subscribed = False
        self.clock = VenueClock()
        self._ban_ms = 0  # how long the last one was
        self._key = api_key, secret
        self._send = send
        self._next = 0  # number of the frame that is due on the user connection
        self._is_up, self._ts_heard_ms = False, 0  # of that connection
        self._again: dict[int, int] = {}  # order -> when to ask for its fills again

    @property
    def offset_ms(self) -> int:
        """The venue's clock less ours."""
        return self.clock.offset_ms

    # --- asking -----------------------------------------------------------------------------------------------
    def subscriptions(self) -> list[str]:
        """What is to be said first on the user connection."""
        token = Signer(*self._key).socket((self._now_ms() + self.offset_ms) / 1000)
        requests: list[Json] = [{"channel": "heartbeats"}, {"channel": "user", "jwt": token}]
        return [msgspec.json.encode({"type": "subscribe"} | request).decode() for request in requests]

    def hear_up(self) -> None:
        """The user connection is open; it counts once the channel has spoken."""
        self._next, self._is_up, self._ts_heard_ms = 0, True, self._now_ms()

    def hear_down(self) -> None:
        """It is gone. What it would have told is asked for when it is back."""
        self.is_subscribed = self._is_up = False

    def is_silent(self) -> bool:
        """Open, but for too long nothing comes, or the channel does not: better closed."""
        return self._is_up and self._now_ms() - self._ts_heard_ms > SILENT_MS

    def check_unsent(self) -> None:
        """Orders that never left are refused by us, not inside the step that decided them; late fills are asked for."""
        self._refuse_unsent()
        now_ms = self._now_ms()
        for order_id in [order_id for order_id, due_ms in self._again.items() if due_ms <= now_ms]:
            del self._again[order_id]
            if order_id in self.orders:
                self._ask_fills(self.orders[order_id])

    def command(self, command: Command) -> None:
        """What the core has decided leaves for the venue."""
        if command.kind == CommandKind.QUERY:
            self._query(self.orders[command.order_id])
            return
        sent = self._note(command)
        if self.is_subscribed:
            self._place(sent, command)
        else:
            self._keep_back(sent)

    def _place(self, sent: Sent, command: Command) -> None:
        spec = self.specs[sent.listing_id]
        size, price = f"{sent.lots * spec.lot_size:f}", f"{command.price_ticks * spec.tick_size:f}"
        body = {
            "client_order_id": sent.name,
            "product_id": symbol_of(spec),
            "side": "BUY" if sent.side > 0 else "SELL",
            "order_configuration": {"sor_limit_ioc": {"base_size": size, "limit_price": price}},
        }
        use = Use.NEEDED if command.is_reduce_only else Use.ENTRY
        if not self._ask(Request(f"place {sent.order_id}", "POST", ROOT, msgspec.json.encode(body).decode()), use):
            self._keep_back(sent, RejectReason.RATE)

    def _ask(self, request: Request, use: Use = Use.NEEDED) -> bool:
        """Now or not at all: what the limits leave no room for is asked again when the core asks."""
        if not self.budget.take(use, PRIVATE=1):
            self.counts["held_back"] += 1
            return False
        self._send(request)
        return True

    @property
    def banned_s(self) -> float:
        """How much longer nothing may be asked."""
        return self.budget.wait_s

    def _hold_back(self) -> None:
        """Too many requests: ask nothing for a second, for longer each time that was not enough."""
        if self.banned_s == 0:
            self.counts["bans"] += 1
            self._ban_ms = min(max(2 * self._ban_ms, BAN_MS), BAN_MAX_MS)
            self.budget.hold_back(self._ban_ms)

    @staticmethod
    def client_id(epoch: str, order_id: int) -> str:
        return client_id(epoch, order_id)

    def _order_of(self, name: str) -> Sent | None:
        number = OWN_NUMBER.search(name)
        sent = self.orders.get(int(number[0], 16)) if number else None
        return sent if sent is not None and sent.name == name else None

    def _query(self, sent: Sent) -> None:
        if sent.venue_id:
            self._ask(Request(f"status {sent.order_id}", "GET", f"{ROOT}/historical/{sent.venue_id}"))
        else:  # the venue finds nothing by our name: all orders since are looked through
            sent.ts_listed_ms = self._now_ms()
            self._list(sent, "")

    def _list(self, sent: Sent, cursor: str) -> None:
        since = datetime.fromtimestamp((sent.ts_ms + self.offset_ms - CLOCK_MS) // 1000, UTC)
        query = f"product_ids={symbol_of(self.specs[sent.listing_id])}&start_date={since:%Y-%m-%dT%H:%M:%S}Z"
        path = f"{ROOT}/historical/batch?{query}&limit={PAGE}{page_behind(cursor)}"
        self._ask(Request(f"list {sent.order_id}", "GET", path))

    def _ask_fills(self, sent: Sent, cursor: str = "") -> None:
        sent.is_asking = True
        path = f"{ROOT}/historical/fills?order_ids={sent.venue_id}&limit={PAGE}{page_behind(cursor)}"
        if not self._ask(Request(f"fills {sent.order_id}", "GET", path)):
            self._ask_again(sent)

    def _ask_about_all(self) -> None:
        """Something may have been told that we have not heard."""
        for sent in self.orders.values():
            if sent.venue_id and not sent.is_done:
                self._query(sent)

    # --- hearing answers ----------------------------------------------------------------------------------------
    def hear_answer(self, request_id: str, status: int, body: str | bytes) -> None:
        """What came back for a request; what cannot be read says nothing about the order."""
        self._hear_status(status)
        what, _, number = request_id.partition(" ")
        sent = self.orders.get(int(number))
        if sent is None:
            return
        try:
            if what == "place":
                self._apply_placed(sent, status, body)
            elif status != OK:
                self._apply_failed(what, sent)
            else:
                self._apply_told(what, sent, msgspec.json.decode(body))
        except UNREADABLE:
            self.counts["refused"] += 1
            self._apply_failed(what, sent)

    def _hear_status(self, status: int) -> None:
        """What concerns all requests, whichever it answers."""
        if status == TOO_MANY:
            self._hold_back()
        elif status == UNAUTHORIZED:
            self.clock.doubt()
        elif self.banned_s == 0:
            self._ban_ms = 0

    def hear_failure(self, request_id: str) -> None:
        """No answer in time, or none at all: the request may have been executed."""
        what, _, number = request_id.partition(" ")
        sent = self.orders.get(int(number))
        if sent is not None:
            self._apply_failed(what, sent)

    def _apply_failed(self, what: str, sent: Sent) -> None:
        self.counts["unclear"] += 1
        if what == "fills":
            self._ask_again(sent)

    def _apply_placed(self, sent: Sent, status: int, body: str | bytes) -> None:
        """A clear no ends the order; an unclear one leaves it to be asked about."""
        if 400 <= status < 500 and status not in UNCLEAR_STATUSES:
            self._refuse(sent)
            return
        if status != OK:
            self.counts["unclear"] += 1
            return
        answer = msgspec.json.decode(body)
        if answer["success"] is True:
            self._acknowledge(sent, venue_id_of(answer["success_response"]))
        elif answer["success"] is False and is_clear(answer["error_response"]):
            self._refuse(sent)
        else:
            self.counts["unclear"] += 1

    def _refuse(self, sent: Sent) -> None:
        """Unless we know better: then it is no news about this order."""
        if sent.is_done or sent.venue_id:
            self.counts["contradicted"] += 1
        else:
            self._end(sent, Kind.REJECTED, RejectReason.VENUE)

    def _apply_told(self, what: str, sent: Sent, answer: Json) -> None:
        if what == "fills":
            self._apply_fills(sent, answer)
        elif what == "status":
            self._apply_order(answer["order"], "filled_size")
        else:
            orders = [order for order in answer["orders"] if order["client_order_id"] == sent.name]
            if orders:
                self._apply_order(orders[0], "filled_size")
            elif answer["has_next"] and (cursor := cursor_of(answer)):
                self._list(sent, cursor)
            elif sent.ts_listed_ms - sent.ts_ms > ABSENCE_MS:
                self._refuse(sent)
            else:
                self.counts["unclear"] += 1

    # --- hearing the user channel -------------------------------------------------------------------------------
    def hear(self, frame: str | bytes) -> None:
        """One frame of the user connection; what cannot be read is counted, and shows as a hole."""
        try:
            message = msgspec.json.decode(frame)
            if message.get("type") == "error":
                self.counts["complaints"] += 1
                return
            number, channel, events = int(message["sequence_num"]), message["channel"], message["events"]
            is_ours = channel == "user" or (channel == "subscriptions" and "user" in events[0]["subscriptions"])
            orders = [order for event in events for order in event["orders"]] if channel == "user" else []
            told = [self._figures_of(order, "cumulative_quantity") for order in orders]
        except UNREADABLE:
            self.counts["refused"] += 1
            return
        if number < self._next:
            self.counts["repeated"] += 1
            return
        is_first, has_hole = is_ours and not self.is_subscribed, number > self._next
        self.is_subscribed, self._next = self.is_subscribed or is_ours, number + 1
        self._ts_heard_ms = self._now_ms() if self.is_subscribed else self._ts_heard_ms
        self.counts["holes"] += has_hole
        for figures in told:
            self._apply_figures(figures)
        if is_first or has_hole:
            self._ask_about_all()

    def _apply_order(self, order: Json, filled: str) -> None:
        self._apply_figures(self._figures_of(order, filled))

    def _figures_of(self, order: Json, filled: str) -> Figures:
        """ValueError and its kin for what cannot be: more than was ordered is never filled."""
        told = figures_of(order, filled)
        sent = self._order_of(told.client_id)
        if sent is not None and told.filled > sent.lots * self.specs[sent.listing_id].lot_size:
            raise ValueError(told.filled)
        return told

    def _apply_figures(self, told: Figures) -> None:
        sent = self._order_of(told.client_id)
        if sent is None:
            self.counts["foreign"] += 1
            return
        if sent.is_done:
            return
        sent.venue_id = told.venue_id
        sent.announced = max(sent.announced, told.filled)
        if told.status in FINAL:
            sent.status = told.status
        if sent.announced > sent.filled:
            if not sent.is_asking:
                self._ask_fills(sent)
        else:
            self._acknowledge(sent, told.venue_id)
            self._end_if_over(sent)

    # --- what it means ------------------------------------------------------------------------------------------
    def _acknowledge(self, sent: Sent, venue_id: str) -> None:
        if sent.is_done:
            self.counts["late"] += not sent.venue_id
            return
        sent.venue_id = venue_id
        if not sent.status:
            self._accept(sent)

    def _apply_fills(self, sent: Sent, answer: Json) -> None:
        """All rows are read before the first counts."""
        rows = [fill_of(row) for row in answer["fills"] if row["order_id"] == sent.venue_id]
        cursor = cursor_of(answer)
        self._check_fills(sent, rows)
        for fill in rows[::-1]:  # the latest stands first
            self._fill(sent, fill)
        if cursor and len(answer["fills"]) >= PAGE:
            self._ask_fills(sent, cursor)
        elif sent.filled < sent.announced and not sent.is_done:
            self._ask_again(sent)
        else:
            sent.is_asking = False
            self._end_if_over(sent)

    def _check_fills(self, sent: Sent, rows: list[Fill]) -> None:
        """ValueError for what cannot be: more than was ordered, something for nothing, numbers beyond all ledgers."""
        spec, new = self.specs[sent.listing_id], {row.trade_id: row for row in rows if row.trade_id not in sent.trades}
        filled = sent.filled + sum(row.size for row in new.values())
        atoms = (sent.fees + sum(row.fee for row in new.values())) * 10 ** self.sequencer.universe.decimals[spec.quote]
        lowest = min((row.price for row in new.values()), default=spec.tick_size)
        dearest = max((row.price for row in new.values()), default=spec.tick_size)
        is_possible = lowest >= spec.tick_size and dearest / spec.tick_size * sent.lots <= NUMBER_MAX >= atoms
        if filled > sent.lots * spec.lot_size or not is_possible:
            raise ValueError("no fills of this order")

    def _ask_again(self, sent: Sent) -> None:
        if not sent.is_done:
            self._again[sent.order_id] = self._now_ms() + AGAIN_MS

    def _fill(self, sent: Sent, fill: Fill) -> None:
        """Counts in whole lots: what is finer is carried to the order's next fill."""
        if fill.trade_id in sent.trades or sent.is_done:
            self.counts["repeated_fills"] += 1
            return
        sent.trades.add(fill.trade_id)
        spec, universe = self.specs[sent.listing_id], self.sequencer.universe
        sent.filled, sent.fees = sent.filled + fill.size, sent.fees + fill.fee
        ticks, lots = int(fill.price / spec.tick_size), int(sent.filled / spec.lot_size) - sent.listed_lots
        if lots == 0:
            self.counts["parts_of_lots"] += 1
            return
        fee_atoms = int((sent.fees * 10 ** universe.decimals[spec.quote]).to_integral_value(ROUND_UP))
        atoms, sent.fee_atoms = sent.fee_atoms - fee_atoms, fee_atoms
        sent.listed_lots += lots
        asset_id = universe.assets.index(spec.quote)
        self._hear_fill(sent, ticks, lots, atoms, asset_id)

    def _end_if_over(self, sent: Sent) -> None:
        """Every fill is known. What an end is called matters less than whether anything was filled."""
        if sent.status and not sent.is_done:
            is_refused = sent.status == "FAILED" and sent.filled_lots == 0
            reason = RejectReason.VENUE if is_refused else RejectReason.NONE
            self._end(sent, Kind.REJECTED if is_refused else Kind.EXPIRED, reason)

    def _end(self, sent: Sent, kind: Kind, reason: RejectReason, ts_ns: int = 0) -> None:
        self._again.pop(sent.order_id, None)
        super()._end(sent, kind, reason, ts_ns)
