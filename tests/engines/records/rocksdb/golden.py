"""A folder as each release leaves it: `python -m tests.engines.records.rocksdb.golden` makes that of this one.

The archive is made once for each format and then never changed: it is what users have on their disks.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZipFile

from tests.engines.records.rocksdb.store import Store

from soundstage.engines.rocks.folder import FORMAT
from soundstage.testing.model import Condition, Put
from soundstage.testing.records.bench import KEPT_US

HERE = Path(__file__).with_name("golden")
DEDICATED = "kv/dedicated"
KEPT = ("CURRENT", "FORMAT", "IDENTITY", "MANIFEST-*", "OPTIONS-*", "*.sst", "[0-9]*.log", "rocksdict-config.json")


def archive(number: int) -> Path:
    """Where the folder of a format is."""
    return HERE / f"format-{number}.zip"


def unpack(number: int, folder: Path) -> None:
    """The folder of a format is in `folder`, which is made."""
    with ZipFile(archive(number)) as packed:
        packed.extractall(folder)


async def write_first(store: Store) -> None:
    """What lies in table files."""
    await store.send(store.write(at=0, token="t-0", puts={b"%d" % key: Put(b"value-%d" % key) for key in range(5)}))
    await store.put(b"expiring", b"soon", at=1, token="t-1", expires=2 * KEPT_US)
    await store.delete(b"0", at=2, token="t-2")
    await store.delete_range(b"1", b"2", at=3, token="t-3")
    await store.put_if(b"once", b"first", Condition(b"once", None), at=4, token="t-4")
    await store.put(b"key", b"value", at=5, token="t-5", record=b"a\0b")
    await store.delete_all(at=6, token="t-6", record=b"deleted")


async def write_then(store: Store) -> None:
    """What lies in the log alone."""
    await store.put(b"2", b"value-2 again", at=7, token="t-7")
    await store.put(b"once", b"second", at=8, token="t-8")
    spec, store.spec = store.spec, await store.add_table(DEDICATED, dedicated=True)
    await store.put(b"key", b"value", at=9, token="t-9")
    store.spec = spec


async def leave(folder: str, target: Path) -> None:
    """`target` is what a crash leaves of a store in `folder` that wrote everything above."""
    store = Store(folder, conditional=True)
    await store.open()
    await write_first(store)
    store.flush()
    await write_then(store)
    copy(folder, target)
    await store.close()


def copy(folder: str, target: Path) -> None:
    target.mkdir(parents=True)
    for pattern in KEPT:
        for path in Path(folder).glob(pattern):
            shutil.copyfile(path, target / path.name)


def pack(number: int) -> None:
    """The archive of a format is made; raises `FileExistsError` where there is one."""
    HERE.mkdir(exist_ok=True)
    with TemporaryDirectory() as work, ZipFile(archive(number), "x", ZIP_DEFLATED) as packed:
        target = Path(work) / "left"
        asyncio.run(leave(f"{work}/store", target))
        for path in sorted(target.iterdir()):
            packed.write(path, path.name)


if __name__ == "__main__":
    pack(FORMAT)
