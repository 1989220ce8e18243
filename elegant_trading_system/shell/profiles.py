"""Testnets and demo modes: what stands between the emulator and money. Documented addresses only.

Their market data, the doctor and simulated orders work as with the real venues. Orders of ours go there no more than to
the real ones, so far (`hosts.check_loopback`).
"""

from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ExitCode, UserError
from .hosts import PUBLIC, read_hosts

Venues = dict[str, dict[str, Any]]


class Profile(NamedTuple):
    venue: str
    addresses: dict[str, str]
    note: str  # what one should know before believing anything that is measured there
    obstacle: str = ""  # why nothing can be done with it


PROFILES = {
    "binance-testnet": Profile(
        "binance",
        {
            "rest": "https://testnet.binance.vision/api/v3",
            "streams": "wss://stream.testnet.binance.vision",
            "ws_api": "wss://ws-api.testnet.binance.vision/ws-api/v3",
        },
        "prices and depth are its own, balances and orders are wiped about once a month",
    ),
    "binance-demo": Profile(
        "binance",
        {
            "rest": "https://demo-api.binance.com/api/v3",
            "streams": "wss://demo-stream.binance.com",
            "ws_api": "wss://demo-ws-api.binance.com/ws-api/v3",
        },
        "prices like the real venue's, play money",
    ),
    "binance-usdm-testnet": Profile(
        "binanceusdm",
        {
            "rest": "https://demo-fapi.binance.com/fapi/v1",
            "streams": "wss://demo-fstream.binance.com",
            "ws_api": "wss://testnet.binancefuture.com/ws-fapi/v1",
        },
        "prices and depth are its own, and it is more patient than the real venue",
    ),
    "coinbase-sandbox": Profile(
        "coinbase",
        {"rest": "https://api-sandbox.coinbase.com/api/v3/brokerage"},
        "canned answers",
        "it gives canned answers to questions about accounts and orders, has no market data and matches nothing",
    ),
}


def is_profile(hosts: Path) -> bool:
    """A profile's name, unless there is a file of that name."""
    return str(hosts) in PROFILES and not hosts.exists()


def venues_of(hosts: Path, bases: list[str]) -> Venues:
    """The venues of a profile, for instruments by their base asset, or those that a file names."""
    if not is_profile(hosts):
        if not hosts.exists():
            known = f"or a profile: {', '.join(PROFILES)}"
            raise UserError(
                f"--hosts {hosts}: there is no such file", f"what `ets emulator` prints, {known}", ExitCode.USAGE
            )
        return read_hosts(hosts)
    profile = PROFILES[str(hosts)]
    if profile.obstacle:
        raise UserError(
            f"{hosts}: {profile.obstacle}", "`ets emulator` speaks the same protocol and matches", ExitCode.USAGE
        )
    symbols = [PUBLIC[profile.venue]["symbol"].format(base=base) for base in bases]
    return {profile.venue: {**profile.addresses, "symbols": symbols}}


def check_live(hosts: Path) -> None:
    """Raises UserError for orders to a profile's venue."""
    if is_profile(hosts):
        raise UserError(
            f"--live --hosts {hosts}: orders go to this machine only, so far; not even to a testnet",
            "without --live its data is real and orders are simulated; "
            "orders will leave once the software itself can say what the evidence is worth",
            ExitCode.USAGE,
        )
