"""The live path without a trader: what the venues' feeds bring is stamped and written down, and nobody decides."""

from collections.abc import Coroutine
from typing import Any

from .command import Command
from .link import Bar
from .live import NS_PER_MS, LiveRun
from .sequencer import Sequencer


class Recorder(Sequencer):
    """Appends events and goes no further."""

    def tick(self) -> None:
        """Nothing is decided in silence."""

    def hear_laid(self, ts_local_ns: int = 0) -> None:
        """Count the event; the core is not asked."""
        self._ts_ns = max(self._ts_ns, ts_local_ns or self.now_ns())
        self.journal.commit(self._ts_ns)


class Recording(LiveRun):
    """Instruments of one or several venues, written into a journal until told to stop. Needs no key."""

    def status(self) -> str:
        """What was heard, in a line."""
        if self.universe is None:
            return "connecting"
        counts = self.counts()
        return (
            f"{self.journal.count:,} events of {len(self.known.listings)} listings, {counts['gaps']} gaps, "
            f"{counts['lost_trades']} prints lost, {counts['refused']} frames refused"
        )

    def counts(self) -> dict[str, int]:
        """What went wrong, over all venues: 0 is what one wants to read."""
        feeds = [getattr(link, "feed", None) for link in self.links]
        return {
            name: sum(feed.counts[name] for feed in feeds if feed is not None)
            for name in ("gaps", "lost_trades", "refused")
        }

    def _wire(self) -> None:
        self.sequencer = Recorder(self.known, self.config, self.journal, self.now_ns, _nobody)
        epoch = format(self.now_ns() // NS_PER_MS, "x")
        for link in self.links:
            link.wire(self.sequencer, self._specs_of(link), epoch)

    def _say_history(self, bars: list[Bar]) -> None:
        self.say(f"{len(bars):,} bars and days of history from {', '.join(link.name for link in self.links)}")

    async def _fund(self) -> None:
        """There is no account."""

    def _order_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return []


def _nobody(command: Command) -> None:
    raise AssertionError(f"a recording decided something: {command}")
