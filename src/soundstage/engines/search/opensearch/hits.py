"""Documents as OpenSearch returns them, and the orders it sorts them in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from soundstage.engines.search.opensearch import answers
from soundstage.engines.search.opensearch.mapping import ID, WORDS
from soundstage.engines.search.port import Document, IndexSpec, Kind, Similarity
from soundstage.engines.search.queries import Sort
from soundstage.engines.search.tokens import Position

LONG_MIN, LONG_MAX = -(1 << 63), (1 << 63) - 1
"""What it sorts numbers by that are not there; fields have neither."""

_encode = msgspec.json.Encoder().encode


class Found(NamedTuple):
    """A document of an answer."""

    id: str
    source: dict[str, Any]
    revision: str
    score: float | None

    @classmethod
    def of(cls, said: answers.Document) -> Found:
        """The document of a hit."""
        return cls(said.id, said.source or {}, f"{said.seq_no}.{said.primary_term}", said.score)

    def shown(self, spec: IndexSpec, names: Sequence[str] | None = None) -> Document:
        """As callers see it, with the fields of these names."""
        fields = {
            name: _objects(value) if spec.fields[name].kind is Kind.NESTED else value
            for name, value in self.source.items()
            if name in spec.fields and (names is None or name in names)
        }
        return Document(self.id, fields, self.revision)

    def size(self) -> int:
        """In bytes, with what is this engine's."""
        return len(_encode(self.source))

    def position(self, sorts: Sequence[Sort]) -> Position:
        """Where it stands in an order by fields that were returned."""
        return [self.source.get(sort.field) for sort in sorts], self.id


def _objects(value: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: each for name, each in found.items() if name != WORDS} for found in value]


def sort_of(sorts: Sequence[Sort], spec: IndexSpec) -> list[dict[str, Any]]:
    """The order, as it is asked for."""
    keys: list[dict[str, Any]] = []
    for sort in sorts:
        boolean = spec.fields[sort.field].kind is Kind.BOOLEAN
        # What stands for a missing one among booleans differs between releases unless it is said.
        missing: Any = _missing_boolean(sort.descending) if boolean else "_last"
        keys.append({sort.field: {"order": "desc" if sort.descending else "asc", "missing": missing}})
    return [*keys, {ID: {"order": "asc"}}]


def sort_values(sorts: Sequence[Sort], spec: IndexSpec, begin: Position) -> list[Any]:
    """Where a page begins, in the values that documents are sorted by there."""
    keys = [
        _key(spec.fields[sort.field].kind, value, descending=sort.descending)
        for sort, value in zip(sorts, begin[0], strict=True)
    ]
    return [*keys, begin[1]]


def likeness_of(similarity: Similarity, score: float) -> float:
    """How alike two vectors are, of what OpenSearch scores that with."""
    match similarity:
        case "cosine":
            return 2 * score - 1
        case "dot":
            return score - 1 if score >= 1 else 1 - 1 / score
        case "euclidean":
            return score


def _key(kind: Kind, value: Any, *, descending: bool) -> Any:
    if kind is Kind.KEYWORD:
        return value
    if kind is Kind.BOOLEAN:
        return _missing_boolean(descending) if value is None else int(value)
    if value is None:
        if kind is Kind.DOUBLE:
            return "-Infinity" if descending else "Infinity"
        return LONG_MIN if descending else LONG_MAX
    return value


def _missing_boolean(descending: bool) -> int:
    return -1 if descending else 2
