"""What can be asked of Coinbase before money is: clock, products, the market's line, the key and what it may do."""

import asyncio
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import aiohttp
from yarl import URL

from ...errors import UserError
from ..doctor import Finding
from ..doctor_venue import TIMEOUT_S, Unanswered, ask, reach
from .auth import Signer
from .link import Place

NS_PER_S = 1_000_000_000
NAME = "coinbase"
SUBSCRIBE = '{"type":"subscribe","channel":"heartbeats"}'
HINDRANCES = ("is_disabled", "trading_disabled", "cancel_only", "auction_mode", "view_only", "post_only")


async def examine(place: Place, products: list[str], now_ns: Callable[[], int]) -> list[Finding]:
    """All checks; what cannot be asked because something before it failed is skipped."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as http:
        reached = await reach(http, NAME, f"{place.rest}/time", lambda answer: int(answer["epochMillis"]), now_ns)
        if reached[0].result == "fail":
            names = ("products", "market streams", "key", "permissions")
            return [*reached, *(Finding(f"{NAME} {name}", "skipped", "the venue was not reached") for name in names)]
        found = [await _product(http, place, product) for product in products]
        return [*reached, *found, await _streams(http, place), *await _key(http, place, now_ns)]


async def _product(http: aiohttp.ClientSession, place: Place, product: str) -> Finding:
    try:
        status, entry = await ask(http, f"{place.rest}/market/products/{product}")
    except Unanswered as error:
        return Finding(f"{NAME} {product}", "fail", str(error), "try again later")
    return product_finding(product, entry if status == 200 else None)


def product_finding(product: str, entry: dict[str, Any] | None) -> Finding:
    """Is it traded, by limit orders, on a grid that is said?"""
    name = f"{NAME} {product}"
    if entry is None:
        return Finding(name, "fail", "not there", "products are written as the venue does: BTC-USD")
    hindrances = [which for which in HINDRANCES if entry.get(which)]
    if entry.get("status") != "online" or hindrances:
        return Finding(name, "fail", f"is {', '.join(hindrances) or entry.get('status')}", "leave it out")
    steps = {
        "tick": entry.get("price_increment") or entry.get("quote_increment") or "0",
        "lot": entry.get("base_increment") or "0",
        "least": entry.get("quote_min_size") or "0",
    }
    if missing := [which for which in ("tick", "lot") if not Decimal(steps[which])]:
        return Finding(name, "fail", f"no {' and '.join(missing)}", "leave it out")
    return Finding(name, "ok", "online, " + ", ".join(f"{k} {Decimal(v).normalize():f}" for k, v in steps.items()))


async def _streams(http: aiohttp.ClientSession, place: Place) -> Finding:
    name, began = f"{NAME} market streams", time.perf_counter()
    try:
        async with http.ws_connect(place.streams) as socket, asyncio.timeout(TIMEOUT_S):
            await socket.send_str(SUBSCRIBE)
            await socket.receive_str()
    except (aiohttp.ClientError, OSError, TimeoutError, TypeError) as error:
        return Finding(name, "fail", f"{place.streams}: {error or 'silent'}", "books come from here")
    return Finding(name, "ok", f"first message after {(time.perf_counter() - began) * 1000:.0f} ms")


async def _key(http: aiohttp.ClientSession, place: Place, now_ns: Callable[[], int]) -> list[Finding]:
    names = f"{NAME} key", f"{NAME} permissions"
    if not place.api_key or not place.secret:
        return [Finding(name, "skipped", "no key is set") for name in names]
    url = URL(f"{place.rest}/key_permissions")
    try:
        token = Signer(place.api_key, place.secret).rest("GET", url.authority, url.path, now_ns() / NS_PER_S)
        status, allowed = await ask(http, str(url), {"Authorization": f"Bearer {token}"})
    except UserError as error:
        return [
            Finding(names[0], "fail", error.message, error.hint),
            Finding(names[1], "skipped", "no key to ask with"),
        ]
    except Unanswered:  # a refusal is no JSON
        status, allowed = 401, {}
    if status != 200:
        advice = "is it of this venue, is its secret the private key as downloaded, is the clock right?"
        return [Finding(names[0], "fail", f"refused ({status})", advice), Finding(names[1], "skipped", "refused")]
    return [Finding(names[0], "ok", "the venue knows it"), permission_finding(allowed)]


def permission_finding(allowed: dict[str, Any]) -> Finding:
    """One that can move money away is refused; what is not said counts as given."""
    name = f"{NAME} permissions"
    if allowed.get("can_transfer") is not False:
        return Finding(name, "fail", "the key can move money away: can_transfer", "make one that can only trade")
    if not allowed.get("can_trade"):
        return Finding(name, "fail", "the key cannot trade", "allow trading, and nothing else")
    return Finding(name, "ok", "can trade, cannot transfer")
