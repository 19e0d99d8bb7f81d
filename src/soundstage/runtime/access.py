"""Who may do what: grants of access per namespace, as tokens carry them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from soundstage.core.call import LOCAL, Access, Principal
from soundstage.core.errors import Forbidden

INCLUDES: dict[Access, frozenset[Access]] = {
    "read": frozenset(("read",)),
    "write": frozenset(("read", "write")),
    "observe": frozenset(("observe",)),
    "admin": frozenset(("read", "write", "observe", "admin")),
}
"""What each granted access allows."""


EVERY_FILE = "blobs"
"""The name that grants for all files are given on; no namespace has it."""


def matches(pattern: str, namespace: str) -> bool:
    """Whether a grant for `pattern` (a name, a `prefix*` or `*`) covers `namespace`."""
    return namespace.startswith(pattern[:-1]) if pattern.endswith("*") else pattern == namespace


def allows(principal: Principal, access: Access, namespace: str | None) -> bool:
    """Whether `principal` has `access` on `namespace`, or with None on any namespace at all."""
    if principal is LOCAL:
        return True
    return _allows(tuple(principal.grants.items()), access, namespace)


@lru_cache(maxsize=4_096)
def _allows(grants: tuple[tuple[str, tuple[Access, ...]], ...], access: Access, namespace: str | None) -> bool:
    return any(
        access in INCLUDES[granted]
        for pattern, all_granted in grants
        if namespace is None or matches(pattern, namespace)
        for granted in all_granted
    )


def allows_all_files(principal: Principal, access: Access) -> bool:
    """Whether `principal` has `access` on all files: by a grant on `blobs` or `*`, and by no `prefix*`."""
    return principal is LOCAL or any(
        access in INCLUDES[granted] for name in (EVERY_FILE, "*") for granted in principal.grants.get(name, ())
    )


def authorise(principal: Principal, access: Access, namespaces: Iterable[str], what: str) -> None:
    """Raise `Forbidden` unless `principal` has `access` on all of `namespaces`, or on any when there are none."""
    if principal is LOCAL:
        return
    for namespace in namespaces or (None,):
        if not allows(principal, access, namespace):
            where = "any namespace" if namespace is None else f"namespace {namespace!r}"
            raise Forbidden(
                f"{principal.name!r} may not {what}: it lacks the role {access!r} on {where}",
                hint="use a token that was created with this role",
            )
