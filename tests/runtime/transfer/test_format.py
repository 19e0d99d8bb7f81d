"""The file of an exported namespace, block by block."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import zstandard
from tests.runtime.transfer.conftest import inline

from soundstage.core.errors import DataLoss, InvalidArgument
from soundstage.core.namespace import NamespaceInfo, Quotas
from soundstage.core.time import Instant
from soundstage.engines.records.holdings import Holding, LedgerEntry
from soundstage.engines.records.port import RangeDelete, TableSpec
from soundstage.runtime.control.store import EarlierKnobs
from soundstage.runtime.transfer.format import (
    FORMAT,
    Block,
    Header,
    Message,
    Page,
    Trailer,
    blocks,
    chained,
    check_header,
    decode,
    encode,
)
from soundstage.runtime.transfer.tally import Tally

GOLDEN = Path(__file__).parent / "golden" / "format-1.soundstage.zst"

INFO = NamespaceInfo(
    name="films",
    abstraction="kv",
    engines={"records": "default"},
    config={"drift_past": "10m"},
    slos={},
    quotas=Quotas(),
    version=1,
    generation=1,
    managed_by="api",
    created_at=Instant(1),
    updated_at=Instant(2),
)
HEADER = Header(
    at_us=5,
    namespace=INFO,
    earlier=[EarlierKnobs(config={"drift_past": "5m"}, until_us=4)],
    tables=[TableSpec(name="kv/films", conditional=True)],
)
HOLDING = Holding(
    partition=b"p\0",
    newest=b"newest",
    tombstone=b"tombstone",
    ranges=[RangeDelete(b"a", None, b"range")],
    cells=[(b"k", b"cell")],
    ledger=[LedgerEntry("t", 7, b"digest")],
)
PAGE = Page(0, [HOLDING])


def trailer(*before: bytes) -> Trailer:
    chain = b""
    for block in before:
        chain = chained(chain, block)
    return Trailer(ended_us=9, chain=chain, tally=Tally(1, 2, 3), unsteady=[b"hash"])


def whole() -> list[bytes]:
    head, page = encode(HEADER), encode(PAGE)
    return [head, page, encode(trailer(head, page))]


async def read(content: bytes, size: int = 7) -> list[Block]:
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(content), size):
            yield content[at : at + size]

    return [block async for block in blocks(chunks(), b"", inline)]


@pytest.mark.parametrize("message", [HEADER, PAGE, trailer()])
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    assert decode(encode(message)) == message


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
async def test_a_file_is_read_in_whatever_chunks_it_comes(size: int) -> None:
    parts = whole()
    found = await read(b"".join(parts), size)
    assert [block.message for block in found] == [HEADER, PAGE, trailer(*parts[:2])]
    assert [block.size for block in found] == [len(part) for part in parts]
    assert found[2].before == trailer(*parts[:2]).chain


async def test_an_empty_file_has_no_blocks() -> None:
    assert await read(b"") == []


def test_any_zstd_reads_the_whole() -> None:
    content = zstandard.ZstdDecompressor().stream_reader(b"".join(whole()), read_across_frames=True).read()
    assert content == b"".join(decode_content(part) for part in whole())


def decode_content(block: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(block[20:])


@pytest.mark.parametrize("seed", range(20))
async def test_a_changed_byte_is_found(seed: int) -> None:
    content = bytearray(b"".join(whole()))
    chance = random.Random(seed)
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    try:
        found = await read(bytes(content))
    except DataLoss:
        return
    last = found[-1].message
    # What zstd reads alike all the same is found by the chain.
    assert (
        not isinstance(last, Trailer)
        or last.chain != found[-1].before
        or [block.message for block in found]
        == [
            HEADER,
            PAGE,
            trailer(*whole()[:2]),
        ]
    )


async def test_a_file_that_was_cut_is_found() -> None:
    with pytest.raises(DataLoss):
        await read(b"".join(whole())[:-1])


async def test_blocks_out_of_place_are_found() -> None:
    head, page, end = whole()
    found = await read(head + page + page + end)
    last = found[-1].message
    assert isinstance(last, Trailer)
    assert last.chain != found[-1].before


@pytest.mark.parametrize("content", [b"PK\3\4 this is a zip file, and no export", bytes(100), b"\x53\x2a\x4d\x18" * 20])
async def test_what_is_no_export_is_refused(content: bytes) -> None:
    with pytest.raises(DataLoss):
        await read(content)


async def test_a_block_that_promises_too_much_is_refused() -> None:
    block = bytearray(encode(PAGE))
    block[12:16] = (1 << 31).to_bytes(4, "little")
    with pytest.raises(DataLoss):
        await read(bytes(block))


def test_a_file_of_a_newer_format_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="this release knows"):
        check_header(msgspec.structs.replace(HEADER, format=FORMAT + 1))


@pytest.mark.parametrize("message", [PAGE, None])
def test_a_file_begins_with_its_header(message: Message | None) -> None:
    with pytest.raises(InvalidArgument, match="no exported namespace"):
        check_header(message)


def test_a_header_of_this_format_is_taken() -> None:
    assert check_header(HEADER) is HEADER


async def test_a_file_of_the_first_format_is_read() -> None:
    found = [block.message for block in await read(GOLDEN.read_bytes(), 1_000)]
    assert found == [HEADER, PAGE, found[-1]]
    assert isinstance(found[-1], Trailer)
    assert found[-1].tally == Tally(1, 2, 3)
