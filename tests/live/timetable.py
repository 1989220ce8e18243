"""Virtual time: one heap of what is due."""

import heapq
from collections.abc import Callable

from elegant_trading_system.core.schema import NS_PER_S

from .desk import Clock


class Timetable:
    """Actions by the moment they are due; the clock stands at the one that runs."""

    def __init__(self) -> None:
        self.clock = Clock()
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (self.clock.ns + round(seconds * NS_PER_S), self._count, action))

    def every(self, ms: float, action: Callable[[], None]) -> None:
        def again() -> None:
            action()
            self.later(ms / 1000, again)

        self.later(ms / 1000, again)

    def pass_time(self, seconds: float) -> None:
        until_ns = self.clock.ns + round(seconds * NS_PER_S)
        while self._due and self._due[0][0] <= until_ns:
            self.clock.ns, _, action = heapq.heappop(self._due)
            action()
        self.clock.ns = until_ns
