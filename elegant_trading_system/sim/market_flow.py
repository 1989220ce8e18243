"""What moves between the events of the simulated market: excitation, the efficient price, the venues' references,
and once a second volatility, activity and momentum.

Between events everything has a closed form, so nothing is discretised but the factors (1 s) and the part of the
Brownian path that all instruments share (10 ms).
"""

import math

from ..core.jit import kernel, routine
from .market_book import side_sign
from .market_random import draw_normal
from .market_records import COMMON_STEPS, EXCITATIONS, FACTORS, LIT

_STEP_DEVIATION = COMMON_STEPS**-0.5


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
        model.drift_ticks * world.momentum * wait_s
        + world.volatility * diffusion
        - model.compensation_ticks * imbalance
    )
    for venue in range(LIT):
        keep = decay(wait_s / model.reference_tau_s[venue])
        world.reference[venue] = world.price + (world.reference[venue] - world.price) * keep


@kernel
def begin_factors(world, model):
    """Start from the stationary law."""
    world.is_begun = 1
    for k in range(FACTORS):
        world.factors[k] = model.factor_sd[k] * draw_normal(world.factor_random)
    world.momentum_shared = draw_normal(world.factor_random)
    world.momentum_own = draw_normal(world.momentum_random)


@routine
def apply_factors(world, model):
    """Draw the second's volatility, activity, momentum and common path. A fixed number of draws: streams stay aligned."""
    if world.is_begun == 0:
        begin_factors(world, model)
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
    world.momentum_own = keep * world.momentum_own + step * draw_normal(world.momentum_random)
    world.momentum = model.momentum_shared * world.momentum_shared + model.momentum_own * world.momentum_own
    world.momentum_tanh = math.tanh(world.momentum)
    for side in range(2):
        tilt = 1.0 + side_sign(side) * model.momentum_flow * world.momentum_tanh
        world.base_rates[side] = model.base_rate * world.activity * tilt

    world.common_index = 0
    for k in range(COMMON_STEPS):
        world.common[k + 1] = world.common[k] + _STEP_DEVIATION * draw_normal(world.factor_random)
