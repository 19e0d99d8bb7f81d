"""What a program loads before it does anything. What that costs is asked where it is cheap to ask, beside its parts."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.e2e.processes import surroundings

pytestmark = pytest.mark.slow

DRIVERS_AND_SERVERS = {
    "rocksdict", "uvicorn", "uvloop", "httptools", "httpx2", "jinja2", "prometheus_client", "opentelemetry",
    "structlog", "cyclopts", "rich", "zstandard",
}  # fmt: skip


def loaded(code: str) -> set[str]:
    """The top-level packages that `code` loads."""
    command = (sys.executable, "-c", f"import sys; {code}; print(*sys.modules)")
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=surroundings())
    return {name.partition(".")[0] for name in done.stdout.split()}


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
