"""What is fuzzed of Coinbase: its feed, over two connections that each number what they bring, and its gateway."""

import random
from functools import partial
from pathlib import Path
from typing import Any

from elegant_trading_system.core.kinds import BookState, Side
from elegant_trading_system.emulator.coinbase.venue import ROOT
from elegant_trading_system.emulator.orders import FINAL
from elegant_trading_system.shell.coinbase.auth import Signer
from elegant_trading_system.shell.coinbase.orders import Request, Sent

from ..builders import loose
from .coinbase_desk import BTC, HOST, KEY, SECRET, CoinbaseOutside, CoinbaseVenue
from .desk import Clock
from .fuzz_subject import Frame, Subject, check_rows, told_lots

SYMBOL = "BTC-USD"
TRIES, FRAMES, LINES = 300, 20, (0, 1)


class CoinbaseFeedSubject(Subject):
    """Genuine traffic goes on in between; whoever has lost the thread subscribes anew."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.chance = chance
        self.venue = CoinbaseVenue(Clock())
        self.outside = CoinbaseOutside(self.venue, loose(), folder)
        self.adapter = self.feed = self.outside.feed
        self.before: list[bytes] = []
        self.coming: list[tuple[int, str]] = []
        self._connect()
        self.settle(is_dirty=False)

    def _connect(self) -> None:
        self.coming.clear()
        for line in LINES:
            self._reconnect(line)

    def _reconnect(self, line: int) -> None:
        if line in self.outside.sessions:
            self.outside.hang_up(line)
        self.coming = [one for one in self.coming if one[0] != line]
        self.outside.sessions[line] = self.outside.coinbase.streams.open(partial(self._told, line))
        self.feed.hear_up(line)
        self.outside.carry()

    def _told(self, line: int, frame: str) -> None:
        self.coming.append((line, frame))

    def genuine(self) -> list[bytes]:
        return [*self.before, *(frame.encode() for _, frame in self.coming)] or [b"{}"]

    def hear(self, frame: Frame) -> None:
        self.feed.hear(self.chance.choice(LINES), frame)
        self.feed.check_holes(self.venue.clock())

    def told(self) -> int:
        return self.outside.journal.count

    def counted(self) -> int:
        return super().counted() - self.feed.counts["frames"]

    def state(self) -> Any:
        lines = [(line.next, len(line.books), line.is_silent) for line in self.feed.connections.values()]
        [listing] = self.feed.listings.values()
        return lines, listing.leader, listing.is_live, len(listing.trades)

    def check(self) -> None:
        check_rows(self.outside.journal)

    def may_tell(self, message: Any) -> bool:
        """Whatever has a number may show a hole, which is told."""
        return isinstance(message, dict) and isinstance(message.get("sequence_num"), int)

    def settle(self, *, is_dirty: bool) -> None:
        for n in range(TRIES):
            self._deliver()
            if n and self._is_there(is_dirty=is_dirty):
                break
        else:
            raise AssertionError(f"the feed has not found back: {dict(self.feed.counts)}")
        if is_dirty:  # levels that were believed stay until the venue speaks of them: begin anew
            self._connect()
            for _ in range(5):
                self._deliver()
        assert self.outside.book() == self.venue.exchange.books[SYMBOL].sides
        self._shake()
        self.feed.check_holes(self.venue.clock())

    def _is_there(self, *, is_dirty: bool) -> bool:
        state = int(self.outside.sequencer.market[0]["books"][0]["state"])
        is_same = is_dirty or self.outside.book() == self.venue.exchange.books[SYMBOL].sides
        return state == BookState.LIVE and is_same

    def _shake(self) -> None:
        chance = self.chance
        self.venue.depth(
            [(600_000 - chance.randrange(12), chance.randrange(1, 5) * 10)],
            [(600_001 + chance.randrange(12), chance.randrange(1, 5) * 10)],
        )
        if chance.random() < 0.5:
            self.venue.trade(600_000, chance.randrange(1, 9), chance.choice([Side.BUY, Side.SELL]))
        self.venue.clock.pass_ms(100)
        self.venue.flush()

    def _deliver(self) -> None:
        self._shake()
        while self.coming:
            line, frame = self.coming.pop(0)
            self.feed.hear(line, frame)
            self.before = [*self.before, frame.encode()][-FRAMES:]
        self.feed.check_holes(self.venue.clock())
        self.outside.carry()
        for line in LINES:
            if self.feed.is_silent(line):  # as the link does
                self._reconnect(line)

    def close(self) -> None:
        self.outside.journal.close()


class CoinbaseGatewaySubject(Subject):
    """CoinbaseGateway with two orders on their way: answers over REST, and the user channel."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.chance = chance
        self.venue = CoinbaseVenue(Clock(), USD="100000", BTC="10")
        self.outside = CoinbaseOutside(self.venue, loose(), folder)
        self.adapter = self.gateway = self.outside.gateway
        self.signer = Signer(KEY, SECRET)
        self.tokens: dict[tuple[str, str], str] = {}
        self.before: list[bytes] = []
        self.coming: list[bytes] = []  # on the user channel
        self.answers: list[tuple[str, int, bytes]] = []
        self.sent: list[Sent] = []
        self.status = 200  # of the answer heard last
        self._connect()
        self._hear_all()
        self._order()

    def _connect(self) -> None:
        streams = self.venue.coinbase.streams
        for session in list(streams.sessions):
            streams.close(session)
        self.coming.clear()
        self.gateway.hear_down()
        session = streams.open(lambda frame: self.coming.append(frame.encode()))
        self.gateway.hear_up()
        for frame in self.gateway.subscriptions():
            streams.receive(session, frame)

    def genuine(self) -> list[bytes]:
        return [*self.before, *self.coming, *(body for _, _, body in self.answers)]

    def hear(self, frame: Frame) -> None:
        data = frame.encode("utf-8", "replace") if isinstance(frame, str) else frame
        is_channel, self.status, self.reads_json = b'"channel"' in data, 200, True
        if is_channel != (self.chance.random() < 0.1):
            self.gateway.hear(frame)
            return
        order_id, what = self.chance.choice(self.sent).order_id, self._what(data)
        self.status = status = (
            200 if self.chance.random() < 0.9 else self.chance.choice([0, 400, 401, 404, 409, 429, 500, 503])
        )
        self.reads_json = status == 200
        if self.chance.random() < 0.01:
            self.reads_json = False
            self.gateway.hear_failure(f"{what} {order_id}")
        else:
            self.gateway.hear_answer(f"{what} {order_id}", status, frame)

    def _what(self, data: bytes) -> str:
        """The request that this would answer, mostly."""
        if self.chance.random() < 0.1:
            return self.chance.choice(["place", "status", "list", "fills"])
        for mark, what in (
            (b'"success', "place"),
            (b'"fills"', "fills"),
            (b'"has_next"', "list"),
            (b'"order"', "status"),
        ):
            if mark in data:
                return what
        return "place"

    def told(self) -> int:
        return self.outside.journal.count + self.gateway.counts["parts_of_lots"]  # which are told with the next fill

    def state(self) -> Any:
        gateway = self.gateway
        session = gateway.is_subscribed, gateway._next, len(gateway.orders)
        return session, [(one.venue_id, one.filled, one.status, one.announced, one.is_done) for one in self.sent]

    def check(self) -> None:
        for sent in self.sent:
            assert 0 <= sent.filled_lots <= sent.lots
            assert sent.announced <= BTC.quantity(sent.lots)
            assert sent.listed_lots == sent.filled_lots
            assert sent.is_acknowledged or sent.filled_lots == 0

    def may_tell(self, message: Any) -> bool:
        return message is not None or 400 <= self.status < 500  # which is a clear no, whatever stands in the body

    def settle(self, *, is_dirty: bool) -> None:
        """The orders' genuine end: unless one was believed to have ended otherwise, it fills by as much as at the venue."""
        self.venue.clock.pass_ms(1500)  # what was asked too early is asked again
        self.tokens.clear()
        self._carry()
        for _ in range(3):
            self._connect()  # asks for whatever is open
            self._hear_all()
            self.venue.clock.pass_ms(600)
            self.gateway.check_unsent()
            self._carry()
            self._hear_all()
        for sent in self.sent:
            [order] = [one for one in self.venue.account.orders.values() if one.client_id == sent.name]
            if not is_dirty:
                assert (sent.filled_lots, sent.is_done) == (order.filled_lots, order.status in FINAL)
        for sent in self.sent:
            assert told_lots(self.outside.journal, sent.order_id) == sent.filled_lots
        self._shake()
        self._order()

    def _shake(self) -> None:
        chance = self.chance
        book = self.venue.exchange.books[SYMBOL].sides
        bids = [(600_000 - k, chance.randrange(5, 50)) for k in range(12)]
        asks = [(600_001 + k, chance.randrange(5, 50)) for k in range(12)]
        gone = (
            [(ticks, 0) for ticks in book[0] if ticks > 600_000],
            [(ticks, 0) for ticks in book[1] if ticks < 600_001],
        )
        self.venue.depth([*gone[0], *bids], [*gone[1], *asks])
        self.venue.clock.pass_ms(1000)
        self.venue.flush()

    def _order(self) -> None:
        """One that buys and one that sells, and both meet somebody."""
        first = len(self.gateway.orders) + 1
        for order_id, side in ((first, Side.BUY), (first + 1, Side.SELL)):
            self.outside.command(order_id, side, 600_000 + side * 5, self.chance.randrange(1, 60))
        self.sent = [self.gateway.orders[order_id] for order_id in (first, first + 1)]
        self._carry()

    def _carry(self) -> None:
        """Requests reach the venue; their answers are kept, to be spoilt before they are heard."""
        while self.outside.asked:
            request = self.outside.asked.pop(0)
            self.answers.append((request.id, *self._execute(request)))

    def _execute(self, request: Request) -> tuple[int, bytes]:
        path, _, query = (ROOT.rstrip("/") + request.path).partition("?")
        token = self.tokens.get((request.method, path))
        if token is None:
            token = self.signer.rest(request.method, HOST, path, self.venue.clock() / 1e9)
            self.tokens[request.method, path] = token
        headers = {"Authorization": f"Bearer {token}", "Host": HOST}
        reply = self.venue.coinbase.http(request.method, path, query, request.body, headers)
        return reply.status, reply.body

    def _hear_all(self) -> None:
        while self.coming or self.answers or self.outside.asked:
            frames, answers = self.coming[:], self.answers[:]
            self.coming.clear()
            self.answers.clear()
            for request_id, status, body in answers:
                self.gateway.hear_answer(request_id, status, body)
            for frame in frames:
                self.gateway.hear(frame)
            self.before = [*self.before, *frames, *(body for _, _, body in answers)][-FRAMES:]
            self._carry()

    def close(self) -> None:
        self.outside.journal.close()
