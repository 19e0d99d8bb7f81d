"""Where the changes of a namespace go: a topic of its own.

Where records and log are of one folder, both are written in one batch. Elsewhere the log is first: what it has may be a
write whose caller was told of a failure, and never lacks one that was acknowledged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple, TypeVar

from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument, NotFound
from soundstage.data.changes.knobs import WatchKnobs
from soundstage.engines.log.port import AtomicWithLog, Entry, Log, LogCapability, TopicSpec
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Capability
from soundstage.runtime.service import Logs, NamespaceView

R = TypeVar("R")


class Elsewhere(NamedTuple):
    """The engine whose log is taken where records have none beside them, and the knob that names it."""

    name: str
    knob: str


class ChangeTopic:
    """The topic of the changes of one namespace, made when it is first used. `topics` is what its name begins with."""

    def __init__(
        self, topics: str, view: NamespaceView, logs: Logs, elsewhere: Elsewhere, environment: Environment
    ) -> None:
        knobs: WatchKnobs = view.config
        self.topic: str = f"{topics}{view.generation}-{view.name}"
        self.partitions: int = knobs.watch_partitions
        self._spec = TopicSpec(
            name=self.topic,
            partitions=knobs.watch_partitions,
            retention_us=knobs.watch_retention.us,
            retention_bytes=int(knobs.watch_bytes),
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

    async def together(self) -> AtomicWithLog | None:
        """The log, if it writes records and entries in one batch; it has the topic."""
        log = self._opened or await self.open()
        atomic = LogCapability.ATOMIC_WITH_LOG in log.capabilities
        return log if atomic and isinstance(log, AtomicWithLog) else None

    async def tell(self, entries: Sequence[Entry], deadline_ns: int | None) -> int | None:
        """The entries are in the log; the deadline of the write that they tell of, which comes after this."""
        log = self._opened or await self.open()
        if deadline_ns is not None:
            # However long the log takes, the write must not come later than deletes are remembered that hide it.
            deadline_ns = min(deadline_ns, self._environment.monotonic_ns() + IN_FLIGHT_MAX_US * 1_000)
        await log.append(self.topic, entries, deadline_ns=deadline_ns)
        return deadline_ns

    async def attempt(self, write: Callable[[], Awaitable[R]]) -> R:
        """What `write` returns. Of a topic that somebody dropped the next one makes another."""
        try:
            return await write()
        except NotFound:
            self._opened = None
            raise

    def _log(self) -> Log:
        beside = self._logs.beside(self._records)
        if beside is not None and LogCapability.ATOMIC_WITH_LOG in beside.capabilities:
            return beside
        return _log_of_all(self._records.capabilities, self._logs, self._elsewhere)


def check_reach(capabilities: frozenset[str], logs: Logs, elsewhere: Elsewhere) -> None:
    """Raise `InvalidArgument` where others write to the records of an engine and could not tell of it in the log.

    `capabilities` are those of the engine of records; one that writes records and log in one batch has both. The field
    of the error is the namespace's own knob, for whoever asks for one has no other at hand.
    """
    if not capabilities & {Capability.SHARED, Capability.HOSTED} or Capability.ATOMIC_WITH_LOG in capabilities:
        return
    try:
        _log_of_all(capabilities, logs, elsewhere)
    except InvalidArgument as error:
        if error.field != elsewhere.knob:
            raise
        raise InvalidArgument(f"{error.detail} (knob {elsewhere.knob})", field="watch", hint=error.hint) from None


def _log_of_all(capabilities: frozenset[str], logs: Logs, elsewhere: Elsewhere) -> Log:
    """The log `elsewhere`, which all have that may write to records of an engine with those `capabilities`."""
    log = logs.log(elsewhere.name, elsewhere.knob)
    if Capability.SHARED in capabilities:
        fits = LogCapability.SHARED in log.capabilities
    else:
        fits = Capability.HOSTED not in capabilities or log.capabilities & {LogCapability.SHARED, LogCapability.HOSTED}
    if fits:
        return log
    raise InvalidArgument(
        f"other servers may write to the namespace, and not all of them have the log {elsewhere.name!r}: who follows "
        "would not be told of all that is written",
        field="watch",
        hint=f"set {elsewhere.knob} to a log that all of them share, such as Kafka, or the one of the process that has "
        "the records (`host:`); or leave out watch",
    )


async def drop_topics(logs: Logs, topics: str, generations: Collection[int], suspects: Collection[str]) -> set[str]:
    """Topics named `topics` of no namespace of those generations; those among them that are `suspects` are dropped.

    Those on servers stay, and empty themselves: they may be another stage's.
    """
    found: set[str] = set()
    for log in logs.distinct_logs().values():
        if LogCapability.EXACT not in log.capabilities:
            continue
        for spec in await log.topics():
            if spec.name.startswith(topics) and generation_of(spec.name, topics) not in generations:
                found.add(spec.name)
                if spec.name in suspects:
                    await log.drop_topic(spec.name)
    return found


def generation_of(topic: str, topics: str) -> int:
    """The generation of the namespace whose changes are in that topic; 0 for a name that no namespace has."""
    number = topic.removeprefix(topics).partition("-")[0]
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 16 else 0
