"""Small tapes, made packet by packet."""

from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from elegant_trading_system.core.kinds import BookState, Kind
from elegant_trading_system.core.schema import LEVEL, PACKET
from elegant_trading_system.data.tape import ListingSpec, Tape, TapeWriter

Rows = list[tuple[int, int]]


class Made(NamedTuple):
    ts_ns: int
    kind: Kind
    bids: Rows = []  # noqa: RUF012  never changed
    asks: Rows = []  # noqa: RUF012
    code: BookState = BookState.RESYNC


def listing(venue: str = "binance", base: str = "BTC", **more: Any) -> ListingSpec:
    return ListingSpec(
        venue=venue, symbol=f"{base}/USDT", kind="spot", base=base, quote="USDT", settle="USDT",
        tick_size=more.pop("tick_size", Decimal("0.01")), lot_size=Decimal("0.001"), **more,
    )  # fmt: skip


def records(made: list[Made]) -> tuple[Any, Any]:
    """Packets and levels; the venue's stamp is 7 ns before ours."""
    packets = np.zeros(len(made), PACKET)
    rows = [row for one in made for row in (*one.bids, *one.asks)]
    for packet, one in zip(packets, made, strict=True):
        packet["ts_local_ns"], packet["ts_venue_ns"] = one.ts_ns, one.ts_ns - 7
        packet["kind"], packet["code"] = one.kind, one.code if one.kind == Kind.STATUS else 0
        packet["buy_count"], packet["sell_count"] = len(one.bids), len(one.asks)
    counts = packets["buy_count"] + packets["sell_count"]
    packets["level_begin"] = np.cumsum(counts) - counts
    return packets, np.array(rows, LEVEL)


def tape(catalog: Path, spec: ListingSpec, made: list[Made], truth: list[float] | None = None) -> Tape:
    packets, levels = records(made)
    with TapeWriter(catalog, spec, "made") as writer:
        writer.append(packets, levels, None if truth is None else np.array(truth))
        writer.finish()
        return Tape(writer.publish())


def rows_of(levels: Any, packet: Any) -> tuple[Rows, Rows]:
    """A packet's rows by side."""
    begin, middle = int(packet["level_begin"]), int(packet["level_begin"] + packet["buy_count"])
    rows = [(int(row["price_ticks"]), int(row["lots"])) for row in levels[begin : middle + int(packet["sell_count"])]]
    return rows[: middle - begin], rows[middle - begin :]
