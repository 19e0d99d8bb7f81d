from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from tests.runtime.notes.api import (
    Disturb,
    DisturbReply,
    ReadNote,
    ReadNoteReply,
    WriteNote,
    WriteNoteReply,
)
from tests.runtime.notes.config import NamespaceConfig

from soundstage.core import version
from soundstage.core.call import Call
from soundstage.core.errors import InvalidArgument, NotFound, TooLarge, Unavailable
from soundstage.engines.records.port import Batch, TableSpec
from soundstage.runtime.measurement import Measurement
from soundstage.runtime.service import ServiceContext

PARTITION = b"notes"


class NotesService:
    """Serves `NotesCalls`; `log` tells what happened to it, `gate` holds callers of `disturb`."""

    def __init__(self, context: ServiceContext) -> None:
        self.context = context
        self.log: list[str] = []
        self.calls: list[Call] = []
        self.disturbed = 0
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()

    async def start(self) -> None:
        self.log.append("start")

    async def stop(self) -> None:
        self.log.append("stop")

    def tables(self, name: str, config: NamespaceConfig, capabilities: frozenset[str]) -> Sequence[TableSpec]:
        if config.length_limit < 1:
            raise InvalidArgument("length_limit is below 1", field="length_limit")
        return [
            TableSpec(
                name=f"notes/{name}/{part}",
                conditional=config.conditional_writes,
                key_order=config.key_order,
                max_lag_us=config.drift_past // 1_000,
            )
            for part in range(config.parts)
        ]

    def measurements(self) -> Iterable[Measurement]:
        yield Measurement("notes_disturbances", "how often disturb was called", self.disturbed, "counter")

    async def write(self, call: Call, request: WriteNote) -> WriteNoteReply:
        view = self.context.namespaces.view(request.namespace)
        self.calls.append(call)
        if len(request.text) > view.config.length_limit:
            raise TooLarge("the note is too long", field="text")
        token = request.idempotency_token or self.context.clock.token()
        cell = version.put(token.generation_time // 1_000, token.token, request.text.encode())
        batch = Batch(cells=[(request.name.encode(), cell)])
        await view.records.apply(f"notes/{request.namespace}/0", PARTITION, batch)
        return WriteNoteReply(written=len(request.text))

    async def read(self, call: Call, request: ReadNote) -> ReadNoteReply:
        view = self.context.namespaces.view(request.namespace)
        page = await view.records.get(
            f"notes/{request.namespace}/0", PARTITION, [request.name.encode()], self.context.environment.now_us()
        )
        if not page.rows:
            raise NotFound(f"there is no note {request.name!r}", field="name")
        return ReadNoteReply(text=view.config.greeting + version.split(page.rows[0][1]).value.decode())

    async def disturb(self, call: Call, request: Disturb) -> DisturbReply:
        self.disturbed += 1
        self.entered.set()
        self.calls.append(call)
        await self._disturb(request.how)
        return DisturbReply(count=self.disturbed)

    async def _disturb(self, how: str) -> Any:
        if how == "defect":
            raise KeyError("secret detail")
        if how == "unavailable" and self.disturbed < 3:
            raise Unavailable("down")
        if how == "wait":
            await self.gate.wait()
        if how == "tidy":
            try:
                await self.gate.wait()
            finally:
                for _ in range(5):
                    await asyncio.sleep(0)
                self.log.append("tidied")
        if how == "sleep":
            await self.context.environment.sleep(3_600)


SERVICE = NotesService
