"""Brings topics back from a checkpoint while others are served."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import msgspec
from rocksdict import Rdict

from soundstage.core.errors import AlreadyExists, NotFound, SoundstageError
from soundstage.engines.log.rocksdb.layout import FAMILY, NUMBER, TopicEntry, next_number
from soundstage.engines.log.rocksdb.reading import check_there
from soundstage.engines.log.rocksdb.topics import Catalogue, Topic, entries_in, rows_between
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.copying import backup, part_of
from soundstage.engines.rocks.database import Database


async def restore(database: Database, catalogue: Catalogue, folder: str, names: Sequence[str] | None) -> None:
    """The topics are served once all their rows are copied; none of them is when copying fails.

    Raises `NotFound` for a folder or topic that is not there and `AlreadyExists` for a topic that is here.
    """
    with backup(folder, database.options) as (source, families):
        # A folder without topics has no family.
        family = source.get_column_family(FAMILY) if FAMILY in families else None
        try:
            entries = [] if family is None else entries_in(family)
            chosen = _chosen(catalogue, {entry.spec.name: entry for entry in entries}, names)
            if family is not None:
                await _restore(database, catalogue, family, chosen)
        finally:
            family = None


async def _restore(database: Database, catalogue: Catalogue, source: Rdict, chosen: Sequence[TopicEntry]) -> None:
    copied: list[Topic] = []
    try:
        for entry in chosen:
            topic = await database.atomically(catalogue.create, entry.spec, True)
            copied.append(topic)
            await _copy(database, source, entry, topic)
        await database.atomically(_show, catalogue, copied)
    except BaseException:
        for topic in copied:
            await _give_up(database, catalogue, topic)
        raise


def _chosen(catalogue: Catalogue, there: dict[str, TopicEntry], names: Sequence[str] | None) -> list[TopicEntry]:
    there = {name: entry for name, entry in there.items() if not entry.hidden}
    wanted = sorted(there) if names is None else list(dict.fromkeys(names))
    for name in wanted:
        if name not in there:
            raise NotFound(f"the backup has no topic {name!r}", hint=f"it has {', '.join(sorted(there)) or 'none'}")
        if name in catalogue.by_name:
            raise AlreadyExists(f"the topic {name!r} exists", hint="drop it first")
    return [there[name] for name in wanted]


def _show(batch: AtomicBatch, catalogue: Catalogue, copied: Sequence[Topic]) -> None:
    for topic in copied:
        # What was known of its partitions is of before they were filled.
        topic.partitions.clear()
        catalogue.change(batch, topic, msgspec.structs.replace(topic.entry, hidden=False))


async def _give_up(database: Database, catalogue: Catalogue, topic: Topic) -> None:
    """What could not be dropped now is dropped when the folder is next opened."""
    with suppress(SoundstageError):
        if not topic.dropped:
            await database.atomically(catalogue.forget, topic)
            catalogue.clear_away(topic)


async def _copy(database: Database, source: Rdict, entry: TopicEntry, target: Topic) -> None:
    number = NUMBER.pack(entry.number)
    rows = rows_between(source, number, next_number(number))
    try:
        while part := part_of(rows):
            database.low_water.check(sum(len(stored) for _, stored in part))
            await database.atomically(_put, target, part)
            await database.environment.sleep(0)
            check_there(database, target)
    finally:
        # An error keeps this frame, and an iterator in it the checkpoint's files.
        del rows


def _put(batch: AtomicBatch, target: Topic, part: Sequence[tuple[bytes, bytes]]) -> None:
    for key, stored in part:
        batch.rows.put(target.number + key[NUMBER.size :], stored, target.handle)
