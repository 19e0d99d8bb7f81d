"""`python -m tests.e2e.dying ARGUMENTS` is the command `soundstage`, which dies at a given step.

`DIES_AT` says where: a table of the namespace, or a call to its cache, the number of it, and whether it dies before or
after it. Calls to caches are counted once a namespace was written to. With `WITHOUT_REST` a
dictionary that was retired, or is not needed, is looked at at once.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from soundstage.data.kv.cache_tier import CacheTier
from soundstage.data.kv.dictionaries import dropping
from soundstage.engines.records.port import Batch
from soundstage.engines.records.rocksdb.engine import RocksRecords
from soundstage.surface.cli import main

_apply: Any = RocksRecords.apply
_passed: dict[str, int] = {}


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process that was killed goes on")


async def last(work: Awaitable[Any]) -> NoReturn:
    await work
    die()


def at(where: str, work: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:
    """`work`, up to the one that is the last."""
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


def watched(call: str) -> Any:
    """As the tier's own."""
    own = getattr(CacheTier, call)

    def watching(self: CacheTier, *given: Any) -> Awaitable[Any]:
        if not any(table.startswith("kv/") for table in _passed):
            return own(self, *given)
        return at(f"cache.{call}", lambda: own(self, *given))

    return watching


RocksRecords.apply = apply  # type: ignore[method-assign]
for call in ("put_head", "lease", "put_answer"):
    setattr(CacheTier, call, watched(call))

if os.environ.get("WITHOUT_REST"):
    dropping._rest_us = lambda served, entry: 0

if __name__ == "__main__":
    main()
