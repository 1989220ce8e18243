"""`ets` with ccxt from its own environment, behind everything of ours: `python ets_with.py SITE_PACKAGES WORD...`."""

import sys

site, *words = sys.argv[1:]
sys.path.append(site)

from elegant_trading_system import cli  # noqa: E402 - the path comes first

cli.main(words)
