"""Where a walk over a namespace goes on, inside a page token: for all systems whose pages outlive a call."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from soundstage.core.errors import InvalidArgument
from soundstage.core.pages import PageTokens, binding_of


class Placed(Protocol):
    """A place in a namespace of that generation."""

    @property
    def generation(self) -> int: ...


C = TypeVar("C", bound=Placed)


def seal(tokens: PageTokens, kind: str, request: Any, cursor: Placed) -> str:
    """The page token with which `request` goes on at `cursor`."""
    return tokens.seal(kind, binding_of(request), cursor)


def unseal(tokens: PageTokens, kind: str, request: Any, state: type[C], generation: int) -> C | None:
    """The cursor in the request's page token, None without one. Raises `InvalidArgument` for a foreign one."""
    if request.page_token is None:
        return None
    cursor = tokens.open(request.page_token, kind, binding_of(request), state)
    if cursor.generation != generation:
        raise InvalidArgument(
            "the page token is of a namespace of this name that was deleted",
            field="page_token",
            hint="start again without page_token",
        )
    return cursor
