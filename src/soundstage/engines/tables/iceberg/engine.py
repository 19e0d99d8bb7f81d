"""The tables port on Iceberg.

The driver blocks, so each step of a call is one piece of work for a thread of the engine. A change that another was
quicker than is made again from the state that the other has left; rows that it wrote stay written for that.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted, SoundstageError
from soundstage.core.ids import uuid4_hex
from soundstage.core.turns import Turns
from soundstage.engines.tables import refusals
from soundstage.engines.tables.arrow import Touched, checked
from soundstage.engines.tables.evolution import evolved
from soundstage.engines.tables.filters import ALL, Filter
from soundstage.engines.tables.iceberg import changes as edits
from soundstage.engines.tables.iceberg import upkeep
from soundstage.engines.tables.iceberg.changes import Call
from soundstage.engines.tables.iceberg.driver import catalog, database, exceptions
from soundstage.engines.tables.iceberg.failures import Overtaken, busy
from soundstage.engines.tables.iceberg.files import NAME as DURABLE_FILES
from soundstage.engines.tables.iceberg.options import Address
from soundstage.engines.tables.iceberg.reading import batches_of, planned
from soundstage.engines.tables.iceberg.threads import Job, Threads, Undo
from soundstage.engines.tables.iceberg.translation import branches_of, line, partitions_of, schema_of, spec_of
from soundstage.engines.tables.iceberg.work import Tries, Work
from soundstage.engines.tables.port import (
    MAIN,
    NOW,
    SNAPSHOTS_MAX,
    ArrowStream,
    At,
    ColumnChange,
    RecordBatch,
    Snapshot,
    TableCapability,
    TableInfo,
    TableSpec,
    check_at,
    check_branch,
    check_limit,
    check_name,
    check_spec,
    check_summary,
)

T = TypeVar("T")

NAMELESS = "_"
"""The driver's namespace of tables whose names have no dot; no table's name begins so."""

PAUSE_S, PAUSE_MAX_S = 0.02, 1.0
"""Before a change is made again, about: at first, and at most."""


class IcebergTables:
    """Durable; not for use from several event loops. With a shared catalogue, in several processes at once."""

    def __init__(self, address: Address, environment: Environment, *, durable: bool = True) -> None:
        told = {TableCapability.BRANCHES, TableCapability.UPKEEP, TableCapability.FILES}
        told |= {TableCapability.DURABLE} if durable else set()
        told |= {TableCapability.SHARED} if address.shared else set()
        self.capabilities: frozenset[TableCapability] = frozenset(told)
        self._address = address
        self._environment = environment
        self._durable = durable
        self._catalogue: Any = None
        self._threads = Threads(address.options.threads, environment)
        self._turns = Turns[str]()

    @property
    def warning(self) -> str | None:
        """Why the catalogue or its folder did not do what was asked last; None when it has done something since."""
        return self._threads.trouble

    async def start(self) -> None:
        self._threads.start()
        try:
            self._catalogue = await self._run("", self._connect, reading=True)
        except BaseException:
            await self._threads.stop()
            raise

    async def stop(self) -> None:
        await self._threads.stop()
        found, self._catalogue = self._catalogue, None
        if found is not None:
            found.close()

    async def create(self, spec: TableSpec, *, deadline_ns: int | None = None) -> TableInfo:
        self._check_open()
        check_spec(spec)
        place = f"{self._address.warehouse}/{spec.name}-{uuid4_hex(self._environment)[:12]}"

        def work(check: Work) -> TableInfo:
            space, name = _identifier(spec.name)
            check.commits()
            if not self._catalogue.namespace_exists(space):
                with suppress(exceptions.NamespaceAlreadyExistsError):
                    self._catalogue.create_namespace(space)
            self._catalogue.create_table(
                (space, name),
                schema_of(spec.columns),
                location=f"file://{place}",
                partition_spec=partitions_of(spec),
                properties=self._properties(),
            )
            return self._info(spec.name)

        return await self._run(spec.name, work, deadline_ns=deadline_ns)

    async def drop(self, name: str, *, deadline_ns: int | None = None) -> bool:
        self._check_open()
        check_name(name)

        def work(check: Work) -> bool:
            try:
                folder = upkeep.folder_of(self._load(name).metadata)
                check.commits()
                self._catalogue.drop_table(_identifier(name))
            except exceptions.NoSuchTableError:
                return False
            shutil.rmtree(folder, ignore_errors=True)
            return True

        return await self._run(name, work, deadline_ns=deadline_ns)

    async def tables(self, *, deadline_ns: int | None = None) -> list[str]:
        self._check_open()

        def work(_: Work) -> list[str]:
            found: list[str] = []
            for (space,) in self._catalogue.list_namespaces():
                found += [_named(space, name) for *_, name in self._catalogue.list_tables(space)]
            return sorted(found)

        return await self._run("", work, reading=True, deadline_ns=deadline_ns)

    async def info(self, name: str, *, deadline_ns: int | None = None) -> TableInfo:
        self._check_open()
        check_name(name)
        return await self._run(name, lambda _: self._info(name), reading=True, deadline_ns=deadline_ns)

    async def append(
        self,
        name: str,
        data: ArrowStream,
        *,
        branch: str = MAIN,
        summary: Mapping[str, str] = MappingProxyType({}),
        expect: int | None = None,
        deadline_ns: int | None = None,
    ) -> Snapshot:
        call = self._call(name, branch, expect, "append", summary)

        def write(check: Work) -> tuple[Any, list[Any]]:
            table = self._load(name)
            edits.head_of(table, call)
            return table, edits.written(table, call, data, check)

        table, files = await self._run(name, write, deadline_ns=deadline_ns, undo=lambda made: edits.discard(*made))

        def add(found: Any, check: Work) -> Snapshot:
            edits.check_same(found, call, table)
            with tries.by(check):
                return edits.appended(found, call, files, check)

        async with self._unless_lost(table, files, deadline_ns) as tries:
            with suppress(Overtaken):
                # The table as it was loaded, if nobody has changed it since.
                return await self._in_turn(name, lambda check: add(table, check), deadline_ns)
            return await self._changed(name, add, deadline_ns)

    async def overwrite(
        self,
        name: str,
        data: ArrowStream,
        where: Filter | None = None,
        *,
        branch: str = MAIN,
        summary: Mapping[str, str] = MappingProxyType({}),
        expect: int | None = None,
        deadline_ns: int | None = None,
    ) -> Snapshot:
        call = self._call(name, branch, expect, "overwrite", summary)

        def write(check: Work) -> tuple[Any, list[Any], Filter | None]:
            table = self._load(name)
            edits.head_of(table, call)
            spec = spec_of(name, table.metadata)
            if where is not None:
                gone = checked(where, spec.columns)
                return table, edits.written(table, call, data, check), gone
            touched = Touched(spec.partitions)
            files = edits.written(table, call, data, check, touched)
            return table, files, touched.filter()

        table, files, gone = await self._run(
            name, write, deadline_ns=deadline_ns, undo=lambda made: edits.discard(*made[:2])
        )

        def replace(found: Any, check: Work) -> Snapshot:
            edits.check_same(found, call, table)
            with tries.by(check):
                return edits.overwritten(found, call, files, gone, check)

        async with self._unless_lost(table, files, deadline_ns) as tries:
            return await self._changed(name, replace, deadline_ns)

    async def delete(
        self,
        name: str,
        where: Filter,
        *,
        branch: str = MAIN,
        summary: Mapping[str, str] = MappingProxyType({}),
        expect: int | None = None,
        deadline_ns: int | None = None,
    ) -> Snapshot | None:
        call = self._call(name, branch, expect, "delete", summary)

        def work(table: Any, check: Work) -> Snapshot | None:
            gone = checked(where, spec_of(name, table.metadata).columns)
            return edits.deleted(table, call, gone, check)

        return await self._changed(name, work, deadline_ns)

    async def scan(
        self,
        name: str,
        where: Filter = ALL,
        *,
        columns: Sequence[str] | None = None,
        at: At = NOW,
        limit: int | None = None,
        deadline_ns: int | None = None,
    ) -> AsyncGenerator[RecordBatch]:
        self._check_open()
        check_name(name)
        check_at(at)
        check_limit(limit)
        plan = await self._run(
            name, lambda _: planned(name, self._load(name), where, columns, at), reading=True, deadline_ns=deadline_ns
        )
        left = limit
        ahead: deque[asyncio.Task[list[Any]]] = deque()
        tasks = iter(plan.tasks)
        try:
            while left != 0:
                while len(ahead) < self._address.options.threads and (task := next(tasks, None)) is not None:
                    read = self._run(
                        name,
                        lambda check, task=task: batches_of(plan, task, check),
                        reading=True,
                        deadline_ns=deadline_ns,
                    )
                    ahead.append(asyncio.ensure_future(read))
                if not ahead:
                    return
                for batch in await ahead.popleft():
                    self._check_open()
                    self._threads.left_s(deadline_ns)
                    wanted = batch if left is None else batch.slice(0, left)
                    left = left if left is None else left - wanted.num_rows
                    yield wanted
                    if left == 0:
                        return
        finally:
            for each in ahead:
                each.cancel()
            await asyncio.gather(*ahead, return_exceptions=True)

    async def evolve(self, name: str, changes: Sequence[ColumnChange], *, deadline_ns: int | None = None) -> TableInfo:
        self._check_open()
        check_name(name)

        def work(table: Any, check: Work) -> TableInfo:
            spec = spec_of(name, table.metadata)
            evolved(spec, changes)
            edits.evolve(table, spec, changes, check)
            return self._info(name)

        return await self._changed(name, work, deadline_ns)

    async def snapshots(
        self, name: str, branch: str = MAIN, limit: int = SNAPSHOTS_MAX, *, deadline_ns: int | None = None
    ) -> list[Snapshot]:
        self._check_open()
        check_name(name)
        check_branch(branch)
        check_limit(limit)

        def work(_: Work) -> list[Snapshot]:
            metadata = self._load(name).metadata
            head = branches_of(metadata).get(branch)
            if head is None:
                raise refusals.no_branch(name, branch)
            return list(islice(line(metadata, head), min(limit, SNAPSHOTS_MAX)))

        return await self._run(name, work, reading=True, deadline_ns=deadline_ns)

    async def point(
        self, name: str, branch: str, snapshot: int, *, expect: int | None = None, deadline_ns: int | None = None
    ) -> None:
        self._check_open()
        check_name(name)
        check_branch(branch)
        await self._changed(
            name, lambda table, check: edits.point(table, name, branch, snapshot, expect, check), deadline_ns
        )

    async def drop_branch(self, name: str, branch: str, *, deadline_ns: int | None = None) -> bool:
        self._check_open()
        check_name(name)
        if check_branch(branch) == MAIN:
            raise refusals.main_stays()

        def work(table: Any, check: Work) -> bool:
            if branch not in branches_of(table.metadata):
                return False
            check.commits()
            table.manage_snapshots().remove_branch(branch).commit()
            return True

        return await self._changed(name, work, deadline_ns)

    async def compact(
        self, name: str, *, branch: str = MAIN, small_bytes: int = 32 << 20, deadline_ns: int | None = None
    ) -> Snapshot | None:
        call = self._call(name, branch, None, "compact", {})
        # Parquet's rows are several times as large in memory.
        together = self._address.options.file // 4

        def gather(check: Work) -> upkeep.Gathered:
            return upkeep.gathered(self._load(name), call, small_bytes, together, check)

        async def attempt() -> Snapshot | None:
            # Rows are read and written before it is this one's turn, so that writers wait for the commit alone.
            files = await self._run(
                name, gather, deadline_ns=deadline_ns, undo=lambda made: edits.discard(made.table, made.new)
            )
            if not files.old:
                return None

            def replace(check: Work) -> Snapshot:
                with tries.by(check):
                    return upkeep.compacted(self._load(name), call, files, check)

            async with self._unless_lost(files.table, files.new, deadline_ns) as tries:
                return await self._in_turn(name, replace, deadline_ns)

        return await self._tried(name, attempt, deadline_ns)

    async def expire(self, name: str, before_us: int, keep: int = 1, *, deadline_ns: int | None = None) -> int:
        self._check_open()
        check_name(name)
        return await self._changed(
            name, lambda table, check: upkeep.expired(table, before_us, keep, check), deadline_ns
        )

    async def clean(self, name: str, before_us: int, *, deadline_ns: int | None = None) -> int:
        self._check_open()
        check_name(name)
        return await self._run(
            name, lambda check: upkeep.cleaned(self._load(name), before_us, check), deadline_ns=deadline_ns
        )

    async def location(self, name: str, *, deadline_ns: int | None = None) -> str:
        """The address of the Iceberg metadata of the table as it is, to be read and not to be written."""
        self._check_open()
        check_name(name)
        return await self._run(
            name, lambda _: str(self._load(name).metadata_location), reading=True, deadline_ns=deadline_ns
        )

    async def server_version(self) -> str:
        """What the tables are of."""
        self._check_open()
        return f"Iceberg 2, catalogue on {self._catalogue.engine.dialect.name}"

    @asynccontextmanager
    async def _unless_lost(self, table: Any, files: Sequence[Any], deadline_ns: int | None) -> AsyncGenerator[Tries]:
        """Files that were written for a change are gone when the tries in the block surely did not make it."""
        tries = Tries()
        try:
            yield tries
        except (Overtaken, SoundstageError, asyncio.CancelledError) as error:
            if tries.were_in_vain(error):
                await self._threads.aside(partial(edits.discard, table, files), deadline_ns)
            raise

    async def _changed(self, name: str, work: Callable[[Any, Work], T], deadline_ns: int | None) -> T:
        """What `work` comes to on the table as it then is, done again while others are quicker."""

        def attempt() -> Awaitable[T]:
            return self._in_turn(name, lambda check: work(self._load(name), check), deadline_ns)

        return await self._tried(name, attempt, deadline_ns)

    async def _tried(self, name: str, attempt: Callable[[], Awaitable[T]], deadline_ns: int | None) -> T:
        """What `attempt` comes to, made again while others are quicker."""
        pause_s = PAUSE_S
        for _ in range(self._address.options.tries):
            try:
                return await attempt()
            except Overtaken:
                left_s = self._threads.left_s(deadline_ns)
                wanted_s = pause_s * self._environment.random.uniform(0.5, 1.0)
                await self._environment.sleep(wanted_s if left_s is None else min(wanted_s, left_s))
                pause_s = min(PAUSE_MAX_S, pause_s * 2)
        raise Exhausted(
            f"others changed the table {name!r} at each of {self._address.options.tries} tries",
            hint="change it less often, or in larger pieces",
            retry_after_ms=1_000,
            outcome="not_applied",
        )

    async def _in_turn(self, name: str, work: Callable[[Work], T], deadline_ns: int | None) -> T:
        """In this process changes of one table wait for each other, without a thread, rather than be made twice."""
        with self._threads.asked():
            async with self._turns.at(name, self._threads.left_s(deadline_ns)):
                return await self._threads.run(name, work, deadline_ns=deadline_ns)

    async def _run(
        self, table: str, work: Job[T], *, reading: bool = False, deadline_ns: int | None = None, undo: Undo[T] = None
    ) -> T:
        """What `work` comes to in a thread, once."""
        with self._threads.asked():
            try:
                return await self._threads.run(table, work, reading=reading, deadline_ns=deadline_ns, undo=undo)
            except Overtaken as error:
                raise busy(table) from error

    def _opened(self) -> Any:
        Path(self._address.warehouse).mkdir(parents=True, exist_ok=True)
        properties = {"uri": self._address.database, "warehouse": f"file://{self._address.warehouse}"}
        if self._durable:
            properties["py-io-impl"] = DURABLE_FILES
        if self._address.shared:
            from soundstage.engines.tables.iceberg.connections import shared_catalogue

            return shared_catalogue(self._address, properties, self._environment)
        return catalog.SqlCatalog(self._address.options.catalogue, **properties)

    def _connect(self, _: Work) -> Any:
        try:
            return self._opened()
        except database.SQLAlchemyError as error:
            if "already exists" not in str(error):
                raise
            # Another process opens it for the first time at this moment, and was quicker to make what is in it.
            return self._opened()

    def _properties(self) -> dict[str, str]:
        """Of a table that is made. Commits are tried again here, where it is known what may be."""
        return {
            "format-version": "2",
            "commit.retry.num-retries": "0",
            "write.target-file-size-bytes": str(int(self._address.options.file)),
            "write.metadata.delete-after-commit.enabled": "true",
        }

    def _load(self, name: str) -> Any:
        return self._catalogue.load_table(_identifier(name))

    def _info(self, name: str) -> TableInfo:
        metadata = self._load(name).metadata
        return TableInfo(spec=spec_of(name, metadata), branches=branches_of(metadata))

    def _call(self, name: str, branch: str, expect: int | None, change: str, said: Mapping[str, str]) -> Call:
        self._check_open()
        check_name(name)
        fresh = partial(uuid4_hex, self._environment)
        return Call(name, check_branch(branch), expect, change, check_summary(said), fresh(), fresh)

    def _check_open(self) -> None:
        self._threads.check_open()


def _identifier(name: str) -> tuple[str, str]:
    space, _, last = name.rpartition(".")
    return (space or NAMELESS), last


def _named(space: str, name: str) -> str:
    return name if space == NAMELESS else f"{space}.{name}"
