"""What every engine checks of a batch, and does with it before it applies."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from soundstage.core import version
from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.engines.records.port import (
    BATCH_MAX_BYTES,
    BATCH_MAX_ITEMS,
    KEY_MAX_BYTES,
    PARTITION_MAX_BYTES,
    Batch,
    Cell,
)

_BOUND_MAX_BYTES = KEY_MAX_BYTES + 1
"""A range that begins after the longest key is bounded by that key and a zero byte."""


def versions(batch: Batch) -> list[Cell]:
    """Every cell of a batch."""
    cells = [cell for _, cell in batch.cells]
    if batch.ranges:
        cells += [deleted.cell for deleted in batch.ranges]
    if batch.partition is not None:
        cells.append(batch.partition)
    return cells


def restamped(batch: Batch, time_us: int) -> Batch:
    """The same batch at another time."""
    return Batch(
        cells=[(key, version.restamp(cell, time_us)) for key, cell in batch.cells],
        ranges=[each._replace(cell=version.restamp(each.cell, time_us)) for each in batch.ranges],
        partition=None if batch.partition is None else version.restamp(batch.partition, time_us),
    )


def check_partition(partition: bytes) -> None:
    """Raises `InvalidArgument` unless a partition key has 1 to 1,024 bytes."""
    if not 1 <= len(partition) <= PARTITION_MAX_BYTES:
        raise InvalidArgument(f"a partition key has 1 to {PARTITION_MAX_BYTES} bytes, not {len(partition)}", field="id")


def check_batches(batches: Sequence[tuple[bytes, Batch]]) -> None:
    """Raises `InvalidArgument` where a partition is named twice, and `TooLarge` for more than one call takes."""
    if len({partition for partition, _ in batches}) < len(batches):
        raise InvalidArgument("a call names a partition twice", field="batches", hint="merge the changes")
    items = sum([_count(batch) for _, batch in batches])
    if items > BATCH_MAX_ITEMS:
        raise TooLarge(f"a call has at most {BATCH_MAX_ITEMS} items, not {items}", field="batches", hint="split it")
    size = sum([len(key) + len(cell) for _, batch in batches for key, cell in batch.cells])
    # The exact sum is dear, and decides only next to the limit.
    if size > BATCH_MAX_BYTES:
        size -= sum(_overhead(cell) for _, batch in batches for _, cell in batch.cells)
        if size > BATCH_MAX_BYTES:
            raise TooLarge(f"a call has at most {BATCH_MAX_BYTES} bytes", field="batches", hint="split it")


class Survey(msgspec.Struct, frozen=True, gc=False):
    """What passes over a batch find, so that they are made once.

    `keys` and `cells` are of the items, `least` and `greatest` of all versions; `size` is of keys, bounds and cells.
    """

    keys: list[bytes]
    cells: list[Cell]
    least: Cell
    greatest: Cell
    size: int


def check_batch(batch: Batch) -> Survey:
    """The batch looked over. Raises `InvalidArgument` for an empty one, a long or repeated key, and `TooLarge`.

    Keys, bounds, values and metadata count as bytes; what cells add to them does not.
    """
    if len(batch.cells) == 1 and not batch.ranges and batch.partition is None:
        key, cell = batch.cells[0]
        size = len(key) + len(cell)
        # One item is most of what is written, and what follows is made for many.
        if len(key) <= KEY_MAX_BYTES and size <= BATCH_MAX_BYTES:
            return Survey([key], [cell], cell, cell, size)
    count = _count(batch)
    if count > BATCH_MAX_ITEMS:
        raise TooLarge(f"a batch has at most {BATCH_MAX_ITEMS} items, not {count}", field="items", hint="split it")
    if not count and batch.partition is None:
        raise InvalidArgument("a batch changes something", field="items", hint="give it at least one item")
    keys = [key for key, _ in batch.cells]
    cells = [cell for _, cell in batch.cells]
    # Joining is the quickest way to add up many short lengths; while all are within the limit of one, each is.
    keys_size = len(b"".join(keys))
    if keys_size > KEY_MAX_BYTES and (longest := max(map(len, keys))) > KEY_MAX_BYTES:
        raise InvalidArgument(f"a key has at most {KEY_MAX_BYTES} bytes, not {longest}", field="items")
    size = keys_size + sum(map(len, cells))
    for start, end, _ in batch.ranges:
        size += len(start) + len(end or b"")
        if max(len(start), len(end or b"")) > _BOUND_MAX_BYTES:
            raise InvalidArgument(f"a bound has at most {_BOUND_MAX_BYTES} bytes", field="ranges")
    # The exact sum is dear, and decides only next to the limit.
    if size > BATCH_MAX_BYTES and size - sum(map(_overhead, cells)) > BATCH_MAX_BYTES:
        raise TooLarge(f"a batch has at most {BATCH_MAX_BYTES} bytes", field="items", hint="split it")
    if len(set(keys)) < len(keys):
        raise InvalidArgument("a batch names a key twice", field="items", hint="send each key once")
    found = versions(batch) if batch.ranges or batch.partition is not None else cells
    return Survey(keys, cells, min(found), max(found), size)


def _count(batch: Batch) -> int:
    return len(batch.cells) + len(batch.ranges)


def _overhead(cell: Cell) -> int:
    found = version.split(cell)
    return len(cell) - len(found.metadata) - len(found.value)
