from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DataLoss, NotFound, Unavailable
from soundstage.core.hlc import TokenClock
from soundstage.core.ids import uuid7
from soundstage.core.job import JobInfo, JobState
from soundstage.core.time import Instant
from soundstage.engines.records.memory import MemoryRecords
from soundstage.runtime.system_table import SystemTable
from soundstage.runtime.work.store import DAY_MS, Found, JobStore, Raced, Stored, day_of

DAY_S = 86_400


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment(seed=3)


@pytest.fixture
async def store(environment: VirtualEnvironment) -> JobStore:
    records = MemoryRecords(environment)
    await records.start()
    table = SystemTable(records, "jobs", TokenClock(environment), environment)
    await table.create()
    return JobStore(table, environment, 30 * DAY_S * 1_000_000)


def queued(environment: VirtualEnvironment) -> Stored:
    info = JobInfo(
        job_id=uuid7(environment), system="s", operation="o", state="queued", created_at=Instant(environment.now_ns())
    )
    return Stored(info=info, request=b"", access="read", restart="resume")


def at(stored: Stored, state: JobState, fence: int = 0) -> Stored:
    return msgspec.structs.replace(stored, info=msgspec.structs.replace(stored.info, state=state), fence=fence)


async def added(store: JobStore, environment: VirtualEnvironment) -> Found:
    environment.advance(0.002)
    found = await store.add(queued(environment), 100)
    assert found is not None
    return found


async def test_a_job_is_found_as_it_was_added(store: JobStore, environment: VirtualEnvironment) -> None:
    found = await added(store, environment)
    assert await store.find(found.stored.info.job_id) == found
    assert await store.open() == [found.stored.info.job_id]


async def spoilt(store: JobStore, environment: VirtualEnvironment) -> str:
    """A job of which something else is stored than a job."""
    job_id = (await added(store, environment)).stored.info.job_id
    await store._table.write(f"job/{job_id}", {"job": b"\xc1"}, {})  # pyright: ignore[reportPrivateUsage]
    return job_id


async def test_a_job_that_cannot_be_read_is_told_to_be_lost(store: JobStore, environment: VirtualEnvironment) -> None:
    job_id = await spoilt(store, environment)
    with pytest.raises(DataLoss, match=f"what is stored of the job {job_id} cannot be read"):
        await store.find(job_id)


async def test_a_job_that_cannot_be_read_hides_no_other(store: JobStore, environment: VirtualEnvironment) -> None:
    broken, whole = await spoilt(store, environment), await added(store, environment)
    whole_id = whole.stored.info.job_id
    assert await store.find_many([broken, whole_id]) == {whole_id: whole}


class Failing(MemoryRecords):
    """An engine that fails writes to partitions whose names begin so."""

    refused = b"none"

    async def apply(self, table: str, partition: bytes, *arguments: Any, **named: Any) -> int:
        if partition.startswith(self.refused):
            raise Unavailable("lost on its way", outcome="not_applied")
        return await super().apply(table, partition, *arguments, **named)


@pytest.mark.parametrize("refused", [b"open", b"day/", b"job/"])
async def test_one_whose_start_failed_is_not_there(environment: VirtualEnvironment, refused: bytes) -> None:
    engine = Failing(environment)
    await engine.start()
    table = SystemTable(engine, "jobs", TokenClock(environment), environment)
    await table.create()
    store = JobStore(table, environment, 30 * DAY_S * 1_000_000)
    stored = queued(environment)
    engine.refused = refused
    with pytest.raises(Unavailable):
        await store.add(stored, 100)
    with pytest.raises(NotFound):
        await store.find(stored.info.job_id)


@pytest.mark.parametrize("job_id", ["", "x", "0" * 36, "zz" * 18, "01890000-0000-7000-8000-00000000000\0"])
async def test_what_is_no_job_is_not_found(store: JobStore, job_id: str) -> None:
    with pytest.raises(NotFound):
        await store.find(job_id)


async def test_a_change_counts_revisions(store: JobStore, environment: VirtualEnvironment) -> None:
    found = await added(store, environment)
    changed = await store.put(found, at(found.stored, "running"))
    assert (changed.stored.revision, (await store.find(changed.stored.info.job_id)).stored) == (2, changed.stored)


async def test_a_change_of_what_has_changed_is_refused(store: JobStore, environment: VirtualEnvironment) -> None:
    found = await added(store, environment)
    await store.put(found, at(found.stored, "running"))
    with pytest.raises(Raced):
        await store.put(found, at(found.stored, "cancelled"))
    with pytest.raises(Raced):
        await store.checkpoint(found, b"5")


async def test_a_lesser_fence_writes_nothing(store: JobStore, environment: VirtualEnvironment) -> None:
    found = await added(store, environment)
    taken = await store.put(found, at(found.stored, "running", fence=5))
    with pytest.raises(Raced):
        await store.put(taken, at(taken.stored, "succeeded", fence=4))


async def test_a_checkpoint_is_kept_until_the_end(store: JobStore, environment: VirtualEnvironment) -> None:
    found = await added(store, environment)
    job_id = found.stored.info.job_id
    assert await store.state(job_id) is None
    found = await store.checkpoint(found, b"5")
    assert await store.state(job_id) == b"5"
    await store.put(found, at(found.stored, "succeeded"), result=b"r")
    assert (await store.state(job_id), await store.result(job_id)) == (None, b"r")


async def test_one_that_has_ended_is_out_of_the_queue(store: JobStore, environment: VirtualEnvironment) -> None:
    found = await added(store, environment)
    await store.put(found, at(found.stored, "failed"))
    assert await store.open() == []


async def test_ended_jobs_are_forgotten_together(store: JobStore, environment: VirtualEnvironment) -> None:
    found = await added(store, environment)
    await store.put(found, at(found.stored, "succeeded"), result=b"r")
    job_id = found.stored.info.job_id
    environment.advance(30 * DAY_S - 1)
    await store.find(job_id)
    environment.advance(1.001)
    assert await store.result(job_id) is None
    with pytest.raises(NotFound):
        await store.find(job_id)


async def test_one_that_has_not_ended_is_not_forgotten(store: JobStore, environment: VirtualEnvironment) -> None:
    found = await added(store, environment)
    environment.advance(400 * DAY_S)
    await store.find(found.stored.info.job_id)
    assert await store.open() == [found.stored.info.job_id]


async def test_a_day_lists_its_jobs_the_newest_first(store: JobStore, environment: VirtualEnvironment) -> None:
    ids = [(await added(store, environment)).stored.info.job_id for _ in range(5)]
    day = day_of(ids[0])
    assert await store.of_day(day, None, 10) == ids[::-1]
    assert await store.of_day(day, ids[3], 2) == [ids[2], ids[1]]
    assert await store.of_day(day + 1, None, 10) == []


def spans_of(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Behind which ids the queue is looked through from now on."""
    spans = list[str | None]()
    read = store._table.read  # pyright: ignore[reportPrivateUsage]

    async def noting(partition: str, prefix: str, *, after: str | None = None) -> object:
        spans.append(after)
        return await read(partition, prefix, after=after)

    monkeypatch.setattr(store._table, "read", noting)  # pyright: ignore[reportPrivateUsage]
    return spans


async def test_what_has_left_the_queue_is_passed_over(
    store: JobStore, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = await added(store, environment)
    await store.put(gone, at(gone.stored, "succeeded"))
    environment.advance(3_600)
    left = await added(store, environment)
    await store.open()
    spans = spans_of(store, monkeypatch)
    environment.advance(60)
    assert await store.open() == [left.stored.info.job_id]
    assert spans[0] is not None
    assert gone.stored.info.job_id < spans[0] < left.stored.info.job_id


async def test_of_many_who_start_jobs_at_once_one_counts(
    store: JobStore, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await added(store, environment)
    environment.advance(2)
    spans = spans_of(store, monkeypatch)
    assert await asyncio.gather(*(store.waiting() for _ in range(20))) == [1] * 20
    assert len(spans) == 1


async def test_the_oldest_that_is_left_is_never_passed_over(store: JobStore, environment: VirtualEnvironment) -> None:
    old = await added(store, environment)
    for _ in range(5):
        environment.advance(3_599)
        new = await added(store, environment)
        assert await store.open() == [old.stored.info.job_id, new.stored.info.job_id]
        await store.put(new, at(new.stored, "failed"))


async def test_a_job_of_a_clock_far_behind_is_found_when_the_queue_is_looked_through_as_a_whole(
    store: JobStore, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = queued(environment)
    environment.advance(3_600)
    await store.open()
    assert await store.open() == []
    await store.add(late, 10_000)
    environment.advance(601)
    spans = spans_of(store, monkeypatch)
    assert (await store.open(), spans) == ([late.info.job_id], [None])


def test_an_id_tells_its_day(environment: VirtualEnvironment) -> None:
    assert day_of(uuid7(environment)) == environment.now_us() // 1_000 // DAY_MS


async def test_listeners_are_told_of_every_change(store: JobStore, environment: VirtualEnvironment) -> None:
    told = list[int]()
    store.listeners.append(lambda found: told.append(found.stored.revision))
    found = await added(store, environment)
    found = await store.put(found, at(found.stored, "running"))
    found = await store.checkpoint(found, b"5")
    await store.put(found, at(found.stored, "succeeded"))
    assert told == [2, 3, 4]


async def test_the_queue_tells_of_each_job_that_was_added(store: JobStore, environment: VirtualEnvironment) -> None:
    await added(store, environment)
    seen = store.queue.count
    await added(store, environment)
    assert store.queue.count == seen + 1


async def test_many_are_found_at_once_and_those_that_are_none_are_left_out(
    store: JobStore, environment: VirtualEnvironment
) -> None:
    one, two = await added(store, environment), await added(store, environment)
    ids = [found.stored.info.job_id for found in (two, one)]
    assert await store.find_many([ids[0], uuid7(environment), ids[1]]) == dict(zip(ids, (two, one), strict=True))
    assert await store.find_many([]) == {}
