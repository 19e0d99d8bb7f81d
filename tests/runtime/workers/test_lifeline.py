"""A child does not outlive its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

WITHIN_S = 30.0

CHILD = """
import os, signal, sys
from soundstage.runtime.workers.lifeline import die_with
die_with(int(sys.argv[1]))
print(os.getpid(), flush=True)
signal.pause()
"""
PARENT = f"""
import os, subprocess, sys
subprocess.run([sys.executable, "-c", {CHILD!r}, str(os.getpid())])
"""


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@pytest.mark.slow
def test_the_kernel_ends_a_child_whose_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not gone(child)
        parent.kill()
        ends = time.monotonic() + WITHIN_S
        while not gone(child) and time.monotonic() < ends:
            os.sched_yield()
        assert gone(child)


@pytest.mark.slow
def test_a_child_whose_parent_is_gone_already_ends_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", CHILD, "1"], capture_output=True, text=True, timeout=WITHIN_S)
    assert (done.returncode, done.stdout) == (1, "")


def test_the_signal_is_one_that_no_child_can_ignore() -> None:
    with pytest.raises(OSError, match="Invalid"):
        signal.signal(signal.SIGKILL, signal.SIG_IGN)
