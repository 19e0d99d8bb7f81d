"""Which namespaces have segments, and where: so that those of a deleted namespace go too.

Data on disk: the stage's table `timeseries_segments`, partition `stores`, a row per namespace under its digest. It is
written before the first file of a namespace on an engine, and goes with the last one.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from soundstage.core.errors import NotFound, PreconditionFailed
from soundstage.data.rounds import turn_of
from soundstage.runtime.system_table import Entry, SystemTable

log: logging.Logger = logging.getLogger("soundstage.timeseries")

TABLE = "timeseries_segments"
PARTITION = "stores"

LEFT = "segments of a deleted namespace are left"


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A namespace, and the engines that have segments of it."""

    namespace: str
    engines: tuple[str, ...]


class Stores:
    """The notes, in one table of the stage."""

    def __init__(self, table: SystemTable) -> None:
        self._table = table
        self._created = False
        self._known: dict[str, Kept] = {}

    async def note(self, digest: str, namespace: str, engine: str) -> None:
        """It is noted that the namespace may have segments on the engine. To repeat it is safe."""
        known = self._known.get(digest)
        if known is not None and engine in known.engines:
            return
        await self._create()
        entry = await self._table.get(PARTITION, digest)
        kept = Kept(namespace, ()) if entry is None else _kept(entry)
        if engine not in kept.engines:
            kept = Kept(namespace, (*kept.engines, engine))
            stamp = None if entry is None else entry.stamp
            await self._table.write(PARTITION, {digest: msgspec.msgpack.encode(kept)}, {digest: stamp}, onward=True)
        self._known[digest] = kept

    async def clear(
        self, is_gone: Callable[[str, str], Awaitable[bool]], clear: Callable[[str, str], Awaitable[None]]
    ) -> None:
        """Namespaces that are gone, by name and digest, have no segments any more.

        `clear` removes those of a digest from an engine. One that fails keeps no other waiting, and is logged.
        """
        try:
            noted = await self._table.read(PARTITION, "")
        except NotFound:
            # No namespace has ever had any.
            return
        for digest, entry in noted.items():
            name = _kept(entry).namespace
            with turn_of(name, LEFT, log):
                if await is_gone(name, digest):
                    await self._clear(digest, entry, clear)

    async def engines(self, digest: str) -> tuple[str, ...]:
        """The engines that may have segments of a namespace."""
        try:
            entry = await self._table.get(PARTITION, digest)
        except NotFound:
            return ()
        return () if entry is None else _kept(entry).engines

    async def _clear(self, digest: str, entry: Entry, clear: Callable[[str, str], Awaitable[None]]) -> None:
        kept, cleared = _kept(entry), 0
        for engine in kept.engines:
            with turn_of(kept.namespace, LEFT, log):
                await clear(engine, digest)
                cleared += 1
        if cleared < len(kept.engines):
            return
        self._known.pop(digest, None)
        with suppress(PreconditionFailed):
            # Of a row that is another now: somebody else was at it.
            await self._table.write(PARTITION, {digest: None}, {digest: entry.stamp}, onward=True)

    async def _create(self) -> None:
        if not self._created:
            await self._table.create()
            self._created = True


def _kept(entry: Entry) -> Kept:
    return msgspec.msgpack.decode(entry.value, type=Kept)
