"""The job that takes all records of a namespace to one file.

What was read is put aside in parts, each of which is durable before the place after it is; the file is made of the
parts at the end. A process that dies loses what it had read since its last part.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import NamedTuple

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.files import File
from soundstage.engines.records.holdings import Transfers
from soundstage.engines.records.port import Statistics, TableSpec
from soundstage.runtime.transfer.format import (
    MEDIA_TYPE,
    Header,
    Page,
    Trailer,
    blocks,
    chained,
    damaged,
    encode,
    packed,
    unpacker,
)
from soundstage.runtime.transfer.reading import Compute, Place, Reading
from soundstage.runtime.transfer.tally import Tally
from soundstage.runtime.work.context import JobContext

PART_BYTES = 8 << 20
"""Put aside at once."""


class Parts(msgspec.Struct):
    """Parts that one attempt put aside: their names hold its fencing number."""

    fence: int
    count: int = 0


class ExportState(msgspec.Struct):
    """The checkpoint of an export. `ended_us` is 0 until everything was read."""

    header: Header
    place: Place
    chain: bytes = b""
    parts: list[Parts] = []
    ended_us: int = 0


class Source(NamedTuple):
    """What is exported."""

    header: Header
    engine: Transfers
    tables: list[TableSpec]


class Export:
    """One attempt at an export."""

    def __init__(self, source: Source, job: JobContext, environment: Environment, compute: Compute) -> None:
        self._source = source
        self._job = job
        self._environment = environment
        self._compute = compute
        self._waiting = bytearray()
        if job.state is None:
            self._state = ExportState(source.header, Place(source.header.at_us))
        else:
            self._state = _decode(job.state)
        self._own = Parts(job.fence)
        self._state.parts.append(self._own)

    async def run(self, name: str) -> tuple[File, Tally]:
        """The file, whole and checked, and what is in it."""
        state = self._state
        if not state.ended_us:
            await self._read()
        trailer = Trailer(
            ended_us=state.ended_us, chain=state.chain, tally=state.place.tally, unsteady=state.place.unsteady
        )
        async with self._job.output(name, MEDIA_TYPE) as output:
            checking = blocks(self._written(output.write, await self._compute(encode, trailer)), b"", self._compute)
            async with aclosing(checking) as written:
                last = None
                async for block in written:
                    last = block
            if last is None or last.message != trailer or last.before != state.chain:
                raise damaged()
        return output.file, state.place.tally

    async def _read(self) -> None:
        state = self._state
        total = await self._estimate()
        if not state.chain:
            self._put(await self._compute(encode, state.header))
        tables = [table.name for table in self._source.tables]
        reading = Reading(self._source.engine, tables, state.place, self._compute)
        async with aclosing(reading.pages()) as pages:
            async for page in pages:
                if page.holdings:
                    self._put(await self._compute(encode, Page(page.table, page.holdings)))
                done = state.place.tally.records
                self._job.progress(done, max(total, done), "records", "reading")
                if len(self._waiting) >= PART_BYTES:
                    await self._keep()
        state.ended_us = self._environment.now_us()
        await self._keep()

    def _put(self, block: bytes) -> None:
        self._state.chain = chained(self._state.chain, block)
        self._waiting += block

    async def _keep(self) -> None:
        """What waits is put aside, and the export goes on after it whatever happens."""
        part, self._waiting = bytes(self._waiting), bytearray()
        await self._job.put_aside(_part(self._own.fence, self._own.count), part)
        self._own.count += 1
        await self._job.checkpoint(packed(self._state))

    async def _written(self, write: Callable[[bytes], Awaitable[None]], last: bytes) -> AsyncGenerator[bytes]:
        """Every part, as it is written to the output, and `last`."""
        for part in self._state.parts:
            for number in range(part.count):
                async for chunk in self._job.read_aside(_part(part.fence, number)):
                    await write(chunk)
                    yield chunk
        await write(last)
        yield last

    async def _estimate(self) -> int:
        engine = self._source.engine
        if not isinstance(engine, Statistics):
            return 0
        return sum([(await engine.statistics(table.name)).partitions for table in self._source.tables])


def _part(fence: int, number: int) -> str:
    return f"{fence}-{number:06d}"


_decode = unpacker(ExportState)
