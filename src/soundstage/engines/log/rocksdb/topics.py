"""The catalogue of topics, kept in the family itself under the number 0."""

from __future__ import annotations

from collections.abc import Generator
from typing import cast

import msgspec
from rocksdict import Rdict, ReadOptions

from soundstage.core.errors import AlreadyExists, InvalidArgument
from soundstage.engines.log import refusals
from soundstage.engines.log.arrivals import check_partition
from soundstage.engines.log.port import TOPICS_MAX, TopicSpec
from soundstage.engines.log.rocksdb.layout import (
    AFTER_TOPICS,
    FAMILY,
    NEXT,
    NUMBER,
    TOPIC_FORMAT,
    TOPICS,
    TopicEntry,
    next_number,
)
from soundstage.engines.log.rocksdb.partition import GATE, Partition, load
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.database import Database, Family, Handle


class Topic:
    """A topic in use, with those of its partitions that were asked for."""

    __slots__ = ("db", "dropped", "entry", "handle", "keyless", "number", "partitions", "spec")

    def __init__(self, entry: TopicEntry, family: Family) -> None:
        self.entry: TopicEntry = entry
        self.spec: TopicSpec = entry.spec
        self.number: bytes = NUMBER.pack(entry.number)
        self.db: Rdict = family.db
        self.handle: Handle = family.handle
        self.partitions: dict[int, Partition] = {}
        self.keyless: int = 0
        self.dropped: bool = False

    def partition(self, number: int) -> Partition:
        """The partition of that number. Raises `InvalidArgument` for one that is not there."""
        found = self.partitions.get(number)
        if found is None:
            found = self.partitions[number] = load(self.db, self.number, check_partition(self.spec, number))
        return found

    def let_go(self) -> None:
        """The topic serves nobody any more and keeps no column family alive, whoever still holds it."""
        self.dropped = True
        self.db = cast("Rdict", None)
        self.handle = cast("Handle", None)


class Catalogue:
    """All topics by name.

    What changes it takes the batch that the change is written with, and holds once that is written. The family is
    made with the first topic, for it costs memory.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._family: Family | None = None
        self._next = 1
        self.by_name: dict[str, Topic] = {}

    def load(self) -> list[Topic]:
        """Know what the folder holds; returns the hidden topics, left by restores that did not end."""
        if FAMILY not in self._database.families:
            return []
        family = self.family()
        stored = family.db.get(NEXT)
        self._next = 1 if stored is None else NUMBER.unpack(stored)[0]
        for entry in entries_in(family.db):
            self.by_name[entry.spec.name] = Topic(entry, family)
        return [topic for topic in self.by_name.values() if topic.entry.hidden]

    @property
    def has_family(self) -> bool:
        """Whether there is anything of the log in the folder."""
        return self._family is not None

    def family(self) -> Family:
        """The column family of the log, which is there afterwards."""
        if self._family is None:
            self._family = self._database.family(FAMILY)
        return self._family

    def let_go(self) -> None:
        """No topic is in use."""
        for topic in self.by_name.values():
            topic.let_go()
        self.by_name.clear()
        self._family = None

    def create(self, batch: AtomicBatch, spec: TopicSpec, hidden: bool = False) -> Topic:
        """The topic is there with the settings of `spec`; `AlreadyExists` when fixed ones differ."""
        known = self.by_name.get(spec.name)
        if known is None:
            return self._create(batch, TopicEntry(self._next, spec, hidden))
        if hidden or known.entry.hidden:
            raise AlreadyExists(f"the topic {spec.name} exists, or is being restored", hint="drop it first")
        refusals.check_fixed_settings(known.spec, spec)
        if known.spec != spec:
            self.change(batch, known, msgspec.structs.replace(known.entry, spec=spec))
        else:
            batch.touch(GATE + _key(spec.name))
        return known

    def change(self, batch: AtomicBatch, topic: Topic, entry: TopicEntry) -> None:
        """The topic's entry is `entry`."""
        batch.touch(GATE + _key(entry.spec.name))
        batch.rows.put(_key(entry.spec.name), msgspec.msgpack.encode(entry), topic.handle)

        def changed() -> None:
            topic.entry, topic.spec = entry, entry.spec

        batch.once_written(changed)

    def forget(self, batch: AtomicBatch, topic: Topic) -> None:
        """The topic is gone; its number is never given to another. `clear_away` is next, once that is durable."""
        name = topic.spec.name
        batch.touch(GATE + _key(name))
        batch.rows.delete(_key(name), topic.handle)
        batch.rows.delete_range(topic.number, next_number(topic.number), topic.handle)

        def forgotten() -> None:
            self.by_name.pop(name, None)
            topic.let_go()

        batch.once_written(forgotten)

    def clear_away(self, topic: Topic) -> None:
        """The disk space of a forgotten topic comes back, before long."""
        self._database.compact(FAMILY, topic.number, next_number(topic.number))

    def _create(self, batch: AtomicBatch, entry: TopicEntry) -> Topic:
        if len(self.by_name) >= TOPICS_MAX:
            raise refusals.too_many_topics()
        topic = Topic(entry, self.family())
        batch.touch(GATE + _key(entry.spec.name))
        batch.rows.put(NEXT, NUMBER.pack(entry.number + 1), topic.handle)
        batch.rows.put(_key(entry.spec.name), msgspec.msgpack.encode(entry), topic.handle)

        def created() -> None:
            self._next = entry.number + 1
            self.by_name[entry.spec.name] = topic

        batch.once_written(created)
        return topic


def entries_in(db: Rdict) -> list[TopicEntry]:
    """The topics of a column family. Raises `InvalidArgument` for one that a newer release wrote."""
    entries: list[TopicEntry] = []
    for _, stored in rows_between(db, TOPICS, AFTER_TOPICS):
        entry = msgspec.msgpack.decode(stored, type=TopicEntry)
        if entry.format > TOPIC_FORMAT:
            raise InvalidArgument(
                f"the topic {entry.spec.name} has the format {entry.format}; this release knows {TOPIC_FORMAT}",
                field="data",
                hint="open it with the release that wrote it, or a newer one",
            )
        entries.append(entry)
    return entries


def rows_between(db: Rdict, start: bytes, end: bytes) -> Generator[tuple[bytes, bytes]]:
    """Rows in their order from `start` to before `end`. Raises the driver's error for rows that cannot be read."""
    bounds = ReadOptions()
    bounds.set_iterate_upper_bound(end)
    found = db.iter(bounds)
    try:
        found.seek(start)
        while found.valid():
            yield found.key(), found.value()
            found.next()
        found.status()
    finally:
        del found, bounds


def _key(name: str) -> bytes:
    return TOPICS + name.encode()
