"""What the person importing says about files that do not say it themselves."""

import re
from typing import NamedTuple

from ...errors import ExitCode, UserError

STAMPS = ("", "start", "end")


class Said(NamedTuple):
    """Empty = not said: the importer goes by the file, or refuses."""

    listing: str = ""  # VENUE, or "VENUE SYMBOL" as `ets data` shows it: "kraken BTC/USD", "bybit BTC/USDT:USDT"
    stamps: str = ""  # bars are stamped at their start or end
    timezone: str = ""  # of stamps that do not name one: America/New_York

    @property
    def venue(self) -> str:
        return self.listing.partition(" ")[0].lower()

    @property
    def symbol(self) -> str:
        return self.listing.partition(" ")[2].strip().upper()

    def check(self) -> None:
        """UserError for what cannot be meant."""
        if self.stamps not in STAMPS:
            raise _usage(f"--stamps {self.stamps}: bars are stamped at their start or end", "--stamps start")
        if self.symbol and not re.fullmatch(r"\w+/\w+(:\w+)?", self.symbol, re.ASCII):
            raise _usage(f"--as {self.listing!r}: {self.symbol!r} is not a symbol", '--as "kraken BTC/USD"')


def _usage(message: str, example: str) -> UserError:
    return UserError(message, f"for example: {example}", ExitCode.USAGE)
