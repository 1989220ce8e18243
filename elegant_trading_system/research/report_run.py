"""A run folder, read once: manifest, tables, and the few facts every section needs."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from ..sim.backtest import read_tables
from ..sim.replay import LIVE, read_manifest

NS = 1_000_000_000
EDGE = re.compile(r"\bedge[= ]([\d.e-]+)")
SPAN_NAME = re.compile(r"^(\d+)_(\d+)$")


@dataclass(frozen=True)
class Run:
    """Everything a report is made of. Tables without rows may also lack their columns."""

    folder: Path
    manifest: dict[str, Any]
    tables: dict[str, pl.DataFrame]

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """Raises UserError for a folder that is no run."""
        return cls(folder, read_manifest(folder), read_tables(folder))

    @property
    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = self.manifest["summary"]
        return summary

    @property
    def pnl(self) -> dict[str, float]:
        pnl: dict[str, float] = self.summary["pnl"]
        return pnl

    @property
    def gross(self) -> float:
        """Before costs: realised and open profit, without fees and funding."""
        return self.pnl["realised"] + self.pnl["unrealised"]

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.manifest["config"]
        return config

    @property
    def currency(self) -> str:
        return str(self.config["account"]["currency"])

    @property
    def is_simulated(self) -> bool:
        """One simulated tape, or a venue of our own, is enough: the result is then no measurement of a real market."""
        return bool(self._simulated)

    @property
    def _simulated(self) -> list[str]:
        return [source for source in self.manifest["sources"] if "simulated" in source.lower()]

    @property
    def kind(self) -> tuple[str, str]:
        """What the run was, and on what."""
        is_live, sources = self.manifest.get("kind") == LIVE, self.manifest["sources"]
        what = "Live run" if is_live else "Backtest"
        if self.is_simulated:
            return what, "SIMULATED market"
        if not is_live:
            return what, "recorded market data"
        return what, "LIVE orders" if sources[0].startswith("LIVE") else "market data in real time, SIMULATED orders"

    @property
    def span_ns(self) -> tuple[int, int]:
        """First and last moment that was traded: the tapes' span within the cut."""
        start, end = self.manifest["start_ns"], self.manifest["end_ns"]
        first, last = int(self.manifest["first_ns"]), int(self.manifest["last_ns"])
        return max(first, start or first), min(last, end or last)

    @property
    def span_s(self) -> float:
        first, last = self.span_ns
        return max(last - first, 0) / NS

    @property
    def groups(self) -> list[str]:
        """Base assets, in the order of the listings; what is only looked at is none."""
        traded = (listing for listing in self.manifest["listings"] if listing["kind"] != "volatility")
        return list(dict.fromkeys(listing["base"] for listing in traded))

    @property
    def planted_edges(self) -> list[float]:
        """What the simulated tapes of the run were made with: correlation of the best forecast with the next minute."""
        found = [EDGE.search(source) for source in self._simulated]
        return sorted({float(match[1]) for match in found if match})

    @property
    def trades(self) -> pl.DataFrame:
        """Round trips, see `sim/trips.py`."""
        return self.table("trades")

    @cached_property
    def closed(self) -> pl.DataFrame:
        return self.trades if self.trades.is_empty() else self.trades.filter("is_closed")

    @cached_property
    def equity(self) -> pl.DataFrame:
        """Samples of the account's value from the first one that had prices: before, it is recorded as nothing."""
        frame = self.table("equity")
        return frame if frame.is_empty() else frame.filter(pl.col("equity").cum_max() > 0.0)

    def orders_of(self, intent_id: int, *, is_exit: bool) -> str:
        """Numbers to ask `ets why` about."""
        numbers = self._order_ids.get((intent_id, is_exit), [])
        return f"order{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}" if numbers else ""

    @cached_property
    def _order_ids(self) -> dict[tuple[int, bool], list[int]]:
        orders = self.table("orders")
        if orders.is_empty():
            return {}
        found = orders.group_by("intent_id", "is_exit", maintain_order=True).agg("order_id")
        return {(intent_id, is_exit): ids for intent_id, is_exit, ids in found.rows()}

    def table(self, name: str) -> pl.DataFrame:
        return self.tables.get(name, pl.DataFrame())

    def evaluations(self, group: str) -> pl.DataFrame:
        """The signal history of one group, oldest first."""
        return self._by_group.get(group, pl.DataFrame())

    @cached_property
    def _by_group(self) -> dict[str, pl.DataFrame]:
        frame = self.table("verdicts")
        if frame.is_empty():
            return {}
        parts = frame.sort("ts").partition_by("group", as_dict=True)
        return {str(key[0]): part for key, part in parts.items()}

    def seen_s(self, group: str) -> float:
        """Seconds during which a book of the group had a price: what warm-up counts."""
        frame = self.evaluations(group)
        if frame.is_empty():
            return 0.0
        stamps = frame.filter(pl.col("mid_price") > 0.0)["ts"].cast(pl.Int64)
        return (stamps[-1] - stamps[0]) / NS if len(stamps) else 0.0

    def tape_spans(self) -> dict[str, tuple[int, int]]:
        """First and last ns on tape of each listing, as the tapes' folders are named after them."""
        spans: dict[str, tuple[int, int]] = {}
        for tape in self.manifest["tapes"]:
            match = SPAN_NAME.match(Path(tape["folder"]).name)
            if match:
                first, last = int(match[1]), int(match[2])
                old = spans.get(tape["listing"], (first, last))
                spans[tape["listing"]] = (min(first, old[0]), max(last, old[1]))
        return spans


def listing_name(listing: dict[str, Any]) -> str:
    return f"{listing['venue']} {listing['symbol']}"
