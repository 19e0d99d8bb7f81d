from __future__ import annotations

from tests.e2e.chores.api import Chores
from tests.e2e.chores.notes import note

from soundstage.runtime.roles import Role, RoleContext

STEP_S = 0.05


async def guard(context: RoleContext) -> None:
    """Notes again and again that it may work, with its fence."""
    assert context.lease is not None
    while True:
        if context.lease.held:
            note("guard", context.lease.fence)
        await context.environment.sleep(STEP_S)


async def ask(context: RoleContext) -> None:
    """Asks the stage where it is, once, and notes the answer."""
    note("asked", (await Chores(context.invoker).where()).pid)
    while True:
        await context.environment.sleep(60)


ROLES = [Role(name="chores-guard", run=guard, kind="one"), Role(name="chores-ask", run=ask, needs="client")]
