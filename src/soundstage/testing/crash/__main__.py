"""`python -m soundstage.testing.crash --rounds N --seed S`: a server killed N times, and N times cut off from power.

Prints the seed first, so that a run can be repeated; the moments of the kills still depend on the machine. Exit
status 0: every promise was kept; 1: one was broken, and which; 2: there is no C compiler for the power losses.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from soundstage.testing.crash.disk import NoCompiler, build_shim
from soundstage.testing.crash.suite import Plan, crash
from soundstage.testing.crash.traffic import Broken

LOSSES: Mapping[str, Sequence[str]] = {"both": ("process", "power"), "process": ("process",), "power": ("power",)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    print(f"seed {seed} rounds {options.rounds} writers {options.writers} durability {options.durability}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soundstage-crash-") as name:
        folder = Path(name)
        try:
            shims = [None if loss == "process" else build_shim(folder) for loss in LOSSES[options.losses]]
        except NoCompiler as error:
            print(f"{error}; or leave the power losses out: --losses process", file=sys.stderr)
            return 2
        for shim in shims:
            plan = Plan(
                rounds=options.rounds,
                calls_per_round=options.calls,
                writers=options.writers,
                seed=seed,
                shim=shim,
                durability=options.durability,
            )
            if not _run(folder / ("killed" if shim is None else "powerless"), plan):
                return 1
    return 0


def _run(folder: Path, plan: Plan) -> bool:
    folder.mkdir()
    kind = "SIGKILL" if plan.shim is None else "power loss"
    try:
        report = crash(folder, plan)
    except Broken as broken:
        print(f"{kind}: broken with seed {plan.seed}: {broken}")
        return False
    print(
        f"{kind}: {report.rounds} rounds, {report.acknowledged} calls acknowledged, {report.in_doubt} in doubt, "
        f"{report.bytes_lost} bytes lost, every promise kept",
        flush=True,
    )
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m soundstage.testing.crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=None, help="drawn and printed when left out")
    parser.add_argument("--calls", type=int, default=300, help="before a kill, on average")
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--durability", choices=["group", "always", "os"], default="group")
    parser.add_argument("--losses", choices=sorted(LOSSES), default="both", help="`process` needs no C compiler")
    return parser


if __name__ == "__main__":
    sys.exit(main())
