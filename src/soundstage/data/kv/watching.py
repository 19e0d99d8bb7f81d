"""Follows the changes of a namespace of records."""

from __future__ import annotations

from collections.abc import Callable

from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument
from soundstage.data.changes.following import Asked, Follower
from soundstage.data.kv.api import ItemChange, WatchItems
from soundstage.data.kv.changes import messages_of
from soundstage.data.kv.namespace import ServedNamespace


class Watch(Follower[ItemChange]):
    """One who follows; `served` gives the namespace as it is now, and raises once it is gone."""

    def __init__(self, request: WatchItems, served: Callable[[], ServedNamespace], environment: Environment) -> None:
        asked = Asked(request.cursor, request.since, request.id, messages_of, _wanted(request))
        super().__init__(asked, served, environment)


def _wanted(request: WatchItems) -> Callable[[ItemChange], bool]:
    """Which changes are told: those of a record, of records whose id begins so, or all. Truncations always are."""
    wanted, prefix = request.id, request.prefix
    if wanted is not None and prefix is not None:
        raise InvalidArgument("both id and prefix are given", field="prefix", hint="give one of them, or neither")
    if wanted is not None:
        return lambda change: change.id == wanted or change.truncated
    if prefix is not None:
        return lambda change: change.id.startswith(prefix) or change.truncated
    return lambda _: True
