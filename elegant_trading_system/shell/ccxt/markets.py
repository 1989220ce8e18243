"""Which of a venue's markets is meant, and what its numbers mean."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from ...data.tape import ListingSpec
from ...errors import UserError
from .client import near
from .feed import exact

Market = Mapping[str, Any]
QUOTES = ("USD", "USDT", "USDC")  # for a base alone: dollars where the venue has them
BPS = 10_000


class Instrument(NamedTuple):
    """A listing, and what the venue calls the amount of one lot of it: coins, or contracts."""

    spec: ListingSpec
    lot: Decimal


def chosen(venue: str, markets: Mapping[str, Market], wish: str) -> str:
    """The symbol of what was asked for: as ccxt writes it, or a base alone. Raises UserError, with what is near."""
    if wish in markets:
        return wish
    names = [f"{wish}/{quote}" for quote in QUOTES] + [f"{wish}/{quote}:{quote}" for quote in QUOTES]
    for name in names:
        if name in markets and markets[name].get("active") is not False:
            return name
    if by_id := [name for name, market in markets.items() if market.get("id") == wish]:
        return by_id[0]  # in the venue's own words
    base = wish.partition("/")[0]
    alike = [name for name, market in markets.items() if market.get("base") == base and not market.get("option")][:8]
    meant = ", ".join(alike) or near(wish, markets)
    raise UserError(f"{venue} has no {wish}", f"did you mean {meant}?" if meant else "ccxt writes BTC/USDT")


def spec_of(venue: str, market: Market) -> ListingSpec:
    return instrument_of(venue, market).spec


def instrument_of(venue: str, market: Market) -> Instrument:
    """From ccxt's market. Raises UserError for what has no steps, and for what is neither spot nor a linear perpetual."""
    symbol, is_spot = market["symbol"], bool(market.get("spot"))
    precision, limits = market["precision"], market["limits"]
    if not is_spot and not (market.get("swap") and market.get("linear")):
        kind = "inverse" if market.get("inverse") else str(market.get("type") or "of an unknown kind")
        raise UserError(f"{venue} {symbol} is {kind}: neither spot nor a linear perpetual", "leave it out")
    if not precision.get("price") or not precision.get("amount"):
        raise UserError(f"{venue} {symbol}: the venue does not say its steps of price and amount", "leave it out")
    if not is_spot and not market.get("contractSize"):
        raise UserError(f"{venue} {symbol}: the venue does not say how much a contract is", "leave it out")
    lot = exact(precision["amount"]).normalize()
    size = Decimal(1) if is_spot else exact(market["contractSize"])
    least, cost = limits["amount"].get("min") or 0, (limits.get("cost") or {}).get("min") or 0
    taker = market.get("taker")
    spec = ListingSpec(
        venue=venue,
        symbol=symbol,
        kind="spot" if is_spot else "linear",
        base=market["base"],
        quote=market["quote"],
        settle=market["quote"] if is_spot else market["settle"],
        tick_size=exact(precision["price"]).normalize(),
        lot_size=(lot * size).normalize(),
        lots_min=max(1, -int(-exact(least) // lot)),
        notional_min=exact(cost),
        taker_fee_bps=None if taker is None or taker < 0 else Decimal(f"{(exact(taker) * BPS).normalize():f}"),
    )
    return Instrument(spec, lot)
