"""Follows the namespaces as stored: at start, and every poll interval for what other processes change."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from soundstage.core.environment import Environment
from soundstage.core.errors import SoundstageError
from soundstage.engines.records.port import Stamp
from soundstage.runtime.config import NamespaceDeclaration
from soundstage.runtime.control.applied import Applied
from soundstage.runtime.control.changes import ABANDONED_US, STAGE_FILE, NamespaceControl
from soundstage.runtime.control.declaration import Declarations, spec_of
from soundstage.runtime.control.store import Found
from soundstage.runtime.control.tables import Tables


class NamespaceFollower:
    """`load` at start, then `follow` again and again."""

    def __init__(
        self, control: NamespaceControl, declarations: Declarations, tables: Tables, environment: Environment
    ) -> None:
        self._control = control
        self._applied: Applied = control.applied
        self._declarations = declarations
        self._tables = tables
        self._environment = environment
        self._seen: Stamp | None = None
        self._looking: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def load(self, declared: Mapping[str, NamespaceDeclaration], *, alone: bool = True) -> None:
        """Everything stored is applied with its tables, and everything that the stage file declares is stored.

        `alone` is whether no other process can be at work on the same store.

        Raises the reason when a namespace of the stage file cannot be served; others that cannot are known, and
        refuse calls with theirs.
        """
        # A folder has one owner, so that whatever is half-way at start was left by a process that died.
        await self._follow(0 if alone else ABANDONED_US)
        await self._ensure_tables()
        for name, declaration in declared.items():
            await self._control.put(spec_of(name, declaration), None, STAGE_FILE, "file")
        for name, info in list(self._applied.known.items()):
            if info.managed_by == "file" and name not in declared:
                await self._control.release(name)
        self._seen = await self._control.store.stamp()

    async def follow(self) -> None:
        """What other processes changed is applied here; one small read when nothing was."""
        if self._applied.doubtful or await self._control.store.stamp() != self._seen:
            await self._follow(ABANDONED_US)
            self._control.store.changed.notify()
        await self._tables.settle()

    async def look(self) -> None:
        """What other processes had stored before this was called is applied here, unless the store fails.

        Many who ask at once share one look.
        """
        if self._next is None:
            self._next = asyncio.ensure_future(self._look_after(self._looking))
        await asyncio.shield(self._next)

    async def _look_after(self, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await asyncio.wait({earlier})
        # Who asks from here on may ask for what this look misses.
        self._looking, self._next = self._next, None
        with suppress(SoundstageError):
            await self.follow()

    async def _follow(self, abandoned_us: int) -> None:
        # What this process is changing itself is neither half-way nor news.
        async with self._control.changing:
            await self._catch_up(abandoned_us)

    async def _catch_up(self, abandoned_us: int) -> None:
        seen = await self._control.store.stamp()
        stored = await self._control.store.all()
        for name in [name for name in self._applied.stamps if name not in stored]:
            self._applied.forget(name)
        waiting = False
        for name, found in stored.items():
            if found.stored.state == "active":
                if self._applied.stamps.get(name) != found.stamp:
                    self._applied.apply(found)
            else:
                waiting |= not await self._cleared(found, abandoned_us)
        self._seen = None if waiting else seen
        self._applied.doubtful = False

    async def _cleared(self, found: Found, abandoned_us: int) -> bool:
        """Whether a namespace that is half-way was cleared away."""
        self._applied.forget(found.stored.info.name)
        if found.stored.job:
            if await self._control.busy(found.stored.job):
                return False
        elif self._environment.now_us() - found.stored.since_us < abandoned_us:
            return await self._control.finished(found)
        return await self._control.cleared(found)

    async def _ensure_tables(self) -> None:
        """An engine that forgets, or was replaced by an empty one, gets its tables."""
        for info in self._applied.infos.values():
            declared = self._declarations.stored(info)
            await self._tables.adjust(declared.records, declared.tables, info.updated_at // 1_000)
