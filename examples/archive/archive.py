"""An archive of large files: one of a hundred megabytes or so goes in and out over HTTP, a few pieces at a time."""

from __future__ import annotations

import asyncio
import sysconfig
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from xxhash import xxh3_128

from soundstage import Stage, connect, errors
from soundstage.data.kv import Condition, KeyValue
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec
from soundstage.surface.http.server import Server

KEY = b"library"
PIECE = 1 << 20


def largest_file(folder: Path) -> Path:
    """The largest file below a folder."""
    return max((path for path in folder.rglob("*") if path.is_file()), key=size_of)


def size_of(path: Path) -> int:
    return path.stat().st_size


def checksum(path: Path) -> str:
    """The 128-bit XXH3 of a file, by which the store knows its values."""
    digest = xxh3_128()
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


async def breaking_off() -> AsyncIterator[bytes]:
    """Bytes that stop in the middle."""
    for _ in range(5):
        yield bytes(PIECE)
    raise ConnectionError("the cable was pulled")


async def keep(archive: KeyValue, source: Path) -> None:
    """The file is in the archive, once: what is there already is not replaced."""
    kept = await archive.put_value(source, id="files", key=KEY, condition=Condition(key=KEY, absent=True))
    print("kept with its checksum:", kept.checksum == checksum(source), "and size:", kept.size == size_of(source))
    try:
        await archive.put_value(b"another", id="files", key=KEY, condition=Condition(key=KEY, absent=True))
    except errors.PreconditionFailed:
        print("nobody keeps another in its place")
    try:
        await archive.put_value(breaking_off(), id="files", key=KEY)
    except ConnectionError as error:
        print("of one that broke off nothing is seen:", error)


async def fetch(archive: KeyValue, source: Path, copy: Path) -> None:
    """The file is fetched: its end first, which is found without the rest, and then all of it."""
    async with archive.get_value(id="files", key=KEY, start=-64) as end:
        with source.open("rb") as stream:
            stream.seek(-64, 2)
            print("its last bytes:", await end.read() == stream.read())
    async with archive.get_value(id="files", key=KEY) as value:
        await value.save(copy)
    print("its copy is the same:", checksum(copy) == checksum(source))


async def main(folder: Path) -> None:
    source = largest_file(Path(sysconfig.get_path("platlib")))
    print("a file of over 32 MiB:", size_of(source) > 32 << 20)
    async with Stage.open(data=folder / "data") as stage:
        await stage.client(Namespaces).put(namespace=NamespaceSpec(name="archive", abstraction="kv"))
        server = Server(stage, HttpConfig(port=0))
        async with connect(await server.start()) as remote:
            archive = remote.client(KeyValue, "archive")
            await keep(archive, source)
            await fetch(archive, source, folder / "copy")
        await server.stop()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(main(Path(name)))
