"""How does the RESP door compare with Redis? One redis-benchmark, over 1 and 50 connections, pipelines of 1 and 16.

Each is one process that serves on one core. `calls/s` are what redis-benchmark says; `calls/CPU s` are calls per second
of the server's own CPU time, which is its throughput per core. Durability `group` is set beside appendfsync always,
`os` beside appendfsync no. Needs `apt-get install redis-server redis-tools`.
"""

from __future__ import annotations

import csv
import socket
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple
from urllib.request import urlopen

import msgspec

from benchmarks.programs import cpu_seconds, need, output_of, redis
from benchmarks.report import Figure, figure, interleaved, options, show
from soundstage.testing.crash.process import StageProcess

PROGRAMS = {"redis-server": "redis-server", "redis-benchmark": "redis-tools"}
VALUE_BYTES = 100
HASH = "myhash"
"""The key that redis-benchmark writes fields of."""

TARGET = 0.2

Command = Literal["get", "set", "hset"]


class Scale(msgspec.Struct, frozen=True):
    """How much is done; `seconds` of each kind in a round."""

    rounds: int
    seconds: float
    keys: int = 10_000


FULL = Scale(rounds=5, seconds=2.0)
QUICK = Scale(rounds=3, seconds=0.35, keys=2_000)


class Load(NamedTuple):
    """What is asked, over how many connections, how many at a time over each."""

    command: Command
    connections: int
    pipeline: int

    @property
    def name(self) -> str:
        return f"{self.command}_c{self.connections}_p{self.pipeline}"


LOADS = tuple(
    Load(command, connections, pipeline)
    for pipeline in (1, 16)
    for connections in (1, 50)
    for command in ("get", "set", "hset")
)


class Server:
    """One that speaks RESP. `per_core` has its calls per second of CPU, run by run and load by load."""

    def __init__(self, port: int, pid: int, scale: Scale) -> None:
        self._port = port
        self._pid = pid
        self._scale = scale
        self._rates: dict[Load, float] = {}
        self.per_core: dict[Load, list[float]] = {}

    def fill(self) -> None:
        """Every key and every field that will be asked for is there."""
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            value = b"x" * VALUE_BYTES
            for start in range(0, self._scale.keys, 500):
                numbers = range(start, min(start + 500, self._scale.keys))
                sent = [_command(b"SET", b"key:%012d" % number, value) for number in numbers]
                fields = [part for number in numbers for part in (b"element:%012d" % number, value)]
                sent.append(_command(b"HSET", HASH.encode(), *fields))
                connection.sendall(b"".join(sent))
                _read_lines(connection, len(sent))

    def rate(self, load: Load) -> float:
        """Calls per second."""
        count = max(500, int(self._rates.get(load, 2_000) * self._scale.seconds))
        before = cpu_seconds(self._pid)
        printed = output_of(
            *("redis-benchmark", "-p", str(self._port), "-t", load.command, "-n", str(count)),
            *("-c", str(load.connections), "-P", str(load.pipeline)),
            *("-r", str(self._scale.keys), "-d", str(VALUE_BYTES), "--csv"),
        )
        spent = cpu_seconds(self._pid) - before
        if spent > 0:
            self.per_core.setdefault(load, []).append(count / spent)
        self._rates[load] = float(next(csv.DictReader(printed.splitlines()))["rps"])
        return self._rates[load]


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def _read_lines(connection: socket.socket, count: int) -> None:
    seen = 0
    while seen < count:
        data = connection.recv(1 << 16)
        if not data or b"-" in data:
            raise RuntimeError(f"the server refused to be filled: {data[:200]!r}")
        seen += data.count(b"\n")


@contextmanager
def door(folder: Path, durability: str, scale: Scale) -> Generator[Server]:
    """A stage in a process of its own with a RESP door, filled."""
    folder.mkdir()
    stage_file = folder / "stage.toml"
    stage_file.write_text(
        f'[engines.default]\nurl = "rocksdb:records"\ndurability = "{durability}"\n'
        '[doors.resp]\nlisten = "127.0.0.1:0"\n'
    )
    with StageProcess(folder / "data", stage_file=stage_file) as stage:
        with urlopen(f"{stage.url}/status.json", timeout=30) as answer:
            (opened,) = msgspec.json.decode(answer.read())["doors"]
        server = Server(int(opened["address"].rpartition(":")[2]), stage.pid, scale)
        server.fill()
        yield server


@contextmanager
def rival(folder: Path, fsync: str, scale: Scale) -> Generator[Server]:
    """A Redis, filled."""
    with redis(folder, fsync) as (port, pid):
        server = Server(port, pid, scale)
        server.fill()
        yield server


def measure(scale: Scale, loads: Sequence[Load] = LOADS) -> list[Figure]:
    """All figures."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soundstage-bench-")))
        lazy = stack.enter_context(door(folder / "os", "os", scale))
        durable = stack.enter_context(door(folder / "group", "group", scale))
        never = stack.enter_context(rival(folder / "redis-no", "no", scale))
        always = stack.enter_context(rival(folder / "redis-always", "always", scale))
        figures = _compared("os", scale, loads, lazy, never, "Redis appendfsync no")
        writes = [load for load in loads if load.command != "get"]
        return figures + _compared("group", scale, writes, durable, always, "Redis appendfsync always")


def _compared(
    durability: str, scale: Scale, loads: Sequence[Load], ours: Server, theirs: Server, note: str
) -> list[Figure]:
    sides: list[Callable[[], float]] = [partial(side.rate, load) for load in loads for side in (ours, theirs)]
    for side in sides:
        side()
    for server in (ours, theirs):
        server.per_core.clear()
    rates = interleaved(scale.rounds, *sides)
    figures: list[Figure] = []
    for place, load in enumerate(loads):
        name = f"resp.{load.name}_{durability}"
        target = TARGET if load.pipeline == 1 else None
        figures.append(
            figure(name, rates[2 * place], rates[2 * place + 1], "calls/s", "higher", target=target, note=note)
        )
        figures.append(
            figure(
                f"{name}_per_core",
                median(ours.per_core.get(load, [0.0])),
                median(theirs.per_core[load]) if load in theirs.per_core else None,
                "calls/CPU s",
                "higher",
                target=target,
                note=note,
            )
        )
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    need(PROGRAMS)
    show("The RESP door, next to Redis", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
