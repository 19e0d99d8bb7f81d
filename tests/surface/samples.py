"""A system with every kind of field, and the operations of the catalogue."""

# pyright: reportReturnType=false
from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from soundstage.catalogue import SYSTEMS
from soundstage.core.errors import NotFound, PreconditionFailed
from soundstage.core.message import Duration, Instant
from soundstage.core.operation import Operation, operation, operations_of
from soundstage.core.size import Size


class Inner(msgspec.Struct, kw_only=True):
    """Both `flag` and `ratio`."""

    flag: bool
    ratio: Annotated[float, Meta(gt=0, lt=2)]
    note: str | None = None


class All(msgspec.Struct):
    """All of them."""


class Choice(msgspec.Struct, kw_only=True):
    """Exactly one of its fields."""

    all: All | None = None
    some: Inner | None = None


class Tree(msgspec.Struct, kw_only=True):
    name: str
    children: list[Tree]


class Show(msgspec.Struct, kw_only=True):
    """What to show."""

    namespace: str = ""
    id: Annotated[str, Meta(min_length=1, max_length=10, pattern="^[a-z]+$", description="which one")]
    count: Annotated[int, Meta(ge=7)]
    at: Instant
    ttl: Duration
    size: Size
    order: Literal["asc", "desc"]
    key: bytes
    inner: Inner
    many: Annotated[list[Inner], Meta(max_length=3)]
    by_name: dict[str, int]
    choice: Choice
    limit: Annotated[int, Meta(ge=1, le=50)] = 20
    maybe: int | None = None
    either: Inner | list[Inner] | None = None
    free: Any = None
    labels: list[str] = []


class ShowReply(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What there is."""

    names: list[str]
    tree: Tree
    inner: Inner | None = None
    at: Instant
    version: int = 1


class Gallery:
    """Shows everything."""

    system = "gallery"

    @operation(Show, access="read", idempotent=True, errors=(NotFound,))
    def show(self) -> ShowReply:
        """Show `one`.

        Or none.
        """

    @operation(Inner, access="write", errors=(PreconditionFailed,))
    def change(self) -> Inner:
        """Change it."""


def catalogued() -> list[Operation[..., Any]]:
    """Every operation of the catalogue."""
    calls = [import_module(f"{system.path}.api").CALLS for system in SYSTEMS]
    return [found for each in calls for found in operations_of(each).values()]


OPERATIONS = [Gallery.show, Gallery.change, *catalogued()]
