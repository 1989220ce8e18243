"""Alias of `elegant_trading_system`."""

from ..__main__ import start

if __name__ == "__main__":
    start()
