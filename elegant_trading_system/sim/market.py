"""The embedded market: three lit venues and a dark one around one efficient price V, moved by compensated flow.

    dV = drift m dt + sigma dW + jumps + eta [ sum sign sqrt(size) - (1 - leak) E sqrt(size) (rate_buy - rate_sell) dt ]

Market orders cluster (Hawkes) and books lean with them, but with both dials at zero V is an exact martingale: flow
moves it by surprise only. Law and constants: docs/decisions/0003-market-simulator.md.

One clock of independent exponential waits drives everything. It stops exactly at publications, samples and whole
seconds: taking the last state before such an instant instead would correlate it with what comes next.
"""

import math
from typing import NamedTuple

from ..core.jit import entry, kernel, routine
from ..core.schema import NS_PER_S
from .market_book import apply_insert, apply_removal, displacement, lots_at, side_sign, x_after
from .market_emit import ROOM_LEVELS, ROOM_PACKETS, emit_book, emit_heartbeat, emit_prints, emit_sample, is_public
from .market_random import draw_exponential, draw_normal, draw_uniform
from .market_records import COMMON_STEPS, EXCITATIONS, FACTORS, LIT, LOWEST_TICKS, PRINTS, SIZES, SWEEP, WINDOW

_STEP_DEVIATION = COMMON_STEPS**-0.5

BUY, SELL, LIMIT, CANCEL, REQUOTE, JUMP, NOTHING = range(7)  # what an event is; the first two are aggressors' sides


# --- continuous state -------------------------------------------------------------------------------------
@kernel
def decay(x):
    """exp(-x), x >= 0; a series where four terms are exact to 1e-12."""
    if x < 0.004:
        return 1.0 - x * (1.0 - x * (0.5 - x * (1.0 / 6.0 - x * (1.0 / 24.0))))
    return math.exp(-x)


@kernel
def advance_flow(world, model, wait_s):
    """Let the excitation fade; returns the integral of rate_buy - rate_sell over the wait."""
    imbalance = (world.base_rates[0] - world.base_rates[1]) * wait_s
    buy_rate, sell_rate = world.base_rates[0], world.base_rates[1]
    for k in range(EXCITATIONS):
        keep = decay(model.excite_decay[k] * wait_s)
        buy, sell = world.excitation[0, k], world.excitation[1, k]
        imbalance += (buy - sell) * (1.0 - keep) / model.excite_decay[k]
        world.excitation[0, k] = buy * keep
        world.excitation[1, k] = sell * keep
        buy_rate += buy * keep
        sell_rate += sell * keep
    world.rates[0] = buy_rate
    world.rates[1] = sell_rate
    return imbalance


@kernel
def common_increment(world, model, seconds):
    """What the path all instruments share has added since it was last asked: steps of 10 ms, known to nobody before."""
    index = min(COMMON_STEPS, int(seconds * COMMON_STEPS + 1e-6))
    increment = world.common[index] - world.common[world.common_index]
    world.common_index = index
    return model.common_weight * increment


@kernel
def advance_continuous(world, model, wait_s):
    """Move everything that moves between events."""
    world.seconds += wait_s
    imbalance = advance_flow(world, model, wait_s)
    diffusion = model.own_weight * math.sqrt(wait_s) * draw_normal(world.random)
    diffusion += common_increment(world, model, world.seconds)
    world.price += (
        model.drift_ticks * world.momentum * wait_s + world.volatility * diffusion - model.compensation_ticks * imbalance
    )
    for venue in range(LIT):
        keep = decay(wait_s / model.reference_tau_s[venue])
        world.reference[venue] = world.price + (world.reference[venue] - world.price) * keep


# --- whole seconds ----------------------------------------------------------------------------------------
@routine
def apply_factors(world, model):
    """Draw the second's volatility, activity, momentum and common path. A fixed number of draws: streams stay aligned."""
    log_volatility = 0.0
    for k in range(FACTORS):
        step = model.factor_step[k] * draw_normal(world.factor_random)
        world.factors[k] = model.factor_keep[k] * world.factors[k] + step
        log_volatility += world.factors[k]
    world.volatility = model.volatility * math.exp(log_volatility - model.factor_variance)
    power = model.activity_power
    world.activity = math.exp(power * log_volatility - 0.5 * power * power * model.factor_variance)

    keep, step = model.momentum_keep, model.momentum_step
    world.momentum_shared = keep * world.momentum_shared + step * draw_normal(world.factor_random)
    world.momentum_own = keep * world.momentum_own + step * draw_normal(world.random)
    world.momentum = model.momentum_shared * world.momentum_shared + model.momentum_own * world.momentum_own
    world.momentum_tanh = math.tanh(world.momentum)
    for side in range(2):
        tilt = 1.0 + side_sign(side) * model.momentum_flow * world.momentum_tanh
        world.base_rates[side] = model.base_rate * world.activity * tilt

    world.common_index = 0
    for k in range(COMMON_STEPS):
        world.common[k + 1] = world.common[k] + _STEP_DEVIATION * draw_normal(world.factor_random)


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


# --- events -----------------------------------------------------------------------------------------------
@kernel
def draw_size(world, model):
    """Size of an order in units of the venue's mean: lognormal, mean 1."""
    return model.sizes[int(draw_uniform(world.random) * SIZES)]


@kernel
def lots_of(model, venue, size):
    return max(1, int(size * model.depth_lots[venue] + 0.5))


@kernel
def depth_skew(world, model):
    """How much larger bids are than usual, and asks smaller: what a reader of depth can see of flow and momentum."""
    flow = (world.rates[0] - world.rates[1]) / model.skew_flow_scale
    return model.skew_flow * math.tanh(flow) + model.skew_momentum * world.momentum_tanh


@kernel
def draw_leaning_side(world, model, tilt):
    """Bids more often when the venue's reference is above its mid."""
    return 0 if draw_uniform(world.random) < 0.5 * (1.0 + model.lean * tilt) else 1


@kernel
def quote_x(world, model, venue, side):
    """Where a new quote of this side belongs, by the venue's reference."""
    return int(math.floor(side_sign(side) * world.reference[venue] - model.quote_offset_ticks))


@kernel
def remove(world, ladders, model, venue, side, x, lots):
    apply_removal(ladders, world.reference[venue], venue, side, x, lots, lots_of(model, venue, 1.0))


@kernel
def gather_print(world, x, lots):
    world.print_x[world.print_count] = x
    world.print_lots[world.print_count] = lots
    world.print_count += 1


@kernel
def apply_market_order(world, ladders, model, venue, aggressor):
    """Excite the flow, move V by the surprise, walk the other side's book."""
    size = draw_size(world, model)
    for k in range(EXCITATIONS):
        world.excitation[aggressor, k] += model.excite_same[k]
        world.excitation[1 - aggressor, k] += model.excite_cross[k]
        world.rates[aggressor] += model.excite_same[k]  # at once: the next wait is drawn from them
        world.rates[1 - aggressor] += model.excite_cross[k]
    world.price += side_sign(aggressor) * model.impact_ticks * math.sqrt(size)
    side = 1 - aggressor
    lots = lots_of(model, venue, size)
    last_x = ladders.best_x[venue, side] - SWEEP
    while lots > 0 and ladders.best_x[venue, side] >= last_x and world.print_count < PRINTS:
        x = ladders.best_x[venue, side]
        taken = min(lots, lots_at(ladders, venue, side, x))
        gather_print(world, x, taken)
        remove(world, ladders, model, venue, side, x, taken)
        lots -= taken


@kernel
def apply_limit_order(world, ladders, model, venue):
    """Rest a post-only order at an exponential distance behind the reference."""
    tilt = displacement(ladders, world.reference[venue], venue)
    side = draw_leaning_side(world, model, tilt)
    scale = model.near_ticks if draw_uniform(world.random) < model.near_share else model.far_ticks
    distance = int(draw_exponential(world.random) * scale)
    size = draw_size(world, model) * (1.0 + side_sign(side) * depth_skew(world, model))
    x = min(quote_x(world, model, venue, side) - distance, -ladders.best_x[venue, 1 - side] - 1)
    if x >= ladders.best_x[venue, side] - WINDOW:
        apply_insert(ladders, venue, side, x, lots_of(model, venue, size))


@kernel
def apply_cancel(world, ladders, model, venue):
    """Cancel part of a level chosen in proportion to its lots, rather on the side the reference moves against."""
    tilt = 0.8 * model.lean * displacement(ladders, world.reference[venue], venue)
    bid_weight = ladders.total_lots[venue, 0] * (1.0 - tilt)
    ask_weight = ladders.total_lots[venue, 1] * (1.0 + tilt)
    side = 0 if draw_uniform(world.random) * (bid_weight + ask_weight) < bid_weight else 1
    behind_lots = int(draw_uniform(world.random) * ladders.total_lots[venue, side])
    x = x_after(ladders, venue, side, behind_lots)
    lots = min(lots_of(model, venue, draw_size(world, model)), lots_at(ladders, venue, side, x))
    remove(world, ladders, model, venue, side, x, lots)


@kernel
def apply_pull(world, ladders, model, venue, side):
    """A stale best level goes; sometimes somebody was faster and hit it."""
    x = ladders.best_x[venue, side]
    lots = lots_at(ladders, venue, side, x)
    if draw_uniform(world.random) < model.snipe_probability:
        gather_print(world, x, min(lots, lots_of(model, venue, 1.0)))
    remove(world, ladders, model, venue, side, x, lots)


@kernel
def apply_quote(world, ladders, model, venue):
    """Add at the touch the reference suggests, and often thin the opposite touch."""
    tilt = displacement(ladders, world.reference[venue], venue)
    side = draw_leaning_side(world, model, tilt)
    size = draw_size(world, model) * (1.0 + side_sign(side) * depth_skew(world, model))
    lots = lots_of(model, venue, size)
    x = quote_x(world, model, venue, side)
    if x < -ladders.best_x[venue, 1 - side]:
        apply_insert(ladders, venue, side, x, lots)
    if draw_uniform(world.random) < model.thin_probability:
        opposite_x = ladders.best_x[venue, 1 - side]
        thinned = min(lots, lots_at(ladders, venue, 1 - side, opposite_x))
        remove(world, ladders, model, venue, 1 - side, opposite_x, thinned)


@kernel
def apply_requote(world, ladders, model, venue):
    """The market maker's turn. Returns the aggressor's side if a quote was sniped."""
    reference = world.reference[venue]
    for side in range(2):
        if ladders.best_x[venue, side] > side_sign(side) * reference:
            apply_pull(world, ladders, model, venue, side)
            return 1 - side
    apply_quote(world, ladders, model, venue)
    return 0


# --- the clock --------------------------------------------------------------------------------------------
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
