"""The records of a namespace whose changes are watched: every write of theirs is in a log too.

Where records and log are of one folder, both are in one batch. Elsewhere the log is first: what it has may be a write
whose caller was told of a failure, and never lacks one that was acknowledged. Reads cost nothing.
"""

from __future__ import annotations

from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument, NotFound
from soundstage.data.kv.changes import entries_of, entry_of_truncation
from soundstage.data.kv.config import NamespaceConfig
from soundstage.engines.log.port import Appending, Applying, AtomicWithLog, Log, LogCapability, TopicSpec
from soundstage.engines.records.passing import PassingRecords
from soundstage.engines.records.port import (
    IN_FLIGHT_MAX_US,
    Batch,
    Capability,
    Cell,
    Conditional,
    Records,
)
from soundstage.runtime.service import Logs, NamespaceView

TOPICS = "kv/changes/"
"""What the names of all topics of changes begin with; the generation of the namespace follows."""

LOG_KNOB = "systems.kv.changes_log"


class ChangeLog:
    """Where the changes of one namespace go: a topic of its own, made when it is first used."""

    def __init__(self, view: NamespaceView, logs: Logs, elsewhere: str, environment: Environment) -> None:
        config: NamespaceConfig = view.config
        self.topic: str = f"{TOPICS}{view.generation}-{view.name}"
        self.partitions: int = config.watch_partitions
        self._spec = TopicSpec(
            name=self.topic,
            partitions=config.watch_partitions,
            retention_us=config.watch_retention.us,
            retention_bytes=int(config.watch_bytes),
        )
        self._records = view.records
        self._logs = logs
        self._elsewhere = elsewhere
        self._environment = environment
        self._opened: Log | None = None

    async def open(self) -> Log:
        """The log, which has the topic. Raises `InvalidArgument` where the stage has no such log."""
        log = self._log()
        await log.create_topic(self._spec)
        self._opened = log
        return log

    async def apply(
        self, table: str, partition: bytes, batch: Batch, conditional: Conditional | None, deadline_ns: int | None
    ) -> int:
        """See `Records.apply`; the log has the write, unless it is refused."""
        try:
            return await self._apply(table, partition, batch, conditional, deadline_ns)
        except NotFound:
            # Of a topic that somebody dropped the next write makes another.
            self._opened = None
            raise

    async def _apply(
        self, table: str, partition: bytes, batch: Batch, conditional: Conditional | None, deadline_ns: int | None
    ) -> int:
        entries = entries_of(partition, batch)
        log = self._opened or await self.open()
        if LogCapability.ATOMIC_WITH_LOG in log.capabilities and isinstance(log, AtomicWithLog):
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
        if deadline_ns is not None:
            # However long the log takes, the write must not come later than deletes are remembered that hide it.
            deadline_ns = min(deadline_ns, self._environment.monotonic_ns() + IN_FLIGHT_MAX_US * 1_000)
        await log.append(self.topic, entries, deadline_ns=deadline_ns)
        return await self._records.apply(table, partition, batch, deadline_ns=deadline_ns)

    async def tell_truncated(self, cell: Cell, deadline_ns: int | None = None) -> None:
        """Every part of the topic says that all records of the cell's version, or of one before it, are gone."""
        log = await self.open()
        for number in range(self.partitions):
            await log.append(self.topic, [entry_of_truncation(cell)], partition=number, deadline_ns=deadline_ns)

    def _log(self) -> Log:
        beside = self._logs.beside(self._records)
        if beside is not None and LogCapability.ATOMIC_WITH_LOG in beside.capabilities:
            return beside
        return _log_of_all(self._records.capabilities, self._logs, self._elsewhere)


def check_reach(capabilities: frozenset[str], logs: Logs, elsewhere: str) -> None:
    """Raise `InvalidArgument` where others write to the records of an engine and could not tell of it in the log.

    `capabilities` are those of the engine of records; one that writes records and log in one batch has both.
    """
    if capabilities & {Capability.SHARED, Capability.HOSTED} and Capability.ATOMIC_WITH_LOG not in capabilities:
        _log_of_all(capabilities, logs, elsewhere)


def _log_of_all(capabilities: frozenset[str], logs: Logs, elsewhere: str) -> Log:
    """The log `elsewhere`, which all have that may write to records of an engine with those `capabilities`."""
    log = logs.log(elsewhere, LOG_KNOB)
    if Capability.SHARED in capabilities:
        fits = LogCapability.SHARED in log.capabilities
    else:
        fits = Capability.HOSTED not in capabilities or log.capabilities & {LogCapability.SHARED, LogCapability.HOSTED}
    if fits:
        return log
    raise InvalidArgument(
        f"other servers may write to the namespace, and not all of them have the log {elsewhere!r}: who follows "
        "would not be told of all that is written",
        field="watch",
        hint=f"set {LOG_KNOB} to a log that all of them share, such as Kafka, or the one of the process that has the "
        "records (`host:`); or leave out watch",
    )


def is_of_changes(topic: str) -> bool:
    """Whether a topic is one of a `ChangeLog`."""
    return topic.startswith(TOPICS)


def generation_of(topic: str) -> int:
    """The generation of the namespace whose changes are in that topic; 0 for a name that no namespace has."""
    number = topic.removeprefix(TOPICS).partition("-")[0]
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 16 else 0


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
