"""What a live run needs of a venue. A link moves the bytes; what they mean is said in the venue's feed and gateway."""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import aiohttp
import numpy as np

from ..core.kinds import Kind
from ..data.tape import ListingSpec
from ..errors import UserError
from .budget import Budget, Use
from .command import Command
from .line import Line
from .sequencer import Sequencer

Array = np.ndarray[Any, Any]
BACKOFF_S, BACKOFF_MAX_S = 0.1, 10.0
BAN_S = 60.0  # where a venue does not say for how long
AFFORD_S = 0.1  # between looks at what the venue's limits leave


class BannedError(UserError):
    """The venue refuses whoever asks, for so many seconds."""

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message, f"it wants to be left alone for {wait_s:g} s")
        self.wait_s = wait_s


class Bar(NamedTuple):
    """A minute of the past: four rows open, high, low, close; the lots of the last are the volume.

    Of kind TRADE: a day of a volatility index, its close as one row.
    """

    ts_end_ns: int
    listing_id: int
    levels: Array
    kind: Kind = Kind.BAR


FillKey = tuple[int, int, int, int]  # ticks, lots, atoms of the fee, asset it was paid in


class OpenOrder(NamedTuple):
    """An order of before a crash. Fills alike in all four parts are interchangeable, so their number is all we need."""

    order_id: int
    listing_id: int
    side: int
    lots: int
    filled_lots: int
    ts_sent_ns: int
    epoch: str
    fills: Counter[FillKey]


class Link(ABC):
    """One venue, its market connections and our account there. Methods are called in the order they stand here."""

    name: str
    http: aiohttp.ClientSession

    def open(self, http: aiohttp.ClientSession) -> None:
        """Requests go through this session, which outlives them."""
        self.http = http

    @abstractmethod
    async def describe(self) -> list[ListingSpec]:
        """The instruments that were asked for, as the venue describes them. Raises UserError when one is missing."""

    @abstractmethod
    def wire(self, sequencer: Sequencer, specs: dict[int, ListingSpec], epoch: str) -> None:
        """The run has numbered our listings: make feed and gateway. No order name of this epoch was ever used."""

    @abstractmethod
    async def remember(self) -> list[Bar]:
        """Complete minute bars, or days of an index, from before now, in any order."""

    async def settle_in(self) -> None:  # noqa: B027 - most accounts are what we trade on
        """Called before anything is asked of the account: make it what we trade on. UserError when it cannot be."""

    @abstractmethod
    async def balances(self) -> dict[str, Decimal]:
        """What the account holds free, by asset."""

    async def positions(self) -> dict[int, Decimal]:
        """Contracts the account holds, by listing and signed; coins are balances."""
        return {}

    async def entry_prices(self) -> dict[int, Decimal]:
        """What the contracts of `positions` cost."""
        return {}

    async def strangers(self) -> list[str]:
        """Positions in what we do not trade, in words."""
        return []

    async def resting_orders(self) -> list[str]:
        """Open orders on our instruments, in words. Before a run begins they are somebody else's."""
        return []

    async def cancel_resting(self) -> None:  # noqa: B027 - where none are found, none are cancelled
        """End them."""

    @abstractmethod
    def order_tasks(self) -> list[Coroutine[Any, Any, None]]:
        """Our orders and what becomes of them: has to run, each until cancelled."""

    @abstractmethod
    def market_tasks(self) -> list[Coroutine[Any, Any, None]]:
        """The market: likewise."""

    @abstractmethod
    def restore(self, orders: list[OpenOrder]) -> None:
        """Orders of before a crash: the venue is to be asked about them, under the names they were sent by."""

    @abstractmethod
    def unsettled(self) -> int:
        """How many restored orders the venue has not given a last word on. Asks again about each."""

    @abstractmethod
    def command(self, command: Command) -> None:
        """What the core has decided for one of our listings: to be sent now, without waiting."""

    @abstractmethod
    def beat(self, now_ns: int) -> None:
        """Called many times a second: what has been missing or waiting for too long."""

    @abstractmethod
    def health(self) -> str:
        """How the lines are, in a few words."""

    async def close(self) -> None:  # noqa: B027 - most hold nothing but the session
        """The run is over, or never began. The session of `open` ends by itself."""

    def notices(self) -> list[str]:
        """What a person should know, each once."""
        return []

    def hear_headers(self, headers: Mapping[str, str]) -> None:  # noqa: B027 - most say nothing
        """What an answer says beside its body: how much of the venue's limits is used."""

    async def get(self, url: str, headers: dict[str, str] | None = None, **params: Any) -> bytes:
        """The body of a GET; anything but 200 raises UserError with the venue's own words."""
        path = url.rpartition("/")[2].partition("?")[0]
        try:
            async with self.http.get(url, params=params, headers=headers) as reply:
                body = await reply.read()
                self.hear_headers(reply.headers)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UserError(f"{self.name}: {path} at {url.partition('?')[0]}: {error or 'no answer'}") from None
        if reply.status in (418, 429):
            wait = reply.headers.get("Retry-After", "")
            raise BannedError(
                f"{self.name} refused {path}: too many requests", float(wait) if wait.isdigit() else BAN_S
            )
        if reply.status != 200:
            raise UserError(f"{self.name} refused {path}: {body[:200].decode(errors='replace')}")
        return body

    async def keep_connected(
        self, url: str, opened: Callable[[Line], None], hear: Callable[[bytes], Any], ended: Callable[[], None]
    ) -> None:
        """Connect, hear frames until the connection ends, wait a little longer each time in vain, connect again."""
        wait_s = BACKOFF_S
        while True:
            line = Line(opened, hear)
            await line.run(url)
            ended()
            if line.heard:
                wait_s = BACKOFF_S
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, BACKOFF_MAX_S)


async def afford(budget: Budget, use: Use, **amounts: int) -> None:
    """Wait until the venue's limits leave room for it; orders never wait."""
    while True:
        if budget.take(use, **amounts):
            return
        await asyncio.sleep(budget.wait_s or AFFORD_S)
