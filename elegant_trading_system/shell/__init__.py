"""The thin outside of a live run: clocks, connections and the journal around the pure core."""
