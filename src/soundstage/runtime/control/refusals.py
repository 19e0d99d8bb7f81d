"""Why a namespace is not changed as was asked."""

from __future__ import annotations

from typing import Literal, TypeAlias

from soundstage.core.errors import AlreadyExists, InProgress, PreconditionFailed, Unavailable
from soundstage.core.namespace import NamespaceInfo
from soundstage.runtime.control.store import Found

ManagedBy: TypeAlias = Literal["api", "file"]


def check_managed(info: NamespaceInfo, by: ManagedBy) -> None:
    """Raises `PreconditionFailed` for the API where the stage file has the namespace."""
    if info.managed_by == "file" and by == "api":
        raise PreconditionFailed(
            f"namespace {info.name!r} is managed by the stage file",
            field="namespace.name",
            hint=f"change [namespaces.{info.name}] there, or remove it there to manage the namespace by API",
        )


def under_way(found: Found, what: str) -> InProgress:
    """That somebody else is at it: it is being what `what` says."""
    name = found.stored.info.name
    return InProgress(
        f"namespace {name!r} is being {what}", field="namespace.name", hint="retry later", retry_after_ms=1_000
    )


def occupied(info: NamespaceInfo) -> AlreadyExists:
    """That it is not empty, and may not be deleted."""
    return AlreadyExists(
        f"namespace {info.name!r} exists, and holds records",
        field="name",
        hint="name another one; with overwrite it is deleted first",
    )


def other_version(info: NamespaceInfo, expected: int | None) -> PreconditionFailed:
    """That it is not at the version that was expected."""
    return PreconditionFailed(
        f"namespace {info.name!r} is at version {info.version}, not {expected}",
        field="expected_version",
        hint="get it, apply your change to what it is, and put that",
    )


def contended(name: str) -> Unavailable:
    """That others were faster each time."""
    return Unavailable(f"namespace {name!r} keeps being changed by others", hint="retry later", outcome="not_applied")
