"""A process that has sent a transaction, all but the word that it is over, and says so; it is there to be killed.

`python -m tests.conformance.kafka.halfway URL SPACE`
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import Any

from tests.conformance.kafka.conftest import link_to

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import PreconditionFailed, Unavailable
from soundstage.engines.log.kafka import KafkaLog
from soundstage.engines.log.kafka.link import Link
from soundstage.engines.log.port import Appending, Commit, Entry, Position

SOURCE, MADE, GROUP = "halfway/source", "halfway/made", "halfway/makers"
PATIENCE_S = 2
SESSION_US = 2_000_000
READY = b"sent"


class Halting:
    """A client of the driver that never comes to commit."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def commit_transaction(self, _timeout_s: float) -> None:
        sys.stdout.buffer.write(READY + b"\n")
        sys.stdout.flush()
        # Nothing of it goes on: not even a member is heard of.
        os.kill(os.getpid(), signal.SIGSTOP)


class HaltingLink(Link):
    """Hands out such clients."""

    def producer(self, **more: Any) -> Any:
        return Halting(super().producer(**more))


async def main(url: str, space: str) -> None:
    link = HaltingLink(link_to(url, f"patience_s={PATIENCE_S}&linger_ms=0").address)
    log = KafkaLog(link, SystemEnvironment(), space)
    await log.start()
    while True:
        # A broker that has just begun takes longer than patience lasts, and a process that has to wait is given up.
        with suppress(Unavailable, PreconditionFailed):
            await transact(log)


async def transact(log: KafkaLog) -> None:
    share = await log.join(GROUP, "first", [SOURCE], SESSION_US)
    commit = Commit(group=GROUP, member="first", generation=share.generation, positions=[Position(SOURCE, 0, 1)])
    made = [Appending(topic=MADE, entries=[Entry(b"half")], partition=number) for number in range(2)]
    await log.append_together(made, [commit])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
