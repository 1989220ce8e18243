"""Binance instruments: what a raw symbol is called here, and the steps its integers count.

Steps of well-known symbols are a table; of others they are inferred as the finest decimal step in the data.
"""

from decimal import Decimal
from enum import Enum
from typing import NamedTuple

from ..tape import ListingSpec

QUOTES = ("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USD1", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL", "JPY")


class Market(Enum):
    """The three Binance order books; the value is the ccxt exchange id."""

    SPOT = "binance"
    LINEAR = "binanceusdm"
    INVERSE = "binancecoinm"


class Steps(NamedTuple):
    tick_size: Decimal
    lot_size: Decimal


def _steps(tick_size: str, lot_size: str) -> Steps:
    return Steps(Decimal(tick_size), Decimal(lot_size))


KNOWN_STEPS = {
    (Market.SPOT, "BTCUSDT"): _steps("0.01", "0.00001"),
    (Market.SPOT, "ETHUSDT"): _steps("0.01", "0.0001"),
    (Market.LINEAR, "BTCUSDT"): _steps("0.1", "0.001"),
    (Market.LINEAR, "ETHUSDT"): _steps("0.01", "0.001"),
    (Market.INVERSE, "BTCUSD_PERP"): _steps("0.1", "1"),
    (Market.INVERSE, "ETHUSD_PERP"): _steps("0.01", "1"),
}
NOTIONAL_MIN = {(Market.LINEAR, "BTC"): 100, (Market.LINEAR, "ETH"): 20}
NOTIONAL_MIN_DEFAULT = 5
CONTRACT_QUOTE = {"BTC": 100}
CONTRACT_QUOTE_DEFAULT = 10


def split_symbol(market: Market, raw: str) -> tuple[str, str] | None:
    """Base and quote of BTCUSDT or BTCUSD_PERP; None for what is neither (dated futures among them)."""
    if market is Market.INVERSE:
        return (raw.removesuffix("USD_PERP"), "USD") if raw.endswith("USD_PERP") and raw != "USD_PERP" else None
    for quote in QUOTES:
        if raw.endswith(quote) and raw != quote and raw.isalnum():
            return raw.removesuffix(quote), quote
    return None


def listing_spec(market: Market, raw: str, steps: Steps) -> ListingSpec:
    """The listing a raw symbol stands for."""
    names = split_symbol(market, raw)
    assert names is not None, raw
    base, quote = names
    settle = base if market is Market.INVERSE else quote
    return ListingSpec(
        venue=market.value,
        symbol=f"{base}/{quote}" if market is Market.SPOT else f"{base}/{quote}:{settle}",
        kind={Market.SPOT: "spot", Market.LINEAR: "linear", Market.INVERSE: "inverse"}[market],
        base=base,
        quote=quote,
        settle=settle,
        tick_size=steps.tick_size,
        lot_size=steps.lot_size,
        contract_quote=Decimal(_contract_quote(market, base)),
        notional_min=Decimal(_notional_min(market, base)),
    )


def _contract_quote(market: Market, base: str) -> int:
    return CONTRACT_QUOTE.get(base, CONTRACT_QUOTE_DEFAULT) if market is Market.INVERSE else 0


def _notional_min(market: Market, base: str) -> int:
    """An inverse contract has a fixed value of its own: one contract is the least, whatever it is worth."""
    return 0 if market is Market.INVERSE else NOTIONAL_MIN.get((market, base), NOTIONAL_MIN_DEFAULT)
