"""Records of the simulated market: its parameters (MODEL), its state (WORLD, LADDERS) and its samples (SAMPLE).

Prices inside are internal ticks of the reference listing, in the coordinate x of core (bids x = ticks, asks x = -ticks),
so that one code path serves both sides. Sizes are integer lots of each venue's own lot.
"""

import numpy as np

from ..core.schema import record
from .market_random import RANDOM

LIT = 3  # displayed venues; the dark one comes behind them
DARK = LIT
LISTED = LIT + 1
EXCITATIONS = 4  # exponential kernels of the Hawkes flow
FACTORS = 3  # of log volatility
COMMON_STEPS = 100  # of the common path per second

RING = 512  # price slots per side; a power of two, more than the window and what a price can travel in a batch
WINDOW = 80  # a side keeps levels this far behind its best
SWEEP = 6  # a market order walks this far past the touch; without a cap single prints make flash crashes
PRINTS = SWEEP + 1
SIZES = 4096  # quantiles of the order size

MODEL = record(
    [
        ("ts_start_ns", "i8"),  # publication begins; before it the books fill
        ("batch_ns", "i8"),  # between two DEPTH packets of a venue; 0 = publish nothing
        ("sample_ns", "i8"),  # between two rows of samples; 0 = none
        ("latency_ns", "i8", (LISTED,)),
        ("latency_jitter_ns", "f8"),  # mean; exponential, cut at 20 times it
        ("ticks_per_tick", "i8", (LIT,)),  # listing ticks per internal tick
        ("basis_ticks", "i8", (LIT,)),  # in listing ticks
        # efficient price
        ("volatility", "f8"),  # ticks per sqrt(s) of the diffusion
        ("common_weight", "f8"),  # sqrt of the share of the diffusion that all instruments have in common
        ("own_weight", "f8"),
        ("jump_rate", "f8"),
        ("jump_ticks", "f8"),
        ("impact_ticks", "f8"),  # of a market order of size 1; larger ones by the square root
        ("compensation_ticks", "f8"),  # impact expected per order, less what the dial `leak` lets through
        ("drift_ticks", "f8"),  # per second and unit of momentum: the dial `edge`
        # activity and momentum
        ("factor_sd", "f8", (FACTORS,)),
        ("factor_keep", "f8", (FACTORS,)),  # exp(-1 s / tau)
        ("factor_step", "f8", (FACTORS,)),
        ("factor_variance", "f8"),  # of their sum
        ("activity_power", "f8"),
        ("momentum_keep", "f8"),
        ("momentum_step", "f8"),
        ("momentum_shared", "f8"),  # weights of the shared and of the own part
        ("momentum_own", "f8"),
        ("momentum_flow", "f8"),  # kappa: how far momentum tilts the flow
        # order flow
        ("base_rate", "f8"),  # market orders per second and side, unexcited
        ("excite_decay", "f8", (EXCITATIONS,)),
        ("excite_same", "f8", (EXCITATIONS,)),
        ("excite_cross", "f8", (EXCITATIONS,)),
        ("sizes", "f8", (SIZES,)),
        ("venue_share", "f8", (LIT,)),
        ("reference_tau_s", "f8", (LIT,)),
        ("limit_rate", "f8", (LIT,)),
        ("cancel_rate", "f8", (LIT,)),  # per resting lot
        ("requote_rate", "f8", (LIT,)),
        ("depth_lots", "f8", (LIT,)),  # mean size of an order
        ("unit_lots", "f8", (LIT,)),
        ("limit_rate_sum", "f8"),
        ("requote_rate_sum", "f8"),
        ("quote_offset_ticks", "f8"),
        ("near_share", "f8"),
        ("near_ticks", "f8"),
        ("far_ticks", "f8"),
        ("lean", "f8"),  # chi: how far quotes lean towards the reference
        ("skew_flow", "f8"),
        ("skew_flow_scale", "f8"),
        ("skew_momentum", "f8"),
        ("snipe_probability", "f8"),
        ("thin_probability", "f8"),
    ]
)

WORLD = record(
    [
        ("random", RANDOM),
        ("factor_random", RANDOM),  # seeded alike for all instruments, drawn alike every second
        ("momentum_random", RANDOM),  # apart, so that the dials do not change momentum's path
        ("latency_random", RANDOM),
        ("is_begun", "i8"),  # factors and momentum have their first values
        ("ts_second_ns", "i8"),  # the running second
        ("seconds", "f8"),  # since it began
        ("stop_ns", "i8"),  # where in it the clock stops next
        ("next_batch_ns", "i8", (LIT,)),
        ("next_sample_ns", "i8"),
        ("ts_local_ns", "i8", (LISTED,)),  # of the last packet
        ("price", "f8"),  # the efficient price V, ticks
        ("reference", "f8", (LIT,)),  # what each venue believes V to be
        ("factors", "f8", (FACTORS,)),
        ("common", "f8", (COMMON_STEPS + 1,)),  # common Brownian path of the running second
        ("common_index", "i8"),
        ("volatility", "f8"),
        ("activity", "f8"),
        ("momentum_shared", "f8"),
        ("momentum_own", "f8"),
        ("momentum", "f8"),
        ("momentum_tanh", "f8"),
        ("base_rates", "f8", (2,)),
        ("excitation", "f8", (2, EXCITATIONS)),
        ("rates", "f8", (2,)),  # market orders per second, buy and sell
        ("packet_count", "i8"),  # in the buffers
        ("level_count", "i8"),
        ("sample_count", "i8"),
        ("event_count", "i8"),
        ("fault", "i8"),  # 1: the price left the range the books can hold
        ("ofi_units", "f8", (LIT,)),
        ("traded_units", "f8", (LIT, 2)),
        ("trade_count", "i8", (LIT,)),
        ("print_count", "i8"),
        ("print_x", "i8", (PRINTS,)),  # in the coordinate of the side that was hit
        ("print_lots", "i8", (PRINTS,)),
    ]
)

LADDERS = record(
    [
        ("best_x", "i8", (LIT, 2)),
        ("total_lots", "i8", (LIT, 2)),
        ("changed_low_x", "i8", (LIT, 2)),  # range touched since the last DEPTH packet
        ("changed_high_x", "i8", (LIT, 2)),
        ("lots", "i8", (LIT, 2, RING)),
        ("published_lots", "i8", (LIT, 2, RING)),
    ]
)

SAMPLE = record(
    [
        ("price", "f8"),
        ("momentum", "f8"),
        ("rates", "f8", (2,)),
        ("excitation", "f8", (EXCITATIONS,)),  # buy less sell
        ("best_ticks", "i8", (LIT, 2)),  # bid and ask, internal ticks
        ("touch_units", "f8", (LIT, 2)),
        ("five_units", "f8", (LIT, 2)),  # best five price steps
        ("ofi_units", "f8", (LIT,)),  # cumulative
        ("traded_units", "f8", (LIT, 2)),  # cumulative, by aggressor
        ("trade_count", "i8", (LIT,)),
    ]
)

INITIAL_TICKS = 10_000
LOWEST_TICKS = 500.0
NO_CHANGE_LOW = np.int64(2**62)
NO_CHANGE_HIGH = np.int64(-(2**62))
