"""Values as streams on a real Cassandra: tens of megabytes in, whole or in part out, replaced, broken off, dropped."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from xxhash import xxh3_128, xxh3_128_hexdigest

from soundstage.core.environment import SystemEnvironment, VirtualEnvironment
from soundstage.core.errors import PreconditionFailed, TokenReused, Unavailable
from soundstage.core.hlc import TokenClock
from soundstage.data.kv import Condition, KeyValue
from soundstage.data.kv.service import KeyValueService
from soundstage.engines.records.port import Budget
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec
from soundstage.runtime.stage import Stage
from soundstage.servers import Cluster

pytestmark = pytest.mark.slow

MIB = 1 << 20
SIZE_MIB = 64


@pytest.fixture
def url(cassandra: Cluster) -> str:
    return f"{cassandra.url}/suite?space=values-{time.time_ns()}"


@pytest.fixture
async def stage(url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    config: dict[str, Any] = {"engines": {"default": {"url": url}}, "telemetry": {"log_level": "warning"}}
    async with Stage.open(config=config, data=str(tmp_path), variables={}) as stage:
        yield stage


async def declare(stage: Stage, name: str, **knobs: Any) -> KeyValue:
    await stage.client(Namespaces).put(namespace=NamespaceSpec(name=name, abstraction="kv", config=knobs))
    return stage.client(KeyValue, name)


def block(number: int) -> bytes:
    return number.to_bytes(8, "big") * (MIB // 8)


async def blocks(count: int, error: Exception | None = None) -> AsyncIterator[bytes]:
    for number in range(count):
        yield block(number)
    if error is not None:
        raise error


async def test_much_is_put_and_got_whole_and_in_part(stage: Stage) -> None:
    films = await declare(stage, "films")
    put = await films.put_value(blocks(SIZE_MIB), id="heat", key=b"film")
    digest = xxh3_128()
    async with films.get_value(id="heat", key=b"film") as film:
        async for part in film:
            digest.update(part)
    assert (put.size, put.checksum) == (SIZE_MIB * MIB, digest.hexdigest())
    async with films.get_value(id="heat", key=b"film", start=17 * MIB - 8, end=17 * MIB + 8) as film:
        assert await film.read() == block(16)[:8] + block(17)[:8]


async def test_a_repetition_is_one_write_and_something_else_refused(stage: Stage) -> None:
    films = await declare(stage, "films")
    token = TokenClock(SystemEnvironment()).token()
    first = await films.put_value(blocks(3), id="heat", key=b"film", idempotency_token=token)
    assert await films.put_value(blocks(3), id="heat", key=b"film", idempotency_token=token) == first
    with pytest.raises(TokenReused):
        await films.put_value(blocks(2), id="heat", key=b"film", idempotency_token=token)


async def test_conditions_are_held_against_what_is_there(stage: Stage) -> None:
    films = await declare(stage, "films", conditional_writes=True)
    absent = Condition(key=b"film", absent=True)
    first = await films.put_value(blocks(2), id="heat", key=b"film", condition=absent)
    with pytest.raises(PreconditionFailed):
        await films.put_value(blocks(3), id="heat", key=b"film", condition=absent)
    same = Condition(key=b"film", token=first.idempotency_token)
    await films.put_value(b"short", id="heat", key=b"film", condition=same)
    async with films.get_value(id="heat", key=b"film") as film:
        assert (await film.read(), film.info.checksum) == (b"short", xxh3_128_hexdigest(b"short"))


async def test_what_is_nobody_s_is_dropped(stage: Stage, url: str, tmp_path: Path) -> None:
    films = await declare(stage, "films")
    await films.put_value(blocks(2), id="heat", key=b"film")
    await films.put_value(blocks(3), id="heat", key=b"film")
    with pytest.raises(Unavailable):
        await films.put_value(blocks(6, Unavailable("gone")), id="heat", key=b"film")
    assert await chunks(stage) > 12
    environment = VirtualEnvironment(start_ns=time.time_ns())
    config: dict[str, Any] = {"engines": {"default": {"url": url}}, "telemetry": {"log_level": "warning"}}
    later = Stage.open(config=config, data=str(tmp_path / "later"), variables={}, environment=environment)
    async with later:
        service = await later.systems.started("kv")
        assert isinstance(service, KeyValueService)
        for _ in range(3):
            environment.advance(30_000)
            await service.sweep_values("films", 1_000)
    assert await chunks(stage) == 12
    async with films.get_value(id="heat", key=b"film") as film:
        assert await film.read() == b"".join([part async for part in blocks(3)])


async def chunks(stage: Stage) -> int:
    """How many chunks the namespace has."""
    service = await stage.systems.started("kv")
    assert isinstance(service, KeyValueService)
    served = service._serve("films")
    found, position = 0, b""
    while position is not None:
        page = await served.records.walk(
            served.values_table, 0, 1, position or None, Budget(), stage.environment.now_us()
        )
        found += sum(len(rows) for partition, rows in page.partitions if partition[:1] == b"c")
        position = page.position
    return found
