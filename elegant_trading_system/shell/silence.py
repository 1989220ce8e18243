"""Since when something has said nothing new: what is not heard of is not known, however good it looked last."""

from collections.abc import Hashable


class Silence:
    """Looked at from time to time with a mark (a count, a number) that changes when there was something to hear."""

    def __init__(self) -> None:
        self._heard: dict[Hashable, tuple[object, int]] = {}  # what -> its mark, since when

    def age_ns(self, what: Hashable, mark: object, now_ns: int) -> int:
        """How long it has been the same."""
        before, since_ns = self._heard.get(what, (None, now_ns))
        if before != mark:
            self._heard[what] = mark, now_ns
            return 0
        return now_ns - since_ns
