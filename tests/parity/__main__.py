"""Print the digests of one run of a random tape, as JSON: `python -m tests.parity SEED COUNT [VARIANT]`.

With a variant, all rules are on and the market is that of tests/simulation/test_rules_together.py.

The same script under NUMBA_DISABLE_JIT=1 must print the same.
"""

import hashlib
import json
import sys

from elegant_trading_system.sim.session import Session

from ..builders import loose, random_tape, run
from ..simulation.rules_market import brief

FAULTS = ("simulation.lost_reply=0.05", "simulation.reject=0.03", "execution.ack_timeout_ms=60")


def digests(session: Session, k: int = 0) -> dict[str, str]:
    """Decisions, all state, and everything that was said, each as a digest."""
    log = session.logs[k]
    said = {
        name: hashlib.sha256(log.joined(name).tobytes()).hexdigest()
        for name in ("commands", "replies", "rows", "evaluations", "equity")
    }
    return {"decisions": session.decisions_digest(k), "state": session.state_digest(k), **said}


def main() -> None:
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    if len(sys.argv) > 3:
        finished = brief(sys.argv[3], seed, count)
    else:
        finished = run(*random_tape(seed, count, mean_ms=20.0), [loose(*FAULTS)])
    json.dump({"orders": len(finished.logs[0].joined("commands")), **digests(finished)}, sys.stdout)


if __name__ == "__main__":
    main()
