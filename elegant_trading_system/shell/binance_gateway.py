"""Orders to Binance Spot and what it says of them, over its WebSocket API, without a socket.

Fills come twice, in the answer and as events on the same connection, and once more when asked for.
"""

from decimal import Decimal

from .binance_orders import NS_PER_MS, OK, BinanceOrders, Json, Sent, signature_of, symbol_of

__all__ = ["BinanceGateway", "Sent", "signature_of", "symbol_of"]


class BinanceGateway(BinanceOrders):
    """One account's orders on the venue's instruments."""

    response = "FULL"

    def hear_up(self) -> None:
        """A connection is open: hear of our orders and balances on it."""
        super().hear_up()
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
        elif message.get("id") == "subscribe":
            self.is_subscribed = message["status"] == OK
        else:
            self._apply_answer(message)

    def _apply_event(self, event: Json) -> None:
        if event["e"] != "executionReport":
            return
        sent = self._own(event["C"] or event["c"])  # a cancel's report carries the order's own name in C
        if sent is None:
            return
        ts_ns = int(event["T"]) * NS_PER_MS
        if event["x"] == "TRADE":
            self._fill(sent, int(event["t"]), event["L"], event["l"], event["n"], event["N"], ts_ns)
        sent.venue_id = int(event["i"])
        self._settle(sent, event["X"], Decimal(event["z"]), ts_ns)
