"""The check of slow callbacks, run in a pytest of its own on tests that are good and bad."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TESTS = """
import asyncio
import gc
import time

import pytest


def work(ms):
    ends = time.thread_time_ns() + ms * 1_000_000
    while time.thread_time_ns() < ends:
        pass


async def test_that_holds_the_loop():
    work(350)


async def test_that_has_a_callback_which_holds_the_loop():
    asyncio.get_running_loop().call_soon(work, 350)
    await asyncio.sleep(0.01)


async def test_that_works_in_small_pieces():
    for _ in range(30):
        work(10)
        await asyncio.sleep(0)


async def test_that_works_in_a_thread():
    await asyncio.to_thread(work, 150)


async def test_that_only_waits():
    time.sleep(0.2)


async def test_that_loads_a_module():
    import colorsys
    import this
    work(350)


@pytest.mark.holds_the_loop
async def test_that_says_so():
    work(350)


@pytest.mark.slow
async def test_that_is_slow_anyway():
    work(350)


def test_without_a_loop():
    work(350)


async def test_that_fails_anyway():
    work(350)
    raise KeyError("its own failure")
"""


@pytest.mark.slow
def test_exactly_those_fail_that_hold_the_loop(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "asyncio_mode=auto",
        "-o",
        "markers=slow",
    ]
    settings = ["-o", f"pythonpath={ROOT}", "-c", "/dev/null", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [*command, *settings, str(tmp_path / "test_some.py")], capture_output=True, text=True, timeout=100
    )
    failed = {line.split("::")[1].split(" ")[0] for line in done.stdout.splitlines() if line.startswith("FAILED")}
    assert failed == {
        "test_that_holds_the_loop",
        "test_that_has_a_callback_which_holds_the_loop",
        "test_that_fails_anyway",
    }, done.stdout
    told = [line for line in done.stdout.splitlines() if line.startswith("a callback held the event loop for 3")]
    assert len(told) == 2, done.stdout
    assert "its own failure" in done.stdout
    (slow,) = [line for line in done.stdout.splitlines() if line.startswith("held the event loop")]
    assert slow.endswith("::test_that_is_slow_anyway")
