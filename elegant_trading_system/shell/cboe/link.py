"""CBOE's bytes: the delayed quote of the VIX once a minute, its daily past once. Nothing is traded there."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from ...core.kinds import Kind
from ...core.schema import NS_PER_S
from ...data.importers.volatility import NEW_YORK, VIX_DELAY, vix_spec
from ...data.tape import ListingSpec
from ...errors import UserError
from ..command import Command
from ..link import BannedError, Bar, Link, OpenOrder
from ..sequencer import Sequencer
from .feed import CboeFeed, closes_of

QUOTE = "delayed_quotes/quotes/_VIX.json"
HISTORY = "us_indices/daily_prices/VIX_History.csv"
POLL_S = 60.0


class CboePlace(NamedTuple):
    rest: str = "https://cdn.cboe.com/api/global"


class CboeLink(Link):
    """The VIX."""

    name = "cboe"

    def __init__(self, place: CboePlace, now_ns: Callable[[], int], poll_s: float = POLL_S) -> None:
        self.place, self.now_ns, self.poll_s = place, now_ns, poll_s
        self.specs: dict[int, ListingSpec] = {}
        self.feed: CboeFeed

    async def describe(self) -> list[ListingSpec]:
        return [vix_spec()]

    def wire(self, sequencer: Sequencer, specs: dict[int, ListingSpec], epoch: str) -> None:  # noqa: ARG002 - no orders
        self.specs = specs
        [listing_id] = specs
        self.feed = CboeFeed(sequencer, listing_id)

    async def remember(self) -> list[Bar]:
        """The daily closes of a year and a half; without them the index starts cold, and its fallback is used."""
        try:
            body = await self.get(f"{self.place.rest}/{HISTORY}")
            closes = closes_of(body.decode("utf-8-sig"), self.now_ns())
        except (UserError, UnicodeDecodeError):
            self.feed.counts["no history"] += 1
            return []
        return [Bar(known_ns, self.feed.listing_id, row, Kind.TRADE) for known_ns, row in closes]

    async def balances(self) -> dict[str, Decimal]:
        return {}

    def command(self, command: Command) -> None:
        raise AssertionError(f"an index is not traded: {command}")

    def beat(self, now_ns: int) -> None:
        """Nothing is kept open."""

    def health(self) -> str:
        counts, latest = self.feed.counts, self.feed.latest
        shown = "no quote yet"
        if latest is not None:
            shown = f"VIX {latest[0]} at {datetime.fromtimestamp(latest[1] // NS_PER_S, NEW_YORK):%H:%M} in New York"
        return f"{shown} ({VIX_DELAY})" + "".join(
            f", {counts[name]:,} {name}" for name in ("old", "refused", "failed", "no history") if counts[name]
        )

    def order_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return []

    def market_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return [self._keep_asking()]

    def restore(self, orders: list[OpenOrder]) -> None:
        assert not orders, orders

    def unsettled(self) -> int:
        return 0

    async def _keep_asking(self) -> None:
        while True:
            wait_s = self.poll_s
            try:
                self.feed.hear_quote(await self.get(f"{self.place.rest}/{QUOTE}"))
            except UserError as error:
                self.feed.counts["failed"] += 1
                wait_s = max(wait_s, error.wait_s if isinstance(error, BannedError) else 0.0)
            await asyncio.sleep(wait_s)
