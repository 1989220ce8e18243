"""What must hold on Coinbase, whose books have no numbers: ours is one that the venue has told, and lately."""

from collections import deque

from elegant_trading_system.core.schema import NS_PER_S

from .watch import LOOK_NS, Sides, Watch

RECENT_NS = 5 * NS_PER_S  # the leading line is believed for three, and what comes on it may be late
KEPT = 1000


class CoinbaseWatch(Watch):
    silence_ns = 3 * NS_PER_S
    told: deque[tuple[int, Sides]]
    compared = (0, 0)  # what we had heard, and when

    @property
    def has_place(self) -> bool:
        return self.outside.listing.is_live  # type: ignore[attr-defined, no-any-return]

    @property
    def limited(self) -> int:
        return int(self.venue.coinbase.counts["limited"])  # type: ignore[attr-defined]

    def remember_book(self, _last_id: int = -1) -> None:
        """The venue's book as it is told now."""
        if "told" not in vars(self):
            self.told = deque(maxlen=KEPT)
        sides = self.venue.book.sides
        self.told.append((self.venue.clock(), (dict(sides[0]), dict(sides[1]))))

    def compare_books(self) -> None:
        if (self.outside.journal.count, self.venue.clock() // NS_PER_S) == self.compared:
            return
        self.compared = self.outside.journal.count, self.venue.clock() // NS_PER_S
        ours, since_ns = self.outside.book(), self.venue.clock()
        for ts_ns, theirs in reversed(self.told):
            if since_ns < self.venue.clock() - RECENT_NS - LOOK_NS:
                break
            if ours == theirs:
                return
            since_ns = ts_ns  # from then on the one before was out of date
        self.fail("our book is none that the venue has told lately")
