"""Trading an emulated Binance Spot by the road that ccxt offers: `python ets_over_ccxt.py SITE_PACKAGES FOLDER`.

ccxt comes from its own environment, behind everything of ours. Prints what both sides hold as one JSON line.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

sys.path.append(sys.argv[1])

from elegant_trading_system.cli_emulator import Scene, addresses, embedded
from elegant_trading_system.emulator.faults import parse
from elegant_trading_system.shell import run_folder
from elegant_trading_system.shell.ccxt.link import CcxtLink, exchange_of
from elegant_trading_system.shell.live import LiveRun, wall_ns
from tests.builders import loose

ORDERS = 6
PATIENCE_S = 300.0
ERRORS = (
    "InsufficientFunds",
    "InvalidOrder",
    "BadRequest",
    "BadSymbol",
    "AuthenticationError",
    "PermissionDenied",
    "OperationRejected",
    "OrderNotFillable",
    "RateLimitExceeded",
    "InvalidNonce",
    "ExchangeNotAvailable",
    "OnMaintenance",
    "RequestTimeout",
    "NetworkError",
    "DDoSProtection",
    "OperationFailed",
    "BadResponse",
    "ExchangeError",
    "DuplicateOrderId",
)


def client(where: dict[str, Any]) -> Any:
    """ccxt pointed at this machine."""
    exchange = exchange_of("binance", where["api_key"], where["api_secret"])
    exchange.options |= {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}
    base, urls = where["rest"].removesuffix("/api/v3"), exchange.urls["api"]
    for name, url in urls.items():
        if isinstance(url, str):
            urls[name] = url.replace("https://api.binance.com", base)
    urls["ws"]["spot"] = where["streams"] + "/stream/ws"
    urls["ws"]["ws-api"]["spot"] = where["ws_api"]
    return exchange


def bases(name: str) -> list[str]:
    """The names of an error's type and what it is derived from, as ccxt has them."""
    import ccxt  # type: ignore[import-not-found, unused-ignore]

    return [one.__name__ for one in getattr(ccxt, name).__mro__]


async def held(where: dict[str, Any]) -> dict[str, str]:
    """As the venue says, asked by another client."""
    exchange = client(where)
    try:
        found = await exchange.privateGetAccount()
    finally:
        await exchange.close()
    return {row["asset"]: row["free"] for row in found["balances"]}


async def main(folder: Path) -> None:
    config = loose()
    place = embedded(Scene("", ["BTC"], 1, 0.3, 30 * 60, []), ["binance"], 100_000.0)
    async with place.serve(wall_ns, parse([], 1)) as (door,):
        where = addresses(door)
        link = CcxtLink(client(where), ["BTC/USDT"], wall_ns)
        live = LiveRun([link], config, folder)
        running = asyncio.create_task(
            live.run(PATIENCE_S, lambda run: run_folder.begin(folder, config, run.known, "test"))
        )
        while not running.done() and (live.universe is None or live.sequencer.trader["next_order_id"] < ORDERS):
            await asyncio.wait([running], timeout=0.1)
        while not running.done() and live.sequencer.trader["order_count"]:
            await asyncio.wait([running], timeout=0.01)
        live.stop()
        await running
        venue = await held(where)
    summary = run_folder.finish(folder, 1.0)
    found = {
        "venue": venue,
        "ours": {asset: [entry["balance"], entry["decimals"]] for asset, entry in summary["assets"].items()},
        "orders": summary["orders"],
        "fills": summary["fills"],
        "refused": [summary["refused_reports"], summary["refused_rows"], link.feed.counts["refused"]],
        "crossed": summary["crossed_books"],
        "counts": [dict(link.feed.counts), dict(link.gateway.counts)],
        "errors": {name: bases(name) for name in ERRORS},
    }
    sys.stdout.write(json.dumps(found) + "\n")


asyncio.run(main(Path(sys.argv[2])))
