"""Aliases: the founding notes start the system by these names."""
