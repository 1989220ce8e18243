"""Alias of `elegant_trading_system.config`."""

from ..config import *  # noqa: F403
