"""What the scripts that drive python-binance have in common: errors by code, events as told, a book that is followed."""

from collections.abc import Callable
from typing import Any

from binance.exceptions import BinanceAPIException  # type: ignore[import-not-found]


async def code_of(action: Any) -> int:
    try:
        await action
    except BinanceAPIException as error:
        return int(error.code)
    return 0


async def hear(socket: Any, read: Callable[[Any], list[Any]], seen: list[Any]) -> None:
    """What `read` makes of each event, until cancelled."""
    async with socket as messages:
        while True:
            message = await messages.recv()
            seen += read(message.get("event", message))


async def follow_book(manager: Any, books: int, found: dict[str, Any]) -> None:
    """A book kept by the client's own rules."""
    async with manager as updates:
        for _ in range(books):
            book = await updates.recv()
            found["crossed"] += float(book.get_bids()[0][0]) >= float(book.get_asks()[0][0])
        found["depth"] = [len(book.get_bids()), len(book.get_asks())]
        found["touch"] = [float(book.get_bids()[0][0]), float(book.get_asks()[0][0])]
