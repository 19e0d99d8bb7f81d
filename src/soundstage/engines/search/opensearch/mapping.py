"""How documents lie in OpenSearch: the mapping of an index.

Each field has its own name. Names in capitals are this engine's: `ID` is sorted by, `WORDS` holds the words of texts
with spaces between, which is what is searched. No caller sees them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from soundstage.engines.search.opensearch.options import OpenSearchOptions
from soundstage.engines.search.port import Field, IndexSpec, Kind, Similarity

ID, WORDS, SPEC = "ID", "WORDS", "soundstage"

SPACES: Mapping[Similarity, str] = {"cosine": "cosinesimil", "dot": "innerproduct", "euclidean": "l2"}

_TYPES = {
    Kind.KEYWORD: "keyword",
    Kind.INTEGER: "long",
    Kind.INSTANT: "long",
    Kind.DOUBLE: "double",
    Kind.BOOLEAN: "boolean",
}

_encode = msgspec.json.Encoder().encode


class _Meta(msgspec.Struct, frozen=True):
    said: str = msgspec.field(name=SPEC)


class _Ours(msgspec.Struct, frozen=True):
    meta: _Meta = msgspec.field(name="_meta")


def settings(spec: IndexSpec, options: OpenSearchOptions) -> dict[str, Any]:
    """What makes the index."""
    index: dict[str, Any] = {
        "number_of_shards": options.shards,
        "number_of_replicas": options.replicas,
        "refresh_interval": "1s",
        "mapping": {"nested_fields": {"limit": 256}, "nested_objects": {"limit": 100_000}},
    }
    if any(field.kind is Kind.VECTOR for field in spec.fields.values()):
        index["knn"] = True
    properties = {ID: {"type": "keyword", "index": False}, **_properties(spec.fields)}
    mappings = {
        "dynamic": "strict",
        "_meta": {SPEC: _encode(spec).decode()},
        "properties": properties,
    }
    return {"settings": {"index": index}, "mappings": mappings}


def has_objects(spec: IndexSpec) -> bool:
    """Whether documents have objects. Those are returned whole: who leaves out a part there loses empty ones."""
    return any(field.kind is Kind.NESTED for field in spec.fields.values())


def spec_of(mappings: Mapping[str, Any]) -> IndexSpec | None:
    """The index that was made so; None for one that is not ours."""
    try:
        return msgspec.json.decode(msgspec.convert(mappings, _Ours).meta.said, type=IndexSpec)
    except msgspec.MsgspecError:
        return None


def _properties(fields: Mapping[str, Field]) -> dict[str, Any]:
    found: dict[str, Any] = {name: _property(field) for name, field in fields.items()}
    texts = [name for name, field in fields.items() if field.kind is Kind.TEXT]
    if texts:
        found[WORDS] = {"properties": {name: {"type": "text", "analyzer": "whitespace"} for name in texts}}
    return found


def _property(field: Field) -> dict[str, Any]:
    match field.kind:
        case Kind.TEXT:
            return {"type": "object", "enabled": False}
        case Kind.NESTED:
            return {"type": "nested", "dynamic": "strict", "properties": _properties(field.fields)}
        case Kind.VECTOR:
            method = {"name": "hnsw", "engine": "lucene", "space_type": SPACES[field.similarity]}
            return {"type": "knn_vector", "dimension": field.dimensions, "method": method}
        case _:
            return {"type": _TYPES[field.kind]}
