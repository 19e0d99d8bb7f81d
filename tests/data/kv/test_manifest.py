"""Where the chunks of a value lie, and how they prove themselves."""

from __future__ import annotations

import msgspec
import pytest

from soundstage.core import version
from soundstage.data.kv.manifest import (
    CALL_BYTES,
    GROUP,
    Manifest,
    chunk_cell,
    chunks_per_call,
    data_of,
    digest_of,
    group_of,
    place_of,
)

UPLOAD = bytes(range(16))
KIB = 1 << 10


@pytest.mark.parametrize(("size", "count"), [(0, 0), (1, 1), (10, 1), (11, 2), (20, 2), (21, 3)])
def test_a_value_has_as_many_chunks_as_it_fills(size: int, count: int) -> None:
    assert Manifest(b"", size, 10, UPLOAD).count == count


def test_chunks_lie_in_order_in_groups_of_their_upload() -> None:
    places = [place_of(UPLOAD, number) for number in range(2 * GROUP + 1)]
    assert places == sorted(places)
    assert [partition for partition, _ in places] == [
        group_of(UPLOAD, number // GROUP) for number in range(2 * GROUP + 1)
    ]
    assert len(set(places)) == len(places)


def test_uploads_share_no_partition() -> None:
    assert group_of(UPLOAD, 0) != group_of(bytes(16), 0)


@pytest.mark.parametrize("chunk_kib", [16, 17, 100, 256, 300, 700, 1_024])
def test_no_call_lies_across_two_groups_nor_has_more_bytes_than_it_may_or_one_chunk(chunk_kib: int) -> None:
    count = chunks_per_call(chunk_kib * KIB)
    assert GROUP % count == 0
    assert count == 1 or count * chunk_kib * KIB <= CALL_BYTES


def test_a_chunk_holds_what_was_written() -> None:
    assert data_of(chunk_cell(5, "token", b"data")) == b"data"


def test_a_chunk_that_was_altered_holds_nothing() -> None:
    assert data_of(chunk_cell(5, "token", b"data")[:-1] + b"b") is None


def test_a_chunk_never_expires() -> None:
    assert version.expires_us(chunk_cell(5, "token", b"data")) == 0


def test_of_two_manifests_under_one_token_their_values_decide_before_their_uploads() -> None:
    def encoded(digest: bytes, upload: bytes) -> bytes:
        return msgspec.msgpack.encode(Manifest(digest, 5, 9, upload))

    one, other = digest_of(b"one"), digest_of(b"other")
    assert (one < other) == (encoded(one, b"\xff") < encoded(other, b"\0"))
