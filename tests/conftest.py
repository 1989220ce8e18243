"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent.parent

# Before anything of the package is imported: tests call single kernels, which a run never does.
os.environ["ETS_CALLABLE_KERNELS"] = "1"

# The first example of a test may have to compile what it tests.
settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer has exported must not decide whether tests pass."""
    for name in os.environ:
        if name.startswith("ETS__"):
            monkeypatch.delenv(name)
