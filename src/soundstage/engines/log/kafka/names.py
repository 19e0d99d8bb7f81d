"""What topics and groups are called in Kafka: by the space of the engine and their name here."""

from __future__ import annotations

import re

from soundstage.core.errors import InvalidArgument

NAME_MAX_CHARS = 249
"""Of a topic in Kafka."""

_ESCAPED = {"-": "--", "_": "-u", ".": "-d", "/": "."}
_RETURNED = {escape: char for char, escape in _ESCAPED.items()}
_SPECIAL = re.compile(r"[-_./]")
_ESCAPES = re.compile(r"--|-u|-d|\.")
_OURS = re.compile(r"(?:[A-Za-z0-9]|--|-u|-d|\.)+")


def topic_in_kafka(space: str, name: str) -> str:
    """Slashes become dots. Kafka takes `.` and `_` for the same in places, so no name there has a `_`.

    Raises `InvalidArgument` for a name that becomes too long.
    """
    found = f"{space}.{_SPECIAL.sub(lambda match: _ESCAPED[match.group()], name)}"
    if len(found) > NAME_MAX_CHARS:
        raise InvalidArgument(
            f"{name[:80]!r} would be {len(found)} characters long in Kafka, which takes {NAME_MAX_CHARS}",
            field="name",
            hint="use a shorter name, with fewer of - _ and .",
        )
    return found


def topic_here(space: str, found: str) -> str | None:
    """The name of a topic of Kafka in this space; None when it is none of it."""
    prefix = f"{space}."
    rest = found.removeprefix(prefix)
    if not found.startswith(prefix) or not _OURS.fullmatch(rest):
        return None
    return _ESCAPES.sub(lambda match: _RETURNED[match.group()], rest)


def group_in_kafka(space: str, name: str) -> str:
    """Groups may be called anything."""
    return f"{space}:{name}"


def group_here(space: str, found: str) -> str | None:
    """The name of a group of Kafka in this space; None when it is none of it."""
    prefix = f"{space}:"
    return found.removeprefix(prefix) if found.startswith(prefix) else None
