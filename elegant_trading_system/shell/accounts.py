"""What the accounts of a run hold: what was there before is taken over, set aside or a reason not to begin; from then on
whatever changes without an order of ours stops all entries.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..core.kinds import Kind, OperatorCommand
from ..core.schema import LEVEL
from ..data.tape import ListingSpec
from ..data.universe import Universe
from ..errors import ExitCode, UserError
from .link import Link
from .run_folder import note
from .sequencer import NO_ROWS, Sequencer

CHECK_S = 30.0  # between looks at the accounts
DOUBTS_MAX = 3  # looks in a row that find the same before it is believed: a payment may be heard of late
ROUNDINGS = 10  # steps of a perpetual's cost, at most one for each time it was partly closed
Specs = dict[int, ListingSpec]
Ignored = dict[str, dict[str, str]]


class Choice(StrEnum):
    """What becomes of what an account holds already."""

    ADOPT = "adopt"  # coins and contracts: positions of ours
    IGNORE = "ignore"  # set aside: never sold, compared with
    CANCEL = "cancel"  # orders
    REFUSE = "refuse"


class Choices(NamedTuple):
    holdings: Choice = Choice.REFUSE
    orders: Choice = Choice.REFUSE


CAREFUL = Choices()


class NotBegunError(UserError):
    """The run may not begin on its accounts; nothing has happened yet."""


class Held(NamedTuple):
    """Coins or contracts of what we trade, more than a smallest order of it."""

    listing_id: int
    amount: Decimal  # signed
    lots: int  # whole ones of it, unsigned
    price: Decimal  # of now; 0 where none is known
    cost: Decimal  # what one cost


class Account(NamedTuple):
    """One venue's, as it was found."""

    link: Link
    specs: Specs
    free: dict[str, Decimal]
    held: list[Held]
    strangers: list[str]
    orders: list[str]


class Accounts:
    """All of a run's."""

    def __init__(
        self,
        links: Mapping[Link, Specs],
        sequencer: Sequencer,
        folder: Path,
        say: Callable[[str], None],
        choices: Choices = CAREFUL,
    ) -> None:
        self.links, self.sequencer, self.folder, self.say, self.choices = links, sequencer, folder, say, choices
        self.ignored: Ignored = {}
        self._doubts = Counter[str]()

    @property
    def universe(self) -> Universe:
        return self.sequencer.universe

    def atoms(self, asset: str, amount: Decimal | str) -> int:
        return int(Decimal(amount) * 10 ** self.universe.decimals[asset])

    # --- at the beginning -------------------------------------------------------------------------------------
    async def open(self) -> None:
        """Dollars arrive as transfers, the rest as was chosen. Raises NotBegunError where it may not."""
        found = [await self._look(link, specs) for link, specs in self.links.items()]
        if problems := [problem for account in found for problem in self._problems(account)]:
            raise NotBegunError("; ".join(problems), HINT, ExitCode.USAGE)
        for account in found:
            if account.orders and self.choices.orders is Choice.CANCEL:
                await account.link.cancel_resting()
                self.say(f"{account.link.name}: cancelled {', '.join(account.orders)}")
                account = account._replace(free=await account.link.balances())  # noqa: PLW2901 - what they held is free
            self._fund(account)
            self._take_over(account)
        note(self.folder, ignored=self.ignored)

    async def _look(self, link: Link, specs: Specs) -> Account:
        await link.settle_in()
        free, positions = await link.balances(), await link.positions()
        prices = await link.entry_prices() if any(positions.values()) else {}
        held = [self._held(n, amount, prices.get(n)) for n, amount in positions.items() if amount]
        settled, seen = settled_by(specs), set[str]()
        for listing_id, spec in specs.items():
            amount = free.get(spec.base, Decimal(0))
            if spec.kind == "spot" and spec.base not in settled and spec.base not in seen:
                seen.add(spec.base)
                one = self._held(listing_id, amount, None)
                held += [one] if not self._is_dust(one) else []
        return Account(link, specs, free, held, await link.strangers(), await link.resting_orders())

    def _held(self, listing_id: int, amount: Decimal, cost: Decimal | None) -> Held:
        price = self._price(listing_id)
        lots = int(abs(amount) / self.universe.listings[listing_id].lot_size)
        return Held(listing_id, amount, lots, price, price if cost is None else cost)

    def _price(self, listing_id: int) -> Decimal:
        """The last known of its asset, on the listing's own steps; 0 while no range is known that could make a stop."""
        record, market = self.universe.record[0], self.sequencer.market[0]
        group_id = int(record["listings"][listing_id]["group_id"])
        bar = market["groups"][group_id]["bars"][0]
        if not bar["atr_ticks"] > 0:
            return Decimal(0)
        reference = self.universe.listings[int(record["groups"][group_id]["reference_id"])]
        spec = self.universe.listings[listing_id]
        return int(int(bar["previous_close_ticks"]) * reference.tick_size / spec.tick_size) * spec.tick_size

    def _is_dust(self, held: Held) -> bool:
        """Less than a smallest order."""
        spec = self.universe.listings[held.listing_id]
        return held.lots < spec.lots_min or 0 < held.lots * spec.lot_size * held.price < spec.notional_min

    def _problems(self, account: Account) -> list[str]:
        """Why this run may not begin on it, as it was told to treat it."""
        name, choice, found = account.link.name, self.choices.holdings, list[str]()
        if account.orders and self.choices.orders is Choice.REFUSE:
            found.append(f"{name} has open orders of others: {', '.join(account.orders)}")
        words = [self._words(held) for held in account.held]
        if (words or account.strangers) and choice is Choice.REFUSE:
            found.append(f"{name} holds {', '.join(words + account.strangers)}")
        elif account.strangers and choice is Choice.ADOPT:
            found.append(f"{name} holds {', '.join(account.strangers)}, which this run does not trade")
        for held, word in zip(account.held, words, strict=True):
            spec = self.universe.listings[held.listing_id]
            if choice is Choice.IGNORE and spec.kind == "linear":
                found.append(
                    f"{name} holds {word}: contracts cannot be set aside, ours would be one position with them"
                )
            if choice is Choice.ADOPT and not held.price:
                found.append(f"{name} holds {word}: no range of its price is known yet, so it cannot be given a stop")
        sides = {(self.universe.listings[held.listing_id].base, held.amount > 0) for held in account.held}
        if choice is Choice.ADOPT and len(sides) > len({base for base, _ in sides}):
            found.append(f"{name} holds an asset long and short at once, which is no position of ours")
        return found

    def _words(self, held: Held) -> str:
        spec = self.universe.listings[held.listing_id]
        worth = f" (about {abs(held.amount) * held.price:,.0f} {spec.quote})" if held.price else ""
        return f"{held.amount.normalize():f} {spec.base if spec.kind == 'spot' else spec.symbol}{worth}"

    def _fund(self, account: Account) -> None:
        """What we settle in; everything else is noted, to be compared with."""
        if not account.free:
            return  # nothing is held where nothing is traded
        settled = settled_by(account.specs)
        for asset, listing_id in settled.items():
            atoms = self.atoms(asset, account.free.get(asset, Decimal(0)))
            asset_id = self.universe.assets.index(asset)
            self.sequencer.hear(Kind.TRANSFER, listing_id, atoms=atoms, asset_id=asset_id)
        name = account.link.name
        self.ignored[name] = {asset: str(account.free[asset]) for asset in sorted(account.free.keys() - settled.keys())}

    def _take_over(self, account: Account) -> None:
        """Adopted, position by position; what is less than a lot stays set aside."""
        name, intents = account.link.name, dict[str, int]()
        for held in account.held:
            spec = self.universe.listings[held.listing_id]
            if self.choices.holdings is not Choice.ADOPT:
                self.say(f"{name}: {self._words(held)} is set aside: never sold, and compared with")
                continue
            intent_id = intents.setdefault(spec.base, int(self.sequencer.trader["next_intent_id"]) + 1)
            row = np.array([(int(held.price / spec.tick_size), held.lots)], LEVEL)
            quantity = held.lots * spec.lot_size
            self.sequencer.hear(
                Kind.ADOPTED,
                held.listing_id,
                *((row, NO_ROWS) if held.amount > 0 else (NO_ROWS, row)),
                order_id=intent_id,
                atoms=self._cost_atoms(held),
                asset_id=self.universe.assets.index(spec.quote),
            )
            if spec.kind == "spot":
                self.ignored[name][spec.base] = str(held.amount - quantity)
            self.say(f"{name}: {self._words(held)} is a position of this run from now on")

    def _cost_atoms(self, held: Held) -> int:
        """Of the quote, in whole steps of price times lot."""
        spec = self.universe.listings[held.listing_id]
        step = int(self.universe.record[0]["listings"][held.listing_id]["quote_atoms_per_tick_lot"])
        return round(held.cost / spec.tick_size * held.lots) * step

    # --- from then on -----------------------------------------------------------------------------------------
    async def keep_watch(self) -> None:
        """Look again and again, while no order is under way."""
        while True:
            await asyncio.sleep(CHECK_S)
            for link in self.links:
                with contextlib.suppress(UserError):  # asked again
                    await self.check(link)

    async def check(self, link: Link) -> None:
        """Halt when the same difference has been found often enough and nothing of ours can explain it."""
        before = self._activity()
        found = await self.differences(link)
        if (
            before != self._activity()
            or int(self.sequencer.trader["order_count"])
            or self.sequencer.trader["is_paused"]
        ):
            return
        self._doubts[link.name] = self._doubts[link.name] + 1 if found else 0
        if self._doubts[link.name] == DOUBTS_MAX:
            self.halt(found)

    def _activity(self) -> tuple[int, ...]:
        trader = self.sequencer.trader
        sums = (int(trader[f"{name}_atoms"].sum()) for name in ("fill", "fee", "funding", "transfer"))
        return int(trader["next_order_id"]), int(trader["order_count"]), *sums

    def halt(self, found: list[str]) -> None:
        for one in found:
            self.say(f"{one}: HALTED, nothing is entered")
        self.sequencer.hear(Kind.OPERATOR, 0, code=OperatorCommand.HALT)

    async def differences(self, link: Link) -> list[str]:
        """What the venue says of the account that our books do not, in words."""
        free, found = await link.balances(), list[str]()
        for asset in self.universe.assets:
            ours, theirs = self._expected(link, asset), self.atoms(asset, free.get(asset, Decimal(0)))
            if abs(ours - theirs) > self._rounded(link, asset):
                found.append(f"{link.name}: {theirs} atoms of {asset}, {ours} expected")
        for listing_id, contracts in (await link.positions()).items():
            spec, inventory = self.universe.listings[listing_id], self.sequencer.trader["inventory"]
            held = Decimal(int(inventory[listing_id]["held_atoms"])).scaleb(-self.universe.decimals[spec.base])
            if held != contracts:
                found.append(f"{spec.name}: {contracts} contracts, {held} expected")
        return found

    def _expected(self, link: Link, asset: str) -> int:
        venue_id, asset_id = self.universe.venues.index(link.name), self.universe.assets.index(asset)
        aside = self.ignored.get(link.name, {}).get(asset, "0")
        return int(self.sequencer.trader["balances"][venue_id, asset_id]) + self.atoms(asset, aside)

    def _rounded(self, link: Link, asset: str) -> int:
        """Atoms by which a wallet may differ while contracts are open: venues average their price, we do not."""
        listings = self.universe.record[0]["listings"]
        return sum(
            ROUNDINGS * int(listings[listing_id]["quote_atoms_per_tick_lot"])
            for listing_id, spec in self.links[link].items()
            if spec.kind == "linear" and spec.settle == asset
        )

    # --- after a pause ----------------------------------------------------------------------------------------
    async def compare(self, ignored: Ignored, *, is_rearmed: bool) -> bool:
        """A change that we did not cause stops all entries until a person says that it is right: then it is booked.

        False when something is still as nobody can have meant it.
        """
        self.ignored, is_right = ignored, True
        for link in self.links:
            await link.settle_in()
            found = await self.differences(link)
            if found and is_rearmed:
                await self._accept(link)
                found = await self.differences(link)
            if found:
                is_right = False
                self.halt(found)
        return is_right

    async def _accept(self, link: Link) -> None:
        """Money came or went by a hand: a transfer; coins of others are more or fewer."""
        free, settled = await link.balances(), settled_by(self.links[link])
        for asset_id, asset in enumerate(self.universe.assets):
            theirs = self.atoms(asset, free.get(asset, Decimal(0)))
            more = theirs - self._expected(link, asset)
            if not more:
                continue
            amount = Decimal(more).scaleb(-self.universe.decimals[asset])
            if asset in settled:
                self.sequencer.hear(Kind.TRANSFER, settled[asset], atoms=more, asset_id=asset_id)
            else:
                aside = self.ignored.setdefault(link.name, {})
                rest = Decimal(aside.get(asset, "0")) + amount
                if rest < 0:
                    continue  # coins of our own positions are missing: that cannot be accepted
                aside[asset] = str(rest)
            self.say(f"{link.name}: {amount.normalize():+f} {asset} that we did not cause is accepted")
        note(self.folder, ignored=self.ignored)


HINT = (
    "--holdings adopt: they become positions of this run, with a stop, and are sold by its rules; ignore: they are set "
    "aside, never sold, and compared with; or sell them first. --open-orders cancel|ignore for orders"
)


def settled_by(specs: Specs) -> dict[str, int]:
    """The assets a venue's listings settle in, each with the first listing that does."""
    settled: dict[str, int] = {}
    for listing_id, spec in specs.items():
        settled.setdefault(spec.settle, listing_id)
    return settled
