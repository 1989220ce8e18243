"""What most tests of the outside begin with; a module with another venue has fixtures of the same names."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..builders import loose
from .desk import Clock, Outside, Venue


@pytest.fixture
def venue() -> Venue:
    return Venue(Clock())


@pytest.fixture
def outside(venue: Venue, tmp_path: Path) -> Iterator[Outside]:
    made = Outside(venue, loose(), tmp_path)
    yield made
    made.journal.close()
