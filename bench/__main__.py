"""`make bench`: our own engine by stages, then the peers beside it; the live path likewise. Results go to bench/results.json."""

import subprocess
import sys

for module in ("bench.ioc", "bench.engine", "bench.peers", "bench.s1", "bench.whole"):
    subprocess.run([sys.executable, "-m", module], check=True)
for what in ("books", "load", "decision"):
    subprocess.run([sys.executable, "-m", "bench.live", what], check=True)
subprocess.run([sys.executable, "-m", "bench.live_sockets"], check=True)
