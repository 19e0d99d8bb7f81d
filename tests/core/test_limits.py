"""The bounds that hold everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from soundstage.core import limits
from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.core.time import Duration
from soundstage.engines.records import port

MS = 1_000_000


@pytest.mark.parametrize(
    ("check", "value", "answer"),
    [
        (limits.check_id, "é", b"\xc3\xa9"),
        (limits.check_id, "x" * 1_024, b"x" * 1_024),
        (limits.check_id, "a\0b", b"a\0b"),
        (limits.check_key, b"", b""),
        (limits.check_key, b"\0" * 4_096, b"\0" * 4_096),
        (limits.check_token, "t" * 64, "t" * 64),
        (limits.check_namespace, "a", "a"),
        (limits.check_namespace, "Profiles_v2.eu-1", "Profiles_v2.eu-1"),
        (limits.check_namespace, "n" * 64, "n" * 64),
        (limits.check_ttl, Duration(MS), 1_000),
        (limits.check_ttl, MS, 1_000),
        (limits.check_ttl, Duration.parse("3653d"), 3_653 * 86_400 * 10**6),
        (limits.check_deadline, "250ms", 250 * MS),
        (limits.check_deadline, "10d", limits.DEADLINE_MAX),
        (limits.check_call_items, 1, None),
        (limits.check_call_items, 5_000, None),
        (limits.check_call_bytes, 4 << 20, None),
    ],
)
def test_what_is_within_its_bounds_passes(check: Callable[[Any], Any], value: Any, answer: Any) -> None:
    assert check(value) == answer


@pytest.mark.parametrize(
    ("check", "value", "field"),
    [
        (limits.check_id, "", "id"),
        (limits.check_id, "x" * 1_025, "id"),
        (limits.check_id, "é" * 513, "id"),
        (limits.check_id, "\ud800", "id"),
        (limits.check_key, b"k" * 4_097, "key"),
        (limits.check_token, "", "idempotency_token.token"),
        (limits.check_token, "t" * 65, "idempotency_token.token"),
        (limits.check_token, "é" * 33, "idempotency_token.token"),
        (limits.check_token, "a\0b", "idempotency_token.token"),
        (limits.check_token, "\udfff", "idempotency_token.token"),
        (limits.check_namespace, "", "namespace"),
        (limits.check_namespace, "n" * 65, "namespace"),
        (limits.check_namespace, "a/b", "namespace"),
        (limits.check_namespace, "-a", "namespace"),
        (limits.check_namespace, "a.", "namespace"),
        (limits.check_namespace, "a\n", "namespace"),
        (limits.check_namespace, "é", "namespace"),
        (limits.check_ttl, Duration(MS - 1), "ttl"),
        (limits.check_ttl, Duration(0), "ttl"),
        (limits.check_ttl, Duration(-MS), "ttl"),
        (limits.check_ttl, Duration.parse("3653.1d"), "ttl"),
        (limits.check_deadline, "soon", "Soundstage-Timeout"),
        (limits.check_deadline, "0ms", "Soundstage-Timeout"),
        (limits.check_deadline, "-1s", "Soundstage-Timeout"),
        (limits.check_call_items, 0, "items"),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_field_and_hint(
    check: Callable[[Any], Any], value: Any, field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check(value)
    assert caught.value.field == field
    assert caught.value.hint


@pytest.mark.parametrize(
    ("check", "value"), [(limits.check_call_items, 5_001), (limits.check_call_bytes, (4 << 20) + 1)]
)
def test_a_call_over_its_limit_is_too_large(check: Callable[[int], None], value: int) -> None:
    with pytest.raises(TooLarge) as caught:
        check(value)
    assert caught.value.field == "items"
    assert str(value) in caught.value.detail


def test_a_field_can_be_named_by_its_path() -> None:
    with pytest.raises(InvalidArgument) as caught:
        limits.check_key(b"k" * 5_000, "items[3].key")
    assert caught.value.field == "items[3].key"
    assert caught.value.detail.startswith("items[3].key has 5000 bytes")


@pytest.mark.parametrize("text", ["a", "req-1:2/3", "x" * 128])
def test_a_header_of_visible_characters_passes(text: str) -> None:
    assert limits.check_header(text, "X-Request-Id", 128) == text


@pytest.mark.parametrize("text", ["", "a b", "a\r\nX: y", "é", "x" * 129])
def test_other_headers_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        limits.check_header(text, "X-Request-Id", 128)
    assert caught.value.field == "X-Request-Id"


def test_a_refused_name_is_not_repeated_whole() -> None:
    with pytest.raises(InvalidArgument) as caught:
        limits.check_namespace("x" * 10_000)
    assert len(caught.value.detail) < 200


def test_door_and_port_agree() -> None:
    assert (limits.CALL_MAX_BYTES, limits.CALL_MAX_ITEMS) == (port.BATCH_MAX_BYTES, port.BATCH_MAX_ITEMS)
    assert (limits.ID_MAX_BYTES, limits.KEY_MAX_BYTES) == (port.PARTITION_MAX_BYTES, port.KEY_MAX_BYTES)
    assert limits.SEGMENTS_MAX == port.SEGMENTS_MAX


@pytest.mark.parametrize("given", [5, None, b"id"])
def test_what_is_no_text_is_refused_by_its_type(given: Any) -> None:
    with pytest.raises(InvalidArgument, match=f"is {type(given).__name__}, not text") as refused:
        limits.check_id(given)
    assert refused.value.field == "id"
