"""The simulated market as an endless stream of packets, in memory: as long a study as one likes, no disk touched."""

import math
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np

from ..core.jit import entry
from ..core.schema import LEVEL, LISTINGS, NEVER_NS, NS_PER_S, PACKET
from ..data.tape import ListingSpec
from ..errors import ExitCode, UserError
from .market import advance
from .market_presets import INSTRUMENTS, MarketPreset, Record, listings_of, new_model
from .market_random import seed_random
from .market_records import INITIAL_TICKS, LADDERS, LISTED, LIT, NO_CHANGE_HIGH, NO_CHANGE_LOW, RING, SAMPLE, WORLD

Array = np.ndarray[Any, Any]

PACKET_BUFFER = 16_384
LEVEL_BUFFER = 262_144
INITIAL_LEVELS = 60


class Chunk(NamedTuple):
    """Packets in the order they are received; `level_begin` counts from the chunk's first level."""

    packets: Array
    levels: Array
    truth: Array  # the efficient price when each packet left its venue, ticks of the instrument's first listing


class MarketStream:
    """All listings of some instruments, merged by `ts_local_ns`; `listing_id` is the index into `listings`.

    The stream is a function of (instruments' names, seed, edge, options): chunk lengths do not change it, and an
    instrument's path does not depend on which others are simulated beside it.
    """

    def __init__(self, instruments: list[str], seed: int, edge: float = 0.0, **options: Any) -> None:
        self.preset = preset_of(edge, options)
        self.instruments = checked_instruments(instruments)
        self.seed = seed
        self.listings: list[ListingSpec] = [
            spec for base in self.instruments for spec in listings_of(base, self.preset)
        ]
        model = new_model(self.preset)
        self._sources = [_Source(base, seed, self.preset, model) for base in self.instruments]
        self._buffers = _Buffers.allocate(self.preset)
        self._ts_ns = self.preset.ts_start_ns
        self._held = Chunk(np.zeros(0, PACKET), np.zeros(0, LEVEL), np.zeros(0))
        self.samples: dict[str, Array] = {}

    @property
    def event_count(self) -> int:
        """Internal events since publication began: orders, cancels, requotes and jumps of all instruments."""
        return sum(int(source.world.event_count) for source in self._sources)

    def chunk(self, seconds: float) -> Chunk:
        """The packets received during the next `seconds` (whole ones). `samples` then holds this chunk's samples."""
        if seconds != int(seconds) or seconds < 1:
            raise ValueError(f"chunks are whole seconds, not {seconds}")
        self._ts_ns += int(seconds) * NS_PER_S
        parts = [self._held]
        for number, source in enumerate(self._sources):
            made, self.samples[source.base] = source.run(self._ts_ns, self._buffers)
            for part in made:
                part.packets["listing_id"] += number * LISTED
            parts += made
        merged = _merge(parts)
        received = int(np.searchsorted(merged.packets["ts_local_ns"], self._ts_ns))
        split = int(merged.packets["level_begin"][received]) if received < len(merged.packets) else len(merged.levels)
        self._held = Chunk(
            merged.packets[received:].copy(), merged.levels[split:].copy(), merged.truth[received:].copy()
        )
        self._held.packets["level_begin"] -= split
        return Chunk(merged.packets[:received], merged.levels[:split], merged.truth[:received])

    def expected_move(self, momentum: float, horizon_s: float) -> float:
        """The oracle: expected change of V in ticks over the horizon, given the momentum now (dial `edge` only)."""
        return self.preset.drift_ticks * momentum * self.preset.memory_s(horizon_s)


def preset_of(edge: float, options: dict[str, Any]) -> MarketPreset:
    """The default preset with some numbers replaced, and refused by name where they make no sense."""
    unknown = sorted(options.keys() - {field.name for field in fields(MarketPreset)})
    if unknown:
        raise _refuse(
            f"the simulated market has no option {', '.join(unknown)}", "options are the fields of MarketPreset"
        )
    preset = replace(MarketPreset(), edge=edge, **options)
    checks = {
        "edge must be in [0, 0.9]": 0.0 <= preset.edge <= 0.9,
        "leak must be in [0, 1]": 0.0 <= preset.leak <= 1.0,
        "tau_m must be at least 2 s": preset.tau_m >= 2.0,
        "batch_ms must be 0 or divide 1000": preset.batch_ms == 0 or 1000 % preset.batch_ms == 0,
        "sample_ms must be 0 or divide 1000": preset.sample_ms == 0 or 1000 % preset.sample_ms == 0,
        "ts_start_ns must be whole seconds after 1970": preset.ts_start_ns % NS_PER_S == 0 and preset.ts_start_ns > 0,
        "latency_ms must be four numbers >= 0": len(preset.latency_ms) == LISTED and min(preset.latency_ms) >= 0.0,
        "skew_flow + skew_momentum must be below 1": preset.skew_flow + preset.skew_momentum < 1.0,
    }
    failed = [text for text, holds in checks.items() if not holds]
    if failed:
        raise _refuse("simulated market: " + "; ".join(failed), "")
    return preset


def checked_instruments(instruments: list[str]) -> list[str]:
    known = ", ".join(INSTRUMENTS)
    unknown = [base for base in instruments if base not in INSTRUMENTS]
    if unknown or not instruments or len(set(instruments)) < len(instruments):
        raise _refuse(f"cannot simulate instruments {instruments}", f"name some of {known}, each once")
    if len(instruments) * LISTED > LISTINGS:
        raise _refuse(f"{len(instruments)} instruments have more than {LISTINGS} listings", "simulate fewer")
    return list(instruments)


def _refuse(message: str, hint: str) -> UserError:
    return UserError(message, hint, ExitCode.USAGE)


class _Buffers(NamedTuple):
    packets: Array
    levels: Array
    truth: Array
    samples: Array

    @classmethod
    def allocate(cls, preset: MarketPreset) -> "_Buffers":
        samples = np.zeros(65_536 if preset.sample_ms else 1, SAMPLE)
        return cls(np.zeros(PACKET_BUFFER, PACKET), np.zeros(LEVEL_BUFFER, LEVEL), np.zeros(PACKET_BUFFER), samples)


class _Source:
    """One instrument's market."""

    def __init__(self, base: str, seed: int, preset: MarketPreset, model: Record) -> None:
        self.base = base
        self.model = model
        self.world = _new_world(base, seed, preset)
        self.ladders = _new_ladders(model)

    def run(self, until_ns: int, buffers: _Buffers) -> tuple[list[Chunk], Array]:
        """Everything sent before `until_ns`, in order, and the samples taken."""
        world, parts, samples = self.world, [], []
        while world.ts_second_ns < until_ns:
            advance(world, self.ladders, self.model, until_ns, *buffers)
            if world.fault:
                raise UserError(f"{self.base}: the simulated price left its range", "simulate a shorter time")
            n = int(world.packet_count)
            parts.append(
                Chunk(buffers.packets[:n].copy(), buffers.levels[: world.level_count].copy(), buffers.truth[:n].copy())
            )
            samples.append(buffers.samples[: world.sample_count].copy())
            world.packet_count = world.level_count = world.sample_count = 0
        return parts, np.concatenate(samples)


def _new_world(base: str, seed: int, preset: MarketPreset) -> Record:
    """The world `burn_s` before publication; its first act is to begin a second."""
    world = np.zeros(1, WORLD)[0]
    seed_random(world.random, seed, base)
    seed_random(world.momentum_random, seed, base, "momentum")
    seed_random(world.latency_random, seed, base, "latency")
    seed_random(world.factor_random, seed, "factors")
    world.price = INITIAL_TICKS
    world.reference[:] = INITIAL_TICKS
    world.ts_second_ns = preset.ts_start_ns - (preset.burn_s + 1) * NS_PER_S
    world.seconds = 1.0
    world.stop_ns = NS_PER_S
    world.next_batch_ns[:] = NEVER_NS
    world.next_sample_ns = NEVER_NS
    world.activity = 1.0
    return world


def _new_ladders(model: Record) -> Record:
    ladders = np.zeros(1, LADDERS)[0]
    ladders.changed_low_x[:] = NO_CHANGE_LOW
    ladders.changed_high_x[:] = NO_CHANGE_HIGH
    for venue in range(LIT):
        for side in range(2):
            best_x = (INITIAL_TICKS if side == 0 else -INITIAL_TICKS) - 1
            ladders.best_x[venue, side] = best_x
            for depth in range(INITIAL_LEVELS):
                lots = round(3.0 * model.depth_lots[venue] * math.exp(-depth / 25.0))
                ladders.lots[venue, side, (best_x - depth) % RING] = lots
                ladders.total_lots[venue, side] += lots
    return ladders


def _merge(parts: list[Chunk]) -> Chunk:
    """One chunk in the order of receipt; ties by listing, then as sent, so that no chunk length can be told."""
    begins = np.cumsum([0] + [len(part.levels) for part in parts[:-1]])
    packets = np.concatenate([part.packets for part in parts])
    packets["level_begin"] += np.repeat(begins, [len(part.packets) for part in parts])
    order = np.lexsort((packets["listing_id"], packets["ts_local_ns"]))
    packets = packets[order]
    levels = np.concatenate([part.levels for part in parts])
    gathered = np.empty_like(levels)
    gather_levels(packets, levels, gathered)
    return Chunk(packets, gathered, np.concatenate([part.truth for part in parts])[order])


@entry
def gather_levels(packets, levels, gathered):
    """Copy rows into the packets' order and let the packets point at the copies."""
    count = 0
    for i in range(len(packets)):
        packet = packets[i]
        begin = packet.level_begin
        packet.level_begin = count
        for row in range(begin, begin + packet.buy_count + packet.sell_count):
            gathered[count] = levels[row]
            count += 1
