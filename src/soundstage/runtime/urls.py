"""The URLs of engines, which name places and hold no secrets."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from soundstage.core.errors import InvalidArgument

_SEVERAL = re.compile(r"([^:/?#]+)://([^/?#]*,[^/?#]*)(.*)", re.DOTALL)


def split_url(name: str, url: str) -> SplitResult:
    """The parts of the URL of engine `name`. Raises `InvalidArgument` when it is malformed or holds a password."""
    field = f"engines.{name}.url"
    try:
        parts = _split(url)
        password = parts.password
    except ValueError as error:
        raise InvalidArgument(f"the URL of engine {name!r} is malformed: {error}", field=field) from None
    if password is not None:
        raise InvalidArgument(
            f"the URL of engine {name!r} holds a password",
            field=field,
            hint=f"put it in a file that only you can read and set engines.{name}.password_file, or in an "
            f"environment variable and name that by password_env",
        )
    return parts


def _split(url: str) -> SplitResult:
    """As `urlsplit`, which takes one host only, and refuses brackets behind others in some releases of Python."""
    found = _SEVERAL.fullmatch(url)
    if found is None:
        return urlsplit(url)
    scheme, nodes, rest = found.groups()
    return urlsplit(f"{scheme}://nodes{rest}")._replace(netloc=nodes)
