"""Binance Spot and USD-M on this machine."""
