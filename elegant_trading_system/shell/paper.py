"""Real markets, simulated orders: a venue's data with the backtest's own matching in the place of its gateway."""

from collections.abc import Coroutine
from decimal import Decimal
from typing import Any

import aiohttp
import numpy as np

from ..config import Config
from ..core.kinds import Kind, RejectReason
from ..core.schema import COMMAND, LEVEL, NEVER_NS, PACKET, REPLIES, VENUE_SIM
from ..data.tape import ListingSpec
from ..sim import paper
from .command import Command
from .link import Bar, Link, OpenOrder
from .sequencer import NO_ROWS, Sequencer


class PaperVenue:
    """Where the orders of all links of a run go."""

    def __init__(self, sequencer: Sequencer, config: Config) -> None:
        self.sequencer = sequencer
        self._sim_params = config.sim_params()
        self._venue = np.zeros(1, VENUE_SIM)
        self._venue["next_ns"] = NEVER_NS
        self._replies, self._rows = np.zeros(REPLIES, PACKET), np.zeros(REPLIES, LEVEL)
        self._segment, self._read = -1, 0

    def send(self, command: Command) -> None:
        row = np.array([command], COMMAND)
        paper.send(self.sequencer.universe.record, self.sequencer.market, self._venue, self._sim_params, row)

    def serve(self, now_ns: int) -> None:
        """What has arrived or been answered by now is heard."""
        self._renew()
        sequencer = self.sequencer
        while True:
            count = paper.serve(
                sequencer.universe.record,
                sequencer.market,
                sequencer.books,
                self._venue,
                self._sim_params,
                now_ns,
                self._replies,
                self._rows,
            )
            for packet, row in zip(self._replies[:count].copy(), self._rows[:count].copy(), strict=True):
                buys, sells = (row.reshape(1)[: packet[name]] for name in ("buy_count", "sell_count"))
                sequencer.hear(
                    Kind(int(packet["kind"])),
                    int(packet["listing_id"]),
                    buys,
                    sells,
                    ts_venue_ns=int(packet["ts_venue_ns"]),
                    order_id=int(packet["order_id"]),
                    atoms=int(packet["atoms"]),
                    asset_id=int(packet["asset_id"]),
                    code=int(packet["code"]),
                )
            if count == 0:
                return

    def _renew(self) -> None:
        """The market's own packets since the last call, out of the journal."""
        journal = self.sequencer.journal
        if journal.segment != self._segment:
            self._segment, self._read = journal.segment, 0
        end = journal.position
        paper.renew(self._venue, journal.packets[self._read : end], journal.rows)
        self._read = end


class PaperLink(Link):
    """A venue's public side; our own side is simulated."""

    def __init__(self, inner: Link, config: Config, capital: Decimal, shared: dict[str, PaperVenue]) -> None:
        """`shared` is one for all links of a run: who is wired first puts the venue there."""
        self.inner, self.config, self.capital, self.shared = inner, config, capital, shared
        self.name = inner.name
        self.sequencer: Sequencer

    @property
    def venue(self) -> PaperVenue:
        return self.shared["venue"]

    async def describe(self) -> list[ListingSpec]:
        return await self.inner.describe()

    def open(self, http: aiohttp.ClientSession) -> None:
        super().open(http)
        self.inner.open(http)

    def wire(self, sequencer: Sequencer, specs: dict[int, ListingSpec], epoch: str) -> None:
        self.sequencer = sequencer
        self.shared.setdefault("venue", PaperVenue(sequencer, self.config))
        self.inner.wire(sequencer, specs, epoch)
        self._settled = {spec.settle for spec in specs.values()}

    async def remember(self) -> list[Bar]:
        return await self.inner.remember()

    async def balances(self) -> dict[str, Decimal]:
        """At first the capital in every asset that is settled in; later what is left of it by our own books."""
        universe, trader = self.sequencer.universe, self.sequencer.trader
        venue_id = universe.venues.index(self.name)
        if not trader["transfer_atoms"][venue_id].any():
            return dict.fromkeys(self._settled, self.capital / len(self._settled))
        return {
            asset: Decimal(int(trader["balances"][venue_id, asset_id])).scaleb(-universe.decimals[asset])
            for asset_id, asset in enumerate(universe.assets)
        }

    def order_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return []

    def market_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return self.inner.market_tasks()

    def command(self, command: Command) -> None:
        self.venue.send(command)

    def beat(self, now_ns: int) -> None:
        self.venue.serve(now_ns)
        self.inner.beat(now_ns)

    def restore(self, orders: list[OpenOrder]) -> None:
        """The simulated venue ended with the run: what it had not answered never was."""
        for order in orders:
            self.sequencer.hear(
                Kind.REJECTED, order.listing_id, NO_ROWS, NO_ROWS, order_id=order.order_id, code=RejectReason.VENUE
            )

    def unsettled(self) -> int:
        return 0

    def notices(self) -> list[str]:
        return self.inner.notices()

    async def close(self) -> None:
        await self.inner.close()

    def health(self) -> str:
        return f"{self.inner.health()}; orders are SIMULATED"
