"""`python -m elegant_trading_system`: the command line; without arguments, the demonstration."""

import sys

from .cli import main

WELCOME = """\
Simulating six hours of a market, trading it and writing a report into ets_data/demo.
The first run compiles the engine, once. Everything else: python -m elegant_trading_system --help
"""


def start() -> None:
    arguments = sys.argv[1:]
    if not arguments:
        sys.stderr.write(WELCOME)
        arguments = ["demo"]
    main(arguments)


if __name__ == "__main__":
    start()
