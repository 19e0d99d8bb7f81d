"""The roles that apply sets of mutations, and drop the chunks of large values which no row has any more."""

from __future__ import annotations

import logging

from soundstage.core.errors import NotFound, SoundstageError
from soundstage.data.kv.service import KeyValueService
from soundstage.data.writeahead import work_off
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.roles import Role, RoleContext

log: logging.Logger = logging.getLogger("soundstage.kv")

PAUSE_S = 600.0
"""Between two rounds over all namespaces, which cost a few reads each however little they hold; nothing is urgent."""

ROUND_ENTRIES = 1_000
"""Looked at in one namespace before the next one's turn."""


async def _mutate(context: RoleContext) -> None:
    service = context.service
    assert isinstance(service, KeyValueService)
    await work_off(service.mutations.journal, context.lease)


async def sweep_namespaces(context: RoleContext) -> bool:
    """One round over all namespaces; whether more is due. One that fails keeps no other from its turn."""
    service = context.service
    assert isinstance(service, KeyValueService)
    more = False
    async for page in Namespaces(context.invoker).list.pages(abstraction="kv"):
        for each in page.namespaces:
            if context.lease is not None:
                context.lease.check()
            try:
                swept = await service.sweep_values(each.name, ROUND_ENTRIES)
            except NotFound:
                # Deleted meanwhile.
                continue
            except SoundstageError as error:
                log.warning("large values could not be looked at", extra={"namespace": each.name, "reason": str(error)})
                continue
            more = more or swept.more
    return more


async def _sweep(context: RoleContext) -> None:
    # Nothing is due at once, and a stage that is opened for a moment has no need of it.
    while True:
        await context.environment.sleep(PAUSE_S)
        while await sweep_namespaces(context):
            pass


ROLES: list[Role] = [
    Role(name="kv-mutations", run=_mutate, kind="one"),
    Role(name="kv-values", run=_sweep, kind="one"),
]
