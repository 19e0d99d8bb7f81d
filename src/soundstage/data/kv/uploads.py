"""The register of uploads, by which chunks are found whose row never came, or is gone.

An upload is entered before its first chunk, and stays for as long as it has chunks. Entries are rows of the table
`kv/<namespace>/values`, in `SHARDS` partitions, sorted by when they are due to be looked at:

- `staged`: from the beginning; due when no row can come any more. If one has come, the upload is `kept`, else `gone`.
- `kept`: looked at every `chunk_check` or so. If its row is no more, it is `gone`.
- `gone`: due after `chunk_grace`, when nobody reads it any more. Its chunks are dropped, and the entry with them.
- `replaced`: a second entry, made by the large value that is about to replace it, so that this is not found out late.

So deletes of whole records and of ranges, and expiry, cost large values no more than others: that chunks have become
nobody's is found out later.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import msgspec

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.errors import DeadlineExceeded
from soundstage.data.kv.chunks import ANY_TIME, drop_chunks
from soundstage.data.kv.items import manifest_of
from soundstage.data.kv.namespace import ServedNamespace, found_anywhere
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Batch, Budget, Row, Span

SHARDS = 8

STAGING_US = IN_FLIGHT_MAX_US // 2
"""From a write's acceptance to its row: deletes that must hide the row are not forgotten before."""

_SHARD = b"s"
_DUE_BYTES = 8
_PAGE_ROWS = 256


State: TypeAlias = Literal["staged", "kept", "gone", "replaced"]


class Upload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry: whose value it is, of what time, and how it stands. `schema` is that of what is stored."""

    partition: bytes
    key: bytes
    time_us: int
    state: State = "staged"
    schema: int = 1


class Swept(NamedTuple):
    """What one round did: entries looked at, uploads whose chunks were dropped, and whether more is due."""

    examined: int
    dropped: int
    more: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Upload).decode


async def register(
    served: ServedNamespace,
    environment: Environment,
    upload: bytes,
    entry: Upload,
    deadline_ns: int | None,
    within_us: int = STAGING_US,
) -> int:
    """The upload is entered: its chunks may be written, and its row may come within that time. Returns when it is due.

    That it comes no later is for `check_in_time`, and for what makes streamed values.
    """
    due_us = environment.now_us() + within_us + IN_FLIGHT_MAX_US
    await _put(served, environment, upload, due_us, entry, deadline_ns)
    return due_us


async def give_up(served: ServedNamespace, environment: Environment, upload: bytes, due_us: int, entry: Upload) -> None:
    """The upload, whose entry is due then, has no row and will have none: the next round drops its chunks."""
    row = _row(environment, upload, due_us, entry)
    new = _row(environment, upload, environment.now_us(), msgspec.structs.replace(entry, state="gone"))
    await _move(served, environment, upload[0] % SHARDS, row, new)


async def register_replaced(
    served: ServedNamespace, environment: Environment, upload: bytes, entry: Upload, deadline_ns: int | None
) -> None:
    """What the upload brought is about to be replaced. Should it not be, it is kept when that is found out."""
    due_us = environment.now_us() + served.config.chunk_grace.us
    await _put(served, environment, upload, due_us, msgspec.structs.replace(entry, state="replaced"), deadline_ns)


def check_in_time(begun_us: int, now_us: int) -> None:
    """Raise `DeadlineExceeded` when the row of an upload that was begun at `begun_us` may come no more."""
    if not 0 <= now_us - begun_us <= STAGING_US:
        raise DeadlineExceeded(
            "the chunks of a value took too long to be stored",
            hint="send it again, as a write of its own",
            outcome="not_applied",
        )


async def sweep(served: ServedNamespace, environment: Environment, limit: int) -> Swept:
    """Up to `limit` entries that are due were looked at."""
    examined = dropped = 0
    for shard in range(SHARDS):
        while True:
            budget = Budget(rows=min(_PAGE_ROWS, limit - examined))
            span = Span(b"", (environment.now_us() + 1).to_bytes(_DUE_BYTES, "big"))
            page = await served.records.read(served.values_table, _partition(shard), span, budget, ANY_TIME)
            for row in page.rows:
                dropped += await _look(served, environment, shard, row)
            examined += len(page.rows)
            if examined >= limit:
                return Swept(examined, dropped, True)
            if page.resume is None:
                break
    return Swept(examined, dropped, False)


async def _look(served: ServedNamespace, environment: Environment, shard: int, row: Row) -> bool:
    """Whether the chunks of an upload that is due were dropped; if not, it is entered anew."""
    key, cell = row
    due_us, upload = int.from_bytes(key[:_DUE_BYTES], "big"), key[_DUE_BYTES:]
    entry = _decode(version.split(cell).value)
    if await _is_live(served, environment, upload, entry):
        # Of what was not replaced after all there is another entry, its first.
        state: State | None = None if entry.state == "replaced" else "kept"
        rest_us = _spread_us(served, upload)
    elif entry.state in ("staged", "kept"):
        state, rest_us = "gone", served.config.chunk_grace.us
    else:
        await drop_chunks(served, upload, entry.time_us, environment)
        await _move(served, environment, shard, row, None)
        return True
    due_us = max(due_us, environment.now_us()) + rest_us
    new = None if state is None else _row(environment, upload, due_us, msgspec.structs.replace(entry, state=state))
    await _move(served, environment, shard, row, new)
    return False


async def _is_live(served: ServedNamespace, environment: Environment, upload: bytes, entry: Upload) -> bool:
    """Whether a row has the upload, on whichever copy."""
    rows = await found_anywhere(served, entry.partition, entry.key, environment.now_us())
    found = [manifest_of(cell) for _, cell in rows]
    return any(manifest is not None and manifest.upload == upload for manifest in found)


def _spread_us(served: ServedNamespace, upload: bytes) -> int:
    """Uploads that came together are not looked at together for ever: each has its own time, 3/4 to 5/4 of the knob."""
    return served.config.chunk_check.us * (192 + upload[1] // 2) // 256


async def _put(
    served: ServedNamespace,
    environment: Environment,
    upload: bytes,
    due_us: int,
    entry: Upload,
    deadline_ns: int | None,
) -> None:
    batch, partition = Batch(cells=[_row(environment, upload, due_us, entry)]), _partition(upload[0] % SHARDS)
    await served.records.apply(served.values_table, partition, batch, deadline_ns=deadline_ns)


async def _move(served: ServedNamespace, environment: Environment, shard: int, row: Row, new: Row | None) -> None:
    """An entry goes, and another one comes in its place."""
    key, cell = row
    gone = version.delete(max(environment.now_us(), version.time_us(cell)), version.token(cell))
    cells = [(key, gone)] if new is None else [(key, gone), new]
    await served.records.apply(served.values_table, _partition(shard), Batch(cells=cells))


def _row(environment: Environment, upload: bytes, due_us: int, entry: Upload) -> Row:
    cell = version.put(environment.now_us(), upload.hex(), _encode(entry))
    return due_us.to_bytes(_DUE_BYTES, "big") + upload, cell


def _partition(shard: int) -> bytes:
    return _SHARD + bytes([shard])
