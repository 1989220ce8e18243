"""The answer of `ets why` as a story: when, what, how much, one line each."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

Answer = dict[str, Any]
INDENT = " " * 28
PASSED = {True: "passes", False: "FAILS", None: "not asked"}


def order_lines(answer: Answer) -> list[str]:
    """From the packet to the end of the round trip."""
    order = answer["order"]
    what = f"exit, {order['exit_reason']}" if order["is_exit"] else "entry"
    again = f", attempt {order['wave'] + 1}" if order["wave"] else ""
    day = answer["packet"]["ts"][:10]
    lines = [f"Order {order['order_id']}, {order['group']}, {what}{again}, intent {order['intent_id']}, {day} UTC", ""]
    lines += _packet(answer["packet"])
    if answer["signal"]:
        lines += _signal(answer["signal"])
    if answer["intent"]:
        lines += _intent(answer["intent"], answer["signal"]["ts"])
    lines += _orders(answer)
    for trip in answer["round_trip"]:
        lines += _trip(trip)
    return lines


def moment_lines(answer: Answer) -> list[str]:
    """What each group's last evaluation said."""
    lines: list[str] = []
    for group, signal in answer.items():
        lines += [group, *_signal(signal), f"{INDENT}{signal['verdict']}: {signal['meaning']}", ""]
    return lines[:-1]


def _at(ts: str, what: str) -> str:
    return f"{datetime.fromisoformat(ts):%H:%M:%S.%f}  {what:<11}"


def _packet(packet: Answer) -> Iterator[str]:
    late_ms = (datetime.fromisoformat(packet["ts"]) - datetime.fromisoformat(packet["ts_venue"])).total_seconds() * 1e3
    yield (
        f"{_at(packet['ts'], 'packet')}  {packet['listing']} {packet['kind']}, event {packet['seq']:,}, "
        f"{late_ms:.1f} ms after the venue's stamp"
    )
    tick, lot = Decimal(packet["tick_size"]), Decimal(packet["lot_size"])
    for side in ("buy", "sell"):
        rows = [f"{lots * lot} at {ticks * tick}" for ticks, lots in packet[f"{side}_rows"][:4]]
        more = len(packet[f"{side}_rows"]) - len(rows)
        if rows:
            yield f"{INDENT}{side}: {', '.join(rows)}{f', {more} more' if more else ''}"


def _signal(signal: Answer) -> Iterator[str]:
    side = {1: "buy", -1: "sell", 0: "no side"}[signal["side"]]
    known = signal["velocity"] is not None and signal["tightness"] is not None
    strength = f"strength {signal['strength']:.3f}" if known else "strength not known yet"
    yield f"{_at(signal['ts'], 'signal')}  {side}, {strength}, mid {_number(signal['mid_price'])}"
    for gate in signal["gates"]:
        value = "not known yet" if gate["value"] is None else f"{gate['value']:.4g}"
        yield f"{INDENT}{gate['name']:<12} {value} {gate['must_be']} {gate['limit']:g}: {PASSED[gate['passes']]}"
    for asked in signal["filters"]:
        yield f"{INDENT}{asked['name']:<12} wants {asked['wants']}: {PASSED[asked['passes']]}"
    yield f"{INDENT}{_market(signal)}"


def _market(signal: Answer) -> str:
    if not signal["atr_price"]:
        return "the usual range is not known yet"
    atr_bps = signal["atr_price"] / signal["mid_price"] * 1e4
    states = [signal["regime"], *(["VOLATILE"] if signal["is_volatile"] else [])]
    states += ["stressed" if signal["is_stressed"] else "calm"]
    return f"{', '.join(states)}; ATR {_number(signal['atr_price'])} ({atr_bps:.1f} bps) of {signal['bar_s']:g} s bars"


def _intent(intent: Answer, ts: str) -> Iterator[str]:
    yield (
        f"{_at(ts, 'risk')}  can lose {_number(intent['risk_quote'])}; base risk {intent['base_risk']:.2%} of "
        f"{_number(intent['capital'])}, stop {intent['stop_atr']:g} ATR"
    )
    shares = {
        f"{intent['regime']} regime": intent["regime_size"], "VOLATILE": intent["volatile_size"],
        "stress": intent["stress_size"], "volatility not known": intent["volatility_warmup_size"],
    }  # fmt: skip
    cut = [f"x {share:g} ({name})" for name, share in shares.items() if share != 1.0]
    yield f"{INDENT}size {' '.join(cut) or 'not reduced'}; expected edge {intent['edge_bps']:+.1f} bps after costs"
    if intent["shadow_bps"]:
        yield f"{INDENT}the other way of routing would have cost {intent['shadow_bps']:+.2f} bps more"


def _orders(answer: Answer) -> Iterator[str]:
    asked = answer["order"]["order_id"]
    for held in answer["fills_of_the_intent"]:
        if held["order_id"] == 0:
            yield (
                f"{_at(held['ts'], 'adopted')}  the account held {_number(held['quantity'])} on {held['listing']} already, "
                f"reckoned at {_number(held['price'])}"
            )
    for order in answer["orders_of_the_intent"]:
        at = _at(order["ts"], f"order {order['order_id']}")
        leaving = f" to leave ({order['exit_reason']})" if order["is_exit"] else ""
        asked_for = "  <- this one" if order["order_id"] == asked else ""
        yield (
            f"{at}  {order['side']} {_number(order['quantity'])}{leaving} on {order['listing']} at "
            f"{_number(order['limit_price'])} or better; touch {_number(order['touch_price'])}{asked_for}"
        )
        for fill in answer["fills_of_the_intent"]:
            if fill["order_id"] == order["order_id"]:
                yield (
                    f"{_at(fill['ts'], 'fill')}  {_number(fill['quantity'])} at {_number(fill['price'])}, "
                    f"fee {_number(fill['fee'])} {fill['fee_asset']}; at the venue {fill['ts_venue'][11:26]}"
                )
        if order["filled_lots"] < order["lots"]:
            left = order["quantity"] - order["filled_quantity"]
            yield f"{INDENT}{order['status']}: {_number(left)} not filled"


def _trip(trip: Answer) -> Iterator[str]:
    if not trip["is_closed"]:
        yield f"{INDENT}still open at the end of the run: {_number(trip['left'])} left"
        return
    yield (
        f"{_at(trip['ts_exit'], 'closed')}  after {trip['hold_s']:.1f} s by {trip['exit_reason']}: gross "
        f"{trip['gross']:+,.2f}, fees {trip['fees']:,.2f}, net {trip['net']:+,.2f} ({trip['net_bps']:+.1f} bps"
        + (f", {trip['r_multiple']:+.2f} R)" if trip["r_multiple"] is not None else ")")
    )


def _number(value: float) -> str:
    """Eight digits at most, thousands apart."""
    whole, _, rest = f"{value:.8g}".partition(".")
    return f"{int(whole):,}" + (f".{rest}" if rest else "") if "e" not in whole + rest else f"{value:.8g}"
