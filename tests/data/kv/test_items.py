"""Rows as items of a reply."""

from __future__ import annotations

import msgspec
import pytest

from soundstage.core import version
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.data.kv.items import StoredMetadata, item_of, token_of
from soundstage.data.kv.selections import NO_VALUES
from soundstage.engines.records.port import Stamp

CELL = version.put(5, "token", b"value")
TOKEN = IdempotencyToken(Instant(5_000), "token")


def test_an_item_is_its_key_value_token_and_size() -> None:
    found = item_of(b"k", CELL)
    assert (found.key, found.value, found.metadata.token, found.metadata.size) == (b"k", b"value", TOKEN, 5)


def test_what_never_expires_has_no_expiry() -> None:
    assert item_of(b"k", CELL).metadata.expires_at is None


def test_an_expiry_is_an_instant() -> None:
    assert item_of(b"k", version.put(5, "t", b"", expires_us=7)).metadata.expires_at == Instant(7_000)


def test_the_codec_of_a_value_is_told() -> None:
    metadata = msgspec.msgpack.encode(StoredMetadata(codec="zstd"))
    found = item_of(b"k", version.put(5, "t", b"value", metadata=metadata))
    assert (found.metadata.codec, found.value) == ("zstd", b"value")


def test_metadata_of_a_newer_release_is_understood_in_part() -> None:
    metadata = msgspec.msgpack.encode({"codec": "zstd", "chunks": 3})
    assert item_of(b"k", version.put(5, "t", b"", metadata=metadata)).metadata.codec == "zstd"


def test_a_plain_value_has_no_codec() -> None:
    assert item_of(b"k", CELL).metadata.codec is None


@pytest.mark.parametrize(("most", "value"), [(None, b"value"), (5, b"value"), (4, None), (0, None), (NO_VALUES, None)])
def test_a_value_that_is_too_large_is_left_out(most: int | None, value: bytes | None) -> None:
    found = item_of(b"k", CELL, most)
    assert (found.value, found.metadata.size) == (value, 5)


@pytest.mark.parametrize(("most", "value"), [(0, b""), (NO_VALUES, None)])
def test_the_empty_value_is_left_out_with_all_values_only(most: int, value: bytes | None) -> None:
    assert item_of(b"k", version.put(5, "t", b""), most).value == value


def test_a_value_may_look_like_a_cell() -> None:
    assert item_of(b"k", version.put(5, "t", CELL)).value == CELL


def test_tokens_may_be_of_any_text() -> None:
    assert item_of(b"k", version.put(5, "é\x01", b"")).metadata.token.token == "é\x01"


def test_a_stamp_is_a_token() -> None:
    assert token_of(Stamp(5, "token")) == TOKEN
    assert token_of(None) is None
