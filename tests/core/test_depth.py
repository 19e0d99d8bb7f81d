"""Where a body nests too deep, found without a stack."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core.depth import json_depth_position, msgpack_depth_position

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(values, st.integers(0, 6))
def test_json_is_too_deep_just_when_it_is(value: Any, limit: int) -> None:
    assert (json_depth_position(msgspec.json.encode(value), limit) is not None) == (depth(value) > limit)


@given(values, st.integers(0, 6))
def test_messagepack_is_too_deep_just_when_it_is(value: Any, limit: int) -> None:
    assert (msgpack_depth_position(msgspec.msgpack.encode(value), limit) is not None) == (depth(value) > limit)


@pytest.mark.parametrize(
    ("body", "at"),
    [(b"[[1]]", 1), (b'{"a":[]}', 5), (b'["[[[",[]]', 7), (b'["\\"[",[]]', 7), (b"[]", None), (b"[[", 1)],
)
def test_the_position_in_json_is_that_of_the_bracket(body: bytes, at: int | None) -> None:
    assert json_depth_position(body, 1) == at


@pytest.mark.parametrize(
    "value",
    ["x" * 40, "x" * 300, "x" * 70_000, b"y" * 10, b"y" * 300, b"y" * 70_000, 1.5, 2**40, -(2**40), list(range(20))],
)
def test_long_values_of_messagepack_are_passed_over(value: Any) -> None:
    body = msgspec.msgpack.encode([value, [[1]]])
    assert msgpack_depth_position(body, 2) == len(body) - 2


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16, 5, 300, 70_000])
def test_extensions_of_messagepack_are_passed_over(size: int) -> None:
    body = msgspec.msgpack.encode([msgspec.msgpack.Ext(7, b"z" * size), [[1]]])
    assert msgpack_depth_position(body, 2) == len(body) - 2


def test_large_containers_of_messagepack_are_counted() -> None:
    body = msgspec.msgpack.encode([[0] * 70_000, {str(key): 0 for key in range(70_000)}, [[1]]])
    assert msgpack_depth_position(body, 2) == len(body) - 2


@given(st.binary(max_size=60))
def test_garbage_harms_nobody(body: bytes) -> None:
    positions = [msgpack_depth_position(body, 3), json_depth_position(body, 3)]
    assert all(each is None or 3 <= each < len(body) for each in positions)
