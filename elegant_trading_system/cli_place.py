"""Where a run trades: simulated venues, venues that run already, or real ones on paper."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .cli_doctor import check_hosts
from .cli_emulator import Scene, addresses, embedded
from .cli_fetch import CATALOG
from .cli_parse import names_of

if TYPE_CHECKING:
    from .config import Config

Venues = dict[str, dict[str, Any]]


class Place(NamedTuple):
    """What to call it, how to open it, and whether orders are simulated on this side."""

    title: str
    opened: Callable[[], contextlib.AbstractAsyncContextManager[Venues]]
    is_paper: bool = False
    catalog: Path | None = None  # of what `ets fetch` has got


def place_of(
    venues: str,
    hosts: Path | None,
    scene: Scene,
    fault: list[str] | None,
    config: "Config",
    *,
    is_live: bool,
    keys_checked: Sequence[str] = (),
) -> Place:
    """What the options name. Raises UserError for orders that would leave this machine."""
    if venues == "sim" and hosts is None:
        return simulated_venues(scene, fault, config)
    from .shell.hosts import check_loopback, check_roads, hosts_of, public_hosts
    from .shell.profiles import PROFILES, check_live, is_profile, venues_of

    wanted = names_of(venues) or []
    if is_live and hosts:
        check_live(hosts)
    found = venues_of(hosts, scene.instruments) if hosts else public_hosts(wanted, scene.instruments)
    if hosts and venues != "sim":
        found = hosts_of(found, wanted)
    check_roads(found)
    if is_live:
        check_loopback(found)
        check_hosts(found, keys_checked)
    note = f" at {hosts} ({PROFILES[str(hosts)].note})" if hosts and is_profile(hosts) else ""
    title = f"{'LIVE' if is_live else 'PAPER'} {', '.join(found)}{note}"
    return Place(title, lambda: contextlib.nullcontext(found), not is_live, None if hosts else CATALOG)


def simulated_venues(scene: Scene, fault: list[str] | None, config: "Config") -> Place:
    """Venues of our own, which end with us."""
    from .emulator.embedded import DVOL, OPENERS, VIX
    from .emulator.faults import parse
    from .shell.live import wall_ns

    faults, names = parse(fault or [], scene.seed), list(OPENERS)
    indices = [DVOL, VIX] if config.volatility.index == "vix" else [DVOL]

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Venues]:
        made = embedded(scene, [*names, *indices], config.account.capital / len(names))
        async with made.serve(wall_ns, faults) as doors:
            yield {door.venue: addresses(door) for door in doors}

    return Place(scene.title(names), opened)
