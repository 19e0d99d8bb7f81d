"""A restore drill: a stage that is written to is backed up meanwhile, lost, and brought back on the command line."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.runtime.backups.test_service import made, open_stage

from soundstage.core import version
from soundstage.engines.log.port import Appending, Applying, AtomicWithLog, Entry, TopicSpec
from soundstage.engines.records.port import Batch, Budget, Records, Span, TableSpec
from soundstage.runtime.backups import Backups
from soundstage.runtime.stage import Stage

TABLE, TOPIC = "drill/plays", "plays"
WRITERS = 8


def atomic(stage: Stage) -> AtomicWithLog:
    log = stage.log("default")
    assert isinstance(log, AtomicWithLog)
    return log


def records(stage: Stage) -> Records:
    return stage.engines.get("default", "engine")


class Writers:
    """Each numbers its writes, every one a record and an entry in one batch, until they are stopped."""

    def __init__(self, stage: Stage) -> None:
        self.answered: list[int] = [0] * WRITERS
        self.stopping: bool = False
        self._stage = stage
        self._told = asyncio.Event()
        self._tasks = [asyncio.ensure_future(self._write(writer)) for writer in range(WRITERS)]

    async def stop(self) -> None:
        self.stopping = True
        await asyncio.gather(*self._tasks)

    async def until(self, answered: int) -> None:
        """Every writer was answered so many more writes."""
        wanted = [count + answered for count in self.answered]
        while any(count < least for count, least in zip(self.answered, wanted, strict=True)):
            self._told.clear()
            await self._told.wait()
            for task in self._tasks:
                assert not task.done() or task.exception() is None

    async def _write(self, writer: int) -> None:
        while not self.stopping:
            number = self.answered[writer]
            key = b"%06d" % number
            cell = version.put(1 + number, f"{writer}-{number}", key)
            write = Applying(table=TABLE, partition=b"%d" % writer, batch=Batch(cells=[(key, cell)]))
            append = Appending(topic=TOPIC, entries=[Entry(key)], partition=writer)
            try:
                await atomic(self._stage).write_together([write], [append])
                self.answered[writer] += 1
            finally:
                self._told.set()
            # A write whose flush is quick is answered without a pause.
            await asyncio.sleep(0)


async def recorded(stage: Stage, writer: int) -> list[bytes]:
    found: list[bytes] = []
    span: Span | None = Span()
    while span is not None:
        page = await records(stage).read(TABLE, b"%d" % writer, span, Budget(), stage.environment.now_us())
        found += [key for key, _ in page.rows]
        span = None if page.resume is None else Span(start=page.resume)
    return found


async def logged(stage: Stage, writer: int) -> list[bytes]:
    log, found, offset = stage.log("default"), list[bytes](), 0
    while (page := await log.read(TOPIC, writer, offset)).entries:
        found += [each.value or b"" for each in page.entries]
        offset = page.next
    return found


def restore(backup: str, data: Path) -> None:
    command = [sys.executable, "-m", "soundstage", "data", "restore", backup, "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Held(NamedTuple):
    """What a stage has of one writer."""

    rows: list[bytes]
    entries: list[bytes]

    @property
    def is_of_one_moment(self) -> bool:
        """Each write was of both: whatever moment it was, both have the same ones, without a gap."""
        return self.rows == self.entries == [b"%06d" % number for number in range(len(self.rows))]


async def held(data: Path) -> list[Held]:
    """What a stage on this folder has of each writer."""
    async with open_stage(data) as stage:
        return [Held(await recorded(stage, writer), await logged(stage, writer)) for writer in range(WRITERS)]


async def brought_back(backup: Path, data: Path) -> list[Held]:
    """What a backup holds, as a stage serves it."""
    await asyncio.to_thread(restore, str(backup), data)
    return await held(data)


async def begin(stage: Stage) -> Writers:
    await records(stage).create_table(TableSpec(name=TABLE))
    await stage.log("default").create_topic(TopicSpec(name=TOPIC, partitions=WRITERS))
    return Writers(stage)


@pytest.mark.slow
async def test_what_comes_back_is_one_moment_of_records_and_log_with_all_that_was_answered_before(
    tmp_path: Path,
) -> None:
    async with open_stage(tmp_path / "data") as stage:
        writers = await begin(stage)
        await writers.until(answered=20)
        before = list(writers.answered)
        backup = await made(stage.client(Backups))
        await writers.until(answered=5)
        await writers.stop()
        shutil.copytree(backup.folder, tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "data")
    for writer, found in enumerate(await brought_back(tmp_path / "elsewhere", tmp_path / "data")):
        assert found.is_of_one_moment
        assert before[writer] <= len(found.rows) < writers.answered[writer]


@pytest.mark.slow
async def test_records_and_log_that_were_copied_one_after_the_other_would_be_seen_to_be(tmp_path: Path) -> None:
    async with open_stage(tmp_path / "data") as stage:
        writers = await begin(stage)
        await writers.until(answered=5)
        earlier = await made(stage.client(Backups), "earlier")
        await writers.until(answered=1)
        later = await made(stage.client(Backups), "later")
        await writers.stop()
    first, second = [await brought_back(Path(each.folder), tmp_path / each.name) for each in (earlier, later)]
    for one, other in zip(first, second, strict=True):
        assert one.is_of_one_moment
        assert other.is_of_one_moment
        assert not Held(one.rows, other.entries).is_of_one_moment
        assert not Held(other.rows, one.entries).is_of_one_moment
