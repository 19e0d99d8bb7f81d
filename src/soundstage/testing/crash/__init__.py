"""The crash suite: real servers, killed while clients write.

`crash(folder, Plan())` kills with SIGKILL, which tests recovery; `Plan(shim=build_shim(folder))` also takes away what
was not flushed, which tests durability. At the command line: `python -m soundstage.testing.crash --rounds 5`.
"""

from __future__ import annotations

from soundstage.testing.crash.disk import NoCompiler, build_shim, lose_power
from soundstage.testing.crash.events import EventTraffic
from soundstage.testing.crash.process import StageProcess
from soundstage.testing.crash.suite import CrashReport, Plan, crash
from soundstage.testing.crash.traffic import Broken, Traffic
from soundstage.testing.crash.workload import Workload

__all__ = [
    "Broken",
    "CrashReport",
    "EventTraffic",
    "NoCompiler",
    "Plan",
    "StageProcess",
    "Traffic",
    "Workload",
    "build_shim",
    "crash",
    "lose_power",
]
