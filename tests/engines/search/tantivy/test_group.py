"""Writes share commits, in the order they came."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DeadlineExceeded, Exhausted, SoundstageError, Unavailable
from soundstage.engines.search.documents import Prepared
from soundstage.engines.search.port import Outcome, Status
from soundstage.engines.search.tantivy.group import GROUP_MAX_BYTES, WAITING_MAX_BYTES, Groups

DONE = Outcome(Status.APPLIED)


class Disk:
    """Takes groups one at a time, when it is told to."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.gate = asyncio.Event()
        self.error: SoundstageError | None = None

    async def apply(self, calls: Sequence[Sequence[Prepared]]) -> list[list[Outcome]]:
        self.groups.append([action.id for actions in calls for action in actions])
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [[DONE] * len(actions) for actions in calls]


def put(id: str, size: int = 0) -> list[Prepared]:
    return [Prepared(id, None, {}, bytes(size))]


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_those_that_come_meanwhile_share_the_next_group() -> None:
    disk = Disk()
    groups = Groups(disk.apply, VirtualEnvironment())
    calls = [asyncio.create_task(groups.apply(put("a"), None))]
    await settled()
    calls += [asyncio.create_task(groups.apply(put(id), None)) for id in "bcd"]
    await settled()
    disk.gate.set()
    assert await asyncio.gather(*calls) == [[DONE]] * 4
    assert disk.groups == [["a"], ["b", "c", "d"]]


async def test_a_group_has_so_many_bytes_and_no_more() -> None:
    disk = Disk()
    disk.gate.set()
    groups = Groups(disk.apply, VirtualEnvironment())
    half = GROUP_MAX_BYTES // 2
    await asyncio.gather(*(groups.apply(put(id, half), None) for id in "abc"))
    assert disk.groups == [["a"], ["b"], ["c"]]


async def test_no_more_wait_than_there_is_room_for() -> None:
    disk = Disk()
    groups = Groups(disk.apply, VirtualEnvironment())
    first = asyncio.create_task(groups.apply(put("a"), None))
    await settled()
    waiting = asyncio.create_task(groups.apply(put("b", WAITING_MAX_BYTES - 1_000), None))
    await settled()
    with pytest.raises(Exhausted):
        await groups.apply(put("c", 1_000), None)
    disk.gate.set()
    await asyncio.gather(first, waiting)
    assert await groups.apply(put("d", 1_000), None) == [DONE]


async def test_an_error_is_that_of_all_in_the_group() -> None:
    disk = Disk()
    disk.error = Unavailable("no disk")
    disk.gate.set()
    groups = Groups(disk.apply, VirtualEnvironment())
    results = await asyncio.gather(*(groups.apply(put(id), None) for id in "ab"), return_exceptions=True)
    assert [type(each) for each in results] == [Unavailable, Unavailable]
    disk.error = None
    assert await groups.apply(put("c"), None) == [DONE]


async def test_whose_deadline_passes_while_it_waits_is_not_made() -> None:
    disk, environment = Disk(), VirtualEnvironment()
    groups = Groups(disk.apply, environment)
    first = asyncio.create_task(groups.apply(put("a"), None))
    await settled()
    late = asyncio.create_task(groups.apply(put("b"), environment.monotonic_ns() + 1_000))
    await settled()
    environment.advance(1)
    disk.gate.set()
    await first
    with pytest.raises(DeadlineExceeded) as refusal:
        await late
    assert refusal.value.outcome == "not_applied"
    assert disk.groups == [["a"]]


async def test_whoever_left_is_not_waited_for() -> None:
    disk = Disk()
    groups = Groups(disk.apply, VirtualEnvironment())
    first = asyncio.create_task(groups.apply(put("a"), None))
    await settled()
    leaving = asyncio.create_task(groups.apply(put("b"), None))
    await settled()
    leaving.cancel()
    await settled()
    disk.gate.set()
    assert await first == [DONE]
    assert await groups.apply(put("c"), None) == [DONE]
    assert disk.groups == [["a"], ["c"]]


async def test_a_stop_ends_the_group_that_is_made_and_refuses_the_rest() -> None:
    disk = Disk()
    groups = Groups(disk.apply, VirtualEnvironment())
    first, second = (asyncio.create_task(groups.apply(put(id), None)) for id in "ab")
    await asyncio.sleep(0)
    third = asyncio.create_task(groups.apply(put("c"), None))
    await settled()
    stopping = asyncio.create_task(groups.stop())
    await settled()
    disk.gate.set()
    await stopping
    assert [await first, await second] == [[DONE], [DONE]]
    with pytest.raises(Unavailable):
        await third
    with pytest.raises(Unavailable):
        await groups.apply(put("d"), None)
