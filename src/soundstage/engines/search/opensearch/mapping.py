"""How documents lie in OpenSearch: the mapping of an index, and the JSON of a document.

Each field has its own name. Names in capitals are this engine's: `ID` is sorted by, `WORDS` holds the words of texts,
one space apart, which is what is searched. No caller sees them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from soundstage.engines.search.analysis import spaced, words
from soundstage.engines.search.documents import Prepared
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
_ID, _WORDS = ID.encode(), WORDS.encode()


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


class Writer:
    """Writes the documents of one index."""

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self._texts = [(name, _encode(name)) for name, field in fields.items() if field.kind is Kind.TEXT]
        self._nested = {
            name: Writer(field.fields)
            for name, field in fields.items()
            if field.kind is Kind.NESTED and any(each.kind is Kind.TEXT for each in field.fields.values())
        }

    def source(self, action: Prepared, id: bytes) -> bytes:
        """A document as it is sent; `id` is its id in JSON."""
        fields = action.fields or {}
        body = action.body
        if self._nested and any(name in fields for name in self._nested):
            body = _encode(self._with_objects(fields))
        # Words are letters and digits, which JSON has as they are.
        texts = [
            b'%s:"%s"' % (key, said) for name, key in self._texts if name in fields and (said := spaced(fields[name]))
        ]
        begin, comma = (body[:-1], b",") if len(body) > 2 else (b"{", b"")
        if texts:
            return b'%s%s"%s":%s,"%s":{%s}}' % (begin, comma, _ID, id, _WORDS, b",".join(texts))
        return b'%s%s"%s":%s}' % (begin, comma, _ID, id)

    def _with_objects(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: [self._nested[name].object(each) for each in value] if name in self._nested else value
            for name, value in fields.items()
        }

    def object(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """An object of a nested field as it is sent."""
        found = self._words(fields)
        return {**fields, WORDS: found} if found else dict(fields)

    def _words(self, fields: Mapping[str, Any]) -> dict[str, str]:
        joined = {name: " ".join(words(fields[name])) for name, _ in self._texts if name in fields}
        return {name: text for name, text in joined.items() if text}


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
