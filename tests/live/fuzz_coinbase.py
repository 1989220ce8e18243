"""What is fuzzed of Coinbase: its feed, over two connections that each number what they bring."""

import random
from functools import partial
from pathlib import Path
from typing import Any

from elegant_trading_system.core.kinds import BookState, Side

from ..builders import loose
from .coinbase_desk import CoinbaseOutside, CoinbaseVenue
from .desk import Clock

SYMBOL = "BTC-USD"
TRIES, FRAMES, LINES = 300, 20, (0, 1)


class CoinbaseFeedSubject:
    """Genuine traffic goes on in between; whoever has lost the thread subscribes anew."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.chance = chance
        self.venue = CoinbaseVenue(Clock())
        self.outside = CoinbaseOutside(self.venue, loose(), folder)
        self.feed = self.outside.feed
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

    def hear(self, frame: bytes | str) -> None:
        self.feed.hear(self.chance.choice(LINES), frame)
        self.feed.check_holes(self.venue.clock())

    def told(self) -> int:
        return self.outside.journal.count

    def counted(self) -> int:
        return sum(self.feed.counts.values())

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
