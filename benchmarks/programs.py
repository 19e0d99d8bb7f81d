"""Programs that a benchmark runs beside ours, and what they and their servers burn."""

from __future__ import annotations

import getpass
import importlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_MAX_S = 10.0
_TICKS = os.sysconf("SC_CLK_TCK")


class MissingProgram(SystemExit):
    """What is not installed, and the line that installs it; the exit status is 3."""

    def __init__(self, names: Sequence[str], install: str) -> None:
        print(f"this benchmark needs {', '.join(names)}: {install}")
        super().__init__(3)


def need(programs: dict[str, str]) -> None:
    """Every program is there; `programs` maps names to Debian packages. Nothing is installed here."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        packages = dict.fromkeys(programs[name] for name in missing)
        raise MissingProgram(missing, f"apt-get install {' '.join(packages)}")


def need_package(name: str) -> Any:
    """The package of a rival that is too large to be installed with the others. Nothing is installed here."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingProgram([name], f"pip install {name}") from None


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far, in user and system mode, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_bytes(pid: int) -> int:
    """Memory of a process that is its own: not shared with others (proportional share where it is)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    raise ValueError(f"the kernel does not tell how much memory the process {pid} has")


def memory_peak_mib(pid: int) -> float:
    """The most memory that a process has had in use, in MiB."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1_024


def output_of(*command: str) -> str:
    """What a program prints; raises `CalledProcessError` when it fails."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def redis(folder: Path, fsync: str) -> Generator[tuple[int, int]]:
    """The port and process id of a Redis that appends to a file in `folder` and flushes it as `fsync` says."""
    folder.mkdir()
    port = _free_port()
    settings = {"port": port, "dir": folder, "appendonly": "yes", "appendfsync": fsync, "save": ""}
    command = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    with _running(["redis-server", *command], port) as pid:
        yield port, pid


@contextmanager
def nginx(folder: Path) -> Generator[tuple[str, int]]:
    """The address and the process id of an nginx that serves the files of `folder` and takes more by PUT."""
    folder.mkdir()
    port = _free_port()
    settings = folder.with_suffix(".conf")
    settings.write_text(NGINX.format(port=port, folder=folder, user=getpass.getuser()))
    command = ["nginx", "-c", str(settings), "-p", str(folder), "-e", "stderr"]
    with _running(command, port) as pid:
        yield f"http://127.0.0.1:{port}", pid


@contextmanager
def dynalite() -> Generator[str]:
    """The address of a dynalite, which speaks DynamoDB's protocol and keeps what it has in memory."""
    port = _free_port()
    with _running(["dynalite", "--port", str(port)], port):
        yield f"http://127.0.0.1:{port}"


NGINX = """
user {user};
daemon off;
master_process off;
pid {folder}.pid;
events {{ }}
http {{
  access_log off;
  sendfile on;
  client_max_body_size 0;
  client_body_temp_path {folder}.tmp;
  server {{
    listen 127.0.0.1:{port};
    root {folder};
    dav_methods PUT DELETE;
  }}
}}
"""
"""One process without logs, as much like ours as it gets."""


@contextmanager
def _running(command: Sequence[str], port: int) -> Generator[int]:
    """The process id of a program that listens at `port`."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _wait_for(port: int) -> None:
    until = time.monotonic() + START_MAX_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
