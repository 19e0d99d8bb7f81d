"""What `bulk` sends: a line that says what is to be done and, for a put, one with the document.

Most documents are plainly right. A struct that is made of the fields of the index checks them and writes them. It takes
less than the port does: what it does not take is looked at once more by `documents`, which says what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType, ValidationError, convert

from soundstage.engines.search.analysis import has_longer, spaced
from soundstage.engines.search.documents import ACTION_BYTES, are_plain_ids, check_id, prepare, prepared
from soundstage.engines.search.opensearch.mapping import ID, WORDS
from soundstage.engines.search.port import (
    BULK_MAX_ACTIONS,
    BULK_MAX_BYTES,
    DOCUMENT_MAX_BYTES,
    INSTANT_MAX_US,
    KEYWORD_MAX_BYTES,
    Absent,
    Action,
    Delete,
    Field,
    IndexSpec,
    Kind,
    Put,
    Unchanged,
)
from soundstage.engines.search.values import DOUBLE_MAX, INTEGER_MAX, INTEGER_MIN

KEYWORDS_MAX_CHARS = 64 << 20
"""What the keywords of a call may come to at most, or else its bytes are counted before it is written."""

_KEYWORD_MAX_CHARS = KEYWORD_MAX_BYTES // 4
"""So many are few enough bytes, whatever they are."""

_REVISION = re.compile(r"(0|[1-9]\d{0,17})\.([1-9]\d{0,17})")

_encode_lines = msgspec.json.Encoder().encode_lines


class Written(NamedTuple):
    """`body` has all actions but those at the places `barred`, in rising order: their conditions cannot hold."""

    body: bytes
    barred: list[int]


class Writer:
    """Writes the actions of one index."""

    def __init__(self, spec: IndexSpec) -> None:
        fields = spec.fields
        self._spec = spec
        self._shape = _shape(fields)
        self._shapes = list[self._shape]
        self._texts = _of(fields, Kind.TEXT)
        self._doubles = [f"f{place}" for place, field in enumerate(fields.values()) if field.kind is Kind.DOUBLE]
        self._keywords = len(_of(fields, Kind.KEYWORD))
        self._deep = {name for name, field in fields.items() if _is_deep(field)}
        self._objects = {
            name: texts for name in _of(fields, Kind.NESTED) if (texts := _of(fields[name].fields, Kind.TEXT))
        }

    def written(self, actions: Sequence[Action]) -> Written:
        """The actions as they are sent. Raises what `documents.prepare` does."""
        count = len(actions)
        is_checked = count > BULK_MAX_ACTIONS or count * self._keywords * _KEYWORD_MAX_CHARS > KEYWORDS_MAX_CHARS
        if is_checked:
            prepare(self._spec, actions)
        if not are_plain_ids([action.id for action in actions]):
            for number, action in enumerate(actions):
                check_id(action.id, f"actions[{number}].id")
        sources = self._sources(actions)
        heads = [
            {"index": {"_id": action.id}} if action.when is None and isinstance(action, Put) else _head(action)
            for action in actions
        ]
        barred = [number for number, head in enumerate(heads) if head is None]
        for number in barred:
            sources[number] = None
        lines = [line for pair in zip(heads, sources, strict=True) for line in pair if line is not None]
        try:
            body = _encode_lines(lines)
        except UnicodeEncodeError:
            # A string has half a character.
            prepare(self._spec, actions)
            raise
        size = len(body) + count * ACTION_BYTES
        if not is_checked and (barred or size > BULK_MAX_BYTES or has_longer(body, b"\n", DOCUMENT_MAX_BYTES)):
            # What counts is not the words, but also what is not sent.
            prepare(self._spec, actions)
        return Written(body, barred)

    def _sources(self, actions: Sequence[Action]) -> list[object]:
        """The documents as they are sent, with their words; None for deletes."""
        every = [{} if isinstance(action, Delete) else action.fields for action in actions]
        found: list[object] = []
        size = 0
        for action, shaped, fields in zip(actions, self._shaped(every), every, strict=True):
            source: object = shaped
            if isinstance(action, Delete):
                source = None
            elif shaped is None:
                each = prepared(self._spec, action, len(found))
                size += len(each.body)
                source = self._closely(action.id, each.fields or {})
            else:
                shaped.ID = action.id
                for name in self._doubles:
                    # There is one zero: engines order two of them.
                    if getattr(shaped, name) == 0.0:
                        setattr(shaped, name, 0.0)
                words: dict[str, str] = {}
                for name in self._texts:
                    if text := fields.get(name):
                        size += len(text)
                        if said := spaced(text):
                            words[name] = said
                if words:
                    shaped.WORDS = words
            if size > BULK_MAX_BYTES:
                prepare(self._spec, actions)
            found.append(source)
        return found

    def _shaped(self, every: list[dict[str, Any]]) -> Sequence[_Source | None]:
        """Those that are plainly right, None for others."""
        try:
            return convert(every, self._shapes)
        except (ValidationError, UnicodeEncodeError):
            return [self._one(fields) for fields in every]

    def _one(self, fields: dict[str, Any]) -> _Source | None:
        if not self._deep.isdisjoint(fields):
            return None
        try:
            return convert(fields, self._shape)
        except (ValidationError, UnicodeEncodeError):
            return None

    def _closely(self, id: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The same of a document that was looked at closely."""
        found = _with_words(fields, self._texts)
        for name in self._objects.keys() & fields.keys():
            found[name] = [_with_words(each, self._objects[name]) for each in fields[name]]
        return {**found, ID: id}


class _Ours:
    """The type of what no caller gives."""


class _Source:
    """What is set of a shape."""

    ID: str
    WORDS: dict[str, str]


_TAKEN: Mapping[Kind, Any] = {
    Kind.TEXT: Annotated[str, Meta(max_length=DOCUMENT_MAX_BYTES)],
    Kind.KEYWORD: Annotated[str, Meta(max_length=_KEYWORD_MAX_CHARS)],
    Kind.INTEGER: Annotated[int, Meta(ge=INTEGER_MIN, le=INTEGER_MAX)],
    Kind.INSTANT: Annotated[int, Meta(ge=-INSTANT_MAX_US, le=INSTANT_MAX_US)],
    Kind.DOUBLE: Annotated[float, Meta(ge=-DOUBLE_MAX, le=DOUBLE_MAX)],
    Kind.BOOLEAN: bool,
}


def _shape(fields: Mapping[str, Field]) -> type[_Source]:
    """A struct of the fields that takes none that is deep. Attributes are numbered: a field may be called `class`."""
    ours = [(name, _Ours, UNSET) for name in (ID, WORDS)]
    theirs = [
        (f"f{place}", (_Ours if _is_deep(field) else _TAKEN[field.kind]) | UnsetType, UNSET)
        for place, field in enumerate(fields.values())
    ]
    names = {f"f{place}": name for place, name in enumerate(fields)}
    made = msgspec.defstruct("Source", [*theirs, *ours], rename=names, forbid_unknown_fields=True, gc=False)
    return cast("type[_Source]", made)


def _is_deep(field: Field) -> bool:
    """Whether its values are made of others, each of which is looked at."""
    return field.many or field.kind in (Kind.NESTED, Kind.VECTOR)


def _of(fields: Mapping[str, Field], kind: Kind) -> list[str]:
    return [name for name, field in fields.items() if field.kind is kind]


def _with_words(fields: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    words = {name: said for name in texts if name in fields and (said := spaced(fields[name]))}
    return {**fields, WORDS: words} if words else dict(fields)


def _head(action: Action) -> dict[str, Any] | None:
    """What is to be done; None where the condition cannot hold."""
    said: dict[str, Any] = {"_id": action.id}
    when = action.when
    if isinstance(when, Unchanged):
        parts = _REVISION.fullmatch(when.revision)
        if parts is None:
            return None
        said["if_seq_no"], said["if_primary_term"] = int(parts[1]), int(parts[2])
    return {"delete" if isinstance(action, Delete) else "create" if isinstance(when, Absent) else "index": said}
