"""What can happen at one of the simulated venues: market orders, limit orders, cancels, and the market maker's turn."""

import math

from ..core.jit import kernel
from .market_book import apply_insert, apply_removal, displacement, lots_at, side_sign, x_after
from .market_random import draw_exponential, draw_uniform
from .market_records import EXCITATIONS, PRINTS, SIZES, SWEEP, WINDOW


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
