"""A trial of an engine: it is opened, asked what it can, and made to keep a value for a moment, timed.

What is written has a random name and is deleted again: a table of its own on the records port, a topic on the log
port, an index on the search port, one key elsewhere.
"""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from importlib import import_module

import msgspec

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.errors import DataLoss, SoundstageError
from soundstage.engines.blobs.port import Blobs
from soundstage.engines.cache.port import Cache
from soundstage.engines.log.port import Entry, Log, Spot, TopicSpec
from soundstage.engines.records.port import Batch, Records, TableSpec
from soundstage.engines.search.port import Action, Delete, Field, IndexSpec, Kind, Put, Search, Status
from soundstage.engines.tables.filters import ALL
from soundstage.engines.tables.port import Tables
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.engines import Engines
from soundstage.runtime.openers import Engine, Port

ROUNDS = 20
TABLE_ROUNDS = 5
"""Changes of tables take longer than all else."""

VALUE = b"soundstage"

Step = Callable[[], Awaitable[bool]]


class Latency(msgspec.Struct, frozen=True):
    """How long one kind of call took, in milliseconds: at best, in the middle, at worst."""

    best: float
    median: float
    worst: float


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one port of an engine. `problem` is empty when all went well; the times are then complete."""

    port: str
    version: str = ""
    capabilities: list[str] = []
    connect_ms: float = 0.0
    write: Latency | None = None
    read: Latency | None = None
    delete: Latency | None = None
    problem: str = ""
    code: str = ""


async def try_engine(config: EngineConfig, data: str, environment: Environment, rounds: int = ROUNDS) -> list[Trial]:
    """What comes of each port that the engine's URL offers; the engine is closed again.

    Raises `InvalidArgument` for a URL or options that are wrong. What fails later is told in the trial.
    """
    engines = Engines({"engine": config}, data, environment)
    return [await _tried(port, engine, environment, rounds) for port, engine in engines.ports("engine").items()]


async def _tried(port: Port, engine: Engine, environment: Environment, rounds: int) -> Trial:
    trial = Trial(port=port, capabilities=sorted(engine.capabilities))
    began = environment.monotonic_ns()
    try:
        await engine.start()
        try:
            told = getattr(engine, "server_version", None)
            said = "" if told is None else await told()
            trial = msgspec.structs.replace(trial, version=said, connect_ms=_ms(environment, began))
            return msgspec.structs.replace(trial, **await _round_trips(port, engine, environment, rounds))
        finally:
            await engine.stop()
    except SoundstageError as error:
        hint = f" ({error.hint})" if error.hint else ""
        return msgspec.structs.replace(trial, problem=f"{error.detail}{hint}", code=error.code)


async def _round_trips(port: Port, engine: Engine, environment: Environment, rounds: int) -> Mapping[str, Latency]:
    name = f"check-{environment.random.getrandbits(64):016x}"
    if port == "records":
        return await _records(engine, name, environment, rounds)
    if port == "log":
        return await _log(engine, name, environment, rounds)
    if port == "search":
        return await _search(engine, name, environment, rounds)
    if port == "tables":
        return await _tables(engine, name.replace("-", "_"), environment, min(rounds, TABLE_ROUNDS))
    steps = _blobs(engine, name) if port == "blobs" else _cache(engine, name)
    try:
        return await _timed(steps, environment, rounds)
    except SoundstageError:
        with suppress(SoundstageError):
            await steps["delete"]()
        raise


async def _records(records: Records, name: str, environment: Environment, rounds: int) -> Mapping[str, Latency]:
    partition, key = b"partition", b"key"

    async def apply(cell: bytes) -> bool:
        return await records.apply(name, partition, Batch(cells=((key, cell),))) > 0

    async def read() -> bool:
        page = await records.get(name, partition, (key,), environment.now_us())
        return len(page.rows) == 1 and bytes(version.split(page.rows[0][1]).value) == VALUE

    steps: dict[str, Step] = {
        "write": lambda: apply(version.put(environment.now_us(), name, VALUE)),
        "read": read,
        "delete": lambda: apply(version.delete(environment.now_us(), name)),
    }
    await records.create_table(TableSpec(name=name))
    try:
        return await _timed(steps, environment, rounds)
    finally:
        await records.drop_table(name)


async def _log(log: Log, name: str, environment: Environment, rounds: int) -> Mapping[str, Latency]:
    spots: list[Spot] = []

    async def append() -> bool:
        spots[:] = await log.append(name, [Entry(VALUE)])
        return len(spots) == 1

    async def read() -> bool:
        page = await log.read(name, spots[0].partition, spots[0].offset)
        return [entry.value for entry in page.entries] == [VALUE]

    async def drop() -> bool:
        await log.drop_topic(name)
        return True

    await log.create_topic(TopicSpec(name=name))
    try:
        found = await _timed({"write": append, "read": read}, environment, rounds)
        return {**found, **await _timed({"delete": drop}, environment, 1)}
    finally:
        await log.drop_topic(name)


async def _search(search: Search, name: str, environment: Environment, rounds: int) -> Mapping[str, Latency]:
    fields = {"name": VALUE.decode()}

    async def made(action: Action) -> bool:
        return [each.status for each in await search.bulk(name, [action])] == [Status.APPLIED]

    async def read() -> bool:
        (found,) = await search.get(name, ["key"])
        return found is not None and found.fields == fields

    steps: dict[str, Step] = {
        "write": lambda: made(Put("key", fields)),
        "read": read,
        "delete": lambda: made(Delete("key")),
    }
    await search.create_index(IndexSpec(name=name, fields={"name": Field(kind=Kind.TEXT)}))
    try:
        return await _timed(steps, environment, rounds)
    finally:
        await search.drop_index(name)


async def _tables(tables: Tables, name: str, environment: Environment, rounds: int) -> Mapping[str, Latency]:
    spec, rows = import_module("soundstage.engines.tables.sample").sample(name)

    async def write() -> bool:
        return (await tables.append(name, rows)).rows == len(rows)

    async def read() -> bool:
        return [row async for batch in tables.scan(name) for row in batch.to_pylist()] == rows.to_pylist()

    async def delete() -> bool:
        return await tables.delete(name, ALL) is not None

    await tables.create(spec)
    try:
        return await _timed({"write": write, "read": read, "delete": delete}, environment, rounds)
    finally:
        await tables.drop(name)


def _blobs(blobs: Blobs, name: str) -> dict[str, Step]:
    async def content() -> AsyncIterator[bytes]:
        yield VALUE

    async def write() -> bool:
        return (await blobs.put(name, content())).size == len(VALUE)

    async def read() -> bool:
        return b"".join([chunk async for chunk in blobs.open(name)]) == VALUE

    async def delete() -> bool:
        await blobs.delete(name)
        return True

    return {"write": write, "read": read, "delete": delete}


def _cache(cache: Cache, name: str) -> dict[str, Step]:
    key = name.encode()

    async def read() -> bool:
        (found,) = await cache.get([key])
        return found.value == VALUE

    return {"write": lambda: cache.set(key, VALUE, ttl_s=60), "read": read, "delete": lambda: cache.delete(key)}


async def _timed(steps: Mapping[str, Step], environment: Environment, rounds: int) -> Mapping[str, Latency]:
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            began = environment.monotonic_ns()
            if not await step():
                raise DataLoss(f"the engine did not {name} what it was given", hint="it is no engine to rely on")
            taken[name].append(_ms(environment, began))
    return {name: Latency(min(each), statistics.median(each), max(each)) for name, each in taken.items()}


def _ms(environment: Environment, began_ns: int) -> float:
    return round((environment.monotonic_ns() - began_ns) / 1e6, 3)
