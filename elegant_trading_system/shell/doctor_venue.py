"""What every venue is asked alike: is it there, how far away, and how far is its clock from ours?"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec

from .doctor import Finding

NS_PER_MS = 1_000_000
SAMPLES = 5
TIMEOUT_S = 10.0
AHEAD_MS_MAX, BEHIND_MS_MAX, OFFSET_MS_WARN = 1000, 5000, 250


class Unanswered(Exception):
    """No answer that could be read."""


async def ask(http: aiohttp.ClientSession, url: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """A GET; (status, JSON). Raises Unanswered."""
    try:
        async with http.get(url, headers=headers) as reply:
            return reply.status, msgspec.json.decode(await reply.read())
    except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError) as error:
        raise Unanswered(str(error) or "no answer in time") from None


async def reach(
    http: aiohttp.ClientSession, venue: str, url: str, read_ms: Callable[[Any], int], now_ns: Callable[[], int]
) -> list[Finding]:
    """Two findings, or one that fails."""

    async def ask_ms() -> int:
        return read_ms((await ask(http, url))[1])

    return await reach_by(venue, url, ask_ms, now_ns)


async def reach_by(
    venue: str, where: str, ask_ms: Callable[[], Awaitable[int]], now_ns: Callable[[], int]
) -> list[Finding]:
    """By a question about the time there, milliseconds; the quickest of some answers says best what it is."""
    samples: list[tuple[float, int, int]] = []
    try:
        for _ in range(SAMPLES):
            sent_ns, began = now_ns(), time.perf_counter()
            answer_ms = await ask_ms()
            took_ms = (time.perf_counter() - began) * 1000
            samples.append((took_ms, answer_ms, (sent_ns + now_ns()) // 2))
    except (Unanswered, KeyError, TypeError, ValueError) as error:
        advice = "is the network there, and may this machine reach the venue?"
        return [Finding(f"{venue} reachable", "fail", f"{where}: {error}", advice)]
    took_ms, venue_ms, middle_ns = min(samples)
    reachable = Finding(f"{venue} reachable", "ok", f"{where} answers in {took_ms:.1f} ms")
    return [reachable, clock_finding(venue, venue_ms - middle_ns / NS_PER_MS, took_ms, [one[1] for one in samples])]


def clock_finding(venue: str, offset_ms: float, took_ms: float, venue_ms: list[int]) -> Finding:
    """`offset_ms` is the venue's clock less ours. The venue refuses what comes from its future or is too old."""
    name, shown = f"{venue} clock", f"the venue's is {offset_ms:+.0f} ms from ours (within {took_ms / 2:.0f} ms)"
    advice = "let a time service (chrony, ntpd) keep this machine's clock"
    if venue_ms != sorted(venue_ms):
        return Finding(name, "fail", f"the venue's went back: {venue_ms}", "wait until it is itself again")
    if not -AHEAD_MS_MAX < offset_ms < BEHIND_MS_MAX:
        return Finding(name, "fail", f"{shown}: orders would be refused (-1021)", advice)
    if abs(offset_ms) > OFFSET_MS_WARN:
        return Finding(name, "warn", shown, advice)
    return Finding(name, "ok", shown)
