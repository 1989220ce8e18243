"""Trading emulated venues by the road that ccxt offers: `python ets_over_ccxt.py SITE_PACKAGES FOLDER VENUES HOW FAULT...`.

HOW is live, paper, funding (a payment while a position is held), resumed (killed while one is held), meddled (one that
somebody else opened) or adopted (one of before the run, beside an order of somebody's). ccxt comes from its own environment, behind everything of ours. Prints what both sides hold as one
JSON line.
"""

import asyncio
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.append(sys.argv[1])

from elegant_trading_system.cli_emulator import addresses, embedded
from elegant_trading_system.emulator.embedded import Embedded
from elegant_trading_system.emulator.faults import parse
from elegant_trading_system.emulator.perpetuals import PerpetualAccount, Perpetuals
from elegant_trading_system.shell import run_folder
from elegant_trading_system.shell.accounts import Choice, Choices
from elegant_trading_system.shell.ccxt import link as ccxt_link
from elegant_trading_system.shell.hosts import link_to, paper_links
from elegant_trading_system.shell.live import LiveRun, wall_ns
from tests.builders import loose
from tests.live.test_accounts import QUIET, hold, rest
from tests.live.trading import PATIENCE_S, SCENE, begun, has_sent, trade_until, until

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


def bases(name: str) -> list[str]:
    """The names of an error's type and what it is derived from, as ccxt has them."""
    import ccxt  # type: ignore[import-not-found, unused-ignore]

    return [one.__name__ for one in getattr(ccxt, name).__mro__]


def held(place: Embedded) -> dict[str, str]:
    """What the venues say, all together."""
    found: dict[str, Decimal] = {}
    for exchange in place.market.exchanges.values():
        for asset, balance in exchange.accounts["trader"].balances.items():
            found[asset] = found.get(asset, Decimal(0)) + balance.free + balance.locked
    return {asset: str(amount) for asset, amount in found.items()}


def perpetuals(place: Embedded) -> tuple[Perpetuals, PerpetualAccount]:
    exchange = place.market.exchanges["binanceusdm"]
    assert isinstance(exchange, Perpetuals)
    account = exchange.accounts["trader"]
    assert isinstance(account, PerpetualAccount)
    return exchange, account


async def paid(live: LiveRun, exchange: Perpetuals) -> None:
    """Trade until funding has been paid on a position, and heard of."""
    running = begun(live)
    await until(running, lambda: has_sent(live, 1))
    ms = wall_ns() // 1_000_000
    while not running.done() and not exchange.pay_funding(ms):
        exchange.next_funding_ms = ms
        await asyncio.wait([running], timeout=0.02)
    trader = live.sequencer.trader
    await until(running, trader["funding_atoms"].any)
    await until(running, lambda: not trader["order_count"] and not trader["open_count"], 0.01)
    live.stop()
    await running


async def resumed(live: LiveRun, links: list[Any], said: list[str]) -> LiveRun:
    """Killed while a position is held; it goes on until that is closed."""
    running = begun(live)
    await until(running, lambda: has_sent(live, 1))
    trader = live.sequencer.trader
    await until(running, lambda: trader["inventory"][0]["held_atoms"] and not trader["order_count"], 0.005)
    running.cancel()  # at once: in the second of a polite end the position could be closed
    await asyncio.gather(running, return_exceptions=True)
    again = LiveRun(links, loose(), live.folder, say=said.append, recovered=run_folder.recover(live.folder))
    going = asyncio.create_task(again.run(PATIENCE_S))
    await until(going, lambda: again.universe is not None and again.sequencer.ts_ns > live.sequencer.ts_ns)
    trader = again.sequencer.trader
    await until(going, lambda: not trader["order_count"] and not trader["open_count"], 0.01)
    again.stop()
    await going
    return again


async def meddled(live: LiveRun, exchange: Perpetuals, account: PerpetualAccount) -> None:
    """Somebody else opens a position on our account, while we hold nothing."""
    running = begun(live)
    await until(running, lambda: has_sent(live, 0))
    account.position(next(iter(exchange.instruments.values()))).lots += 7
    await until(running, lambda: int(live.sequencer.trader["is_halted"]))
    live.stop()
    await running


async def adopted(live: LiveRun) -> None:
    """Until what was held before the run has been let go by its rules."""
    running, trader = begun(live), lambda: live.sequencer.trader
    await until(running, lambda: has_sent(live, 1))
    await until(running, lambda: not trader()["order_count"] and not trader()["open_count"], 0.01)
    live.stop()
    await running


async def main(folder: Path, venues: list[str], how: str, faults: list[str]) -> dict[str, Any]:
    going_wrong, place, said = parse(faults, 3), embedded(SCENE, venues, 100_000.0), list[str]()
    ccxt_link.POSITIONS_CHECK_S = 0.3
    async with place.serve(wall_ns, going_wrong) as doors:
        if "binanceusdm" in venues:
            perpetuals(place)[1].is_hedged = how == "live"
        where = {f"ccxt:{door.venue}": addresses(door) for door in doors if door.venue in venues}
        links = [link_to(venue, there, wall_ns) for venue, there in where.items()]
        if how == "paper":
            links = list(paper_links(where, loose(), wall_ns))
        if how in ("paper", "live"):
            live = await trade_until(links, folder, ORDERS, going_wrong)
        elif how == "adopted":
            hold(place, place.market.exchanges[venues[0]].accounts["trader"], "0.5")
            rest(place, venues[0], place.market.exchanges[venues[0]].accounts["trader"])
            choices = Choices(Choice.ADOPT, Choice.CANCEL)
            live = LiveRun(links, loose(*QUIET), folder, say=said.append, choices=choices)
            await adopted(live)
        else:
            live = LiveRun(links, loose(), folder, say=said.append)
            at = perpetuals(place)
            if how == "resumed":
                anew = [link_to(venue, there, wall_ns) for venue, there in where.items()]
                live = await resumed(live, anew, said)
            else:
                await (paid(live, at[0]) if how == "funding" else meddled(live, *at))
    summary, trader = run_folder.finish(folder, 1.0), live.sequencer.trader
    accounts = [exchange.accounts["trader"] for exchange in place.market.exchanges.values()]
    sides: list[Any] = [getattr(link, "inner", link) for link in live.links]
    perpetual = [account for account in accounts if isinstance(account, PerpetualAccount)]
    return {
        "venue": held(place),
        "ours": {asset: [entry["balance"], entry["decimals"]] for asset, entry in summary["assets"].items()},
        "orders": summary["orders"],
        "fills": summary["fills"],
        "refused": [
            summary["refused_reports"],
            summary["refused_rows"],
            *(side.feed.counts["refused"] for side in sides),
        ],
        "crossed": summary["crossed_books"],
        "names": [order.client_id for account in accounts for order in account.orders.values()],
        "contracts": [
            [sum(position.lots for account in perpetual for position in account.positions.values())],
            [round(int(row["held_atoms"]) / 10**4) for row in trader["inventory"][: len(live.known.listings)]],
        ],
        "open": [len(account.open_orders()) for account in accounts],
        "exits": [order.is_reduce_only for account in perpetual for order in account.orders.values()],
        "hedged": [account.is_hedged for account in perpetual],
        "funding": [
            str(sum(row.amount for account in perpetual for row in account.income)),
            str(Decimal(int(trader["funding_atoms"].sum())).scaleb(-live.known.decimals["USDT"])) if perpetual else "",
        ],
        "halted": int(trader["is_halted"]),
        "said": said,
        "errors": {name: bases(name) for name in ERRORS},
    }


_, _, out, names, manner, *wrong = sys.argv
sys.stdout.write(json.dumps(asyncio.run(main(Path(out), names.split(","), manner, wrong))) + "\n")
