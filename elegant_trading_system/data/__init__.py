"""Recorded and simulated market data: importers write tapes, the catalog finds them."""
