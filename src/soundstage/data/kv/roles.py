"""The role that applies sets of mutations."""

from __future__ import annotations

from soundstage.data.kv.service import KeyValueService
from soundstage.data.writeahead import work_off
from soundstage.runtime.roles import Role, RoleContext


async def _mutate(context: RoleContext) -> None:
    service = context.service
    assert isinstance(service, KeyValueService)
    await work_off(service.mutations.journal, context.lease)


ROLES: list[Role] = [Role(name="kv-mutations", run=_mutate, kind="one")]
