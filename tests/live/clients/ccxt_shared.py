"""What the scripts that drive ccxt.pro have in common: where it is pointed, errors by type, orders as told."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import ccxt.pro as ccxt  # type: ignore[import-not-found, unused-ignore]

IOC = {"timeInForce": "IOC"}


def pointed(exchange: Any, real: str, local: str) -> Any:
    """Every REST address at another host."""
    urls = exchange.urls["api"]
    for name, url in urls.items():
        if isinstance(url, str):
            urls[name] = url.replace(real, local)
    return exchange


async def kind_of_error(action: Any) -> str:
    try:
        await action
    except ccxt.BaseError as error:
        return type(error).__name__
    return "none"


async def watch_orders(exchange: Any, symbol: str, seen: list[Any]) -> None:
    while True:
        orders = await exchange.watch_orders(symbol)
        seen += [[order["clientOrderId"], order["status"], order["filled"]] for order in orders]


async def follow_book(exchange: Any, symbol: str, books: int, found: dict[str, Any]) -> None:
    """It keeps the book itself; where the venue numbers its frames it raises ChecksumError on a gap."""
    for _ in range(books):
        book = await exchange.watch_order_book(symbol)
        found["nonces"].append(book["nonce"])
        found["crossed"] += book["bids"][0][0] >= book["asks"][0][0]
        found["levels"] = min(len(book["bids"]), len(book["asks"]), found.get("levels", 1000))


async def _told(exchange: Any, symbol: str, drive: Callable[[Any, dict[str, Any]], Awaitable[None]]) -> None:
    found, seen = dict[str, Any](crossed=0, nonces=[]), list[Any]()
    try:
        await exchange.load_markets()
        watching = asyncio.create_task(watch_orders(exchange, symbol, seen))
        await drive(exchange, found)
        await asyncio.sleep(0.5)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        sys.stdout.write(json.dumps(found | {"events": seen}) + "\n")
    finally:
        await exchange.close()


def tell(
    client: Callable[[dict[str, Any]], Any], symbol: str, drive: Callable[[Any, dict[str, Any]], Awaitable[None]]
) -> None:
    """Drive the client that WHERE on the command line makes; print what it saw as one JSON line."""
    asyncio.run(_told(client(json.loads(sys.argv[1])), symbol, drive))
