"""Where recorded market data lies, for tests that can use it. It is not part of the repository."""

import os
from pathlib import Path

import pytest

SHARED_DATA = Path(os.environ.get("ETS_SHARED_DATA") or Path(__file__).parent.parent.parent / "shared" / "data")


def shared_data(name: str) -> Path:
    """The folder of a recording; skips the test, saying so, where it is absent."""
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(f"no recorded data at {folder}; ETS_SHARED_DATA names the folder that holds {name}")
    return folder
