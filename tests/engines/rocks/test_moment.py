from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import CoroutineType
from typing import Any

import pytest
from tests.engines.rocks.shelf import Shelf, all_shelved
from tests.engines.rocks.threads import NO_SPACE, FaultyDisk

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DeadlineExceeded, InvalidArgument, SoundstageError, Unavailable
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.database import Database
from soundstage.engines.rocks.moment import TOGETHER_MAX
from soundstage.engines.rocks.options import Durability, RocksOptions


class Sharer(Shelf):
    """Puts which share a batch, but for keys that begin with `alone`; those that begin with `bad` are refused."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.alone: list[bytes] = []

    def share(self, batch: AtomicBatch, key: bytes, value: bytes) -> bytes | None:
        assert self.family is not None
        if key.startswith(b"bad"):
            raise InvalidArgument("it is bad")
        if key.startswith(b"alone"):
            return None
        name = self.name.encode() + b"/" + key
        before: bytes | None = batch.keys[name] if name in batch.keys else self.get(key)
        batch.rows.put(key, value, self.family.handle)
        batch.keys[name] = value
        return before or b"nothing"

    def add(self, batch: AtomicBatch, key: bytes, value: bytes) -> bytes:
        self.alone.append(key)
        return super().add(batch, key, value)

    async def together(self, key: bytes, value: bytes = b"value", deadline_ns: int | None = None) -> bytes:
        """Durable when it returns what was there."""
        return await self.database.together(self.share, self.put_alone, key, value, deadline_ns=deadline_ns)

    def put_alone(self, key: bytes, value: bytes, deadline_ns: int | None) -> CoroutineType[Any, Any, bytes]:
        return self.database.atomically(self.add, key, value, deadline_ns=deadline_ns)


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


def sharer(folder: str, environment: VirtualEnvironment, disk: FaultyDisk, durability: Durability = "group") -> Sharer:
    shelf = Sharer(Database(folder, RocksOptions(durability=durability), environment, disk=disk))
    shelf.open()
    return shelf


@pytest.fixture
async def shelf(folder: str, environment: VirtualEnvironment, disk: FaultyDisk) -> AsyncIterator[Sharer]:
    opened = sharer(folder, environment, disk)
    yield opened
    await opened.close()


async def test_writes_of_one_moment_are_one_batch_and_one_flush(shelf: Sharer, disk: FaultyDisk) -> None:
    await asyncio.gather(*(shelf.together(b"%d" % number) for number in range(10)))
    assert (disk.writes, disk.flushes) == (1, 1)
    assert [shelf.get(b"%d" % number) for number in range(10)] == [b"value"] * 10


async def test_a_lone_write_is_written_at_once(shelf: Sharer, disk: FaultyDisk) -> None:
    assert await shelf.together(b"key") == b"nothing"
    assert (disk.writes, disk.flushes) == (1, 1)


async def test_a_write_sees_those_before_it_in_the_batch(shelf: Sharer, disk: FaultyDisk) -> None:
    assert await asyncio.gather(*(shelf.together(b"key", b"%d" % number) for number in range(3))) == [
        b"nothing",
        b"0",
        b"1",
    ]
    assert (disk.writes, shelf.get(b"key")) == (1, b"2")


async def test_one_that_cannot_share_has_a_batch_of_its_own(shelf: Sharer, disk: FaultyDisk) -> None:
    await asyncio.gather(shelf.together(b"a"), shelf.together(b"alone"), shelf.together(b"b"))
    assert (disk.writes, shelf.alone) == (2, [b"alone"])
    assert shelf.get(b"alone") == b"value"


async def test_a_refusal_is_told_to_its_caller_alone(shelf: Sharer) -> None:
    first, refused, last = await asyncio.gather(
        shelf.together(b"a"), shelf.together(b"bad"), shelf.together(b"b"), return_exceptions=True
    )
    assert isinstance(refused, InvalidArgument)
    assert (first, last, shelf.get(b"bad")) == (b"nothing", b"nothing", None)


async def test_so_many_are_resolved_in_one_go_and_no_more(shelf: Sharer, disk: FaultyDisk) -> None:
    await asyncio.gather(*(shelf.together(b"%d" % number) for number in range(TOGETHER_MAX + 1)))
    assert disk.writes == 2


async def test_after_the_deadline_nothing_is_written(
    shelf: Sharer, disk: FaultyDisk, environment: VirtualEnvironment
) -> None:
    environment.advance(1)
    with pytest.raises(DeadlineExceeded) as caught:
        await shelf.together(b"key", deadline_ns=environment.monotonic_ns())
    assert (caught.value.outcome, disk.writes) == ("not_applied", 0)


async def test_what_a_caller_who_has_left_wanted_is_not_written(shelf: Sharer) -> None:
    kept, gone = (asyncio.ensure_future(shelf.together(key)) for key in (b"kept", b"gone"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([kept, gone])
    assert (shelf.get(b"kept"), shelf.get(b"gone")) == (b"value", None)


async def test_a_stall_becomes_a_wait_for_each(
    shelf: Sharer, disk: FaultyDisk, environment: VirtualEnvironment
) -> None:
    disk.stalls = 2
    began_ns = environment.monotonic_ns()
    await asyncio.gather(shelf.together(b"a"), shelf.together(b"b"))
    assert environment.monotonic_ns() > began_ns
    assert (shelf.get(b"a"), shelf.get(b"b")) == (b"value", b"value")


async def test_a_write_that_the_disk_refuses_fails_all_of_the_moment_each_by_itself(
    shelf: Sharer, disk: FaultyDisk
) -> None:
    disk.write_error = NO_SPACE
    refusals = await asyncio.gather(shelf.together(b"a"), shelf.together(b"b"), return_exceptions=True)
    assert [type(each) for each in refusals] == [Unavailable, Unavailable]
    assert refusals[0] is not refusals[1]
    assert isinstance(refusals[0], SoundstageError)
    assert (refusals[0].outcome, "No space left on device" in refusals[0].detail) == ("unknown", True)
    assert shelf.database.lost is not None


async def test_a_reader_of_what_was_shared_waits_for_its_flush(shelf: Sharer, disk: FaultyDisk) -> None:
    disk.goes.clear()
    writing = asyncio.gather(shelf.together(b"a"), shelf.together(b"b"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate = shelf.database.commits.gate(b"shelf/a")
    assert gate is not None
    assert not gate.done()
    disk.goes.set()
    await gate
    await writing


async def test_closing_waits_for_what_has_just_come(shelf: Sharer, folder: str) -> None:
    writing = asyncio.gather(shelf.together(b"a"), shelf.together(b"b"))
    await asyncio.sleep(0)
    await shelf.close()
    await writing
    assert all_shelved(folder, [b"a", b"b"]) == [b"value", b"value"]


@pytest.mark.parametrize("durability", ["always", "os"])
async def test_with_other_durabilities_each_write_is_a_batch_of_its_own(
    folder: str, environment: VirtualEnvironment, disk: FaultyDisk, durability: Durability
) -> None:
    shelf = sharer(folder, environment, disk, durability)
    await asyncio.gather(shelf.together(b"a"), shelf.together(b"b"))
    assert (disk.writes, shelf.alone) == (2, [b"a", b"b"])
    await shelf.close()


async def test_defects_pass_unchanged(shelf: Sharer) -> None:
    def defective(batch: AtomicBatch) -> int | None:
        raise ZeroDivisionError

    async def alone(deadline_ns: int | None) -> int:
        return 1

    with pytest.raises(ZeroDivisionError):
        await shelf.database.together(defective, alone)
