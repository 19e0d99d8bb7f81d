"""The disk format of a blob, byte by byte."""

from __future__ import annotations

import pytest

from soundstage.engines.blobs.file.layout import (
    BLOCK_BYTES,
    HEAD_BYTES,
    Stretch,
    block_sum,
    blocks,
    decode_head,
    encode_head,
    file_size,
    object_name,
    stretch_at,
)
from soundstage.engines.blobs.port import KEY_MAX_CHARS, METADATA_MAX_BYTES, BlobInfo

INFO = BlobInfo(key="a/b", size=5, sha256="0" * 64, created_us=1_700_000_000_000_000, expires_us=7)


def test_the_head_of_this_release_is_this() -> None:
    head = encode_head(INFO)
    assert head[:8] == b"SOUNDBL1"
    assert head[12:].startswith(b"\x86\xa3key\xa3a/b\xa4size\x05\xa6sha256\xd9\x40" + b"0" * 64 + b"\xaacreated_us\xcf")
    assert len(head) == HEAD_BYTES


def test_a_head_comes_back() -> None:
    assert decode_head(encode_head(INFO)) == INFO


def test_the_longest_key_has_room() -> None:
    info = BlobInfo(
        key="k" * KEY_MAX_CHARS,
        size=2**62,
        sha256="f" * 64,
        created_us=2**62,
        expires_us=2**62,
        metadata={"m": "v" * (METADATA_MAX_BYTES - 1)},
    )
    assert decode_head(encode_head(info)) == info


@pytest.mark.parametrize("head", [b"", b"SOUNDBL1", bytes(HEAD_BYTES), b"SOUNDBL2" + encode_head(INFO)[8:]])
def test_other_bytes_are_no_head(head: bytes) -> None:
    with pytest.raises(ValueError, match="file"):
        decode_head(head)


def test_a_length_beyond_the_head_is_no_head() -> None:
    with pytest.raises(ValueError, match="file"):
        decode_head(b"SOUNDBL1\xff\xff\xff\xff".ljust(HEAD_BYTES, b"\0"))


@pytest.mark.parametrize(("size", "count"), [(0, 0), (1, 1), (BLOCK_BYTES, 1), (BLOCK_BYTES + 1, 2)])
def test_blocks_cover_the_blob(size: int, count: int) -> None:
    assert (blocks(size), file_size(size)) == (count, HEAD_BYTES + size + 8 * count)


@pytest.mark.parametrize(
    ("position", "stretch"),
    [
        (0, Stretch(0, BLOCK_BYTES, 0)),
        (BLOCK_BYTES - 1, Stretch(0, BLOCK_BYTES, 0)),
        (BLOCK_BYTES, Stretch(BLOCK_BYTES, BLOCK_BYTES + 9, 1)),
    ],
)
def test_a_position_lies_in_its_block(position: int, stretch: Stretch) -> None:
    assert stretch_at(position, BLOCK_BYTES + 9) == stretch


def test_the_name_of_an_object_says_nothing_of_its_key() -> None:
    assert object_name("a/b") == "objects/c1/4cddc033f64b9dea80ea675cf280a015e672516090a5626781153dc68fea11"


def test_the_sum_of_a_block_is_its_xxh3() -> None:
    assert block_sum(b"abc").hex() == "78af5f94892f3950"
