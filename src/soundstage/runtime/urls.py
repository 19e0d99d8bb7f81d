"""The URLs of engines, which name places and hold no secrets."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from soundstage.core.errors import InvalidArgument


def split_url(name: str, url: str) -> SplitResult:
    """The parts of the URL of engine `name`. Raises `InvalidArgument` when it is malformed or holds a password."""
    field = f"engines.{name}.url"
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError as error:
        raise InvalidArgument(f"the URL of engine {name!r} is malformed: {error}", field=field) from None
    if password is not None:
        raise InvalidArgument(
            f"the URL of engine {name!r} holds a password",
            field=field,
            hint=f"put it in a file that only you can read and set engines.{name}.password_file",
        )
    return parts
