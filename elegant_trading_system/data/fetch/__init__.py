"""Public history downloaded into files which the importers read. Shown against a loopback server only, not the sources."""
