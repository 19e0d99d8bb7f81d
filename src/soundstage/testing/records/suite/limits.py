"""How much one call may hold, to the byte, and that a call refused for it leaves nothing."""

from __future__ import annotations

import pytest

from soundstage.core.errors import InvalidArgument, SoundstageError, TooLarge
from soundstage.engines.records.port import (
    BATCH_MAX_BYTES,
    BATCH_MAX_ITEMS,
    KEY_MAX_BYTES,
    PARTITION_MAX_BYTES,
    Batch,
)
from soundstage.testing.model import Put, Range, Write
from soundstage.testing.records.bench import RECORD, Bench
from soundstage.testing.records.writes import batch_of

MIB = 1 << 20


def keys_of(count: int) -> list[bytes]:
    return [b"%05d" % number for number in range(count)]


def of_bytes(bench: Bench, size: int) -> Write:
    """A write whose keys, values and metadata are `size` bytes together."""
    puts = {b"%d" % number: Put(bytes(MIB - 1 - 10), metadata=bytes(10)) for number in range(3)}
    puts[b"3"] = Put(bytes(size - 3 * MIB - 1))
    return bench.write(at=0, puts=puts)


async def is_refused(bench: Bench, write: Write, kind: type[SoundstageError], record: bytes = RECORD) -> bool:
    """`write` is refused for `kind`, and nothing of it is there."""
    with pytest.raises(kind):
        await bench.send(write, record)
    page = await bench.page(record if 1 <= len(record) <= PARTITION_MAX_BYTES else RECORD)
    return page.rows == [] and page.stamp is None


class Limits:
    async def test_a_call_of_5000_items_is_taken(self, bench: Bench) -> None:
        await bench.send(bench.write(at=0, puts={key: Put(b"") for key in keys_of(BATCH_MAX_ITEMS)}))
        assert len(await bench.rows()) == BATCH_MAX_ITEMS

    async def test_a_call_of_one_item_more_is_too_large(self, bench: Bench) -> None:
        write = bench.write(at=0, puts={key: Put(b"") for key in keys_of(BATCH_MAX_ITEMS + 1)})
        assert await is_refused(bench, write, TooLarge)

    async def test_puts_markers_and_ranges_count_together(self, bench: Bench) -> None:
        keys = keys_of(BATCH_MAX_ITEMS - 1)
        ranges: list[Range] = [(b"a", b"b"), (b"b", b"c")]
        write = bench.write(at=0, puts={keys[0]: Put(b"")}, markers=keys[1:], ranges=ranges)
        assert await is_refused(bench, write, TooLarge)

    async def test_a_call_of_4_mib_is_taken(self, bench: Bench) -> None:
        await bench.send(of_bytes(bench, BATCH_MAX_BYTES))
        assert len(await bench.values()) == 4

    async def test_a_call_of_one_byte_more_is_too_large(self, bench: Bench) -> None:
        assert await is_refused(bench, of_bytes(bench, BATCH_MAX_BYTES + 1), TooLarge)

    async def test_what_is_not_the_callers_does_not_count(self, bench: Bench) -> None:
        size = BATCH_MAX_BYTES // BATCH_MAX_ITEMS
        puts = {key: Put(bytes(size - len(key))) for key in keys_of(BATCH_MAX_ITEMS)}
        await bench.send(bench.write(at=0, token="t" * 64, puts=puts))
        assert len(await bench.rows()) == BATCH_MAX_ITEMS

    async def test_one_value_may_fill_a_call(self, bench: Bench) -> None:
        value = bytes(BATCH_MAX_BYTES - 1)
        await bench.put(b"k", value, at=0)
        assert await bench.values() == {b"k": value}

    @pytest.mark.parametrize("size", [0, PARTITION_MAX_BYTES + 1])
    async def test_a_record_has_a_name_of_1_to_1024_bytes(self, bench: Bench, size: int) -> None:
        assert await is_refused(bench, bench.write(at=0, puts={b"k": Put(b"")}), InvalidArgument, b"p" * size)

    async def test_a_key_of_4097_bytes_is_refused(self, bench: Bench) -> None:
        write = bench.write(at=0, puts={b"k" * (KEY_MAX_BYTES + 1): Put(b""), b"k": Put(b"")})
        assert await is_refused(bench, write, InvalidArgument)

    async def test_a_deleted_key_of_4097_bytes_is_refused(self, bench: Bench) -> None:
        assert await is_refused(bench, bench.write(at=0, markers=[b"k" * (KEY_MAX_BYTES + 1)]), InvalidArgument)

    @pytest.mark.parametrize("bounds", [(b"k" * 4_098, None), (b"", b"k" * 4_098)])
    async def test_a_bound_of_4098_bytes_is_refused(self, bench: Bench, bounds: Range) -> None:
        assert await is_refused(bench, bench.write(at=0, ranges=[bounds]), InvalidArgument)

    async def test_a_range_may_begin_right_after_the_longest_key(self, bench: Bench) -> None:
        longest = b"\xff" * KEY_MAX_BYTES
        await bench.put(longest, b"", at=-1)
        await bench.delete_range(longest + b"\0", None, at=0)
        assert list(await bench.values()) == [longest]

    async def test_a_key_named_twice_is_refused(self, bench: Bench) -> None:
        cells = batch_of(bench.write(at=0, puts={b"a": Put(b"1"), b"b": Put(b"2")})).cells
        with pytest.raises(InvalidArgument):
            await bench.engine.apply(bench.spec.name, RECORD, Batch(cells=[*cells, cells[0]]))
        assert await bench.rows() == []

    async def test_a_key_both_put_and_deleted_is_refused(self, bench: Bench) -> None:
        assert await is_refused(bench, bench.write(at=0, puts={b"a": Put(b"")}, markers=[b"a"]), InvalidArgument)

    async def test_a_call_that_changes_nothing_is_refused(self, bench: Bench) -> None:
        assert await is_refused(bench, bench.write(at=0), InvalidArgument)
