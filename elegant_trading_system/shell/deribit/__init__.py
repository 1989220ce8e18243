"""Deribit: volatility indices that print and are never traded."""
