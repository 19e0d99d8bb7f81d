"""Keys of partitions and rows of any bytes, however they begin and end."""

from __future__ import annotations

import asyncio
from itertools import product

import pytest

from soundstage.engines.records.port import KEY_MAX_BYTES, PARTITION_MAX_BYTES, Budget, Span
from soundstage.testing.model import Put
from soundstage.testing.records.bench import Bench
from soundstage.testing.records.suite.walks import keys_by_record, walk

PARTS = (b"", b"\0", b"\1", b"a", b"\xff")
PARTITIONS = sorted({b"".join(parts) for parts in product(PARTS, repeat=3)} - {b""})
"""All partitions of up to three bytes that escapes, separators and sorting could mix up."""

KEYS = (b"", b"\0", b"\0\0", b"\0\1", b"\0\xff", b"h", b"l", b"r", b"\xff", b"\xff\xff")


async def fill(bench: Bench) -> None:
    """Every partition of `PARTITIONS` has every key of `KEYS`, with a value of its own."""
    writes = {record: bench.write(at=-9, puts={key: Put(record + b"/" + key) for key in KEYS}) for record in PARTITIONS}
    await asyncio.gather(*(bench.send(write, record) for record, write in writes.items()))


def written(record: bytes) -> dict[bytes, bytes]:
    return {key: record + b"/" + key for key in sorted(KEYS)}


class Names:
    async def test_records_of_like_names_are_separate(self, bench: Bench) -> None:
        await fill(bench)
        assert {record: await bench.values(record) for record in PARTITIONS} == {
            record: written(record) for record in PARTITIONS
        }

    async def test_a_delete_of_a_record_leaves_those_of_like_names(self, bench: Bench) -> None:
        await fill(bench)
        gone = PARTITIONS[::2]
        for record in gone:
            await bench.delete_all(at=0, record=record)
        assert {record for record in PARTITIONS if await bench.values(record)} == set(PARTITIONS) - set(gone)

    async def test_a_deleted_range_to_the_end_ends_with_its_record(self, bench: Bench) -> None:
        await fill(bench)
        gone = PARTITIONS[1::2]
        for record in gone:
            await bench.delete_range(b"", None, at=0, record=record)
        assert {record for record in PARTITIONS if await bench.values(record)} == set(PARTITIONS) - set(gone)

    async def test_a_walk_tells_records_of_like_names_apart(self, bench: Bench) -> None:
        await fill(bench)
        met = [one for segment in range(3) for one in await walk(bench, segment, 3, Budget(rows=7))]
        assert keys_by_record(met) == {record: sorted(KEYS) for record in PARTITIONS}

    async def test_records_of_like_names_are_swept_apart(self, bench: Bench) -> None:
        await fill(bench)
        for record in PARTITIONS[::2]:
            await bench.send(bench.write(at=0, token="delete", ranges=[(b"", b"\0\1")], markers=[b"\xff"]), record)
        bench.advance(bench.kept_us)
        await bench.sweep()
        deleted = {b"", b"\0", b"\0\0", b"\xff"}
        assert {record: list(await bench.values(record)) for record in PARTITIONS} == {
            record: [key for key in sorted(KEYS) if index % 2 or key not in deleted]
            for index, record in enumerate(PARTITIONS)
        }

    async def test_spans_within_keys_of_zeros_and_ones_are_exact(self, bench: Bench) -> None:
        await fill(bench)
        ordered = sorted(KEYS)
        for low, high, reverse in product(KEYS, [*KEYS, None], [False, True]):
            found = [key for key, _ in await bench.rows(b"\0", Span(low, high, reverse))]
            wanted = [key for key in ordered if low <= key and (high is None or key < high)]
            assert found == (wanted[::-1] if reverse else wanted)

    @pytest.mark.parametrize("byte", [b"\0", b"a", b"\xff"])
    async def test_the_longest_names_are_kept(self, bench: Bench, byte: bytes) -> None:
        record, key = byte * PARTITION_MAX_BYTES, byte * KEY_MAX_BYTES
        await bench.put(key, b"longest", at=-1, record=record)
        await bench.put(key[:-1], b"shorter", at=-1, record=record)
        assert await bench.values(record) == {key[:-1]: b"shorter", key: b"longest"}

    @pytest.mark.parametrize("reverse", [False, True])
    async def test_pages_go_on_past_the_longest_key(self, bench: Bench, reverse: bool) -> None:
        keys = [b"\xff" * (KEY_MAX_BYTES - 1), b"\xff" * KEY_MAX_BYTES]
        await bench.send(bench.write(at=-1, puts={key: Put(b"") for key in [b"", *keys]}))
        pages = await bench.pages(span=Span(reverse=reverse), budget=Budget(rows=1))
        found = [key for page in pages for key, _ in page.rows]
        assert found == sorted([b"", *keys], reverse=reverse)

    async def test_a_record_is_known_by_its_token_whatever_its_name(self, bench: Bench) -> None:
        for index, record in enumerate(PARTITIONS):
            await bench.put(b"", b"", at=-1 - index, record=record)
        assert [await bench.stamp(record) for record in PARTITIONS] == [
            (-1 - index, "token") for index in range(len(PARTITIONS))
        ]
