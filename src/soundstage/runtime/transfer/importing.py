"""The job that fills a namespace from a file, and the one that fills it from another namespace.

What goes in is put in again after a crash, from the last checkpoint on: holdings may be put in twice. The
namespace is served once everything is proven to be there, and nothing of it is left otherwise.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

import msgspec

from soundstage.core.environment import Environment
from soundstage.runtime.transfer.filling import Filling
from soundstage.runtime.transfer.format import Page, Trailer, blocks, damaged, packed
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


async def _load(
    state: ImportState, read: Read, size: int, filling: Filling, job: JobContext, compute: Compute
) -> Trailer:
    last: Trailer | None = None
    kept = state.offset
    async with aclosing(read(state.offset)) as chunks, aclosing(blocks(chunks, state.chain, compute)) as found:
        async for block in found:
            if last is not None:
                # Something follows the end.
                raise damaged()
            if isinstance(block.message, Page):
                await filling.load(block.message.table, block.message.holdings, job)
            elif isinstance(block.message, Trailer):
                last = block.message
                if last.chain != block.before:
                    raise damaged()
            state.offset, state.chain = state.offset + block.size, block.chain
            job.progress(state.offset, size, "bytes", "importing")
            if state.offset - kept >= CHECKPOINT_BYTES and last is None:
                kept = state.offset
                await job.checkpoint(packed(state))
    if last is None:
        raise damaged()
    return last


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
