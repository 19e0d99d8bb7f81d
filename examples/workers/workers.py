"""Workers: two processes at one address, one of which is killed while it is written to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from soundstage import SyncConnection, connect_sync
from soundstage.data.kv import PutItem, SyncKeyValue
from soundstage.runtime.namespaces import NamespaceSpec, SyncNamespaces

WRITES = 200
AGAIN_WITHIN_S = 60.0


class Server(NamedTuple):
    """A `soundstage up`: its address and its process id."""

    url: str
    pid: int

    def workers(self) -> list[int]:
        """The process ids of its children."""
        return list(map(int, Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()))


@contextmanager
def server() -> Generator[Server]:
    """A server with two HTTP workers that runs until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "soundstage", "up", "--data", folder, "--port", "0", "--workers", "http=2"]
        quiet = {**os.environ, "SOUNDSTAGE_TELEMETRY__LOG_LEVEL": "error"}
        with subprocess.Popen([*command, "--output", "jsonl"], env=quiet, stdout=subprocess.PIPE, text=True) as process:
            try:
                line = process.stdout.readline() if process.stdout else ""
                yield Server(json.loads(line)["url"], process.pid)
            finally:
                process.terminate()


def wait_for_two(server: Server, but: int) -> None:
    """There are two workers again, neither of them the process `but`."""
    ends = time.monotonic() + AGAIN_WITHIN_S
    while len(set(server.workers()) - {but}) < 2 and time.monotonic() < ends:
        time.sleep(0.01)


def main(server: Server, connection: SyncConnection) -> None:
    connection.client(SyncNamespaces).put(namespace=NamespaceSpec(name="profiles", abstraction="kv"))
    profiles = connection.client(SyncKeyValue, "profiles")
    victim, *_ = server.workers()
    print(f"{len(server.workers())} workers answer at one address")
    for number in range(WRITES):
        if number == WRITES // 2:
            os.kill(victim, signal.SIGKILL)
            print(f"one of them was killed after {number} of {WRITES} writes")
        profiles.put_items(id=f"user-{number}", items=[PutItem(key=b"name", value=b"Ada")])
    wait_for_two(server, victim)
    print(f"there are {len(server.workers())} again")
    found = [len(profiles.get_items(id=f"user-{number}").items) for number in range(WRITES)]
    print(f"{sum(found)} of {WRITES} profiles are there")


if __name__ == "__main__":
    with server() as started, connect_sync(started.url) as connection:
        main(started, connection)
