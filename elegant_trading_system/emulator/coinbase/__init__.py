"""Coinbase Advanced Trade on this machine."""
