"""Options of engines: as URLs give them, and as the stage file does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote

from soundstage.core.codec import convert
from soundstage.core.errors import InvalidArgument

T = TypeVar("T")


def given_by(
    url: SplitResult, typed: Callable[[str, str], Any], password_file: str | None, *, user: str = "user"
) -> dict[str, Any]:
    """The options that the query has, as `typed` makes them of their texts, with whom the URL names as `user`."""
    given = {key: typed(key, text) for key, text in parse_qsl(url.query, keep_blank_values=True)}
    if url.username:
        given[user] = unquote(url.username)
    if password_file is not None:
        given["password_file"] = password_file
    return given


def read_options(name: str, options: type[T], given: Mapping[str, Any], check: Callable[[T], None] | None = None) -> T:
    """The options `given` to the engine called `name`, which `check` has nothing against.

    Raises `InvalidArgument` with the path of the option in the stage file.
    """
    try:
        found = convert(dict(given), options)
        if check is not None:
            check(found)
    except InvalidArgument as error:
        raise InvalidArgument(error.detail, field=f"engines.{name}.options.{error.field}", hint=error.hint) from None
    return found
