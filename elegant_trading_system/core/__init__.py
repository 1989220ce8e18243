"""The pure, compiled core: no I/O, no clock, no chance. It imports nothing of ours but itself."""
