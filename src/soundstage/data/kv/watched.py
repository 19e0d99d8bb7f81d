"""The records of a namespace whose changes are watched: every write of theirs is in a log too.

Where records and log are of one folder, both are in one batch. Elsewhere the log is first: what it has may be a write
whose caller was told of a failure, and never lacks one that was acknowledged. Reads cost nothing.
"""

from __future__ import annotations

from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument
from soundstage.data.changes.topics import ChangeTopic, Elsewhere
from soundstage.data.kv.changes import entries_of, entry_of_truncation
from soundstage.engines.log.port import Appending, Applying
from soundstage.engines.records.passing import PassingRecords
from soundstage.engines.records.port import Batch, Cell, Conditional, Records
from soundstage.runtime.service import Logs, NamespaceView

TOPICS = "kv/changes/"
"""What the names of all topics of changes begin with; the generation of the namespace follows."""

LOG_KNOB = "systems.kv.changes_log"


class ChangeLog(ChangeTopic):
    """Where the changes of one namespace go."""

    def __init__(self, view: NamespaceView, logs: Logs, elsewhere: str, environment: Environment) -> None:
        super().__init__(TOPICS, view, logs, Elsewhere(elsewhere, LOG_KNOB), environment)

    async def apply(
        self, table: str, partition: bytes, batch: Batch, conditional: Conditional | None, deadline_ns: int | None
    ) -> int:
        """See `Records.apply`; the log has the write, unless it is refused."""
        return await self.attempt(lambda: self._apply(table, partition, batch, conditional, deadline_ns))

    async def _apply(
        self, table: str, partition: bytes, batch: Batch, conditional: Conditional | None, deadline_ns: int | None
    ) -> int:
        entries = entries_of(partition, batch)
        log = await self.together()
        if log is not None:
            stamped = None if conditional is None else 0
            done = await log.write_together(
                [Applying(table=table, partition=partition, batch=batch, conditional=conditional)],
                [Appending(topic=self.topic, entries=entries, stamped=stamped)],
                deadline_ns=deadline_ns,
            )
            return done.stamps[0]
        if conditional is not None:
            raise InvalidArgument(
                "the namespace is watched, and its engine cannot write a change and tell of it in one step",
                field="condition",
                hint="leave out the condition: one that fails must not be told of",
            )
        deadline_ns = await self.tell(entries, deadline_ns)
        return await self._records.apply(table, partition, batch, deadline_ns=deadline_ns)

    async def tell_truncated(self, cell: Cell, deadline_ns: int | None = None) -> None:
        """Every part of the topic says that all records of the cell's version, or of one before it, are gone."""
        log = await self.open()
        for number in range(self.partitions):
            await log.append(self.topic, [entry_of_truncation(cell)], partition=number, deadline_ns=deadline_ns)


class WatchedRecords(PassingRecords):
    """`records`, of whose `table` every write goes through `changes`. All else is as ever."""

    def __init__(self, records: Records, table: str, changes: ChangeLog) -> None:
        super().__init__(records)
        self._table = table
        self._changes = changes

    async def apply(
        self,
        table: str,
        partition: bytes,
        batch: Batch,
        *,
        conditional: Conditional | None = None,
        deadline_ns: int | None = None,
    ) -> int:
        """See `Records.apply`."""
        if table == self._table:
            return await self._changes.apply(table, partition, batch, conditional, deadline_ns)
        return await self._records.apply(table, partition, batch, conditional=conditional, deadline_ns=deadline_ns)
