"""Retention and compaction give disk space back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from tests.engines.log.rocksdb.store import TOPIC, Store

from soundstage.engines.log.port import Entry, TopicSpec


def used(folder: Path) -> int:
    size = 0
    for path in folder.iterdir():
        # A compaction may remove what was listed.
        with suppress(FileNotFoundError):
            size += path.stat().st_size if path.suffix in {".sst", ".blob"} else 0
    return size


async def swept(store: Store) -> None:
    while (await store.log.sweep(10_000)).more:
        pass
    await store.database.idle()


async def fill(store: Store, mib: int, *, keyed: bool = False) -> None:
    """So many MiB that no compression makes smaller."""
    random = Random(5)
    for number in range(mib):
        entries = [Entry(random.randbytes(16 << 10), b"%d" % (index % 16) if keyed else None) for index in range(64)]
        await store.log.append(TOPIC, entries, partition=number % 2)
        store.environment.advance(1)


async def test_sweeps_beside_each_other_do_what_one_would(tmp_path: Path) -> None:
    spec = TopicSpec(name=TOPIC, compact=True, compact_lag_us=0)
    store = await Store(str(tmp_path / "log")).open(spec)
    await store.log.append(TOPIC, [Entry(b"%d" % number, b"key") for number in range(3)])
    store.environment.advance(1)
    await asyncio.gather(*(store.log.sweep(1_000) for _ in range(3)))
    assert await store.values() == [b"2"]
    await store.log.stop()


@pytest.mark.slow
async def test_what_is_too_old_gives_its_space_back(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    store = await Store(str(folder)).open(TopicSpec(name=TOPIC, partitions=2, retention_us=60_000_000))
    await fill(store, 64)
    before = used(folder)
    store.environment.advance(50)
    await swept(store)
    assert used(folder) < before // 3
    assert (await store.log.statistics(TOPIC)).bytes < 16 << 20
    await store.log.stop()


@pytest.mark.slow
async def test_what_a_newer_entry_replaces_gives_its_space_back(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    spec = TopicSpec(name=TOPIC, partitions=2, compact=True, compact_lag_us=0)
    store = await Store(str(folder)).open(spec)
    await fill(store, 48, keyed=True)
    before = used(folder)
    await swept(store)
    assert used(folder) < before // 3
    assert len(await store.values(0)) == len(await store.values(1)) == 16
    await store.log.stop()


@pytest.mark.slow
async def test_a_dropped_topic_gives_its_space_back(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    store = await Store(str(folder)).open()
    await fill(store, 32)
    before = used(folder)
    await store.log.drop_topic(TOPIC)
    await store.database.idle()
    assert used(folder) < before // 3
    await store.log.stop()


async def test_nothing_is_made_on_disk_before_the_first_topic(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "log"))
    await store.log.start()
    assert store.database.families == {"default"}
    await store.log.create_topic(TopicSpec(name=TOPIC))
    assert store.database.families == {"default", "log"}
    await store.log.stop()


async def test_a_sweep_that_takes_long_lets_others_run(tmp_path: Path) -> None:
    store = await Store(str(tmp_path / "log")).open(TopicSpec(name=TOPIC, partitions=2, retention_bytes=10))
    for partition in (0, 1):
        await store.append(*[b"1234567890"] * 5, partition=partition)
    assert (await store.log.sweep(1)).more
    await swept(store)
    assert await store.log.bounds(TOPIC) == [(4, 5), (4, 5)]
    await store.log.stop()


async def test_deletes_are_taken_from_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    store = await Store(str(tmp_path / "log")).open(TopicSpec(name=TOPIC, partitions=2, retention_bytes=0))
    await store.append(b"a", b"b")
    store.disk.free = 1_000
    await swept(store)
    assert await store.log.bounds(TOPIC) == [(2, 2), (0, 0)]
    await store.log.stop()
