"""Roles of every kind, which note what they were given and then wait."""

from __future__ import annotations

import asyncio
from functools import partial

from soundstage.runtime.roles import Role, RoleContext

seen: dict[str, RoleContext] = {}
begun: asyncio.Event = asyncio.Event()


async def note(name: str, context: RoleContext) -> None:
    """The context is in `seen` by the name of the role and its partition."""
    seen[f"{name}/{context.partition}" if context.partition else name] = context
    begun.set()
    await asyncio.Event().wait()


ROLES = [
    Role(name="notes-every", run=partial(note, "notes-every")),
    Role(name="notes-client", run=partial(note, "notes-client"), needs="client"),
    Role(name="notes-one", run=partial(note, "notes-one"), kind="one"),
    Role(name="notes-shared", run=partial(note, "notes-shared"), kind="partitioned", partitions=("a", "b")),
]
