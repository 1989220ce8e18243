"""Which listing a file of bars belongs to, by its name and the folders it lies in.

The nearest name wins: the file's own, then its folder's, and so on upwards. What the person says wins over all.
"""

import re
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from ...errors import UserError
from ..tape import ListingKindName, ListingSpec
from .binance_symbols import Market, Steps, listing_spec, split_symbol
from .said import Said

SUFFIXES = (".csv", ".json", ".parquet", ".feather", ".zip", ".xz", ".gz")
VENUES = (
    "binance", "binanceus", "binanceusdm", "binancecoinm", "bitfinex", "bitget", "bitmex", "bitstamp", "bybit",
    "coinbase", "deribit", "gemini", "huobi", "kraken", "kucoin", "okx",
)  # fmt: skip
SAME_VENUE = {"gdax": "coinbase", "usa": "us", "us": "us"}
EQUITY_VENUE = "us"  # the consolidated tape of the US exchanges
EQUITY_CALENDAR = "XNYS"
LINEAR_WORDS = frozenset({"usdm", "um", "futures", "future", "linear", "perp", "perpetual", "swap"})
INVERSE_WORDS = frozenset({"coinm", "cm", "inverse", "delivery"})
EQUITY_WORDS = frozenset({"equity", "equities", "stock", "stocks", "nasdaq", "nyse"})
INDICES = frozenset({"VIX", "SPX", "NDX", "RUT", "DJI"})  # prints of these are never traded
QUOTES = ("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USD", "EUR", "GBP", "JPY", "TRY", "BRL", "BTC", "ETH", "BNB")
NO_BASES = frozenset({"", "USD"})  # USDTUSD is USDT/USD, not USD/TUSD
LENGTH = re.compile(r"\d+(?:s|m|min|h|d|w|mo)|minute|hour|hourly|daily|second", re.IGNORECASE)
MINUTE = frozenset({"1m", "1min", "minute"})
NOT_BARS = frozenset({"mark", "quote", "funding", "rate", "premium", "index", "readme"})
HINT = 'say what it is: --as "VENUE SYMBOL", for example --as "kraken BTC/USD"'


class Instrument(NamedTuple):
    """A listing before its steps are known."""

    venue: str
    base: str
    quote: str
    settle: str
    kind: ListingKindName
    is_equity: bool = False

    @property
    def symbol(self) -> str:
        pair = f"{self.base}/{self.quote}"
        return f"{pair}:{self.settle}" if self.kind in ("linear", "inverse") else pair

    @property
    def market(self) -> Market | None:
        """The Binance order book it is, whose captures its bars can be joined with."""
        market = next((market for market in Market if market.value == self.venue), None)
        return market if market and split_symbol(market, self.raw) == (self.base, self.quote) else None

    @property
    def raw(self) -> str:
        return f"{self.base}{self.quote}" + ("_PERP" if self.kind == "inverse" else "")

    def spec(self, steps: Steps) -> ListingSpec:
        if self.market is not None:
            return listing_spec(self.market, self.raw, steps)
        return ListingSpec(
            venue=self.venue,
            symbol=self.symbol,
            kind=self.kind,
            base=self.base,
            quote=self.quote,
            settle=self.settle,
            tick_size=steps.tick_size,
            lot_size=steps.lot_size,
            contract_quote=Decimal(self.kind == "inverse"),  # a guess where the venue is not Binance: 1 a contract
            asset_class="equity" if self.is_equity else "crypto",
            calendar=EQUITY_CALENDAR if self.is_equity else "",
        )


def is_meant(path: Path) -> bool:
    """Whether a file found in a folder holds minute bars, as far as its name says."""
    return not NOT_BARS & set(words_of(stem(path))) and not other_length(path)


def other_length(path: Path) -> str:
    """The length of its bars a file's name gives, if it is not a minute."""
    return next((word for word in words_of(stem(path)) if LENGTH.fullmatch(word) and word not in MINUTE), "")


def stem(path: Path) -> str:
    """The name without data.json.xz and the like."""
    name = path.name
    while name.lower().endswith(SUFFIXES):
        name = name.rpartition(".")[0]
    return name


def words_of(name: str) -> list[str]:
    return [word for word in re.split(r"[-_. ]+", name.lower()) if word]


class Place(NamedTuple):
    """What the names around a file say, the nearest that says anything first."""

    venue: str
    words: set[str]  # all words from the file's name up to the one that names the venue
    is_equity: bool


def identify(path: Path, said: Said) -> Instrument:
    """The listing of a file; UserError where neither its name nor the person says it."""
    place = _place(path)
    venue = said.venue or place.venue
    if not venue:
        raise UserError(f"{path}: neither the file's name nor its folders name a venue", HINT)
    if said.symbol:
        return _from_symbol(venue, said.symbol)
    is_equity = venue == EQUITY_VENUE or place.is_equity
    pair = _equity(path) if is_equity else _pair(path)
    if pair is None:
        raise UserError(f"{path}: the file's name holds no symbol known here", HINT)
    return _instrument(venue, *pair, place.words, is_equity)


def _place(path: Path) -> Place:
    words: set[str] = set()
    for part in (words_of(stem(path)), *(words_of(folder.name) for folder in path.absolute().parents)):
        words |= set(part)
        is_equity = bool(EQUITY_WORDS & set(part))
        venue = next((SAME_VENUE.get(word, word) for word in part if word in VENUES or word in SAME_VENUE), "")
        if venue or is_equity:
            venue = venue or EQUITY_VENUE
            return Place(venue + ("testnet" if "testnet" in words else ""), words, is_equity)
    return Place("", words, is_equity=False)


def _from_symbol(venue: str, symbol: str) -> Instrument:
    pair, _, settle = symbol.partition(":")
    base, _, quote = pair.partition("/")
    words = {"linear"} if settle and settle == quote else {"inverse"} if settle else set()
    return _instrument(venue, base, quote, settle, words, venue == EQUITY_VENUE)


def _pair(path: Path) -> tuple[str, str, str] | None:
    """Base, quote and settlement (or nothing) in a file's name: BTC_USDT_USDT-1m-futures, BNBUSDT_1m, kraken_btcusd."""
    words = [word.upper() for word in words_of(stem(path))]
    for before, after, behind in zip(words, words[1:], [*words[2:], ""], strict=False):
        is_base = before.isalnum() and before.lower() not in VENUES and not LENGTH.fullmatch(before)
        if is_base and after in QUOTES and (behind in (before, after) or behind not in QUOTES):
            return before.replace("XBT", "BTC"), after, behind if behind in (before, after) else ""
    pairs = (pair_of(word) for word in words if word.lower() not in VENUES)
    return next(((*pair, "") for pair in pairs if pair), None)


def pair_of(word: str) -> tuple[str, str] | None:
    """Base and quote of BTCUSDT or xbtusd."""
    word = word.upper().replace("XBT", "BTC")
    quote = next((quote for quote in QUOTES if word.endswith(quote) and word.removesuffix(quote) not in NO_BASES), None)
    if quote is None:
        return None
    return word.removesuffix(quote), quote


def _equity(path: Path) -> tuple[str, str, str] | None:
    """AAPL_1min: the first word of letters."""
    first = words_of(stem(path))[0]
    return (first.upper(), "USD", "") if re.fullmatch(r"[a-z]{1,5}", first) else None


def _instrument(venue: str, base: str, quote: str, settle: str, words: set[str], is_equity: bool) -> Instrument:
    if is_equity:
        return Instrument(venue, base, quote, quote, "index" if base in INDICES else "spot", is_equity=True)
    is_inverse = settle == base or bool(words & INVERSE_WORDS) or venue == Market.INVERSE.value
    is_linear = settle == quote or bool(words & LINEAR_WORDS) or venue == Market.LINEAR.value
    if is_inverse:
        venue = Market.INVERSE.value if venue == "binance" else venue
        return Instrument(venue, base, quote, base, "inverse")
    if is_linear:
        venue = Market.LINEAR.value if venue == "binance" else venue
        return Instrument(venue, base, quote, quote, "linear")
    return Instrument(venue, base, quote, quote, "spot")
