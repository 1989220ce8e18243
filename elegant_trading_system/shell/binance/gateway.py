"""Orders to Binance Spot and what it says of them, over its WebSocket API, without a socket.

Fills come twice, in the answer and as events on the same connection, and once more when asked for.
"""

from types import MappingProxyType

from ..budget import Limit
from ..orders import NS_PER_MS
from .fills import Fill, Sent, executed_of, within
from .orders import OK, STAMP_MAX_MS, BinanceOrders, Json, signature_of, symbol_of

__all__ = ["BinanceGateway", "Sent", "signature_of", "symbol_of"]


class BinanceGateway(BinanceOrders):
    """One account's orders on the venue's instruments."""

    response = "FULL"
    limits = (
        Limit("REQUEST_WEIGHT", 60_000, 6000),
        Limit("ORDERS", 10_000, 50),
        Limit("ORDERS", 86_400_000, 160_000),
        Limit("RAW_REQUESTS", 300_000, 300_000),
    )
    weights = MappingProxyType(
        {"connect": 2, "order.place": 1, "order.status": 4, "myTrades": 20, "userDataStream.subscribe.signature": 2}
    )

    def hear_up(self) -> None:
        """A connection is open: hear of our orders and balances on it."""
        super().hear_up()

    def check_session(self) -> None:
        super().check_session()
        if not self.is_subscribed and self._is_due("subscribe"):
            self._ask("subscribe", "userDataStream.subscribe.signature", {})

    def hear_down(self) -> None:
        super().hear_down()
        self.is_subscribed = False

    def _ask_fills(self, sent: Sent) -> None:
        params = {"symbol": symbol_of(self.specs[sent.listing_id]), "orderId": sent.venue_id}
        self._ask(f"trades {sent.order_id}", "myTrades", params)

    def _apply_message(self, message: Json) -> None:
        if "event" in message:
            self._apply_event(message["event"])
        elif message.get("id") == "subscribe" and message["status"] == OK:
            self.is_subscribed = True
            self.counts["subscribed"] += 1
        else:
            self._apply_answer(message)

    def _apply_event(self, event: Json) -> None:
        if event["e"] != "executionReport":
            self.counts["ignored"] += 1
            return
        sent = self._own(event["C"] or event["c"])  # a cancel's report carries the order's own name in C
        if sent is None:
            return
        ts_ms, venue_id, executed = within(event["T"], STAMP_MAX_MS), int(event["i"]), executed_of(event["z"])
        status, fills = str(event["X"]), list[Fill]()
        if event["x"] == "TRADE":
            row = event["t"], event["L"], event["l"], event["n"], event["N"]
            fills = self._read_fills(sent, [row], ts_ms * NS_PER_MS)
        self._apply_fills(sent, fills)
        sent.venue_id = venue_id
        self._settle(sent, status, executed, ts_ms * NS_PER_MS)
