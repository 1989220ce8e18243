"""Simulated venues and markets, and the backtest that runs core against them."""
