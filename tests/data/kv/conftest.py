from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.data.kv.caches import World

from soundstage.core.environment import Environment, VirtualEnvironment
from soundstage.core.message import Duration, IdempotencyToken, Instant
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv.api import Item, KeyValue, MatchAll, MatchKeys, MatchRange, Predicate, PutItem
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.service import KeyValueService
from soundstage.engines.records.port import Records
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

OpenStage: TypeAlias = Callable[..., Awaitable[Stage]]

ALL = Predicate(match_all=MatchAll())


def keys(*keys: bytes) -> Predicate:
    return Predicate(match_keys=MatchKeys(keys=list(keys)))


def between(start: bytes | None = None, end: bytes | None = None, **flags: bool) -> Predicate:
    return Predicate(match_range=MatchRange(start=start, end=end, **flags))


def item(key: bytes, value: bytes = b"", ttl: str | None = None) -> PutItem:
    return PutItem(key=key, value=value, ttl=None if ttl is None else Duration.parse(ttl))


def values(items: Sequence[Item]) -> dict[bytes, bytes | None]:
    return {found.key: found.value for found in items}


class Clock:
    """Tokens of a caller whose clock is the stage's; `at` is in microseconds from the present."""

    def __init__(self, environment: VirtualEnvironment) -> None:
        self._environment = environment
        self._made = 0

    def token(self, at: int = 0, text: str | None = None) -> IdempotencyToken:
        self._made += 1
        return IdempotencyToken(Instant.from_us(self._environment.now_us() + at), text or f"token-{self._made}")


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment(seed=5)


@pytest.fixture
def clock(environment: VirtualEnvironment) -> Clock:
    return Clock(environment)


async def make(stage: Stage, name: str, slos: Any = None, **config: Any) -> KeyValue:
    """A client of the namespace `name`, which exists with these knobs."""
    spec = NamespaceSpec(name=name, abstraction="kv", config=config, slos=slos)
    await stage.client(Namespaces).put(namespace=spec)
    return stage.client(KeyValue, name)


def served(stage: Stage, name: str = "people") -> ServedNamespace:
    """A namespace as the service of this stage keeps it; asked for once there was a call."""
    service = stage.systems.service("kv")
    assert isinstance(service, KeyValueService)
    return service._served[name]


@pytest.fixture
async def open_stage(environment: VirtualEnvironment, tmp_path: Path) -> AsyncIterator[OpenStage]:
    """Opens stages on the virtual clock: in memory, in a folder, or over a given engine."""
    async with AsyncExitStack() as opened:

        async def open(
            engine: str | Records = "memory", on: Environment | None = None, durability: str = "os"
        ) -> Stage:
            # Little here is about power cuts, and flushing every write would take most of the time.
            embedded = {"url": f"rocksdb://{tmp_path}/database", "durability": durability}
            stage = Stage.open(
                data="memory:",
                config={"engines": {"default": embedded if engine == "rocksdb" else {"url": "memory:"}}},
                engines={} if isinstance(engine, str) else {"default": engine},
                environment=on or environment,
                variables={},
            )
            return await opened.enter_async_context(stage)

        yield open


@pytest.fixture(params=["memory", "rocksdb"])
async def stage(request: pytest.FixtureRequest, open_stage: OpenStage) -> Stage:
    """A stage on each embedded engine in turn."""
    return await open_stage(request.param)


@pytest.fixture
async def kv(stage: Stage) -> KeyValue:
    """The namespace `people`, on each embedded engine in turn."""
    return await make(stage, "people")


@pytest.fixture
async def plain_stage(open_stage: OpenStage) -> Stage:
    """A stage in memory, for what does not depend on the engine."""
    return await open_stage()


@pytest.fixture
async def plain(plain_stage: Stage) -> KeyValue:
    """The namespace `people` in memory."""
    return await make(plain_stage, "people")


@pytest.fixture
async def world(environment: VirtualEnvironment) -> AsyncIterator[World]:
    """One store and one cache for as many stages as a test opens."""
    world = World(environment)
    yield world
    await world.close()
