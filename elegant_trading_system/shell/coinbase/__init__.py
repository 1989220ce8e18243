"""Coinbase Advanced Trade: channels into events, orders out, the bytes of both."""
