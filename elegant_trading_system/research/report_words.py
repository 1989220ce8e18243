"""What each verdict means, in one plain sentence."""

from ..core.kinds import Verdict

EXPLANATIONS: dict[Verdict, str] = {
    Verdict.APPROVED: "Every gate was passed and orders were sent.",
    Verdict.HALTED: "Trading was halted, by a breaker or by hand; nothing is looked at until it is re-armed.",
    Verdict.BOOK_NOT_LIVE: "No order book of the group was live, and nothing is entered on a book we cannot trust.",
    Verdict.WARMUP_VELOCITY: "Too little data yet to say what a usual minute's volume and spread are.",
    Verdict.WARMUP_VWAP: "No volume-weighted average price yet to compare the price with.",
    Verdict.WARMUP_ATR: "Too few closed bars yet for an average true range, so no stop and no size.",
    Verdict.NO_PRESSURE: "Bids and asks were in balance: there was no side to take.",
    Verdict.STRENGTH_LOW: "The signal (pressure times velocity times tightness) stayed below its threshold.",
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
