"""Kills a process that appends, again and again, and checks what it promised.

What was answered is there, at the offsets that were told; so is what a reader was shown. Offsets are dense, a call is
there whole or not at all, and so are a record and the entries that were written together.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import msgspec

from soundstage.engines.log.port import Log
from soundstage.engines.records.port import DEFAULT_BUDGET, Records, Span
from soundstage.testing.crash import Broken
from soundstage.testing.crash.disk import lose_power, shim_variables
from soundstage.testing.log.victim import PARTITIONS, TABLE, TOPIC, Acked, Line, Opened, Shown, opened

VICTIM: Sequence[str] = (sys.executable, "-m", "soundstage.testing.log.victim")

_decode = msgspec.json.Decoder(Line).decode


class LogPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How to run: each round kills after about `calls_per_round` answers. See `soundstage.testing.crash.Plan`."""

    rounds: int = 3
    calls_per_round: int = 300
    producers: int = 8
    seed: int = 0
    shim: Path | None = None
    delay_ms: int = 0
    program: Sequence[str] = VICTIM


class LogCrashReport(msgspec.Struct, kw_only=True):
    """What a run did; `bytes_lost` counts what power losses took, none of it promised."""

    acknowledged: int = 0
    shown: int = 0
    bytes_lost: int = 0


class _Promises:
    def __init__(self) -> None:
        self.acked: list[Acked] = []
        self.shown: dict[tuple[int, int], bytes] = {}
        self.calls = 0

    def hear(self, line: Line) -> None:
        if isinstance(line, Acked):
            self.acked.append(line)
            self.calls = max(self.calls, line.call)
        elif isinstance(line, Shown):
            self.shown[line.partition, line.offset] = line.value


def crash_log(folder: Path, plan: LogPlan) -> LogCrashReport:
    """Run the plan in `folder`. Raises `Broken` when a promise was not kept."""
    data, journal = folder / "data", folder / "journal"
    variables = {} if plan.shim is None else shim_variables(plan.shim, journal, plan.delay_ms)
    promises, random = _Promises(), Random(f"{plan.seed} kills of a log")
    report = LogCrashReport()
    for _ in range(plan.rounds):
        _round(data, plan, promises, random.randint(1, 2 * plan.calls_per_round), variables)
        if plan.shim is not None:
            report.bytes_lost += lose_power(data, journal)
        # A look changes files, behind the back of the disk that knows what was flushed.
        seen = folder / "seen"
        shutil.rmtree(seen, ignore_errors=True)
        shutil.copytree(data, seen)
        asyncio.run(_verify(str(seen), promises, plan.producers))
    report.acknowledged, report.shown = len(promises.acked), len(promises.shown)
    return report


def _round(data: Path, plan: LogPlan, promises: _Promises, calls: int, variables: Mapping[str, str]) -> None:
    """A process runs until so many calls were answered, and is killed."""
    # Calls in doubt may be there: those of the next process are others.
    command = [*plan.program, str(data), str(promises.calls + 1_000), str(plan.producers)]
    wanted = len(promises.acked) + calls
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=_environment(variables)) as process:
        if process.stdout is None or not isinstance(_next(process.stdout.readline()), Opened):
            process.kill()
            raise Broken("the process that was to be killed ended by itself")
        while len(promises.acked) < wanted and (line := process.stdout.readline()):
            promises.hear(_decode(line))
        # To the next thing that is shown: if it was shown too soon, it is not on the disk yet.
        while line := process.stdout.readline():
            promises.hear(told := _decode(line))
            if isinstance(told, Shown):
                break
        process.kill()
        for line in process.stdout:
            # What it had told before it died is promised too; of the last line a part may be missing.
            if line.endswith(b"\n"):
                promises.hear(_decode(line))


def _next(line: bytes) -> Line | None:
    return _decode(line) if line else None


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **variables}


async def _verify(data: str, promises: _Promises, producers: int) -> None:
    records, log = opened(data)
    await records.start()
    await log.start()
    try:
        if not await log.topics():
            raise Broken("the topic was acknowledged, and is not there")
        found = {partition: await _entries(log, partition) for partition in range(PARTITIONS)}
        _check_promises(found, promises)
        _check_calls(found, await _written(records, producers))
    finally:
        await log.stop()
        await records.stop()


async def _entries(log: Log, partition: int) -> list[bytes]:
    entries: list[bytes] = []
    while True:
        page = await log.read(TOPIC, partition, len(entries), 10_000)
        for entry in page.entries:
            if entry.offset != len(entries):
                raise Broken(f"the partition {partition} has no offset {len(entries)}, but {entry.offset}")
            entries.append(entry.value or b"")
        if page.next == page.end:
            return entries


def _check_promises(found: Mapping[int, Sequence[bytes]], promises: _Promises) -> None:
    for acked in promises.acked:
        for index, (partition, offset) in enumerate(acked.spots):
            told = b"%d:%d:%d:" % (acked.producer, acked.call, index)
            if len(found[partition]) <= offset or not found[partition][offset].startswith(told):
                raise Broken(f"an entry was acknowledged at {offset} of the partition {partition}, and is not there")
    for (partition, offset), value in promises.shown.items():
        if len(found[partition]) <= offset or found[partition][offset] != value:
            raise Broken(f"the entry {offset} of the partition {partition} was shown, and then was another or gone")


def _check_calls(found: Mapping[int, Sequence[bytes]], written: set[tuple[int, int]]) -> None:
    """Calls are whole, and those that wrote a record have one."""
    seen: dict[tuple[int, int], set[int]] = {}
    counts: dict[tuple[int, int], int] = {}
    for values in found.values():
        for value in values:
            producer, call, index, count = map(int, value.split(b":"))
            if index in seen.setdefault((producer, call), set()):
                raise Broken(f"an entry of the call {call} of producer {producer} is there twice")
            seen[producer, call].add(index)
            counts[producer, call] = count
    for call, indices in seen.items():
        if len(indices) != counts[call]:
            raise Broken(f"of the call {call} there are {len(indices)} entries of {counts[call]}")
    together = {call for call in seen if call[1] % 2}
    if together != written:
        raise Broken(f"of what was written together, one half is there: {sorted(together ^ written)[:3]}")


async def _written(records: Records, producers: int) -> set[tuple[int, int]]:
    found: set[tuple[int, int]] = set()
    for producer in range(producers):
        span: Span | None = Span()
        while span is not None:
            page = await records.read(TABLE, b"%d" % producer, span, DEFAULT_BUDGET, 1 << 50)
            found |= {(producer, int(key)) for key, _ in page.rows}
            span = None if page.resume is None else Span(page.resume)
    return found
