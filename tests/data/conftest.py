"""A source of history on this machine, and a client that does not really wait."""

from collections.abc import Iterator
from typing import Any

import pytest

from elegant_trading_system.data.fetch.download import Downloader

from .loopback import Source, serving


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving() as server:
        yield server


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the client waited, without the waiting."""
    pauses: list[float] = []
    init = Downloader.__init__

    def fast(self: Downloader, base_url: str, tell: Any = lambda *_: None) -> None:
        init(self, base_url, tell, pauses.append)

    monkeypatch.setattr(Downloader, "__init__", fast)
    return pauses
