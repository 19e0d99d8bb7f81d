"""Chunks as they are written, read and dropped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.data.kv.conftest import OpenStage, make, served

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DataLoss, Unavailable
from soundstage.data.kv.chunks import AT_ONCE, ChunkWriter, MissingChunk, drop_chunks, read_chunks, read_whole
from soundstage.data.kv.manifest import CALL_BYTES, GROUP, Manifest, chunk_cell, place_of
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import ALL, Batch, Budget
from soundstage.runtime.stage import Stage

UPLOAD = b"0123456789abcdef"
KIB = 1 << 10


class Counted(MemoryRecords):
    """Counts how many calls are under way at once, and fails from the call of number `fails_at` on."""

    most = now = calls = 0
    fails_at = 1_000_000

    async def apply(self, table: str, *arguments: Any, **named: Any) -> int:
        if not table.endswith("/values"):
            return await super().apply(table, *arguments, **named)
        self.calls += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0)
            if self.calls >= self.fails_at:
                raise Unavailable("the store is away", outcome="unknown")
            return await super().apply(table, *arguments, **named)
        finally:
            self.now -= 1


async def namespace_on(stage: Stage, chunk_bytes: str = "16KiB") -> ServedNamespace:
    kv = await make(stage, "people", chunk_bytes=chunk_bytes)
    await kv.get_items(id="ada")
    return served(stage)


@pytest.fixture
async def namespace(stage: Stage) -> ServedNamespace:
    return await namespace_on(stage)


async def written(namespace: ServedNamespace, value: bytes, piece: int = 1 << 20, upload: bytes = UPLOAD) -> Manifest:
    writer = ChunkWriter(namespace, upload, 5, "token", None)
    for at in range(0, len(value), piece):
        await writer.write(value[at : at + piece])
    manifest = await writer.finish()
    await writer.close()
    return manifest


def value_of(size: int) -> bytes:
    return b"".join(b"%08d" % number for number in range(size // 8 + 1))[:size]


@pytest.mark.parametrize("size", [1, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, 1_024 * KIB, 16 * KIB * GROUP + 1])
async def test_what_was_written_is_read(namespace: ServedNamespace, size: int) -> None:
    manifest = await written(namespace, value_of(size))
    assert (manifest.size, manifest.count) == (size, -(-size // (16 * KIB)))
    assert await read_whole(namespace, manifest) == value_of(size)


async def test_it_does_not_matter_in_what_pieces_a_value_comes(namespace: ServedNamespace) -> None:
    value = value_of(70 * KIB)
    manifests = {await written(namespace, value, piece) for piece in (1_000, 16 * KIB, 1 << 20)}
    assert len(manifests) == 1


async def test_a_value_of_several_groups_has_its_chunks_in_order(namespace: ServedNamespace) -> None:
    manifest = await written(namespace, value_of(16 * KIB * GROUP + 5))
    chunks = [data async for data in read_chunks(namespace, manifest)]
    assert list(map(len, chunks)) == [16 * KIB] * GROUP + [5]


async def test_a_bounded_number_of_calls_is_under_way(open_stage: OpenStage, environment: VirtualEnvironment) -> None:
    engine = Counted(environment)
    namespace = await namespace_on(await open_stage(engine))
    await written(namespace, bytes(12 * CALL_BYTES))
    assert engine.most == AT_ONCE


async def test_a_store_that_fails_fails_the_write_and_leaves_nothing_under_way(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Counted(environment)
    namespace = await namespace_on(await open_stage(engine))
    engine.fails_at = 3
    writer = ChunkWriter(namespace, UPLOAD, 5, "token", None)
    with pytest.raises(Unavailable):
        await writer.write(bytes(12 * CALL_BYTES))
    await writer.close()
    assert engine.now == 0


async def test_a_chunk_that_is_not_there_is_missing(namespace: ServedNamespace) -> None:
    manifest = await written(namespace, value_of(40 * KIB))
    longer = Manifest(manifest.digest, manifest.size + 16 * KIB, manifest.chunk_bytes, UPLOAD)
    with pytest.raises(MissingChunk):
        await read_whole(namespace, longer)


async def test_a_chunk_of_another_length_is_missing(namespace: ServedNamespace) -> None:
    manifest = await written(namespace, value_of(40 * KIB))
    with pytest.raises(MissingChunk):
        await read_whole(namespace, Manifest(manifest.digest, manifest.size - 1, manifest.chunk_bytes, UPLOAD))


async def test_whole_chunks_of_another_value_are_a_loss_of_data(namespace: ServedNamespace) -> None:
    manifest = await written(namespace, value_of(40 * KIB))
    partition, key = place_of(UPLOAD, 0)
    other = Batch(cells=[(key, chunk_cell(6, "other", bytes(16 * KIB)))])
    await namespace.records.apply(namespace.values_table, partition, other)
    with pytest.raises(DataLoss, match="not those that were written"):
        await read_whole(namespace, manifest)


async def test_who_stops_reading_leaves_nothing_under_way(namespace: ServedNamespace) -> None:
    manifest = await written(namespace, value_of(3 << 20))
    before = len(asyncio.all_tasks())
    chunks = read_chunks(namespace, manifest)
    await anext(chunks)
    await chunks.aclose()
    assert len(asyncio.all_tasks()) == before


class TestDropping:
    async def test_nothing_of_an_upload_is_left(
        self, namespace: ServedNamespace, environment: VirtualEnvironment
    ) -> None:
        manifest = await written(namespace, value_of(16 * KIB * GROUP * 2 + 5))
        assert await drop_chunks(namespace, UPLOAD, 5, environment) == 3
        for number in range(0, manifest.count, GROUP):
            partition, _ = place_of(UPLOAD, number)
            page = await namespace.records.read(namespace.values_table, partition, ALL, Budget(), 0)
            assert page.rows == []

    async def test_others_are_as_they_were(self, namespace: ServedNamespace, environment: VirtualEnvironment) -> None:
        await written(namespace, value_of(40 * KIB))
        other = await written(namespace, value_of(50 * KIB), upload=b"fedcba9876543210")
        await drop_chunks(namespace, UPLOAD, 5, environment)
        assert await read_whole(namespace, other) == value_of(50 * KIB)

    async def test_chunks_of_the_future_go_as_well(
        self, namespace: ServedNamespace, environment: VirtualEnvironment
    ) -> None:
        writer = ChunkWriter(namespace, UPLOAD, environment.now_us() + 3_600_000_000, "token", None)
        await writer.write(value_of(40 * KIB))
        manifest = await writer.finish()
        await drop_chunks(namespace, UPLOAD, environment.now_us() + 3_600_000_000, environment)
        with pytest.raises(MissingChunk):
            await read_whole(namespace, manifest)

    async def test_what_was_cut_off_is_found_by_the_next(
        self, open_stage: OpenStage, environment: VirtualEnvironment
    ) -> None:
        engine = Counted(environment)
        namespace = await namespace_on(await open_stage(engine))
        await written(namespace, value_of(16 * KIB * GROUP * 3))
        engine.fails_at = engine.calls + 2
        with pytest.raises(Unavailable):
            await drop_chunks(namespace, UPLOAD, 5, environment)
        engine.fails_at = 1_000_000
        assert await drop_chunks(namespace, UPLOAD, 5, environment) == 2

    async def test_what_never_was_is_no_error(
        self, namespace: ServedNamespace, environment: VirtualEnvironment
    ) -> None:
        assert await drop_chunks(namespace, UPLOAD, 5, environment) == 0
