"""Binance, Spot and USD-M: streams into events, orders out, the bytes of both."""
