"""What each verdict means, in one plain sentence."""

from ..core.kinds import Verdict

EXPLANATIONS: dict[Verdict, str] = {
    Verdict.APPROVED: "Every gate was passed and orders were sent.",
    Verdict.HALTED: "Trading was halted, by a breaker or by hand; nothing is looked at until it is re-armed.",
    Verdict.BOOK_NOT_LIVE: "No order book of the group was live, and nothing is entered on a book we cannot trust.",
    Verdict.WARMUP_VELOCITY: "Too little data yet, or no trade lately, to say what a usual minute's volume and spread are.",
    Verdict.WARMUP_VWAP: "No volume-weighted average price yet to compare the price with.",
    Verdict.WARMUP_ATR: "Too few closed bars yet for an average true range, so no stop and no size.",
    Verdict.NO_PRESSURE: "Bids and asks were in balance: there was no side to take.",
    Verdict.STRENGTH_LOW: "The strength of the signal stayed below its threshold.",
    Verdict.VELOCITY_LOW: "The book was one-sided, but trading was not unusually busy.",
    Verdict.IMBALANCE_LOW: "The market was busy and tight, but the book was not one-sided enough.",
    Verdict.VWAP_FAR: "The price had already run too far from its volume-weighted average.",
    Verdict.POSITION_OPEN: "A position in this group was already open; there is one at a time.",
    Verdict.ORDER_WORKING: "Orders of this group were still on their way.",
    Verdict.UNKNOWN_ORDER: "An order's fate was unknown; its exposure stays reserved until the venue answers.",
    Verdict.SHORT_UNAVAILABLE: "The signal was to sell, and no live listing of the group can be sold short.",
    Verdict.MAX_POSITIONS: "As many positions were open as are allowed at once.",
    Verdict.SIZE_ZERO: "The risk budget or a cap left less than one lot.",
    Verdict.BELOW_MIN_NOTIONAL: "The order would have been smaller than the venue's minimum.",
    Verdict.NO_VENUE: "No venue could take the order: none was live, two-sided and allowed to trade.",
    Verdict.EQUITY_SPENT: "No capital was left to size a position from.",
    Verdict.INSUFFICIENT_BALANCE: "The free balance at the venues chosen could not pay for the smallest order.",
    Verdict.PERSISTENCE_LOW: "The signal had not stood above its threshold for long enough.",
    Verdict.VENUES_DISAGREE: "Fewer venues leaned the same way than must confirm one another.",
    Verdict.FLOW_DISAGREES: "Order flow of the last seconds ran against the side of the book.",
    Verdict.FLICKER: "The heavier side was placed and cancelled again: likely to be show.",
    Verdict.COOL_DOWN: "A stop was hit in this group shortly before.",
    Verdict.CLUSTER_LIMIT: "Enough positions were open in assets that move together with this one.",
    Verdict.HEAT_LIMIT: "The open risk, correlations counted, would have exceeded its limit.",
    Verdict.LEVERAGE_LIMIT: "Gross or net exposure left no room.",
    Verdict.VENUE_LEVERAGE_LIMIT: "So much was already held at the venues chosen that nothing more may go there.",
    Verdict.VOLUME_LIMIT: "No volume had been traded lately that an order could be a small share of.",
    Verdict.DEPTH_LIMIT: "The book showed too little inside the price cap for an order to be a small share of.",
    Verdict.DAY_LOSS: "The day's loss had reached its limit: no entries until tomorrow.",
    Verdict.LOSING_STREAK: "Too many stops had been hit in a row: entries paused.",
    Verdict.DATA_LOSS: "The reference book had not been live for too long.",
    Verdict.ORDER_RATE: "Too many orders were being sent: entries wait, and a runaway rate halts.",
    Verdict.SESSION_CLOSED: "The market was closed or halted.",
    Verdict.SESSION_ENDING: "The market was about to close: no position is opened that must be closed at once.",
    Verdict.COST_GATE: "What such signals have earned so far does not pay the costs of the trade.",
    Verdict.UNECONOMIC: "No bar is long enough for its range to pay the costs of a round trip.",
    Verdict.DRAWDOWN_HALT: "The drawdown reached its limit: everything was closed and trading halted.",
    Verdict.VENUE_PAUSED: "A venue was paused for rejecting, answering slowly or filling badly.",
    Verdict.LIQUIDATION_NEAR: "A perpetual would have been liquidated too few stop distances away.",
    Verdict.EXIT_BREAKER: "A position was closed by a circuit breaker.",
    Verdict.EXIT_SESSION: "A position was closed because its market was about to close.",
    Verdict.EXIT_VOLATILE: "Half of a position was closed because the market turned volatile.",
    Verdict.EXIT_REMNANT: "So little of an entry had filled that it was closed again.",
    Verdict.EXIT_BLIND: "An exit was sent to a book that was not live, protected by the last known price.",
    Verdict.EXIT_STOP: "A position was closed because the price reached its stop.",
    Verdict.EXIT_TARGET: "A position was closed because the price reached its target.",
    Verdict.EXIT_TIME: "A position was closed because its time was up.",
    Verdict.EXIT_BOOK_NOT_LIVE: "An exit was due but could not be sent: the book it would trade on was not live.",
    Verdict.EXIT_DUST: "What was left of a closed position was smaller than a lot and was named dust.",
}

WARMUPS = (Verdict.WARMUP_VELOCITY, Verdict.WARMUP_VWAP, Verdict.WARMUP_ATR)


def explanation(name: str) -> str:
    """The sentence of a verdict by name; a run may hold names this version does not know."""
    return EXPLANATIONS[Verdict[name]] if name in Verdict.__members__ else "Not known to this version."


def is_exit(name: str) -> bool:
    """Verdicts about leaving a position, as against the evaluations that look for an entry."""
    return name.startswith("EXIT_")
