"""Values that are too large for their rows, as writes give them and pages return them.

A write first stores the chunks under an upload of their own, which nobody sees, and then its rows with the manifests,
in one batch: readers see the old value or the new one whole. Chunks whose rows never come, or have gone, are found by
the register of `uploads`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.errors import DataLoss, DeadlineExceeded, TooLarge, Unavailable
from soundstage.data.kv.chunks import ChunkWriter, MissingChunk, read_whole
from soundstage.data.kv.items import manifest_of, put_in_chunks
from soundstage.data.kv.manifest import UPLOAD_BYTES, Manifest
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.selections import Large, Shaped
from soundstage.data.kv.uploads import Upload, check_in_time, register, register_replaced
from soundstage.data.pagination import Patience
from soundstage.engines.records.port import Batch, Budget, Cell

WHOLE_MAX_BYTES = 64 << 20
"""A value that a reply may hold; memory is bounded by it."""


async def with_chunks(
    served: ServedNamespace, environment: Environment, partition: bytes, batch: Batch, deadline_ns: int | None
) -> Batch:
    """`batch` with the values that are too large for their rows in chunks, which are stored.

    It is to be applied at once. Raises `DeadlineExceeded` when storing the chunks took so long that it may not be.
    """
    if not has_large_values(served, batch):
        return batch
    begun_us = environment.now_us()
    try:
        cells = [
            (key, await _stored(served, environment, partition, key, cell, deadline_ns)) for key, cell in batch.cells
        ]
        await register_values_replaced(served, environment, partition, [key for key, _ in cells], deadline_ns)
    except (Unavailable, DeadlineExceeded) as error:
        # Whatever became of the chunks, nobody sees them.
        error.outcome = "not_applied"
        raise
    check_in_time(begun_us, environment.now_us())
    return Batch(cells=cells)


def has_large_values(served: ServedNamespace, batch: Batch) -> bool:
    """Whether a put has values that do not go into their rows."""
    return any(_is_large(served, cell) for _, cell in batch.cells)


def _is_large(served: ServedNamespace, cell: Cell) -> bool:
    threshold = int(served.config.chunk_threshold)
    return len(cell) > threshold and len(cell) - version.parts(cell)[4] > threshold


async def _stored(
    served: ServedNamespace,
    environment: Environment,
    partition: bytes,
    key: bytes,
    cell: Cell,
    deadline_ns: int | None,
) -> Cell:
    """The cell of a row, whose value is in chunks if it is large."""
    if not _is_large(served, cell):
        return cell
    time_us, _, token, *_, value = version.split(cell)
    upload = environment.random.randbytes(UPLOAD_BYTES)
    entry = Upload(partition=partition, key=key, time_us=time_us)
    await register(served, environment, upload, entry, deadline_ns)
    writer = ChunkWriter(served, upload, time_us, token, deadline_ns)
    try:
        await writer.write(value)
        return put_in_chunks(cell, await writer.finish())
    finally:
        await writer.close()


async def register_values_replaced(
    served: ServedNamespace,
    environment: Environment,
    partition: bytes,
    keys: Sequence[bytes],
    deadline_ns: int | None,
) -> None:
    """Chunks of the values that are about to be replaced are dropped once nobody reads them any more."""
    # What is not reached in time is found out later, as what small values replace is.
    budget = None if deadline_ns is None else Budget(deadline_ns=deadline_ns)
    page = await served.records.get(served.table, partition, keys, environment.now_us(), budget)
    for key, cell in page.rows:
        manifest = manifest_of(cell)
        if manifest is not None:
            before = Upload(partition=partition, key=key, time_us=version.time_us(cell))
            await register_replaced(served, environment, manifest.upload, before, deadline_ns)


async def bring(
    served: ServedNamespace, partition: bytes, shaped: Shaped, patience: Patience, now_us: int, whole: int
) -> None:
    """The items of a page have the values that lie in chunks; it is cut where the time is over.

    The first `whole` of them are brought whatever the time.
    """
    for large in shaped.large:
        if large.place >= whole and patience.is_over():
            del shaped.items[large.place :]
            shaped.weight = large.before
            return
        item = shaped.items[large.place]
        value = await _value_of(served, partition, item.key, large, now_us)
        msgspec.structs.force_setattr(item, "value", value)


async def _value_of(served: ServedNamespace, partition: bytes, key: bytes, large: Large, now_us: int) -> bytes:
    manifest = manifest_of(large.cell)
    assert manifest is not None
    check_whole(manifest)
    served.amplification.read += manifest.size
    try:
        return await read_whole(served, manifest)
    except MissingChunk:
        raise await lost(served, partition, key, manifest, now_us) from None


def check_whole(manifest: Manifest) -> None:
    """Raise `TooLarge` for a value that no reply can hold."""
    if manifest.size > WHOLE_MAX_BYTES:
        raise TooLarge(
            f"the value has {manifest.size} bytes, and a reply holds values of up to {WHOLE_MAX_BYTES}",
            field="selection",
            hint="leave it out by selection.max_value_bytes, or all values by selection.include_values",
        )


async def lost(
    served: ServedNamespace, partition: bytes, key: bytes, manifest: Manifest, now_us: int
) -> Unavailable | DataLoss:
    """Why a chunk is not there: the value is another by now, or the namespace lost it."""
    page = await served.records.get(served.table, partition, [key], now_us)
    # One copy may go on showing what was replaced, whose chunks are rightly gone, or have a row before its chunks.
    if served.settled and any(manifest_of(cell) == manifest for _, cell in page.rows):
        return DataLoss(
            f"chunks of a value of {manifest.size} bytes in the namespace {served.name!r} are missing or damaged",
            hint="write the value again; restore a backup if it is nowhere else",
        )
    if not served.settled:
        return Unavailable(
            "the copies that were asked have the item and not its value: it has not come there yet, or was replaced",
            hint="repeat the read",
            outcome="not_applied",
        )
    return Unavailable(
        "the value was replaced while it was read, longer ago than its chunks are kept",
        hint="repeat the read; the namespace's knob is chunk_grace",
        outcome="not_applied",
    )
