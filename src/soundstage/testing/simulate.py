"""`python -m soundstage.testing.simulate SYSTEM --seed N --steps M`: runs in virtual time, judged at every answer.

Prints the seed first, so that whatever happens can be repeated by naming it. Exit status 0: every answer was
explained; 1: one was not, and the fewest steps found that lead there are printed; 2: there is nothing of that name.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import traceback
from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from soundstage.core.errors import SoundstageError
from soundstage.testing.simulation.coverage import Coverage
from soundstage.testing.simulation.episode import Episode, Outcome, episodes
from soundstage.testing.simulation.scenario import Divergence, Step
from soundstage.testing.simulation.scenarios import find_scenario, find_storages, simulated
from soundstage.testing.simulation.shrink import shrink
from soundstage.testing.simulation.storage import STORAGES

STEPS = 10_000
SHRINK_STEPS = 100_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        scenario, storages = find_scenario(options.system), find_storages(options.engine)
    except SoundstageError as error:
        print(f"{error}: {error.hint}", file=sys.stderr)
        return 2
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    print(f"simulating {options.system} on {options.engine}: --seed {seed} --steps {options.steps}", flush=True)
    coverage, digests = Coverage(), list[str]()
    for episode in episodes(scenario, storages, seed, options.steps):
        outcome = episode.play()
        coverage.add(outcome.coverage)
        digests.append(outcome.digest)
        if outcome.divergence is not None:
            _report(episode, outcome.divergence, options.shrink)
            return 1
    print("\n".join(coverage.lines(scenario.situations)))
    print(f"trace {_digest(digests)}")
    print("0 divergences")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m soundstage.testing.simulate", description=(__doc__ or "").partition("\n\n")[2]
    )
    parser.add_argument("system", help=f"{', '.join(simulated())}, or package.module:scenario")
    parser.add_argument("--seed", type=int, default=None, help="drawn and printed when left out")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps to play, {STEPS} when left out")
    parser.add_argument("--engine", default="memory", help=f"{', '.join(STORAGES)}, or package.module:storages")
    parser.add_argument(
        "--shrink", type=int, default=SHRINK_STEPS, metavar="STEPS", help="steps to spend on making a divergence small"
    )
    return parser


def _report(episode: Episode, divergence: Divergence, shrink_steps: int) -> None:
    print(f"diverged in {episode.seed}: {divergence}", flush=True)
    steps = _fewest(episode, shrink_steps)
    print(f"{len(steps)} of {len(episode.steps)} steps suffice, in the climate {episode.climate}:")
    for step in steps:
        print(msgspec.json.encode(step).decode())
    outcome: Outcome = episode.play(steps, keep_transcript=True)
    print("what was answered, by nanoseconds:")
    print("\n".join(outcome.transcript))
    print(f"they diverge with: {outcome.divergence}")
    if outcome.divergence is not None and (cause := _cause(outcome.divergence)) is not None:
        traceback.print_exception(cause, file=sys.stdout)


def _fewest(episode: Episode, budget: int) -> list[Step]:
    return shrink(episode.steps, episode.diverges, budget) if budget else list(episode.steps)


def _cause(divergence: Divergence) -> BaseException | None:
    """The exception behind a divergence that is not itself one of judgement."""
    cause = divergence.__cause__
    return None if cause is None or isinstance(cause, Divergence) else cause


def _digest(digests: Sequence[str]) -> str:
    """One for all parts of a run."""
    if len(digests) == 1:
        return digests[0]
    return f"{blake2b(''.join(digests).encode(), digest_size=8).hexdigest()} of {len(digests)} parts"


if __name__ == "__main__":
    sys.exit(main())
