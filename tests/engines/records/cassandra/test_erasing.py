"""How much is erased at once, and what becomes of what cannot be; the suites against a real server have the rest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest
from tests.engines.records.cassandra.scripted import ADDRESS, Response, Session, requests_of, table_of

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.records.cassandra import schema
from soundstage.engines.records.cassandra.catalogue import Catalogue, Table
from soundstage.engines.records.cassandra.driver import root
from soundstage.engines.records.cassandra.erasing import (
    OVERGROWN_MAX,
    PARTITIONS_AT_ONCE,
    REST_NS,
    STRETCHES_AT_ONCE,
    Course,
    Eraser,
)
from soundstage.engines.records.cassandra.failures import TOO_MANY_TOMBSTONES
from soundstage.engines.records.cassandra.link import Link
from soundstage.engines.records.cassandra.reading import Reader
from soundstage.engines.records.cassandra.requests import Requests
from soundstage.engines.records.cassandra.statements import Ledgers
from soundstage.engines.records.cassandra.walking import RING_HIGH, RING_LOW, Stretch, Walker
from soundstage.engines.records.port import TableSpec

PARTITIONS = 5 * PARTITIONS_AT_ONCE
CALLS_MAX = 200


class Dropped(Catalogue):
    """Some tables were dropped that have rows."""

    def __init__(self, requests: Requests, environment: VirtualEnvironment, *numbers: int) -> None:
        super().__init__(Link(ADDRESS), "main", requests, Ledgers({}), environment)
        self.numbers = list(numbers)

    async def dropped(self, leave: Collection[int] = ()) -> Table | None:
        left = [number for number in self.numbers if number not in leave]
        if not left:
            return None
        found = table_of(TableSpec(name="dropped"))
        found.number = left[0]
        return found

    async def forget_dropped(self, number: int) -> None:
        self.numbers.remove(number)


class Ring(Session):
    """Records by table and token. Those whose token is in `dead` have more dead rows than can be read."""

    def __init__(self, records: Mapping[int, Mapping[int, bytes]], dead: Collection[int] = ()) -> None:
        super().__init__()
        self.records = {number: dict(found) for number, found in records.items()}
        self.dead = set(dead)
        self.failed = 0

    def execute_async(self, request: Any, timeout: float) -> Response:
        response = Response(request, timeout)
        response.answer(self._read(*request.values) if len(request.values) == 4 else self._erase(*request.values))
        return response

    def _read(self, first: int, last: int, number: int, limit: int) -> Any:
        if any(first <= token <= last for token in self.dead):
            self.failed += 1
            return root.ReadFailure("failed", error_code_map={"127.0.0.1": TOO_MANY_TOMBSTONES})
        found = sorted(self.records[number].items())
        return [(name, None, schema.ITEM, b"key", b"cell") for token, name in found if first <= token <= last][:limit]

    def _erase(self, _: int, number: int, name: bytes) -> None:
        self.records[number] = {token: other for token, other in self.records[number].items() if other != name}


class Erasing:
    """An eraser of some dropped tables on a ring."""

    def __init__(self, ring: Ring, environment: VirtualEnvironment) -> None:
        requests = requests_of(ring, environment, "waiting=100")
        self.catalogue = Dropped(requests, environment, *ring.records)
        walker = Walker(Link(ADDRESS), requests, Reader(requests, environment), environment)
        self.eraser = Eraser(self.catalogue, requests, walker)

    async def go_on(self) -> None:
        """Until there is nothing to do."""
        for _ in range(CALLS_MAX):
            before = list(self.catalogue.numbers), self.eraser.overgrown
            erased = [await self.eraser.erase() for _ in range(STRETCHES_AT_ONCE)]
            if not any(erased) and before == (self.catalogue.numbers, self.eraser.overgrown):
                return
        raise AssertionError("it does not come to an end")


TOKENS = (RING_LOW, -(1 << 40), -1, 0, 7, 1 << 50, RING_HIGH)


def records(*tokens: int) -> dict[int, bytes]:
    return {token: b"%d" % token for token in tokens}


async def test_many_records_are_erased_a_few_at_a_time(environment: VirtualEnvironment) -> None:
    rows = [(b"%d" % number, None, schema.ITEM, b"key", b"cell") for number in range(PARTITIONS)]
    session = Session([rows, *[None] * PARTITIONS])
    # With more of them at once some would be turned down.
    requests = requests_of(session, environment, f"in_flight={PARTITIONS_AT_ONCE}&waiting=0")
    catalogue = Dropped(requests, environment, 1)
    walker = Walker(Link(ADDRESS), requests, Reader(requests, environment), environment)
    assert await Eraser(catalogue, requests, walker).erase() > 0
    assert (len(session.sent), catalogue.numbers) == (PARTITIONS + 1, [])


async def test_a_table_without_records_is_forgotten_at_once(environment: VirtualEnvironment) -> None:
    erasing = Erasing(Ring({1: {}}), environment)
    assert await erasing.eraser.erase() == 0
    assert erasing.catalogue.numbers == []


@pytest.mark.parametrize("dead", TOKENS)
async def test_a_record_with_too_many_dead_rows_is_gone_around(environment: VirtualEnvironment, dead: int) -> None:
    ring = Ring({1: records(*TOKENS)}, [dead])
    erasing = Erasing(ring, environment)
    await erasing.go_on()
    assert (ring.records[1], erasing.eraser.overgrown) == (records(dead), 1)


async def test_several_next_to_each_other_are_gone_around_one_by_one(environment: VirtualEnvironment) -> None:
    ring = Ring({1: records(*TOKENS)}, [-1, 0, 1, 1 << 50])
    erasing = Erasing(ring, environment)
    await erasing.go_on()
    assert (ring.records[1], erasing.eraser.overgrown) == (records(-1, 0, 1 << 50), 4)


async def test_other_dropped_tables_have_their_turn(environment: VirtualEnvironment) -> None:
    ring = Ring({1: records(3), 2: records(5), 4: records(6)}, [3])
    erasing = Erasing(ring, environment)
    await erasing.go_on()
    assert ring.records == {1: records(3), 2: {}, 4: {}}
    assert (erasing.catalogue.numbers, erasing.eraser.overgrown) == ([1, 2, 4], 1)


async def test_a_table_of_which_something_is_left_rests_for_an_hour(environment: VirtualEnvironment) -> None:
    ring = Ring({1: records(3)}, [3])
    erasing = Erasing(ring, environment)
    await erasing.go_on()
    failed = ring.failed
    environment.advance(REST_NS / 1e9 - 1)
    await erasing.eraser.erase()
    assert ring.failed == failed


async def test_it_is_known_then_where_to_go_around(environment: VirtualEnvironment) -> None:
    ring = Ring({1: records(3, 1 << 50)}, [3, 1 << 50])
    erasing = Erasing(ring, environment)
    await erasing.go_on()
    failed = ring.failed
    environment.advance(REST_NS / 1e9)
    await erasing.go_on()
    assert (ring.failed - failed, erasing.eraser.overgrown) == (2, 2)


async def test_once_compacted_it_is_erased_and_told_of_no_more(environment: VirtualEnvironment) -> None:
    ring = Ring({1: records(3, 5)}, [3])
    erasing = Erasing(ring, environment)
    await erasing.go_on()
    ring.dead.clear()
    environment.advance(REST_NS / 1e9)
    await erasing.go_on()
    assert (ring.records[1], erasing.catalogue.numbers, erasing.eraser.overgrown) == ({}, [], 0)


async def test_what_another_process_has_finished_is_told_of_no_more(environment: VirtualEnvironment) -> None:
    erasing = Erasing(Ring({1: records(3)}, [3]), environment)
    await erasing.go_on()
    await erasing.catalogue.forget_dropped(1)
    environment.advance(REST_NS / 1e9)
    assert (await erasing.eraser.erase(), erasing.eraser.overgrown) == (0, 0)


async def test_of_one_call_only_so_many_parts_of_the_ring_are_read(environment: VirtualEnvironment) -> None:
    ring = Ring({1: {}}, [1 << 60])
    erasing = Erasing(ring, environment)
    await erasing.eraser.erase()
    assert 0 < ring.failed <= 3 * STRETCHES_AT_ONCE + 21


def test_with_too_many_of_them_the_course_ends() -> None:
    course = Course(1)
    for token in range(OVERGROWN_MAX):
        assert not course.is_over
        course.go_around(token)
    assert course.is_over


def test_a_stretch_with_more_rows_than_fit_is_read_again() -> None:
    course = Course(1)
    course.passed(Stretch([], RING_HIGH, False), RING_HIGH)
    assert (course.first, course.last()) == (RING_LOW, RING_HIGH)
