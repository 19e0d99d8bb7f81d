"""`python -m soundstage.testing.simulate kv --seed N --steps M`: one seeded run, checked at every answer.

Prints the seed first, so that whatever happens can be repeated. Exit status 0: every answer was explained; 1: one
was not, and the fewest steps found that lead to it are printed.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack

import msgspec

from soundstage.testing.simulation.history import Divergence
from soundstage.testing.simulation.kv import CLIENTS, Outcome, simulate
from soundstage.testing.simulation.scenarios import ENGINES, open_store
from soundstage.testing.simulation.shrink import shrink
from soundstage.testing.simulation.steps import Step, generate

CHUNK_STEPS = 2_000
"""Steps played against one fresh store; a longer run goes on with the next seed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m soundstage.testing.simulate", description=__doc__)
    parser.add_argument("scenario", choices=["kv"])
    parser.add_argument("--seed", type=int, default=None, help="drawn and printed when left out")
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--engine", choices=sorted(ENGINES), default="memory")
    options = parser.parse_args(arguments)
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    print(f"seed {seed} steps {options.steps} engine {options.engine}", flush=True)
    total: Outcome | None = None
    for number, start in enumerate(range(0, options.steps, CHUNK_STEPS)):
        steps = generate(seed + number, min(CHUNK_STEPS, options.steps - start), CLIENTS)
        try:
            outcome = _play(seed + number, steps, options.engine)
        except Divergence as divergence:
            _report(seed + number, steps, options.engine, divergence)
            return 1
        total = outcome if total is None else total.plus(outcome)
    if total is not None:
        print(msgspec.json.encode(total).decode())
    print("0 divergences")
    return 0


def _play(seed: int, steps: Sequence[Step], engine: str) -> Outcome:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="soundstage-simulation-"))
        return simulate(seed, steps, ENGINES[engine](folder), open_store)


def _report(seed: int, steps: Sequence[Step], engine: str, divergence: Divergence) -> None:
    print(f"seed {seed} diverged: {divergence}", flush=True)

    def diverges(candidate: Sequence[Step]) -> bool:
        try:
            _play(seed, candidate, engine)
        except Divergence:
            return True
        return False

    fewest = shrink(steps, diverges)
    print(f"{len(fewest)} of {len(steps)} steps suffice:")
    for step in fewest:
        print(msgspec.json.encode(step).decode())
    try:
        _play(seed, fewest, engine)
    except Divergence as smallest:
        print(f"they diverge with: {smallest}")


if __name__ == "__main__":
    sys.exit(main())
