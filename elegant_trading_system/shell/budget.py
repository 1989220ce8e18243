"""How much of a venue's patience is left: one budget for everything that uses a key, with a reserve for what must leave.

Venues count in windows that begin when they say; we count in windows that slide, so that whatever a venue calls a
minute holds no more than we allow any minute to hold. Time comes in; nothing waits here and nothing is queued.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any, NamedTuple

SLOTS = 20  # a window is counted in so many parts; what was spent counts for up to two parts longer than it would
BAN_MS, BAN_MIN_MS, BAN_MAX_MS = 60_000, 1000, 3 * 86_400_000  # where the venue does not say; what is believed
UNITS_MS = {"SECOND": 1000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000}
KINDS_MAX = 16


class Use(IntEnum):
    """What is asked for. Each may use a share of a limit, and leaves the rest to those behind it."""

    BACKGROUND = 0  # history, snapshots, looking after the account: can wait
    ENTRY = 1  # new orders that open: not sent when what is left is the reserve
    NEEDED = 2  # exits, cancels, what became of an order, the session itself


SHARES = (0.6, 0.8, 0.95)  # by Use; the last twentieth is for what we count otherwise than the venue


class Limit(NamedTuple):
    """At most so much of a kind within a window."""

    kind: str  # the venue's word: REQUEST_WEIGHT, ORDERS, REQUESTS ...
    window_ms: int
    most: int


class _Window:
    """What was spent of one limit lately."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.total = 0
        self._step_ms = math.ceil(limit.window_ms / SLOTS)
        self._spent: deque[list[int]] = deque()  # [slot, amount], at most SLOTS + 1 of them
        self._most = [max(1, int(limit.most * share)) for share in SHARES]

    def used(self, now_ms: int) -> int:
        first = now_ms // self._step_ms - SLOTS
        while self._spent and self._spent[0][0] < first:
            self.total -= self._spent.popleft()[1]
        return self.total

    def has_room(self, amount: int, use: Use, now_ms: int) -> bool:
        most = self._most[use] - amount
        return self.total <= most or self.used(now_ms) <= most  # what is old is only looked for when it matters

    def spend(self, amount: int, now_ms: int) -> None:
        slot = now_ms // self._step_ms
        if not self._spent or self._spent[-1][0] < slot:
            self.used(now_ms)
            self._spent.append([slot, 0])
        self._spent[-1][1] += amount
        self.total += amount


class Budget:
    """All limits of one key at one venue."""

    def __init__(self, limits: Iterable[Limit], now_ms: Callable[[], int]) -> None:
        self.counts = Counter[str]()  # what was not let through, by Use; "bans"
        self._now_ms = now_ms
        self._heard_ms = 0
        self._until_ms = 0
        self._windows: dict[tuple[str, int], _Window] = {}
        self.learn(limits)

    def learn(self, limits: Iterable[Limit]) -> None:
        """What the venue says its limits are. What was spent before counts on."""
        for limit in limits:
            key = limit.kind, limit.window_ms
            old = self._windows.get(key)
            if limit.most < 1 or limit.window_ms < 1 or (old is None and len(self._windows) >= KINDS_MAX):
                continue
            new = self._windows[key] = _Window(limit)
            if old is not None and (spent := old.used(self.now_ms)):
                new.spend(spent, self.now_ms)

    @property
    def now_ms(self) -> int:
        """A clock that is set back sets nothing free."""
        self._heard_ms = max(self._heard_ms, self._now_ms())
        return self._heard_ms

    # --- asking -----------------------------------------------------------------------------------------------
    def take(self, use: Use, **amounts: int) -> bool:
        """May so much be spent now? Then it is. Kinds without a limit are free."""
        now_ms = self.now_ms
        concerned = [(window, amounts[kind]) for (kind, _), window in self._windows.items() if amounts.get(kind)]
        is_allowed = not self.is_banned
        for window, amount in concerned:
            is_allowed = is_allowed and window.has_room(amount, use, now_ms)
        if not is_allowed:
            self.counts[use.name.lower()] += 1
            return False
        for window, amount in concerned:
            window.spend(amount, now_ms)
        return True

    def used(self, kind: str, window_ms: int) -> int:
        """By our count."""
        return self._windows[kind, window_ms].used(self.now_ms)

    @property
    def is_banned(self) -> bool:
        return self._until_ms != 0 and self.wait_s > 0.0

    @property
    def wait_s(self) -> float:
        """How much longer the venue wants to hear nothing."""
        return max(self._until_ms - self._now_ms(), 0) / 1000

    # --- hearing ----------------------------------------------------------------------------------------------
    def hear_used(self, kind: str, window_ms: int, count: int) -> None:
        """The venue's own count. Where it is higher than ours, somebody else spends: it counts as spent now."""
        window = self._windows.get((kind, window_ms))
        if window is not None and (more := min(count, 2 * window.limit.most) - window.used(self.now_ms)) > 0:
            window.spend(more, self.now_ms)

    def hold_back(self, wait_ms: int) -> None:
        """The venue refuses whoever asks (429, 418): nothing is asked for so long."""
        self.counts["bans"] += 1
        self._until_ms = max(self._until_ms, self._now_ms() + min(max(wait_ms, BAN_MIN_MS), BAN_MAX_MS))


def limits_of(rows: Iterable[dict[str, Any]]) -> list[Limit]:
    """Binance's rateLimits, of exchangeInfo or of an answer."""
    return [
        Limit(row["rateLimitType"], UNITS_MS[row["interval"]] * int(row["intervalNum"]), int(row["limit"]))
        for row in rows
        if row["interval"] in UNITS_MS
    ]
