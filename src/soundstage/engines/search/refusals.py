"""What engines say when they refuse a call, alike on every engine."""

from __future__ import annotations

from collections.abc import Iterable

from soundstage.core.errors import AlreadyExists, DeadlineExceeded, InvalidArgument, NotFound, TooLarge, Unavailable
from soundstage.core.names import nearest
from soundstage.engines.search.port import IndexSpec, SearchCapability


def stopped() -> Unavailable:
    return Unavailable(
        "the engine is stopped", hint="ask the process that runs now", outcome="not_applied", retryable=False
    )


def deadline_passed() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed before the call", hint="allow more time", outcome="not_applied")


def no_index(name: str) -> NotFound:
    return NotFound(f"there is no index or alias {name!r}", hint="make it with create_index, or point the alias at one")


def no_field(name: str, known: Iterable[str], place: str) -> InvalidArgument:
    known = list(known)
    close = nearest(name, known)
    hint = f"did you mean {close!r}?" if close else f"its fields are {', '.join(known) or 'none'}"
    return InvalidArgument(f"the index has no field {name!r}", field=place, hint=hint)


def lacks(capability: SearchCapability, place: str) -> InvalidArgument:
    return InvalidArgument(
        f"the engine has not the capability {capability.value!r}",
        field=place,
        hint="use an engine that has it; `soundstage engines list` says which have",
    )


def other_fields(known: IndexSpec) -> AlreadyExists:
    return AlreadyExists(
        f"the index {known.name!r} exists with other fields",
        field="fields",
        hint="fill an index of another name and point an alias at it",
    )


def name_taken(name: str, by: str) -> AlreadyExists:
    return AlreadyExists(f"there is {by} called {name!r}", field="name", hint="choose another name")


def is_alias(name: str) -> InvalidArgument:
    return InvalidArgument(f"{name!r} is an alias, not an index", field="name", hint="drop the index it points at")


def too_many(what: str, most: int, place: str) -> TooLarge:
    return TooLarge(f"at most {most} {what}", field=place, hint="ask for less, or in several calls")


def wrong_token() -> InvalidArgument:
    return InvalidArgument(
        "this is not the end of a page of this request", field="after", hint="leave out `after` to begin again"
    )
