"""The drill of `drill.py` on Coinbase: two market lines, the user channel and REST each lose and delay on their own.

`python -m tests.live.coinbase_drill FIRST [LAST]` runs schedules and prints what became of them.
"""

import sys
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from elegant_trading_system.emulator.coinbase.streams import Session
from elegant_trading_system.emulator.coinbase.trouble import Trouble
from elegant_trading_system.emulator.coinbase.venue import ROOT
from elegant_trading_system.shell.coinbase.auth import Signer
from elegant_trading_system.shell.coinbase.link import REQUEST_S
from elegant_trading_system.shell.coinbase.orders import Request

from .coinbase_desk import HOST, KEY, SECRET, CoinbaseOutside, CoinbaseVenue
from .coinbase_watch import CoinbaseWatch
from .drill import LINE_S, Drill, main

USER = 2  # the line behind the two of the market
BACK_S = 0.3


class CoinbaseDrill(Drill):
    watch_type = CoinbaseWatch
    company = {  # noqa: RUF012 - declared as ClassVar above
        "old-snapshot": {"drop": 0.02},
        "stall": {"reject": 0.4},
        "ban": {"lost-answer": 0.5, "lost-report": 0.4},
    }
    venue: CoinbaseVenue
    outside: CoinbaseOutside

    def make(self, folder: Path) -> None:
        self.venue = CoinbaseVenue(self.clock)
        self.outside = CoinbaseOutside(self.venue, self.config, folder)
        self.trouble = Trouble(self.venue.coinbase, self.faults)
        self.signer = Signer(KEY, SECRET)

    # --- connections ------------------------------------------------------------------------------------------
    def connect_market(self, number: int) -> None:
        if self.faults.is_closed():
            self.later(BACK_S, partial(self.connect_market, number))
            return

        def heard(frame: str) -> None:
            self.watch.heard(frame)
            self.outside.feed.hear(number, frame)

        self.connect(number, heard, LINE_S)
        self.outside.feed.hear_up(number)

    def connect_orders(self) -> None:
        if self.faults.is_closed():
            self.later(BACK_S, self.connect_orders)
            return
        gateway = self.outside.gateway

        def heard(frame: str) -> None:
            gateway.hear(frame)
            self.watch.look("a report")

        session = self.connect(USER, heard, self.line_s)
        gateway.hear_up()
        for frame in gateway.subscriptions():
            self.later(LINE_S, partial(self.say, session, frame))

    def connect(self, number: int, heard: Callable[[str], None], line_s: float) -> Session:
        def hear(frame: str) -> None:
            if self._lines.get(str(number)) is session:
                heard(frame)

        def told(frame: str) -> None:
            passage, frame = self.trouble.passage(frame, number)
            if passage.is_broken:
                self.later(0.0, lambda: self.hang_up(number, session))
            for delay_s in passage.delays_s:
                self.later(line_s + delay_s, partial(hear, frame))

        session = self.venue.coinbase.streams.open(told, lambda: self.hang_up(number, session))
        self._lines[str(number)] = session
        return session

    def hang_up(self, number: int, session: Session) -> None:
        if self._lines.get(str(number)) is not session:
            return
        self._lines[str(number)] = None
        self.venue.coinbase.streams.close(session)
        if number == USER:
            self.outside.gateway.hear_down()
            self.later(BACK_S, self.connect_orders)
        else:
            self.outside.feed.hear_down(number)
            self.later(BACK_S, partial(self.connect_market, number))

    def say(self, session: Session, frame: str) -> None:
        if session in self._lines.values():
            self.venue.coinbase.streams.receive(session, frame)
            self.watch.remember_book()  # it may have been told

    # --- as the link does ---------------------------------------------------------------------------------------
    def beat(self) -> None:
        super().beat()
        self.close_silent()
        self.read_clock()

    def close_silent(self) -> None:
        for number in (0, 1, USER):
            is_silent = self.outside.gateway.is_silent() if number == USER else self.outside.feed.is_silent(number)
            if is_silent and (session := self._lines.get(str(number))):
                self.hang_up(number, session)

    def read_clock(self) -> None:
        gateway, asked_ms = self.outside.gateway, self.outside.now_ms()
        if gateway.banned_s > 0 or not gateway.clock.is_due(asked_ms):
            return
        reply = self.trouble.http("GET", f"{ROOT}time", "", "", {})
        if reply is not None and reply.status == 200:
            venue_ms = int(msgspec.json.decode(reply.body)["epochMillis"])
            self.later(2 * LINE_S, lambda: gateway.clock.hear(asked_ms, self.outside.now_ms(), venue_ms))

    def fetch(self) -> None:
        """A snapshot comes on a connection that has subscribed anew."""

    def carry(self) -> None:
        for number, frame in self.outside.said:
            if session := self._lines.get(str(number)):
                self.later(LINE_S, partial(self.say, session, frame))
        self.outside.said.clear()

    # --- what is asked ------------------------------------------------------------------------------------------
    def leave(self, request: Any) -> None:
        """Signed when it leaves; executed by the venue when it is there."""
        self.watch.asked()
        venue_s = self.clock() / 1e9 + self.outside.gateway.offset_ms / 1000
        token = self.signer.rest(request.method, HOST, ROOT.rstrip("/") + request.path, venue_s)
        delay_s = self.line_s + (self.faults.request_delay_s() if request.method == "POST" else 0.0)
        self.later(delay_s, partial(self.request, request, token))

    def request(self, request: Request, token: str) -> None:
        path, _, query = (ROOT.rstrip("/") + request.path).partition("?")
        headers = {"Authorization": f"Bearer {token}", "Host": HOST}
        reply = self.trouble.http(request.method, path, query, request.body, headers)
        self.watch.look("an order's arrival")
        if reply is None:
            self.later(REQUEST_S, partial(self.outside.gateway.hear_failure, request.id))
        else:
            self.later(self.line_s, partial(self.answer, request, reply.status, reply.body))

    def answer(self, request: Request, status: int, body: bytes) -> None:
        if status == 429:
            self.watch.banned(1.0)
        self.outside.gateway.hear_answer(request.id, status, body)
        self.watch.look("an answer")

    def check_money(self) -> None:
        super().check_money()
        held = sum((balance.locked for balance in self.venue.account.balances.values()), Decimal(0))
        if held:
            self.watch.fail(f"{held} are still locked at the venue")


if __name__ == "__main__":
    begin = int(sys.argv[1])
    end = int(sys.argv[2]) if len(sys.argv) > 2 else begin + 1
    sys.exit(bool(main(begin, end, CoinbaseDrill)))
