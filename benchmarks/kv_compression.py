"""What do codecs save of values that are like JSON: bytes on the wire and on disk, beside the same values as they are?

Every side writes the same documents by the Python client to a server of its own over HTTP and reads them back. On the
wire are the bodies of all requests or replies; on disk is what the store's log took, and what its files hold once they
are compacted, which RocksDB compresses by itself on either side. The dictionary is trained from documents that are
not written, by the trainer of zstd, and its frames are put as values: the store has no part in it.
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
import zstandard
from rocksdict import Rdict

from benchmarks.report import Figure, figure, options, show
from soundstage.client import connect
from soundstage.data.kv import KeyValue, PutItem
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.stage import Stage
from soundstage.surface.http.server import Server

NAMESPACE = "bench"
BATCH = 50
TOGETHER = 20
SAMPLES = 4_000
DICTIONARY_BYTES = 16 << 10

GENRES = ("drama", "comedy", "thriller", "documentary", "animation", "romance", "horror", "musical")
DEVICES = ("living-room-tv", "phone", "tablet", "browser", "game-console")
LANGUAGES = ("de", "en", "es", "fr", "hi", "it", "ja", "ko", "pt")


class Scale(msgspec.Struct, frozen=True):
    """How many documents are written."""

    documents: int


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


def document(chance: random.Random) -> bytes:
    """What a service keeps of one member's session: some 350 bytes of JSON."""
    return json.dumps(
        {
            "member_id": f"{chance.getrandbits(64):016x}",
            "device": {"kind": chance.choice(DEVICES), "version": f"{chance.randint(1, 20)}.{chance.randint(0, 9)}"},
            "started_at": f"2026-11-{chance.randint(1, 28):02}T{chance.randint(0, 23):02}:{chance.randint(0, 59):02}Z",
            "language": chance.choice(LANGUAGES),
            "subtitles": chance.choice((None, *LANGUAGES)),
            "playing": {
                "title_id": chance.randint(80_000_000, 82_000_000),
                "genres": chance.sample(GENRES, chance.randint(1, 3)),
                "position_ms": chance.randint(0, 7_200_000),
                "bitrate_kbps": chance.choice((1_050, 2_350, 4_300, 7_830, 16_000)),
                "paused": chance.random() < 0.1,
            },
            "recent": [chance.randint(80_000_000, 82_000_000) for _ in range(chance.randint(0, 8))],
        }
    ).encode()


def together(parts: Sequence[bytes]) -> list[bytes]:
    """Lists of so many documents each, as values."""
    return [b"[%b]" % b", ".join(parts[at : at + TOGETHER]) for at in range(0, len(parts), TOGETHER)]


def documents(count: int, seed: int) -> list[bytes]:
    """The same documents for the same seed."""
    chance = random.Random(seed)
    return [document(chance) for _ in range(count)]


async def side(values: Sequence[bytes], *codecs: str) -> Bytes:
    """What it takes to write `values` to a namespace that takes `codecs`, and to read them."""
    with tempfile.TemporaryDirectory(prefix="soundstage-bench-") as folder:
        knobs = {"compression": {"codecs": list(codecs), "min_bytes": "128B"}}
        config: dict[str, Any] = {"data": folder, "namespaces": {NAMESPACE: {"abstraction": "kv", "config": knobs}}}
        async with Stage.open(config=config, variables={}) as stage:
            server = Server(stage, HttpConfig(port=0))
            url = await server.start()
            wire = Counted()
            try:
                async with connect(url, transport=wire) as connection:
                    kv = connection.client(KeyValue, NAMESPACE)
                    await kv.handshake()
                    before = logged(folder)
                    wire.sent = 0
                    await written(kv, values)
                    sent, wire.received = wire.sent, 0
                    await check(kv, values)
            finally:
                await server.stop()
            db = stage.engines["default"].database.rdict  # type: ignore[attr-defined]
            log = logged(folder) - before
            return Bytes(sent=sent, received=wire.received, logged=log, rested=await asyncio.to_thread(rested, db))


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
    words = zstandard.train_dictionary(DICTIONARY_BYTES, [*documents(SAMPLES, seed=2)]).as_bytes()
    written = documents(scale.documents, seed=1)
    return [*await compared(written, words, ""), *await compared(together(written), words, f"_x{TOGETHER}")]


async def compared(values: Sequence[bytes], words: bytes, suffix: str) -> list[Figure]:
    """What each codec takes for `values`, beside them as they are; in bytes of a value."""
    # Frames need not say which dictionary they need, which takes bytes.
    packer = zstandard.ZstdCompressor(dict_data=zstandard.ZstdCompressionDict(words), write_dict_id=False)
    packed = [packer.compress(value) for value in values]
    plain = await side(values)
    sides = {
        "zstd": await side(values, "zstd"),
        "lz4": await side(values, "lz4"),
        "dictionary": await side(packed),
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
