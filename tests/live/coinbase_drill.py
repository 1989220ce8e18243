"""The drill of `drill.py` on Coinbase: two market lines, the user channel and REST each lose and delay on their own.

`python -m tests.live.coinbase_drill FIRST [LAST]` runs schedules and prints what became of them.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elegant_trading_system.core.kinds import BookState, CommandKind
from elegant_trading_system.emulator.coinbase import ROOT
from elegant_trading_system.emulator.coinbase_server import passage_of
from elegant_trading_system.emulator.coinbase_streams import Session
from elegant_trading_system.shell.coinbase_auth import Signer
from elegant_trading_system.shell.coinbase_link import REQUEST_S
from elegant_trading_system.shell.coinbase_orders import Request, client_id

from .coinbase_desk import HOST, KEY, SECRET, CoinbaseOutside, CoinbaseVenue
from .drill import LINE_S, Drill, main

USER = 2  # the line behind the two of the market
BACK_S = 0.3


class CoinbaseDrill(Drill):
    symbol, money = "BTC-USD", "USD"
    venue: CoinbaseVenue
    outside: CoinbaseOutside

    def make(self, folder: Path) -> None:
        self.venue = CoinbaseVenue(self.clock)
        self.outside = CoinbaseOutside(self.venue, self.config, folder)
        self.signer = Signer(KEY, SECRET)

    # --- connections ------------------------------------------------------------------------------------------
    def connect_market(self, number: int) -> None:
        feed = self.outside.feed
        self.connect(number, lambda frame: feed.hear(number, frame))
        feed.hear_up(number)

    def connect_orders(self) -> None:
        gateway = self.outside.gateway
        session = self.connect(USER, gateway.hear)
        gateway.hear_up()
        for frame in gateway.subscriptions():
            self.later(LINE_S, lambda frame=frame: self.say(session, frame))  # type: ignore[misc]

    def connect(self, number: int, heard: Callable[[str], None]) -> Session:
        def hear(frame: str) -> None:
            if self._lines.get(str(number)) is session:
                heard(frame)

        def told(frame: str) -> None:
            passage = passage_of(self.faults, frame)
            if passage.is_broken:
                self.later(0.0, lambda: self.hang_up(number, session))
            for delay_s in passage.delays_s:
                self.later(LINE_S + delay_s, lambda: hear(frame))

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
            self.later(BACK_S, lambda: self.connect_market(number))

    def say(self, session: Session, frame: str) -> None:
        if session in self._lines.values():
            self.venue.coinbase.streams.receive(session, frame)

    def fetch(self) -> None:
        """Books come on their lines; what is silent is closed, as the link does."""
        for number in (0, 1, USER):
            is_silent = self.outside.gateway.is_silent() if number == USER else self.outside.feed.is_silent(number)
            if is_silent and (session := self._lines.get(str(number))):
                self.hang_up(number, session)

    # --- what is said and asked ---------------------------------------------------------------------------------
    def carry(self) -> None:
        for number, frame in self.outside.said:
            if session := self._lines.get(str(number)):
                self.later(LINE_S, lambda session=session, frame=frame: self.say(session, frame))  # type: ignore[misc]
        for request in self.outside.asked:
            token = self.signer.rest(request.method, HOST, ROOT.rstrip("/") + request.path, self.clock() / 1e9)
            delay_s = LINE_S + self.faults.request_delay_s()
            self.later(delay_s, lambda request=request, token=token: self.request(request, token))  # type: ignore[misc]
        self.outside.said.clear()
        self.outside.asked.clear()

    def request(self, request: Request, token: str) -> None:
        """Executed by the venue; its answer may be lost, or be another."""
        gateway, is_order = self.outside.gateway, request.method == "POST"
        if is_order and self.faults.happens("reject"):
            self.later(LINE_S, lambda: gateway.hear_answer(request.id, 429, b'{"errors":[]}'))
            return
        path, _, query = (ROOT.rstrip("/") + request.path).partition("?")
        headers = {"Authorization": f"Bearer {token}", "Host": HOST}
        reply = self.venue.coinbase.http(request.method, path, query, request.body, headers)
        if self.faults.happens("lost-answer"):
            self.later(REQUEST_S, lambda: gateway.hear_failure(request.id))
        elif self.faults.happens("unclear-answer"):
            self.later(LINE_S, lambda: gateway.hear_answer(request.id, 503, b"upstream connect error"))
        else:
            self.later(LINE_S, lambda: gateway.hear_answer(request.id, reply.status, reply.body))

    def decided(self, command: Any) -> None:
        """What the core sends, looked at before it leaves."""
        if int(command["kind"]) == CommandKind.SEND:
            name = client_id("e1", int(command["order_id"]))
            state = BookState(int(self.outside.sequencer.market[0]["books"][0]["state"]))
            if name in self.sent:
                self.problems.append(f"{name} was decided twice")
            if not command["is_reduce_only"] and not (self.outside.listing.is_live and state is BookState.LIVE):
                self.problems.append(f"{name} enters on a book that is {state.name}")
            self.sent[name] = command.copy()
        self.outside.gateway.command(command)


if __name__ == "__main__":
    begin = int(sys.argv[1])
    end = int(sys.argv[2]) if len(sys.argv) > 2 else begin + 1
    sys.exit(bool(main(begin, end, CoinbaseDrill)))
