"""A process that rewrites a slice on its disk until it has come to a step, and is killed there."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from tests.data.timeseries.compaction.conftest import flights, step
from tests.data.timeseries.conftest import service_of

from soundstage.core.environment import VirtualEnvironment
from soundstage.runtime.stage import Stage

CONFIG = {"engines": {"default": {"url": "rocksdb:database"}, "cold": {"url": "file:segments"}}}

COUNT = 300
"""Events that it writes."""


async def live(folder: str, wanted: str) -> None:
    """Nothing comes back from here."""
    environment = VirtualEnvironment(seed=5)
    async with Stage.open(data=folder, config=CONFIG, environment=environment, variables={}, background=False) as stage:
        await flights(stage, COUNT)

        def reached(name: str) -> None:
            if name == wanted:
                os.kill(os.getpid(), signal.SIGKILL)

        service_of(stage)._compactions.reached = reached
        for _ in range(50):
            await step(stage)
            environment.advance(121.0)


if __name__ == "__main__":
    asyncio.run(live(sys.argv[1], sys.argv[2]))
