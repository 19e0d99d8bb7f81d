"""The bounds of durations and sizes, which their declarations carry as `Meta(extra={"bounds": (low, high)})`."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec import inspect

from soundstage.core.errors import InvalidArgument
from soundstage.core.size import Size
from soundstage.core.time import Duration


def bounds_of(node: inspect.Type) -> tuple[str, str] | None:
    """The least and the greatest value of a field of this type, as they are written; None without bounds."""
    extra: Any = getattr(node, "extra", None)
    return extra.get("bounds") if extra else None


def check_bounds(value: Any, at: str = "") -> None:
    """Raise `InvalidArgument` for the first duration or size in `value` that is out of bounds.

    `at` is put before the path of the field.
    """
    for field in cast("inspect.StructType", inspect.type_info(cast("type[Any]", type(value)))).fields:
        found: Any = getattr(value, field.name)
        bounds = bounds_of(field.type)
        if bounds is not None and isinstance(found, Duration | Size):
            _check(found, bounds, at + field.name)
        elif isinstance(found, msgspec.Struct):
            check_bounds(found, f"{at}{field.name}.")
        elif isinstance(found, dict):
            for name, entry in cast("dict[str, Any]", found).items():
                if isinstance(entry, msgspec.Struct):
                    check_bounds(entry, f"{at}{field.name}.{name}.")


def _check(found: Duration | Size, bounds: tuple[str, str], key: str) -> None:
    low, high = (type(found).parse(bound) for bound in bounds)
    if not low <= found <= high:
        raise InvalidArgument(f"{key} is {found}", field=key, hint=f"it lies between {low} and {high}")
