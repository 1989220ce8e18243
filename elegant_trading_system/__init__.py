"""Volume-weighted order-flow momentum over several venues: one engine for backtest, paper and live."""

__version__ = "0.1.0"
