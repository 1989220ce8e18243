"""Deribit's bytes: one connection for the indices that print, GET for their daily past. Nothing is traded there."""

from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from ...core.kinds import Kind
from ...data.importers.volatility import CURRENCIES, dvol_spec
from ...data.tape import ListingSpec
from ...errors import UserError
from ..command import Command
from ..line import Line
from ..link import Bar, Link, OpenOrder
from ..sequencer import Sequencer
from .feed import DAY_MS, NS_PER_MS, DeribitFeed, closes_of, page_of

HISTORY_DAYS = 370  # a year's quantile, and some
PAGES_MAX = 5


class DeribitPlace(NamedTuple):
    rest: str = "https://www.deribit.com/api/v2"
    ws: str = "wss://www.deribit.com/ws/api/v2"


class DeribitLink(Link):
    """DVOL of the base assets that have one; one that has none is served by BTC's (see `data/universe.py`)."""

    name = "deribit"

    def __init__(self, place: DeribitPlace, bases: list[str], now_ns: Callable[[], int]) -> None:
        own = [base for base in CURRENCIES if base in bases]
        self.place, self.now_ns = place, now_ns
        self.currencies = own or [CURRENCIES[0]]
        self.specs: dict[int, ListingSpec] = {}
        self.feed: DeribitFeed
        self._line: Line | None = None

    async def describe(self) -> list[ListingSpec]:
        return [dvol_spec(currency) for currency in self.currencies]

    def wire(self, sequencer: Sequencer, specs: dict[int, ListingSpec], epoch: str) -> None:  # noqa: ARG002 - no orders
        self.specs = specs
        self.feed = DeribitFeed(
            sequencer, {f"{spec.base.partition('-')[2]}_usd".lower(): n for n, spec in specs.items()}
        )

    async def remember(self) -> list[Bar]:
        """The daily closes of a year; an index whose past cannot be had starts cold, and its fallback is used."""
        bars = list[Bar]()
        for listing_id, spec in self.specs.items():
            try:
                closes = await self._closes(spec.base.partition("-")[2])
            except UserError:
                self.feed.counts["no history"] += 1
                continue
            bars += [Bar(known_ns, listing_id, row, Kind.TRADE) for known_ns, row in closes]
        return bars

    async def _closes(self, currency: str) -> list[tuple[int, Any]]:
        end_ms = self.now_ns() // NS_PER_MS
        first_ms, found = end_ms - HISTORY_DAYS * DAY_MS, []
        url = f"{self.place.rest}/public/get_volatility_index_data"
        for _ in range(PAGES_MAX):
            span = f"start_timestamp={first_ms}&end_timestamp={end_ms}"
            body = await self.get(f"{url}?currency={currency}&resolution=1D&{span}")
            try:
                page = page_of(body)
            except msgspec.DecodeError as error:
                raise UserError(f"{self.name}: the history of DVOL cannot be read: {error}") from None
            found += closes_of(page, self.now_ns())
            if page.continuation is None or not first_ms < page.continuation < end_ms:
                break
            end_ms = page.continuation
        return found

    async def balances(self) -> dict[str, Decimal]:
        return {}

    def command(self, command: Command) -> None:
        raise AssertionError(f"an index is not traded: {command}")

    def beat(self, now_ns: int) -> None:
        """An open connection that says nothing is closed: it is opened again."""
        if self._line is not None and self.feed.silent(now_ns):
            self._line.close()
            self._line = None

    def health(self) -> str:
        counts = self.feed.counts
        last = ", ".join(f"{name} {percent}" for name, percent in self.feed.latest.items()) or "nothing yet"
        lines = f"1 line {'up' if self._line is not None else 'down'}, {last}"
        return lines + "".join(
            f", {counts[name]:,} {name}" for name in ("refused", "errors", "no history") if counts[name]
        )

    def order_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return []

    def market_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return [self._keep_feed()]

    def restore(self, orders: list[OpenOrder]) -> None:
        assert not orders, orders

    def unsettled(self) -> int:
        return 0

    async def _keep_feed(self) -> None:
        def opened(line: Line) -> None:
            self._line = line
            self._send(self.feed.hear_up(0))

        def ended() -> None:
            self._line = None
            self.feed.hear_down(0)

        await self.keep_connected(self.place.ws, opened, lambda frame: self._send(self.feed.hear(0, frame)), ended)

    def _send(self, frames: list[str]) -> None:
        for frame in frames:
            if self._line is not None:
                self._line.send(frame)
