"""How long until a command is there, and what does a server that does nothing take?

Each command is run in a process of its own, its byte code compiled before. The rival of the import is a Python
that imports nothing.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from benchmarks.programs import resident_bytes
from benchmarks.report import Figure, figure, interleaved, options, show
from soundstage.testing.crash.process import StageProcess

MIB = 1 << 20
IDLE_S = 1.0


class Scale(msgspec.Struct, frozen=True):
    """How often everything is run."""

    rounds: int
    servers: int


FULL = Scale(rounds=31, servers=3)
QUICK = Scale(rounds=9, servers=1)


def cpu_ms(*command: str) -> float:
    """CPU time of a command, from the start of its process to the end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3


def wall_ms(*command: str) -> float:
    """Time until a command has ended."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1e3


def idle_mib(servers: int) -> float:
    """The least memory that a `soundstage up` on an empty folder takes after a second."""
    found: list[int] = []
    for _ in range(servers):
        with tempfile.TemporaryDirectory(prefix="soundstage-bench-") as folder, StageProcess(Path(folder)) as server:
            time.sleep(IDLE_S)
            found.append(resident_bytes(server.pid))
    return min(found) / MIB


def measure(scale: Scale) -> list[Figure]:
    """All figures."""
    nothing = (sys.executable, "-c", "pass")
    package = (sys.executable, "-c", "import soundstage")
    help = (sys.executable, "-m", "soundstage", "--help")
    sides: list[Callable[[], float]] = []
    for timed in (wall_ms, cpu_ms):
        for command in (nothing, package, help):
            sides.append(lambda timed=timed, command=command: timed(*command))
    for side in sides[:3]:
        side()
    wall_nothing, wall_import, wall_help, cpu_nothing, cpu_import, cpu_help = interleaved(scale.rounds, *sides)
    return [
        figure(
            "startup.import",
            wall_import - wall_nothing,
            None,
            "ms",
            "lower",
            target=100,
            note=f"beyond the {wall_nothing:.0f} ms of a bare interpreter",
        ),
        figure("startup.import_cpu", cpu_import - cpu_nothing, None, "CPU ms", "lower", target=100),
        figure("startup.help", wall_help, None, "ms", "lower", target=300, note="the whole process"),
        figure("startup.help_cpu", cpu_help, None, "CPU ms", "lower", target=300),
        figure("startup.idle_memory", idle_mib(scale.servers), None, "MiB", "lower", note="soundstage up, new folder"),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    show("Start-up", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
