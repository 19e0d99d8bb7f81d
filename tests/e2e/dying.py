"""`python -m tests.e2e.dying ARGUMENTS` is the command `soundstage`, which dies at a given write to its store.

`DIES_AT` says where: a table of the namespace, the number of the write to it, and whether it dies before or after it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable
from typing import Any, NoReturn

from soundstage.engines.records.port import Batch
from soundstage.engines.records.rocksdb.engine import RocksRecords
from soundstage.surface.cli import main

_apply: Any = RocksRecords.apply
_written: dict[str, int] = {}


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process that was killed goes on")


async def last(work: Awaitable[int]) -> NoReturn:
    await work
    die()


def apply(self: RocksRecords, table: str, partition: bytes, batch: Batch, **given: Any) -> Awaitable[int]:
    """As the engine's own, up to the write that is the last."""
    number = _written[table] = _written.get(table, 0) + 1
    where, wanted, when = os.environ["DIES_AT"].split()
    if table != where or number != int(wanted):
        return _apply(self, table, partition, batch, **given)
    if when == "before":
        die()
    return last(_apply(self, table, partition, batch, **given))


RocksRecords.apply = apply  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
