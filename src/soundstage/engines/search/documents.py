"""What is given to `bulk`, checked: all of it before any of it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.engines.search import refusals
from soundstage.engines.search.port import (
    BULK_MAX_ACTIONS,
    BULK_MAX_BYTES,
    DOCUMENT_MAX_BYTES,
    GET_MAX_IDS,
    ID_MAX_BYTES,
    PAGE_MAX_BYTES,
    Absent,
    Action,
    Delete,
    IndexSpec,
    Outcome,
    Status,
    Unchanged,
)
from soundstage.engines.search.values import fields_of, plain, text

ACTION_BYTES = 64
"""What an action counts for besides its document."""

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """One action. `fields` are in the form that is compared, `body` is their JSON; both are None for a delete."""

    id: str
    when: Absent | Unchanged | None
    fields: dict[str, Any] | None = None
    body: bytes = b""


def prepare(spec: IndexSpec, actions: Sequence[Action]) -> list[Prepared]:
    """The actions, each as it is to be made. Raises `InvalidArgument` and `TooLarge`, naming the action."""
    if len(actions) > BULK_MAX_ACTIONS:
        raise refusals.too_many("actions in a call", BULK_MAX_ACTIONS, "actions")
    found: list[Prepared] = []
    size = 0
    for number, action in enumerate(actions):
        each = prepared(spec, action, number)
        size += len(each.body) + ACTION_BYTES
        if size > BULK_MAX_BYTES:
            raise refusals.too_many("bytes in a call", BULK_MAX_BYTES, "actions")
        found.append(each)
    return found


def prepared(spec: IndexSpec, action: Action, number: int) -> Prepared:
    """The action as it is to be made, the one of this number. Raises as `prepare` does."""
    id = action.id
    if not (type(id) is str and 0 < len(id) <= ID_MAX_BYTES and id.isascii()):
        check_id(id, f"actions[{number}].id")
    if isinstance(action, Delete):
        return Prepared(id, action.when)
    fields = plain(spec.fields, action.fields)
    if fields is None:
        fields = fields_of(spec.fields, action.fields, f"actions[{number}].fields")
    body = _encode(fields)
    if len(body) > DOCUMENT_MAX_BYTES:
        raise TooLarge(
            f"a document has at most {DOCUMENT_MAX_BYTES} bytes, this one has {len(body)}",
            field=f"actions[{number}].fields",
            hint="index what is searched, and keep the rest elsewhere under the same id",
        )
    return Prepared(id, action.when, fields, body)


def prevented(action: Prepared, revision: str | None) -> Outcome | None:
    """Why the action is not made on a document of this revision, None for none; None where it is made."""
    match action.when:
        case Absent() if revision is not None:
            return Outcome(Status.CONFLICT)
        case Unchanged(wanted) if revision is None or revision != wanted:
            return Outcome(Status.CONFLICT)
        case _:
            return Outcome(Status.MISSING) if action.fields is None and revision is None else None


def fitting(found: list[T], size: Callable[[T], int]) -> list[T]:
    """As many from the beginning as a page has bytes for."""
    total = 0
    for number, each in enumerate(found):
        total += size(each)
        if total > PAGE_MAX_BYTES:
            return found[:number]
    return found


def chosen(body: bytes, names: Sequence[str] | None) -> dict[str, Any]:
    """The fields of these names, None for all, of a document as it is kept."""
    fields = _decode(body)
    return fields if names is None else {name: value for name, value in fields.items() if name in names}


def are_plain_ids(ids: Sequence[str]) -> bool:
    """Whether all are ids, as is plain of most; where not, `check_id` looks closer."""
    try:
        return "".join(ids).isascii() and all(ids) and max(map(len, ids), default=0) <= ID_MAX_BYTES
    except TypeError:
        return False


def check_id(id: str, place: str) -> None:
    """Raises `InvalidArgument` for an empty id and `TooLarge` for one of more than 512 bytes."""
    text(id, place)
    if not id:
        raise InvalidArgument("an id has at least one character", field=place)
    if len(id) * 4 > ID_MAX_BYTES and len(id.encode()) > ID_MAX_BYTES:
        raise TooLarge(f"an id has at most {ID_MAX_BYTES} bytes", field=place)


def check_ids(ids: Sequence[str]) -> None:
    """Raises for one that is no id, and `TooLarge` for more than a call takes."""
    if len(ids) > GET_MAX_IDS:
        raise refusals.too_many("ids in a call", GET_MAX_IDS, "ids")
    for number, id in enumerate(ids):
        check_id(id, f"ids[{number}]")
