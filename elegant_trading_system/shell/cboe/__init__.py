"""CBOE: the VIX, which prints a quarter of an hour late and is never traded."""
