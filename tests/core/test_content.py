"""What types cannot say: free values hold what every format can carry, to a bounded depth."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec import inspect
from tests.core.messages import Everything, Inner, Tree

from soundstage.core.content import Fault, TooDeep, check_content, needs_walk


def fault_of(value: Any, levels: int = 10) -> Fault:
    with pytest.raises(Fault) as caught:
        check_content(value, levels)
    return caught.value


@pytest.mark.parametrize(("type", "needed"), [(Inner, False), (Everything, True), (Tree, True), (list[int], False)])
def test_a_walk_is_needed_for_free_and_recursive_types_only(type: Any, needed: bool) -> None:
    assert needs_walk(inspect.type_info(type)) is needed


@pytest.mark.parametrize("value", [None, True, "a", b"b", 5, 0.5, [1, {"a": [None]}], {5: "x"}, (1, 2), {1, 2}])
def test_what_every_format_carries_passes(value: Any) -> None:
    check_content(value, 10)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, float("nan")]}, "a[1]"),
        ([float("inf")], "[0]"),
        ({"a": {"b": 2**63}}, "a.b"),
        (-(2**63) - 1, None),
        ({"a": datetime(2026, 1, 1, tzinfo=UTC)}, "a"),
        ([msgspec.msgpack.Ext(1, b"")], "[0]"),
        (Everything(id="a", free=[float("nan")]), "free[0]"),
        ({(1, 2): 3}, None),
        ({b"k": 1}, None),
    ],
)
def test_what_some_format_cannot_carry_is_refused_with_its_path(value: Any, path: str | None) -> None:
    refused = fault_of(value).refusal()
    assert (refused.field, bool(refused.hint)) == (path, True)


def test_values_as_deep_as_allowed_pass() -> None:
    check_content([[[]]], 3)


def test_deeper_ones_are_too_deep() -> None:
    assert isinstance(fault_of([[[[]]]], 3), TooDeep)


def test_a_note_follows_what_is_wrong() -> None:
    assert str(fault_of([2**70]).refusal(" (in the file x)")).endswith("(in the file x)")
