from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from msgspec import Meta, inspect

from soundstage.core.errors import InvalidArgument
from soundstage.core.size import Size
from soundstage.core.time import Duration
from soundstage.runtime.bounds import bounds_of, check_bounds

MS = 1_000_000


class Inner(msgspec.Struct, frozen=True):
    wait: Annotated[Duration | None, Meta(extra={"bounds": ("1ms", "1s")})] = None


class Outer(msgspec.Struct):
    size: Annotated[Size, Meta(extra={"bounds": ("1KiB", "1MiB")})] = Size(1024)
    inner: Inner = Inner()
    named: dict[str, Inner] = {}
    free: Duration = Duration(0)


@pytest.mark.parametrize("wait", [1 * MS, 1_000 * MS])
def test_both_bounds_are_inside(wait: int) -> None:
    check_bounds(Outer(inner=Inner(Duration(wait))))


@pytest.mark.parametrize("wait", [1 * MS - 1, 1_000 * MS + 1])
def test_beyond_them_is_refused_with_path_and_bounds(wait: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_bounds(Outer(inner=Inner(Duration(wait))), "x.")
    assert caught.value.field == "x.inner.wait"
    assert caught.value.hint == "it lies between 1ms and 1s"


def test_tables_by_name_are_checked_too() -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_bounds(Outer(named={"a": Inner(), "b": Inner(Duration(0))}))
    assert caught.value.field == "named.b.wait"


def test_sizes_have_bounds() -> None:
    with pytest.raises(InvalidArgument, match="size is 1B"):
        check_bounds(Outer(size=Size(1)))


def test_none_and_fields_without_bounds_are_free() -> None:
    check_bounds(Outer(free=Duration(2**62)))


def test_a_type_tells_its_bounds() -> None:
    node = inspect.type_info(Outer)
    assert isinstance(node, inspect.StructType)
    assert [bounds_of(field.type) for field in node.fields] == [("1KiB", "1MiB"), None, None, None]
