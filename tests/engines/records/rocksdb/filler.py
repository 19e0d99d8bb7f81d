"""Writes until the disk takes no more: `python -m tests.engines.records.rocksdb.filler FOLDER BYTES`.

No file of this process may grow over so many bytes, which is how a full disk looks to an ordinary user. Prints one
JSON object: how many writes were acknowledged, and what was said to the writer who met the end, and to whoever came
after.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from typing import Any

from soundstage.core import version
from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import SoundstageError
from soundstage.core.size import Size
from soundstage.engines.records.port import ALL, Batch, Budget, TableSpec
from soundstage.engines.records.rocksdb import RocksOptions, RocksRecords, open_rocksdb

TABLE = TableSpec(name="kv/filled")
RECORD = b"record"
OPTIONS = RocksOptions(low_water=Size(0))


def batch(number: int) -> Batch:
    return Batch(cells=[(b"%08d" % number, version.put(number + 1, "token", b"v" * 1_000))])


async def opened(folder: str, options: RocksOptions = OPTIONS) -> RocksRecords:
    engine = open_rocksdb(folder, options, SystemEnvironment())
    await engine.start()
    await engine.create_table(TABLE)
    return engine


async def keys_in(folder: str) -> list[bytes]:
    """What the folder has, opened without a limit."""
    engine = await opened(folder)
    page = await engine.read(TABLE.name, RECORD, ALL, Budget(rows=10**7, bytes=1 << 40), 1)
    await engine.stop()
    return [key for key, _ in page.rows]


async def fill(folder: str, limit: int) -> dict[str, Any]:
    engine = await opened(folder)
    # Python would keep the part of a compiled module that fits, and fail on it from then on.
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    acknowledged, said = 0, list[dict[str, Any]]()
    while not said:
        try:
            await engine.apply(TABLE.name, RECORD, batch(acknowledged))
            acknowledged += 1
        except SoundstageError as error:
            said.append(error.problem())
    for call in (engine.apply(TABLE.name, RECORD, batch(acknowledged)), engine.get(TABLE.name, RECORD, [b"key"], 1)):
        try:
            await call
        except SoundstageError as error:
            said.append(error.problem())
    await engine.stop()
    return {"acknowledged": acknowledged, "said": said}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(fill(sys.argv[1], int(sys.argv[2])))))
