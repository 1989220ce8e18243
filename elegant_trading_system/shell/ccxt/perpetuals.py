"""What an account of linear perpetuals is asked to be before it trades, by way of ccxt, and what it then says of itself."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from ...errors import UserError
from .client import lacks

LEVERAGE = 5  # the venue's limit on what we may owe; the core's own limits are tighter
NEEDS = ("setMarginMode", "setLeverage", "fetchPositions", "fetchFundingHistory")
SO_ALREADY = {"MarginModeAlreadySet", "NoChange"}
Json = Mapping[str, Any]


def check_able(exchange: Any) -> None:
    """Raises UserError naming everything that ccxt cannot do there and that trading perpetuals needs."""
    missing = lacks(exchange, NEEDS)
    if not exchange.has.get("fetchPositionMode") and not exchange.has.get("setPositionMode"):
        missing.append("fetchPositionMode or setPositionMode")
    if missing:
        raise UserError(
            f"{exchange.id}: no perpetuals by ccxt, which has no {' and no '.join(missing)} there",
            "choose spot, or --venues without --live",
        )


async def make_ready(exchange: Any, symbols: list[str], leverage: int = LEVERAGE) -> None:
    """One position an instrument, all money as one margin, a leverage. Raises UserError when it is not made so."""
    for symbol in symbols:
        await _one_way(exchange, symbol)
        crossing = _called(exchange.set_margin_mode, "cross", symbol, {"leverage": leverage})
        await _done(exchange, f"cross margin for {symbol}", crossing)
        borrowing = _called(exchange.set_leverage, leverage, symbol, {"marginMode": "cross"})
        answer = await _done(exchange, f"leverage {leverage} for {symbol}", borrowing)
        told = answer.get("leverage") if isinstance(answer, Mapping) else None
        if told is not None and Decimal(str(told)) != leverage:
            raise UserError(f"{exchange.id} {symbol}: leverage {told} instead of {leverage}", "set it there by hand")


async def _one_way(exchange: Any, symbol: str) -> None:
    """Asked where the venue can be asked: setting it is refused by some while it is so already."""
    can_ask, purpose = bool(exchange.has.get("fetchPositionMode")), "one-way mode"
    if can_ask and not (await _done(exchange, purpose, exchange.fetch_position_mode(symbol)))["hedged"]:
        return
    if not exchange.has.get("setPositionMode"):
        raise UserError(f"{exchange.id} is in hedge mode", "set one-way mode there by hand")
    await _done(exchange, purpose, exchange.set_position_mode(False, symbol))
    if can_ask and (await _done(exchange, purpose, exchange.fetch_position_mode(symbol)))["hedged"]:
        raise UserError(f"{exchange.id} stays in hedge mode", "close positions and orders there, or set it by hand")


async def _called(method: Callable[..., Awaitable[Any]], value: Any, symbol: str, more: Json) -> Any:
    """Some venues want to be told more, and ccxt says so before it asks them; others refuse what they do not know."""
    try:
        return await method(value, symbol)
    except Exception as error:
        if type(error).__name__ != "ArgumentsRequired":
            raise
    return await method(value, symbol, more)


async def _done(exchange: Any, purpose: str, answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except Exception as error:  # a library of a hundred venues  # noqa: BLE001
        if SO_ALREADY & {one.__name__ for one in type(error).__mro__}:
            return None
        hint = "close open positions and orders there, or set it by hand"
        raise UserError(f"{exchange.id} refused {purpose}: {type(error).__name__}: {str(error)[:200]}", hint) from None


def contracts_of(positions: Iterable[Json]) -> dict[str, Decimal]:
    """Signed contracts by symbol. Raises UserError for a position that is not one of one-way mode, or has no side."""
    found: dict[str, Decimal] = {}
    for position in positions:
        contracts = Decimal(str(position.get("contracts") or 0))
        if not contracts:
            continue
        symbol, sign = position["symbol"], {"long": 1, "short": -1}.get(position.get("side") or "")
        if position.get("hedged") or symbol in found or sign is None:
            raise UserError(
                f"{symbol}: a position in hedge mode, or without a side", "close it and set one-way mode there"
            )
        found[symbol] = sign * abs(contracts)
    return found


def risks_of(positions: Iterable[Json]) -> list[dict[str, Any]]:
    """As the watch over liquidations reads them; what a venue does not say cannot be watched."""
    return [
        {
            "symbol": position["symbol"],
            "positionAmt": str(position.get("contracts") or 0),
            "markPrice": str(position.get("markPrice") or 0),
            "liquidationPrice": str(position.get("liquidationPrice") or 0),
        }
        for position in positions
    ]
