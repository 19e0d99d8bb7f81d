"""Two servers whose clocks disagree, on one keyspace of Cassandra that hangs and is killed, one log and one cache.

Whoever writes goes to both in turn: puts of its own record, read at the other by what it remembers; a counter that all
raise on the condition that it is as they read it; and sets of mutations. Nothing acknowledged may be lost or stale.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.conformance.clocks import OffClock
from tests.conformance.outbox.conftest import WAIT_S
from tests.conformance.outbox.test_sets import Sets
from tests.data.kv.conftest import item, keys
from tests.data.kv.test_mutations import put

from soundstage.core.errors import DeadlineExceeded, PreconditionFailed, Unavailable
from soundstage.core.hlc import TokenClock
from soundstage.data.kv import Condition, Item, KeyValue
from soundstage.data.kv.closed_heads import ClosedHeads
from soundstage.data.kv.service import KeyValueService
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec
from soundstage.runtime.stage import Stage
from soundstage.servers import Cluster
from soundstage.testing.servers import server_fixture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

memcached: Callable[[], Generator[Cluster]] = server_fixture("memcached", scope="module")

T = TypeVar("T")

OFF_S = 0.5
WRITERS = 4
"""Of each kind."""

ROUNDS = 12
"""Of each writer, at least; they go on until what is to happen has happened."""

SOME = 40
"""Rounds between two things that happen to the node."""

PAUSE_S = 2.0
NAMESPACES: dict[str, dict[str, Any]] = {
    "cached": {"consistency": "read_your_writes", "cache": {"engine": "hot", "ttl": "1h", "within": "1s"}},
    "guarded": {"conditional_writes": True},
}
SET = ("cached", "guarded", "cached")


@pytest.fixture
async def stages(
    cassandra: Cluster, kafka: Cluster, memcached: Cluster, tmp_path: Path
) -> AsyncIterator[tuple[Stage, Stage]]:
    """One whose clock is behind, and one whose is ahead."""
    space = f"two{time.time_ns()}"
    config: dict[str, Any] = {
        "engines": {
            "default": {"url": f"{cassandra.url}/suite?space={space}&attempt_s=1&patience_s=5"},
            "topics": {"url": f"{kafka.url}?space={space}&linger_ms=0"},
            "hot": {"url": memcached.url},
        },
        "systems": {"writeahead": {"log": "topics", "retry_min": "50ms", "retry_max": "1s", "apply_timeout": "2s"}},
        "telemetry": {"log_level": "error"},
    }
    async with AsyncExitStack() as stack:
        opened: list[Stage] = []
        for number, off_s in enumerate((-OFF_S, OFF_S)):
            stage = Stage.open(
                config=config,
                data=str(tmp_path / f"{number}"),
                variables={},
                environment=OffClock(off_s),
                background=False,
            )
            opened.append(await stack.enter_async_context(stage))
            if not number:
                for name, knobs in NAMESPACES.items():
                    spec = NamespaceSpec(name=name, abstraction="kv", config=knobs)
                    await stage.client(Namespaces).put(namespace=spec)
        await opened[1].run_background()
        yield opened[0], opened[1]


async def get(kv: KeyValue, **asked: Any) -> list[Item]:
    """All items there are. `DeadlineExceeded` where the page ends before: while a store hangs it may be empty."""
    reply = await kv.get_items(**asked)
    if reply.next_page_token is not None:
        raise DeadlineExceeded("the page ends before its end", outcome="not_applied")
    return reply.items


async def until_known(call: Callable[..., Awaitable[T]], **asked: Any) -> T:
    """What the call comes to, which is made again with its token until somebody knows."""
    ends = time.monotonic() + WAIT_S
    while True:
        try:
            return await call(**asked)
        except (Unavailable, DeadlineExceeded):
            assert time.monotonic() < ends, f"nobody knows after {WAIT_S} s"
            await asyncio.sleep(0.05)


def heads_of(stage: Stage) -> ClosedHeads:
    service = stage.systems.service("kv")
    assert isinstance(service, KeyValueService)
    cached = service._serve("cached").cached  # pyright: ignore[reportPrivateUsage]
    assert cached is not None
    return cached.heads


class Crowd:
    """Writers that go to both stages in turn, and what they were acknowledged."""

    def __init__(self, stages: tuple[Stage, Stage]) -> None:
        self.stages = stages
        self.values: dict[str, bytes] = {}
        self.counted = 0
        self.marks: list[bytes] = []
        self.sets: list[str] = []
        self.goes_on = True
        self.written = 0

    def rounds(self) -> Iterator[int]:
        """The rounds of one writer."""
        number = 0
        while number < ROUNDS or self.goes_on:
            yield number
            number += 1
            self.written += 1

    async def more(self, count: int) -> None:
        """So many more rounds are done."""
        wanted, ends = self.written + count, time.monotonic() + WAIT_S
        while self.written < wanted:
            assert time.monotonic() < ends, f"{self.written} of {wanted} rounds are done"
            await asyncio.sleep(0.02)

    def kv(self, name: str, turn: int) -> KeyValue:
        return self.stages[turn % 2].client(KeyValue, name).with_options(deadline=2.0)

    async def put(self, writer: int) -> None:
        """Its own record, which is read at the other stage at once: there is nothing but what it wrote last."""
        id, clock = f"own-{writer}", TokenClock(self.stages[writer % 2].environment)
        for number in self.rounds():
            turn, token, items = writer + number, clock.token(), [item(b"k", b"%d" % number)]
            here, there = self.kv("cached", turn), self.kv("cached", turn + 1)
            written = await until_known(here.put_items, id=id, items=items, idempotency_token=token)
            self.values[id] = b"%d" % number
            seen = written.idempotency_token
            plain = {"id": id}
            asked = [{"id": id, "min_version": seen}]
            if not heads_of(self.stages[turn % 2]).is_owed(id.encode()):
                # The cache knows of the write, and who remembers nothing must see it, too.
                asked = [plain, *asked, plain]
            for how in asked:
                for kv in (there, here):
                    found = await until_known(get, kv=kv, **how)
                    assert [each.value for each in found] == [self.values[id]]
            clock.observe(seen.generation_time.us)

    async def count(self, writer: int) -> None:
        """One counter of all, raised by as much as is acknowledged."""
        clock = TokenClock(self.stages[writer % 2].environment)
        turn = 0
        for _ in self.rounds():
            turn += 1
            kv, token = self.kv("guarded", writer + turn), clock.token()
            found = await until_known(get, kv=kv, id="counter", predicate=keys(b"n"))
            value = int(found[0].value or b"0") if found else 0
            known = Condition(key=b"n", token=found[0].metadata.token if found else None, absent=not found)
            sent: dict[str, Any] = {"items": [item(b"n", b"%d" % (value + 1))], "condition": known}
            try:
                await until_known(kv.put_items, id="counter", **sent, idempotency_token=token)
            except PreconditionFailed:
                continue
            self.counted += 1

    async def mutate(self, writer: int) -> None:
        """Sets over both namespaces, each with a mark of its own."""
        for number in self.rounds():
            stage = self.stages[(writer + number) % 2]
            mark, clock = b"%d-%d" % (writer, number), TokenClock(stage.environment)
            mutations = [put(item(mark, b"%d" % at), namespace=name, id="marks") for at, name in enumerate(SET)]
            token, kv = clock.token(len(SET)), stage.client(KeyValue)
            reply = await until_known(kv.mutate_items, mutations=mutations, idempotency_token=token)
            self.sets.append(reply.mutation_id)
            self.marks.append(mark)

    async def told(self) -> None:
        """The cache was told of all that was written."""
        async with asyncio.timeout(WAIT_S):
            while any(heads_of(stage).owed for stage in self.stages):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.05)

    async def write(self) -> None:
        kinds = (self.put, self.count, self.mutate)
        await asyncio.gather(*(kind(number) for kind in kinds for number in range(WRITERS)))


async def test_nothing_acknowledged_is_lost_or_stale_through_either(
    stages: tuple[Stage, Stage], cassandra: Cluster, well: None
) -> None:
    crowd, (first, second) = Crowd(stages), map(Sets, stages)
    first.work()
    writing = asyncio.ensure_future(crowd.write())
    await crowd.more(SOME)
    cassandra.servers[0].pause()
    await asyncio.sleep(PAUSE_S)
    cassandra.servers[0].resume()
    # Another process goes on with the sets.
    await first.rest()
    second.work()
    await crowd.more(SOME)
    cassandra.servers[0].kill()
    await asyncio.to_thread(cassandra.restart)
    await crowd.more(SOME)
    crowd.goes_on = False
    await writing
    for number, mutation_id in enumerate(crowd.sets):
        await (first, second)[number % 2].until(mutation_id, "applied")
    await crowd.told()
    for turn in range(2):
        for id, value in crowd.values.items():
            assert [each.value for each in await get(crowd.kv("cached", turn), id=id)] == [value]
        assert await (first, second)[turn].there("guarded", "counter") == {b"n": b"%d" % crowd.counted}
        assert await (first, second)[turn].there("cached", "marks") == dict.fromkeys(sorted(crowd.marks), b"2")
        assert await (first, second)[turn].there("guarded", "marks") == dict.fromkeys(sorted(crowd.marks), b"1")
    await second.rest()
