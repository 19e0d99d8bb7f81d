"""Two ports on one folder: records, and a log so small that it is written here."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.engines.records.rocksdb.journal import Journal, count_orders
from tests.engines.records.rocksdb.store import Store
from tests.engines.rocks.threads import NO_SPACE

from soundstage.core.errors import InvalidArgument, PreconditionFailed, Unavailable
from soundstage.engines.records.port import Condition, Conditional
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.folder import holder
from soundstage.testing.model import Put
from soundstage.testing.records.bench import RECORD
from soundstage.testing.records.writes import batch_of


@pytest.fixture
async def journal(conditional: Store) -> AsyncIterator[Journal]:
    opened = Journal(conditional.database)
    opened.open()
    yield opened
    await opened.close()


def put_and_log(store: Store, journal: Journal, number: int, batch: AtomicBatch) -> int:
    """For `Database.atomically`: an item, and an entry that says so; returns the entry's position."""
    write = store.write(at=number, puts={b"%d" % number: Put(b"value")})
    store.rocks.enlist(batch, store.spec.name, RECORD, batch_of(write))
    return journal.append(batch, b"put %d" % number)


async def test_records_and_entries_are_written_together(conditional: Store, journal: Journal) -> None:
    position = await conditional.database.atomically(lambda batch: put_and_log(conditional, journal, 1, batch))
    assert position == 0
    assert await conditional.values() == {b"1": b"value"}
    assert journal.entries() == [b"put 1"]


async def test_one_flush_makes_both_durable(conditional: Store, journal: Journal) -> None:
    before = conditional.disk.writes, conditional.disk.flushes
    await conditional.database.atomically(lambda batch: put_and_log(conditional, journal, 1, batch))
    after = conditional.disk.writes, conditional.disk.flushes
    assert (after[0] - before[0], after[1] - before[1]) == (1, 1)


async def test_a_failed_condition_leaves_the_log_as_it_was(conditional: Store, journal: Journal) -> None:
    await conditional.put(b"key", b"value", at=0)
    asked = Conditional(
        conditions=[Condition(b"key", None)], token="t", digest=b"", limit_us=conditional.at(10_000_000)
    )

    def build(batch: AtomicBatch) -> None:
        journal.append(batch, b"never")
        write = conditional.write(at=1, puts={b"key": Put(b"other")})
        conditional.rocks.enlist(batch, conditional.spec.name, RECORD, batch_of(write), asked)

    with pytest.raises(PreconditionFailed):
        await conditional.database.atomically(build)
    assert (journal.entries(), await conditional.values()) == ([], {b"key": b"value"})


async def test_a_port_that_refuses_leaves_the_records_as_they_were(conditional: Store, journal: Journal) -> None:
    def build(batch: AtomicBatch) -> None:
        put_and_log(conditional, journal, 1, batch)
        raise InvalidArgument("the entry is too large")

    with pytest.raises(InvalidArgument):
        await conditional.database.atomically(build)
    assert (journal.entries(), await conditional.values()) == ([], {})
    await conditional.database.atomically(lambda batch: put_and_log(conditional, journal, 2, batch))
    assert journal.entries() == [b"put 2"]


async def test_readers_of_either_wait_for_the_flush_of_the_batch(conditional: Store, journal: Journal) -> None:
    conditional.disk.goes.clear()
    other = asyncio.ensure_future(conditional.put(b"key", b"", at=0, record=b"so that two share the flush"))
    writing = asyncio.ensure_future(
        conditional.database.atomically(lambda batch: put_and_log(conditional, journal, 1, batch))
    )
    for _ in range(2):
        await asyncio.sleep(0)
    answers = asyncio.gather(conditional.page(), journal.consume(), writing, other, return_exceptions=True)
    await asyncio.sleep(0)
    conditional.disk.flush_error = NO_SPACE
    conditional.disk.goes.set()
    assert [type(answer) for answer in await answers] == [Unavailable] * 4


async def test_after_a_stall_both_ports_resolve_again(conditional: Store, journal: Journal) -> None:
    conditional.disk.stalls = 1
    first = asyncio.ensure_future(
        conditional.database.atomically(lambda batch: put_and_log(conditional, journal, 1, batch))
    )
    await asyncio.sleep(0)
    second = await conditional.database.atomically(lambda batch: put_and_log(conditional, journal, 2, batch))
    assert (second, await first) == (0, 1)
    assert journal.entries() == [b"put 2", b"put 1"]


async def test_the_folder_stays_open_for_the_log_when_the_records_have_stopped(
    conditional: Store, journal: Journal
) -> None:
    await conditional.rocks.stop()
    await conditional.database.atomically(lambda batch: journal.append(batch, b"entry"))
    assert holder(conditional.folder) is not None
    await journal.close()
    assert holder(conditional.folder) is None


async def test_the_records_stay_when_the_log_has_stopped(conditional: Store, journal: Journal) -> None:
    await journal.close()
    await conditional.put(b"key", b"value", at=0)
    assert await conditional.values() == {b"key": b"value"}


async def test_both_are_there_after_a_restart(conditional: Store, journal: Journal) -> None:
    await conditional.database.atomically(lambda batch: put_and_log(conditional, journal, 1, batch))
    await journal.close()
    await conditional.reopen()
    again = Journal(conditional.database)
    again.open()
    assert (again.entries(), await conditional.values()) == ([b"put 1"], {b"1": b"value"})
    await again.close()


async def test_a_backup_holds_both(conditional: Store, journal: Journal, tmp_path: Path) -> None:
    await conditional.database.atomically(lambda batch: put_and_log(conditional, journal, 1, batch))
    await conditional.rocks.checkpoint(str(tmp_path / "copy"))
    copy = conditional.unstarted(str(tmp_path / "copy"))
    await copy.start()
    log = Journal(copy.database)
    log.open()
    page = await copy.get(conditional.spec.name, RECORD, [b"1"], conditional.at(None))
    assert (len(page.rows), log.entries()) == (1, [b"put 1"])
    await log.close()
    await copy.stop()


async def test_a_second_database_on_the_folder_is_refused_naming_this_process(conditional: Store) -> None:
    with pytest.raises(Unavailable, match=f"is open in the process {os.getpid()}"):
        await conditional.unstarted().start()


@pytest.mark.slow
def test_killed_at_any_moment_both_or_neither_are_there(folder: str) -> None:
    """A child appends an order to the log and a row to the records in one batch, until it is killed."""
    promised = 0
    for number in range(3):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.engines.records.rocksdb.journal", folder],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[4],
        )
        assert child.stdout is not None
        for line in child.stdout:
            promised = int(line)
            if promised >= 200 * (number + 1):
                break
        child.send_signal(signal.SIGKILL)
        promised = max([promised, *(int(line) for line in child.stdout if line.endswith("\n"))])
        child.wait(30)
        child.stdout.close()
        rows, entries = asyncio.run(count_orders(folder))
        assert rows == entries >= promised
