"""How a blob lies in its object."""

from __future__ import annotations

import pytest
from xxhash import xxh3_64_digest

from soundstage.engines.blobs.port import KEY_MAX_CHARS, METADATA_MAX_BYTES, METADATA_MAX_NAMES, BlobInfo
from soundstage.engines.blobs.s3.layout import (
    BLOCK_BYTES,
    MAGIC,
    SEAL_BYTES,
    Foreign,
    Seal,
    blob_bytes,
    blocks,
    object_bytes,
    sealed,
    sums,
    unsealed,
)

SIZES = (0, 1, 7, BLOCK_BYTES - 9, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 5 * BLOCK_BYTES, 5 * BLOCK_BYTES + 17)


def seal(size: int = 5, **more: object) -> Seal:
    said = {"key": "a", "size": size, "sha256": "0" * 64, "created_us": 1, **more}
    return Seal(BlobInfo(**said), "f" * 32)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("size", SIZES)
def test_the_size_of_a_blob_is_known_from_that_of_its_object(size: int) -> None:
    assert blob_bytes(object_bytes(size)) == size


@pytest.mark.parametrize("size", SIZES)
def test_each_block_has_a_sum(size: int) -> None:
    assert len(sums(bytes(size))) == 8 * blocks(size)


def test_a_sum_is_of_its_block_alone() -> None:
    data = b"a" * BLOCK_BYTES + b"b"
    assert sums(data) == xxh3_64_digest(b"a" * BLOCK_BYTES) + xxh3_64_digest(b"b")


def test_an_object_too_small_for_a_blob_holds_none() -> None:
    assert (blob_bytes(0), blob_bytes(SEAL_BYTES - 1)) == (0, 0)


def test_what_was_sealed_is_read() -> None:
    assert unsealed(sealed(seal()), object_bytes(5)) == seal()


def test_what_stands_before_the_seal_does_not_matter() -> None:
    assert unsealed(b"before" + sealed(seal()), object_bytes(5)) == seal()


def test_the_most_that_may_be_said_of_a_blob_fits() -> None:
    names = [f"{number:03x}" for number in range(METADATA_MAX_NAMES)]
    share = METADATA_MAX_BYTES // METADATA_MAX_NAMES - 3
    largest = seal(
        (1 << 62) + 1,
        key="k" * KEY_MAX_CHARS,
        created_us=(1 << 62) + 1,
        expires_us=(1 << 62) + 1,
        metadata=dict.fromkeys(names, "v" * share),
    )
    assert len(sealed(largest)) == SEAL_BYTES
    assert sealed(largest)[:-12].rstrip(b"\0")


@pytest.mark.parametrize(
    "end",
    [
        b"",
        b"short",
        bytes(SEAL_BYTES),
        bytes(SEAL_BYTES - 12) + b"\xff\xff\xff\xff" + MAGIC,
        b"\xc1" + bytes(SEAL_BYTES - 13) + b"\0\0\0\x01" + MAGIC,
    ],
)
def test_another_end_is_foreign(end: bytes) -> None:
    with pytest.raises(Foreign):
        unsealed(end, object_bytes(5))


def test_a_seal_of_a_blob_of_another_size_is_foreign() -> None:
    with pytest.raises(Foreign, match="do not fit"):
        unsealed(sealed(seal(6)), object_bytes(5))
