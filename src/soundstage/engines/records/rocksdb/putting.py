"""One item written where nothing of its partition is newer, which is most of what is written.

Nothing is read for it but the header, and that is known mostly. Whatever else there is goes the way of `Writing`.
"""

from __future__ import annotations

from functools import partial

from rocksdict import WriteBatch

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.engines.records.port import BATCH_MAX_BYTES, KEY_MAX_BYTES, Batch
from soundstage.engines.records.rocksdb import header as headers
from soundstage.engines.records.rocksdb.foresight import bring_back, foresee_end
from soundstage.engines.records.rocksdb.header import Header
from soundstage.engines.records.rocksdb.rowkeys import HEAD, HEADER, ITEMS, LEDGER, TIME
from soundstage.engines.records.rocksdb.tables import Table
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.database import Family

SHARED_MAX_BYTES = 64 << 10
"""A larger item is put by a batch of its own, so that those of one moment together are bounded."""

_HEADER_ROW = HEAD + HEADER


def is_one_item(batch: Batch, max_bytes: int = BATCH_MAX_BYTES) -> bool:
    """Whether a batch changes one item, has at most `max_bytes` and is within all limits."""
    if len(batch.cells) != 1 or batch.ranges or batch.partition is not None:
        return False
    key, cell = batch.cells[0]
    return len(key) <= KEY_MAX_BYTES and len(key) + len(cell) <= max_bytes


def raised(known: Header | None, key: bytes, cell: bytes) -> Header | None:
    """The header of a partition once it has accepted the item; None for one that may be surpassed already."""
    newest = version.identity(cell)
    if known is None:
        return Header(newest, None, (), key, key + b"\0")
    # The greatest cell ever accepted may be any that begins as the header says, and a write without conditions may
    # only have the token of one with conditions whose time is no less.
    if newest[: TIME.size] <= known.newest[: TIME.size]:
        return None
    low, high = known.low, known.high
    return Header(
        newest, known.partition, known.ranges, key if key < low else low, key + b"\0" if key >= high else high
    )


def put(
    rows: WriteBatch,
    into: Table,
    due: Family,
    prefix: bytes,
    key: bytes,
    cell: bytes,
    header: Header,
    environment: Environment,
) -> None:
    """The item is among the rows; not the header that it has raised."""
    row_key = prefix + ITEMS + key
    rows.put(row_key, cell, into.handle)
    if not version.is_lasting(cell, len(header.newest)):
        foresee_end(rows, into, due, row_key, cell, environment)


def raise_header(batch: AtomicBatch, into: Table, prefix: bytes) -> None:
    """The header that an item has raised, which is in the batch's `keys`, is among the rows."""
    header = batch.keys[prefix]
    batch.rows.put(prefix + _HEADER_ROW, headers.encode(header), into.handle)
    batch.once_written(partial(into.known.remember, prefix, header))


class RaisedHeaders:
    """The headers of all partitions that `batch` has items of: each is a row once, however many items raise it.

    `tables` has the table of each; its header is in the batch's `keys`.
    """

    __slots__ = ("_keys", "_rows", "tables")

    def __init__(self, batch: AtomicBatch) -> None:
        self.tables: dict[bytes, Table] = {}
        # Not the batch, which keeps this.
        self._rows, self._keys = batch.rows, batch.keys
        batch.raised = self
        batch.at_last(self._put)
        batch.once_written(self._remember)

    def _put(self) -> None:
        put, keys = self._rows.put, self._keys
        for prefix, into in self.tables.items():
            put(prefix + _HEADER_ROW, headers.encode(keys[prefix]), into.handle)

    def _remember(self) -> None:
        keys = self._keys
        for prefix, into in self.tables.items():
            into.known.remember(prefix, keys[prefix])


def enter_ledger(
    rows: WriteBatch, into: Table, due: Family, prefix: bytes, token: str, stamp_us: int, digest: bytes
) -> None:
    """A repetition of `token`, of a call that was stamped so, is known until its time is over."""
    row_key = prefix + HEAD + LEDGER + token.encode()
    rows.put(row_key, TIME.pack(stamp_us) + digest, into.handle)
    bring_back(rows, into, due, row_key, stamp_us)
