"""Engines of tables with one mistake each, and what of the suite sees it, in a run of pytest of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from tests.testing.examination import Examination

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.tables.filters import ALL, Filter, Opposite
from soundstage.engines.tables.memory import MemoryTables
from soundstage.engines.tables.port import (
    NOW,
    AddColumn,
    At,
    ColumnChange,
    RenameColumn,
    Snapshot,
    TableInfo,
    TableSpec,
    check_spec,
)

SUBJECT = Path(__file__).with_name("subject.py")


class Careless(MemoryTables):
    """Makes what it is asked for, whatever it is."""

    async def create(self, spec: TableSpec, **more: Any) -> TableInfo:
        await self.drop(spec.name)
        return await super().create(check_spec(spec), **more)


class Unsorted(MemoryTables):
    """Lists tables as they come."""

    async def tables(self, **more: Any) -> list[str]:
        return (await super().tables(**more))[::-1]


class Replacing(MemoryTables):
    """Appends in place of what was there."""

    async def append(self, name: str, data: Any, **more: Any) -> Snapshot:
        return await super().overwrite(name, data, ALL, **more)


class Silent(MemoryTables):
    """Keeps nothing of what a change says."""

    async def append(self, name: str, data: Any, **more: Any) -> Snapshot:
        more["summary"] = {}
        return await super().append(name, data, **more)


class Trusting(MemoryTables):
    """Changes whatever the snapshot that is expected."""

    async def append(self, name: str, data: Any, **more: Any) -> Snapshot:
        more["expect"] = None
        return await super().append(name, data, **more)


class Busy(MemoryTables):
    """Makes a snapshot of a delete that found nothing."""

    async def delete(self, name: str, where: Filter, **more: Any) -> Snapshot | None:
        made = await super().delete(name, where, **more)
        return made or await super().append(name, _no_rows(self, name))


class Partial(MemoryTables):
    """Deletes one branch of a choice."""

    async def delete(self, name: str, where: Filter, **more: Any) -> Snapshot | None:
        parts = getattr(where, "parts", (where,))
        return await super().delete(name, parts[0], **more)


class Complementary(MemoryTables):
    """Takes the opposite for what is left, missing values too."""

    async def delete(self, name: str, where: Filter, **more: Any) -> Snapshot | None:
        if isinstance(where, Opposite):
            kept = [batch async for batch in self.scan(name, where.of)]
            await super().delete(name, ALL, **more)
            made = None
            for batch in kept:
                made = await self.append(name, _table([batch]))
            return made
        return await super().delete(name, where, **more)


class Emptying(MemoryTables):
    """Replaces all rows, though partitions were meant."""

    async def overwrite(self, name: str, data: Any, where: Filter | None = None, **more: Any) -> Snapshot:
        return await super().overwrite(name, data, ALL if where is None else where, **more)


class Adding(MemoryTables):
    """Replaces nothing."""

    async def overwrite(self, name: str, data: Any, where: Filter | None = None, **more: Any) -> Snapshot:
        return await super().append(name, data, **more)


class Whole(MemoryTables):
    """Gives a table in one batch."""

    async def scan(self, name: str, where: Filter = ALL, **more: Any) -> AsyncGenerator[Any]:
        found = [batch async for batch in super().scan(name, where, **more)]
        if found:
            yield _table(found).combine_chunks().to_batches()[0]


class Unfiltered(MemoryTables):
    """Gives all rows."""

    async def scan(self, name: str, where: Filter = ALL, **more: Any) -> AsyncGenerator[Any]:
        async for batch in super().scan(name, ALL, **more):
            yield batch


class Wordy(MemoryTables):
    """Gives all columns."""

    async def scan(
        self, name: str, where: Filter = ALL, *, columns: Sequence[str] | None = None, **more: Any
    ) -> AsyncGenerator[Any]:
        async for batch in super().scan(name, where, **more):
            yield batch


class Endless(MemoryTables):
    """Knows no limit."""

    async def scan(
        self, name: str, where: Filter = ALL, *, limit: int | None = None, **more: Any
    ) -> AsyncGenerator[Any]:
        async for batch in super().scan(name, where, **more):
            yield batch


class Present(MemoryTables):
    """Knows no past."""

    async def scan(self, name: str, where: Filter = ALL, *, at: At = NOW, **more: Any) -> AsyncGenerator[Any]:
        now = at if at.branch != "main" else NOW
        async for batch in super().scan(name, where, at=now, **more):
            yield batch


class Stale(MemoryTables):
    """Reads the state of the moment it is asked for the next batch."""

    async def scan(self, name: str, where: Filter = ALL, **more: Any) -> AsyncGenerator[Any]:
        given = 0
        while True:
            found = [batch async for batch in super().scan(name, where, **more)]
            if given >= len(found):
                return
            yield found[given]
            given += 1


class Confusing(MemoryTables):
    """Gives a column that is added the values of one of that name that was dropped."""

    async def evolve(self, name: str, changes: Sequence[ColumnChange], **more: Any) -> TableInfo:
        table = self._tables.get(name)
        before = (
            {}
            if table is None
            else dict(zip((each.name for each in table.shape.spec.columns), table.shape.ids, strict=True))
        )
        self._dropped = {**getattr(self, "_dropped", {}), **before}
        info = await super().evolve(name, changes, **more)
        for change in changes:
            if isinstance(change, AddColumn) and change.column.name in self._dropped:
                shape = self._tables[name].shape
                at = [each.name for each in shape.spec.columns].index(change.column.name)
                ids = list(shape.ids)
                ids[at] = self._dropped[change.column.name]
                self._tables[name].shape = shape._replace(ids=tuple(ids))
        return info


class Forgetful(MemoryTables):
    """Loses the values of a column that is renamed."""

    async def evolve(self, name: str, changes: Sequence[ColumnChange], **more: Any) -> TableInfo:
        await super().evolve(name, changes, **more)
        table = self._tables[name]
        for change in changes:
            if isinstance(change, RenameColumn):
                at = [each.name for each in table.shape.spec.columns].index(change.to)
                ids = list(table.shape.ids)
                ids[at] = f"lost-{ids[at]}"
                table.shape = table.shape._replace(ids=tuple(ids))
        return await self.info(name)


class Hasty(MemoryTables):
    """Makes the changes of columns that it can, and then refuses."""

    async def evolve(self, name: str, changes: Sequence[ColumnChange], **more: Any) -> TableInfo:
        for change in changes:
            await super().evolve(name, [change], **more)
        return await super().evolve(name, changes[:0]) if not changes else await self.info(name)


class Orphaning(MemoryTables):
    """Knows no parents."""

    async def snapshots(self, name: str, *more: Any, **others: Any) -> list[Snapshot]:
        found = await super().snapshots(name, *more, **others)
        return [msgspec.structs.replace(each, parent=0) for each in found]


class Backwards(MemoryTables):
    """Lists the first snapshot first."""

    async def snapshots(self, name: str, *more: Any, **others: Any) -> list[Snapshot]:
        return (await super().snapshots(name, *more, **others))[::-1]


class Mainly(MemoryTables):
    """Writes to `main`, whatever the branch."""

    async def append(self, name: str, data: Any, **more: Any) -> Snapshot:
        more["branch"] = "main"
        return await super().append(name, data, **more)


class Pointing(MemoryTables):
    """Points a branch wherever it is."""

    async def point(self, name: str, branch: str, snapshot: int, *, expect: int | None = None, **more: Any) -> None:
        await super().point(name, branch, snapshot, **more)


class Patient(MemoryTables):
    """Knows no deadlines of changes."""

    async def append(self, name: str, data: Any, **more: Any) -> Snapshot:
        more["deadline_ns"] = None
        return await super().append(name, data, **more)


class Unhurried(MemoryTables):
    """Reads on, whatever the time."""

    async def scan(self, name: str, where: Filter = ALL, **more: Any) -> AsyncGenerator[Any]:
        more["deadline_ns"] = None
        async for batch in super().scan(name, where, **more):
            yield batch


class Open(MemoryTables):
    """Answers when it is stopped."""

    async def stop(self) -> None:
        pass


def _table(batches: Sequence[Any]) -> Any:
    import pyarrow as pa

    return pa.Table.from_batches(batches)


def _no_rows(engine: MemoryTables, name: str) -> Any:
    import pyarrow as pa

    from soundstage.engines.tables.arrow import schema_of

    return pa.Table.from_batches([], schema_of(engine._tables[name].shape.spec.columns))


class Mutant(NamedTuple):
    """An engine with a mistake, and a part of the names of tests that must see it."""

    engine: type[MemoryTables]
    seen_by: str


MUTANTS = (
    Mutant(Careless, "made_once"),
    Mutant(Unsorted, "listed_in_order"),
    Mutant(Replacing, "appended_is_read"),
    Mutant(Silent, "tells_of_its_change"),
    Mutant(Trusting, "expect"),
    Mutant(Busy, "delete_of_nothing"),
    Mutant(Partial, "delete_takes"),
    Mutant(Complementary, "delete_takes"),
    Mutant(Emptying, "partitions_it_has_rows_of"),
    Mutant(Adding, "replaced_by_condition"),
    Mutant(Whole, "batches_are_bounded"),
    Mutant(Unfiltered, "filter_holds"),
    Mutant(Wordy, "columns_asked_for"),
    Mutant(Endless, "limit"),
    Mutant(Present, "past"),
    Mutant(Stale, "reads_on"),
    Mutant(Confusing, "name_that_was_dropped"),
    Mutant(Forgetful, "renamed"),
    Mutant(Hasty, "all_made_or_none"),
    Mutant(Orphaning, "tells_of_its_change"),
    Mutant(Backwards, "last_first"),
    Mutant(Mainly, "branch"),
    Mutant(Pointing, "goes_where_it_is_pointed"),
    Mutant(Patient, "deadline"),
    Mutant(Unhurried, "deadline"),
    Mutant(Open, "stopped"),
)


class Run(Examination):
    """A run of the suite over one engine."""

    def __init__(self, engine: Callable[[VirtualEnvironment], MemoryTables]) -> None:
        super().__init__()
        self._engine = engine

    @pytest.fixture
    def made(self) -> MemoryTables:
        return self._engine(VirtualEnvironment())


def failures(engine: type[MemoryTables], part: str) -> Run:
    """The tests whose names have `part`, run over the engine."""
    run = Run(engine)
    run.run(SUBJECT, "-k", part)
    return run
