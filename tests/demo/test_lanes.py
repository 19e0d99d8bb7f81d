"""Work in lanes: bounded, in order within a lane, and ended by the first failure."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from soundstage.demo.lanes import in_lanes


class Work:
    """Counts what is under way, and remembers what was done in which order."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.running = 0
        self.most = 0

    async def do(self, piece: int) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        # The later a piece, the sooner it is done: only the lane can keep the order.
        for _ in range(20 - piece % 20):
            await asyncio.sleep(0)
        self.running -= 1
        self.done.append(piece)


async def test_everything_is_done() -> None:
    work = Work()
    await in_lanes(range(100), 4, work.do, lambda piece: piece)
    assert sorted(work.done) == list(range(100))


async def test_pieces_of_one_lane_are_done_in_order() -> None:
    work = Work()
    await in_lanes(range(100), 4, work.do, lambda piece: piece % 4)
    for lane in range(4):
        mine = [piece for piece in work.done if piece % 4 == lane]
        assert mine == sorted(mine)


async def test_lanes_work_at_the_same_time() -> None:
    work = Work()
    await in_lanes(range(100), 4, work.do, lambda piece: piece)
    assert work.most == 4


async def test_one_lane_does_one_thing_at_a_time() -> None:
    work = Work()
    await in_lanes(range(20), 1, work.do, lambda piece: piece)
    assert (work.most, work.done) == (1, list(range(20)))


async def test_numbers_of_lanes_beyond_the_last_wrap_around() -> None:
    work = Work()
    await in_lanes(range(20), 2, work.do, lambda piece: 1_000 + piece)
    assert work.most == 2


async def test_no_work_is_done_at_once() -> None:
    work = Work()
    await in_lanes([], 4, work.do, lambda piece: piece)
    assert work.done == []


async def test_work_is_not_taken_far_ahead_of_its_doing() -> None:
    taken = 0

    def pieces() -> Iterator[int]:
        nonlocal taken
        for piece in range(100):
            taken += 1
            yield piece

    held = asyncio.Event()

    async def wait(piece: int) -> None:
        await held.wait()

    running = asyncio.create_task(in_lanes(pieces(), 1, wait, lambda piece: 0, ahead=3))
    for _ in range(50):
        await asyncio.sleep(0)
    # One is being done, three wait for it, and one waits for a place.
    assert taken == 5
    held.set()
    await running


async def test_the_first_failure_is_raised_as_it_is() -> None:
    async def fail(piece: int) -> None:
        raise LookupError(f"no {piece}")

    with pytest.raises(LookupError, match="no 0"):
        await in_lanes(range(10), 1, fail, lambda piece: piece)


async def test_a_failure_ends_the_other_lanes() -> None:
    ended: list[int] = []

    async def do(piece: int) -> None:
        if piece == 0:
            await asyncio.sleep(0)
            raise LookupError
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(piece)

    with pytest.raises(LookupError):
        await in_lanes(range(3), 3, do, lambda piece: piece)
    assert sorted(ended) == [1, 2]


async def test_work_that_cannot_be_taken_is_a_failure() -> None:
    def pieces() -> Iterator[int]:
        yield 0
        raise ValueError("torn")

    work = Work()
    with pytest.raises(ValueError, match="torn"):
        await in_lanes(pieces(), 2, work.do, lambda piece: piece)
