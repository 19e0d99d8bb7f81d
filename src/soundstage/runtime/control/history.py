"""What is said of a namespace and of a change to it: as it is stored, in its history, and in the audit log."""

from __future__ import annotations

import logging
from typing import Literal

from soundstage.core.namespace import NamespaceChange, NamespaceInfo
from soundstage.core.time import Instant
from soundstage.runtime.control.declaration import Declared
from soundstage.runtime.control.refusals import ManagedBy

audit: logging.Logger = logging.getLogger("soundstage.audit")
"""Who changed what of the stage itself; the history has the rest."""


def first_version(declared: Declared, generation: int, managed_by: ManagedBy, now: Instant) -> NamespaceInfo:
    """A namespace that is created as was declared."""
    return _info(declared, 1, generation, managed_by, now, now)


def next_version(old: NamespaceInfo, declared: Declared, managed_by: ManagedBy, now: Instant) -> NamespaceInfo:
    """A namespace that is changed to what was declared."""
    return _info(declared, old.version + 1, old.generation, managed_by, old.created_at, now)


def change_of(
    info: NamespaceInfo,
    action: Literal["created", "changed", "truncated", "deleted"],
    by: str,
    changed: list[str],
    at: Instant,
) -> NamespaceChange:
    """What the history has of a change that made `info`, or deleted it."""
    return NamespaceChange(
        # A deletion has a place of its own after the last version.
        version=info.version + (action == "deleted"),
        generation=info.generation,
        at=at,
        by=by,
        action=action,
        changed=changed,
        namespace=info,
    )


def tell(change: NamespaceChange) -> None:
    """The change is in the audit log."""
    facts = {"namespace": change.namespace.name, "version": change.version, "by": change.by}
    audit.info("namespace %s", change.action, extra={**facts, "changed": change.changed})


def _info(
    declared: Declared, version: int, generation: int, managed_by: ManagedBy, created: Instant, updated: Instant
) -> NamespaceInfo:
    return NamespaceInfo(
        name=declared.spec.name,
        abstraction=declared.spec.abstraction,
        engines=declared.engines,
        config=declared.knobs,
        slos=declared.slos,
        quotas=declared.quotas,
        version=version,
        generation=generation,
        managed_by=managed_by,
        created_at=created,
        updated_at=updated,
    )
