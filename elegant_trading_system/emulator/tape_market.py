"""A recorded market moves the emulated venues: the tapes of a catalog, played once."""

from pathlib import Path

from ..core.kinds import Kind
from ..data.catalog import Catalog
from ..data.merge import merge
from ..errors import ExitCode, UserError
from .market import MINUTE_MS, NS_PER_MS, VENUES, Coming, Market, Progress, kline_of

KINDS = {"binance": "spot", "binanceusdm": "linear", "coinbase": "spot"}
USUAL_VOLATILITY = 60.0  # percent a year
NS_PER_S = 1_000_000_000


class RecordedMarket(Market):
    """Listings of a catalog whose venues can be emulated. When the tape has ended, nothing moves any more."""

    def __init__(self, catalog: Path, instruments: list[str] | None) -> None:
        tapes = [
            tape
            for tape in Catalog(catalog).tapes(instruments)
            if KINDS.get(tape.facts.listing.venue) == tape.facts.listing.kind
        ]
        live = [tape for tape in tapes if tape.facts.quality.bars == 0]
        if not live:
            raise UserError(
                f"{catalog}: no tape of a venue that can be emulated",
                f"there are {', '.join(f'{venue} ({kind})' for venue, kind in KINDS.items())}",
                ExitCode.USAGE,
            )
        self._merged = merge(tapes)
        super().__init__(min(tape.facts.ts_first_ns for tape in live))
        for venue in VENUES:
            ids = {n: spec for n, spec in enumerate(self._merged.listings) if spec.venue == venue}
            if ids:
                self.show(venue, ids)
        self._all = self._packets(self._merged.packets, self._merged.levels, ordered=True)

    @property
    def usual_volatility(self) -> float:
        return USUAL_VOLATILITY

    def live_through(self, total_s: int, progress: Progress | None = None) -> None:
        """Bars from before, and so much of the tape as `total_s`."""
        if progress is not None:
            progress("reading the tape's past", 0.0)
        until_ns = self._ts_ns + total_s * NS_PER_S
        for ts_ns, packet, rows in self._all:
            if packet["kind"] == Kind.BAR:
                venue, symbol = self._shown[int(packet["listing_id"])]
                instrument, klines = self.exchanges[venue].instruments[symbol], self.klines[venue][symbol]
                klines.append(kline_of(instrument, ts_ns // NS_PER_MS - MINUTE_MS, rows.tolist()))
                continue
            if ts_ns >= until_ns:
                self._next = ts_ns, packet, rows
                break
            self.apply(packet, rows)
        self._ts_ns = until_ns

    def coming(self) -> Coming:
        return self._all
