"""The embedded market: three lit venues and a dark one around one efficient price V, moved by compensated flow.

    dV = drift m dt + sigma dW + jumps + eta [ sum sign sqrt(size) - (1 - leak) E sqrt(size) (rate_buy - rate_sell) dt ]

Market orders cluster (Hawkes) and books lean with them, but with both dials at zero V is an exact martingale: flow
moves it by surprise only. Law and constants: docs/decisions/0003-market-simulator.md.

One clock of independent exponential waits drives everything. It stops exactly at publications, samples and whole
seconds: taking the last state before such an instant instead would correlate it with what comes next.
"""

from typing import NamedTuple

from ..core.jit import entry, kernel
from ..core.schema import NS_PER_S
from .market_book import lots_at
from .market_emit import ROOM_LEVELS, ROOM_PACKETS, emit_book, emit_heartbeat, emit_prints, emit_sample, is_public
from .market_events import apply_cancel, apply_limit_order, apply_market_order, apply_requote
from .market_flow import advance_continuous, advance_flow, apply_factors
from .market_random import draw_exponential, draw_normal, draw_uniform
from .market_records import LIT, LOWEST_TICKS

BUY, SELL, LIMIT, CANCEL, REQUOTE, JUMP, NOTHING = range(7)  # what an event is; the first two are aggressors' sides


# --- which event, and where ------------------------------------------------------------------------------
class Rates(NamedTuple):
    """Events per second; of flow it is a bound, exact when the wait began and falling until the next event."""

    buy: float
    sell: float
    limit: float
    cancel: float
    requote: float
    total: float


@kernel
def venue_cancel_rate(ladders, model, venue):
    return model.cancel_rate[venue] * (ladders.total_lots[venue, 0] + ladders.total_lots[venue, 1])


@kernel
def event_rates(world, ladders, model) -> Rates:
    cancel = 0.0
    for venue in range(LIT):
        cancel += venue_cancel_rate(ladders, model, venue)
    buy, sell = world.rates[0], world.rates[1]
    limit, cancel = model.limit_rate_sum * world.activity, cancel * world.activity
    total = buy + sell + limit + cancel + model.requote_rate_sum + model.jump_rate
    return Rates(buy, sell, limit, cancel, model.requote_rate_sum, total)


@kernel
def pick(weights, point):
    """Index of the weight that a point of [0, sum) falls into."""
    for index in range(len(weights) - 1):
        point -= weights[index]
        if point < 0.0:
            return index
    return len(weights) - 1


@kernel
def pick_cancel_venue(ladders, model, point):
    for venue in range(LIT - 1):
        point -= venue_cancel_rate(ladders, model, venue)
        if point < 0.0:
            return venue
    return LIT - 1


@kernel
def touch_flow(ladders, venue, side, before_x, before_lots):
    """One side's term of the order-flow imbalance of Cont, Kukanov and Stoikov (2014)."""
    x = ladders.best_x[venue, side]
    arrived = lots_at(ladders, venue, side, x) if x >= before_x else 0
    left = before_lots if x <= before_x else 0
    return arrived - left


@kernel
def choose_event(world, ladders, model, rates, point):
    """What happens at the end of a wait, and where: a point of [0, total) falls into one of the rates."""
    if point < rates.buy:
        return (BUY if point < world.rates[0] else NOTHING), pick(model.venue_share, draw_uniform(world.random))
    point -= rates.buy
    if point < rates.sell:
        return (SELL if point < world.rates[1] else NOTHING), pick(model.venue_share, draw_uniform(world.random))
    point -= rates.sell
    if point < rates.limit:
        return LIMIT, pick(model.limit_rate, point / world.activity)
    point -= rates.limit
    if point < rates.cancel:
        return CANCEL, pick_cancel_venue(ladders, model, point / world.activity)
    point -= rates.cancel
    if point < rates.requote:
        return REQUOTE, pick(model.requote_rate, point)
    return JUMP, 0


@kernel
def apply_event(world, ladders, model, kind, venue):
    """Returns the aggressor's side of whatever was printed."""
    if kind == LIMIT:
        apply_limit_order(world, ladders, model, venue)
    elif kind == CANCEL:
        apply_cancel(world, ladders, model, venue)
    elif kind == REQUOTE:
        return apply_requote(world, ladders, model, venue)
    elif kind == JUMP:
        world.price += model.jump_ticks * draw_normal(world.random)
    else:
        apply_market_order(world, ladders, model, venue, kind)
        return kind
    return 0


@kernel
def apply_observed_event(world, ladders, model, kind, venue, packets, levels, truth):
    """An event, its order-flow imbalance and its prints."""
    bid_x, ask_x = ladders.best_x[venue, 0], ladders.best_x[venue, 1]
    bid_lots, ask_lots = lots_at(ladders, venue, 0, bid_x), lots_at(ladders, venue, 1, ask_x)
    aggressor = apply_event(world, ladders, model, kind, venue)
    flow_lots = touch_flow(ladders, venue, 0, bid_x, bid_lots) - touch_flow(ladders, venue, 1, ask_x, ask_lots)
    world.ofi_units[venue] += flow_lots / model.unit_lots[venue]
    world.event_count += 1
    if world.print_count > 0:
        emit_prints(world, model, venue, aggressor, packets, levels, truth)


# --- stops ------------------------------------------------------------------------------------------------
@kernel
def apply_second(world, ladders, model, packets, levels, truth):
    """Begin the next second; the first published one opens with whole books."""
    world.ts_second_ns += NS_PER_S
    world.seconds = 0.0
    if world.price < LOWEST_TICKS:
        world.fault = 1
    apply_factors(world, model)
    advance_flow(world, model, 0.0)
    for venue in range(LIT):
        world.next_batch_ns[venue] -= NS_PER_S
    world.next_sample_ns -= NS_PER_S
    if is_public(world, model):
        emit_heartbeat(world, model, packets, truth)
    if world.ts_second_ns == model.ts_start_ns:
        begin_publication(world, ladders, model, packets, levels, truth)


@kernel
def begin_publication(world, ladders, model, packets, levels, truth):
    world.event_count = 0
    if model.sample_ns > 0:
        world.next_sample_ns = 0
    if model.batch_ns == 0:
        return
    for venue in range(LIT):
        emit_book(world, ladders, model, venue, True, packets, levels, truth)
        # The venues' batches are out of phase, as real ones are.
        world.next_batch_ns[venue] = model.batch_ns if venue == 0 else venue * model.batch_ns // LIT


@kernel
def next_stop_ns(world):
    stop_ns = min(NS_PER_S, world.next_sample_ns)
    for venue in range(LIT):
        stop_ns = min(stop_ns, world.next_batch_ns[venue])
    return stop_ns


@kernel
def apply_stop(world, ladders, model, packets, levels, truth, samples):
    """Whatever is due at the instant the clock stopped at."""
    stop_ns = world.stop_ns
    if stop_ns == NS_PER_S:
        apply_second(world, ladders, model, packets, levels, truth)
    else:
        for venue in range(LIT):
            if world.next_batch_ns[venue] == stop_ns:
                emit_book(world, ladders, model, venue, False, packets, levels, truth)
                world.next_batch_ns[venue] += model.batch_ns
        if world.next_sample_ns == stop_ns:
            emit_sample(world, ladders, model, samples)
            world.next_sample_ns += model.sample_ns
    world.stop_ns = next_stop_ns(world)


# --- the clock --------------------------------------------------------------------------------------------
@entry
def advance(world, ladders, model, until_ns, packets, levels, truth, samples):
    """Run to the beginning of second `until_ns`, or until a buffer is nearly full: empty them and call again.

    Nothing is drawn twice or lost at a return, so the result does not depend on the buffers' sizes.
    """
    while (
        world.ts_second_ns < until_ns
        and world.fault == 0
        and world.packet_count + ROOM_PACKETS <= len(packets)
        and world.level_count + ROOM_LEVELS <= len(levels)
        and world.sample_count < len(samples)
    ):
        rates = event_rates(world, ladders, model)
        wait_s = draw_exponential(world.random) / rates.total
        stop_s = world.stop_ns / NS_PER_S
        if world.seconds + wait_s >= stop_s:  # waits have no memory: stop, look, and draw a new one
            advance_continuous(world, model, stop_s - world.seconds)
            world.seconds = stop_s
            apply_stop(world, ladders, model, packets, levels, truth, samples)
            continue
        advance_continuous(world, model, wait_s)
        kind, venue = choose_event(world, ladders, model, rates, draw_uniform(world.random) * rates.total)
        if kind != NOTHING:
            apply_observed_event(world, ladders, model, kind, venue, packets, levels, truth)
