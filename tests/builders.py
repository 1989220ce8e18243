"""Tapes and universes written down by hand, or drawn from a seed. Prices in ticks, sizes in lots, times in ms."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from elegant_trading_system.config import Config
from elegant_trading_system.config_sources import load
from elegant_trading_system.core.kinds import BookState, Kind
from elegant_trading_system.core.schema import LEVEL, PACKET
from elegant_trading_system.data.tape import ListingKindName, ListingSpec
from elegant_trading_system.data.universe import Universe, build
from elegant_trading_system.sim.session import Session

Array = np.ndarray[Any, Any]
Rows = Sequence[tuple[int, int]]
START_NS = 1_700_000_000_000_000_000
NS_PER_MS = 1_000_000


# --- what is traded -------------------------------------------------------------------------------------------
def listing(
    venue: str,
    symbol: str,
    kind: ListingKindName,
    tick: str,
    lot: str,
    *,
    reference: str = "",
    contract: str = "0",
    notional_min: str = "0",
) -> ListingSpec:
    """A listing from its ccxt symbol: BASE/QUOTE or BASE/QUOTE:SETTLE."""
    pair, _, settle = symbol.partition(":")
    base, _, quote = pair.partition("/")
    return ListingSpec(
        venue=venue,
        symbol=symbol,
        kind=kind,
        base=base,
        quote=quote,
        settle=settle or quote,
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        reference=reference,
        contract_quote=Decimal(contract),
        notional_min=Decimal(notional_min),
    )


#: Two lit venues, two instruments, three quotes' worth of classes, every kind there is.
SPOT, SPOT_B, DOLLAR_B, LINEAR, LINEAR_B, INVERSE, DARK, ETH, ETH_B, ETH_LINEAR = range(10)
WORLD = [
    listing("alpha", "BTC/USDT", "spot", "0.1", "0.001"),
    listing("beta", "BTC/USDT", "spot", "0.01", "0.0001", notional_min="5"),
    listing("beta", "BTC/USD", "spot", "0.05", "0.00001"),
    listing("alpha", "BTC/USDT:USDT", "linear", "0.5", "0.01"),
    listing("beta", "BTC/USDT:USDT", "linear", "0.1", "0.001"),
    listing("alpha", "BTC/USD:BTC", "inverse", "0.5", "1", contract="100"),
    listing("dark", "BTC/USDT", "dark", "0.05", "0.001", reference="alpha BTC/USDT"),
    listing("alpha", "ETH/USDT", "spot", "0.01", "0.0001"),
    listing("beta", "ETH/USDT", "spot", "0.05", "0.001"),
    listing("alpha", "ETH/USDT:USDT", "linear", "0.01", "0.01"),
]
PRICES = {"BTC": 2500.0, "ETH": 150.0}
MORE_PRICES = {"SOL": 20.0, "XRP": 0.5, "ADA": 1.0}  # only where listed: what they draw must not move the others' tapes

#: Windows of seconds, thresholds that random books cross, fees that pay in both ways.
LOOSE = (
    "market.velocity_fast_s=2",
    "market.velocity_slow_s=10",
    "market.vwap_window_s=20",
    "market.vwap_buckets=10",
    "bars.lengths_s=[1]",
    "bars.atr_bars=3",
    "market.pressure_halflife_s=0.5",
    "signal.strength_min=1.2",
    "signal.velocity_min=0.6",
    "signal.imbalance_min=1.05",
    "signal.vwap_gap_max=0.5",
    "volatility.warmup_size=1.0",
    "regimes.neutral.hold_bars=4",
    "regimes.trend.hold_bars=4",
    "regimes.range.hold_bars=4",
    "regimes.volatile.warmup_size=1.0",
    "regimes.volatile.strength_min=0.0",
    "stress.size=1.0",
    "filters.persistence_min=0",
    "filters.venues_min=1",
    "filters.flow_agreement=false",
    "filters.flicker_max=0.0",
    "filters.cool_down_s=0.0",
    "risk.cluster_max=10",
    "risk.heat_max=1.0",
    "risk.gross_leverage_max=100.0",
    "risk.net_leverage_max=100.0",
    "risk.venue_leverage_max=100.0",
    "risk.volume_share_max=1000.0",
    "risk.depth_share_max=1.0",
    "breakers.streak_stops=8",
    "breakers.streak_min=0.01",
    "breakers.slippage_times=1000000.0",
    "breakers.orders_per_s_max=10000",
    "breakers.orders_per_min_max=100000",
    "breakers.ack_slow_ms=60000",
    "execution.primary_sticky_s=0.0",
    "execution.blind_exit_linear=false",
    "risk.target_strength_max=5.0",
    "execution.cap_atr=2.0",
    "execution.cap_bps=20.0",
    "venues.alpha.spot_taker_bps=1.0",
    "venues.alpha.fee_in_base=true",
    "venues.alpha.linear_taker_bps=0.5",
    "venues.beta.spot_taker_bps=2.0",
    "venues.beta.linear_taker_bps=0.5",
    "venues.dark.dark_taker_bps=0.5",
    "simulation.entry_latency_ms=8.0",
    "simulation.response_latency_ms=6.0",
    "simulation.jitter_ms=3.0",
)


def loose(*sets: str) -> Config:
    return load(sets=[*LOOSE, *sets], environ={})


def universe(config: Config, listings: Sequence[ListingSpec] = WORLD) -> Universe:
    return build(list(listings), config)


# --- tapes by hand --------------------------------------------------------------------------------------------
class Event(NamedTuple):
    """One packet to be. `venue_ms` is when it left the venue."""

    ms: float
    venue_ms: float
    listing_id: int
    kind: Kind
    buys: Rows
    sells: Rows
    code: int = 0
    order_id: int = 0
    atoms: int = 0
    asset_id: int = 0


def _at(ms: float, venue_ms: float | None) -> tuple[float, float]:
    return ms, ms if venue_ms is None else venue_ms


def snapshot(ms: float, listing_id: int, bids: Rows = (), asks: Rows = (), venue_ms: float | None = None) -> Event:
    return Event(*_at(ms, venue_ms), listing_id, Kind.SNAPSHOT, bids, asks)


def depth(ms: float, listing_id: int, bids: Rows = (), asks: Rows = (), venue_ms: float | None = None) -> Event:
    return Event(*_at(ms, venue_ms), listing_id, Kind.DEPTH, bids, asks)


def trade(ms: float, listing_id: int, buys: Rows = (), sells: Rows = (), venue_ms: float | None = None) -> Event:
    return Event(*_at(ms, venue_ms), listing_id, Kind.TRADE, buys, sells)


def status(ms: float, listing_id: int, state: BookState) -> Event:
    return Event(ms, ms, listing_id, Kind.STATUS, (), (), code=state)


def tape(events: Iterable[Event], start_ns: int = START_NS) -> tuple[Array, Array]:
    """(packets, levels) of events listed in the order they were received."""
    listed = list(events)
    packets = np.zeros(len(listed), PACKET)
    rows: list[tuple[int, int]] = []
    for packet, event in zip(packets, listed, strict=True):
        packet["ts_local_ns"] = start_ns + round(event.ms * NS_PER_MS)
        packet["ts_venue_ns"] = start_ns + round(event.venue_ms * NS_PER_MS)
        packet["level_begin"] = len(rows)
        packet["buy_count"], packet["sell_count"] = len(event.buys), len(event.sells)
        packet["listing_id"], packet["kind"], packet["code"] = event.listing_id, event.kind, event.code
        packet["order_id"], packet["atoms"], packet["asset_id"] = event.order_id, event.atoms, event.asset_id
        rows += [*event.buys, *event.sells]
    assert (np.diff(packets["ts_local_ns"]) >= 0).all(), "events must be listed in the order they were received"
    return packets, np.array(rows, dtype=LEVEL)


# --- tapes by chance ------------------------------------------------------------------------------------------
class Walk:
    """Random legal books around drifting prices: leaning, bursting, jumping beyond the ladder, falling silent."""

    def __init__(self, seed: int, listings: Sequence[ListingSpec]) -> None:
        self.random = np.random.default_rng(seed)
        self.listings = listings
        bases = {spec.base for spec in listings}
        self.prices = PRICES | {base: price for base, price in MORE_PRICES.items() if base in bases}
        self.lean = dict.fromkeys(self.prices, 0.0)
        self.busy = 1.0
        self.books: list[tuple[dict[int, int], dict[int, int]]] = [({}, {}) for _ in listings]
        self.live = [False] * len(listings)

    def lots(self, spec: ListingSpec, scale: float) -> int:
        """A random size of about `scale` in base units, times a heavy tail."""
        unit = float(spec.lot_size) if spec.kind != "inverse" else 0.04
        return 1 + int(scale / unit * self.random.pareto(2.5))

    def move(self) -> None:
        for base in self.prices:
            sigma = 1e-4 if self.random.random() > 0.004 else 0.06  # the rare step leaves the ladder behind
            self.prices[base] *= float(np.exp(sigma * self.random.standard_normal()))
            if self.random.random() < 0.02:
                self.lean[base] = float(self.random.uniform(-1.5, 1.5))
        if self.random.random() < 0.02:
            self.busy = float(self.random.choice([0.3, 1.0, 5.0]))

    def sides(self, listing_id: int, count: int) -> tuple[dict[int, int], dict[int, int]]:
        """New levels of both sides around the price now."""
        spec = self.listings[listing_id]
        price = self.prices[spec.base]
        middle = price / float(spec.tick_size)
        lean = self.lean[spec.base]
        found: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for s, sign in ((0, -1), (1, 1)):
            for _ in range(count):
                gap = self.random.exponential(price * 2e-4 / float(spec.tick_size))
                if self.random.random() < 0.03:
                    gap = self.random.uniform(0, 0.9) * middle  # far from the touch
                ticks = int(middle + sign * (1 + gap))
                if ticks > 0:
                    found[s][ticks] = self.lots(spec, 0.5 * price / 2500 * float(np.exp(-sign * lean)))
        return found

    def snapshot(self, listing_id: int) -> tuple[Rows, Rows]:
        book = self.sides(listing_id, 12) if self.listings[listing_id].kind != "dark" else ({}, {})
        self.books[listing_id] = book
        self.live[listing_id] = True
        return sorted(book[0].items(), reverse=True), sorted(book[1].items())

    def depth(self, listing_id: int) -> tuple[Rows, Rows]:
        """Levels added and removed; what would cross is removed first."""
        bids, asks = self.books[listing_id]
        new = self.sides(listing_id, int(self.random.integers(1, 4)))
        rows: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for s in (0, 1):
            mine, other = self.books[listing_id][s], self.books[listing_id][1 - s]
            sign = 1 - 2 * s
            for ticks in new[s]:
                for crossed in [t for t in other if sign * (ticks - t) >= 0]:
                    rows[1 - s][crossed] = 0
                    other.pop(crossed)
            mine.update(new[s])
            rows[s].update(new[s])
            drop = [t for t in mine if t not in new[s] and self.random.random() < 0.15]
            for ticks in drop[: max(len(mine) - 2, 0)]:
                rows[s][ticks] = 0
                mine.pop(ticks)
        self.books[listing_id] = (bids, asks)
        return list(rows[0].items()), list(rows[1].items())

    def trade(self, listing_id: int) -> tuple[Rows, Rows]:
        spec = self.listings[listing_id]
        ticks = max(int(self.prices[spec.base] / float(spec.tick_size) + self.random.normal() * 2), 1)
        row = [(ticks, self.lots(spec, 0.2 * self.busy))]
        return (row, []) if self.random.random() < 0.5 else ([], row)


def random_tape(
    seed: int,
    count: int = 3000,
    listings: Sequence[ListingSpec] = WORLD,
    *,
    mean_ms: float = 8.0,
    silences: bool = True,
    is_lossless: bool = False,
) -> tuple[Array, Array]:
    """`count` packets of a random market over all listings, each venue with its own latency to us."""
    walk = Walk(seed, listings)
    random = walk.random
    latency_ms = {spec.venue: float(4 + 7 * i) for i, spec in enumerate(listings)}
    events: list[Event] = []
    ms = 0.0
    last_ms = [0.0] * len(listings)
    for n in range(count):
        listing_id = n if n < len(listings) else int(random.integers(len(listings)))
        ms += float(random.exponential(mean_ms))
        if silences and random.random() < 0.001:
            ms += float(random.choice([2500.0, 35_000.0]))
        walk.move()
        kind, code, rows = _draw(walk, listing_id, is_lossless)
        late_ms = latency_ms[listings[listing_id].venue] + float(random.exponential(3.0))
        last_ms[listing_id] = max(last_ms[listing_id], ms + late_ms)
        events.append(Event(last_ms[listing_id], ms, listing_id, kind, *rows, code=code))
    return tape(sorted(events, key=lambda event: event.ms))


def _draw(walk: Walk, listing_id: int, is_lossless: bool) -> tuple[Kind, int, tuple[Rows, Rows]]:
    chance = walk.random.random()
    if is_lossless and walk.live[listing_id]:
        chance = max(chance, 0.02)  # neither a gap nor a book drawn anew
    if not walk.live[listing_id] or chance < 0.01 or walk.listings[listing_id].kind == "dark":
        return Kind.SNAPSHOT, 0, walk.snapshot(listing_id)
    if chance < 0.013:
        walk.live[listing_id] = False
        return Kind.STATUS, int(BookState.GAP), ((), ())
    if chance < 0.3:
        return Kind.TRADE, 0, walk.trade(listing_id)
    return Kind.DEPTH, 0, walk.depth(listing_id)


def lookahead_ns(packets: Array) -> int:
    return int((packets["ts_local_ns"] - packets["ts_venue_ns"]).max())


def session(packets: Array, configs: Sequence[Config], listings: Sequence[ListingSpec] = WORLD, **more: Any) -> Session:
    return Session(universe(configs[0], listings), list(configs), lookahead_ns(packets), **more)


def run(
    packets: Array, levels: Array, configs: Sequence[Config], listings: Sequence[ListingSpec] = WORLD, **more: Any
) -> Session:
    """One whole run."""
    made = session(packets, configs, listings, **more)
    made.run(packets, levels)
    return made
