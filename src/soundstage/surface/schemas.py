"""JSON Schemas of messages, as OpenAPI 3.1 carries them.

A message has two sides. As a request it allows no fields but its own and takes null for what may be left
out; as a part of a reply it may grow fields, and what is null is left out. A type met on both sides is
described twice, as `Name` and as `NameInput`.
"""

from __future__ import annotations

import inspect as python
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias, cast

import msgspec
from msgspec import NODEFAULT, inspect

from soundstage.core.codec import json_encode
from soundstage.core.limits import NAMESPACE_MAX_CHARS
from soundstage.core.operation import Operation
from soundstage.core.scalars import scalar_schema
from soundstage.core.shape import Node, descend
from soundstage.core.time import INT64_MAX, INT64_MIN, Instant

Side: TypeAlias = Literal["request", "reply"]
Schema: TypeAlias = dict[str, Any]

REF = "#/components/schemas/"

_BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_INSTANT_OUT: Schema = {"type": "string", "format": "date-time"}


class Schemas:
    """The schemas of everything that `operations` take and give; `components` has them by name."""

    def __init__(self, operations: Iterable[Operation[..., Any]]) -> None:
        operations = list(operations)
        requests = _structs(operation.request for operation in operations)
        replies = _structs(answer for operation in operations for answer in (operation.reply, operation.answer))
        self._names = _names(requests, replies)
        self._namespaced = {operation.request for operation in operations if operation.namespaced}
        self.components: dict[str, Schema] = {
            self._names[struct, side]: self._struct(struct, side) for struct, side in self._names
        }

    def name(self, struct: type[Any], side: Side) -> str:
        """The name that a message has among the components."""
        return self._names[struct, side]

    def ref(self, struct: type[Any], side: Side) -> Schema:
        """A reference to the schema of a message."""
        return {"$ref": REF + self.name(struct, side)}

    def _struct(self, struct: type[Any], side: Side) -> Schema:
        schema: Schema = {"type": "object", "title": struct.__name__}
        doc = vars(struct).get("__doc__")
        if doc:
            schema["description"] = python.cleandoc(doc)
        fields = cast("inspect.StructType", inspect.type_info(struct)).fields
        schema["properties"] = {field.encode_name: self._field(struct, field, side) for field in fields}
        required = [field.encode_name for field in fields if self._is_required(struct, field, side)]
        if required:
            schema["required"] = required
        if side == "request":
            schema["additionalProperties"] = False
        return schema

    def _field(self, struct: type[Any], field: inspect.Field, side: Side) -> Schema:
        schema = self._schema(field.type, side)
        if side == "reply":
            return schema
        if self._is_namespace(struct, field):
            return {**schema, "minLength": 1, "maxLength": NAMESPACE_MAX_CHARS}
        default = _default(field)
        if default is not NODEFAULT and default is not None:
            schema["default"] = msgspec.json.decode(json_encode(default))
        return schema

    def _is_required(self, struct: type[Any], field: inspect.Field, side: Side) -> bool:
        if side == "request":
            return field.required or self._is_namespace(struct, field)
        # Replies leave out nothing but null.
        return not _takes_none(field.type)

    def _is_namespace(self, struct: type[Any], field: inspect.Field) -> bool:
        """Clients in process are bound to a namespace; over the wire it is named."""
        return struct in self._namespaced and field.encode_name == "namespace" and field.default == ""

    def _schema(self, node: Node, side: Side) -> Schema:
        match node:
            case inspect.Metadata():
                return {**self._schema(node.type, side), **_notes(node)}
            case inspect.StructType():
                return self.ref(node.cls, side)
            case inspect.UnionType():
                return self._union(node, side)
            case inspect.CustomType():
                return _INSTANT_OUT if side == "reply" and node.cls is Instant else dict(scalar_schema(node.cls))
            case inspect.ListType():
                return {"type": "array", "items": self._schema(node.item_type, side), **_sizes(node, "Items")}
            case inspect.DictType():
                values = self._schema(node.value_type, side)
                return {"type": "object", "additionalProperties": values or True, **_sizes(node, "Properties")}
            case _:
                return _plain(node)

    def _union(self, node: inspect.UnionType, side: Side) -> Schema:
        options = [self._schema(each, side) for each in node.types if not isinstance(each, inspect.NoneType)]
        if side == "request" and len(options) < len(node.types):
            options.append({"type": "null"})
        return options[0] if len(options) == 1 else {"anyOf": options}


def _structs(types: Iterable[type[Any]]) -> list[type[Any]]:
    """All structs inside `types`, each once, in a steady order."""
    nodes = (node for each in types for node in descend(inspect.type_info(each)))
    found = (_bare(node) for node in nodes)
    return list(dict.fromkeys(node.cls for node in found if isinstance(node, inspect.StructType)))


def _bare(node: Node) -> Node:
    while isinstance(node, inspect.Metadata):
        node = node.type
    return node


def _names(requests: list[type[Any]], replies: list[type[Any]]) -> dict[tuple[type[Any], Side], str]:
    shared = Counter(struct.__name__ for struct in dict.fromkeys([*requests, *replies]))

    def name(struct: type[Any]) -> str:
        if shared[struct.__name__] == 1:
            return struct.__name__
        # Systems may use the same word, each in its own package.
        return f"{f'{struct.__module__}.'.partition('.api.')[0].rstrip('.').rpartition('.')[2]}.{struct.__name__}"

    both = set(requests) & set(replies)
    named: dict[tuple[type[Any], Side], str] = {(struct, "reply"): name(struct) for struct in replies}
    for struct in requests:
        named[struct, "request"] = f"{name(struct)}Input" if struct in both else name(struct)
    if len(set(named.values())) < len(named):
        raise TypeError(f"two messages have one name: {sorted(named.values())}")
    return named


def _notes(node: inspect.Metadata) -> Schema:
    return cast("Any", node).extra_json_schema or {}


def _takes_none(node: Node) -> bool:
    node = _bare(node)
    if isinstance(node, inspect.AnyType):
        return True
    return isinstance(node, inspect.UnionType) and any(isinstance(each, inspect.NoneType) for each in node.types)


def _default(field: inspect.Field) -> Any:
    factory = field.default_factory
    return field.default if factory is NODEFAULT else factory()


def _sizes(node: Any, of: str) -> Schema:
    bounds = {f"min{of}": node.min_length, f"max{of}": node.max_length}
    return {name: bound for name, bound in bounds.items() if bound is not None}


def _plain(node: Node) -> Schema:
    match node:
        case inspect.IntType():
            least, most = _bounds(node, INT64_MIN, INT64_MAX)
            return {"type": "integer", "format": "int64", **least, **most}
        case inspect.FloatType():
            least, most = _bounds(node, None, None)
            return {"type": "number", **least, **most}
        case inspect.StrType():
            pattern = {} if node.pattern is None else {"pattern": node.pattern}
            return {"type": "string", **pattern, **_sizes(node, "Length")}
        case inspect.BytesType():
            return {"type": "string", "contentEncoding": "base64", "pattern": _BASE64}
        case inspect.LiteralType():
            return {"enum": list(node.values)}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.AnyType():
            return {}
        case _:
            raise TypeError(f"messages cannot be described that hold {node!r}")


def _bounds(node: Any, least: int | None, most: int | None) -> tuple[Schema, Schema]:
    low = {"exclusiveMinimum": node.gt} if node.gt is not None else {"minimum": least if node.ge is None else node.ge}
    high = {"exclusiveMaximum": node.lt} if node.lt is not None else {"maximum": most if node.le is None else node.le}
    return _given(low), _given(high)


def _given(bound: Schema) -> Schema:
    return {name: value for name, value in bound.items() if value is not None}
