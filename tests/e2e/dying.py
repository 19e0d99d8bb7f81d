"""`python -m tests.e2e.dying ARGUMENTS` is the command `soundstage`, which dies at a given step.

`DIES_AT` says where: a table, a call to a namespace's cache, or one to the log of sets of mutations, the number of it,
and whether it dies before or after it. Calls to caches are counted once a namespace was written to; with `ARMED_BY` all
are only after the table of that name was. With `WITHOUT_REST` a dictionary that was retired, or is not needed, is
looked at at once.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from soundstage.data.kv.cache_tier import CacheTier
from soundstage.data.kv.dictionaries import dropping
from soundstage.engines.log.port import Commit
from soundstage.engines.log.rocksdb.engine import RocksLog
from soundstage.engines.records.port import Batch
from soundstage.engines.records.rocksdb.engine import RocksRecords
from soundstage.surface.cli import main

_apply: Any = RocksRecords.apply
_append: Any = RocksLog.append
_commit: Any = RocksLog.commit
_passed: dict[str, int] = {}
_armed_by = os.environ.get("ARMED_BY")


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process that was killed goes on")


async def last(work: Awaitable[Any]) -> NoReturn:
    await work
    die()


def at(where: str, work: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:
    """`work`, up to the one that is the last."""
    global _armed_by
    if _armed_by is not None:
        _armed_by = None if where == _armed_by else _armed_by
        return work()
    number = _passed[where] = _passed.get(where, 0) + 1
    wanted, which, when = os.environ["DIES_AT"].split()
    if where != wanted or number != int(which):
        return work()
    if when == "before":
        die()
    return last(work())


def apply(self: RocksRecords, table: str, partition: bytes, batch: Batch, **given: Any) -> Awaitable[int]:
    """As the engine's own."""
    return at(table, lambda: _apply(self, table, partition, batch, **given))


def append(self: RocksLog, topic: str, *given: Any, **named: Any) -> Awaitable[Any]:
    """As the log's own."""
    work = lambda: _append(self, topic, *given, **named)  # noqa: E731
    return at("log.append", work) if topic.startswith("writeahead/") else work()


def commit(self: RocksLog, commit: Commit) -> Awaitable[None]:
    """As the log's own."""
    work = lambda: _commit(self, commit)  # noqa: E731
    return at("log.commit", work) if commit.group.startswith("writeahead/") else work()


def watched(call: str) -> Any:
    """As the tier's own."""
    own = getattr(CacheTier, call)

    def watching(self: CacheTier, *given: Any) -> Awaitable[Any]:
        if not any(table.startswith("kv/") for table in _passed):
            return own(self, *given)
        return at(f"cache.{call}", lambda: own(self, *given))

    return watching


RocksRecords.apply = apply  # type: ignore[method-assign]
RocksLog.append = append  # type: ignore[method-assign]
RocksLog.commit = commit  # type: ignore[method-assign]
for call in ("put_head", "lease", "put_answer"):
    setattr(CacheTier, call, watched(call))

if os.environ.get("WITHOUT_REST"):
    dropping._rest_us = lambda served, entry: 0

if __name__ == "__main__":
    main()
