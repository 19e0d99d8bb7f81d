"""The roles that apply sets of mutations, and remove what nobody sees: truncated records, chunks of gone values."""

from __future__ import annotations

import logging

from soundstage.data.changes.leaving import drop_left
from soundstage.data.kv.service import KeyValueService
from soundstage.data.rounds import turn_of
from soundstage.data.writeahead import work_off
from soundstage.engines.records.port import Stamp
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.roles import Role, RoleContext

log: logging.Logger = logging.getLogger("soundstage.kv")

ERASE_PAUSE_S = 5.0
"""Between two looks for namespaces that were truncated, which cost nothing where none was."""

ERASURES_PER_SWEEP = 120
"""A round over all namespaces costs a few reads each, however little they hold; nothing of it is urgent."""

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
            context.check()
            with turn_of(each.name, "large values could not be looked at", log):
                more = (await service.sweep_values(each.name, ROUND_ENTRIES)).more or more
    return more


async def erase_namespaces(context: RoleContext, erased: dict[str, Stamp]) -> None:
    """One round over all namespaces that were truncated; `erased` are those of which only the last pass is to come."""
    service = context.service
    assert isinstance(service, KeyValueService)
    for name, at, last in service.truncated():
        context.check()
        if not last and erased.get(name) == at:
            continue
        with turn_of(name, "what was truncated could not be erased", log):
            await service.erase_truncated(name, context.check)
            erased[name] = at


async def drop_topics(context: RoleContext, suspects: set[str]) -> set[str]:
    """See `changes.leaving.drop_left`."""
    service = context.service
    assert isinstance(service, KeyValueService)
    return await drop_left(context, "kv", service.drop_topics, suspects, log)


async def _remove(context: RoleContext) -> None:
    # Nothing is due at once, and a stage that is opened for a moment has no need of it.
    erased: dict[str, Stamp] = {}
    suspects: set[str] = set()
    while True:
        for _ in range(ERASURES_PER_SWEEP):
            await context.environment.sleep(ERASE_PAUSE_S)
            await erase_namespaces(context, erased)
        while await sweep_namespaces(context):
            pass
        suspects = await drop_topics(context, suspects)


ROLES: list[Role] = [
    Role(name="kv-mutations", run=_mutate, kind="one"),
    Role(name="kv-values", run=_remove, kind="one"),
]
