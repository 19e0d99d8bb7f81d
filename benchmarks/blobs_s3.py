"""How fast do blobs go to an object store and back, beside boto3 doing the same? Large ones, and many small ones.

The rival is boto3's managed transfer (`upload_fileobj`, `download_fileobj`), which uses threads, and for small objects
its plain calls from a pool of threads. Ours hashes every byte twice besides, and proves what it reads. Needs
`pip install boto3`; `soundstage.servers` brings and starts the server, moto, which takes most of the time that is
measured.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import msgspec

from benchmarks.report import Figure, figure, options, show, turns
from soundstage.core.environment import SystemEnvironment
from soundstage.core.extras import library
from soundstage.engines.blobs.s3 import S3Blobs, parse_address
from soundstage.servers.cluster import Cluster
from soundstage.servers.kinds.s3 import ACCESS_KEY, REGION, SECRET_KEY

MIB = 1 << 20
BUCKET = "bench"
SMALL_BYTES = 10_000


class Scale(msgspec.Struct, frozen=True):
    """How much is done in a round: one blob of `mib`, and `small` ones by `callers` at once."""

    rounds: int
    mib: int
    small: int
    callers: int = 8


FULL = Scale(rounds=5, mib=128, small=400)
QUICK = Scale(rounds=3, mib=48, small=100)


async def content(data: bytes) -> AsyncIterator[bytes]:
    """As an upload brings it."""
    for at in range(0, len(data), 256 << 10):
        yield data[at : at + (256 << 10)]


class Ours:
    """The blobs port."""

    def __init__(self, engine: S3Blobs, scale: Scale) -> None:
        self._engine = engine
        self._scale = scale
        self._data = os.urandom(scale.mib * MIB)
        self._small = os.urandom(SMALL_BYTES)

    async def upload(self) -> float:
        """MiB per second."""
        return await _rate(self._scale.mib, self._engine.put("large", content(self._data)))

    async def download(self) -> float:
        """MiB per second."""

        async def drain() -> None:
            async for _ in self._engine.open("large"):
                pass

        return await _rate(self._scale.mib, drain())

    async def puts(self) -> float:
        """Blobs per second."""
        return await self._each(lambda number: self._engine.put(f"small-{number}", content(self._small)))

    async def gets(self) -> float:
        """Blobs per second."""

        async def get(number: int) -> None:
            async for _ in self._engine.open(f"small-{number}"):
                pass

        return await self._each(get)

    async def _each(self, do: Callable[[int], Awaitable[Any]]) -> float:
        async def caller(first: int) -> None:
            for number in range(first, self._scale.small, self._scale.callers):
                await do(number)

        everybody = asyncio.gather(*(caller(number) for number in range(self._scale.callers)))
        return await _rate(self._scale.small, everybody)


class Rival:
    """boto3, driven from a thread of its own."""

    def __init__(self, client: Any, scale: Scale) -> None:
        self._client = client
        self._scale = scale
        self._data = os.urandom(scale.mib * MIB)
        self._small = os.urandom(SMALL_BYTES)
        self._pool = ThreadPoolExecutor(scale.callers)

    async def upload(self) -> float:
        """MiB per second."""
        source = io.BytesIO(self._data)
        sending = asyncio.to_thread(self._client.upload_fileobj, source, BUCKET, "rival/large")
        return await _rate(self._scale.mib, sending)

    async def download(self) -> float:
        """MiB per second."""
        sink = io.BytesIO()
        return await _rate(
            self._scale.mib, asyncio.to_thread(self._client.download_fileobj, BUCKET, "rival/large", sink)
        )

    async def puts(self) -> float:
        """Objects per second."""
        return await self._each(
            lambda number: self._client.put_object(Bucket=BUCKET, Key=f"rival/small-{number}", Body=self._small)
        )

    async def gets(self) -> float:
        """Objects per second."""
        return await self._each(
            lambda number: self._client.get_object(Bucket=BUCKET, Key=f"rival/small-{number}")["Body"].read()
        )

    def close(self) -> None:
        """Its threads have ended and its connections are closed."""
        self._pool.shutdown()
        self._client.close()

    async def _each(self, do: Callable[[int], Any]) -> float:
        return await _rate(
            self._scale.small, asyncio.to_thread(lambda: list(self._pool.map(do, range(self._scale.small))))
        )


async def _rate(amount: float, work: Awaitable[Any]) -> float:
    began = perf_counter()
    await work
    return amount / (perf_counter() - began)


async def measured(endpoint: str, scale: Scale) -> list[Figure]:
    """All figures, against the server there."""
    url = urlsplit(f"s3://{BUCKET}/ours?region={REGION}&endpoint={endpoint}")
    engine = S3Blobs(parse_address("bench", url, {}, None), SystemEnvironment())
    named = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "region_name": REGION}
    client: Any = library("boto3", "s3").client("s3", endpoint_url=endpoint, **named)
    client.create_bucket(Bucket=BUCKET)
    await engine.start()
    ours, rival = Ours(engine, scale), Rival(client, scale)
    figures: list[Figure] = []
    for name, unit in (("upload", "MiB/s"), ("download", "MiB/s"), ("puts", "blobs/s"), ("gets", "blobs/s")):
        mine, theirs = await turns(scale.rounds, getattr(ours, name), getattr(rival, name))
        note = f"{scale.mib} MiB" if unit == "MiB/s" else f"{SMALL_BYTES} bytes, {scale.callers} callers"
        figures.append(figure(f"blobs_s3.{name}", mine, theirs, unit, "higher", note=note))
    rival.close()
    await engine.stop()
    return figures


def measure(scale: Scale) -> list[Figure]:
    """All figures, against a server of its own."""
    os.environ.setdefault("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    with Cluster("s3") as cluster:
        return asyncio.run(measured(cluster.url, scale))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    show("Blobs to an object store and back, beside boto3", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
