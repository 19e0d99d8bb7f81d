"""The job that fills a namespace from a file, and the one that fills it from another namespace.

What goes in is put in again after a crash, from the last checkpoint on: holdings may be put in twice. The
namespace is served once everything is proven to be there, and nothing of it is left otherwise.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument
from soundstage.engines.records.holdings import Holding, check_holding
from soundstage.runtime.transfer.filling import Filling
from soundstage.runtime.transfer.format import Block, Page, Trailer, blocks, damaged, packed
from soundstage.runtime.transfer.reading import Compute, Place, Reading
from soundstage.runtime.transfer.tally import Tally
from soundstage.runtime.work.context import JobContext

T = TypeVar("T")

CHECKPOINT_BYTES = 16 << 20
"""Put in between two checkpoints."""

CHECKPOINT_PAGES = 32


class ImportState(msgspec.Struct):
    """The checkpoint of an import: how far it is in the file. `generation` is that of the namespace."""

    generation: int
    at_us: int
    offset: int = 0
    chain: bytes = b""
    trailer: Trailer | None = None


class CopyState(msgspec.Struct):
    """The checkpoint of a copy. `ended_us` is 0 until everything was read."""

    generation: int
    place: Place
    ended_us: int = 0


Read = Callable[[int], AsyncGenerator[bytes]]
"""The bytes of the file from an offset on."""


async def fill_from_file(
    state: ImportState, read: Read, size: int, filling: Filling, job: JobContext, compute: Compute
) -> Trailer:
    """Everything that the file holds is in, and proven to be; returns what the file came to. Raises `DataLoss`."""
    if state.trailer is None:
        state.trailer = await _load(state, read, size, filling, job, compute)
        await job.checkpoint(packed(state))
    trailer = state.trailer
    await filling.verify(trailer.tally, trailer.unsteady, state.at_us, job)
    return trailer


async def prove(read: Read, size: int, tables: int, job: JobContext, compute: Compute) -> None:
    """The file is one that was exported with so many tables, whole from its beginning to its trailer.

    Nothing is changed. Raises `DataLoss`.
    """
    done = 0
    async with aclosing(_until_trailer(read(0), b"", tables, compute)) as found:
        async for block in found:
            if isinstance(block.message, Page):
                await compute(_check_holdings, block.message.holdings)
            done += block.size
            job.progress(done, size, "bytes", "checking")


async def _load(
    state: ImportState, read: Read, size: int, filling: Filling, job: JobContext, compute: Compute
) -> Trailer:
    last: Trailer | None = None
    kept = state.offset
    coming = _until_trailer(read(state.offset), state.chain, filling.tables, compute)
    async with aclosing(coming) as found:
        async for block in found:
            if isinstance(block.message, Page):
                await _put_in(block.message, filling, job)
            elif isinstance(block.message, Trailer):
                last = block.message
            state.offset, state.chain = state.offset + block.size, block.chain
            job.progress(state.offset, size, "bytes", "importing")
            if state.offset - kept >= CHECKPOINT_BYTES and last is None:
                kept = state.offset
                await job.checkpoint(packed(state))
    if last is None:
        raise damaged()
    return last


async def _until_trailer(
    chunks: AsyncGenerator[bytes], chain: bytes, tables: int, compute: Compute
) -> AsyncGenerator[Block]:
    """The blocks of a file, whose last is a trailer that knows them all. Raises `DataLoss`."""
    last: Trailer | None = None
    async with aclosing(chunks), aclosing(blocks(chunks, chain, compute)) as found:
        async for block in found:
            message = block.message
            if last is not None:
                # Something follows the end.
                raise damaged()
            if isinstance(message, Page) and not 0 <= message.table < tables:
                raise damaged()
            if isinstance(message, Trailer):
                last = message
                if last.chain != block.before:
                    raise damaged()
            yield block
    if last is None:
        raise damaged()


async def _put_in(page: Page, filling: Filling, job: JobContext) -> None:
    try:
        await filling.load(page.table, page.holdings, job)
    except InvalidArgument:
        # Engines refuse what none of them can have dumped.
        raise damaged() from None


def _check_holdings(holdings: Sequence[Holding]) -> None:
    try:
        for holding in holdings:
            check_holding(holding)
    except InvalidArgument:
        raise damaged() from None


async def fill_from_tables(
    state: CopyState, reading: Reading, filling: Filling, job: JobContext, environment: Environment
) -> Tally:
    """Everything that `reading`, which is at the state's place, reads is in, and proven to be; returns what it was."""
    if not state.ended_us:
        number = 0
        async with aclosing(reading.pages()) as pages:
            async for page in pages:
                await filling.load(page.table, page.holdings, job)
                job.progress(state.place.tally.records, None, "records", "copying")
                number += 1
                if number % CHECKPOINT_PAGES == 0:
                    await job.checkpoint(packed(state))
        state.ended_us = environment.now_us()
        await job.checkpoint(packed(state))
    await filling.verify(state.place.tally, state.place.unsteady, state.place.at_us, job)
    return state.place.tally
