from __future__ import annotations

import asyncio

from tests.surface.http.late.api import Answer, Ask

from soundstage.core.call import Call
from soundstage.runtime.service import ServiceContext


class LateService:
    """Starts once `gate` is set, and not at all when `broken`."""

    def __init__(self, context: ServiceContext) -> None:
        self.starting = asyncio.Event()
        self.gate = asyncio.Event()
        self.broken = False

    async def start(self) -> None:
        self.starting.set()
        await self.gate.wait()
        if self.broken:
            raise RuntimeError("it cannot start")

    async def stop(self) -> None:
        """Nothing is open."""

    async def ask(self, call: Call, request: Ask) -> Answer:
        return Answer()


SERVICE = LateService
