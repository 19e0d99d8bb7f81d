"""Strict twins: message types as the door reads them.

Messages are tolerant in clients and stores, so that fields may be added. At the door a typo must not pass
for an absent field: `strict_twin` makes, of any message type, one that refuses unknown fields all the way
down, integers beyond int64, NaN and infinities. A struct's twin is a subclass of it, so handlers see no
difference; two equal messages are equal whichever of both made them.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Callable
from functools import reduce
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import NODEFAULT, Meta
from msgspec.structs import FieldInfo

from soundstage.core.digits import TextInteger
from soundstage.core.time import INT64_MAX, INT64_MIN

_FLOAT_MAX = sys.float_info.max

Notes: TypeAlias = tuple[Any, ...]


class Twins:
    """Makes twins of types; `integer` gives the type that reads integers, from the bounded one."""

    def __init__(self, integer: Callable[[Any], Any]) -> None:
        self._integer = integer
        self._structs: dict[Any, type[msgspec.Struct]] = {}

    def twin(self, declared: Any) -> Any:
        """The twin of a message type, or of any type that a message's field may have.

        One struct always has the same twin. Raises `TypeError` for records that are not msgspec structs.
        """
        if _is_number(declared):
            return self._number(declared)
        origin = typing.get_origin(declared)
        if origin is Annotated:
            inner, *notes = typing.get_args(declared)
            return Annotated[(self.twin(inner), *notes)]
        if _is_struct(declared) or _is_struct(origin):
            return self._struct(declared)
        if isinstance(declared, typing.NewType):
            return self.twin(declared.__supertype__)
        if origin is typing.Literal or origin is None:
            return _plain(declared)
        if origin in (typing.Union, types.UnionType):
            return self._union(typing.get_args(declared))
        return origin[tuple(part if part is ... else self.twin(part) for part in typing.get_args(declared))]

    def _number(self, declared: Any) -> Any:
        bounded = _bounded(declared)
        return self._integer(bounded) if _unannotated(declared) is int else bounded

    def _union(self, members: tuple[Any, ...]) -> Any:
        # Beside other types a text is read as text, and msgspec allows no hooked type there.
        alone = sum(member is not types.NoneType for member in members) == 1
        twins = [_bounded(member) if _is_number(member) and not alone else self.twin(member) for member in members]
        return reduce(lambda left, right: left | right, twins)

    def _struct(self, declared: Any) -> type[msgspec.Struct]:
        made = self._structs.get(declared)
        if made is not None:
            return made
        original: type[msgspec.Struct] = typing.get_origin(declared) or declared
        fields = msgspec.structs.fields(declared)
        twin = msgspec.defstruct(
            original.__name__,
            [(field.name, Any, _default(field)) for field in fields],
            bases=(original,),
            module=original.__module__,
            namespace=_identity(original),
            forbid_unknown_fields=True,
            kw_only=True,
            rename={field.name: field.encode_name for field in fields},
        )
        # Kept before its fields are known, so that a struct that contains itself finds its twin.
        self._structs[declared] = twin
        twin.__annotations__.update({field.name: self.twin(field.type) for field in fields})
        return twin


strict_twin: Callable[[Any], Any] = Twins(lambda bounded: bounded).twin
"""The strict form of a message type."""

text_twin: Callable[[Any], Any] = Twins(TextInteger.of).twin
"""The strict form in which integers may be written as text; for `decode_text_scalar`."""


def _unannotated(declared: Any) -> Any:
    return typing.get_args(declared)[0] if typing.get_origin(declared) is Annotated else declared


def _is_number(declared: Any) -> bool:
    return _unannotated(declared) in (int, float)


def _is_struct(declared: Any) -> bool:
    return isinstance(declared, type) and issubclass(declared, msgspec.Struct)


def _plain(declared: Any) -> Any:
    if hasattr(declared, "__dataclass_fields__") or hasattr(declared, "_fields") or typing.is_typeddict(declared):
        raise TypeError(f"{declared!r} cannot be part of a message; declare it as a msgspec.Struct")
    return declared


def _bounded(declared: Any) -> Any:
    """A number with the bounds of its kind where it has none; NaN is within no bounds."""
    number, notes = _unannotated(declared), typing.get_args(declared)[1:]
    least, most = (INT64_MIN, INT64_MAX) if number is int else (-_FLOAT_MAX, _FLOAT_MAX)
    metas = [note for note in notes if isinstance(note, Meta)]
    if all(meta.ge is None and meta.gt is None for meta in metas):
        notes = (*notes, Meta(ge=least))
    if all(meta.le is None and meta.lt is None for meta in metas):
        notes = (*notes, Meta(le=most))
    return Annotated[(number, *notes)]


def _default(field: FieldInfo) -> Any:
    if field.default_factory is not NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return NODEFAULT if field.default is NODEFAULT else field.default


def _identity(original: type[msgspec.Struct]) -> dict[str, Any]:
    """What makes a twin equal to, and hashed like, an equal struct of the original type."""
    names = original.__struct_fields__

    def equals(self: Any, other: Any) -> bool:
        if not isinstance(other, original):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def differs(self: Any, other: Any) -> bool:
        equal = equals(self, other)
        return equal if equal is NotImplemented else not equal

    def hashes(self: Any) -> int:
        # A struct's own hash depends on its exact type; one of a type that has none raises here as well.
        return hash(original(**{name: getattr(self, name) for name in names}))

    return {"__eq__": equals, "__ne__": differs, "__hash__": hashes, "__doc__": original.__doc__}
