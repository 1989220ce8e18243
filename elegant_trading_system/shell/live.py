"""A live run: links to venues around the sequencer, from the first request to the closed journal.

It cannot tell an emulated venue from a real one.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from ..config import Config
from ..core.kinds import BookState, Kind, Verdict
from ..data.journal import Journal
from ..data.tape import ListingSpec
from ..data.universe import Universe, build
from .link import Bar, Link
from .sequencer import Sequencer
from .volatility_words import volatility_sources

NS_PER_MS = 1_000_000
REQUEST_S = 10.0
TICK_S = 0.02
SETTLE_S = 1.0  # at the end: reports still on their way


def wall_ns() -> int:
    return time.time_ns()


class LiveRun:
    """Instruments of one or several venues, traded until told to stop."""

    def __init__(
        self,
        links: Sequence[Link],
        config: Config,
        folder: Path,
        *,
        now_ns: Callable[[], int] = wall_ns,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.links, self.config, self.folder = links, config, folder
        self.now_ns, self.say = now_ns, say
        self.universe: Universe | None = None
        self.sequencer: Sequencer
        self.journal: Journal
        self._link_of: list[Link] = []  # by listing id
        self._stopped = asyncio.Event()

    @property
    def known(self) -> Universe:
        assert self.universe is not None, "asked before the venues have named their instruments"
        return self.universe

    def stop(self) -> None:
        """End as if the time were over."""
        self._stopped.set()

    def status(self) -> str:
        """What was heard and what was decided, in a line."""
        if self.universe is None:
            return "connecting"
        trader, market = self.sequencer.trader, self.sequencer.market[0]
        books = [
            market["books"]["state"][n] for n, spec in enumerate(self.universe.listings) if spec.kind != "volatility"
        ]
        verdicts = trader["verdicts"]
        mostly = Verdict(int(verdicts.argmax())).name if verdicts.any() else "nothing decided yet"
        return (
            f"{self.journal.count:,} events, books {', '.join(BookState(int(state)).name for state in books)}, "
            f"mostly {mostly}, {int(trader['next_order_id'])} orders, {int(trader['round_trips'])} round trips, "
            f"equity {float(trader['equity']):,.2f}"
        )

    async def run(self, seconds: float, started: Callable[["LiveRun"], None] = lambda _run: None) -> None:
        """Trade for so long; the journal is closed whatever happens."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_S)) as http:
            await self._meet(http)
            self.journal = Journal(self.folder / "journal")
            self._wire()
            try:
                started(self)
                await self._remember()
                await self._fund()
                await self._trade(seconds)
            finally:
                self.journal.close()

    # --- before the first decision ------------------------------------------------------------------------------
    async def _meet(self, http: aiohttp.ClientSession) -> None:
        """Every venue says what it has; the run numbers it all."""
        specs: list[ListingSpec] = []
        for link in self.links:
            link.http = http
            found = await link.describe()
            specs += found
            self._link_of += [link] * len(found)
        self.universe = build(specs, self.config)

    def _wire(self) -> None:
        self.sequencer = Sequencer(self.known, self.config, self.journal, self.now_ns, self._command)
        epoch = format(self.now_ns() // NS_PER_MS, "x")
        for link in self.links:
            link.wire(self.sequencer, self._specs_of(link), epoch)

    def _specs_of(self, link: Link) -> dict[int, ListingSpec]:
        return {n: spec for n, spec in enumerate(self.known.listings) if self._link_of[n] is link}

    def _command(self, command: Any) -> None:
        self._link_of[int(command["listing_id"])].command(command)

    async def _remember(self) -> None:
        """Minute bars from before the first packet: windows, VWAP and ranges are warm."""
        bars = [bar for link in self.links for bar in await link.remember()]
        for bar in sorted(bars, key=lambda bar: bar[:2]):
            code = int(bar.kind is Kind.BAR)  # minutes
            self.sequencer.hear(bar.kind, bar.listing_id, bar.levels, ts_local_ns=bar.ts_end_ns, code=code)
        self._say_history(bars)

    def _say_history(self, bars: list[Bar]) -> None:
        minutes = sum(bar.kind is Kind.BAR for bar in bars)
        self.say(f"{minutes:,} minute bars of history from {', '.join(link.name for link in self.links)}")
        for base, words in volatility_sources(self.known, self.sequencer.market, self.config, self.now_ns()).items():
            self.say(f"volatility of {base}: {words}")

    async def _fund(self) -> None:
        """What each account holds of the assets we settle in arrives as transfers."""
        for link in self.links:
            free = await link.balances()
            if not free:
                continue  # nothing is held where nothing is traded
            settled = {spec.settle: listing_id for listing_id, spec in reversed(self._specs_of(link).items())}
            for asset, listing_id in sorted(settled.items(), key=lambda one: one[1]):
                atoms = int(free.get(asset, 0) * 10 ** self.known.decimals[asset])
                asset_id = self.known.assets.index(asset)
                self.sequencer.hear(Kind.TRANSFER, listing_id, atoms=atoms, asset_id=asset_id)

    # --- while it runs --------------------------------------------------------------------------------------------
    async def _trade(self, seconds: float) -> None:
        tasks = [asyncio.create_task(task) for link in self.links for task in self._tasks(link)]
        tasks.append(asyncio.create_task(self._keep_time()))
        stopping = asyncio.create_task(self._stopped.wait())
        try:
            done, _ = await asyncio.wait([*tasks, stopping], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # none of them ends by itself: what failed is told
            await asyncio.sleep(SETTLE_S)
        finally:
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)

    def _tasks(self, link: Link) -> list[Coroutine[Any, Any, None]]:
        return link.tasks()

    async def _keep_time(self) -> None:
        """In silence time passes all the same; blocks of the journal are sealed here, off the hot path."""
        while True:
            await asyncio.sleep(TICK_S)
            self.sequencer.tick()
            for link in self.links:
                link.beat(self.now_ns())
            self.journal.seal()
