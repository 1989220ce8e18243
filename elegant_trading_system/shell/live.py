"""A live run: links to venues around the sequencer, from the first request to the closed journal.

It cannot tell an emulated venue from a real one.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from ..config import Config
from ..core.kinds import BookState, Kind, OperatorCommand, Verdict
from ..data.journal import Journal
from ..data.segments import START
from ..data.tape import ListingSpec
from ..data.universe import Universe, build
from ..errors import UserError
from .accounts import CAREFUL, Accounts, Choices
from .command import Command
from .index_history import on_file
from .link import Bar, Link
from .run_folder import Recovered, note_epoch
from .sequencer import Sequencer
from .shadow import Shadow
from .snapshots import Snapshots
from .volatility_words import VolatilityNames

NS_PER_MS = 1_000_000
REQUEST_S = 10.0
TICK_S = 0.02
ASK_S = 1.0
NAMING_S = 30.0
FLATTEN_S = 30.0
SETTLE_S, SETTLE_MAX_S = 1.0, 10.0  # at the end: reports still on their way, and of orders that are open


def wall_ns() -> int:
    return time.time_ns()


async def poll() -> None:
    """Keep the event loop from sleeping: nothing waits for a processor that has to wake up and find its caches cold."""
    while True:  # noqa: ASYNC110 - there is nothing to wait for
        await asyncio.sleep(0)


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
        recovered: Recovered | None = None,
        is_flat_at_end: bool = False,
        is_rearmed: bool = False,
        is_polling: bool = False,
        catalog: Path | None = None,
        choices: Choices = CAREFUL,
    ) -> None:
        """With `recovered`, the run in the folder goes on where it ended; `is_rearmed`: halted or not. With
        `is_flat_at_end` it ends holding nothing; with `is_polling` it never sleeps. The `catalog` may hold an index's past
        that its source does not tell. `choices`: what becomes of what the accounts hold already.
        """
        self.choices = choices
        self.is_rearmed, self.catalog = is_rearmed, catalog
        self.is_flat_at_end, self.is_polling = is_flat_at_end, is_polling
        self.recovered = recovered
        self.links, self.config, self.folder = links, config, folder
        self.now_ns, self.say = now_ns, say
        self.universe: Universe | None = None
        self.sequencer: Sequencer
        self.journal: Journal
        self.snapshots: Snapshots | None = None
        self.accounts: Accounts
        self._link_of: list[Link] = []  # by listing id
        self._volatility = VolatilityNames(say)
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
        timeout = aiohttp.ClientTimeout(total=REQUEST_S)
        async with aiohttp.ClientSession(timeout=timeout) as http, contextlib.AsyncExitStack() as ending:
            for link in self.links:
                ending.push_async_callback(link.close)
            await self._meet(http)
            self.journal = Journal(self.folder / "journal", self.recovered.behind if self.recovered else START)
            tasks = list[asyncio.Task[None]]()
            try:
                started(self)
                self._wire()
                tasks.append(asyncio.create_task(self._keep_time()))
                tasks += [asyncio.create_task(task) for task in self._order_tasks()]
                await (self._reconcile(self.recovered) if self.recovered else self._prepare())
                tasks += [asyncio.create_task(task) for link in self.links for task in link.market_tasks()]
                tasks.append(asyncio.create_task(self._keep_naming()))
                if self.is_polling:
                    tasks.append(asyncio.create_task(poll()))
                await self._until_stopped(tasks, seconds)
                if self.is_flat_at_end:
                    await self._flatten()
                self.sequencer.hear(Kind.OPERATOR, 0, code=OperatorCommand.STOP)
                await self._settle()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                if self.snapshots:
                    self.snapshots.close()
                self.journal.close()

    def _order_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return [self.accounts.keep_watch(), *(task for link in self.links for task in link.order_tasks())]

    async def _until_stopped(self, tasks: list[asyncio.Task[None]], seconds: float) -> None:
        stopping = asyncio.create_task(self._stopped.wait())
        try:
            done, _ = await asyncio.wait([*tasks, stopping], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # none of them ends by itself: what failed is told
        finally:
            stopping.cancel()

    async def _flatten(self) -> None:
        """Close what is held. What no book can price stays, and is named."""
        self.sequencer.hear(Kind.OPERATOR, 0, code=OperatorCommand.FLATTEN)
        trader = self.sequencer.trader
        for _ in range(round(FLATTEN_S / TICK_S)):
            if not (trader["open_count"] or trader["order_count"]):
                break
            await asyncio.sleep(TICK_S)
        held = [
            name for name, position in zip(self.known.groups, trader["positions"], strict=False) if position["state"]
        ]
        self.say(f"could not be closed: {', '.join(held)}" if held else "everything is closed")

    async def _settle(self) -> None:
        """Nothing is decided any more; what was is heard of, or left to be asked about when the run goes on."""
        await asyncio.sleep(SETTLE_S)
        for _ in range(round((SETTLE_MAX_S - SETTLE_S) / TICK_S)):
            if not self.sequencer.trader["order_count"]:
                break
            await asyncio.sleep(TICK_S)

    # --- before the first decision ------------------------------------------------------------------------------
    async def _meet(self, http: aiohttp.ClientSession) -> None:
        """Every venue says what it has; the run numbers it all."""
        specs: list[ListingSpec] = []
        for link in self.links:
            link.open(http)
            found = await link.describe()
            specs += found
            self._link_of += [link] * len(found)
        if self.recovered:
            was = self.recovered.listings
            if len(specs) != len(was) or not all(map(ListingSpec.is_like, specs, was)):
                raise UserError(f"{self.folder}: the venues describe other instruments now", "begin a new run")
            specs = was
        self.universe = build(specs, self.config)

    def _wire(self) -> None:
        """Sequencer, feeds and gateways; the names of orders to come are on the disk before any of them."""
        found = self.recovered
        state, ts_ns = ((found.market, found.books, found.traders), found.ts_ns) if found else (None, 0)
        self.sequencer = Sequencer(self.known, self.config, self.journal, self.now_ns, self._command, state, ts_ns)
        shadow = found.shadow if found else Shadow(self.known, self.config)
        self.snapshots = Snapshots(self.folder, shadow, self.journal, self.now_ns)
        epoch = format(self.now_ns() // NS_PER_MS, "x")
        note_epoch(self.folder, int(self.sequencer.trader["next_order_id"]) + 1, epoch)
        for link in self.links:
            link.wire(self.sequencer, self._specs_of(link), epoch)
        by_link = {link: self._specs_of(link) for link in self.links}
        self.accounts = Accounts(by_link, self.sequencer, self.folder, self.say, self.choices)

    def _specs_of(self, link: Link) -> dict[int, ListingSpec]:
        return {n: spec for n, spec in enumerate(self.known.listings) if self._link_of[n] is link}

    def _command(self, command: Command) -> None:
        self._link_of[command.listing_id].command(command)

    async def _remember(self) -> None:
        """Minute bars from before the first packet: windows, VWAP and ranges are warm."""
        bars = [bar for link in self.links for bar in await link.remember()]
        bars += self._on_file({bar.listing_id for bar in bars})
        for bar in sorted(bars, key=lambda bar: bar[:2]):
            code = int(bar.kind is Kind.BAR)  # minutes
            self.sequencer.hear(bar.kind, bar.listing_id, bar.levels, ts_local_ns=bar.ts_end_ns, code=code)
        self._say_history(bars)

    def _on_file(self, remembered: set[int]) -> list[Bar]:
        """Days of the indices whose source has told none."""
        found = list[Bar]()
        for listing_id, spec in enumerate(self.known.listings):
            if self.catalog is not None and spec.kind == "volatility" and listing_id not in remembered:
                bars = on_file(self.catalog, spec, listing_id, self.now_ns())
                self.say(f"{spec.name} tells nothing of its past: {len(bars):,} values from {self.catalog} instead")
                found += bars
        return found

    def _say_history(self, bars: list[Bar]) -> None:
        minutes = sum(bar.kind is Kind.BAR for bar in bars)
        self.say(f"{minutes:,} minute bars of history from {', '.join(link.name for link in self.links)}")
        self._name_volatility()

    def _name_volatility(self) -> None:
        self._volatility.look(self.known, self.sequencer.market, self.config, self.now_ns())

    async def _fund(self) -> None:
        await self.accounts.open()

    async def _prepare(self) -> None:
        """A new run: its past and its money."""
        await self._remember()
        await self._fund()

    async def _reconcile(self, found: Recovered) -> None:
        """A run that goes on: nothing is decided before the venues have said what became of every open order."""
        self.journal.log_commands(found.missing)
        self.sequencer.hear(Kind.OPERATOR, 0, code=OperatorCommand.RESTART, ts_local_ns=found.ts_ns)
        for refused in found.refused:
            self.say(refused)
        seen = f"{self.journal.count:,} events, the last {found.replayed:,} of them replayed"
        self.say(f"going on behind {seen}, with {len(found.open_orders)} open orders")
        for link in self.links:
            ours = self._specs_of(link)
            link.restore([order for order in found.open_orders if order.listing_id in ours])
        while left := {link.name: count for link in self.links if (count := link.unsettled())}:
            self.say(f"asking about open orders: {', '.join(f'{count} at {name}' for name, count in left.items())}")
            await asyncio.sleep(ASK_S)
        is_right = await self.accounts.compare(found.ignored, is_rearmed=self.is_rearmed)
        self.sequencer.hear(Kind.OPERATOR, 0, code=OperatorCommand.RECONCILED)
        if self.is_rearmed and is_right:
            self.sequencer.hear(Kind.OPERATOR, 0, code=OperatorCommand.RESUME)
        elif self.sequencer.trader["is_halted"]:
            self.say("the run is HALTED: nothing is entered until it is armed again by hand (--rearm)")

    # --- while it runs --------------------------------------------------------------------------------------------
    async def _keep_naming(self) -> None:
        """An index that falls silent is named, and so is what stands in for it."""
        while True:
            await asyncio.sleep(NAMING_S)
            self._name_volatility()

    async def _keep_time(self) -> None:
        """In silence time passes all the same; what the journal needs from time to time is begun here, off the hot path."""
        while True:
            await asyncio.sleep(TICK_S)
            self.sequencer.tick()
            for link in self.links:
                link.beat(self.now_ns())
                for notice in link.notices():
                    self.say(f"{link.name}: {notice}")
            self.journal.seal()
            self._keep_state()

    def _keep_state(self) -> None:
        notices = self.journal.notices()
        if self.snapshots:
            self.snapshots.beat()
            notices += self.snapshots.notices()
        for notice in notices:
            self.say(notice)
