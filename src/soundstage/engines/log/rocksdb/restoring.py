"""Brings topics back from a checkpoint while others are served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from rocksdict import Cache, Rdict

from soundstage.core.errors import AlreadyExists, NotFound, SoundstageError
from soundstage.engines.log.rocksdb.layout import FAMILY, NUMBER, TopicEntry, next_number
from soundstage.engines.log.rocksdb.reading import check_there
from soundstage.engines.log.rocksdb.topics import Catalogue, Topic, entries_in, rows_between
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.copying import likeness
from soundstage.engines.rocks.database import Database
from soundstage.engines.rocks.folder import check_format
from soundstage.engines.rocks.opening import families_of, open_rdict

PART_BYTES = 256 << 10
"""Copied and made durable at a time; no part has more than this and one row."""


async def restore(database: Database, catalogue: Catalogue, folder: str, names: Sequence[str] | None) -> None:
    """The topics are served once all their rows are copied; none of them is when copying fails.

    Raises `NotFound` for a folder or topic that is not there and `AlreadyExists` for a topic that is here.
    """
    _check_backup(folder)
    with likeness(folder) as here:
        check_format(here)
        source = open_rdict(here, database.options, Cache(8 << 20), read_only=True)
        try:
            # A folder without topics has no family.
            family = source.get_column_family(FAMILY) if FAMILY in families_of(here) else None
            entries = [] if family is None else entries_in(family)
            chosen = _chosen(catalogue, {entry.spec.name: entry for entry in entries}, names)
            if family is not None:
                await _restore(database, catalogue, family, chosen)
        finally:
            family = None
            source.close()


def _check_backup(folder: str) -> None:
    if not Path(folder, "FORMAT").exists():
        raise NotFound(f"{folder} holds no backup", hint="name a folder that `soundstage data backup` made")


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
        while part := _part(rows):
            database.low_water.check(sum(len(stored) for _, stored in part))
            await database.atomically(_put, target, part)
            await database.environment.sleep(0)
            check_there(database, target)
    finally:
        # An error keeps this frame, and an iterator in it the checkpoint's files.
        del rows


def _part(rows: Iterator[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    part: list[tuple[bytes, bytes]] = []
    size = 0
    while size < PART_BYTES and (row := next(rows, None)) is not None:
        part.append(row)
        size += len(row[0]) + len(row[1])
    return part


def _put(batch: AtomicBatch, target: Topic, part: Sequence[tuple[bytes, bytes]]) -> None:
    for key, stored in part:
        batch.rows.put(target.number + key[NUMBER.size :], stored, target.handle)
