"""The venue's clock, by which it judges tokens: read now and then, and at once where it turns a token away."""

CLOCK_EVERY_MS = 30_000
ROUND_TRIP_MS = 1000  # a clock read over a longer one is too uncertain; so long is waited before asking again
STAMP_MAX_MS = 2**43


class VenueClock:
    """How far it is ahead of ours."""

    def __init__(self) -> None:
        self.offset_ms = 0
        self._is_doubtful = True
        self._ts_asked_ms = -CLOCK_EVERY_MS

    def doubt(self) -> None:
        """A token was turned away; perhaps for its time."""
        self._is_doubtful = True

    def is_due(self, now_ms: int) -> bool:
        """Is it to be asked for now? Notes that it is."""
        wait_ms = ROUND_TRIP_MS if self._is_doubtful else CLOCK_EVERY_MS
        is_due = now_ms - self._ts_asked_ms >= wait_ms
        self._ts_asked_ms = now_ms if is_due else self._ts_asked_ms
        return is_due

    def hear(self, asked_ms: int, heard_ms: int, venue_ms: int) -> None:
        """Read in the middle of a round trip; one that is too long says nothing."""
        if heard_ms - asked_ms < ROUND_TRIP_MS and 0 < venue_ms < STAMP_MAX_MS:
            self.offset_ms = venue_ms - (asked_ms + heard_ms) // 2
            self._is_doubtful = False
