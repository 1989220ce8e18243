"""`python -m elegant_trading_system`: the command line; without arguments, the demonstration."""

import sys

from .cli import main

DEMO_MINUTES = "10"
WELCOME = f"""\
{DEMO_MINUTES} minutes of trading on SIMULATED venues of this machine; Ctrl-C ends them sooner. A report follows.
The first run compiles the engine, once. Everything else: python -m elegant_trading_system --help
"""


def start() -> None:
    arguments = sys.argv[1:]
    if not arguments:
        sys.stderr.write(WELCOME)
        arguments = ["run", "--demo", "--minutes", DEMO_MINUTES]
    main(arguments)


if __name__ == "__main__":
    start()
