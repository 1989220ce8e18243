"""Which transfers would let the router do what it wanted: cash lies where it was put, orders go where books are better.

A proposal, in words and numbers. Nothing here, and nothing that calls it, moves money.
"""

from collections import Counter, defaultdict
from decimal import ROUND_DOWN, Decimal
from typing import Any, NamedTuple

from ..core.kinds import CommandKind, ListingKind, Verdict
from ..data.universe import Universe
from .prices import asset_prices
from .session import Session

ROOM = Decimal("1.1")  # fees and prices that run away while money is on its way
LEAST_SHARE, LEAST = Decimal("0.01"), Decimal(100)  # of all money; and in dollars: less is not worth a withdrawal's fee
KEPT_SHARE = Decimal("0.1")  # of its own money stays where nothing was wanted: it could not be tried otherwise
CENT = Decimal("0.01")
Key = tuple[str, str]  # venue, asset


class Purse(NamedTuple):
    """What one venue's account has of an asset it settles in, and what was wanted of it. Dollars of any kind."""

    venue: str
    asset: str
    free: Decimal
    bound: Decimal  # in positions: comes back when they are closed
    wanted: Decimal  # the largest position of every group that went there, all at once
    refused: int  # intents that found too little to pay for a smallest order

    @property
    def money(self) -> Decimal:
        return self.free + self.bound

    @property
    def missing(self) -> Decimal:
        return max(self.wanted * ROOM - self.money, Decimal(0))

    @property
    def spare(self) -> Decimal:
        """What can leave without being missed, now."""
        kept = max(self.wanted * ROOM, self.money * KEPT_SHARE)
        return max(min(self.free, self.money - kept), Decimal(0))


class Transfer(NamedTuple):
    from_venue: str
    to_venue: str
    asset: str  # what leaves
    to_asset: str  # what is needed there: where it is another, it is changed on the way
    amount: Decimal
    why: str


def propose(purses: list[Purse]) -> list[Transfer]:
    """From where money is spare to where it is missing, the worst first; nothing that is too small to be sensible."""
    least = max(LEAST, sum((purse.money for purse in purses), Decimal(0)) * LEAST_SHARE)
    spare = {(purse.venue, purse.asset): purse.spare for purse in purses}
    found: list[Transfer] = []
    for needy in sorted(purses, key=lambda purse: (-purse.refused, -purse.missing, purse.venue)):
        missing = needy.missing
        for venue, asset in sorted(spare, key=lambda key: (key[1] != needy.asset, -spare[key], key)):
            amount = min(missing, spare[venue, asset]).quantize(CENT, ROUND_DOWN)
            if (venue, asset) == (needy.venue, needy.asset) or amount < least:
                continue
            found.append(Transfer(venue, needy.venue, asset, needy.asset, amount, _why(needy)))
            spare[venue, asset] -= amount
            missing -= amount
    return found


def _why(needy: Purse) -> str:
    refused = f"{needy.refused} intents found too little {needy.asset} there; " if needy.refused else ""
    return f"{refused}its largest positions take {needy.wanted:,.0f}, {needy.money:,.0f} are there"


def in_words(transfers: list[dict[str, Any]]) -> list[str]:
    """One sentence each, as `rebalancing` tells them."""
    return [
        f"{one['amount']} {one['asset']} from {one['from_venue']} to {one['to_venue']}"
        + (f", changed into {one['to_asset']}" if one["asset"] != one["to_asset"] else "")
        + f": {one['why']}"
        for one in transfers
    ]


# --- from a run -------------------------------------------------------------------------------------------
def rebalancing(session: Session) -> dict[str, Any]:
    """The accounts at the end of a run, and the transfers that are proposed: for its summary."""
    purses = purses_of(session)
    accounts = {
        f"{purse.venue} {purse.asset}": {
            "free": f"{purse.free.quantize(CENT):f}",
            "in_positions": f"{purse.bound.quantize(CENT):f}",
            "wanted": f"{purse.wanted.quantize(CENT):f}",
            "refused_intents": purse.refused,
        }
        for purse in purses
    }
    transfers = [one._asdict() | {"amount": f"{one.amount:f}"} for one in propose(purses)]
    return {"accounts": accounts, "transfers": transfers}


def purses_of(session: Session) -> list[Purse]:
    """One for every venue and asset that something is settled in there."""
    universe = session.universe
    largest, refused = _largest(session), _refused(session)
    keys = dict.fromkeys((spec.venue, spec.settle) for spec in universe.listings if spec.kind in ("spot", "linear"))
    free = {key: _money(universe, session.traders[0]["balances"], key) for key in keys}
    whole = sum(free.values(), Decimal(0))
    typical = max((size for sizes in largest.values() for size in sizes.values()), default=whole / max(len(keys), 1))
    purses = list[Purse]()
    for key in keys:
        sizes = dict(largest[key])
        for group, count in refused[key].items():
            sizes[group] = max(sizes.get(group, Decimal(0)), typical if count else Decimal(0))
        bound = _bound(session, key)
        cash = free[key] - _open_cost(session, key)
        purses.append(Purse(*key, cash, bound, sum(sizes.values(), Decimal(0)), refused[key].total()))
    return purses


def _money(universe: Universe, balances: Any, key: Key) -> Decimal:
    atoms = int(balances[universe.venues.index(key[0]), universe.assets.index(key[1])])
    return Decimal(atoms).scaleb(-universe.decimals[key[1]])


def _largest(session: Session) -> dict[Key, dict[str, Decimal]]:
    """By account and group: the most that one intent sent there."""
    universe, sums = session.universe, defaultdict[tuple[Key, str, int], Decimal](Decimal)
    for command in session.logs[0].joined("commands"):
        if command["kind"] == CommandKind.SEND and not command["is_reduce_only"] and not command["wave"]:
            spec = universe.listings[int(command["listing_id"])]
            worth = int(command["price_ticks"]) * spec.tick_size * int(command["lots"]) * spec.lot_size
            sums[(spec.venue, spec.settle), spec.base, int(command["intent_id"])] += worth
    found = defaultdict[Key, dict[str, Decimal]](dict)
    for (key, group, _), worth in sums.items():
        found[key][group] = max(found[key].get(group, Decimal(0)), worth)
    return found


def _refused(session: Session) -> dict[Key, Counter[str]]:
    """By account and group: intents without balance, at the venue that was the group's first choice."""
    universe, trader = session.universe, session.traders[0]
    found = defaultdict[Key, Counter[str]](Counter)
    for row in session.logs[0].joined("evaluations"):
        if row["verdict"] == Verdict.INSUFFICIENT_BALANCE and not row["is_sample"]:
            memory = trader["groups"][int(row["group_id"])]
            spec = universe.listings[int(memory["primary_ids"][0 if row["side"] > 0 else 1])]
            found[spec.venue, spec.settle][universe.groups[int(row["group_id"])]] += 1
    return found


def _bound(session: Session, key: Key) -> Decimal:
    """What the positions of an account are worth: coins at the last price, contracts at what they cost."""
    universe, prices, worth = session.universe, asset_prices(session), _open_cost(session, key)
    for listing_id, spec in enumerate(universe.listings):
        held = int(session.traders[0]["inventory"][listing_id]["held_atoms"])
        if (spec.venue, spec.settle) == key and spec.kind == "spot" and held:
            coins = Decimal(held).scaleb(-universe.decimals[spec.base])
            worth += coins * Decimal(str(prices[universe.assets.index(spec.base)]))
    return worth


def _open_cost(session: Session, key: Key) -> Decimal:
    """What open contracts take of the balance: the core pays for them in full."""
    universe, total = session.universe, Decimal(0)
    for listing_id, listing in enumerate(universe.record[0]["listings"][: len(universe.listings)]):
        spec = universe.listings[listing_id]
        if (spec.venue, spec.settle) == key and listing["kind"] == ListingKind.LINEAR:
            atoms = abs(int(session.traders[0]["inventory"][listing_id]["open_cost"])) * int(
                listing["quote_atoms_per_tick_lot"]
            )
            total += Decimal(atoms).scaleb(-universe.decimals[spec.settle])
    return total
