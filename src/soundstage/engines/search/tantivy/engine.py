"""The search port on one folder."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import msgspec
from msgspec import Meta

from soundstage.core.completion import to_the_end
from soundstage.core.environment import Environment
from soundstage.core.size import Size
from soundstage.engines.rocks.folder import FolderLock, check_format
from soundstage.engines.rocks.space import LowWater
from soundstage.engines.search import refusals
from soundstage.engines.search.checks import check_deletion, check_nearest, check_request
from soundstage.engines.search.documents import Prepared, check_ids, prepare
from soundstage.engines.search.port import (
    DELETE_MAX,
    INDEXES_MAX,
    Action,
    Document,
    Hit,
    IndexInfo,
    IndexSpec,
    Nearest,
    Outcome,
    Page,
    Request,
    SearchCapability,
)
from soundstage.engines.search.queries import Query
from soundstage.engines.search.specs import check_name, check_spec
from soundstage.engines.search.tantivy.catalogue import Catalogue, Placed
from soundstage.engines.search.tantivy.failures import translated
from soundstage.engines.search.tantivy.group import Groups
from soundstage.engines.search.tantivy.index import OpenIndex

P = ParamSpec("P")
T = TypeVar("T")

_READERS = 4


class TantivyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one folder is kept."""

    memory: Annotated[Size, Meta(description="for what an index is given until it writes it; 15MiB at least")] = Size(
        32 << 20
    )
    low_water: Annotated[Size, Meta(description="documents are refused below this much free disk")] = Size(256 << 20)


class TantivySearch:
    """Durable, embedded, in one process; not for use from several event loops.

    What is written at once is committed at once: calls that come while a commit is under way wait, and share the next.
    """

    def __init__(self, folder: str, options: TantivyOptions, environment: Environment) -> None:
        self.capabilities: frozenset[SearchCapability] = frozenset({SearchCapability.DURABLE, SearchCapability.VECTORS})
        self.folder: Path = Path(folder).absolute()
        self._memory = max(15 << 20, int(options.memory))
        self._environment = environment
        self._low_water = LowWater(str(self.folder), options.low_water, environment, _free_bytes)
        self._lock: FolderLock | None = None
        self._catalogue = Catalogue(self.folder)
        self._indexes: dict[str, OpenIndex] = {}
        self._groups: dict[str, Groups] = {}
        self._writing: ThreadPoolExecutor | None = None
        self._reading: ThreadPoolExecutor | None = None
        self._changing = asyncio.Lock()

    async def start(self) -> None:
        lock = FolderLock(str(self.folder))
        try:
            check_format(str(self.folder))
            self._writing = ThreadPoolExecutor(1, thread_name_prefix="soundstage-search-write")
            self._reading = ThreadPoolExecutor(_READERS, thread_name_prefix="soundstage-search-read")
            await self._written(self._load)
        except BaseException:
            await self._shut_down()
            lock.release()
            raise
        self._lock = lock

    async def stop(self) -> None:
        await self._shut_down()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def warning(self) -> str | None:
        """What should be seen to, though indexes are searched; None while all is well."""
        return self._low_water.warning

    def announce(self, url: str | None) -> None:
        """Whoever finds the folder held is told this address."""
        if self._lock is not None:
            self._lock.announce(url)

    async def create_index(self, spec: IndexSpec) -> None:
        self._check_open()
        check_spec(spec, self.capabilities)
        await to_the_end(self._create(spec))

    async def _create(self, spec: IndexSpec) -> None:
        async with self._changing:
            contents = self._catalogue.contents
            if spec.name in contents.aliases:
                raise refusals.name_taken(spec.name, "an alias")
            known = contents.indexes.get(spec.name)
            if known is not None:
                if known.spec != spec:
                    raise refusals.other_fields(spec)
                return
            if len(contents.indexes) >= INDEXES_MAX:
                raise refusals.too_many("indexes in an engine", INDEXES_MAX, "name")
            self._low_water.check(0)
            self._took(spec.name, await self._written(self._made, spec))

    async def drop_index(self, name: str) -> None:
        self._check_open()
        check_name(name)
        await to_the_end(self._drop(name))

    async def _drop(self, name: str) -> None:
        async with self._changing:
            if name in self._catalogue.contents.aliases:
                raise refusals.is_alias(name)
            if name in self._indexes:
                # First where it may fail: what could not be dropped is there as before.
                placed = await self._written(self._catalogue.remove, name)
                index = self._indexes.pop(name)
                await self._groups.pop(name).stop()
                await self._written(self._cleared, placed, index)

    async def indexes(self) -> list[IndexInfo]:
        self._check_open()
        contents = self._catalogue.contents
        return [
            IndexInfo(
                spec=contents.indexes[name].spec,
                aliases=sorted(alias for alias, index in contents.aliases.items() if index == name),
            )
            for name in sorted(contents.indexes)
        ]

    async def point(self, alias: str, index: str | None) -> None:
        self._check_open()
        check_name(alias, "alias")
        await to_the_end(self._point(alias, index))

    async def _point(self, alias: str, index: str | None) -> None:
        async with self._changing:
            if alias in self._indexes:
                raise refusals.name_taken(alias, "an index")
            target = None if index is None else self._index(index).spec.name
            await self._written(self._catalogue.point, alias, target)

    async def bulk(self, index: str, actions: Sequence[Action], *, deadline_ns: int | None = None) -> list[Outcome]:
        found = self._index(index, deadline_ns)
        prepared = prepare(found.spec, actions)
        if not prepared:
            return []
        if any(each.fields is not None for each in prepared):
            self._low_water.check(sum(len(each.body) for each in prepared))
        return await self._groups[found.spec.name].apply(prepared, deadline_ns)

    async def get(self, index: str, ids: Sequence[str], *, deadline_ns: int | None = None) -> list[Document | None]:
        found = self._index(index, deadline_ns)
        check_ids(ids)
        return await self._read(found.get, ids)

    async def search(self, index: str, request: Request, *, deadline_ns: int | None = None) -> Page:
        found = self._index(index, deadline_ns)
        return await self._read(found.search, check_request(found.spec, request))

    async def nearest(self, index: str, request: Nearest, *, deadline_ns: int | None = None) -> list[Hit]:
        found = self._index(index, deadline_ns)
        return await self._read(found.nearest, check_nearest(found.spec, request))

    async def refresh(self, index: str, *, deadline_ns: int | None = None) -> None:
        # What was acknowledged has been committed, and what has been committed is visible.
        self._index(index, deadline_ns)

    async def delete_where(
        self, index: str, query: Query, *, limit: int = DELETE_MAX, deadline_ns: int | None = None
    ) -> int:
        found = self._index(index, deadline_ns)
        asked = check_deletion(found.spec, query, limit)
        return await self._written(found.delete_where, asked, limit)

    def _load(self) -> dict[str, OpenIndex]:
        self._catalogue.load()
        for name, placed in self._catalogue.contents.indexes.items():
            self._took(name, OpenIndex(self._catalogue.place(placed), placed.spec, self._memory))
        return self._indexes

    def _took(self, name: str, index: OpenIndex) -> None:
        def apply(calls: Sequence[Sequence[Prepared]]) -> Awaitable[list[list[Outcome]]]:
            return self._written(index.apply, calls)

        self._indexes[name] = index
        self._groups[name] = Groups(apply, self._environment)

    def _made(self, spec: IndexSpec) -> OpenIndex:
        placed = self._catalogue.reserve(spec)
        made = OpenIndex(self._catalogue.place(placed), spec, self._memory, new=True)
        self._catalogue.add(placed)
        return made

    def _cleared(self, placed: Placed, index: OpenIndex) -> None:
        index.close()
        self._catalogue.clear(placed)

    def _index(self, name: str, deadline_ns: int | None = None) -> OpenIndex:
        self._check_open()
        if deadline_ns is not None and self._environment.monotonic_ns() >= deadline_ns:
            raise refusals.deadline_passed()
        found = self._indexes.get(self._catalogue.contents.aliases.get(name, name))
        if found is None:
            check_name(name, "index")
            raise refusals.no_index(name)
        return found

    async def _read(self, call: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
        return await self._run(self._reading, call, *args, **more)

    async def _written(self, call: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
        return await self._run(self._writing, call, *args, **more)

    async def _run(
        self, executor: ThreadPoolExecutor | None, call: Callable[P, T], *args: P.args, **more: P.kwargs
    ) -> T:
        if executor is None:
            raise refusals.stopped()
        bound = partial(translated, self.folder, call, *args, **more)
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, bound)
        except RuntimeError:
            # The executor was shut down meanwhile.
            raise refusals.stopped() from None

    async def _shut_down(self) -> None:
        writing, reading, self._writing, self._reading = self._writing, self._reading, None, None
        for groups in self._groups.values():
            await groups.stop()
        for executor in (writing, reading):
            if executor is not None:
                await asyncio.get_running_loop().run_in_executor(None, executor.shutdown)
        indexes, self._indexes, self._groups = self._indexes, {}, {}
        for index in indexes.values():
            with suppress(Exception):
                await asyncio.get_running_loop().run_in_executor(None, index.close)

    def _check_open(self) -> None:
        if self._writing is None:
            raise refusals.stopped()


def _free_bytes(folder: str) -> int:
    return shutil.disk_usage(folder).free
