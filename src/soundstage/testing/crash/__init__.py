"""The crash suite: real servers, killed while clients write.

`crash(folder)` kills with SIGKILL, which tests recovery; `crash(folder, shim=build_shim(folder))` also takes
away what was not flushed, which tests durability.
"""

from __future__ import annotations

from soundstage.testing.crash.disk import build_shim, lose_power
from soundstage.testing.crash.process import StageProcess
from soundstage.testing.crash.suite import CrashReport, crash
from soundstage.testing.crash.workload import Broken, Workload

__all__ = ["Broken", "CrashReport", "StageProcess", "Workload", "build_shim", "crash", "lose_power"]
