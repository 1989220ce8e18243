"""The drill of `drill.py` with perpetuals: orders, the user stream and REST each lose and delay on their own; funding is due.

`python -m tests.live.futures_drill FIRST [LAST]` runs schedules and prints what became of them.
"""

import sys
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from elegant_trading_system.emulator.binance.streams import MarketSession
from elegant_trading_system.emulator.binance.venue import Reply
from elegant_trading_system.shell.budget import Use

from .desk import BTC
from .drill import LINE_S, Drill, main
from .futures_desk import FuturesOutside, FuturesVenue

FUNDING_EVERY_MS, INCOME_MS = 700, 10_000.0
INCOME_WEIGHT = 30  # the dearest of what is asked over REST


class FuturesDrill(Drill):
    market_path = "/public/stream"
    snapshot_weight = 20
    venue: FuturesVenue
    outside: FuturesOutside

    def make(self, folder: Path) -> None:
        """Funding is due so often that some of it is lost."""
        self.venue = FuturesVenue(self.clock)
        self.venue.exchange.funding_ms = FUNDING_EVERY_MS
        self.tighten()
        self.outside = FuturesOutside(self.venue, self.config, folder)

    def held_atoms(self) -> tuple[int, int]:
        amount = self.venue.account.position(BTC).amount
        ours = int(self.outside.sequencer.trader["inventory"][0]["held_atoms"])
        return ours, int(amount * 10 ** self.outside.universe.decimals["BTC"])

    def connect_orders(self) -> None:
        super().connect_orders()
        if "user" not in self._lines:
            self._lines["user"] = None
            self.connect_user()
            self.every(INCOME_MS, self.outside.gateway.ask_income)

    def connect_user(self) -> None:
        if self.faults.is_closed():
            self.later(0.4, self.connect_user)
            return
        key, gateway = self.outside.gateway.listen_key, self.outside.gateway
        method = key.due(self.outside.now_ms())
        if method:
            assert key.hear(method, *self.venue.signed(method, "v1/listenKey", {}), self.outside.now_ms())

        def hear(frame: str) -> None:
            if self._lines.get("user") is session:
                gateway.hear_event(frame)

        def told(frame: str) -> None:
            passage, _ = self.faults.answer(frame)
            if passage.is_broken:
                self.later(0.0, lambda: self.break_user(session))
            for delay_s in passage.delays_s:
                self.later(LINE_S + delay_s, lambda: hear(frame))

        session = self.venue.streams.open_market(told, "/private/ws", "", key.name)
        self._lines["user"] = session
        gateway.hear_user_up()
        self.carry()

    def break_user(self, session: MarketSession) -> None:
        if self._lines.get("user") is session:
            self._lines["user"] = None
            self.venue.streams.close(session)
            self.outside.gateway.hear_user_down()
            self.later(0.4, self.connect_user)

    def carry(self) -> None:
        while self.outside.requests and self.outside.gateway.banned_s == 0:
            self.watch.asked()
            request = self.outside.requests.pop(0)
            self.later(LINE_S + self.faults.request_delay_s(), partial(self.request, *request))

    def request(self, name: str, method: str, path: str, params: Any) -> None:
        if not self.outside.gateway.budget.take(Use.NEEDED, REQUEST_WEIGHT=INCOME_WEIGHT):
            return
        http = partial(self.faults.rest, self.venue.binance.http)
        reply = self.venue.asked(http, method, path, params)
        passage, _ = self.faults.answer('{"clientOrderId":0,"id":0}')
        if passage.delays_s:
            self.later(LINE_S + passage.delays_s[0], partial(self.replied, name, reply))

    def replied(self, name: str, reply: Reply) -> None:
        """As the link does."""
        if "Retry-After" in reply.headers:
            self.watch.banned(float(reply.headers["Retry-After"]))
            self.outside.gateway.hold_back(int(reply.headers["Retry-After"]) * 1000)
        self.outside.gateway.hear_reply(name, reply.status, reply.body)

    def check_money(self) -> None:
        """Wallet less open cost is exact on both sides; each alone rounds while a position is half closed."""
        trader, position = self.outside.sequencer.trader, self.venue.account.position(BTC)
        inventory = trader["inventory"][0]
        held = Decimal(int(inventory["held_atoms"])).scaleb(-self.outside.universe.decimals["BTC"])
        if held != position.amount:
            self.watch.fail(f"position: ours {held}, the venue's {position.amount}")
        ours = self.outside.balance() - int(inventory["open_cost"]) * BTC.tick * BTC.lot
        if ours != self.venue.wallet - position.cost:
            self.watch.fail(f"money: ours {ours}, the venue's {self.venue.wallet - position.cost}")
        paid = sum((row.amount for row in self.venue.account.income), Decimal(0))
        funding = Decimal(int(trader["funding_atoms"].sum())).scaleb(-self.outside.universe.decimals["USDT"])
        if funding != paid:
            self.watch.fail(f"funding: ours {funding}, the venue's {paid}")


if __name__ == "__main__":
    begin = int(sys.argv[1])
    end = int(sys.argv[2]) if len(sys.argv) > 2 else begin + 1
    sys.exit(bool(main(begin, end, FuturesDrill)))
