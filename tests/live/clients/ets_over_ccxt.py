"""Trading an emulated Binance Spot by the road that ccxt offers: `python ets_over_ccxt.py SITE_PACKAGES FOLDER`.

ccxt comes from its own environment, behind everything of ours. Prints what both sides hold as one JSON line.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

sys.path.append(sys.argv[1])

from elegant_trading_system.cli_emulator import addresses, embedded
from elegant_trading_system.emulator.faults import Faults
from elegant_trading_system.shell import run_folder
from elegant_trading_system.shell.ccxt.client import exchange_of
from elegant_trading_system.shell.ccxt.link import CcxtLink
from elegant_trading_system.shell.hosts import link_to
from elegant_trading_system.shell.live import wall_ns
from tests.live.trading import SCENE, trade_until

ORDERS = 6
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
    """Another one than the run's."""
    exchange = exchange_of("binance", where["api_key"], where["api_secret"])
    exchange.urls["api"]["private"] = where["rest"]
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
    faults = Faults({}, 0)
    async with embedded(SCENE, ["binance"], 100_000.0).serve(wall_ns, faults) as (door,):
        where = addresses(door)
        link = link_to("ccxt:binance", where, wall_ns)
        assert isinstance(link, CcxtLink)
        await trade_until([link], folder, ORDERS, faults)
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
