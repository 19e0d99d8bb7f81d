"""What a program pays before it does anything: CPU time, which neighbours do not distort, and modules loaded."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
from tests.e2e.processes import surroundings

pytestmark = pytest.mark.slow

IMPORT_CPU_S_MAX = 0.1
HELP_CPU_S_MAX = 0.3

TRIES = 5
"""The least of so many counts: the first fills caches."""

DRIVERS_AND_SERVERS = {
    "rocksdict", "uvicorn", "uvloop", "httptools", "httpx2", "jinja2", "prometheus_client", "opentelemetry",
    "structlog", "cyclopts", "rich", "zstandard",
}  # fmt: skip


def run(*command: str) -> tuple[float, str]:
    """The CPU seconds of a command, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=surroundings())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def least_cpu_s(*command: str) -> float:
    return min(run(*command)[0] for _ in range(TRIES))


def loaded(code: str) -> set[str]:
    """The top-level packages that `code` loads."""
    _, printed = run(sys.executable, "-c", f"import sys; {code}; print(*sys.modules)")
    return {name.partition(".")[0] for name in printed.split()}


def test_importing_the_package_is_cheap() -> None:
    interpreter = least_cpu_s(sys.executable, "-c", "pass")
    assert least_cpu_s(sys.executable, "-c", "import soundstage") - interpreter < IMPORT_CPU_S_MAX


def test_importing_the_package_loads_no_driver_no_server_and_no_metrics() -> None:
    assert loaded("import soundstage") & DRIVERS_AND_SERVERS == set()


def test_the_messages_of_a_system_load_no_driver_and_no_server() -> None:
    assert loaded("from soundstage.data.kv import KeyValue, PutItem") & DRIVERS_AND_SERVERS == set()


def test_a_client_loads_no_driver_no_server_and_no_metrics() -> None:
    found = loaded("import soundstage; soundstage.connect('http://127.0.0.1:1')")
    assert found & (DRIVERS_AND_SERVERS - {"httpx2"}) == set()
    assert "httpx2" in found


def test_a_stage_in_memory_loads_no_driver_and_no_server() -> None:
    code = "import soundstage; soundstage.Stage.open_sync(data='memory:').close()"
    assert loaded(code) & (DRIVERS_AND_SERVERS - {"opentelemetry"}) == set()


def test_the_help_is_cheap() -> None:
    assert least_cpu_s(sys.executable, "-m", "soundstage", "--help") < HELP_CPU_S_MAX


def test_the_measure_sees_what_is_not_cheap() -> None:
    code = f"import time\nwhile time.process_time() < {2 * IMPORT_CPU_S_MAX}: pass"
    assert least_cpu_s(sys.executable, "-c", code) > IMPORT_CPU_S_MAX
