"""Venues on this machine that speak the real ones' protocols."""
