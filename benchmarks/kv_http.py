"""How much does a call over HTTP cost? Gets and puts by a compiled load generator, next to Redis.

wrk sends over 32 connections to one `soundstage up`; redis-benchmark over as many to one Redis. Needs
`apt-get install wrk redis-server redis-tools`. CPU times are the server process's own. Besides, what HTTP
in Python costs at all: a server that answers the same requests with one fixed reply.
"""

from __future__ import annotations

import asyncio
import csv
import random
import tempfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.bare_http import bare_http
from benchmarks.programs import cpu_seconds, need, output_of, redis
from benchmarks.report import Better, Figure, figure, interleaved, options, show
from soundstage.client import connect
from soundstage.core.codec import JSON, MSGPACK, ContentType, encoder
from soundstage.data.kv import KeyValue, MatchKeys, Predicate, PutItem
from soundstage.data.kv.api import GetItems, PutItems
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec
from soundstage.testing.crash.process import StageProcess

PROGRAMS = {"wrk": "wrk", "redis-server": "redis-server", "redis-benchmark": "redis-tools"}
SCRIPT = Path(__file__).with_name("replay.lua")
CONNECTIONS = 32
VALUE_BYTES = 200
ITEMS = 10
"""Items of each record."""


class Scale(msgspec.Struct, frozen=True):
    """How much is done; `seconds` of each kind of call in a round, about as long in Redis."""

    rounds: int
    seconds: int
    records: int = 1_000


FULL = Scale(rounds=9, seconds=4)
QUICK = Scale(rounds=3, seconds=1)


class Load(msgspec.Struct, frozen=True):
    """What came of one run of the load generator."""

    requests: int
    seconds: float
    refused: int
    broken: int
    p50_us: int
    p99_us: int


class Ours:
    """A `soundstage up` under load. `cpu_us` holds the server's CPU time per call of every run, by kind."""

    def __init__(self, server: StageProcess, folder: Path, scale: Scale) -> None:
        self._server = server
        self._folder = folder
        self._scale = scale
        self.cpu_us: dict[str, list[float]] = {}
        self.p99_us: dict[str, list[float]] = {}

    async def prepare(self) -> None:
        """The namespace is there, filled, and the bodies of all kinds of calls are written down."""
        draw = random.Random(1)
        values = [draw.randbytes(VALUE_BYTES) for _ in range(100)]
        keys = [b"item-%04d" % number for number in range(ITEMS)]
        ids = [f"record-{number:08d}" for number in range(self._scale.records)]
        async with connect(self._server.url) as connection:
            await connection.client(Namespaces).put(namespace=NamespaceSpec(name="bench", abstraction="kv"))
            kv = connection.client(KeyValue, "bench")
            items = [PutItem(key=key, value=values[0]) for key in keys]
            for start in range(0, len(ids), CONNECTIONS):
                await asyncio.gather(*(kv.put_items(id=id, items=items) for id in ids[start : start + CONNECTIONS]))
        addresses = [(id, key) for id in ids for key in keys]
        draw.shuffle(addresses)
        for wire in (JSON, MSGPACK):
            self._write("get", wire, [_get(id, key) for id, key in addresses])
            self._write("put", wire, [_put(id, key, draw.choice(values)) for id, key in addresses])

    def rate(self, kind: str, wire: ContentType) -> float:
        """Calls per second."""
        name = f"{kind}_{wire.rpartition('/')[2]}"
        load, cpu_us = loaded(self._server.url, self._server.pid, self.bodies(kind, wire), kind, wire, self._scale)
        if load.refused or load.broken:
            raise RuntimeError(f"{load.refused} calls were refused and {load.broken} broke: {self._server.errors()}")
        self.cpu_us.setdefault(name, []).append(cpu_us)
        self.p99_us.setdefault(name, []).append(load.p99_us)
        return load.requests / load.seconds

    def _write(self, kind: str, wire: ContentType, messages: Sequence[msgspec.Struct]) -> None:
        encode = encoder(wire)
        self.bodies(kind, wire).write_text("".join(f"{encode(message).hex()}\n" for message in messages))

    def bodies(self, kind: str, wire: ContentType) -> Path:
        """The file that holds the bodies of calls of one kind in one format."""
        return self._folder / f"{kind}-{wire.rpartition('/')[2]}"


def _get(id: str, key: bytes) -> GetItems:
    return GetItems(namespace="bench", id=id, predicate=Predicate(match_keys=MatchKeys(keys=[key])))


def _put(id: str, key: bytes, value: bytes) -> PutItems:
    return PutItems(namespace="bench", id=id, items=[PutItem(key=key, value=value)])


def loaded(url: str, pid: int, bodies: Path, kind: str, wire: ContentType, scale: Scale) -> tuple[Load, float]:
    """What came of one run against the server at `url`, and its CPU time per call, in µs."""
    before = cpu_seconds(pid)
    arguments = ("-t1", f"-c{CONNECTIONS}", f"-d{scale.seconds}s", "-s", str(SCRIPT), f"{url}/v1/kv/{kind}_items", "--")
    load = msgspec.json.decode(output_of("wrk", *arguments, str(bodies), wire).splitlines()[-1], type=Load)
    return load, (cpu_seconds(pid) - before) / load.requests * 1e6


class Floor:
    """A server that answers without looking, sent the puts of `ours`. `cpu_us` has each run's CPU time per call."""

    def __init__(self, url: str, pid: int, ours: Ours, scale: Scale) -> None:
        self._url = url
        self._pid = pid
        self._bodies = ours.bodies("put", JSON)
        self._scale = scale
        self.cpu_us: list[float] = []

    def rate(self) -> float:
        """Calls per second."""
        load, cpu_us = loaded(self._url, self._pid, self._bodies, "put", JSON, self._scale)
        self.cpu_us.append(cpu_us)
        return load.requests / load.seconds


class Redis:
    """A Redis under load. `cpu_us` as for `Ours`."""

    def __init__(self, port: int, pid: int, scale: Scale) -> None:
        self._port = port
        self._pid = pid
        self._scale = scale
        self._rates: dict[str, float] = {}
        self.cpu_us: dict[str, list[float]] = {}

    def rate(self, kind: str) -> float:
        """Calls per second."""
        count = max(1_000, int(self._rates.get(kind, 1_000) * self._scale.seconds))
        before = cpu_seconds(self._pid)
        printed = output_of(
            *("redis-benchmark", "-p", str(self._port), "-c", str(CONNECTIONS), "-n", str(count)),
            *("-r", str(self._scale.records * ITEMS), "-d", str(VALUE_BYTES), "-t", kind, "--csv"),
        )
        self.cpu_us.setdefault(kind, []).append((cpu_seconds(self._pid) - before) / count * 1e6)
        row = next(csv.DictReader(printed.splitlines()))
        self._rates[kind] = float(row["rps"])
        return self._rates[kind]


@contextmanager
def served(folder: Path, durability: str, scale: Scale) -> Generator[Ours]:
    """A stage in a process of its own, filled."""
    folder.mkdir()
    stage_file = folder / "stage.toml"
    stage_file.write_text(f'[engines.default]\nurl = "rocksdb:records"\ndurability = "{durability}"\n')
    with StageProcess(folder / "data", stage_file=stage_file) as server:
        ours = Ours(server, folder, scale)
        asyncio.run(ours.prepare())
        yield ours


def measure(scale: Scale) -> list[Figure]:
    """All figures."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soundstage-bench-")))
        durable = stack.enter_context(served(folder / "group", "group", scale))
        lazy = stack.enter_context(served(folder / "os", "os", scale))
        always = Redis(*stack.enter_context(redis(folder / "redis-always", "always")), scale)
        never = Redis(*stack.enter_context(redis(folder / "redis-no", "no")), scale)
        floor = Floor(*stack.enter_context(bare_http()), durable, scale)
        return _figures(scale, durable, lazy, always, never, floor)


def _figures(scale: Scale, durable: Ours, lazy: Ours, always: Redis, never: Redis, floor: Floor) -> list[Figure]:
    sides = [
        partial(durable.rate, "get", JSON),
        partial(durable.rate, "get", MSGPACK),
        partial(never.rate, "get"),
        partial(durable.rate, "put", JSON),
        partial(durable.rate, "put", MSGPACK),
        partial(always.rate, "set"),
        partial(lazy.rate, "put", MSGPACK),
        partial(never.rate, "set"),
        floor.rate,
    ]
    for side in (sides[0], sides[2], sides[5], sides[7]):
        side()
    for each in (durable, lazy, always, never):
        each.cpu_us.clear()
    get_json, get_msgpack, redis_get, put_json, put_msgpack, redis_always, put_lazy, redis_no, bare = interleaved(
        scale.rounds, *sides
    )
    rate: tuple[str, Better] = ("calls/s", "higher")
    return [
        cpu_figure("get_json", durable, 80, never.cpu_us["get"]),
        cpu_figure("get_msgpack", durable, 60, never.cpu_us["get"]),
        figure("kv_http.get_json", get_json, redis_get, *rate, target=0.25, note="Redis GET"),
        figure("kv_http.get_msgpack", get_msgpack, redis_get, *rate, target=0.25, note="Redis GET"),
        cpu_figure("put_json", durable, None, always.cpu_us["set"]),
        cpu_figure("put_msgpack", durable, None, always.cpu_us["set"]),
        figure("kv_http.put_json", put_json, redis_always, *rate, target=0.5, note="Redis SET, appendfsync always"),
        figure(
            "kv_http.put_msgpack", put_msgpack, redis_always, *rate, target=0.5, note="Redis SET, appendfsync always"
        ),
        figure("kv_http.put_os_msgpack", put_lazy, redis_no, *rate, note="durability os; Redis SET, appendfsync no"),
        figure("kv_http.floor", bare, redis_get, *rate, note="a fixed reply to every put, from Python; Redis GET"),
        figure("kv_http.floor_cpu", median(floor.cpu_us), None, "µs/call", "lower", note="its CPU"),
    ]


def cpu_figure(name: str, ours: Ours, target: float | None, theirs: Sequence[float]) -> Figure:
    """What a call of one kind costs the server."""
    note = f"server CPU; Redis {median(theirs):.1f} µs, p99 {median(ours.p99_us[name]) / 1e3:.1f} ms"
    return figure(f"kv_http.{name}_cpu", median(ours.cpu_us[name]), None, "µs/call", "lower", target=target, note=note)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    need(PROGRAMS)
    show("Over HTTP, next to Redis", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
