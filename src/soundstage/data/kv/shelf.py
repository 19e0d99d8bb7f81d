"""The dictionaries of a namespace, as they are kept in its engine and as this process last read them.

They are rows of the table `kv/<namespace>/values`, in one partition, so that they go wherever the namespace goes: a
small entry for each, and its content. Whoever trains, retires and drops changes the entries; every process reads them
again before it takes a write that names a dictionary, if it has not lately. So one that was retired is taken nowhere
after `TAKEN_US + FRESH_NS`, and nobody has to be told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from soundstage.core import version
from soundstage.core.dictionaries import check_dictionary
from soundstage.core.environment import Environment
from soundstage.core.errors import DataLoss, NotFound
from soundstage.core.hlc import TokenClock
from soundstage.core.ids import uuid4_hex
from soundstage.engines.records.port import Batch, Budget, Cell, Records, Span

DICTIONARIES_MAX = 16
"""A namespace keeps no more."""

FRESH_NS = 5_000_000_000
"""What was read of the entries counts for so long."""

TOLD_NS = 1_000_000_000
"""Who asks how to be is told what was read no longer ago."""

TAKEN_US = 600 * 1_000_000
"""A dictionary that was retired is taken for so long, for clients hear of it a little later."""

_PARTITION = b"d"
_ANY_TIME = 0
"""Nothing here expires."""

_CONTENTS, _ENTRIES, _END = b"c", b"e", b"f"
_BUDGET = Budget(rows=1_000, bytes=1 << 20)

State: TypeAlias = Literal["active", "retired", "unneeded"]


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a dictionary beside its content; `since_us` is when it came into its `state`."""

    state: State
    size: int
    samples: int
    made_us: int
    since_us: int
    schema: int = 1


class Kept(NamedTuple):
    """An entry as it was read, and the version it was read in."""

    entry: Entry
    cell: Cell


class Shelf:
    """The entries of one namespace as last read."""

    def __init__(self, environment: Environment) -> None:
        self.kept: dict[str, Kept] = {}
        self._environment = environment
        self._read_ns: int | None = None
        self._reading = asyncio.Lock()

    def is_fresh(self, within_ns: int = FRESH_NS) -> bool:
        """Whether the entries were read no longer ago."""
        return self._read_ns is not None and self._environment.monotonic_ns() - self._read_ns < within_ns

    def offered(self) -> str | None:
        """The dictionary that clients are to write with: of those that are active the one that became so last."""
        active = [(each.entry.since_us, codec) for codec, each in self.kept.items() if each.entry.state == "active"]
        return max(active)[1] if active else None

    def taken(self, now_us: int) -> list[str]:
        """Those that a write may name; none unless what is known is fresh."""
        if not self.is_fresh():
            return []
        return [
            codec
            for codec, (entry, _) in self.kept.items()
            if entry.state == "active" or (entry.state == "retired" and now_us < entry.since_us + TAKEN_US)
        ]

    async def read(self, records: Records, table: str, clock: TokenClock, within_ns: int = 0) -> None:
        """The entries are as they were no longer ago than that."""
        async with self._reading:
            if self.is_fresh(within_ns):
                return
            begun_ns = self._environment.monotonic_ns()
            page = await records.read(table, _PARTITION, Span(_ENTRIES, _END), _BUDGET, _ANY_TIME)
            if page.stamp is not None:
                clock.observe(page.stamp.time_us)
            self.kept = {key[1:].decode(): Kept(_decode(version.split(cell).value), cell) for key, cell in page.rows}
            self._read_ns = begun_ns

    async def write(
        self,
        records: Records,
        table: str,
        clock: TokenClock,
        entries: Mapping[str, Entry],
        contents: Mapping[str, bytes] | None = None,
    ) -> None:
        """The entries are so, and the contents there, all at once; what was read before counts no more."""
        time_us, token = clock.next_us(), uuid4_hex(self._environment)
        said = [(_ENTRIES + codec.encode(), _encode(entry)) for codec, entry in entries.items()]
        said += [(_CONTENTS + codec.encode(), content) for codec, content in (contents or {}).items()]
        cells = [(key, version.put(time_us, token, value)) for key, value in said]
        self._read_ns = None
        await records.apply(table, _PARTITION, Batch(cells=cells))

    async def drop(self, records: Records, table: str, codec: str, cell: Cell) -> None:
        """The dictionary is gone, unless something was said of it after `cell`: that wins."""
        gone = version.delete(version.time_us(cell), version.token(cell))
        self._read_ns = None
        batch = Batch(cells=[(prefix + codec.encode(), gone) for prefix in (_CONTENTS, _ENTRIES)])
        await records.apply(table, _PARTITION, batch)


async def content_of(records: Records, table: str, codec: str) -> bytes:
    """The content of a dictionary. Raises `NotFound`, and `DataLoss` for what is not it."""
    page = await records.get(table, _PARTITION, [_CONTENTS + codec.encode()], _ANY_TIME)
    if not page.rows:
        raise NotFound(
            f"the namespace has no dictionary {codec!r}",
            field="codec",
            hint="`list_dictionaries` tells which it has",
        )
    content = version.split(page.rows[0][1]).value
    try:
        check_dictionary(codec, content)
    except DataLoss as error:
        error.field = "codec"
        raise
    return content


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode
