"""The words of the system: every code that crosses a boundary, with its meaning."""

from enum import IntEnum


class Kind(IntEnum):
    """What a packet tells. Below 16: the market, seen by all. 16 to 31: ours alone. From 32: the system."""

    DEPTH = 1  # rows replace levels (absolute lots; 0 removes)
    SNAPSHOT = 2  # rows are the whole book; it becomes LIVE
    TRADE = 3  # rows are prints, by aggressor side; INDEX and VOLATILITY listings print their value on the buy side
    STATUS = 4  # code is the listing's new BookState
    BAR = 5  # history, stamped at the bar's end: four buy rows open, high, low, close; lots of the last is the volume;
    # code is the bar's length in minutes
    SESSION = 6  # code is the SessionState; atoms is the UTC ns at which an OPEN session ends
    ACCEPTED = 16
    FILL = 17  # one row on our side; atoms of asset_id is the fee (negative: we pay), code is its FeeSource
    EXPIRED = 18  # what was left of an IOC is gone
    REJECTED = 19  # code is the RejectReason; nothing of it will ever fill
    FEE = 20  # atoms of asset_id, outside a fill
    FUNDING = 21  # atoms of asset_id
    TRANSFER = 22  # deposit or withdrawal, atoms of asset_id
    ADOPTED = 23  # what the account held before us becomes a position: one row on its side, at the price of now;
    # atoms of the quote is what it cost, order_id the intent it is kept under
    TICK = 32  # carries time only; changes nothing that the next packet would not
    OPERATOR = 33  # code is the OperatorCommand


PRIVATE_FIRST = 16
SYSTEM_FIRST = 32


class Side(IntEnum):
    BUY = 1
    SELL = -1


class ListingKind(IntEnum):
    SPOT = 0
    LINEAR = 1  # perpetual settled in the quote asset
    INVERSE = 2  # contracts of fixed quote value settled in the base asset: view-and-confirm only
    DARK = 3  # midpoint venue: no displayed book
    INDEX = 4  # prints, never traded (the simulator's efficient price)
    VOLATILITY = 5  # prints an implied volatility in percent a year, never traded (VIX, DVOL)


class BookState(IntEnum):
    RESYNC = 0  # waiting for a snapshot: how every book starts
    LIVE = 1
    GAP = 2  # a message was lost
    STALE = 3  # nothing heard for too long


class SessionState(IntEnum):
    """A listing of a market that closes. One that never hears of a session is always open."""

    ALWAYS = 0
    OPEN = 1
    CLOSED = 2
    HALTED = 3


class OrderState(IntEnum):
    FREE = 0  # the slot holds no order
    SENT = 1
    ACCEPTED = 2
    UNKNOWN = 3  # silence past the deadline: exposure stays reserved until the venue proves otherwise
    FILLED = 4
    EXPIRED = 5
    REJECTED = 6


class PositionState(IntEnum):
    FLAT = 0
    ENTERING = 1
    OPEN = 2
    EXITING = 3


class FeeSource(IntEnum):
    """What a fill's fee is taken from."""

    BALANCE = 0
    ELSEWHERE = 1  # an asset without a ledger: what it is worth comes in with the fee, and the balance stays


class CommandKind(IntEnum):
    SEND = 1
    QUERY = 2  # ask the venue what became of an UNKNOWN order


class RejectReason(IntEnum):
    NONE = 0
    VENUE = 1
    BALANCE = 2
    REDUCE_ONLY = 3
    RATE = 4  # ours: what is left of the venue's limits is kept for exits and questions


class OperatorCommand(IntEnum):
    HALT = 1
    RESUME = 2
    RESTART = 3  # the trader was gone: no book is known, every open order is UNKNOWN, nothing is decided until
    RECONCILED = 4  # the venues have said what became of the orders
    FLATTEN = 5  # close everything and halt
    STOP = 6  # the run ends: nothing is decided any more, reports are still heard; RECONCILED ends this, too


class ExitReason(IntEnum):
    NONE = 0
    STOP = 1
    TARGET = 2
    TIME = 3
    BREAKER = 4  # a circuit breaker flattens everything
    SESSION = 5  # the market is about to close
    VOLATILE = 6  # half of it, when the market turned VOLATILE
    REMNANT = 7  # so little of the entry filled that it is not worth a bracket


class Regime(IntEnum):
    """Which row of the table: by ADX, with hysteresis. VOLATILE and stress lie over it and are no rows."""

    NEUTRAL = 0
    TREND = 1
    RANGE = 2


class AssetClass(IntEnum):
    CRYPTO = 0
    EQUITY = 1


class Pressure(IntEnum):
    """What the ratio of the signal is a ratio of."""

    DEPTH = 0  # resting lots, decayed by distance
    OFI = 1  # changes of the touch (Cont, Kukanov and Stoikov)
    INTEGRATED_OFI = 2  # changes of all levels in the band


class Router(IntEnum):
    SPLIT = 0  # 60 / 30 / 10
    COST_GREEDY = 1  # level by level, the cheapest all-in first


class Verdict(IntEnum):
    """Why we did, or why we did not. Every evaluation of a group at a portfolio pass ends in one of these."""

    APPROVED = 0
    HALTED = 1
    BOOK_NOT_LIVE = 2
    WARMUP_VELOCITY = 3  # fewer seconds seen than the velocity windows need
    WARMUP_VWAP = 4
    WARMUP_ATR = 5
    NO_PRESSURE = 6
    STRENGTH_LOW = 7
    VELOCITY_LOW = 8
    IMBALANCE_LOW = 9
    VWAP_FAR = 10
    POSITION_OPEN = 11
    ORDER_WORKING = 12
    UNKNOWN_ORDER = 13
    SHORT_UNAVAILABLE = 14
    MAX_POSITIONS = 15
    SIZE_ZERO = 16  # risk budget or caps leave less than one lot
    BELOW_MIN_NOTIONAL = 17
    NO_VENUE = 18
    EQUITY_SPENT = 19  # no capital is left to size from
    EXIT_STOP = 20
    EXIT_TARGET = 21
    EXIT_TIME = 22
    EXIT_BOOK_NOT_LIVE = 23
    EXIT_DUST = 24  # what is left is smaller than a lot: named dust, position closed
    INSUFFICIENT_BALANCE = 25  # the free balance at the venues of the class cannot pay for a smallest order
    PERSISTENCE_LOW = 26  # the signal has not stood long enough
    VENUES_DISAGREE = 27
    FLOW_DISAGREES = 28  # order flow runs against the signal
    FLICKER = 29  # the signal's own side is placed and cancelled
    COOL_DOWN = 30  # a stop was hit here lately
    CLUSTER_LIMIT = 31  # enough positions in assets that move together
    HEAT_LIMIT = 32
    LEVERAGE_LIMIT = 33  # gross, net or symbol leverage leaves no room
    VENUE_LEVERAGE_LIMIT = 34
    VOLUME_LIMIT = 35  # the last hour's volume leaves less than one lot
    DEPTH_LIMIT = 36  # so does the depth inside the price cap
    DAY_LOSS = 37  # no entries until tomorrow
    LOSING_STREAK = 38
    DATA_LOSS = 39  # the reference book has not been LIVE for too long
    ORDER_RATE = 40
    SESSION_CLOSED = 41
    SESSION_ENDING = 42
    COST_GATE = 43  # the expected move does not pay its costs; counted, and refused only where the gate is enforced
    UNECONOMIC = 44  # no bar is long enough to pay the costs; counted likewise
    EXIT_BREAKER = 45
    EXIT_SESSION = 46
    EXIT_VOLATILE = 47
    EXIT_REMNANT = 48
    EXIT_BLIND = 49  # an exit sent to a book that is not LIVE
    DRAWDOWN_HALT = 50  # flattened and halted until re-armed
    VENUE_PAUSED = 51  # a venue was paused: rejects, slow answers or slippage
    LIQUIDATION_NEAR = 52  # a perpetual would be liquidated too few stops away


VERDICTS = 64
