"""A system of an installed package, with jobs and roles that tests can see from outside, by a file.

`installed(folder)` gives the variables with which `soundstage` finds it.
"""

from __future__ import annotations

import os
from pathlib import Path

from soundstage.core.system import System

CHORES = System("chores", "tests.e2e.chores", "Counts where it can be seen")

ROOT = Path(__file__).resolve().parents[3]


def installed(folder: Path) -> dict[str, str]:
    """Variables for processes that have the system installed; it notes what it does in `folder`."""
    metadata = folder / "site" / "chores-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: chores\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[soundstage.systems]\nchores = tests.e2e.chores:CHORES\n")
    return {"PYTHONPATH": os.pathsep.join((str(folder / "site"), str(ROOT))), "CHORES": str(folder)}
