"""Play a list of orders against a list of packets on the simulated venues."""

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

from elegant_trading_system.core import jit
from elegant_trading_system.core.kinds import Kind
from elegant_trading_system.data.tape import ListingSpec
from elegant_trading_system.sim.session import Session

from ..builders import NS_PER_MS, START_NS, WORLD, Array, Event, loose, session, tape
from . import scripted_decider

ENTRY_MS = RESPONSE_MS = 10
EXACT = (
    "market.pass_ms=1", "simulation.entry_latency_ms=10.0", "simulation.response_latency_ms=10.0",
    "simulation.jitter_ms=0.0", "simulation.dark_fill=1.0",
)  # fmt: skip


class Order(NamedTuple):
    """Decided at `ms`, so at its venue at ms + ENTRY_MS."""

    ms: int
    listing_id: int
    side: int
    price_ticks: int
    lots: int
    is_exit: int = 0


class Report(NamedTuple):
    ms: float  # when we hear of it
    order_id: int  # orders count from 1
    kind: Kind
    price_ticks: int
    lots: int


class Played(NamedTuple):
    session: Session
    reports: list[Report]

    def fills(self, order_id: int) -> list[tuple[int, int]]:
        return [(r.price_ticks, r.lots) for r in self.reports if r.order_id == order_id and r.kind == Kind.FILL]

    def ending(self, order_id: int) -> Kind:
        return [r.kind for r in self.reports if r.order_id == order_id][-1]

    @property
    def trader(self) -> Any:
        return self.session.traders[0]

    def lots(self, listing_id: int) -> dict[str, int]:
        inventory = self.trader["inventory"][listing_id]
        working = int(inventory["working_buy_lots"] + inventory["working_sell_lots"])
        return {"working": working, **{k: int(inventory[f"{k}_lots"]) for k in ("sent", "filled", "expired")}}


@cache
def scripted_simulate() -> ModuleType:
    engine = jit.instantiate("elegant_trading_system.core.engine", "scripted_engine", decider_override=scripted_decider)
    return jit.instantiate("elegant_trading_system.sim.simulate", "scripted_simulate", engine_override=engine)


def rehearse(packets: Array, orders: Sequence[Order], *sets: str, listings: Sequence[ListingSpec] = WORLD) -> Session:
    """A session ready to run, with the script in its memory."""
    made = session(
        packets, [loose(*EXACT, *sets)], listings,
        memory=2 + scripted_decider.WIDTH * len(orders), simulate=scripted_simulate(),
    )  # fmt: skip
    made.memory[1] = len(orders)
    for n, order in enumerate(orders):
        at = 2 + scripted_decider.WIDTH * n
        due_ns = START_NS + order.ms * NS_PER_MS
        made.memory[at : at + scripted_decider.WIDTH] = (due_ns, *order[1:])
    return made


def heard(finished: Session) -> list[Report]:
    replies, rows = finished.logs[0].joined("replies"), finished.logs[0].joined("rows")
    return [
        Report(
            (int(packet["ts_local_ns"]) - START_NS) / NS_PER_MS, int(packet["order_id"]), Kind(int(packet["kind"])),
            int(row["price_ticks"]), int(row["lots"]),
        )
        for packet, row in zip(replies, rows, strict=True)
        if packet["order_id"] > 0
    ]  # fmt: skip


def play(
    events: Sequence[Event], orders: Sequence[Order], *sets: str, listings: Sequence[ListingSpec] = WORLD
) -> Played:
    packets, levels = tape(events)
    finished = rehearse(packets, orders, *sets, listings=listings)
    finished.run(packets, levels)
    return Played(finished, heard(finished))
